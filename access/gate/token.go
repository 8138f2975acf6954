package gate

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// signer makes and reads tokens of one purpose:
//
//	prefix  base64url(payload)  "."  base64url(HMAC-SHA-256(key, prefix ‖ base64url(payload)))
//
// The payload is JSON. The key is derived from the server's secret by HKDF, with
// the prefix as its info: a token of one purpose is none of another.
type signer struct {
	prefix string
	most   int // length of the longest token, in bytes
	key    []byte
}

// Lengths of the longest token and session. In the one, a filter of 4 KiB and 64
// hidden fields fit. The other is a cookie, and what of one is longer than 4096
// bytes, name and all, browsers drop without a word.
const (
	maxToken   = 12 << 10
	maxSession = 4000
)

// minSecret is the length of the shortest secret, in bytes.
const minSecret = 32

// errLong says that a token would be longer than it may be.
var errLong = errors.New("the token would be too long")

var errToken = errors.New("the token was not made by this server, or was changed")

func newSigner(secret []byte, prefix string, most int) (signer, error) {
	if len(secret) < minSecret {
		return signer{}, fmt.Errorf("the server's secret has %d bytes; at least %d are needed, or anybody could make tokens", len(secret), minSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "daybook token "+prefix, sha256.Size)
	return signer{prefix, most, key}, err
}

func (s signer) mac(text string) string {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// sign returns the token of a payload.
func (s signer) sign(payload any) (string, error) {
	b, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	text := s.prefix + base64.RawURLEncoding.EncodeToString(b)
	token := text + "." + s.mac(text)
	if len(token) > s.most {
		return "", fmt.Errorf("%w: %d bytes, at most %d", errLong, len(token), s.most)
	}
	return token, nil
}

// read verifies a token, in constant time, and decodes its payload. What is compared
// is the text of the MAC: base64 has more than one for the same bytes.
func (s signer) read(token string, payload any) error {
	text, mac, ok := strings.Cut(token, ".")
	if !ok || len(token) > s.most || !strings.HasPrefix(text, s.prefix) {
		return errToken
	}
	if !hmac.Equal([]byte(mac), []byte(s.mac(text))) {
		return errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text[len(s.prefix):])
	if err != nil {
		return errToken
	}
	if err := json.Unmarshal(b, payload); err != nil {
		return errToken
	}
	return nil
}
