package segment

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// rowOrder hands out the rows of one source in the order of a scan.
type rowOrder interface {
	// next returns the next rows, k at most; none at the end.
	next(k int) []uint32
}

// ascending hands out rows as they lie in the source, or the other way round.
type ascending struct {
	set      *rowset
	backward bool
}

func (o *ascending) next(k int) []uint32 { return o.set.takeFirst(k, o.backward) }

// listed hands out a list.
type listed struct{ rows []uint32 }

func (o *listed) next(k int) []uint32 {
	k = min(k, len(o.rows))
	rows := o.rows[:k]
	o.rows = o.rows[k:]
	return rows
}

// byPosition returns the rows of set by (partition, offset).
func byPosition(set *rowset, key func(row int) store.Key) *listed {
	type placed struct {
		offset    int64
		partition int32
		row       uint32
	}
	list := make([]placed, 0, set.count())
	set.each(func(row int) bool {
		pos := key(row).Position
		list = append(list, placed{pos.Offset, pos.Partition, uint32(row)})
		return true
	})
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	rows := make([]uint32, len(list))
	for i, p := range list {
		rows[i] = p.row
	}
	return &listed{rows}
}

// selected hands out the rows of a source that is not sorted: each time the best
// k of what is left, found in one pass. Events come nearly sorted, so in a pass
// that begins at the right end almost every row loses its first comparison.
// A scan that goes on doubles k, so that all passes together are a few.
type selected struct {
	set    *rowset
	cols   *column.Rows
	newest bool
}

func (o *selected) next(k int) []uint32 {
	if left := o.set.count(); k >= left/4 {
		k = left // sorting them costs less than passes would
	}
	best := worstFirst{cols: o.cols, newest: o.newest, rows: make([]uint32, 0, k)}
	offer := func(row int) bool {
		switch {
		case len(best.rows) < k:
			heap.Push(&best, uint32(row))
		case best.before(uint32(row), best.rows[0]):
			best.rows[0] = uint32(row)
			heap.Fix(&best, 0)
		}
		return true
	}
	if k > 0 && k == o.set.count() {
		best.rows = o.set.rows()
	} else if o.newest {
		o.set.eachBackward(offer)
	} else {
		o.set.each(offer)
	}
	slices.SortFunc(best.rows, func(a, b uint32) int {
		if best.before(a, b) {
			return -1
		}
		return 1
	})
	for _, row := range best.rows {
		i := int(row) - o.set.base
		o.set.words[i/64] &^= 1 << (i % 64)
	}
	return best.rows
}

// worstFirst is a heap of rows with the one that comes last in the order on top.
type worstFirst struct {
	cols   *column.Rows
	newest bool
	rows   []uint32
}

// before reports whether row a comes before row b in the order.
func (h *worstFirst) before(a, b uint32) bool {
	c := cmp.Compare(h.cols.Timestamps[a], h.cols.Timestamps[b])
	if c == 0 {
		c = compareKeys(keyAt(h.cols, int(a)), keyAt(h.cols, int(b)))
	}
	return c != 0 && c > 0 == h.newest
}

func (h *worstFirst) Len() int           { return len(h.rows) }
func (h *worstFirst) Less(i, j int) bool { return h.before(h.rows[j], h.rows[i]) }
func (h *worstFirst) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *worstFirst) Push(x any)         { h.rows = append(h.rows, x.(uint32)) }
func (h *worstFirst) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}
