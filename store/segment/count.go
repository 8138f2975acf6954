package segment

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// defaultTop is how many groups a count returns that does not say.
const defaultTop = 10

// What groups take, about: one besides its value, and one of its buckets.
const (
	groupBytes = 96
	cellBytes  = 64
)

// Count implements store.Store. Nothing is materialised: rows are counted by
// dictionary code. Sources are counted in parallel. Groups with buckets take a
// second pass over the rows that the first one found, for the groups that are
// returned only.
func (s *Store) Count(ctx context.Context, q store.Count) (*store.Counts, error) {
	if q.Bucket < 0 {
		return nil, fmt.Errorf("the width of the buckets is %s; it must not be negative", q.Bucket)
	}
	b := &bounds{times: q.Range, until: q.Until}
	v := s.acquire(b.touches)
	defer v.release()
	c := &counting{q: &q, bounds: b, mem: &budget{limit: s.opts.QueryMemory}, width: int64(q.Bucket),
		buckets: make(map[int64]int64), found: make([]*rowset, len(v.sources))}
	if q.By != nil {
		c.groups = newGroups(c.mem)
	}
	if err := parallel(len(v.sources), func(i int) error { return c.count(ctx, i, v.sources[i]) }); err != nil {
		return nil, err
	}
	out := &store.Counts{Total: c.total}
	if c.width > 0 {
		out.Buckets = bucketList(c.buckets)
	}
	if q.By == nil {
		return out, nil
	}
	c.rank(out)
	if c.width > 0 {
		if err := c.splitGroups(ctx, v.sources, out.Groups); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parallel calls fn for 0 to n-1, as many at once as there are processors, and
// returns the first error.
func parallel(n int, fn func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { return fn(i) })
	}
	return g.Wait()
}

// counting is one count under way.
type counting struct {
	q      *store.Count
	bounds *bounds
	mem    *budget
	width  int64     // of the buckets, ns; 0: none
	found  []*rowset // by source; each written by the goroutine that counts it
	groups *groups   // nil: not by value

	mu      sync.Mutex
	total   int64           // guarded by mu
	buckets map[int64]int64 // guarded by mu: by start
}

// count counts source i.
func (c *counting) count(ctx context.Context, i int, src source) error {
	if c.q.Filter == nil && c.q.By == nil && c.wholly(src.extent()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.total += int64(src.extent().rows)
		if c.width > 0 {
			c.buckets[floor(src.extent().minTime, c.width)] += int64(src.extent().rows)
		}
		return c.checkBuckets()
	}
	e := &evaluator{ctx: ctx, src: src, mem: c.mem}
	defer e.release()
	set, err := e.selectRows(c.bounds, c.q.Filter)
	if err != nil || set == nil {
		return err
	}
	if err := c.mem.take(int64(len(set.words)) * 8); err != nil {
		return err
	}
	c.found[i] = set
	if c.width > 0 {
		times, err := e.ints(event.Timestamp)
		if err != nil {
			return err
		}
		if err := c.addBuckets(set, times, src.sorted()); err != nil {
			return err
		}
	}
	n := set.count()
	c.mu.Lock()
	c.total += int64(n)
	c.mu.Unlock()
	if c.q.By == nil {
		return nil
	}
	return c.countGroups(e, set)
}

// wholly reports whether every row within x counts, and all in one bucket.
func (c *counting) wholly(x *extent) bool {
	return c.bounds.times.Includes(x.minTime) && c.bounds.times.Includes(x.maxTime) &&
		(c.bounds.until == nil || c.bounds.until.Covers(x.to)) &&
		(c.width == 0 || floor(x.minTime, c.width) == floor(x.maxTime, c.width))
}

