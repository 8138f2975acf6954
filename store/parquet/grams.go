package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// A gram filter tells in which parts of a text column a piece of text may stand,
// so that a search for text reads those and no others. A gram is five characters
// of ASCII, in lower case, that follow one another in a value. The filter is a
// number of slots, a power of two, of eight bytes each, little-endian: bit i of a
// gram's slot says that part i may have the gram. Of n values, value i is in part
// i/partSize(n); the values of a coded column are those of its dictionary.
const (
	gramSize  = 5
	gramMask  = 1<<(8*gramSize) - 1
	gramParts = 64
	gramMul   = 0x9e3779b97f4a7c15 // spreads grams over slots

	// Of as many slots, sixteen hexadecimal digits that differ in every row set
	// three quarters of the bits: of the parts that do not have the sixteen of a
	// search, one in twenty has all of their grams. That takes a byte a row. With
	// four characters it would be one in eight, since there are few different ones.
	maxGramSlots = 1 << gramSlotBits
	gramSlotBits = 15
	minGramSlots = 64

	// minGramText is how many bytes of text make a filter worth having: fewer are
	// read sooner than asked about.
	minGramText = 32 << 10

	// maxGrams is how many grams of a piece are looked up.
	maxGrams = 32

	// gramsKey is the key, in the metadata of a column chunk, of where its gram
	// filter begins, its size and its CRC32C, in decimal.
	gramsKey   = "daybook.grams"
	gramsPlace = "%d %d %d"
)

// partSize returns how many of n values are in a part: a multiple of 64, so that
// parts are whole words of a bitmap of rows.
func partSize(n int) int {
	return 64 * max(1, (n+64*gramParts-1)/(64*gramParts))
}

// eachGram calls fn for every gram of v, until it returns false.
func eachGram[T string | []byte](v T, fn func(gram uint64) bool) {
	gram, n := uint64(0), 0
	for i := range len(v) {
		c := v[i]
		if c >= utf8.RuneSelf {
			n = 0
			continue
		}
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		gram = gram>>8 | uint64(c)<<(8*(gramSize-1))
		if n++; n >= gramSize && !fn(gram) {
			return
		}
	}
}

// lowerASCII returns eight characters of ASCII in lower case; false for others.
func lowerASCII(w uint64) (uint64, bool) {
	const each = 0x0101010101010101
	// The high bit of a byte is set from 'A' on in one sum, after 'Z' in the other.
	upper := (w + (0x80-'A')*each) ^ (w + (0x7f-'Z')*each)
	return w | (upper&(0x80*each))>>2, w&(0x80*each) == 0
}

// slotOf returns the slot of a gram among maxGramSlots; with fewer slots it is
// the remainder.
func slotOf(gram uint64) uint64 {
	return gram * gramMul >> (64 - gramSlotBits)
}

// gramBuilder makes gram filters, reusing its memory.
type gramBuilder struct{ slots []uint64 }

// of returns the filter of the values, in filter's memory if that suffices; an
// empty one where none is of use.
func (b *gramBuilder) of(filter []byte, values *column.Strings) []byte {
	filter = filter[:0]
	// These two are the only characters beyond ASCII that a search without regard
	// to case takes for one of ASCII, k and s.
	if len(values.Data) < minGramText || bytes.Contains(values.Data, []byte("\u212a")) || bytes.Contains(values.Data, []byte("\u017f")) {
		return filter
	}
	b.fill(values)
	slots := b.slots
	size := partSize(values.Len())
	parts := (values.Len() + size - 1) / size
	if setBits(slots) > len(slots)*parts*15/16 {
		return filter
	}
	for len(slots) > minGramSlots && halvable(slots, parts) {
		slots = halve(slots)
	}
	for _, s := range slots {
		filter = binary.LittleEndian.AppendUint64(filter, s)
	}
	return filter
}

// fill sets the bits of all grams of the values.
func (b *gramBuilder) fill(values *column.Strings) {
	b.slots = resize(b.slots, maxGramSlots)
	clear(b.slots)
	slots := (*[maxGramSlots]uint64)(b.slots)
	size := partSize(values.Len())
	start := uint32(0)
	for i, end := range values.Ends {
		bit := uint64(1) << (i / size)
		v := values.Data[start:end]
		for ; len(v) >= 8; v = v[8-gramSize+1:] { // as eachGram, four grams at a time
			w, ok := lowerASCII(binary.LittleEndian.Uint64(v))
			if !ok {
				break
			}
			slots[slotOf(w&gramMask)] |= bit
			slots[slotOf(w>>8&gramMask)] |= bit
			slots[slotOf(w>>16&gramMask)] |= bit
			slots[slotOf(w>>24)] |= bit
		}
		eachGram(v, func(gram uint64) bool {
			slots[slotOf(gram)] |= bit
			return true
		})
		start = end
	}
}

