package parquet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

const (
	// MaxRows is the most rows of a row group.
	MaxRows = 256 << 10

	magic   = "PAR1"
	creator = "daybook"

	// maxPage bounds a page, decompressed: the writer makes none larger and the
	// reader makes room for none larger. A dictionary over maxDict bytes is not
	// written; its column is plain instead.
	maxPage = 64 << 20
	maxDict = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer writes one file, row group by row group. It keeps buffers from one row
// group to the next, and in memory the page index and footer of what it wrote:
// less than a byte per row. It is for one goroutine.
type Writer struct {
	out  *bufio.Writer
	off  int64
	err  error // the first error: after it nothing more is written
	done bool

	rows      int64
	groups    []format.RowGroup
	columnIdx [][]byte // per column chunk, encoded: its ColumnIndex
	offsetIdx [][]byte // and its OffsetIndex
	zstd      *zstd.Encoder
	ints      intEncoder
	int32s    int32Encoder
	ids       idEncoder
	codes     codeEncoder
	text      textEncoder
	absent    absentEncoder
	bloom     bloomBuilder
	blooms    [event.NumFields]bloom.SplitBlockFilter // of the row group being written
	gram      gramBuilder
	grams     [event.NumFields][]byte // of the row group being written
	zeroParts []int32

	chunk chunkWriter
}

// NewWriter returns a writer of a file onto w.
func NewWriter(w io.Writer) *Writer {
	out := &Writer{out: bufio.NewWriterSize(w, 256<<10)}
	out.zstd, out.err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithAllLitEntropyCompression(true))
	out.write([]byte(magic))
	return out
}

// write writes b, unless something failed before.
func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(b)
	w.off += int64(n)
	w.err = err
}

// WriteRowGroup writes the rows, at least one and at most [MaxRows], as one row
// group. They must be sorted by (timestamp, partition, offset) and complete:
// every field is present in r or absent in all rows. It writes as it goes and
// seeks nowhere. Rows that cannot be a row group are refused and leave no trace;
// after an error of the stream the file is of no use.
func (w *Writer) WriteRowGroup(r *column.Rows) error {
	if w.done {
		return errors.New("parquet: row group after Close")
	}
	if err := checkRows(r); err != nil {
		return err
	}
	g := format.RowGroup{
		NumRows:    int64(r.N),
		FileOffset: w.off,
		Ordinal:    int16(min(len(w.groups), 1<<15-1)),
		SortingColumns: []format.SortingColumn{
			{ColumnIdx: int32(event.Timestamp)}, {ColumnIdx: int32(event.Partition)}, {ColumnIdx: int32(event.Offset)},
		},
		Columns: make([]format.ColumnChunk, numColumns),
	}
	for f := range event.NumFields {
		md := w.writeColumn(f, r)
		g.TotalByteSize += md.TotalUncompressedSize
		g.TotalCompressedSize += md.TotalCompressedSize
		g.Columns[f].MetaData = md
	}
	w.writeBlooms(g.Columns)
	w.writeGrams(g.Columns)
	w.rows += int64(r.N)
	w.groups = append(w.groups, g)
	return w.err
}

// checkRows returns an error if r cannot be a row group.
func checkRows(r *column.Rows) error {
	if r.N < 1 || r.N > MaxRows {
		return fmt.Errorf("parquet: row group of %d rows: 1 to %d are possible", r.N, MaxRows)
	}
	for _, c := range []struct {
		f event.Field
		n int
	}{
		{event.EventID, len(r.IDs)}, {event.Timestamp, len(r.Timestamps)},
		{event.ReceivedAt, len(r.ReceivedAt)}, {event.Offset, len(r.Offsets)},
	} {
		if c.n != r.N {
			return fmt.Errorf("parquet: column %s has %d values for %d rows", c.f, c.n, r.N)
		}
	}
	if r.Partitions != nil && len(r.Partitions) != r.N {
		return fmt.Errorf("parquet: column partition has %d values for %d rows", len(r.Partitions), r.N)
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		if n := r.Text[f].Rows; n != r.N && n != 0 {
			return fmt.Errorf("parquet: column %s has %d values for %d rows", f, n, r.N)
		}
	}
	if !slices.IsSorted(r.Timestamps) {
		return errors.New("parquet: rows are not sorted by timestamp")
	}
	return nil
}

