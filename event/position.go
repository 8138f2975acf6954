package event

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
)

// LogID is the identity of a log, the stream in which positions count: a log that
// is made anew has another one, be it in the same place. So a position of another
// log can be told from one of this. The zero LogID stands for no log.
type LogID [8]byte

// NewLogID returns a random identity.
func NewLogID() (id LogID) {
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return id
}

// IsZero reports whether id stands for no log.
func (id LogID) IsZero() bool { return id == LogID{} }

// String returns the 16 hexadecimal digits of id.
func (id LogID) String() string { return hex.EncodeToString(id[:]) }

// AppendText appends the 16 hexadecimal digits of id.
func (id LogID) AppendText(dst []byte) ([]byte, error) { return hex.AppendEncode(dst, id[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (id LogID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads what String returns, and nothing else.
func (id *LogID) UnmarshalText(text []byte) error {
	var read LogID
	if n, err := hex.Decode(read[:], text[:min(len(text), 2*len(read))]); err != nil || n != len(read) || read.String() != string(text) {
		return fmt.Errorf("%.40q is not the identity of a log: it has 16 hexadecimal digits, such as 6c1f0e5b2d9a4873", text)
	}
	*id = read
	return nil
}

// Position is where one event lies in the stream.
type Position struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Positions says how far something has come in every partition of the stream:
// Positions[p] is the offset of the first record of partition p that it does
// not include. Partitions past its end stand at 0, so the nil Positions is the
// beginning of the stream.
type Positions []int64

// At returns the offset at which partition p stands.
func (ps Positions) At(p int32) int64 {
	if int(p) < len(ps) {
		return ps[p]
	}
	return 0
}

// Includes reports whether the record at pos lies before ps.
func (ps Positions) Includes(pos Position) bool { return pos.Offset < ps.At(pos.Partition) }

// Covers reports whether ps has come as far as other in every partition.
func (ps Positions) Covers(other Positions) bool {
	for p, off := range other {
		if ps.At(int32(p)) < off {
			return false
		}
	}
	return true
}

// Advance returns ps moved to offset in partition p, if that is further than it
// stood. It may change ps in place.
func (ps Positions) Advance(p int32, offset int64) Positions {
	for int(p) >= len(ps) {
		ps = append(ps, 0)
	}
	ps[p] = max(ps[p], offset)
	return ps
}

// Clone returns a copy of ps.
func (ps Positions) Clone() Positions { return slices.Clone(ps) }
