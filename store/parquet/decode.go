package parquet

import (
	"encoding/binary"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"math/bits"
)

// The decoders take exactly what the writer writes: the number of values is
// known before, and anything left over or missing is damage. They are written
// here and not taken from parquet-go because they make no memory and believe
// nothing that the bytes say about their size.

// hybrid reads the RLE/bit-packed hybrid encoding run by run.
type hybrid struct {
	src   []byte
	width int // bits of a value, at most 32

	start  int    // index of the first value of the run
	n      int    // values in the run; the last packed run may be padded
	packed []byte // from the run's first byte to the end of src; nil in a run of one value
	value  uint32 // of a run of one value
}

// next goes to the next run. It returns false at the end and for what is no run.
func (h *hybrid) next() bool {
	u, k := binary.Uvarint(h.src)
	if k <= 0 || u < 2 || u>>1 > MaxRows {
		return false
	}
	h.src = h.src[k:]
	h.start += h.n
	if u&1 == 1 {
		size := int(u>>1) * h.width
		if size > len(h.src) {
			return false
		}
		h.n = 8 * int(u>>1)
		h.packed, h.src = h.src, h.src[size:]
		return true
	}
	h.n, h.packed, h.value = int(u>>1), nil, 0
	size := (h.width + 7) / 8
	if size > len(h.src) {
		return false
	}
	for i := range size {
		h.value |= uint32(h.src[i]) << (8 * i)
	}
	h.src = h.src[size:]
	return true
}

// at returns value i, which must be in the run.
func (h *hybrid) at(i int) uint32 {
	if h.packed == nil {
		return h.value
	}
	return unpackOne(h.packed, (i-h.start)*h.width, h.width)
}

// unpackOne returns the width bits of src at position bit.
func unpackOne(src []byte, bit, width int) uint32 {
	return uint32(load64(src, bit>>3)>>(bit&7)) & uint32(1<<width-1)
}

// load64 returns the eight bytes at off, as far as there are any.
func load64(b []byte, off int) uint64 {
	if off+8 <= len(b) {
		return binary.LittleEndian.Uint64(b[off:])
	}
	v := uint64(0)
	for i := off; i < len(b); i++ {
		v |= uint64(b[i]) << (8 * (i - off))
	}
	return v
}

// decodeCodes reads len(dst) indexes into a dictionary of n strings, as codes,
// which are one more. It returns false for an index that is not in it.
func decodeCodes(dst []uint32, src []byte, n int) bool {
	if len(dst) == 0 {
		return len(src) == 0
	}
	if len(src) == 0 || src[0] > 32 {
		return false
	}
	h := hybrid{src: src[1:], width: int(src[0])}
	most := uint32(0)
	for len(dst) > 0 {
		if !h.next() {
			return false
		}
		run := dst[:min(h.n, len(dst))]
		dst = dst[len(run):]
		if h.packed == nil {
			most = max(most, h.value)
			for i := range run {
				run[i] = h.value + 1
			}
			continue
		}
		most = max(most, unpackCodes(run, h.packed, h.width))
	}
	return int(most) < n && len(h.src) == 0
}

// unpackCodes reads len(dst) values of width bits as codes and returns the
// greatest value. Dictionaries of this package have at most 64Ki strings, so 16
// bits are the common case: eight values then lie in one or two words.
func unpackCodes(dst []uint32, src []byte, width int) (most uint32) {
	mask := uint64(1)<<width - 1
	i := 0
	if width <= 16 {
		half, shift := width/2, width&1*4 // byte and bit at which the fifth value begins
		for ; i+8 <= len(dst) && i/8*width+half+8 <= len(src); i += 8 {
			at := i / 8 * width
			lo := binary.LittleEndian.Uint64(src[at:])
			hi := binary.LittleEndian.Uint64(src[at+half:]) >> shift
			out := (*[8]uint32)(dst[i:])
			a, b, c, d := uint32(lo&mask), uint32(lo>>width&mask), uint32(lo>>(2*width)&mask), uint32(lo>>(3*width)&mask)
			out[0], out[1], out[2], out[3] = a+1, b+1, c+1, d+1
			most = max(most, a, b, c, d)
			a, b, c, d = uint32(hi&mask), uint32(hi>>width&mask), uint32(hi>>(2*width)&mask), uint32(hi>>(3*width)&mask)
			out[4], out[5], out[6], out[7] = a+1, b+1, c+1, d+1
			most = max(most, a, b, c, d)
		}
	}
	for bit := i * width; i < len(dst); i++ {
		v := unpackOne(src, bit, width)
		most = max(most, v)
		dst[i] = v + 1
		bit += width
	}
	return most
}