// writeColumn writes the column chunk of field f.
func (w *Writer) writeColumn(f event.Field, r *column.Rows) format.ColumnMetaData {
	switch f {
	case event.EventID:
		w.ids.ids = r.IDs
		w.blooms[f] = w.bloom.ofIDs(w.blooms[f], r.IDs)
		return w.writeChunk(f, &w.ids, r.N)
	case event.Timestamp:
		w.ints.vs = r.Timestamps
		return w.writeChunk(f, &w.ints, r.N)
	case event.ReceivedAt:
		w.ints.vs = r.ReceivedAt
		return w.writeChunk(f, &w.ints, r.N)
	case event.Offset:
		w.ints.vs = r.Offsets
		return w.writeChunk(f, &w.ints, r.N)
	case event.Partition:
		w.int32s.vs = r.Partitions
		if r.Partitions == nil {
			if len(w.zeroParts) < r.N {
				w.zeroParts = make([]int32, r.N)
			}
			w.int32s.vs = w.zeroParts[:r.N]
		}
		return w.writeChunk(f, &w.int32s, r.N)
	}
	return w.writeText(f, &r.Text[f], r.N)
}

// writeText writes the column chunk of a text field.
func (w *Writer) writeText(f event.Field, t *column.Text, rows int) format.ColumnMetaData {
	values := &t.Plain
	var enc pageEncoder = &w.text
	w.text.t = t
	switch {
	case t.Dict != nil && len(t.Dict.Data) <= maxDict:
		w.codes.reset(t)
		values, enc = w.codes.dict, &w.codes
	case t.Dict != nil:
		values = t.Dict
	}
	if t.Rows == 0 || t.Absent() || values.Len() == 0 {
		w.absent.rows = rows
		return w.writeChunk(f, &w.absent, rows)
	}
	if hasBloom(f) {
		w.blooms[f] = w.bloom.ofStrings(w.blooms[f], values)
	}
	if enc == &w.codes || t.Dict == nil { // not a dictionary that is written out, row by row
		w.grams[f] = w.gram.of(w.grams[f], values)
	}
	return w.writeChunk(f, enc, rows)
}

// page is what the page index says of one page.
type page struct {
	off   int64
	size  int // with its header
	first int // row
	stats stats
}

// chunkWriter is what the column chunk being written needs.
type chunkWriter struct {
	md    format.ColumnMetaData
	pages []page
	total stats
	pack  bool // pages are worth compressing

	raw, dict             []byte // pages as they were encoded
	packedRaw, packedDict []byte // and compressed
	head                  []byte
}

// writeChunk writes a column chunk: the dictionary page, if there is one, and
// the data pages that enc gives.
func (w *Writer) writeChunk(f event.Field, enc pageEncoder, rows int) format.ColumnMetaData {
	c := &w.chunk
	c.pages, c.total = c.pages[:0], stats{}
	c.md = format.ColumnMetaData{
		Type:         physicalType(f),
		PathInSchema: []string{f.String()},
		Encoding:     []format.Encoding{enc.encoding()},
		Codec:        format.Zstd,
		NumValues:    int64(rows),
	}
	if !required(f) {
		c.md.Encoding = append(c.md.Encoding, format.RLE) // of the levels
	}
	var to int
	var s stats
	c.raw, to, s = enc.next(c.raw[:0], 0)
	codes, coded := enc.(*codeEncoder)
	c.dict = c.dict[:0]
	if coded {
		c.dict = codes.appendDict(c.dict)
	}
	w.decidePacking(enc.encoding(), (rows+to-1)/to)
	if coded {
		c.md.Encoding = append(c.md.Encoding, format.Plain)
		c.md.DictionaryPageOffset = w.off
		w.writePage(header{dict: true, values: codes.dict.Len(), encoding: format.Plain}, c.dict, c.packedDict)
		c.count(format.DictionaryPage, format.Plain, 1)
	}
	c.md.DataPageOffset = w.off
	for from := 0; ; {
		off := w.off
		w.writePage(header{values: to - from, encoding: enc.encoding()}, c.raw, c.packedRaw)
		c.pages = append(c.pages, page{off, int(w.off - off), from, s})
		c.total.merge(&s)
		if from = to; from >= rows {
			break
		}
		c.raw, to, s = enc.next(c.raw[:0], from)
		c.packedRaw = w.packPage(c.packedRaw[:0], c.raw)
	}
	c.count(format.DataPage, enc.encoding(), len(c.pages))
	c.md.Statistics = chunkStatistics(f, &c.total)
	w.keepIndex(f)
	return c.md
}

func (c *chunkWriter) count(kind format.PageType, enc format.Encoding, n int) {
	c.md.EncodingStats = append(c.md.EncodingStats, format.PageEncodingStats{PageType: kind, Encoding: enc, Count: int32(n)})
}

