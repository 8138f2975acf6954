package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Check compares s with m: everything it holds, and then the answers to a number
// of random scans, counts and lookups.
func Check(t testing.TB, s store.Store, m *Model, rng *rand.Rand, rounds int) {
	t.Helper()
	CheckScan(t, s, m, &store.Scan{Range: store.AllTime, Order: store.OldestFirst})
	for range rounds {
		if t.Failed() {
			return
		}
		CheckScan(t, s, m, randomScan(rng, m))
		CheckCount(t, s, m, randomCount(rng, m))
	}
	checkLookups(t, s, m, rng)
}

// CheckScan compares the answers to one scan.
func CheckScan(t testing.TB, s store.Store, m *Model, q *store.Scan) {
	t.Helper()
	want := m.Scan(q)
	var got []event.Event
	err := s.Scan(t.Context(), *q, func(e *event.Event) bool {
		got = append(got, e.Clone())
		return q.Limit == 0 || len(got) < q.Limit
	})
	if err != nil {
		t.Errorf("scan %s: %v", describe(q), err)
		return
	}
	if q.Order == store.ByPosition {
		checkPositions(t, q, got, want)
		return
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got) || i >= len(want):
			t.Errorf("scan %s: %d events, want %d", describe(q), len(got), len(want))
			return
		case got[i] != only(&want[i], q.Fields):
			t.Errorf("scan %s: event %d is\n%+v, want\n%+v", describe(q), i, got[i], only(&want[i], q.Fields))
			return
		}
	}
}

// checkPositions checks that got is want, in rising order within each partition.
// How partitions follow each other is the store's choice, and so is which of
// them a limit cuts.
func checkPositions(t testing.TB, q *store.Scan, got, want []event.Event) {
	t.Helper()
	byPosition := make(map[event.Position]*event.Event, len(want))
	for i := range want {
		byPosition[want[i].Position()] = &want[i]
	}
	last := make(map[int32]int64)
	for i := range got {
		pos := got[i].Position()
		if before, ok := last[pos.Partition]; ok && before >= pos.Offset {
			t.Errorf("scan %s: offset %d of partition %d comes after %d", describe(q), pos.Offset, pos.Partition, before)
		}
		last[pos.Partition] = pos.Offset
		if w := byPosition[pos]; w == nil || got[i] != only(w, q.Fields) {
			t.Errorf("scan %s: unwanted event\n%+v", describe(q), got[i])
			return
		}
	}
	n := len(want)
	if q.Limit > 0 {
		n = min(n, q.Limit)
	}
	if len(got) != n {
		t.Errorf("scan %s: %d events, want %d", describe(q), len(got), n)
	}
}

// only returns e with the fields that a scan asked for.
func only(e *event.Event, fields event.FieldSet) event.Event {
	if fields == 0 {
		return *e
	}
	out := event.Event{ID: e.ID, Timestamp: e.Timestamp, Partition: e.Partition, Offset: e.Offset}
	if fields.Has(event.ReceivedAt) {
		out.ReceivedAt = e.ReceivedAt
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		if fields.Has(f) {
			out.SetText(f, e.Text(f))
		}
	}
	return out
}

// CheckCount compares the answers to one count.
func CheckCount(t testing.TB, s store.Store, m *Model, q *store.Count) {
	t.Helper()
	got, err := s.Count(t.Context(), *q)
	if err != nil {
		t.Errorf("count %+v: %v", *q, err)
		return
	}
	want := m.Count(q)
	if got.Total != want.Total || got.Other != want.Other || got.Values != want.Values ||
		!slices.Equal(got.Buckets, want.Buckets) || !slices.EqualFunc(got.Groups, want.Groups, func(a, b store.Group) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("count %s range %v until %v bucket %v by %v top %d:\n%+v, want\n%+v", text(q.Filter), q.Range, q.Until, q.Bucket, q.By, q.Top, *got, *want)
	}
}

// checkLookups compares Get and Known.
func checkLookups(t testing.TB, s store.Store, m *Model, rng *rand.Rand) {
	t.Helper()
	var ids []event.Identity
	var want []event.Position
	since := int64(start)
	if len(m.Events) > 0 {
		since = m.Events[rng.IntN(len(m.Events))].ReceivedAt
	}
	for range min(100, 2*len(m.Events)) {
		e := m.Events[rng.IntN(len(m.Events))]
		switch kind := rng.IntN(6); {
		case kind < 2:
			e.ID[15] ^= 0xff // in the range of the others, and none of them
			e.Offset, e.Partition = -1, 0
		case kind == 2:
			e.TenantID = "nobody"
			e.Offset, e.Partition = -1, 0
		case e.ReceivedAt < since:
			e.Offset, e.Partition = -1, 0
		}
		ids, want = append(ids, e.Identity()), append(want, e.Position())
	}
	found := make([]event.Position, len(ids))
	if err := s.Known(t.Context(), ids, since, found); err != nil {
		t.Errorf("known: %v", err)
		return
	}
	for i := range ids {
		if found[i] != want[i] {
			t.Errorf("known %v since %d: %v, want %v", ids[i], since, found[i], want[i])
		}
	}
	for range min(10, len(m.Events)) {
		e := m.Events[rng.IntN(len(m.Events))]
		CheckGet(t, s, m, e.ID, nil)
		CheckGet(t, s, m, e.ID, ofTenant(e.TenantID))
		CheckGet(t, s, m, e.ID, RandomFilter(rng, m.Events))
		e.ID[15] ^= 0xff
		CheckGet(t, s, m, e.ID, nil)
	}
}

