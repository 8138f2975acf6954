package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"sync/atomic"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
)

// File is an open file. It is safe for concurrent use. It keeps about 7 KB per
// row group in memory; pages, dictionaries and page indexes are in the cache.
type File struct {
	name   string
	r      io.ReaderAt
	info   Info
	cache  *Cache
	id     uint64 // in the cache
	groups []*RowGroup
}

// RowGroup is a run of rows of a file. A row is named by its number within the
// row group. Methods that read return a [*DamageError] for bytes that are not
// what was written. What they return may be shared with other readers through the
// cache, dictionaries above all, and must not be changed.
type RowGroup struct {
	file   *File
	rows   int
	chunks [event.NumFields]*chunk // nil: a field that the file does not have
}

// chunk is one column of a row group.
type chunk struct {
	field event.Field
	enc   format.Encoding // of the data pages
	rows  int
	nulls int
	raw   int64 // bytes, decompressed

	dictOff int64 // 0: no dictionary
	dataOff int64
	end     int64

	lo, hi   int64  // integers
	min, max string // texts, if bounded; identities
	bounded  bool

	bloom        section // of size 0 where there is none
	bloomChecked atomic.Bool
	grams        section // of size 0 where there is none
	gramsChecked atomic.Bool
	columnIndex  section
	offsetIndex  section
}

// section is a piece of the file with a checksum that does not stand in it.
type section struct {
	off  int64
	size int64
	crc  uint32 // CRC32C
}

func (s section) end() int64 { return s.off + s.size }

// Open reads the footer of a file of which info was kept. A file that differs
// from it gives a [*DamageError]. cache may be nil. name is for errors.
func Open(name string, r io.ReaderAt, info Info, cache *Cache) (*File, error) {
	if cache == nil {
		cache = NewCache(0)
	}
	f := &File{name: name, r: r, info: info, cache: cache, id: cache.files.Add(1)}
	if info.TailOff < 4 || info.Size-8 < info.TailOff || info.Rows < 0 {
		return nil, f.damaged(-1, fmt.Sprintf("its record says %d bytes with a tail at %d and %d rows", info.Size, info.TailOff, info.Rows))
	}
	tail, err := f.readTail()
	if err != nil {
		return nil, err
	}
	footerEnd := int64(len(tail)) - 8
	size := int64(binary.LittleEndian.Uint32(tail[footerEnd:]))
	if size > footerEnd {
		return nil, f.damaged(info.Size-8, fmt.Sprintf("footer of %d bytes", size))
	}
	footer := info.TailOff + footerEnd - size
	var md format.FileMetaData
	if err := unmarshal(tail[footerEnd-size:footerEnd], &md); err != nil {
		return nil, f.damaged(footer, err.Error())
	}
	if err := f.setGroups(&md, tail, footer); err != nil {
		return nil, f.damaged(footer, err.Error())
	}
	return f, nil
}

// readTail reads and checks the first bytes, the last bytes and the tail.
func (f *File) readTail() ([]byte, error) {
	var first, last [4]byte
	if err := f.readAt(first[:], 0); err != nil {
		return nil, err
	}
	if err := f.readAt(last[:], f.info.Size-4); err != nil { // before memory is made for the tail
		return nil, err
	}
	if string(first[:]) != magic || string(last[:]) != magic {
		return nil, f.damaged(-1, "it does not begin and end as a Parquet file")
	}
	tail := make([]byte, f.info.Size-f.info.TailOff)
	if err := f.readAt(tail, f.info.TailOff); err != nil {
		return nil, err
	}
	if crc := crc32.Checksum(tail, castagnoli); crc != f.info.TailCRC {
		return nil, f.damaged(f.info.TailOff, fmt.Sprintf("tail has checksum %08x, not %08x", crc, f.info.TailCRC))
	}
	return tail, nil
}

// readAt fills b. That the file ends is damage; other errors are a [*ReadError].
func (f *File) readAt(b []byte, off int64) error {
	n, err := f.r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return f.damaged(off+int64(n), "it ends here")
	}
	return &ReadError{f.name, off, len(b), err}
}

func (f *File) damaged(off int64, reason string) error {
	return &DamageError{File: f.name, Offset: off, Reason: reason}
}

