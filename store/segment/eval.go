package segment

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// fewRows is up to how many candidates are fetched and matched one by one
// instead of reading whole columns for them.
const fewRows = 128

// evaluator finds the rows of one source that a query wants. A leaf of the filter
// is evaluated over dictionary entries first, over rows only where it must be,
// and only over rows that are still candidates. A column is read once, however
// many leaves look at it, and kept until the evaluator is released.
type evaluator struct {
	ctx   context.Context
	src   source
	mem   *budget
	held  int64      // taken from mem for columns
	spare [][]uint64 // bitmaps to use again

	texts   [event.NumFields]*column.Text // columns that were read
	numbers [event.NumFields][]int64
	known   []event.ID
}

// release gives back the memory of the columns, which are not used any more.
func (e *evaluator) release() { e.mem.give(e.held) }

// selectRows returns the rows that lie within b and match x; nil when there are
// none.
func (e *evaluator) selectRows(b *bounds, x filter.Expr) (*rowset, error) {
	if may, err := e.possible(x); err != nil || !may {
		return nil, err
	}
	set, err := e.within(b)
	if err != nil || set == nil {
		return nil, err
	}
	if x != nil {
		if err := e.narrow(x, set); err != nil {
			return nil, err
		}
	}
	if set.empty() {
		return nil, nil
	}
	return set, nil
}

// possible reports whether some row may match x, by what is known of the source
// without reading columns.
func (e *evaluator) possible(x filter.Expr) (bool, error) {
	switch x := x.(type) {
	case filter.And:
		for _, n := range x {
			if may, err := e.possible(n); err != nil || !may {
				return false, err
			}
		}
	case filter.Or:
		for _, n := range x {
			if may, err := e.possible(n); err != nil || may {
				return may, err
			}
		}
		return false, nil
	case *filter.Term:
		return e.termPossible(x)
	}
	return true, nil
}

func (e *evaluator) termPossible(t *filter.Term) (bool, error) {
	f := t.Selector.Field
	switch {
	case f == event.EventID:
		ids, finite := exactIDs(t)
		return !finite || slices.ContainsFunc(ids, e.src.mayHold), nil
	case !f.IsText():
		lo, hi, err := e.src.intRange(f)
		from, to := t.IntRange()
		return from <= hi && to >= lo, err
	}
	if has, err := e.src.has(f); err != nil || !has {
		return false, err
	}
	texts, finite := t.Exact()
	if !finite {
		return true, nil
	}
	for _, v := range texts {
		if may, err := e.src.mayContain(f, v); err != nil || may {
			return may, err
		}
	}
	return false, nil
}

// exactIDs returns the identities that t matches, if they are finitely many.
func exactIDs(t *filter.Term) ([]event.ID, bool) {
	texts, finite := t.Exact()
	if !finite {
		return nil, false
	}
	ids := make([]event.ID, 0, len(texts))
	for _, text := range texts {
		if id, ok := event.ParseID(text); ok {
			ids = append(ids, id)
		}
	}
	return ids, true
}

