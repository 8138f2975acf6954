package event

import "slices"

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
