package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Fixture is an empty store to be tested, and what the suite may do with it.
type Fixture struct {
	Store store.Store
	// Settle brings what the store keeps in memory to where it keeps the rest.
	// nil: there is no difference.
	Settle func()
}

// Run tests the store that open returns, a new one for each test. The store may
// be working in the background all the while.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Run("empty", func(t *testing.T) { testEmpty(t, open(t)) })
	t.Run("log", func(t *testing.T) { testLog(t, open(t)) })
	t.Run("filters", func(t *testing.T) { testFilters(t, open(t)) })
	t.Run("orders", func(t *testing.T) { testOrders(t, open(t)) })
	t.Run("counts", func(t *testing.T) { testCounts(t, open(t)) })
	t.Run("identities", func(t *testing.T) { testIdentities(t, open(t)) })
	t.Run("limits", func(t *testing.T) { testLimits(t, open(t)) })
	t.Run("positions", func(t *testing.T) { testPositions(t, open(t)) })
	t.Run("visibility", func(t *testing.T) { testVisibility(t, open(t)) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, open(t)) })
	t.Run("tail", func(t *testing.T) { testTail(t, open(t)) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, open(t)) })
	t.Run("hidden", func(t *testing.T) { testHidden(t, open(t)) })
	t.Run("hidden/random", func(t *testing.T) { testHiddenRandom(t, open(t)) })
	t.Run("large", func(t *testing.T) { testLarge(t, open(t)) })
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprintf("random/%d-partitions", partitions), func(t *testing.T) { testRandom(t, open(t), partitions) })
	}
}

func (f *Fixture) settle() {
	if f.Settle != nil {
		f.Settle()
	}
}

// append appends rows.
func (f *Fixture) append(t *testing.T, rows []event.Event, reached event.Positions) {
	t.Helper()
	if err := f.Store.Append(t.Context(), rows, reached); err != nil {
		t.Fatal(err)
	}
}

func testEmpty(t *testing.T, f Fixture) {
	Check(t, f.Store, &Model{}, rand.New(rand.NewPCG(1, 1)), 5)
	if v, c := f.Store.Visible(), f.Store.Committed(); v == nil || c == nil || len(v)+len(c) != 0 {
		t.Errorf("visible %#v, committed %#v; both must be empty and not nil, which is no bound", v, c)
	}
	if st := f.Store.Stats(); st.Events != 0 || !st.Oldest.IsZero() || !st.Newest.IsZero() {
		t.Errorf("stats %+v", st)
	}
}

// testLog: a store follows one log and no other.
func testLog(t *testing.T, f Fixture) {
	mine, other := event.LogID{1}, event.LogID{2}
	for _, tt := range []struct {
		log event.LogID
		err error
	}{{mine, nil}, {other, store.ErrForeignLog}, {mine, nil}} {
		if err := f.Store.Follow(tt.log); !errors.Is(err, tt.err) {
			t.Errorf("follow %s: %v, want %v", tt.log, err, tt.err)
		}
		f.settle()
	}
}

// few are the events of the tables below, by the name that their request_id is.
// a is the first in the stream; timestamps are as many seconds after the epoch.
func few() []event.Event {
	row := func(name string, at int64, user, action, resource, outcome, labels, metadata string) event.Event {
		return event.Event{ID: event.ID{0: name[0], 6: 0x40, 15: 1}, Timestamp: at * int64(time.Second), ReceivedAt: 1000, RequestID: name, UserID: user, Action: action,
			Resource: resource, TenantID: "default", Outcome: outcome, Operation: "other", UserType: "user", Labels: labels, Metadata: metadata}
	}
	events := []event.Event{
		row("a", 10, "alice", "login", "app", "success", "", ""),
		row("b", 20, "bob", "login", "app", "failure", `{"env":"prod"}`, ""),
		row("c", 30, "alice", "document.read", "document/1", "success", `{"env":"prod"}`, `{"size":10}`),
		row("d", 30, "alice", "document.delete", "document/1", "denied", `{"env":"dev"}`, `{"size":"10"}`),
		row("e", 25, "carol", "document.read", "document/2", "success", "", `{"note":"Alice asked"}`),
		row("f", -5, "bob", "user.create", "user/dave", "unknown", "", `{"size":200}`),
	}
	for i := range events {
		events[i].Offset = int64(i)
	}
	return events
}

