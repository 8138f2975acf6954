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

// LetterPage is one page of dead letters.
type LetterPage struct {
	Letters    []json.RawMessage `json:"dead_letters"`
	NextCursor string            `json:"next_cursor"`
}

// DeadLetters returns one page of dead letters.
func (c *Client) DeadLetters(ctx context.Context, params url.Values) (*LetterPage, error) {
	page := new(LetterPage)
	return page, c.getJSON(ctx, "/v1/dead-letters", params, page)
}

// DeadLetter returns one dead letter.
func (c *Client) DeadLetter(ctx context.Context, id string) (json.RawMessage, error) {
	var letter json.RawMessage
	err := c.getJSON(ctx, "/v1/dead-letters/"+url.PathEscape(id), nil, &letter)
	return letter, err
}

// ReplayDeadLetter publishes the event in a dead letter, or corrected in its
// stead when that is not nil, and returns the letter as it is then.
func (c *Client) ReplayDeadLetter(ctx context.Context, id string, corrected []byte) (json.RawMessage, error) {
	return c.resolve(ctx, id, "replay", corrected)
}

// DiscardDeadLetter resolves a dead letter without an event and returns it.
func (c *Client) DiscardDeadLetter(ctx context.Context, id string) (json.RawMessage, error) {
	return c.resolve(ctx, id, "discard", nil)
}

func (c *Client) resolve(ctx context.Context, id, how string, body []byte) (json.RawMessage, error) {
	target := c.base + "/v1/dead-letters/" + url.PathEscape(id) + "/" + how
	req, err := c.request(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, problemOf(resp, answer)
	}
	if !json.Valid(answer) {
		return nil, fmt.Errorf("%s dead letter %s: %w", how, id, errAnswer)
	}
	return answer, nil
}
