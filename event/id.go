package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// ID is an event_id, a UUID of any version. It tells the events of one tenant
// apart; see [Identity].
type ID [16]byte

// Identity is what makes an event itself: two events are one when both are of
// the same tenant and have the same ID. Tenants choose IDs without knowing of
// one another's, and learn nothing of them.
type Identity struct {
	TenantID string
	ID       ID
}

// Identity returns e's identity, whose string is e's.
func (e *Event) Identity() Identity { return Identity{e.TenantID, e.ID} }

// IsZero reports whether id is the nil UUID, which stands for "not assigned"
// and identifies nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Version returns the UUID version that id claims.
func (id ID) Version() int { return int(id[6] >> 4) }

// AppendText appends the 36-character form of id.
func (id ID) AppendText(dst []byte) ([]byte, error) { return id.Append(dst), nil }

// Append appends the 36-character form of id.
func (id ID) Append(dst []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return append(dst, b[:]...)
}

// String returns the 36-character form of id.
func (id ID) String() string { return string(id.Append(make([]byte, 0, 36))) }

// ParseID parses the 36-character form of a UUID, in either case. It refuses
// the nil UUID.
func ParseID[T string | []byte](s T) (id ID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, false
	}
	i := 0
	for n := range id {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			i++
		}
		hi, lo := unhex[s[i]], unhex[s[i+1]]
		if hi|lo > 15 {
			return ID{}, false
		}
		id[n] = hi<<4 | lo
		i += 2
	}
	return id, !id.IsZero()
}

// unhex maps a hexadecimal digit to its value and everything else to 255.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = byte(10 + i)
	}
	return t
}()

// IDSource makes UUIDv7 identities (RFC 9562) that rise strictly, so that
// events sorted by identity are sorted by when they were taken. The 12 bits
// after the millisecond count within it; the rest is random. It is safe for
// concurrent use.
type IDSource struct {
	mu   sync.Mutex
	last uint64 // guarded by mu: ms<<12 | count of the last identity made
	rnd  [512]byte
	left int // guarded by mu: unused bytes at the end of rnd
}

// New returns an identity for an event taken at now.
func (s *IDSource) New(now time.Time) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := uint64(now.UnixMilli()) << 12
	if next <= s.last {
		next = s.last + 1
	}
	s.last = next
	if s.left < 8 {
		rand.Read(s.rnd[:]) // never fails: crypto/rand ends the program instead
		s.left = len(s.rnd)
	}
	var id ID
	binary.BigEndian.PutUint64(id[:], next>>12<<16|0x7000|next&0xfff)
	copy(id[8:], s.rnd[len(s.rnd)-s.left:][:8])
	s.left -= 8
	id[8] = id[8]&0x3f | 0x80
	return id
}
