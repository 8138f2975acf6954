package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// NewKey answers the making of a secret. Key is the key as the server describes
// it, Secret the whole key, which is shown this once.
type NewKey struct {
	Key    json.RawMessage `json:"key"`
	Secret string          `json:"secret"`
}

// Keys returns the keys that params select.
func (c *Client) Keys(ctx context.Context, params url.Values) ([]json.RawMessage, error) {
	var body struct {
		Keys []json.RawMessage `json:"keys"`
	}
	return body.Keys, c.getJSON(ctx, "/v1/keys", params, &body)
}

// CreateKey makes a key as spec, a JSON object, says.
func (c *Client) CreateKey(ctx context.Context, spec any) (*NewKey, error) {
	made := new(NewKey)
	return made, c.postJSON(ctx, "/v1/keys", spec, made)
}

// RotateKey gives a key a new secret; the one that it has opens for overlap
// longer, such as 24h.
func (c *Client) RotateKey(ctx context.Context, id, overlap string) (*NewKey, error) {
	made := new(NewKey)
	return made, c.postJSON(ctx, "/v1/keys/"+url.PathEscape(id)+"/rotate", map[string]string{"overlap": overlap}, made)
}

// RevokeKey takes a key back and returns it.
func (c *Client) RevokeKey(ctx context.Context, id string) (key json.RawMessage, err error) {
	return key, c.postJSON(ctx, "/v1/keys/"+url.PathEscape(id)+"/revoke", nil, &key)
}

// ViewerToken is a token with which somebody sees a part of one tenant's log.
type ViewerToken struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expires_at"`
}

// CreateViewerToken makes one as spec, a JSON object, says.
func (c *Client) CreateViewerToken(ctx context.Context, spec any) (*ViewerToken, error) {
	made := new(ViewerToken)
	return made, c.postJSON(ctx, "/v1/viewer-tokens", spec, made)
}

// postJSON sends what body is in JSON, nothing for nil, and decodes the answer.
func (c *Client) postJSON(ctx context.Context, path string, body, into any) error {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := c.request(ctx, http.MethodPost, c.base+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return problemOf(resp, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: %w: %w", path, errAnswer, err)
	}
	return nil
}
