package segment

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// defaultTop is how many groups a count returns that does not say.
const defaultTop = 10

// groupBytes is about what a group takes besides its value.
const groupBytes = 96

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
		buckets: make(map[int64]int64), groups: make(map[string]int64), found: make([]*rowset, len(v.sources))}
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

	mu      sync.Mutex
	total   int64            // guarded by mu
	buckets map[int64]int64  // guarded by mu: by start
	groups  map[string]int64 // guarded by mu
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
	set, err := selectRows(ctx, src, c.bounds, c.q.Filter, c.mem)
	if err != nil || set == nil {
		return err
	}
	if err := c.mem.take(int64(len(set.words)) * 8); err != nil {
		return err
	}
	c.found[i] = set
	e := &evaluator{ctx: ctx, src: src, mem: c.mem}
	defer func() { c.mem.give(e.held) }()
	if c.width > 0 {
		times, err := e.ints(event.Timestamp)
		if err != nil {
			return err
		}
		if err := c.addBuckets(set, times); err != nil {
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
	return x.minTime >= c.bounds.times.From && x.maxTime < c.bounds.times.To &&
		(c.bounds.until == nil || c.bounds.until.Covers(x.to)) &&
		(c.width == 0 || floor(x.minTime, c.width) == floor(x.maxTime, c.width))
}

// addBuckets counts the rows of set by time. Rows come nearly sorted, so a run of
// rows in one bucket is counted without looking the bucket up.
func (c *counting) addBuckets(set *rowset, times []int64) error {
	own := make(map[int64]int64)
	eachRun(set, times, c.width, func(start int64, _, n int) { own[start] += int64(n) })
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

// eachRun calls fn for every run of rows of set in the same bucket, with the
// bucket's start, the first row and the number of rows.
func eachRun(set *rowset, times []int64, width int64, fn func(start int64, row, n int)) {
	start, end, first, n := int64(0), int64(0), 0, 0 // start ≤ t < end is the same bucket; end 0 with n 0: none yet
	set.each(func(row int) bool {
		if t := times[row]; n == 0 || t < start || t >= end {
			if n > 0 {
				fn(start, first, n)
			}
			start = floor(t, width)
			end, first, n = start+width, row, 0
		}
		n++
		return true
	})
	if n > 0 {
		fn(start, first, n)
	}
}

// floor returns the start of t's bucket.
func floor(t, width int64) int64 {
	into := t % width
	if into < 0 {
		into += width
	}
	return t - into
}

// countGroups counts the rows of set by value.
func (c *counting) countGroups(e *evaluator, set *rowset) error {
	own := make(map[string]int64)
	values, err := groupValues(e, c.q.By)
	if err != nil {
		return err
	}
	if values.codes == nil {
		set.each(func(row int) bool {
			own[values.at(row)]++
			return true
		})
	} else {
		counts := make([]int64, len(values.names))
		set.each(func(row int) bool {
			counts[values.codes[row]]++
			return true
		})
		for code, n := range counts {
			if n > 0 {
				own[values.names[code]] += n
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for v, n := range own {
		if _, known := c.groups[v]; !known {
			if err := c.mem.take(int64(len(v)) + groupBytes); err != nil {
				return fmt.Errorf("count by %s: %w", c.q.By, err)
			}
			v = strings.Clone(v)
		}
		c.groups[v] += n
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
		ids, err := e.src.ids(e.ctx)
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
	out.Groups = make([]store.Group, 0, len(c.groups))
	for v, n := range c.groups {
		out.Groups = append(out.Groups, store.Group{Value: v, Count: n})
	}
	slices.SortFunc(out.Groups, func(a, b store.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	out.Values = int64(len(out.Groups))
	if len(out.Groups) > top {
		for _, g := range out.Groups[top:] {
			out.Other += g.Count
		}
		out.Groups = slices.Clone(out.Groups[:top])
	}
}

// splitGroups counts the rows of each of groups by time.
func (c *counting) splitGroups(ctx context.Context, sources []source, groups []store.Group) error {
	index := make(map[string]int, len(groups))
	for i, g := range groups {
		index[g.Value] = i
	}
	all := make([]map[int64]int64, len(groups))
	for i := range all {
		all[i] = make(map[int64]int64)
	}
	err := parallel(len(sources), func(i int) error {
		if c.found[i] == nil {
			return nil
		}
		own, err := c.splitSource(ctx, sources[i], c.found[i], index)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for k, n := range own {
			all[k.group][k.start] += n
		}
		return nil
	})
	for i := range groups {
		groups[i].Buckets = bucketList(all[i])
	}
	return err
}

// groupBucket is a bucket of a group.
type groupBucket struct {
	group int
	start int64
}

// splitSource counts the rows of set by group and time, for the groups in index.
func (c *counting) splitSource(ctx context.Context, src source, set *rowset, index map[string]int) (map[groupBucket]int64, error) {
	e := &evaluator{ctx: ctx, src: src, mem: c.mem}
	defer func() { c.mem.give(e.held) }()
	times, err := e.ints(event.Timestamp)
	if err != nil {
		return nil, err
	}
	values, err := groupValues(e, c.q.By)
	if err != nil {
		return nil, err
	}
	groupOf := groupFinder(values, index)
	own := make(map[groupBucket]int64)
	counts := make([]int64, len(index)) // of the bucket from start to end
	start, end := int64(0), int64(0)
	flush := func() {
		for g, n := range counts {
			if n > 0 {
				own[groupBucket{g, start}] += n
				counts[g] = 0
			}
		}
	}
	set.each(func(row int) bool {
		g := groupOf(row)
		if g < 0 {
			return true
		}
		if t := times[row]; t < start || t >= end {
			flush()
			start = floor(t, c.width)
			end = start + c.width
		}
		counts[g]++
		return true
	})
	flush()
	return own, nil
}

// groupFinder returns a function that gives a row's index in the groups, or -1.
func groupFinder(values *grouped, index map[string]int) func(row int) int {
	if values.codes == nil {
		return func(row int) int {
			if g, ok := index[values.at(row)]; ok {
				return g
			}
			return -1
		}
	}
	byCode := make([]int, len(values.names))
	for code, name := range values.names {
		byCode[code] = -1
		if g, ok := index[name]; ok {
			byCode[code] = g
		}
	}
	return func(row int) int { return byCode[values.codes[row]] }
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