// within returns the rows that lie within b; nil when there are none.
func (e *evaluator) within(b *bounds) (*rowset, error) {
	lo, hi := 0, e.src.extent().rows
	x := e.src.extent()
	inTimes := b.times.Includes(x.minTime) && b.times.Includes(x.maxTime)
	inPositions := x.from.Covers(b.since) && (b.until == nil || b.until.Covers(x.to))
	after := b.after
	if e.src.sorted() && (!inTimes || after != nil) {
		var err error
		if lo, hi, err = e.window(b, inTimes); err != nil {
			return nil, err
		}
		inTimes, after = true, nil
	}
	if e.src.rising() && !inPositions {
		offsets, err := e.ints(event.Offset)
		if err != nil {
			return nil, err
		}
		lo = max(lo, sort.Search(len(offsets), func(i int) bool { return offsets[i] >= b.since.At(0) }))
		if b.until != nil {
			hi = min(hi, sort.Search(len(offsets), func(i int) bool { return offsets[i] >= b.until.At(0) }))
		}
		inPositions = true
	}
	if lo >= hi {
		return nil, nil
	}
	set := &rowset{base: lo, n: hi - lo, words: make([]uint64, wordsFor(hi-lo))}
	set.fill()
	if !inTimes || after != nil {
		if err := e.keepTimes(b, set); err != nil {
			return nil, err
		}
	}
	if !inPositions {
		if err := e.keepPositions(b, set); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// window returns the rows [lo, hi) of a sorted source within b's times and on
// the right side of b.after.
func (e *evaluator) window(b *bounds, inTimes bool) (lo, hi int, err error) {
	times, err := e.ints(event.Timestamp)
	if err != nil {
		return 0, 0, err
	}
	lo, hi = 0, len(times)
	if !inTimes {
		lo = sort.Search(hi, func(i int) bool { return times[i] >= b.times.From })
		hi = lo + sort.Search(hi-lo, func(i int) bool { return !b.times.Includes(times[lo+i]) })
	}
	if b.after == nil || lo >= hi {
		return lo, hi, nil
	}
	first := lo + sort.Search(hi-lo, func(i int) bool { return times[lo+i] >= b.after.Timestamp })
	if first < hi && times[first] == b.after.Timestamp {
		if first, err = e.tie(b, times, first, hi); err != nil {
			return 0, 0, err
		}
	}
	if b.newest {
		return lo, min(hi, first), nil
	}
	return max(lo, first), hi, nil
}

// tie moves first, the first row of b.after's timestamp, past the rows that are
// before b.after; and past b.after itself when it counts upwards.
func (e *evaluator) tie(b *bounds, times []int64, first, hi int) (int, error) {
	key, err := e.keys()
	if err != nil {
		return 0, err
	}
	for ; first < hi && times[first] == b.after.Timestamp; first++ {
		if c := compareKeys(key(first), *b.after); c > 0 || c == 0 && b.newest {
			break
		}
	}
	return first, nil
}

// keepTimes keeps the rows within b's times and on the right side of b.after.
func (e *evaluator) keepTimes(b *bounds, set *rowset) error {
	key, err := e.keys()
	if err != nil {
		return err
	}
	times, err := e.ints(event.Timestamp)
	if err != nil {
		return err
	}
	set.keep(func(row int) bool {
		t := times[row]
		if !b.times.Includes(t) {
			return false
		}
		if b.after == nil {
			return true
		}
		c := cmp.Compare(t, b.after.Timestamp)
		if c == 0 {
			c = compareKeys(key(row), *b.after)
		}
		return c < 0 == b.newest && c != 0
	})
	return nil
}

// keepPositions keeps the rows from b.since to b.until.
func (e *evaluator) keepPositions(b *bounds, set *rowset) error {
	key, err := e.keys()
	if err != nil {
		return err
	}
	set.keep(func(row int) bool {
		pos := key(row).Position
		return !b.since.Includes(pos) && (b.until == nil || b.until.Includes(pos))
	})
	return nil
}

// narrow keeps the rows of set that match x.
func (e *evaluator) narrow(x filter.Expr, set *rowset) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	switch x := x.(type) {
	case filter.And:
		return e.narrowAnd(x, set)
	case filter.Or:
		return e.narrowOr(x, set)
	case filter.Not:
		words := e.words(set)
		defer e.recycle(words)
		copy(words, set.words)
		if err := e.narrow(x.X, &rowset{set.base, set.n, words}); err != nil {
			return err
		}
		set.subtract(words)
		return nil
	case *filter.Term:
		return e.narrowTerm(x, set)
	case *filter.Text:
		return e.narrowFreeText(x, set)
	}
	return nil
}

// narrowAnd evaluates cheap nodes first; as soon as few rows are left, they are
// matched one by one.
func (e *evaluator) narrowAnd(and filter.And, set *rowset) error {
	nodes := byCost(and)
	for i, n := range nodes {
		switch left := set.count(); {
		case left == 0:
			return nil
		case left <= fewRows:
			return e.matchRows(filter.And(nodes[i:]), set)
		}
		if err := e.narrow(n, set); err != nil {
			return err
		}
	}
	return nil
}

// narrowOr gives each node only the rows that none before it matched.
func (e *evaluator) narrowOr(or filter.Or, set *rowset) error {
	all, hits := e.words(set), e.words(set)
	defer e.recycle(all, hits)
	copy(all, set.words) // what no node matched yet
	for _, n := range byCost(or) {
		copy(hits, all)
		h := rowset{set.base, set.n, hits}
		if h.empty() {
			break
		}
		if err := e.narrow(n, &h); err != nil {
			return err
		}
		for i, w := range hits {
			all[i] &^= w
		}
	}
	set.subtract(all)
	return nil
}

func (e *evaluator) narrowTerm(t *filter.Term, set *rowset) error {
	switch f := t.Selector.Field; {
	case f == event.EventID:
		return e.narrowID(t, set)
	case f.IsText():
		piece := t.Contains()
		return e.narrowText(f, matcher{piece, t.MatchText, func(joined string) bool { return strings.Contains(joined, piece) }}, set)
	default:
		values, err := e.ints(f)
		if err != nil {
			return err
		}
		set.keep(func(row int) bool { return t.MatchInt(values[row]) })
		return nil
	}
}

func (e *evaluator) narrowID(t *filter.Term, set *rowset) error {
	wanted, finite := exactIDs(t)
	if !finite {
		ids, err := e.ids()
		if err != nil {
			return err
		}
		set.keep(func(row int) bool { return t.MatchID(ids[row]) })
		return nil
	}
	var rows []int
	err := e.src.findIDs(e.ctx, wanted, func(row uint32) bool {
		if set.has(int(row)) {
			rows = append(rows, int(row))
		}
		return true
	})
	if err != nil {
		return err
	}
	set.clear()
	for _, row := range rows {
		set.add(row)
	}
	return nil
}

// matchRows fetches the rows of set, which are few, and matches them one by one.
func (e *evaluator) matchRows(x filter.Expr, set *rowset) error {
	fields := filter.Fields(x)
	rows := set.rows()
	cols, at, err := e.src.gather(e.ctx, rows, fields)
	if err != nil {
		return err
	}
	set.clear()
	var ev event.Event
	for i, row := range rows {
		if at != nil {
			i = int(at[i])
		}
		cols.Event(i, fields, &ev)
		if filter.Match(x, &ev) {
			set.add(int(row))
		}
	}
	return nil
}

// keys returns a function that gives the key of a row.
func (e *evaluator) keys() (func(row int) store.Key, error) {
	var cols column.Rows
	var err error
	if cols.Timestamps, err = e.ints(event.Timestamp); err != nil {
		return nil, err
	}
	if cols.Offsets, err = e.ints(event.Offset); err != nil {
		return nil, err
	}
	if len(e.src.extent().to) <= 1 {
		return func(row int) store.Key { return keyAt(&cols, row) }, nil
	}
	partitions, err := e.ints(event.Partition)
	return func(row int) store.Key {
		k := keyAt(&cols, row)
		k.Position.Partition = int32(partitions[row])
		return k
	}, err
}

// ints reads a column and accounts for it.
func (e *evaluator) ints(f event.Field) ([]int64, error) {
	if vs := e.numbers[f]; vs != nil {
		return vs, nil
	}
	vs, err := e.src.ints(e.ctx, f)
	if err != nil {
		return nil, err
	}
	e.numbers[f] = vs
	return vs, e.charge(8 * int64(len(vs)))
}

// ids reads the identities and accounts for them.
func (e *evaluator) ids() ([]event.ID, error) {
	if e.known != nil {
		return e.known, nil
	}
	ids, err := e.src.ids(e.ctx)
	if err != nil {
		return nil, err
	}
	e.known = ids
	return ids, e.charge(int64(len(ids)) * int64(len(event.ID{})))
}

// text reads a column and accounts for it.
func (e *evaluator) text(f event.Field) (*column.Text, error) {
	if t := e.texts[f]; t != nil {
		return t, nil
	}
	t, err := e.src.text(e.ctx, f)
	if err != nil {
		return nil, err
	}
	e.texts[f] = t
	return t, e.charge(t.Bytes())
}

// charge takes n bytes from the query's budget until the evaluator is done.
func (e *evaluator) charge(n int64) error {
	if e.src.resident() {
		return nil
	}
	if err := e.mem.take(n); err != nil {
		return err
	}
	e.held += n
	return nil
}

// words returns a bitmap of set's size with any content.
func (e *evaluator) words(set *rowset) []uint64 {
	if n := len(e.spare); n > 0 {
		w := e.spare[n-1]
		e.spare = e.spare[:n-1]
		return w
	}
	return make([]uint64, len(set.words))
}

func (e *evaluator) recycle(words ...[]uint64) { e.spare = append(e.spare, words...) }

// byCost returns the nodes with the cheapest to evaluate first.
func byCost(nodes []filter.Expr) []filter.Expr {
	return slices.SortedStableFunc(slices.Values(nodes), func(a, b filter.Expr) int { return cmp.Compare(cost(a), cost(b)) })
}

// cost ranks what evaluating x over many rows costs.
func cost(x filter.Expr) int {
	switch x := x.(type) {
	case filter.Not:
		return cost(x.X)
	case filter.And:
		return costliest(x)
	case filter.Or:
		return costliest(x)
	case *filter.Text:
		return 9
	case *filter.Term:
		_, finite := x.Exact()
		switch kind := x.Selector.Field.Info().Kind; {
		case kind == event.KindID && finite:
			return 0
		case kind == event.KindEnum:
			return 1
		case kind == event.KindJSON:
			return 8
		case finite, kind == event.KindTime, kind == event.KindInt:
			return 2
		}
		return 3
	}
	return 0
}

func costliest(nodes []filter.Expr) int {
	most := 0
	for _, n := range nodes {
		most = max(most, cost(n))
	}
	return most
}
