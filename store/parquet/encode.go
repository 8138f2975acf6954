package parquet

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// How much goes into a page. A reader that wants one row decompresses one page
// per column, so what is unique is cut small; a page costs about 100 bytes of
// header and index.
const (
	textPageBytes = 16 << 10 // of strings, about
	codePageBytes = 24 << 10 // of packed codes
	codePageRows  = 32 << 10 // rows, at most, of codes and of strings few rows have
	intPageRows   = 4 << 10  // differences are summed up from the page's beginning
	idPageRows    = 1 << 10
)

// pageEncoder encodes the pages of one column chunk, one after the other.
type pageEncoder interface {
	encoding() format.Encoding
	// next encodes the page that begins at row from into dst and returns it
	// with the row after its last and what is known of its values.
	next(dst []byte, from int) (page []byte, to int, s stats)
}

// intEncoder writes integers as DELTA_BINARY_PACKED.
type intEncoder struct {
	vs    []int64
	delta delta.BinaryPackedEncoding
	buf   []byte
}

func (e *intEncoder) encoding() format.Encoding { return format.DeltaBinaryPacked }

func (e *intEncoder) next(dst []byte, from int) ([]byte, int, stats) {
	to := min(from+intPageRows, len(e.vs))
	e.buf, _ = e.delta.EncodeInt64(e.buf, e.vs[from:to]) // never fails
	return append(dst, e.buf...), to, intStats(e.vs[from:to])
}

// int32Encoder does the same for the partition.
type int32Encoder struct {
	vs    []int32
	delta delta.BinaryPackedEncoding
	buf   []byte
}

func (e *int32Encoder) encoding() format.Encoding { return format.DeltaBinaryPacked }

func (e *int32Encoder) next(dst []byte, from int) ([]byte, int, stats) {
	to := min(from+intPageRows, len(e.vs))
	e.buf, _ = e.delta.EncodeInt32(e.buf, e.vs[from:to]) // never fails
	return append(dst, e.buf...), to, intStats(e.vs[from:to])
}

func intStats[T int32 | int64](vs []T) stats {
	lo, hi := vs[0], vs[0]
	for _, v := range vs {
		lo, hi = min(lo, v), max(hi, v)
	}
	return stats{has: true, lo: int64(lo), hi: int64(hi)}
}

// idEncoder writes identities as DELTA_BYTE_ARRAY: how many bytes each has in
// common with the one before, and the others. Of UUIDv7 identities in the order
// of time little more than the random half is left.
type idEncoder struct {
	ids   []event.ID
	delta delta.ByteArrayEncoding
	buf   []byte
}

func (e *idEncoder) encoding() format.Encoding { return format.DeltaByteArray }

func (e *idEncoder) next(dst []byte, from int) ([]byte, int, stats) {
	to := min(from+idPageRows, len(e.ids))
	ids := e.ids[from:to]
	lo, hi := &ids[0], &ids[0]
	for i := range ids {
		if compareIDs(&ids[i], lo) < 0 {
			lo = &ids[i]
		} else if compareIDs(&ids[i], hi) > 0 {
			hi = &ids[i]
		}
	}
	flat := unsafe.Slice(&ids[0][0], len(ids)*len(event.ID{}))
	e.buf, _ = e.delta.EncodeFixedLenByteArray(e.buf, flat, len(event.ID{})) // fails for another size only
	return append(dst, e.buf...), to, stats{has: true, min: stringOf(lo[:]), max: stringOf(hi[:])}
}

// levels encodes which rows have a value, the way a v1 data page begins.
type levels struct {
	rle rle.Encoding
	src []byte // a byte per row of a page: 1 present, 0 absent
	buf []byte
}

func (l *levels) append(dst []byte, rows, nulls int) []byte {
	if nulls == 0 || nulls == rows {
		l.buf = binary.AppendUvarint(l.buf[:0], uint64(rows)<<1)
		present := byte(1)
		if nulls > 0 {
			present = 0
		}
		l.buf = append(l.buf, present)
	} else {
		l.rle.BitWidth = 1
		l.buf, _ = l.rle.EncodeLevels(l.buf, l.src[:rows]) // fails for levels over 1 only
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(l.buf)))
	return append(dst, l.buf...)
}

// absentEncoder writes a column that no row has: one page of no values.
type absentEncoder struct {
	rows   int
	levels levels
}

func (e *absentEncoder) encoding() format.Encoding { return format.Plain }

func (e *absentEncoder) next(dst []byte, _ int) ([]byte, int, stats) {
	return e.levels.append(dst, e.rows, e.rows), e.rows, stats{nulls: e.rows}
}

// codeEncoder writes the codes of a column as RLE_DICTIONARY.
type codeEncoder struct {
	dict   *column.Strings // as it is written: each string is some row's value
	codes  []uint32        // nil: every row is dict's only string
	renum  []uint32        // code → code in dict, where dict is not the column's own; else nil
	rows   int
	levels levels
	rle    rle.Encoding
	src    []int32
	buf    []byte
	seen   []uint32 // by code: 1 + the number of the last page that has it
	page   uint32
}