// decidePacking compresses the dictionary and the first page, and lets them speak
// for all pages: these are compressed if that takes a tenth off them, or half in
// case of integers, which are packed already and of which whole columns are read
// often: decompressing takes longer than decoding them. The others are stored in
// frames that compress nothing, and not as UNCOMPRESSED, since some readers take
// the codec of a column's first chunk for that of all.
func (w *Writer) decidePacking(enc format.Encoding, pages int) {
	c := &w.chunk
	c.pack = true
	c.packedDict = w.packPage(c.packedDict[:0], c.dict)
	c.packedRaw = w.packPage(c.packedRaw[:0], c.raw)
	packed := len(c.packedDict) + pages*len(c.packedRaw)
	raw := len(c.dict) + pages*len(c.raw)
	least := raw / 10
	if enc == format.DeltaBinaryPacked {
		least = raw / 2
	}
	if c.pack = packed <= raw-least; !c.pack {
		c.packedDict = w.packPage(c.packedDict[:0], c.dict)
		c.packedRaw = w.packPage(c.packedRaw[:0], c.raw)
	}
}

// packPage appends a page as a Zstandard frame.
func (w *Writer) packPage(dst, raw []byte) []byte {
	if w.chunk.pack {
		return w.zstd.EncodeAll(raw, dst)
	}
	return appendStored(dst, raw)
}

// appendStored appends b as a Zstandard frame (RFC 8878) of raw blocks: the magic
// number, a byte that says that the frame's size follows in four bytes, and
// blocks of three bytes of header each.
func appendStored(dst, b []byte) []byte {
	const maxBlock = 128 << 10
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, 2<<6|1<<5)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	for {
		n := min(len(b), maxBlock)
		h := uint32(n) << 3
		if n == len(b) {
			h |= 1 // the last
		}
		dst = append(dst, byte(h), byte(h>>8), byte(h>>16))
		dst = append(dst, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return dst
		}
	}
}

// writePage writes a page.
func (w *Writer) writePage(h header, raw, packed []byte) {
	if len(raw) > maxPage && w.err == nil {
		w.err = fmt.Errorf("parquet: page of %d bytes: %d are possible", len(raw), maxPage)
	}
	c := &w.chunk
	h.raw, h.size, h.crc = len(raw), len(packed), crc32.ChecksumIEEE(packed)
	c.head = h.append(c.head[:0])
	c.md.TotalUncompressedSize += int64(len(c.head) + len(raw))
	c.md.TotalCompressedSize += int64(len(c.head) + len(packed))
	w.write(c.head)
	w.write(packed)
}

// keepIndex encodes the page index of the chunk just written, for Close.
func (w *Writer) keepIndex(f event.Field) {
	oi := &format.OffsetIndex{PageLocations: make([]format.PageLocation, len(w.chunk.pages))}
	for i, p := range w.chunk.pages {
		oi.PageLocations[i] = format.PageLocation{Offset: p.off, CompressedPageSize: int32(p.size), FirstRowIndex: int64(p.first)}
	}
	w.columnIdx = append(w.columnIdx, w.marshal(columnIndex(f, w.chunk.pages)))
	w.offsetIdx = append(w.offsetIdx, w.marshal(oi))
}

func (w *Writer) marshal(v any) []byte {
	b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil && w.err == nil {
		w.err = err
	}
	return b
}

// Close writes page index and footer. It does not close or sync what it writes
// to. A file of no row groups is possible.
func (w *Writer) Close() (Info, error) {
	if w.done {
		return Info{}, errors.New("parquet: closed twice")
	}
	w.done = true
	info := Info{Rows: w.rows, TailOff: w.off}
	tail := w.appendIndexes(nil)
	footer := w.marshal(&format.FileMetaData{
		Version:          2,
		Schema:           schema(),
		NumRows:          w.rows,
		RowGroups:        w.groups,
		CreatedBy:        creator,
		ColumnOrders:     columnOrders(),
		KeyValueMetadata: []format.KeyValue{{Key: "created_by", Value: creator}},
	})
	tail = append(tail, footer...)
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(footer)))
	tail = append(tail, magic...)
	w.write(tail)
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return Info{}, w.err
	}
	info.Size = w.off
	info.TailCRC = crc32.Checksum(tail, castagnoli)
	return info, nil
}

// appendIndexes appends the page index, first all ColumnIndexes and then all
// OffsetIndexes, as other tools expect it, and notes where they lie.
func (w *Writer) appendIndexes(tail []byte) []byte {
	for i, b := range w.columnIdx {
		c := &w.groups[i/numColumns].Columns[i%numColumns]
		c.ColumnIndexOffset, c.ColumnIndexLength = w.off+int64(len(tail)), int32(len(b))
		tail = append(tail, b...)
	}
	for i, b := range w.offsetIdx {
		c := &w.groups[i/numColumns].Columns[i%numColumns]
		c.OffsetIndexOffset, c.OffsetIndexLength = w.off+int64(len(tail)), int32(len(b))
		tail = append(tail, b...)
	}
	return tail
}