// setGroups takes over what the footer says, and checks that the pieces it names
// lie one after the other from the beginning of the file to its tail.
func (f *File) setGroups(md *format.FileMetaData, tail []byte, footer int64) error {
	fields, err := columnsOf(md.Schema)
	if err != nil {
		return err
	}
	l := layout{data: int64(len(magic)), columnIndex: f.info.TailOff, footer: footer, tail: tail, tailOff: f.info.TailOff}
	if l.offsetIndex = footer; len(md.RowGroups) > 0 && len(md.RowGroups[0].Columns) > 0 {
		l.offsetIndex = md.RowGroups[0].Columns[0].OffsetIndexOffset
	}
	firstOffsetIndex := l.offsetIndex
	rows := int64(0)
	for i := range md.RowGroups {
		g, err := l.group(&md.RowGroups[i], fields)
		if err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
		g.file = f
		f.groups = append(f.groups, g)
		rows += int64(g.rows)
	}
	if rows != f.info.Rows || rows != md.NumRows {
		return fmt.Errorf("%d rows in row groups, %d in the footer, %d on record", rows, md.NumRows, f.info.Rows)
	}
	if l.data != f.info.TailOff || l.columnIndex != firstOffsetIndex || l.offsetIndex != footer {
		return errors.New("there are bytes that belong to nothing")
	}
	return nil
}

// layout walks through the pieces of a file in the order in which they lie.
type layout struct {
	data        int64 // where the next column chunk or bloom filter must begin
	columnIndex int64 // where the next ColumnIndex must begin
	offsetIndex int64 // where the next OffsetIndex must begin
	footer      int64
	tail        []byte
	tailOff     int64
}

var errLayout = errors.New("pieces do not lie one after the other")

func (l *layout) group(rg *format.RowGroup, fields []event.Field) (*RowGroup, error) {
	if rg.NumRows < 1 || rg.NumRows > MaxRows || len(rg.Columns) != len(fields) {
		return nil, fmt.Errorf("%d rows of %d columns", rg.NumRows, len(rg.Columns))
	}
	g := &RowGroup{rows: int(rg.NumRows)}
	chunks := make([]*chunk, len(rg.Columns))
	for i := range rg.Columns {
		c, err := l.chunk(&rg.Columns[i], fields[i], g.rows)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", i, err)
		}
		chunks[i] = c
		if fields[i] < event.NumFields {
			g.chunks[fields[i]] = c
		}
	}
	for i := range rg.Columns {
		if c := &rg.Columns[i].MetaData; c.BloomFilterLength != 0 {
			if c.BloomFilterOffset != l.data || c.BloomFilterLength < 0 {
				return nil, fmt.Errorf("column %d: bloom filter: %w", i, errLayout)
			}
			l.data += int64(c.BloomFilterLength)
		}
	}
	for i, c := range chunks {
		if c.grams.size == 0 {
			continue
		}
		if c.grams.off != l.data {
			return nil, fmt.Errorf("column %d: gram filter: %w", i, errLayout)
		}
		l.data = c.grams.end()
	}
	if l.data > l.tailOff {
		return nil, errLayout
	}
	return g, nil
}

func (l *layout) chunk(cc *format.ColumnChunk, f event.Field, rows int) (*chunk, error) {
	md := &cc.MetaData
	c := &chunk{
		field: f, rows: rows, nulls: int(md.Statistics.NullCount), raw: md.TotalUncompressedSize,
		dictOff: md.DictionaryPageOffset, dataOff: md.DataPageOffset, end: l.data + md.TotalCompressedSize,
	}
	start := c.dataOff
	if c.dictOff != 0 {
		start = c.dictOff
	}
	if start != l.data || c.dataOff < start || c.end < c.dataOff || c.end > l.tailOff {
		return nil, errLayout
	}
	l.data = c.end
	var err error
	if c.columnIndex, err = l.section(&l.columnIndex, cc.ColumnIndexOffset, cc.ColumnIndexLength); err != nil {
		return nil, err
	}
	if c.offsetIndex, err = l.section(&l.offsetIndex, cc.OffsetIndexOffset, cc.OffsetIndexLength); err != nil {
		return nil, err
	}
	if md.NumValues != int64(rows) || c.nulls < 0 || c.nulls > rows || len(md.Encoding) == 0 || c.raw < 0 {
		return nil, fmt.Errorf("%d values of %d rows, %d absent", md.NumValues, rows, c.nulls)
	}
	if md.Codec != format.Zstd {
		return nil, fmt.Errorf("codec %s", md.Codec)
	}
	if err := c.setFilters(md); err != nil || f == event.NumFields {
		return c, err
	}
	if c.enc = md.Encoding[0]; !c.encodingFits() || md.Type != physicalType(f) {
		return nil, fmt.Errorf("%s as %s", md.Type, c.enc)
	}
	if !c.setBounds(&md.Statistics) {
		return nil, errors.New("statistics are not of its type")
	}
	return c, nil
}

