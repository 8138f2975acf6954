package parquet

import (
	"context"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// wantedRow is a row to gather and its place in the result.
type wantedRow struct {
	row, place uint32
}

// Gather returns the given rows (any order) with the given fields; identity,
// timestamp, partition and offset are always among them. Only the pages that
// hold those rows are read.
func (g *RowGroup) Gather(ctx context.Context, rows []uint32, fields event.FieldSet) (*column.Rows, error) {
	want := make([]wantedRow, len(rows))
	for i, r := range rows {
		if int(r) >= g.rows {
			return nil, fmt.Errorf("parquet: row %d of %d", r, g.rows)
		}
		want[i] = wantedRow{r, uint32(i)}
	}
	slices.SortFunc(want, func(a, b wantedRow) int { return int(a.row) - int(b.row) })
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)

	r := &column.Rows{N: len(rows)}
	if len(rows) == 0 {
		return r, nil
	}
	if err := g.gatherSet(ctx, want, fields, r, s); err != nil {
		return nil, err
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		if !fields.Has(f) || !g.Has(f) {
			continue
		}
		r.Text[f].Rows = len(rows)
		var err error
		if g.chunks[f].enc == format.RLEDictionary {
			err = g.gatherCodes(ctx, g.chunks[f], want, &r.Text[f], s)
		} else {
			err = g.gatherStrings(ctx, g.chunks[f], want, &r.Text[f].Plain, s)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// gatherSet gathers identities and integers.
func (g *RowGroup) gatherSet(ctx context.Context, want []wantedRow, fields event.FieldSet, r *column.Rows, s *scratch) (err error) {
	r.IDs = make([]event.ID, len(want))
	if err = g.gatherIDs(ctx, want, r.IDs, s); err != nil {
		return err
	}
	if r.Timestamps, err = g.gatherInts(ctx, event.Timestamp, want, s); err != nil {
		return err
	}
	if r.Offsets, err = g.gatherInts(ctx, event.Offset, want, s); err != nil {
		return err
	}
	if fields.Has(event.ReceivedAt) {
		if r.ReceivedAt, err = g.gatherInts(ctx, event.ReceivedAt, want, s); err != nil {
			return err
		}
	}
	if lo, hi := g.IntRange(event.Partition); lo != 0 || hi != 0 {
		ps, err := g.gatherInts(ctx, event.Partition, want, s)
		if err != nil {
			return err
		}
		r.Partitions = make([]int32, len(ps))
		for i, p := range ps {
			r.Partitions[i] = int32(p)
		}
	}
	return nil
}

// eachWanted calls fn for every page of c that holds wanted rows, with those rows,
// the number of the page's first row and how many it has.
func (g *RowGroup) eachWanted(ctx context.Context, c *chunk, want []wantedRow, s *scratch, fn func(want []wantedRow, first, n int, raw []byte) bool) error {
	x, err := g.pageIndex(c)
	if err != nil {
		return err
	}
	for len(want) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := x.page(want[0].row)
		n := 1
		for n < len(want) && want[n].row < x.first[p+1] {
			n++
		}
		raw, err := g.page(c, x, p, s)
		if err != nil {
			return err
		}
		if !fn(want[:n], int(x.first[p]), int(x.first[p+1]-x.first[p]), raw) {
			return g.contents(c, x.off[p])
		}
		want = want[n:]
	}
	return nil
}

func (g *RowGroup) gatherIDs(ctx context.Context, want []wantedRow, ids []event.ID, s *scratch) error {
	c := g.chunks[event.EventID]
	x, err := g.pageIndex(c)
	if err != nil {
		return err
	}
	var page []event.ID
	first, end := uint32(0), uint32(0) // rows of page
	for _, w := range want {
		if w.row >= end {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := x.page(w.row)
			if page, err = g.idPage(c, x, p, s); err != nil {
				return err
			}
			first, end = x.first[p], x.first[p+1]
		}
		ids[w.place] = page[w.row-first]
	}
	return nil
}

func (g *RowGroup) gatherInts(ctx context.Context, f event.Field, want []wantedRow, s *scratch) ([]int64, error) {
	c := g.chunks[f]
	vs := make([]int64, len(want))
	if c.lo == c.hi {
		for i := range vs {
			vs[i] = c.lo
		}
		return vs, nil
	}
	err := g.eachWanted(ctx, c, want, s, func(want []wantedRow, first, n int, raw []byte) bool {
		s.ints = resize(s.ints, int(want[len(want)-1].row)-first+1)
		if !c.decodeInts(s.ints, n, raw) {
			return false
		}
		for _, w := range want {
			vs[w.place] = s.ints[int(w.row)-first]
		}
		return true
	})
	return vs, err
}

// gatherCodes gathers the codes of c. Runs before a wanted row are skipped, not
// decoded.
func (g *RowGroup) gatherCodes(ctx context.Context, c *chunk, want []wantedRow, t *column.Text, s *scratch) (err error) {
	if t.Dict, err = g.dict(c, s); err != nil || c.constant(t.Dict) {
		return err
	}
	t.Codes = make([]uint32, len(want))
	return g.eachWanted(ctx, c, want, s, func(want []wantedRow, first, n int, raw []byte) bool {
		levels, values, ok := splitLevels(raw)
		if !ok {
			return false
		}
		ranks := ranker{h: hybrid{src: levels, width: 1}}
		h := hybrid{}
		if len(values) > 0 {
			h = hybrid{src: values[1:], width: int(values[0])}
		}
		if h.width > 32 {
			return false
		}
		for _, w := range want {
			rank, present, ok := ranks.rank(int(w.row) - first)
			if !ok {
				return false
			}
			if !present {
				continue
			}
			for rank >= h.start+h.n {
				if !h.next() {
					return false
				}
			}
			code := h.at(rank)
			if int(code) >= t.Dict.Len() {
				return false
			}
			t.Codes[w.place] = code + 1
		}
		return true
	})
}

// gatherStrings gathers the strings of c.
func (g *RowGroup) gatherStrings(ctx context.Context, c *chunk, want []wantedRow, dst *column.Strings, s *scratch) error {
	values := make([]string, len(want)) // in the pages' memory
	total := 0
	err := g.eachWanted(ctx, c, want, s, func(want []wantedRow, first, n int, raw []byte) bool {
		levels, encoded, ok := splitLevels(raw)
		if !ok {
			return false
		}
		s.levels = resize(s.levels, n)
		present, ok := decodeLevels(s.levels, levels)
		s.ints = resize(s.ints, present)
		data, fits := decodeDelta(s.ints, present, encoded)
		if !ok || !fits {
			return false
		}
		row, next, end := first, 0, int64(0)
		for _, w := range want {
			for ; row < int(w.row); row++ {
				if s.levels[row-first] == 1 {
					end += s.ints[next]
					next++
				}
			}
			if s.levels[row-first] == 0 {
				continue
			}
			size := s.ints[next]
			if end < 0 || size <= 0 || end > int64(len(data)) || size > int64(len(data))-end {
				return false
			}
			values[w.place] = stringOf(data[end : end+size])
			total += int(size)
		}
		return true
	})
	if err != nil {
		return err
	}
	dst.Data = make([]byte, 0, total)
	dst.Ends = make([]uint32, 0, len(want))
	for _, v := range values {
		dst.Append(v)
	}
	return nil
}