func (e *codeEncoder) encoding() format.Encoding { return format.RLEDictionary }

// reset makes e ready for the rows of t, which is coded.
func (e *codeEncoder) reset(t *column.Text) {
	e.dict, e.codes, e.renum, e.rows, e.page = t.Dict, t.Codes, nil, t.Rows, 0
	e.seen = append(e.seen[:0], make([]uint32, t.Dict.Len()+1)...)
	if t.Codes == nil {
		e.setWidth()
		return
	}
	for _, c := range t.Codes {
		e.seen[c] = 1
	}
	used := 0
	for _, s := range e.seen[1:] {
		used += int(s)
	}
	if used < t.Dict.Len() { // of rows picked out of more: write what they use
		e.dict = &column.Strings{}
		e.renum = make([]uint32, len(e.seen))
		for c, s := range e.seen[1:] {
			if s != 0 {
				e.dict.Append(t.Dict.At(c))
				e.renum[c+1] = uint32(e.dict.Len())
			}
		}
	}
	clear(e.seen)
	e.setWidth()
}

// setWidth sets the bits of a code. One bit is the least: not every reader
// takes none.
func (e *codeEncoder) setWidth() {
	e.rle.BitWidth = max(1, bits.Len(uint(max(e.dict.Len(), 1)-1)))
}

func (e *codeEncoder) next(dst []byte, from int) ([]byte, int, stats) {
	if e.codes == nil {
		v := e.dict.At(0)
		dst = e.levels.append(dst, e.rows, 0)
		dst = append(dst, byte(e.rle.BitWidth))
		dst = binary.AppendUvarint(dst, uint64(e.rows)<<1)
		return append(dst, 0), e.rows, stats{has: true, min: v, max: v}
	}
	perPage := min(codePageRows, codePageBytes*8/e.rle.BitWidth&^7)
	to := min(from+perPage, e.rows)
	e.page++
	s := e.split(e.codes[from:to])
	dst = e.levels.append(dst, to-from, s.nulls)
	if s.has {
		e.buf, _ = e.rle.EncodeInt32(e.buf, e.src) // fails for a width over 32 only
		dst = append(append(dst, byte(e.rle.BitWidth)), e.buf...)
	}
	return dst, to, s
}

// split separates the codes of a page into levels and indexes into the
// dictionary, which count from 0.
func (e *codeEncoder) split(codes []uint32) (s stats) {
	if cap(e.src) < len(codes) {
		e.src = make([]int32, codePageRows)
		e.levels.src = make([]byte, codePageRows)
	}
	src, lv := e.src[:len(codes)], e.levels.src[:len(codes)]
	n := 0
	for i, c := range codes {
		if e.renum != nil {
			c = e.renum[c]
		}
		present := byte(1)
		if c == 0 {
			present = 0
		}
		lv[i] = present
		src[n] = int32(c - 1)
		n += int(present)
		if e.seen[c] != e.page {
			e.seen[c] = e.page
			if c != 0 {
				s.addText(e.dict.At(int(c - 1)))
			}
		}
	}
	e.src = src[:n]
	s.nulls = len(codes) - n
	return s
}

// appendDict appends the dictionary page, which is PLAIN.
func (e *codeEncoder) appendDict(dst []byte) []byte {
	for i := range e.dict.Len() {
		v := e.dict.At(i)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return dst
}

// textEncoder writes strings as DELTA_LENGTH_BYTE_ARRAY: the lengths of a page,
// then the strings without anything between them. Compressed, that takes 12 % less
// than PLAIN, which has a length before each string, where the strings are random
// (32 hex digits: 16.6 bytes and not 18.8) and 3 to 5 % more where they are JSON.
type textEncoder struct {
	t       *column.Text
	levels  levels
	delta   delta.BinaryPackedEncoding
	lengths []int32
	data    []byte
	buf     []byte
}

func (e *textEncoder) encoding() format.Encoding { return format.DeltaLengthByteArray }

func (e *textEncoder) next(dst []byte, from int) ([]byte, int, stats) {
	var s stats
	e.lengths, e.data, e.levels.src = e.lengths[:0], e.data[:0], e.levels.src[:0]
	to := from
	for ; to < e.t.Rows && to-from < codePageRows && len(e.data) < textPageBytes; to++ {
		v := e.t.At(to)
		if v == "" {
			e.levels.src = append(e.levels.src, 0)
			s.nulls++
			continue
		}
		e.levels.src = append(e.levels.src, 1)
		e.lengths = append(e.lengths, int32(len(v)))
		e.data = append(e.data, v...)
		s.addText(v)
	}
	dst = e.levels.append(dst, to-from, s.nulls)
	e.buf, _ = e.delta.EncodeInt32(e.buf, e.lengths) // never fails
	dst = append(dst, e.buf...)
	return append(dst, e.data...), to, s
}
