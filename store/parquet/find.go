package parquet

import (
	"context"
	"encoding/binary"
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

// scanIDs looks for the wanted identities, which it sorts, in the pages that may
// have them, the last page first.
func (g *RowGroup) scanIDs(ctx context.Context, c *chunk, wanted []event.ID, yield func(row uint32) bool) error {
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
	slices.SortFunc(wanted, orderIDs)
	wanted = slices.Compact(wanted)
	for p := x.pages() - 1; p >= 0; p-- {
		from, _ := slices.BinarySearchFunc(wanted, bounds.min[p], orderIDs)
		to, last := slices.BinarySearchFunc(wanted, bounds.max[p], orderIDs)
		if last {
			to++
		}
		if from >= to {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := g.idPage(c, x, p, s)
		if err != nil {
			return err
		}
		if !findIn(page, wanted[from:to], func(n int) bool { return yield(x.first[p] + uint32(n)) }) {
			return nil
		}
	}
	return nil
}

// findIn calls yield for every index of page that has one of the wanted
// identities, which rise, until it returns false; then it returns false, too.
func findIn(page, wanted []event.ID, yield func(n int) bool) bool {
	if len(wanted) <= 2 { // comparing all is faster
		for i := range wanted {
			tail := idTail(&wanted[i])
			for n := range page {
				if idTail(&page[n]) == tail && page[n] == wanted[i] && !yield(n) {
					return false
				}
			}
		}
		return true
	}
	var may [4096]bool // by the end of an identity, which is mostly random
	for i := range wanted {
		may[idTail(&wanted[i])>>52] = true
	}
	for n := range page {
		if !may[idTail(&page[n])>>52] {
			continue
		}
		if _, found := slices.BinarySearchFunc(wanted, page[n], orderIDs); found && !yield(n) {
			return false
		}
	}
	return true
}

// idTail returns the last eight bytes of an identity, the last one the highest.
func idTail(id *event.ID) uint64 { return binary.LittleEndian.Uint64(id[8:]) }
