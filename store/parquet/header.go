package parquet

import (
	"encoding/binary"
	"errors"

	"github.com/parquet-go/parquet-go/format"
)

// header is a page header. It is written and read here and not through
// reflection: there are thousands of pages in a row group. Every page has its
// checksum; the header has none of its own, so the reader takes nothing but
// exactly what the writer writes.
type header struct {
	dict     bool
	raw      int // bytes of the page, decompressed
	size     int // bytes of the page as it is stored
	crc      uint32
	values   int // rows of a data page, absent ones included; strings of a dictionary
	encoding format.Encoding
}

// Thrift compact protocol: a field is a byte of (distance from the last field's
// number)<<4 | type, and an integer a zigzag varint.
const (
	tI32      = 1<<4 | 5  // the next field, an int32
	tDataPage = 1<<4 | 12 // the next field, a struct: field 5 after field 4
	tDictPage = 3<<4 | 12 // a struct two fields further: field 7
	tStop     = 0
)

// append appends the header to b.
func (h *header) append(b []byte) []byte {
	i32 := func(v int32) {
		b = binary.AppendVarint(append(b, tI32), int64(v))
	}
	kind := format.DataPage
	if h.dict {
		kind = format.DictionaryPage
	}
	i32(int32(kind))
	i32(int32(h.raw))
	i32(int32(h.size))
	i32(int32(h.crc))
	if h.dict {
		b = append(b, tDictPage)
	} else {
		b = append(b, tDataPage)
	}
	i32(int32(h.values))
	i32(int32(h.encoding))
	if !h.dict {
		i32(int32(format.RLE)) // definition levels
		i32(int32(format.RLE)) // repetition levels, of which there are none
	}
	return append(b, tStop, tStop)
}

var errHeader = errors.New("page header is not one that was written")

// parseHeader reads the header at the beginning of b and returns what follows.
func parseHeader(b []byte) (h header, rest []byte, err error) {
	ok := true
	expect := func(want byte) {
		if ok = ok && len(b) > 0 && b[0] == want; ok {
			b = b[1:]
		}
	}
	i32 := func() int {
		expect(tI32)
		if !ok {
			return 0
		}
		v, n := binary.Varint(b)
		if ok = n > 0 && v == int64(int32(v)); ok {
			b = b[n:]
		}
		return int(v)
	}
	kind := format.PageType(i32())
	h.dict = kind == format.DictionaryPage
	h.raw, h.size = i32(), i32()
	h.crc = uint32(i32())
	if h.dict {
		expect(tDictPage)
	} else {
		expect(tDataPage)
	}
	h.values = i32()
	h.encoding = format.Encoding(i32())
	if !h.dict {
		ok = i32() == int(format.RLE) && ok
		ok = i32() == int(format.RLE) && ok
	}
	expect(tStop)
	expect(tStop)
	if !ok || !h.dict && kind != format.DataPage || h.raw < 0 || h.size < 0 || h.values < 0 {
		return header{}, nil, errHeader
	}
	return h, b, nil
}
