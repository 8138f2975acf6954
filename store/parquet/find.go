package parquet

import (
	"context"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
)

// idBounds is the least and greatest identity of each page.
type idBounds struct{ min, max []event.ID }

// idBounds returns the column index of the identities.
func (g *RowGroup) idBounds(c *chunk, pages int) (*idBounds, error) {
	key := cacheKey{g.file.id, c.columnIndex.off}
	if v, ok := g.file.cache.get(key); ok {
		return v.(*idBounds), nil
	}
	b, err := g.file.readSection(c.columnIndex, nil)
	if err != nil {
		return nil, err
	}
	var ci format.ColumnIndex
	if err := unmarshal(b, &ci); err != nil {
		return nil, g.file.damaged(c.columnIndex.off, err.Error())
	}
	bad := len(ci.MinValues) != pages || len(ci.MaxValues) != pages
	x := &idBounds{make([]event.ID, pages), make([]event.ID, pages)}
	for p := 0; p < pages && !bad; p++ {
		bad = len(ci.MinValues[p]) != len(event.ID{}) || len(ci.MaxValues[p]) != len(event.ID{})
		copy(x.min[p][:], ci.MinValues[p])
		copy(x.max[p][:], ci.MaxValues[p])
	}
	if bad {
		return nil, g.file.damaged(c.columnIndex.off, "page index is not one of identities")
	}
	g.file.cache.put(key, x, int64(32*pages))
	return x, nil
}

func compareIDs(a, b *event.ID) int { return strings.Compare(stringOf(a[:]), stringOf(b[:])) }

// scanIDs looks for ids[w], for each w in wanted, in the pages that may have it.
func (g *RowGroup) scanIDs(ctx context.Context, c *chunk, ids []event.ID, rows []int, wanted []int) error {
	x, err := g.pageIndex(c)
	if err != nil {
		return err
	}
	bounds, err := g.idBounds(c, x.pages())
	if err != nil {
		return err
	}
	s := g.file.cache.scratch.Get().(*scratch)
	defer g.file.cache.scratch.Put(s)
	slices.SortFunc(wanted, func(a, b int) int { return compareIDs(&ids[a], &ids[b]) })
	for p := x.pages() - 1; p >= 0; p-- {
		i, _ := slices.BinarySearchFunc(wanted, &bounds.min[p], func(w int, id *event.ID) int { return compareIDs(&ids[w], id) })
		var page []event.ID
		for ; i < len(wanted) && compareIDs(&ids[wanted[i]], &bounds.max[p]) <= 0; i++ {
			w := wanted[i]
			if rows[w] >= 0 {
				continue
			}
			if page == nil {
				if err := ctx.Err(); err != nil {
					return err
				}
				if page, err = g.idPage(c, x, p, s); err != nil {
					return err
				}
			}
			for n := len(page) - 1; n >= 0; n-- {
				if page[n] == ids[w] {
					rows[w] = int(x.first[p]) + n
					break
				}
			}
		}
	}
	return nil
}