// addBuckets counts the rows of set by time.
func (c *counting) addBuckets(set *rowset, times []int64, sorted bool) error {
	own := make(map[int64]int64)
	eachSpan(set, times, sorted, c.width, func(start int64, lo, hi int) {
		if n := set.countIn(lo, hi); n > 0 {
			own[start] += int64(n)
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for start, n := range own {
		c.buckets[start] += n
	}
	return c.checkBuckets()
}

// checkBuckets refuses too many. The caller holds mu.
func (c *counting) checkBuckets() error {
	if len(c.buckets) > store.MaxBuckets {
		return fmt.Errorf("buckets of %s give more than %d; take wider buckets or a shorter range", c.q.Bucket, store.MaxBuckets)
	}
	return nil
}

// eachSpan calls fn for the rows that set reaches over, piece by piece: rows lo to
// hi-1 are in the bucket that begins at start. Of sorted rows a bucket is one
// piece, and its end is searched for; of others, a few.
func eachSpan(set *rowset, times []int64, sorted bool, width int64, fn func(start int64, lo, hi int)) {
	for lo, end := set.base, set.base+set.n; lo < end; {
		start, next := bucketOf(times[lo], width)
		hi := lo + 1
		if sorted {
			hi += sort.Search(end-hi, func(i int) bool { return times[hi+i] >= next })
		} else {
			for hi < end && times[hi] >= start && times[hi] < next {
				hi++
			}
		}
		fn(start, lo, hi)
		lo = hi
	}
}

// bucketOf returns the start of t's bucket and of the next one; where these are
// beyond what 64 bits hold, the least and greatest time.
func bucketOf(t, width int64) (start, next int64) {
	into := t % width
	if into < 0 {
		into += width
	}
	start, next = t-into, t+(width-into)
	if start > t {
		start = math.MinInt64
	}
	if next < t {
		next = math.MaxInt64
	}
	return start, next
}

// floor returns the start of t's bucket.
func floor(t, width int64) int64 {
	start, _ := bucketOf(t, width)
	return start
}

// countGroups counts the rows of set by value.
func (c *counting) countGroups(e *evaluator, set *rowset) error {
	values, err := groupValues(e, c.q.By)
	if err != nil {
		return err
	}
	w := c.groups.writer()
	if values.codes == nil {
		set.each(func(row int) bool { return w.add(values.at(row), 1) })
	} else {
		counts := make([]int64, len(values.names))
		set.tally(values.codes, nil, counts, set.base, set.base+set.n)
		for code, n := range counts {
			if n > 0 && !w.add(values.names[code], n) {
				break
			}
		}
	}
	if err := w.close(); err != nil {
		return fmt.Errorf("count by %s: %w", c.q.By, err)
	}
	return nil
}

// grouped gives the value that each row of a source is counted under.
type grouped struct {
	codes []uint32 // nil: ask at
	names []string // by code
	at    func(row int) string
}

// groupValues reads what is needed to count by the selector.
func groupValues(e *evaluator, by *filter.Selector) (*grouped, error) {
	f := by.Field
	switch {
	case f == event.EventID:
		ids, err := e.ids()
		return &grouped{at: func(row int) string { return ids[row].String() }}, err
	case !f.IsText():
		vs, err := e.ints(f)
		if f == event.Timestamp || f == event.ReceivedAt {
			return &grouped{at: func(row int) string { return string(event.AppendTime(nil, vs[row])) }}, err
		}
		return &grouped{at: func(row int) string { return strconv.FormatInt(vs[row], 10) }}, err
	}
	if has, err := e.src.has(f); err != nil {
		return nil, err
	} else if !has {
		return &grouped{at: func(int) string { return "" }}, nil
	}
	t, err := e.text(f)
	if err != nil {
		return nil, err
	}
	if t.Codes == nil {
		return &grouped{at: plainValues(t, by)}, nil
	}
	g := &grouped{codes: t.Codes, names: make([]string, t.Dict.Len()+1)}
	for c := range t.Dict.Len() {
		g.names[c+1] = by.Value(t.Dict.At(c))
	}
	return g, nil
}

// plainValues gives the values of a column without codes.
func plainValues(t *column.Text, by *filter.Selector) func(row int) string {
	switch {
	case t.Absent():
		return func(int) string { return "" }
	case t.Dict != nil:
		only := by.Value(t.Dict.At(0))
		return func(int) string { return only }
	}
	return func(row int) string { return by.Value(t.Plain.At(row)) }
}

// rank puts the largest groups into out.
func (c *counting) rank(out *store.Counts) {
	top := c.q.Top
	if top <= 0 {
		top = defaultTop
	}
	best, all := c.groups.largest(top)
	out.Groups, out.Values, out.Other = best, int64(all), c.total
	for _, g := range best {
		out.Other -= g.Count
	}
}

// splitGroups counts the rows of each of groups by time.
func (c *counting) splitGroups(ctx context.Context, sources []source, groups []store.Group) error {
	index := make(map[string]uint32, len(groups))
	cells := make([]map[int64]int64, len(groups)) // guarded by c.mu
	for i, g := range groups {
		index[g.Value] = uint32(i)
		cells[i] = make(map[int64]int64)
	}
	err := parallel(len(sources), func(i int) error {
		if c.found[i] == nil {
			return nil
		}
		return c.splitSource(ctx, sources[i], c.found[i], index, cells)
	})
	if err != nil {
		return err
	}
	for i := range groups {
		groups[i].Buckets = bucketList(cells[i])
	}
	return nil
}

// splitSource adds to cells the rows of set, by group and time, that belong to
// the groups in index.
func (c *counting) splitSource(ctx context.Context, src source, set *rowset, index map[string]uint32, cells []map[int64]int64) error {
	e := &evaluator{ctx: ctx, src: src, mem: c.mem}
	defer e.release()
	times, err := e.ints(event.Timestamp)
	if err != nil {
		return err
	}
	values, err := groupValues(e, c.q.By)
	if err != nil {
		return err
	}
	counts := make([]int64, len(index)+1) // the last is for all other groups
	add := groupAdder(values, index, set, counts)
	eachSpan(set, times, src.sorted(), c.width, func(start int64, lo, hi int) {
		add(lo, hi)
		if err == nil {
			err = c.addCells(cells, start, counts[:len(index)])
		}
		clear(counts)
	})
	return err
}

// addCells adds the counts of one bucket, by group.
func (c *counting) addCells(cells []map[int64]int64, start int64, counts []int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for g, n := range counts {
		if n == 0 {
			continue
		}
		if _, known := cells[g][start]; !known {
			if err := c.mem.take(cellBytes); err != nil {
				return fmt.Errorf("count by %s in buckets of %s: %w", c.q.By, c.q.Bucket, err)
			}
		}
		cells[g][start] += n
	}
	return nil
}

// groupAdder returns a function that adds the rows lo to hi-1 of set to the counts
// of their groups.
func groupAdder(values *grouped, index map[string]uint32, set *rowset, counts []int64) func(lo, hi int) {
	others := uint32(len(index))
	groupOf := func(v string) uint32 {
		if g, ok := index[v]; ok {
			return g
		}
		return others
	}
	if values.codes == nil {
		return func(lo, hi int) {
			set.eachIn(lo, hi, func(row int) { counts[groupOf(values.at(row))]++ })
		}
	}
	byCode := make([]uint32, len(values.names))
	for code, name := range values.names {
		byCode[code] = groupOf(name)
	}
	return func(lo, hi int) { set.tally(values.codes, byCode, counts, lo, hi) }
}

// bucketList returns buckets in time order.
func bucketList(m map[int64]int64) []store.Bucket {
	list := make([]store.Bucket, 0, len(m))
	for start, n := range m {
		list = append(list, store.Bucket{Start: start, Count: n})
	}
	slices.SortFunc(list, func(a, b store.Bucket) int { return cmp.Compare(a.Start, b.Start) })
	return list
}
