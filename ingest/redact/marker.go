package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// Method is what stands in place of a secret.
type Method uint8

// The methods.
const (
	Mask Method = iota // always the same marker
	HMAC               // a marker that is the same for the same value
)

// String returns the method's name in settings.
func (m Method) String() string {
	if m == HMAC {
		return "hmac"
	}
	return "mask"
}

// ParseMethod returns the method called name: mask or hmac.
func ParseMethod(name string) (Method, error) {
	for _, m := range []Method{Mask, HMAC} {
		if name == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("redact.method %q: mask or hmac is accepted", name)
}

// MinSecret is the shortest key for [HMAC], in bytes.
const MinSecret = 32

const (
	markerOpen = "[redacted"
	mask       = markerOpen + "]"
	hashChars  = 16 // of a hash in a marker: 80 bits
)

// maxMarker is the length of the longest marker.
const maxMarker = len(markerOpen) + 1 + hashChars + 1

// markerLen returns the length of the marker that s begins with, 0 if it begins
// with none.
func markerLen(s string) int {
	rest, ok := strings.CutPrefix(s, markerOpen)
	switch {
	case !ok || rest == "":
		return 0
	case rest[0] == ']':
		return len(mask)
	case len(rest) < hashChars+2 || rest[0] != ':' || rest[hashChars+1] != ']':
		return 0
	}
	for _, c := range []byte(rest[1 : hashChars+1]) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return 0
		}
	}
	return maxMarker
}

// isMarker reports whether s is a marker, or a value that its source has hashed
// with a key: there is nothing in it to redact.
func isMarker(s string) bool {
	if n := markerLen(s); n > 0 {
		return n == len(s)
	}
	digits, ok := strings.CutPrefix(s, "hmac-sha256:")
	if !ok || len(digits) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(digits) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// marker makes markers.
type marker struct {
	hashes *sync.Pool // of *keyedHash; nil: Mask
}

type keyedHash struct {
	hash.Hash
	sum [sha256.Size]byte
	buf []byte
}

func newMarker(secret []byte) marker {
	return marker{&sync.Pool{New: func() any { return &keyedHash{Hash: hmac.New(sha256.New, secret)} }}}
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// append appends the marker of a tenant's value.
func (m marker) append(dst []byte, tenant, value string) []byte {
	if m.hashes == nil {
		return append(dst, mask...)
	}
	h := m.hashes.Get().(*keyedHash)
	defer m.hashes.Put(h)
	h.Reset()
	h.buf = append(append(append(h.buf[:0], tenant...), 0), value...)
	h.Write(h.buf) // a hash never fails
	clear(h.buf)
	dst = append(append(dst, markerOpen...), ':')
	dst = lowerBase32.AppendEncode(dst, h.Sum(h.sum[:0])[:hashChars*5/8])
	return append(dst, ']')
}