// CheckGet compares the answer to one lookup.
func CheckGet(t testing.TB, s store.Store, m *Model, id event.ID, x filter.Expr) {
	t.Helper()
	var want []event.Event
	for i := range m.Events {
		if m.Events[i].ID == id && filter.Match(x, &m.Events[i]) {
			want = append(want, m.Events[i])
		}
	}
	got, err := s.Get(t.Context(), id, x)
	if len(want) == 0 && (got != nil || !errors.Is(err, store.ErrNotFound)) {
		t.Errorf("get %s %s, which is nowhere: %+v, %v", id, text(x), got, err)
	}
	if len(want) > 0 && (err != nil || !slices.Contains(want, *got)) {
		t.Errorf("get %s %s: %+v, %v, want one of %+v", id, text(x), got, err, want)
	}
}

// ofTenant returns the filter that only a tenant's events match.
func ofTenant(name string) filter.Expr { return parse("tenant_id:" + name) }

func randomScan(r *rand.Rand, m *Model) *store.Scan {
	q := &store.Scan{Filter: RandomFilter(r, m.Events), Range: randomRange(r, m), Order: store.Order(r.IntN(3))}
	if len(m.Events) == 0 {
		return q
	}
	end := positionsOf(m)
	if r.IntN(3) == 0 {
		k := keyOf(&m.Events[r.IntN(len(m.Events))])
		q.After = &k
	}
	if r.IntN(3) == 0 {
		q.Until = between(r, nil, end)
	}
	if r.IntN(3) == 0 {
		q.Since = between(r, nil, end)
	}
	if r.IntN(2) == 0 {
		q.Limit = 1 + r.IntN(30)
	}
	if r.IntN(2) == 0 {
		q.Fields = event.Fields(event.UserID, event.RequestID, event.Metadata) | event.FieldSet(r.Uint32())&event.AllFields
	}
	return q
}

func randomCount(r *rand.Rand, m *Model) *store.Count {
	q := &store.Count{Filter: RandomFilter(r, m.Events), Range: randomRange(r, m), Top: r.IntN(6)}
	if r.IntN(3) == 0 {
		q.Until = between(r, nil, positionsOf(m))
	}
	if r.IntN(2) == 0 {
		q.Bucket = []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[r.IntN(3)]
	}
	if r.IntN(3) > 0 {
		by, err := filter.ParseSelector(pick(r, "action", "user_id", "outcome", "labels.env", "metadata.order.total", "changes.path",
			"resource_type", "request_id", "session_id", "user_type", "offset", "source_ip", "partition", "timestamp", "event_id"))
		if err != nil {
			panic(err)
		}
		q.By = &by
	}
	return q
}

func randomRange(r *rand.Rand, m *Model) store.Range {
	if len(m.Events) == 0 || r.IntN(2) == 0 {
		return store.AllTime
	}
	a, b := m.Events[r.IntN(len(m.Events))].Timestamp, m.Events[r.IntN(len(m.Events))].Timestamp
	return store.Range{From: min(a, b), To: max(a, b) + int64(r.IntN(2))}
}

// positionsOf returns the position after all events.
func positionsOf(m *Model) (end event.Positions) {
	for i := range m.Events {
		end = end.Advance(m.Events[i].Partition, m.Events[i].Offset+1)
	}
	return end
}

// between returns a position from lo to hi.
func between(r *rand.Rand, lo, hi event.Positions) event.Positions {
	out := hi.Clone()
	for p := range out {
		out[p] = lo.At(int32(p)) + r.Int64N(hi[p]-lo.At(int32(p))+1)
	}
	return out
}

func describe(q *store.Scan) string {
	after := "nil"
	if q.After != nil {
		after = fmt.Sprint(*q.After)
	}
	return fmt.Sprintf("%s range %v order %d after %s since %v until %v limit %d fields %x",
		text(q.Filter), q.Range, q.Order, after, q.Since, q.Until, q.Limit, q.Fields)
}

func text(x filter.Expr) string {
	if x == nil {
		return "(none)"
	}
	return x.String()
}