// splitLevels separates the levels of a page of an optional column from its
// values.
func splitLevels(raw []byte) (levels, values []byte, ok bool) {
	if len(raw) < 4 {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(raw)
	if uint64(n) > uint64(len(raw)-4) {
		return nil, nil, false
	}
	return raw[4 : 4+n], raw[4+n:], true
}

// allPresent reports whether levels says that all of n rows have a value, in the
// one way in which the writer says it.
func allPresent(levels []byte, n int) bool {
	h := hybrid{src: levels, width: 1}
	return h.next() && h.packed == nil && h.value == 1 && h.n == n && len(h.src) == 0
}

// countLevels returns how many of n rows have a value.
func countLevels(src []byte, n int) (present int, ok bool) {
	h := hybrid{src: src, width: 1}
	for n > 0 {
		if !h.next() || h.value > 1 {
			return 0, false
		}
		rows := min(h.n, n)
		n -= rows
		present += h.ones(rows)
	}
	return present, len(h.src) == 0
}

// ones returns how many of the first n values of a run of levels are 1.
func (h *hybrid) ones(n int) int {
	if h.packed == nil {
		return int(h.value) * n
	}
	ones, i := 0, 0
	for ; i+64 <= n; i += 64 {
		ones += bits.OnesCount64(load64(h.packed, i>>3))
	}
	return ones + bits.OnesCount64(load64(h.packed, i>>3)&(1<<(n-i)-1))
}

// spread gives the rows of dst that have a value, by levels that countLevels has
// read, the next of codes, and the others 0.
func spread(dst, codes []uint32, levels []byte) {
	h := hybrid{src: levels, width: 1}
	clear(dst)
	for len(dst) > 0 && h.next() {
		run := dst[:min(h.n, len(dst))]
		dst = dst[len(run):]
		if h.packed == nil {
			if h.value == 1 {
				codes = codes[copy(run, codes):]
			}
			continue
		}
		for i := 0; i < len(run); i += 64 {
			word := load64(h.packed, i>>3)
			if rest := len(run) - i; rest < 64 {
				word &= 1<<rest - 1
			}
			for ; word != 0; word &= word - 1 {
				run[i+bits.TrailingZeros64(word)] = codes[0]
				codes = codes[1:]
			}
		}
	}
}

// decodeLevels sets dst[i] to 1 where row i has a value and to 0 elsewhere, and
// returns how many have one.
func decodeLevels(dst, src []byte) (present int, ok bool) {
	h := hybrid{src: src, width: 1}
	for len(dst) > 0 {
		if !h.next() || h.value > 1 {
			return 0, false
		}
		run := dst[:min(h.n, len(dst))]
		dst = dst[len(run):]
		present += h.ones(len(run))
		for i := range run {
			run[i] = byte(h.value)
			if h.packed != nil {
				run[i] = h.packed[i>>3] >> (i & 7) & 1
			}
		}
	}
	return present, len(h.src) == 0
}

// A block of DELTA_BINARY_PACKED, as the writer makes them.
const (
	deltaBlock = 128
	miniBlocks = 4
	miniBlock  = deltaBlock / miniBlocks
)

// decodeDelta reads the first len(dst) of n integers and returns what follows
// them.
func decodeDelta(dst []int64, n int, src []byte) (rest []byte, ok bool) {
	var head [3]uint64
	for i := range head {
		v, k := binary.Uvarint(src)
		if k <= 0 {
			return nil, false
		}
		head[i], src = v, src[k:]
	}
	v, k := binary.Varint(src)
	if k <= 0 || head != [3]uint64{deltaBlock, miniBlocks, uint64(n)} {
		return nil, false
	}
	src = src[k:]
	if len(dst) == 0 {
		return src, true
	}
	dst[0] = v
	dst = dst[1:]
	for len(dst) > 0 {
		least, k := binary.Varint(src)
		if k <= 0 || len(src) < k+miniBlocks {
			return nil, false
		}
		widths := src[k : k+miniBlocks]
		src = src[k+miniBlocks:]
		for _, w := range widths {
			if len(dst) == 0 {
				break
			}
			size := miniBlock / 8 * int(w)
			if w > 64 || size > len(src) {
				return nil, false
			}
			part := dst[:min(miniBlock, len(dst))]
			v = sumDeltas(part, src, int(w), v, least)
			src, dst = src[size:], dst[len(part):]
		}
	}
	return src, true
}

// sumDeltas reads a mini-block of differences of width bits each, to which least
// is added, and sums them up from v. It returns the last sum.
func sumDeltas(dst []int64, src []byte, width int, v, least int64) int64 {
	if width == 0 {
		for i := range dst {
			v += least
			dst[i] = v
		}
		return v
	}
	if width > 56 || len(src) < miniBlock/8*width+8 {
		return sumDeltasSlowly(dst, src, width, v, least)
	}
	mask := uint64(1)<<width - 1
	bit := 0
	for i := range dst {
		v += int64(binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask) + least
		dst[i] = v
		bit += width
	}
	return v
}

func sumDeltasSlowly(dst []int64, src []byte, width int, v, least int64) int64 {
	mask := ^uint64(0) >> (64 - width)
	for i := range dst {
		bit := i * width
		d := load64(src, bit>>3) >> (bit & 7)
		if bit&7+width > 64 {
			d |= uint64(src[bit>>3+8]) << (64 - bit&7)
		}
		v += int64(d&mask) + least
		dst[i] = v
	}
	return v
}

// ranker counts the rows that have a value before a row, for rows that rise.
type ranker struct {
	h      hybrid
	before int // present in the runs before the current one
}

// rank returns how many rows before row i have a value, and whether i has one.
func (r *ranker) rank(i int) (rank int, present, ok bool) {
	for i >= r.h.start+r.h.n {
		r.before += r.h.ones(r.h.n)
		if !r.h.next() {
			return 0, false, false
		}
	}
	return r.before + r.h.ones(i-r.h.start), r.h.at(i) == 1, true
}

// decodeDict reads a dictionary page of n strings.
func decodeDict(raw []byte, n int) (*column.Strings, bool) {
	if n < 1 || n > len(raw)/4 {
		return nil, false
	}
	d := &column.Strings{Data: make([]byte, 0, len(raw)-4*n), Ends: make([]uint32, 0, n)}
	for range n {
		if len(raw) < 4 {
			return nil, false
		}
		size := uint64(binary.LittleEndian.Uint32(raw))
		raw = raw[4:]
		if size == 0 || size > uint64(len(raw)) { // "" is absent and has no code
			return nil, false
		}
		d.Data = append(d.Data, raw[:size]...)
		d.Ends = append(d.Ends, uint32(len(d.Data)))
		raw = raw[size:]
	}
	return d, len(raw) == 0
}

// decodeStrings appends the rows of a page of strings to dst: n of them, of
// which present have a value, those with a 1 in levels; no levels stand for all.
func decodeStrings(dst *column.Strings, src []byte, n, present int, levels []byte, lengths []int64) bool {
	lengths = lengths[:present]
	data, ok := decodeDelta(lengths, present, src)
	if !ok {
		return false
	}
	end := uint64(len(dst.Data))
	if end+uint64(len(data)) > column.MaxData {
		return false
	}
	left := uint64(len(data))
	next := 0
	for i := range n {
		if levels == nil || levels[i] == 1 {
			size := uint64(lengths[next])
			if size == 0 || size > left {
				return false
			}
			left -= size
			end += size
			next++
		}
		dst.Ends = append(dst.Ends, uint32(end))
	}
	dst.Data = append(dst.Data, data...)
	return left == 0
}

// decodeIDs reads a page of identities.
func decodeIDs(dst []event.ID, raw []byte, s *scratch) bool {
	const size = len(event.ID{})
	n := len(dst)
	s.ints = resize(s.ints, 2*n)
	prefixes, suffixes := s.ints[:n], s.ints[n:]
	raw, ok := decodeDelta(prefixes, n, raw)
	if !ok {
		return false
	}
	if raw, ok = decodeDelta(suffixes, n, raw); !ok {
		return false
	}
	var last event.ID
	most := int64(0) // the first has nothing before it
	for i := range dst {
		p := prefixes[i]
		if p < 0 || p > most || suffixes[i] != int64(size)-p || suffixes[i] > int64(len(raw)) {
			return false
		}
		most = int64(size)
		copy(last[p:], raw)
		raw = raw[suffixes[i]:]
		dst[i] = last
	}
	return len(raw) == 0
}
