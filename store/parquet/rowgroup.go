package parquet

import (
	"context"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// Rows returns the number of rows.
func (g *RowGroup) Rows() int { return g.rows }

// IntRange returns the least and greatest value of a time or integer field.
func (g *RowGroup) IntRange(f event.Field) (lo, hi int64) {
	c := g.chunks[f]
	return c.lo, c.hi
}

// Has reports whether any row has the text field f.
func (g *RowGroup) Has(f event.Field) bool {
	c := g.chunks[f]
	return c != nil && c.nulls < c.rows
}

// MayContain reports whether some row may have the value v in text field f, by
// the column's statistics and bloom filter; true when neither can tell. The value
// "" stands for absent.
func (g *RowGroup) MayContain(f event.Field, v string) (bool, error) {
	c := g.chunks[f]
	switch {
	case v == "":
		return c == nil || c.nulls > 0, nil
	case !g.Has(f):
		return false, nil
	case c.bounded && (v < c.min || v > c.max):
		return false, nil
	case c.bloom.size == 0:
		return true, nil
	}
	maybe := [1]bool{true}
	err := g.checkBloom(c, []uint64{xxhash.Sum64(bytesOf(v))}, maybe[:])
	return maybe[0], err
}

// fewHashes is up to how many values are looked up in a bloom filter by reading
// their blocks only.
const fewHashes = 16

// checkBloom sets maybe[i] to false for every hash that is not in the bloom
// filter of c. The first time, the filter is read and its checksum checked;
// after that a few hashes cost a read of 32 bytes each.
func (g *RowGroup) checkBloom(c *chunk, hashes []uint64, maybe []bool) error {
	f := g.file
	s := f.cache.scratch.Get().(*scratch)
	defer f.cache.scratch.Put(s)
	few := len(hashes) <= fewHashes && c.bloomChecked.Load()
	b, err := f.bloomBytes(c, s, few)
	if err != nil {
		return err
	}
	size, head, err := bloomHeader(b)
	if err != nil || int64(head)+size != c.bloom.size {
		return f.damaged(c.bloom.off, "bloom filter is not one that was written")
	}
	blocks := uint64(size / bloom.BlockSize)
	var block [bloom.BlockSize]byte
	for i, h := range hashes {
		at := int64(head) + int64((h>>32)*blocks>>32)*bloom.BlockSize
		if !few {
			copy(block[:], b[at:])
		} else if err := f.readAt(block[:], c.bloom.off+at); err != nil {
			return err
		}
		maybe[i] = maybe[i] && bloom.MakeSplitBlockFilter(block[:]).Check(h)
	}
	c.bloomChecked.Store(true)
	return nil
}

// bloomBytes reads the bloom filter of c, or if few its header only.
func (f *File) bloomBytes(c *chunk, s *scratch, few bool) ([]byte, error) {
	if few {
		s.in = resize(s.in, int(min(c.bloom.size, maxBloomHeader)))
		return s.in, f.readAt(s.in, c.bloom.off)
	}
	b, err := f.readSection(c.bloom, s.in)
	if err == nil {
		s.in = b
	}
	return b, err
}

// Dict returns the dictionary of a text field's column, without reading its
// rows; nil when the column is not coded throughout.
func (g *RowGroup) Dict(f event.Field) (*column.Strings, error) {
	c := g.chunks[f]
	if c == nil || c.enc != format.RLEDictionary {
		return nil, nil
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	return g.dict(c, s)
}

// Text returns the whole column of a text field.
func (g *RowGroup) Text(ctx context.Context, f event.Field) (*column.Text, error) {
	t := &column.Text{Rows: g.rows}
	if !g.Has(f) {
		return t, nil
	}
	c := g.chunks[f]
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	if c.enc != format.RLEDictionary {
		return t, g.readStrings(ctx, c, &t.Plain, s)
	}
	var err error
	if t.Dict, err = g.dict(c, s); err != nil || c.constant(t.Dict) {
		return t, err
	}
	t.Codes = make([]uint32, g.rows)
	return t, g.readCodes(ctx, c, t.Codes, t.Dict.Len(), s)
}

// constant reports whether every row of c is the one string of its dictionary.
func (c *chunk) constant(dict *column.Strings) bool { return c.nulls == 0 && dict.Len() == 1 }

// EachCodes calls fn for the pages of a coded column that want accepts, with the
// number of the first row and the codes of the page, which are valid during the
// call only. want is given the rows first to end-1 of the page. It reports false,
// and calls nothing, for a column that has no codes. Nothing the size of a column
// is made on the way.
func (g *RowGroup) EachCodes(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, codes []uint32)) (bool, error) {
	c := g.chunks[f]
	if !g.Has(f) || c.enc != format.RLEDictionary {
		return false, nil
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	dict, err := g.dict(c, s)
	if err != nil || c.constant(dict) {
		return false, err
	}
	return true, g.somePages(ctx, c, s, want, func(first, rows int, raw []byte) bool {
		s.rows = resize(s.rows, rows)
		if !decodeCodePage(s.rows, raw, dict.Len(), s) {
			return false
		}
		fn(first, s.rows)
		return true
	})
}

// EachStrings does what EachCodes does for a column that is plain. The strings
// are valid during the call only.
func (g *RowGroup) EachStrings(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, values *column.Strings)) (bool, error) {
	c := g.chunks[f]
	if !g.Has(f) || c.enc == format.RLEDictionary {
		return false, nil
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	return true, g.somePages(ctx, c, s, want, func(first, rows int, raw []byte) bool {
		s.text.Data, s.text.Ends = s.text.Data[:0], s.text.Ends[:0]
		if !decodeStringPage(&s.text, raw, rows, s) {
			return false
		}
		fn(first, &s.text)
		return true
	})
}

// somePages calls fn for the data pages of c that want accepts, without the
// cache. The contents are valid during the call only.
func (g *RowGroup) somePages(ctx context.Context, c *chunk, s *scratch, want func(first, end int) bool, fn func(first, rows int, raw []byte) bool) error {
	x, err := g.pageIndex(c)
	if err != nil {
		return err
	}
	for p := range x.pages() {
		first, end := int(x.first[p]), int(x.first[p+1])
		if !want(first, end) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := g.readPage(c, x, p, s, &s.raw)
		if err != nil {
			return err
		}
		if !fn(first, end-first, raw) {
			return g.contents(c, x.off[p])
		}
	}
	return nil
}

// readCodes reads all codes of c, the dictionary of which has n strings.
func (g *RowGroup) readCodes(ctx context.Context, c *chunk, dst []uint32, n int, s *scratch) error {
	return g.eachPage(ctx, c, s, func(first, rows int, raw []byte) bool {
		return decodeCodePage(dst[first:first+rows], raw, n, s)
	})
}

// decodeCodePage reads a page of codes into a dictionary of n strings.
func decodeCodePage(out []uint32, raw []byte, n int, s *scratch) bool {
	levels, values, ok := splitLevels(raw)
	if !ok {
		return false
	}
	if allPresent(levels, len(out)) {
		return decodeCodes(out, values, n)
	}
	present, ok := countLevels(levels, len(out))
	s.codes = resize(s.codes, present)
	if !ok || !decodeCodes(s.codes, values, n) {
		return false
	}
	spread(out, s.codes, levels)
	return true
}

// readStrings reads all strings of c.
func (g *RowGroup) readStrings(ctx context.Context, c *chunk, dst *column.Strings, s *scratch) error {
	dst.Ends = make([]uint32, 0, c.rows)
	dst.Data = make([]byte, 0, min(c.raw, 16*(c.end-c.dataOff)))
	return g.eachPage(ctx, c, s, func(_, rows int, raw []byte) bool { return decodeStringPage(dst, raw, rows, s) })
}

// decodeStringPage appends the rows of a page of strings to dst.
func decodeStringPage(dst *column.Strings, raw []byte, rows int, s *scratch) bool {
	levels, values, ok := splitLevels(raw)
	if !ok {
		return false
	}
	s.ints = resize(s.ints, rows)
	if allPresent(levels, rows) {
		return decodeStrings(dst, values, rows, rows, nil, s.ints)
	}
	s.levels = resize(s.levels, rows)
	present, ok := decodeLevels(s.levels, levels)
	return ok && decodeStrings(dst, values, rows, present, s.levels, s.ints)
}

// Ints returns the whole column of a time or integer field.
func (g *RowGroup) Ints(ctx context.Context, f event.Field) ([]int64, error) {
	c := g.chunks[f]
	if f.IsText() || f == event.EventID {
		return nil, fmt.Errorf("parquet: %s is no integer", f)
	}
	vs := make([]int64, g.rows)
	if c.lo == c.hi {
		for i := range vs {
			vs[i] = c.lo
		}
		return vs, nil
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	return vs, g.readInts(ctx, c, vs, s)
}

func (g *RowGroup) readInts(ctx context.Context, c *chunk, vs []int64, s *scratch) error {
	return g.eachPage(ctx, c, s, func(first, rows int, raw []byte) bool {
		return c.decodeInts(vs[first:first+rows], rows, raw)
	})
}

// decodeInts reads the first len(dst) of the n integers of a page of c.
func (c *chunk) decodeInts(dst []int64, n int, raw []byte) bool {
	rest, ok := decodeDelta(dst, n, raw)
	if c.field == event.Partition {
		for i, v := range dst {
			dst[i] = int64(int32(v))
		}
	}
	return ok && (len(rest) == 0 || len(dst) < n)
}

// IDs returns the whole column of identities.
func (g *RowGroup) IDs(ctx context.Context) ([]event.ID, error) {
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	ids := make([]event.ID, g.rows)
	return ids, g.readIDs(ctx, ids, s)
}

func (g *RowGroup) readIDs(ctx context.Context, ids []event.ID, s *scratch) error {
	return g.eachPage(ctx, g.chunks[event.EventID], s, func(first, rows int, raw []byte) bool {
		return decodeIDs(ids[first:first+rows], raw, s)
	})
}

// All returns every row with every field, for compaction. It bypasses the cache.
func (g *RowGroup) All(ctx context.Context) (*column.Rows, error) {
	r := &column.Rows{N: g.rows}
	var err error
	if r.IDs, err = g.IDs(ctx); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		f  event.Field
		vs *[]int64
	}{{event.Timestamp, &r.Timestamps}, {event.ReceivedAt, &r.ReceivedAt}, {event.Offset, &r.Offsets}} {
		if *c.vs, err = g.Ints(ctx, c.f); err != nil {
			return nil, err
		}
	}
	if lo, hi := g.IntRange(event.Partition); lo != 0 || hi != 0 {
		ps, err := g.Ints(ctx, event.Partition)
		if err != nil {
			return nil, err
		}
		r.Partitions = make([]int32, len(ps))
		for i, p := range ps {
			r.Partitions[i] = int32(p)
		}
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		if !g.Has(f) {
			continue
		}
		t, err := g.Text(ctx, f)
		if err != nil {
			return nil, err
		}
		r.Text[f] = *t
	}
	return r, nil
}

// FindIDs calls yield for every row that has one of ids, those of later pages
// first, until it returns false. Several rows may have one ID. Bloom filter and
// page index decide which pages are read, each at most once.
func (g *RowGroup) FindIDs(ctx context.Context, ids []event.ID, yield func(row uint32) bool) error {
	c := g.chunks[event.EventID]
	var wanted []event.ID // those of ids that may be here
	var hashes []uint64
	for i := range ids {
		if v := stringOf(ids[i][:]); v >= c.min && v <= c.max {
			wanted = append(wanted, ids[i])
			hashes = append(hashes, xxhash.Sum64(ids[i][:]))
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if c.bloom.size > 0 {
		maybe := slices.Repeat([]bool{true}, len(wanted))
		if err := g.checkBloom(c, hashes, maybe); err != nil {
			return err
		}
		n := 0
		for i, id := range wanted {
			if maybe[i] {
				wanted[n] = id
				n++
			}
		}
		if wanted = wanted[:n]; n == 0 {
			return nil
		}
	}
	return g.scanIDs(ctx, c, wanted, yield)
}
