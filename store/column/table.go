package column

import "hash/maphash"

// maxDict is the most strings that a dictionary may hold. It keeps a code in 16
// bits on disk, and in memory leaves tagBits of a slot for a piece of the hash.
const maxDict = 1 << 16

const (
	tagBits  = 15
	codeBits = 32 - tagBits
	codeMask = 1<<codeBits - 1
)

// table finds the code of a string in a dictionary: open addressing with linear
// probing, at most half full. A slot is tag<<codeBits | code, 0 when empty; the
// tag spares nearly every comparison with a string that is not the one looked
// for, and the strings themselves lie in the dictionary only.
type table struct {
	seed  maphash.Seed
	slots []uint32
}

// code returns the code of v, and adds v to dict when it is not there.
func (t *table) code(dict *Strings, v string) uint32 {
	if 2*len(dict.Ends) >= len(t.slots) {
		t.grow(dict)
	}
	h := maphash.String(t.seed, v)
	tag := uint32(h>>(64-tagBits)) << codeBits
	mask := uint32(len(t.slots) - 1)
	for i := uint32(h) & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			dict.Append(v)
			c := uint32(len(dict.Ends))
			t.slots[i] = tag | c
			return c
		}
		if s&^codeMask == tag && dict.At(int(s&codeMask)-1) == v {
			return s & codeMask
		}
	}
}

// grow makes room for more strings and puts those of dict in it.
func (t *table) grow(dict *Strings) {
	if t.slots == nil {
		t.seed = maphash.MakeSeed()
	}
	t.slots = make([]uint32, max(32, 4*len(t.slots)))
	mask := uint32(len(t.slots) - 1)
	for c := range dict.Ends {
		h := maphash.String(t.seed, dict.At(c))
		i := uint32(h) & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(h>>(64-tagBits))<<codeBits | uint32(c+1)
	}
}
