package storetest

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Model is what a store should answer, worked out in the plainest way.
type Model struct{ Events []event.Event }

// Scan returns the events of a scan.
func (m *Model) Scan(q *store.Scan) []event.Event {
	var out []event.Event
	for i := range m.Events {
		e := &m.Events[i]
		if m.wanted(e, q.Filter, q.Range, q.Since, q.Until) && isAfter(e, q) {
			out = append(out, *e)
		}
	}
	slices.SortFunc(out, func(a, b event.Event) int {
		switch q.Order {
		case store.NewestFirst:
			return compareKeys(keyOf(&b), keyOf(&a))
		case store.OldestFirst:
			return compareKeys(keyOf(&a), keyOf(&b))
		}
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	if q.Limit > 0 && q.Order != store.ByPosition && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

func (m *Model) wanted(e *event.Event, x filter.Expr, r store.Range, since, until event.Positions) bool {
	return r.Includes(e.Timestamp) && !since.Includes(e.Position()) &&
		(until == nil || until.Includes(e.Position())) && filter.Match(x, e)
}

func isAfter(e *event.Event, q *store.Scan) bool {
	switch {
	case q.After == nil || q.Order == store.ByPosition:
		return true
	case q.Order == store.NewestFirst:
		return compareKeys(keyOf(e), *q.After) < 0
	}
	return compareKeys(keyOf(e), *q.After) > 0
}

// Count returns the answer to a count.
func (m *Model) Count(q *store.Count) *store.Counts {
	out := new(store.Counts)
	buckets := map[int64]int64{}
	groups := map[string]map[int64]int64{}
	for i := range m.Events {
		e := &m.Events[i]
		if !m.wanted(e, q.Filter, q.Range, nil, q.Until) {
			continue
		}
		out.Total++
		start := int64(0)
		if q.Bucket > 0 {
			start = e.Timestamp - (e.Timestamp%int64(q.Bucket)+int64(q.Bucket))%int64(q.Bucket)
		}
		buckets[start]++
		if q.By != nil {
			v := valueOf(e, q.By)
			if groups[v] == nil {
				groups[v] = map[int64]int64{}
			}
			groups[v][start]++
		}
	}
	list := func(m map[int64]int64) (list []store.Bucket) {
		if q.Bucket == 0 {
			return nil
		}
		for start, n := range m {
			list = append(list, store.Bucket{Start: start, Count: n})
		}
		slices.SortFunc(list, func(a, b store.Bucket) int { return cmp.Compare(a.Start, b.Start) })
		return list
	}
	out.Buckets = list(buckets)
	for v, m := range groups {
		g := store.Group{Value: v, Buckets: list(m)}
		for _, n := range m {
			g.Count += n
		}
		out.Groups = append(out.Groups, g)
	}
	slices.SortFunc(out.Groups, func(a, b store.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	out.Values = int64(len(out.Groups))
	top := cmp.Or(q.Top, 10)
	if len(out.Groups) > top {
		for _, g := range out.Groups[top:] {
			out.Other += g.Count
		}
		out.Groups = out.Groups[:top]
	}
	return out
}

// valueOf returns what e is counted under.
func valueOf(e *event.Event, by *filter.Selector) string {
	switch by.Field {
	case event.EventID:
		return e.ID.String()
	case event.Timestamp:
		return string(event.AppendTime(nil, e.Timestamp))
	case event.ReceivedAt:
		return string(event.AppendTime(nil, e.ReceivedAt))
	case event.Partition:
		return strconv.Itoa(int(e.Partition))
	case event.Offset:
		return strconv.FormatInt(e.Offset, 10)
	}
	return by.Value(e.Text(by.Field))
}

func keyOf(e *event.Event) store.Key {
	return store.Key{Timestamp: e.Timestamp, Position: e.Position()}
}

func compareKeys(a, b store.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp),
		cmp.Compare(a.Position.Partition, b.Position.Partition),
		cmp.Compare(a.Position.Offset, b.Position.Offset))
}
