package parquet

import (
	"context"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// pageIndex says where the pages of a column chunk lie and which row each begins
// with. Its last element stands for the end.
type pageIndex struct {
	off   []int64
	first []uint32
}

func (x *pageIndex) pages() int { return len(x.off) - 1 }

// page returns the page that holds row i.
func (x *pageIndex) page(i uint32) int {
	return sort.Search(x.pages(), func(p int) bool { return x.first[p+1] > i })
}

// pageIndex returns the offset index of c.
func (g *RowGroup) pageIndex(c *chunk) (*pageIndex, error) {
	key := cacheKey{g.file.id, c.offsetIndex.off}
	if v, ok := g.file.cache.get(key); ok {
		return v.(*pageIndex), nil
	}
	b, err := g.file.readSection(c.offsetIndex, nil)
	if err != nil {
		return nil, err
	}
	var oi format.OffsetIndex
	if err := unmarshal(b, &oi); err != nil {
		return nil, g.file.damaged(c.offsetIndex.off, err.Error())
	}
	n := len(oi.PageLocations)
	x := &pageIndex{off: make([]int64, n+1), first: make([]uint32, n+1)}
	off, row := c.dataOff, int64(0)
	for i, p := range oi.PageLocations {
		if p.Offset != off || p.FirstRowIndex != row && i == 0 || p.FirstRowIndex < row || p.FirstRowIndex >= int64(c.rows) || p.CompressedPageSize <= 0 {
			return nil, g.file.damaged(c.offsetIndex.off, fmt.Sprintf("page %d of column %s begins at row %d, byte %d", i, c.field, p.FirstRowIndex, p.Offset))
		}
		x.off[i], x.first[i] = off, uint32(p.FirstRowIndex)
		off += int64(p.CompressedPageSize)
		row = p.FirstRowIndex + 1
	}
	x.off[n], x.first[n] = off, uint32(c.rows)
	if n == 0 || off != c.end {
		return nil, g.file.damaged(c.offsetIndex.off, fmt.Sprintf("%d pages of column %s end at byte %d, not %d", n, c.field, off, c.end))
	}
	g.file.cache.put(key, x, int64(12*(n+1)))
	return x, nil
}

// open checks the page in b, which lies at off, and returns its header and its
// contents, decompressed into buf, which grows as needed.
func (g *RowGroup) open(c *chunk, b []byte, off int64, buf *[]byte) (header, []byte, error) {
	h, body, err := parseHeader(b)
	if err != nil {
		return h, nil, g.file.damaged(off, err.Error())
	}
	if h.size != len(body) || h.raw > maxPage {
		return h, nil, g.file.damaged(off, fmt.Sprintf("page of %d bytes in a place of %d, %d decompressed", h.size, len(body), h.raw))
	}
	if crc := crc32.ChecksumIEEE(body); crc != h.crc {
		return h, nil, g.file.damaged(off, fmt.Sprintf("page of column %s has checksum %08x, not %08x", c.field, crc, h.crc))
	}
	*buf = resize(*buf, h.raw)
	raw, err := g.file.cache.decoder.DecodeAll(body, (*buf)[:0:h.raw])
	if err != nil {
		return h, nil, g.file.damaged(off, fmt.Sprintf("page of column %s does not decompress: %v", c.field, err))
	}
	if len(raw) != h.raw {
		return h, nil, g.file.damaged(off, fmt.Sprintf("page of column %s has %d bytes, not %d", c.field, len(raw), h.raw))
	}
	return h, raw, nil
}

// openData is open for data page p of c.
func (g *RowGroup) openData(c *chunk, x *pageIndex, p int, b []byte, buf *[]byte) ([]byte, error) {
	h, raw, err := g.open(c, b, x.off[p], buf)
	if err != nil {
		return nil, err
	}
	if h.dict || h.encoding != c.enc || h.values != int(x.first[p+1]-x.first[p]) {
		return nil, g.file.damaged(x.off[p], fmt.Sprintf("page of column %s has %d values as %s", c.field, h.values, h.encoding))
	}
	return raw, nil
}

// readPage reads data page p of c and returns its contents in buf.
func (g *RowGroup) readPage(c *chunk, x *pageIndex, p int, s *scratch, buf *[]byte) ([]byte, error) {
	s.in = resize(s.in, int(x.off[p+1]-x.off[p]))
	if err := g.file.readAt(s.in, x.off[p]); err != nil {
		return nil, err
	}
	return g.openData(c, x, p, s.in, buf)
}

// page returns the contents of data page p of c, from the cache if it is there.
// They must not be changed.
func (g *RowGroup) page(c *chunk, x *pageIndex, p int, s *scratch) ([]byte, error) {
	key := cacheKey{g.file.id, x.off[p]}
	if v, ok := g.file.cache.get(key); ok {
		return v.([]byte), nil
	}
	var own []byte // not s.raw: it is kept
	raw, err := g.readPage(c, x, p, s, &own)
	if err != nil {
		return nil, err
	}
	g.file.cache.put(key, raw, int64(cap(own)))
	return raw, nil
}

// idPage is page for identities, which are kept decoded.
func (g *RowGroup) idPage(c *chunk, x *pageIndex, p int, s *scratch) ([]event.ID, error) {
	key := cacheKey{g.file.id, x.off[p]}
	if v, ok := g.file.cache.get(key); ok {
		return v.([]event.ID), nil
	}
	raw, err := g.readPage(c, x, p, s, &s.raw)
	if err != nil {
		return nil, err
	}
	ids := make([]event.ID, x.first[p+1]-x.first[p])
	if !decodeIDs(ids, raw, s) {
		return nil, g.contents(c, x.off[p])
	}
	g.file.cache.put(key, ids, int64(16*len(ids)))
	return ids, nil
}

// readAhead is how much is read at once of a column that is read as a whole.
const readAhead = 512 << 10

// eachPage calls fn for every data page of c, in order, without the cache. The
// contents are valid during the call only.
func (g *RowGroup) eachPage(ctx context.Context, c *chunk, s *scratch, fn func(first, n int, raw []byte) bool) error {
	x, err := g.pageIndex(c)
	if err != nil {
		return err
	}
	for p := 0; p < x.pages(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end := x.off[p], x.off[p+1]
		last := p + 1
		for last < x.pages() && x.off[last+1]-start <= readAhead {
			last++
			end = x.off[last]
		}
		s.in = resize(s.in, int(end-start))
		if err := g.file.readAt(s.in, start); err != nil {
			return err
		}
		for ; p < last; p++ {
			raw, err := g.openData(c, x, p, s.in[x.off[p]-start:x.off[p+1]-start], &s.raw)
			if err != nil {
				return err
			}
			if !fn(int(x.first[p]), int(x.first[p+1]-x.first[p]), raw) {
				return g.contents(c, x.off[p])
			}
		}
	}
	return nil
}

// contents is the error for a page that is as it was written, by its checksum,
// and yet is no page of its column.
func (g *RowGroup) contents(c *chunk, off int64) error {
	return g.file.damaged(off, fmt.Sprintf("page of column %s cannot be decoded", c.field))
}

// dict returns the dictionary of c, which has one.
func (g *RowGroup) dict(c *chunk, s *scratch) (*column.Strings, error) {
	key := cacheKey{g.file.id, c.dictOff}
	if v, ok := g.file.cache.get(key); ok {
		return v.(*column.Strings), nil
	}
	s.in = resize(s.in, int(c.dataOff-c.dictOff))
	if err := g.file.readAt(s.in, c.dictOff); err != nil {
		return nil, err
	}
	h, raw, err := g.open(c, s.in, c.dictOff, &s.raw)
	if err != nil {
		return nil, err
	}
	d, ok := decodeDict(raw, h.values)
	if !ok || !h.dict || h.encoding != format.Plain {
		return nil, g.contents(c, c.dictOff)
	}
	g.file.cache.put(key, d, int64(cap(d.Data)+4*cap(d.Ends)))
	return d, nil
}
