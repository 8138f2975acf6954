// Package querytest is a store and a stream in memory, small enough to be seen
// to be right: what query and api are tested against besides the real ones.
package querytest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Mem is a store and the stream that it is fed from, in one. Publish puts events
// onto the stream; they become visible at once, or, while Hold is in force, when
// it is released. It is safe for concurrent use.
type Mem struct {
	Log event.LogID // identity of the stream; to be changed before use only

	mu      sync.Mutex
	rows    []event.Event   // guarded by mu: visible, in the order in which the store took them
	held    []event.Event   // guarded by mu: on the stream and not yet in the store
	holding bool            // guarded by mu
	end     event.Positions // guarded by mu
	visible event.Positions // guarded by mu
	moved   chan struct{}   // guarded by mu: closed, and replaced, when visible moves
	scanErr error           // guarded by mu
	scanAt  int             // guarded by mu
	damaged []store.Damage  // guarded by mu
}

// New returns an empty store.
func New() *Mem { return &Mem{Log: event.LogID{0xda, 0x7b}, moved: make(chan struct{})} }

// Publish puts the events onto the stream, each at the end of its Partition, and
// returns them with their offsets.
func (m *Mem) Publish(events ...event.Event) []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range events {
		e := &events[i]
		e.Offset = m.end.At(e.Partition)
		m.end = m.end.Advance(e.Partition, e.Offset+1)
		m.held = append(m.held, *e)
	}
	if !m.holding {
		m.take()
	}
	return events
}

// Hold keeps what is published from becoming visible until it is released.
func (m *Mem) Hold(hold bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holding = hold
	if !hold {
		m.take()
	}
}

// FailScans makes every scan fail with err after it yielded n events; nil: no more.
func (m *Mem) FailScans(err error, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scanErr, m.scanAt = err, n
}

// Forget drops the events that are visible, as retention does.
func (m *Mem) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = nil
}

// Lose makes the store say that a segment of n events is damaged.
func (m *Mem) Lose(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.damaged = append(m.damaged, store.Damage{Events: n})
}

// Stats returns what the store says is damaged, and nothing else.
func (m *Mem) Stats() store.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return store.Stats{Damaged: slices.Clone(m.damaged)}
}

// take moves what is held into the store. The caller holds mu.
func (m *Mem) take() {
	m.rows = append(m.rows, m.held...)
	m.held = nil
	m.visible = m.end.Clone()
	close(m.moved)
	m.moved = make(chan struct{})
}

// ID returns the identity of the stream.
func (m *Mem) ID() event.LogID { return m.Log }

// End returns the end of the stream.
func (m *Mem) End(context.Context) (event.Positions, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end.Clone(), nil
}

// Visible returns the position that scans see everything before.
func (m *Mem) Visible() event.Positions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.visible
}

// Wait returns when Visible covers pos.
func (m *Mem) Wait(ctx context.Context, pos event.Positions) error {
	for {
		m.mu.Lock()
		reached, moved := m.visible.Covers(pos), m.moved
		m.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Get returns the first event that has the ID and matches x.
func (m *Mem) Get(_ context.Context, id event.ID, x filter.Expr) (*event.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rows {
		if m.rows[i].ID == id && filter.Match(x, &m.rows[i]) {
			e := m.rows[i]
			return &e, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", id, store.ErrNotFound)
}

// Scan calls yield for every event that matches.
func (m *Mem) Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error {
	m.mu.Lock()
	failure, failAt := m.scanErr, m.scanAt
	rows := m.rows
	m.mu.Unlock()
	if q.Order != store.ByPosition {
		rows = slices.Clone(rows)
		slices.SortFunc(rows, func(a, b event.Event) int { return compare(key(&a), key(&b)) })
		if q.Order == store.NewestFirst {
			slices.Reverse(rows)
		}
	}
	yielded := 0
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := rows[i] // a copy: yield may not count on it after the call
		if !wanted(&q, &e) {
			continue
		}
		if failure != nil && yielded == failAt {
			return failure
		}
		yielded++
		if !yield(&e) {
			return nil
		}
		e = event.Event{Action: "kept after the call"}
	}
	if failure != nil {
		return failure
	}
	return nil
}

func wanted(q *store.Scan, e *event.Event) bool {
	if q.After != nil {
		order := compare(key(e), *q.After)
		if q.Order == store.NewestFirst {
			order = -order
		}
		if order <= 0 {
			return false
		}
	}
	return e.Timestamp >= q.Range.From && e.Timestamp < q.Range.To &&
		!q.Since.Includes(e.Position()) && (q.Until == nil || q.Until.Includes(e.Position())) &&
		filter.Match(q.Filter, e)
}

func key(e *event.Event) store.Key { return store.Key{Timestamp: e.Timestamp, Position: e.Position()} }

func compare(a, b store.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp),
		cmp.Compare(a.Position.Partition, b.Position.Partition),
		cmp.Compare(a.Position.Offset, b.Position.Offset))
}

// Count counts events that match.
func (m *Mem) Count(ctx context.Context, q store.Count) (*store.Counts, error) {
	out := new(store.Counts)
	var total tally
	groups := make(map[string]*tally)
	scan := store.Scan{Filter: q.Filter, Range: q.Range, Until: q.Until, Order: store.ByPosition}
	err := m.Scan(ctx, scan, func(e *event.Event) bool {
		total.add(e.Timestamp, q.Bucket)
		if q.By != nil {
			v := q.By.Value(text(e, q.By.Field))
			if groups[v] == nil {
				groups[v] = new(tally)
			}
			groups[v].add(e.Timestamp, q.Bucket)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	out.Total, out.Buckets = total.count, total.list(q.Bucket)
	for v, t := range groups {
		out.Groups = append(out.Groups, store.Group{Value: v, Count: t.count, Buckets: t.list(q.Bucket)})
	}
	slices.SortFunc(out.Groups, func(a, b store.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	out.Values = int64(len(out.Groups))
	for len(out.Groups) > max(1, q.Top) {
		last := len(out.Groups) - 1
		out.Other += out.Groups[last].Count
		out.Groups = out.Groups[:last]
	}
	return out, nil
}

// text returns the stored text of any field that counts group by.
func text(e *event.Event, f event.Field) string {
	if f == event.EventID {
		return e.ID.String()
	}
	return e.Text(f)
}

// tally counts events of one value.
type tally struct {
	count   int64
	buckets map[int64]int64
}

func (t *tally) add(at int64, width time.Duration) {
	t.count++
	if width == 0 {
		return
	}
	if t.buckets == nil {
		t.buckets = make(map[int64]int64)
	}
	into := at % int64(width)
	if into < 0 {
		into += int64(width)
	}
	t.buckets[at-into]++
}

func (t *tally) list(width time.Duration) []store.Bucket {
	if width == 0 {
		return nil
	}
	list := make([]store.Bucket, 0, len(t.buckets))
	for start, n := range t.buckets {
		list = append(list, store.Bucket{Start: start, Count: n})
	}
	slices.SortFunc(list, func(a, b store.Bucket) int { return cmp.Compare(a.Start, b.Start) })
	return list
}
