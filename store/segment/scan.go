package segment

import (
	"cmp"
	"container/heap"
	"context"
	"runtime"
	"slices"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// How many rows are materialised at once: few at first, since most scans want a
// page, then twice as many each time, as long as they are small.
const (
	firstChunk = 128
	mostRows   = 8192
	mostBytes  = 4 << 20
)

// Scan implements store.Store.
//
// Sources are evaluated only when their turn comes: in a time order, when no row
// at hand is known to come before everything that they may hold.
func (s *Store) Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error {
	b := &bounds{times: q.Range, since: q.Since, until: q.Until, after: q.After, newest: q.Order == store.NewestFirst}
	if q.Order == store.ByPosition {
		b.after = nil
	}
	v := s.acquire(b.touches)
	defer v.release()
	sc := &scan{
		ctx: ctx, q: &q, bounds: b, mem: &budget{limit: s.opts.QueryMemory}, chunk: firstChunk,
		fields: q.Fields | event.Fields(event.EventID, event.Timestamp, event.Partition, event.Offset), pending: v.sources,
	}
	if q.Fields == 0 {
		sc.fields = event.AllFields
	}
	if q.Limit > 0 {
		sc.chunk = min(q.Limit, mostRows)
	}
	switch q.Order {
	case store.NewestFirst:
		slices.SortStableFunc(sc.pending, func(a, b source) int { return cmp.Compare(b.extent().maxTime, a.extent().maxTime) })
	case store.OldestFirst:
		slices.SortStableFunc(sc.pending, func(a, b source) int { return cmp.Compare(a.extent().minTime, b.extent().minTime) })
	}
	return sc.run(yield)
}

// scan is one scan under way.
type scan struct {
	ctx     context.Context
	q       *store.Scan
	bounds  *bounds
	fields  event.FieldSet
	mem     *budget
	chunk   int       // rows to materialise first
	pending []source  // not evaluated yet, in the order of their turns
	ahead   int       // how many of pending were evaluated together last
	ready   []*cursor // evaluated, whose turn has not come
	active  cursors   // those whose first row is at hand, the next one on top
}

// run yields every row.
func (sc *scan) run(yield func(*event.Event) bool) error {
	sc.active.newest = sc.bounds.newest
	var ev event.Event
	for n := 1; ; n++ {
		if err := sc.admit(); err != nil {
			return err
		}
		if len(sc.active.list) == 0 {
			return nil
		}
		c := sc.active.list[0]
		c.cols.Event(c.index(), sc.fields, &ev)
		if !yield(&ev) || n == sc.q.Limit {
			return nil
		}
		more, err := c.advance(sc)
		switch {
		case err != nil:
			return err
		case !more:
			heap.Pop(&sc.active)
		case len(sc.active.list) > 1:
			heap.Fix(&sc.active, 0)
		}
	}
}

// admit makes cursors active until nothing that is not can come before the next
// row. A scan by position takes one source after the other.
func (sc *scan) admit() error {
	for len(sc.pending)+len(sc.ready) > 0 {
		if len(sc.active.list) > 0 && !sc.mayPrecede(sc.upcoming()) {
			return nil
		}
		if len(sc.ready) == 0 {
			if err := sc.evaluate(); err != nil {
				return err
			}
			continue
		}
		c := sc.ready[0]
		sc.ready = sc.ready[1:]
		more, err := c.advance(sc)
		if err != nil {
			return err
		}
		if more {
			heap.Push(&sc.active, c)
		}
	}
	return nil
}

// upcoming returns the source whose turn is next.
func (sc *scan) upcoming() source {
	if len(sc.ready) > 0 {
		return sc.ready[0].src
	}
	return sc.pending[0]
}

// mayPrecede reports whether src may hold a row that comes before the one that
// is next.
func (sc *scan) mayPrecede(src source) bool {
	next := sc.active.list[0].key.Timestamp
	switch sc.q.Order {
	case store.NewestFirst:
		return src.extent().maxTime >= next
	case store.OldestFirst:
		return src.extent().minTime <= next
	}
	return false
}

// evaluate finds the rows of the next sources: of one at first, then, since one
// was not enough, of as many as there are processors, at the same time. Those
// without any row are forgotten.
func (sc *scan) evaluate() error {
	sc.ahead = min(max(1, 2*sc.ahead), runtime.GOMAXPROCS(0), len(sc.pending))
	if sc.q.Filter == nil {
		sc.ahead = 1 // nothing to evaluate
	}
	found := make([]*cursor, sc.ahead)
	err := parallel(sc.ahead, func(i int) (err error) {
		found[i], err = sc.open(sc.pending[i])
		return err
	})
	sc.pending = sc.pending[sc.ahead:]
	for _, c := range found {
		if c != nil {
			sc.ready = append(sc.ready, c)
		}
	}
	return err
}

// open finds the rows of src; nil when there are none.
func (sc *scan) open(src source) (*cursor, error) {
	e := &evaluator{ctx: sc.ctx, src: src, mem: sc.mem}
	defer e.release()
	set, err := e.selectRows(sc.bounds, sc.q.Filter)
	if err != nil || set == nil {
		return nil, err
	}
	c := &cursor{src: src, want: sc.chunk, held: int64(len(set.words)) * 8}
	if g, ok := src.(*segment); ok { // rows may be large
		c.want = min(c.want, int(max(1, mostBytes/(g.Memory/g.Parquet.Rows+1))))
	}
	hv, inMemory := src.(*headView)
	switch {
	case sc.q.Order == store.ByPosition && inMemory:
		c.order = &ascending{set: set}
	case sc.q.Order == store.ByPosition && !src.rising():
		key, err := e.keys()
		if err != nil {
			return nil, err
		}
		list := byPosition(set, key)
		c.order, c.held = list, int64(len(list.rows))*4
	case inMemory && !src.sorted():
		c.order = &selected{set, &hv.cols, sc.bounds.newest}
	default:
		c.order = &ascending{set, sc.bounds.newest}
	}
	return c, sc.mem.take(c.held)
}

// cursor walks through the rows of one source.
type cursor struct {
	src   source
	order rowOrder
	want  int   // rows to fetch next
	held  int64 // taken from the budget

	cols  *column.Rows
	at    []uint32 // where in cols the rows are; nil: one after the other
	n, i  int      // rows in the chunk, and the current one
	key   store.Key
	chunk int64 // taken from the budget for cols
}

// index returns where in cols the current row is.
func (c *cursor) index() int {
	if c.at != nil {
		return int(c.at[c.i])
	}
	return c.i
}

// advance moves to the next row, or to the first, and reports whether there is
// one.
func (c *cursor) advance(sc *scan) (bool, error) {
	if c.i++; c.i >= c.n {
		if err := c.fetch(sc); err != nil {
			return false, err
		}
		if c.n == 0 {
			sc.mem.give(c.held)
			return false, nil
		}
	}
	c.key = keyAt(c.cols, c.index())
	return true, nil
}

// fetch materialises the next rows.
func (c *cursor) fetch(sc *scan) error {
	if err := sc.ctx.Err(); err != nil {
		return err
	}
	sc.mem.give(c.chunk)
	c.chunk, c.cols, c.i = 0, nil, 0
	rows := c.order.next(c.want)
	if c.n = len(rows); c.n == 0 {
		return nil
	}
	var err error
	if c.cols, c.at, err = c.src.gather(sc.ctx, rows, sc.fields); err != nil {
		return err
	}
	c.want = min(2*c.want, mostRows)
	if c.src.resident() {
		return nil
	}
	c.chunk = rowsBytes(c.cols)
	if perRow := c.chunk/int64(c.n) + 1; perRow*int64(c.want) > mostBytes {
		c.want = max(1, int(mostBytes/perRow))
	}
	return sc.mem.take(c.chunk)
}

// rowsBytes returns how much memory the columns take for themselves: a shared
// dictionary is not theirs.
func rowsBytes(r *column.Rows) int64 {
	n := int64(r.N) * (16 + 3*8 + 4)
	for f := range r.Text {
		t := &r.Text[f]
		n += 4*int64(len(t.Codes)+len(t.Plain.Ends)) + int64(len(t.Plain.Data))
	}
	return n
}

// cursors is a heap of cursors with the next row on top.
type cursors struct {
	list   []*cursor
	newest bool
}

func (h *cursors) Len() int { return len(h.list) }
func (h *cursors) Less(i, j int) bool {
	c := compareKeys(h.list[i].key, h.list[j].key)
	return c != 0 && c > 0 == h.newest
}
func (h *cursors) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *cursors) Push(x any)    { h.list = append(h.list, x.(*cursor)) }
func (h *cursors) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}