// eachState runs fn over few, once while they are new and once settled.
func eachState(t *testing.T, f Fixture, fn func(t *testing.T)) {
	events := few()
	f.append(t, events[:4], event.Positions{4})
	f.append(t, events[4:], event.Positions{6})
	t.Run("new", fn)
	f.settle()
	t.Run("settled", fn)
}

// names returns what a scan finds, as names.
func names(t *testing.T, s store.Store, q store.Scan) string {
	t.Helper()
	var got []string
	err := s.Scan(t.Context(), q, func(e *event.Event) bool {
		got = append(got, strings.Clone(e.RequestID))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func testFilters(t *testing.T, f Fixture) {
	tests := []struct{ filter, want string }{ // by position
		{"*", "a b c d e f"},
		{"-*", ""},
		{"user_id:alice", "a c d"},
		{"user_id:alice -action:login", "c d"},
		{"user_id:alice or outcome:unknown", "a c d f"},
		{"-(user_id:alice or outcome:unknown)", "b e"},
		{"user_id:(bob or carol) action:(login or document.read)", "b e"},
		{"action:document.*", "c d e"},
		{"action:*.read", "c e"},
		{"resource_type:document", "c d e"},
		{"resource:document", ""},
		{"labels.env:prod", "b c"},
		{"-labels.env:prod", "a d e f"},
		{"labels.env:*", "b c d"},
		{"metadata.size:10", "c d"},
		{"metadata.size:>50", "f"},
		{"metadata.size:* -metadata.size:10", "f"},
		{"alice", "a c d e"},
		{"ALICE -user_id:alice", "e"},
		{"session_id:*", ""},
		{"-session_id:*", "a b c d e f"},
		{"timestamp:1970-01-01T00:00:25Z..1970-01-01T00:00:30Z", "c d e"},
		{"offset:>3", "e f"},
		{"partition:0 offset:(1 or 4)", "b e"},
		{"event_id:62000000-0000-4000-0000-000000000001", "b"},
		{"event_id:62*", "b"},
		{"event_id:(61* or 66000000-0000-4000-0000-000000000001)", "a f"},
		{"event_id:ff000000-0000-4000-0000-000000000001", ""},
		{"-event_id:62000000-0000-4000-0000-000000000001", "a c d e f"},
	}
	eachState(t, f, func(t *testing.T) {
		for _, test := range tests {
			x, err := filter.Parse(test.filter)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, f.Store, store.Scan{Filter: x, Range: store.AllTime, Order: store.ByPosition}); got != test.want {
				t.Errorf("%s: %q, want %q", test.filter, got, test.want)
			}
		}
	})
}

func testOrders(t *testing.T, f Fixture) {
	sec := int64(time.Second)
	after := func(name string) *store.Key {
		for _, e := range few() {
			if e.RequestID == name {
				k := keyOf(&e)
				return &k
			}
		}
		return &store.Key{Timestamp: 28 * sec}
	}
	tests := []struct {
		scan store.Scan
		want string
	}{
		{store.Scan{Range: store.AllTime}, "d c e b a f"},
		{store.Scan{Range: store.AllTime, Order: store.OldestFirst}, "f a b e c d"},
		{store.Scan{Range: store.AllTime, Order: store.ByPosition}, "a b c d e f"},
		{store.Scan{}, ""},
		{store.Scan{Range: store.Range{From: 20 * sec, To: 30 * sec}}, "e b"},
		{store.Scan{Range: store.Range{From: 30 * sec, To: 30*sec + 1}}, "d c"},
		{store.Scan{Range: store.Range{From: -5 * sec, To: 0}}, "f"},
		{store.Scan{Range: store.Range{From: 30 * sec, To: 20 * sec}}, ""},
		{store.Scan{Range: store.AllTime, After: after("d")}, "c e b a f"},
		{store.Scan{Range: store.AllTime, After: after("c")}, "e b a f"},
		{store.Scan{Range: store.AllTime, After: after("none")}, "e b a f"},
		{store.Scan{Range: store.AllTime, After: after("f")}, ""},
		{store.Scan{Range: store.AllTime, After: after("c"), Order: store.OldestFirst}, "d"},
		{store.Scan{Range: store.AllTime, After: after("e"), Order: store.OldestFirst}, "c d"},
		{store.Scan{Range: store.AllTime, Since: event.Positions{2}, Until: event.Positions{5}}, "d c e"},
		{store.Scan{Range: store.AllTime, Since: event.Positions{2}, Order: store.ByPosition}, "c d e f"},
		{store.Scan{Range: store.AllTime, Until: event.Positions{3}, Order: store.ByPosition}, "a b c"},
		{store.Scan{Range: store.AllTime, Until: event.Positions{}, Order: store.ByPosition}, ""},
		{store.Scan{Range: store.AllTime, Since: event.Positions{6}, Order: store.ByPosition}, ""},
	}
	eachState(t, f, func(t *testing.T) {
		for _, test := range tests {
			if got := names(t, f.Store, test.scan); got != test.want {
				t.Errorf("%s: %q, want %q", describe(&test.scan), got, test.want)
			}
		}
		stopped := 0
		err := f.Store.Scan(t.Context(), store.Scan{Range: store.AllTime}, func(*event.Event) bool {
			stopped++
			return stopped < 2
		})
		if err != nil || stopped != 2 {
			t.Errorf("a scan that yield ends after 2 events gave %d, %v", stopped, err)
		}
	})
}

func testCounts(t *testing.T, f Fixture) {
	tests := []struct {
		filter string
		by     string
		top    int
		bucket time.Duration
		want   string
	}{
		{"*", "", 0, 0, "6"},
		{"-*", "", 0, 0, "0"},
		{"user_id:alice", "", 0, 0, "3"},
		{"*", "user_id", 0, 0, "6; alice 3, bob 2, carol 1; 3 values, other 0"},
		{"*", "user_id", 1, 0, "6; alice 3; 3 values, other 3"},
		{"*", "labels.env", 0, 0, `6;  3, prod 2, dev 1; 3 values, other 0`},
		{"*", "metadata.size", 0, 0, `6;  3, 10 2, 200 1; 3 values, other 0`},
		{"*", "resource_type", 2, 0, `6; document 3, app 2; 3 values, other 1`},
		{"*", "session_id", 0, 0, `6;  6; 1 values, other 0`},
		{"action:login", "event_id", 0, 0, `2; 61000000-0000-4000-0000-000000000001 1, 62000000-0000-4000-0000-000000000001 1; 2 values, other 0`},
		{"*", "timestamp", 1, 0, `6; 1970-01-01T00:00:30Z 2; 5 values, other 4`},
		{"*", "", 0, 10 * time.Second, "6 [-10s:1 10s:1 20s:2 30s:2]"},
		{"user_id:alice", "", 0, time.Minute, "3 [0s:3]"},
		{"*", "user_id", 2, 20 * time.Second, "6 [-20s:1 0s:1 20s:4]; alice 3 [0s:1 20s:2], bob 2 [-20s:1 20s:1]; 3 values, other 1"},
	}
	eachState(t, f, func(t *testing.T) {
		for _, test := range tests {
			x, err := filter.Parse(test.filter)
			if err != nil {
				t.Fatal(err)
			}
			q := store.Count{Filter: x, Range: store.AllTime, Top: test.top, Bucket: test.bucket}
			if test.by != "" {
				by, err := filter.ParseSelector(test.by)
				if err != nil {
					t.Fatal(err)
				}
				q.By = &by
			}
			c, err := f.Store.Count(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got := format(c, q.By != nil); got != test.want {
				t.Errorf("count %s by %q: %s, want %s", test.filter, test.by, got, test.want)
			}
		}
	})
	rows := make([]event.Event, store.MaxBuckets+1)
	for i := range rows {
		rows[i] = event.Event{ID: event.ID{0: 1, 1: byte(i >> 8), 2: byte(i), 6: 0x40}, Timestamp: int64(i+100) * int64(time.Second), Offset: int64(6 + i),
			UserID: "u", Action: "a", Resource: "r", TenantID: "default", Outcome: "unknown", Operation: "other", UserType: "user"}
	}
	f.append(t, rows, event.Positions{int64(6 + len(rows))})
	if c, err := f.Store.Count(t.Context(), store.Count{Range: store.AllTime, Bucket: time.Second}); err == nil {
		t.Errorf("%d buckets were given", len(c.Buckets))
	}
}

// format writes counts the way the table above has them.
// testLimits: the first and the last time there is are times like others.
func testLimits(t *testing.T, f Fixture) {
	const first, last = math.MinInt64 + 1, math.MaxInt64
	m := &Model{}
	for i, at := range []int64{last, first, last - 1, 0, first + 1, last, first} {
		m.Events = append(m.Events, event.Event{ID: event.ID{0: 1, 1: byte(i), 6: 0x40}, Timestamp: at, Offset: int64(i),
			UserID: "u", Action: "a", Resource: "r", TenantID: "default", Outcome: "unknown", Operation: "other", UserType: "user"})
	}
	f.append(t, m.Events, event.Positions{int64(len(m.Events))})
	check := func(t *testing.T) {
		for _, order := range []store.Order{store.NewestFirst, store.OldestFirst, store.ByPosition} {
			for _, r := range []store.Range{store.AllTime, {From: last, To: last}, {From: first, To: first + 1}, {From: math.MinInt64, To: first}, {From: 0, To: last - 1}} {
				CheckScan(t, f.Store, m, &store.Scan{Range: r, Order: order})
				k := keyOf(&m.Events[0])
				CheckScan(t, f.Store, m, &store.Scan{Range: r, Order: order, After: &k})
			}
		}
		CheckCount(t, f.Store, m, &store.Count{Range: store.AllTime})
		c, err := f.Store.Count(t.Context(), store.Count{Range: store.AllTime, Bucket: 24 * time.Hour})
		if err != nil || c.Total != 7 || len(c.Buckets) != 3 || c.Buckets[0].Count != 3 || c.Buckets[2].Count != 3 {
			t.Errorf("%+v, %v; want a bucket at either end and one between", c, err)
		}
	}
	t.Run("new", check)
	f.settle()
	t.Run("settled", check)
}

func format(c *store.Counts, grouped bool) string {
	var b strings.Builder
	buckets := func(list []store.Bucket) {
		for i, k := range list {
			fmt.Fprintf(&b, "%s%v:%d", []string{" [", " "}[min(i, 1)], time.Duration(k.Start), k.Count)
		}
		if len(list) > 0 {
			b.WriteByte(']')
		}
	}
	fmt.Fprint(&b, c.Total)
	buckets(c.Buckets)
	for i, g := range c.Groups {
		fmt.Fprintf(&b, "%s%s %d", []string{"; ", ", "}[min(i, 1)], g.Value, g.Count)
		buckets(g.Buckets)
	}
	if grouped {
		fmt.Fprintf(&b, "; %d values, other %d", c.Values, c.Other)
	}
	return b.String()
}

// testPositions: a position may move without rows.
func testPositions(t *testing.T, f Fixture) {
	src := NewSource(rand.New(rand.NewPCG(7, 7)), 2)
	m := &Model{}
	for range 20 {
		src.Skip()
		rows, reached := src.Next(src.rng.IntN(3))
		m.Events = append(m.Events, rows...)
		f.append(t, rows, reached)
		if got := f.Store.Visible(); !slices.Equal(got, reached) {
			t.Fatalf("visible %v, want %v", got, reached)
		}
	}
	reached := src.Skip()
	f.append(t, nil, reached)
	f.settle()
	if got := f.Store.Visible(); !slices.Equal(got, reached) {
		t.Errorf("visible %v, want %v", got, reached)
	}
	if got := f.Store.Committed(); f.Settle != nil && !slices.Equal(got, reached) {
		t.Errorf("committed %v, want %v", got, reached)
	}
	Check(t, f.Store, m, src.rng, 20)
}

func testVisibility(t *testing.T, f Fixture) {
	waited := make(chan error, 1)
	go func() { waited <- f.Store.Wait(t.Context(), event.Positions{6}) }()
	events := few()
	f.append(t, events[:4], event.Positions{4})
	select {
	case err := <-waited:
		t.Fatalf("wait for 6 returned %v at 4", err)
	case <-time.After(10 * time.Millisecond):
	}
	f.append(t, events[4:], event.Positions{6})
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := f.Store.Wait(t.Context(), event.Positions{3}); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Store.Wait(ctx, event.Positions{7}); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with a cancelled context: %v", err)
	}
}

// testSnapshot: a scan with an Until gives the same events however many come.
func testSnapshot(t *testing.T, f Fixture) {
	rng := rand.New(rand.NewPCG(3, 3))
	src := NewSource(rng, 1)
	m := &Model{}
	rows, reached := src.Next(500)
	m.Events = rows
	f.append(t, rows, reached)
	for range 10 {
		later, end := src.Next(100)
		f.append(t, later, end)
		for _, o := range []store.Order{store.NewestFirst, store.OldestFirst, store.ByPosition} {
			CheckScan(t, f.Store, m, &store.Scan{Range: store.AllTime, Order: o, Until: reached})
		}
		CheckCount(t, f.Store, m, &store.Count{Range: store.AllTime, Until: reached})
	}
}

// testTail: a reader that goes on from where it is, while events come and are
// settled, sees each once, in order.
func testTail(t *testing.T, f Fixture) {
	rng := rand.New(rand.NewPCG(4, 4))
	src := NewSource(rng, 2)
	var want []event.Event
	var end event.Positions
	batches := make([][]event.Event, 60)
	ends := make([]event.Positions, len(batches))
	for i := range batches {
		batches[i], ends[i] = src.Next(1 + rng.IntN(40))
		want = append(want, batches[i]...)
		end = ends[i]
	}
	failed := make(chan error, 1)
	go func() {
		for i, rows := range batches {
			if err := f.Store.Append(t.Context(), rows, ends[i]); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	var got []event.Event
	at := event.Positions{}
	for !at.Covers(end) {
		until := f.Store.Visible().Clone()
		err := f.Store.Scan(t.Context(), store.Scan{Range: store.AllTime, Order: store.ByPosition, Since: at, Until: until}, func(e *event.Event) bool {
			got = append(got, e.Clone())
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		at = until
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	checkPositions(t, &store.Scan{}, got, want)
}

func testCancel(t *testing.T, f Fixture) {
	src := NewSource(rand.New(rand.NewPCG(5, 5)), 1)
	rows, reached := src.Next(3000)
	f.append(t, rows, reached)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	err := f.Store.Scan(ctx, store.Scan{Range: store.AllTime}, func(*event.Event) bool {
		if n++; n == 10 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a scan cancelled after 10 of 3000 events gave %d and %v", n, err)
	}
	x, err := filter.Parse("user_id:alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Store.Count(ctx, store.Count{Filter: x, Range: store.AllTime}); !errors.Is(err, context.Canceled) {
		t.Errorf("a count with a cancelled context: %v", err)
	}
}

// testRandom compares random queries with the model, while events come and the
// store moves them about.
func testRandom(t *testing.T, f Fixture, partitions int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	src := NewSource(rng, partitions)
	m := &Model{}
	for round := range 20 {
		rows, reached := src.Next(rng.IntN(120))
		if rng.IntN(4) == 0 {
			reached = src.Skip()
		}
		f.append(t, rows, reached)
		m.Events = append(m.Events, rows...)
		if round%2 == 1 {
			f.settle()
		}
		Check(t, f.Store, m, rng, 15)
		if st := f.Store.Stats(); st.Events != int64(len(m.Events)) {
			t.Errorf("stats say %d events, want %d", st.Events, len(m.Events))
		}
		if t.Failed() {
			return
		}
	}
}

// testLarge has columns of more different values than a dictionary takes.
func testLarge(t *testing.T, f Fixture) {
	rng := rand.New(rand.NewPCG(6, 6))
	src := NewSource(rng, 1)
	m := &Model{}
	rows, reached := src.Next(12_000)
	m.Events = rows
	f.append(t, rows, reached)
	Check(t, f.Store, m, rng, 8)
	f.settle()
	Check(t, f.Store, m, rng, 8)
}