// section takes the piece of the page index that begins at next, and notes its
// checksum.
func (l *layout) section(next *int64, off int64, size int32) (section, error) {
	s := section{off: off, size: int64(size)}
	if off != *next || off < l.tailOff || size <= 0 || s.end() > l.footer {
		return s, errLayout
	}
	*next = s.end()
	s.crc = crc32.Checksum(l.tail[off-l.tailOff:s.end()-l.tailOff], castagnoli)
	return s, nil
}

// encodingFits reports whether the column is of an encoding that the reader
// knows for it.
func (c *chunk) encodingFits() bool {
	if required(c.field) {
		want := format.DeltaBinaryPacked
		if c.field == event.EventID {
			want = format.DeltaByteArray
		}
		return c.enc == want && c.dictOff == 0 && c.nulls == 0
	}
	switch c.enc {
	case format.RLEDictionary:
		return c.dictOff != 0
	case format.DeltaLengthByteArray:
		return c.dictOff == 0
	case format.Plain:
		return c.dictOff == 0 && c.nulls == c.rows
	}
	return false
}

// setBounds takes over the least and greatest value.
func (c *chunk) setBounds(s *format.Statistics) bool {
	lo, hi := s.MinValue, s.MaxValue
	switch physicalType(c.field) {
	case format.Int64:
		if len(lo) != 8 || len(hi) != 8 {
			return false
		}
		c.lo, c.hi = int64(binary.LittleEndian.Uint64(lo)), int64(binary.LittleEndian.Uint64(hi))
	case format.Int32:
		if len(lo) != 4 || len(hi) != 4 {
			return false
		}
		c.lo, c.hi = int64(int32(binary.LittleEndian.Uint32(lo))), int64(int32(binary.LittleEndian.Uint32(hi)))
	case format.FixedLenByteArray:
		if len(lo) != len(event.ID{}) || len(hi) != len(event.ID{}) {
			return false
		}
		c.min, c.max = string(lo), string(hi)
	default:
		c.min, c.max = string(lo), string(hi)
	}
	c.bounded = len(lo) > 0
	return c.lo <= c.hi && c.min <= c.max
}

// setFilters takes over where the filters are: the bloom filter, if there is one
// with a checksum, and the gram filter.
func (c *chunk) setFilters(md *format.ColumnMetaData) error {
	for _, kv := range md.KeyValueMetadata {
		switch kv.Key {
		case bloomCRC:
			crc, err := strconv.ParseUint(kv.Value, 10, 32)
			if err != nil || md.BloomFilterLength <= 0 {
				return errors.New("checksum of a bloom filter is no number, or there is none")
			}
			c.bloom = section{md.BloomFilterOffset, int64(md.BloomFilterLength), uint32(crc)}
		case gramsKey:
			var err error
			if c.grams, err = parseGrams(kv.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSection reads a piece of the file into b, which may be too small, and
// checks it.
func (f *File) readSection(s section, b []byte) ([]byte, error) {
	b = resize(b, int(s.size))
	if err := f.readAt(b, s.off); err != nil {
		return nil, err
	}
	if crc := crc32.Checksum(b, castagnoli); crc != s.crc {
		return nil, f.damaged(s.off, fmt.Sprintf("%d bytes have checksum %08x, not %08x", s.size, crc, s.crc))
	}
	return b, nil
}

// RowGroups returns the row groups in file order, which is time order.
func (f *File) RowGroups() []*RowGroup { return f.groups }
