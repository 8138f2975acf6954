package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// Verify reads everything. It checks every checksum and length, that rows are
// sorted by timestamp, and that all values are such as statistics, page index and
// bloom filters say: a query that believes these passes over the rest.
func (f *File) Verify(ctx context.Context) error {
	for _, g := range f.groups {
		if _, err := g.Verify(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Verify does for one row group what [File.Verify] does for all, and returns the
// columns that every row has, which it has read on the way.
func (g *RowGroup) Verify(ctx context.Context) (*column.Rows, error) {
	if _, err := g.file.readTail(); err != nil {
		return nil, err
	}
	v := &verifier{RowGroup: g, rows: column.Rows{N: g.rows}}
	for _, c := range g.chunks {
		if c == nil {
			continue
		}
		if err := v.chunk(ctx, c); err != nil {
			return nil, err
		}
	}
	if !slices.IsSorted(v.rows.Timestamps) {
		return nil, g.file.damaged(-1, "rows are not sorted by timestamp")
	}
	return &v.rows, nil
}

// verifier is one verification of a row group.
type verifier struct {
	*RowGroup
	rows column.Rows // without text

	s     scratch
	codes []uint32
	seen  []uint32 // by code: number of the last page that has it, from 1
}

// chunk verifies one column.
func (v *verifier) chunk(ctx context.Context, c *chunk) error {
	x, err := v.pageIndex(c)
	if err != nil {
		return err
	}
	var of func(p, first, end int) stats
	switch c.enc {
	case format.DeltaByteArray:
		of, err = v.ids(ctx, c)
	case format.DeltaBinaryPacked:
		of, err = v.ints(ctx, c)
	case format.DeltaLengthByteArray, format.RLEDictionary:
		of, err = v.text(ctx, c)
	default:
		of, err = v.absent(ctx, c)
	}
	if err != nil {
		return err
	}
	var total stats
	pages := make([]stats, x.pages())
	for p := range pages {
		pages[p] = of(p, int(x.first[p]), int(x.first[p+1]))
		total.merge(&pages[p])
	}
	if !c.tells(&total) {
		return v.file.damaged(-1, fmt.Sprintf("statistics of column %s are not those of its values", c.field))
	}
	return v.columnIndex(c, x, pages)
}

// tells reports whether the statistics of c are those of its values.
func (c *chunk) tells(s *stats) bool {
	if c.nulls != s.nulls {
		return false
	}
	return !c.bounded || c.lo == s.lo && c.hi == s.hi && c.min == s.min && c.max == s.max
}

// columnIndex verifies what the page index says of the values of each page.
func (v *verifier) columnIndex(c *chunk, x *pageIndex, pages []stats) error {
	b, err := v.file.readSection(c.columnIndex, nil)
	if err != nil {
		return err
	}
	var ci format.ColumnIndex
	if err := unmarshal(b, &ci); err != nil {
		return v.file.damaged(c.columnIndex.off, err.Error())
	}
	n := len(pages)
	if len(ci.NullPages) != n || len(ci.NullCounts) != n || len(ci.MinValues) != n || len(ci.MaxValues) != n {
		return v.file.damaged(c.columnIndex.off, fmt.Sprintf("page index of column %s is not one of %d pages", c.field, n))
	}
	for p := range pages {
		s := &pages[p]
		lo, hi := s.bounds(c.field)
		fits := bytes.Equal(ci.MinValues[p], lo) && bytes.Equal(ci.MaxValues[p], hi)
		if c.field.IsText() { // long texts are shortened
			fits = bytes.Compare(ci.MinValues[p], lo) <= 0 && bytes.Compare(ci.MaxValues[p], hi) >= 0
		}
		if ci.NullPages[p] == s.has || ci.NullCounts[p] != int64(s.nulls) || !fits {
			return v.file.damaged(x.off[p], fmt.Sprintf("page of column %s has other values than the page index says", c.field))
		}
	}
	return nil
}

// bloom verifies that the bloom filter of c has n values, if there is one.
func (v *verifier) bloom(c *chunk, n int, value func(i int) []byte) error {
	if c.bloom.size == 0 {
		return nil
	}
	b, err := v.file.readSection(c.bloom, nil)
	if err != nil {
		return err
	}
	size, head, err := bloomHeader(b)
	if err != nil || int64(head)+size != c.bloom.size {
		return v.file.damaged(c.bloom.off, "bloom filter is not one that was written")
	}
	filter := bloom.MakeSplitBlockFilter(b[head:])
	for i := range n {
		if w := value(i); len(w) > 0 && !filter.Check(xxhash.Sum64(w)) {
			return v.file.damaged(c.bloom.off, fmt.Sprintf("bloom filter of column %s lacks a value", c.field))
		}
	}
	return nil
}

// ids, ints, text and absent read the values of a column, verify its bloom filter
// and return what works out the statistics of a page.

func (v *verifier) ids(ctx context.Context, c *chunk) (func(p, first, end int) stats, error) {
	v.rows.IDs = make([]event.ID, c.rows)
	if err := v.readIDs(ctx, v.rows.IDs, &v.s); err != nil {
		return nil, err
	}
	of := func(_, first, end int) stats {
		page := v.rows.IDs[first:end]
		lo, hi := slices.MinFunc(page, orderIDs), slices.MaxFunc(page, orderIDs)
		return stats{has: true, min: string(lo[:]), max: string(hi[:])}
	}
	return of, v.bloom(c, c.rows, func(i int) []byte { return v.rows.IDs[i][:] })
}

func orderIDs(a, b event.ID) int { return compareIDs(&a, &b) }

func (v *verifier) ints(ctx context.Context, c *chunk) (func(p, first, end int) stats, error) {
	vs := make([]int64, c.rows)
	if err := v.readInts(ctx, c, vs, &v.s); err != nil {
		return nil, err
	}
	switch c.field {
	case event.Timestamp:
		v.rows.Timestamps = vs
	case event.ReceivedAt:
		v.rows.ReceivedAt = vs
	case event.Offset:
		v.rows.Offsets = vs
	case event.Partition:
		v.rows.Partitions = make([]int32, len(vs))
		for i, p := range vs {
			v.rows.Partitions[i] = int32(p)
		}
	}
	return func(_, first, end int) stats { return intStats(vs[first:end]) }, nil
}

func (v *verifier) text(ctx context.Context, c *chunk) (func(p, first, end int) stats, error) {
	if c.enc == format.DeltaLengthByteArray {
		values := new(column.Strings)
		if err := v.readStrings(ctx, c, values, &v.s); err != nil {
			return nil, err
		}
		of := func(_, first, end int) (s stats) {
			for i := first; i < end; i++ {
				s.count(values.At(i))
			}
			return s
		}
		if err := v.grams(c, values); err != nil {
			return nil, err
		}
		return of, v.bloom(c, values.Len(), func(i int) []byte { return bytesOf(values.At(i)) })
	}
	dict, err := v.dict(c, &v.s)
	if err != nil {
		return nil, err
	}
	v.codes = resize(v.codes, c.rows)
	if err := v.readCodes(ctx, c, v.codes, dict.Len(), &v.s); err != nil {
		return nil, err
	}
	v.seen = resize(v.seen, dict.Len())
	clear(v.seen)
	of := func(p, first, end int) (s stats) {
		for _, code := range v.codes[first:end] {
			switch {
			case code == 0:
				s.nulls++
			case v.seen[code-1] != uint32(p+1):
				v.seen[code-1] = uint32(p + 1)
				s.addText(dict.At(int(code - 1)))
			}
		}
		return s
	}
	if err := v.grams(c, dict); err != nil {
		return nil, err
	}
	return of, v.bloom(c, dict.Len(), func(i int) []byte { return bytesOf(dict.At(i)) })
}

// count adds the value of one row.
func (s *stats) count(v string) {
	if v == "" {
		s.nulls++
		return
	}
	s.addText(v)
}

func (v *verifier) absent(ctx context.Context, c *chunk) (func(p, first, end int) stats, error) {
	err := v.eachPage(ctx, c, &v.s, func(_, rows int, raw []byte) bool {
		levels, values, ok := splitLevels(raw)
		v.s.levels = resize(v.s.levels, rows)
		present, same := decodeLevels(v.s.levels, levels)
		return ok && same && present == 0 && len(values) == 0
	})
	return func(_, first, end int) stats { return stats{nulls: end - first} }, err
}

// Inspect returns the Info of a file of which none was kept. It takes the file at
// its word: damage to the tail shows only as far as it contradicts the rest.
func Inspect(name string, r io.ReaderAt, size int64) (Info, error) {
	f := &File{name: name, r: r, info: Info{Size: size}}
	var end [8]byte
	if err := f.readAt(end[:], max(size-int64(len(end)), 0)); err != nil {
		return Info{}, err
	}
	footer := size - int64(len(end)) - int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != magic || footer < int64(len(magic)) {
		return Info{}, f.damaged(-1, "it does not end as a Parquet file")
	}
	b := make([]byte, size-footer)
	if err := f.readAt(b, footer); err != nil {
		return Info{}, err
	}
	var md format.FileMetaData
	if err := unmarshal(b[:len(b)-len(end)], &md); err != nil {
		return Info{}, f.damaged(footer, err.Error())
	}
	f.info.Rows, f.info.TailOff = md.NumRows, footer
	if len(md.RowGroups) > 0 && len(md.RowGroups[0].Columns) > 0 {
		f.info.TailOff = md.RowGroups[0].Columns[0].ColumnIndexOffset
	}
	if f.info.TailOff < int64(len(magic)) || f.info.TailOff > footer {
		return Info{}, f.damaged(footer, fmt.Sprintf("its page index is said to begin at byte %d", f.info.TailOff))
	}
	tail := make([]byte, size-f.info.TailOff)
	if err := f.readAt(tail, f.info.TailOff); err != nil {
		return Info{}, err
	}
	f.info.TailCRC = crc32.Checksum(tail, castagnoli)
	return f.info, nil
}
