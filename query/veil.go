package query

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"
)

// veil hides positions from a reader who does not see the whole log. A position is
// a place among the events of everybody, so from two of them it could be told how
// much others write. What such a reader is given to come back with, cursors and ids
// of tails, is the text that others get, padded and encrypted:
//
//	s1.  base64url of
//	     0   16  salt; the key is HKDF-SHA-256(secret, salt, "daybook positions")
//	     16  12  nonce
//	     28      AES-256-GCM of the text, with spaces behind it to a multiple of 64
//	             bytes; authenticated with it is what it is for, and the scope
//
// Every view has a salt of its own, so that no key meets its limit of nonces.
type veil struct {
	secret []byte
	scope  string

	once sync.Once // of the first seal: most requests hide nothing
	salt [saltSize]byte
	aead cipher.AEAD // of salt
}

const (
	veilPrefix = "s1."
	saltSize   = 16
	veilBlock  = 64
	maxVeiled  = 2 * maxCursor // length of the text, above any that is handed out
)

// newVeil returns a veil. secret is at least 32 bytes.
func newVeil(secret []byte, scope string) *veil { return &veil{secret: secret, scope: scope} }

// cipher returns the cipher of a salt.
func (v *veil) cipher(salt []byte) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, v.secret, salt, "daybook positions", 32)
	if err != nil {
		panic("query: " + err.Error()) // 32 bytes are never too many
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("query: " + err.Error()) // the key has a length that AES has
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("query: " + err.Error()) // the block is AES's
	}
	return aead
}

func (v *veil) about(purpose string) []byte { return []byte(purpose + "\x00" + v.scope) }

// seal appends what hides a text.
func (v *veil) seal(dst []byte, purpose, text string) []byte {
	v.once.Do(func() {
		rand.Read(v.salt[:]) // never fails: crypto/rand ends the program instead
		v.aead = v.cipher(v.salt[:])
	})
	padded := make([]byte, 0, len(text)+veilBlock)
	padded = append(padded, text...)
	for len(padded)%veilBlock != 0 {
		padded = append(padded, ' ')
	}
	sealed := v.aead.Seal(append(make([]byte, 0, 256), v.salt[:]...), nil, padded, v.about(purpose))
	return base64.RawURLEncoding.AppendEncode(append(dst, veilPrefix...), sealed)
}

// open returns the text that seal hid for the same purpose and scope.
func (v *veil) open(purpose, hidden string) (text string, ok bool) {
	coded, ok := strings.CutPrefix(hidden, veilPrefix)
	if !ok || len(coded) > maxVeiled || strings.ContainsAny(coded, "\r\n") { // the decoder passes over these
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	if err != nil || len(b) < saltSize {
		return "", false
	}
	plain, err := v.cipher(b[:saltSize]).Open(nil, nil, b[saltSize:], v.about(purpose))
	if err != nil {
		return "", false
	}
	return strings.TrimRight(string(plain), " "), true
}