// halvable reports whether half as many slots would have no more than a third of
// their bits set, one for each part.
func halvable(slots []uint64, parts int) bool {
	n, half := 0, len(slots)/2
	for i := range half {
		n += bits.OnesCount64(slots[i] | slots[half+i])
	}
	return n <= half*parts/3
}

// halve makes half as many slots of them.
func halve(slots []uint64) []uint64 {
	half := len(slots) / 2
	for i := range half {
		slots[i] |= slots[half+i]
	}
	return slots[:half]
}

func setBits(slots []uint64) (n int) {
	for _, s := range slots {
		n += bits.OnesCount64(s)
	}
	return n
}

// writeGrams writes the gram filters of the columns of a row group, after its
// bloom filters.
func (w *Writer) writeGrams(columns []format.ColumnChunk) {
	for f := range w.grams {
		filter := w.grams[f]
		if len(filter) == 0 {
			continue
		}
		md := &columns[f].MetaData
		md.KeyValueMetadata = append(md.KeyValueMetadata, format.KeyValue{
			Key: gramsKey, Value: fmt.Sprintf(gramsPlace, w.off, len(filter), crc32.Checksum(filter, castagnoli)),
		})
		w.write(filter)
		w.grams[f] = filter[:0]
	}
}

// parseGrams reads what writeGrams wrote about a filter.
func parseGrams(value string) (s section, err error) {
	_, err = fmt.Sscanf(value, gramsPlace, &s.off, &s.size, &s.crc)
	slots := s.size / 8
	if err != nil || fmt.Sprintf(gramsPlace, s.off, s.size, s.crc) != value ||
		s.size%8 != 0 || slots < minGramSlots || slots > maxGramSlots || slots&(slots-1) != 0 {
		return section{}, fmt.Errorf("a gram filter at %q", value)
	}
	return s, nil
}

// PartRows returns how many rows of a column are one part, the last one aside.
func (g *RowGroup) PartRows() int { return partSize(g.rows) }

// Parts returns in which parts of the text field f some value may contain the
// piece, in any case: bit i stands for the rows from i*PartRows on. A column of
// which this cannot be told may have it everywhere; so may one with a dictionary
// in which it can be anywhere.
func (g *RowGroup) Parts(f event.Field, piece string) (uint64, error) {
	c := g.chunks[f]
	if c == nil || c.grams.size == 0 || len(piece) < gramSize {
		return ^uint64(0), nil
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	checked := c.gramsChecked.Load()
	if !checked {
		b, err := g.file.readSection(c.grams, s.in)
		if err != nil {
			return 0, err
		}
		s.in = b
	}
	parts, n := ^uint64(0), 0
	var slot [8]byte
	var err error
	eachGram(piece, func(gram uint64) bool {
		at := int64(slotOf(gram)) * 8 & (c.grams.size - 1)
		if !checked {
			copy(slot[:], s.in[at:])
		} else if err = g.file.readAt(slot[:], c.grams.off+at); err != nil {
			return false
		}
		parts &= binary.LittleEndian.Uint64(slot[:])
		n++
		return parts != 0 && n < maxGrams
	})
	if err != nil {
		return 0, err
	}
	c.gramsChecked.Store(true)
	if c.enc == format.RLEDictionary && parts != 0 {
		return ^uint64(0), nil
	}
	return parts, nil
}

// grams verifies that the gram filter of c has every gram of the values, if there
// is a filter.
func (v *verifier) grams(c *chunk, values *column.Strings) error {
	if c.grams.size == 0 {
		return nil
	}
	filter, err := v.file.readSection(c.grams, nil)
	if err != nil {
		return err
	}
	var b gramBuilder
	b.fill(values)
	slots := b.slots
	for len(slots)*8 > len(filter) {
		slots = halve(slots)
	}
	for i, want := range slots {
		if want&^binary.LittleEndian.Uint64(filter[8*i:]) != 0 {
			return v.file.damaged(c.grams.off, fmt.Sprintf("gram filter of column %s lacks a gram", c.field))
		}
	}
	return nil
}
