package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
)

// idOf returns a readable identity: the n-th.
func idOf(n int) event.ID {
	id, _ := event.ParseID(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n))
	return id
}

// publish publishes events by the given numbers; 0 stands for an event without
// identity, and -n for another tenant's event with the ID of n. It returns the
// receipts in words: "offset" or "offset dup".
func publish(ctx context.Context, p *Publisher, numbers ...int) (string, error) {
	b := p.NewBatch()
	defer b.Release()
	for _, n := range numbers {
		e := event.Event{UserID: "alice", Action: "a", Resource: "r", TenantID: "default", Timestamp: event.NoTime}
		if n != 0 {
			e.ID = idOf(max(n, -n))
		}
		if n < 0 {
			e.TenantID = "acme"
		}
		if err := b.Add(&e); err != nil {
			return "", err
		}
	}
	if err := b.Publish(ctx); err != nil {
		return "", err
	}
	var words []string
	for i, r := range b.Receipts() {
		if n := numbers[i]; n != 0 && r.ID != idOf(max(n, -n)) || r.ID.IsZero() {
			return "", fmt.Errorf("receipt %d has identity %s", i, r.ID)
		}
		w := fmt.Sprint(r.Position.Offset)
		if r.Duplicate {
			w += " dup"
		}
		words = append(words, w)
	}
	return strings.Join(words, ", "), nil
}

func TestPublishDuplicates(t *testing.T) {
	log, store := openLog(t), new(shelf)
	p := NewPublisher(PublisherOptions{Stream: log, Store: store})
	steps := []struct {
		name    string
		numbers []int
		show    bool // the index catches up first
		want    string
	}{
		{"new ones", []int{1, 2, 3}, false, "0, 1, 2"},
		{"again, before the index has them", []int{2, 1}, false, "1 dup, 0 dup"},
		{"among new ones", []int{4, 2, 5}, false, "3, 1 dup, 4"},
		{"those of the mixed request again", []int{5, 4}, false, "4 dup, 3 dup"},
		{"twice in a request", []int{6, 7, 6, 6}, false, "5, 6, 5 dup, 5 dup"},
		{"again, when the index has them", []int{1, 6, 8, 8}, true, "0 dup, 5 dup, 7, 7 dup"},
		{"without identity", []int{0, 0}, false, "8, 9"},
		{"all sorts", []int{0, 9, 8, 9, 0}, false, "10, 11, 7 dup, 11 dup, 12"},
		{"another tenant's, of IDs that the index and the flights have", []int{-1, -9}, false, "13, 14"},
		{"both tenants'", []int{-9, 9, 1, -1}, false, "14 dup, 11 dup, 0 dup, 13 dup"},
		{"both tenants', new, in a request", []int{10, -10, 10, -10, -11}, false, "15, 16, 15 dup, 16 dup, 17"},
		{"both tenants', when the index has them", []int{-10, 11, -11, 10, -1, 1}, true, "16 dup, 18, 17 dup, 15 dup, 13 dup, 0 dup"},
	}
	for _, s := range steps {
		if s.show {
			store.show(t, log)
		}
		got, err := publish(t.Context(), p, s.numbers...)
		if err != nil || got != s.want {
			t.Errorf("%s: got %q (%v), want %q", s.name, got, err, s.want)
		}
	}
	if n := len(contents(t, log)); n != 19 {
		t.Errorf("the log holds %d events, want 19", n)
	}
	if a, d := p.metrics.Accepted.Load(), p.metrics.Duplicates.Load(); a != 19 || d != 23 {
		t.Errorf("accepted %d, duplicates %d; want 19, 23", a, d)
	}
}

func TestPublishSkipsTheStoreForNewIdentities(t *testing.T) {
	store := new(shelf)
	p := NewPublisher(PublisherOptions{Stream: openLog(t), Store: store})
	if _, err := publish(t.Context(), p, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if store.asked != 0 {
		t.Errorf("the store was asked for %d identities that were assigned just now", store.asked)
	}
}

func TestPublishWhileTheStoreFails(t *testing.T) {
	log := openLog(t)
	store := &shelf{err: errors.New("store is away")}
	p := NewPublisher(PublisherOptions{Stream: log, Store: store})
	for _, want := range []string{"0, 1", "0 dup, 1 dup"} {
		if got, err := publish(t.Context(), p, 1, 2); err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	}
	if n := p.metrics.DuplicateChecksSkipped.Load(); n != 2 {
		t.Errorf("%d checks counted as skipped, want 2", n)
	}
}

// TestPublishSameIdentityAtOnce: a request that comes while another one is
// appending the same identity gives the other's position, or takes its place
// if it fails.
func TestPublishSameIdentityAtOnce(t *testing.T) {
	for _, first := range []error{nil, stream.ErrOverloaded} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(openLog(t))
			p := NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)})
			var got [3]string
			var errs [3]error
			var wg sync.WaitGroup
			wg.Go(func() { got[0], errs[0] = publish(t.Context(), p, 1, 2) })
			<-g.entered
			wg.Go(func() { got[1], errs[1] = publish(t.Context(), p, 3, 2) })
			wg.Go(func() { got[2], errs[2] = publish(t.Context(), p, 2, 4, 2) })
			synctest.Wait()
			select {
			case <-g.entered:
				t.Error("a request did not wait for the one that appends the same identity")
			default:
			}
			g.proceed <- first
			for range 5 {
				g.proceed <- nil
			}
			wg.Wait()
			if !errors.Is(errs[0], first) || errs[1] != nil || errs[2] != nil {
				t.Errorf("errors %v", errs)
			}
			// Whichever of the two came first.
			seen := map[string]int{}
			for _, e := range contents(t, g.Stream.(stream.Stream)) {
				seen[e.ID.String()]++
			}
			want := 4
			if first != nil {
				want = 3
			}
			if len(seen) != want {
				t.Errorf("after %v the log holds %d identities, want %d", first, len(seen), want)
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("after %v the log holds %s %d times", first, id, n)
				}
			}
			if first == nil && (!strings.HasSuffix(got[1], ", 1 dup") || !strings.HasPrefix(got[2], "1 dup, ") || !strings.HasSuffix(got[2], ", 1 dup")) {
				t.Errorf("receipts %q", got)
			}
		})
	}
}

// TestPublishSameIDOfTwoTenantsAtOnce: a request does not wait for another
// tenant's, and what becomes of the one shows nowhere in the other.
func TestPublishSameIDOfTwoTenantsAtOnce(t *testing.T) {
	for _, first := range []error{nil, stream.ErrOverloaded} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(openLog(t))
			p := NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)})
			var got [3]string
			var errs [3]error
			var wg sync.WaitGroup
			wg.Go(func() { got[0], errs[0] = publish(t.Context(), p, 1, 2) })
			<-g.entered
			wg.Go(func() { got[1], errs[1] = publish(t.Context(), p, -2, -1, -2) })
			synctest.Wait()
			select {
			case <-g.entered:
			default:
				t.Fatal("a request waits for another tenant's")
			}
			wg.Go(func() { got[2], errs[2] = publish(t.Context(), p, -1) }) // which waits for its own tenant's
			synctest.Wait()
			select {
			case <-g.entered:
				t.Error("a request did not wait for the one that appends the same identity")
			default:
			}
			g.proceed <- first // whichever of the two takes it
			g.proceed <- nil
			g.proceed <- nil
			wg.Wait()
			if errs[2] != nil {
				t.Errorf("the third request: %v", errs[2])
			}
			if first == nil {
				// The appends may come in either order.
				if a, b := got[0] == "0, 1" && got[1] == "2, 3, 2 dup", got[0] == "2, 3" && got[1] == "0, 1, 0 dup"; !a && !b {
					t.Errorf("receipts %q", got)
				}
			}
			seen := map[event.Identity]int{}
			for _, e := range contents(t, g.Stream.(stream.Stream)) {
				seen[e.Identity()]++
			}
			for i, ids := range [][]event.Identity{{{TenantID: "default", ID: idOf(1)}, {TenantID: "default", ID: idOf(2)}}, {{TenantID: "acme", ID: idOf(2)}, {TenantID: "acme", ID: idOf(1)}}} {
				for _, id := range ids {
					want := 1
					if errs[i] != nil && (i == 0 || id.ID != idOf(1)) {
						want = 0 // what the third request sent again is there
					}
					if seen[id] != want {
						t.Errorf("%v, whose request had %v: the log holds it %d times", id, errs[i], seen[id])
					}
				}
			}
		})
	}
}

// TestPublishCrosswise: two requests with the same identities in opposite order
// do not wait for one another. Half of them are another tenant's.
func TestPublishCrosswise(t *testing.T) {
	log := openLog(t)
	p := NewPublisher(PublisherOptions{Stream: log, Store: new(shelf)})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				numbers := make([]int, 20)
				for k := range numbers {
					numbers[k] = i*20 + k + 1
					if w%2 == 1 {
						numbers[k] = i*20 + 20 - k
					}
					if w >= 4 {
						numbers[k] = -numbers[k]
					}
				}
				if _, err := publish(t.Context(), p, numbers...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(contents(t, log)); n != 2000 {
		t.Errorf("the log holds %d events, want 2000", n)
	}
}

func TestPublishWaitsNoLongerThanItsContext(t *testing.T) {
	g := newGate(openLog(t))
	p := NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)})
	done := make(chan error)
	go func() { _, err := publish(t.Context(), p, 1); done <- err }()
	<-g.entered
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := publish(ctx, p, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
	g.proceed <- nil
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPublishFailureLeavesNoClaim(t *testing.T) {
	log := openLog(t)
	f := &failing{Stream: log, err: stream.ErrFull}
	p := NewPublisher(PublisherOptions{Stream: f, Store: new(shelf)})
	if _, err := publish(t.Context(), p, 1, 2, 1); !errors.Is(err, stream.ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	f.after = 10
	if got, err := publish(t.Context(), p, 2, 1); err != nil || got != "0, 1" {
		t.Errorf("got %q (%v), want 0, 1", got, err)
	}
	if n := p.metrics.Failed.Load(); n != 3 {
		t.Errorf("%d events counted as failed, want 3", n)
	}
}

// TestFlightsTurn: the table forgets what the store shows, and nothing else
// until it would grow without bound.
func TestFlightsTurn(t *testing.T) {
	var log sink
	store := new(shelf)
	p := NewPublisher(PublisherOptions{Stream: &log, Store: store})
	size := func() int { return len(p.flights.younger.refs) + len(p.flights.older.refs) }
	next := 1
	fill := func(n int) {
		for ; n > 0; n -= 1024 {
			numbers := make([]int, 1024)
			for i := range numbers {
				numbers[i], next = next, next+1
			}
			if _, err := publish(t.Context(), p, numbers...); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(4 * turnGeneration) // the index stands still
	if size() != 4*turnGeneration {
		t.Errorf("%d of %d identities kept while the store shows nothing", size(), 4*turnGeneration)
	}
	if got, _ := publish(t.Context(), p, 1, next-1); got != fmt.Sprintf("0 dup, %d dup", next-2) {
		t.Errorf("first and last: got %q", got)
	}
	store.visible = event.Positions{log.end} // the index catches up
	fill(2 * turnGeneration)
	store.visible = event.Positions{log.end}
	fill(2 * turnGeneration)
	if size() > 3*turnGeneration {
		t.Errorf("%d identities kept though the store shows them", size())
	}
	if n := p.metrics.DuplicateChecksSkipped.Load(); n != 0 {
		t.Errorf("%d identities forgotten too early", n)
	}
	p.flights.forgetAt = 4 * turnGeneration
	fill(12 * turnGeneration) // the index stands still again
	if size() > 8*turnGeneration+1024 {
		t.Errorf("%d identities kept, more than the bound", size())
	}
	if p.metrics.DuplicateChecksSkipped.Load() == 0 {
		t.Error("identities forgotten and not counted")
	}
}

// TestFlightsStayBounded: what leaves no identity behind leaves no memory behind.
func TestFlightsStayBounded(t *testing.T) {
	var log sink
	store := new(shelf)
	f := &failing{Stream: &log, after: 1, err: stream.ErrFull}
	p := NewPublisher(PublisherOptions{Stream: f, Store: store})
	if _, err := publish(t.Context(), p, 1); err != nil {
		t.Fatal(err)
	}
	flights := func() int { return len(p.flights.younger.flights) + len(p.flights.older.flights) }
	for range 100 {
		if got, err := publish(t.Context(), p, 1); err != nil || got != "0 dup" {
			t.Fatalf("got %q (%v), want 0 dup", got, err)
		}
	}
	if n := flights(); n != 1 {
		t.Errorf("%d flights are kept of one event and its repetitions", n)
	}
	store.visible = event.Positions{1}
	for n := range 5 * turnGeneration { // the disk is full
		if _, err := publish(t.Context(), p, n+2); !errors.Is(err, stream.ErrFull) {
			t.Fatal(err)
		}
	}
	if n := flights(); n > 2*turnGeneration {
		t.Errorf("%d flights are kept of events that failed", n)
	}
}

// TestFlightsForgetAHangingAppend: an append that does not end does not keep the
// table from turning.
func TestFlightsForgetAHangingAppend(t *testing.T) {
	var log sink
	g := newGate(&log)
	p := NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)})
	p.flights.forgetAt = turnGeneration
	done := make(chan string)
	go func() { got, _ := publish(t.Context(), p, 1); done <- got }()
	<-g.entered
	p.stream = &log
	for n := range 4 * turnGeneration {
		if _, err := publish(t.Context(), p, n+2); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.flights.younger.refs) + len(p.flights.older.refs); n > 2*turnGeneration {
		t.Errorf("%d identities kept, more than the bound", n)
	}
	g.proceed <- nil
	if got := <-done; got != fmt.Sprint(4*turnGeneration) {
		t.Errorf("the append that hung: got %q", got)
	}
}

// scattered is a stream of two partitions whose offsets have holes.
type scattered struct{ next int64 }

func (s *scattered) Append(ctx context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		b.Partitions = append(b.Partitions, int32(i%2))
		b.Offsets = append(b.Offsets, s.next)
		s.next += 10
		if len(b.Keys) != b.Len() || b.Keys[i].User != "alice" {
			return errors.New("record without key")
		}
	}
	return nil
}

func TestPublishToPartitions(t *testing.T) {
	p := NewPublisher(PublisherOptions{Stream: new(scattered), Store: new(shelf), Keyed: true})
	if got, err := publish(t.Context(), p, 1, 2, 3); err != nil || got != "0, 10, 20" {
		t.Fatalf("got %q (%v)", got, err)
	}
	if got, err := publish(t.Context(), p, 4, 3, 2); err != nil || got != "30, 20 dup, 10 dup" {
		t.Fatalf("got %q (%v)", got, err)
	}
}

func TestAddTooLarge(t *testing.T) {
	p := NewPublisher(PublisherOptions{Stream: openLog(t), Store: new(shelf)})
	b := p.NewBatch()
	defer b.Release()
	e := event.Event{UserID: "alice", Action: "a", Resource: "r", Metadata: `{"x":"` + strings.Repeat("x", event.MaxSize) + `"}`}
	if _, ok := errors.AsType[event.Errors](b.Add(&e)); !ok || b.Len() != 0 || b.Size() != 0 {
		t.Errorf("an event larger than an event may be was added: %d events, %d bytes", b.Len(), b.Size())
	}
}

// TestPublishOverTheEmbeddedStore: duplicates are recognised before the index
// has come to the original, when the store holds it in memory, and when it lies
// in a segment on disk.
func TestPublishOverTheEmbeddedStore(t *testing.T) {
	log, fsys := openLog(t), vfs.OS()
	shelf, err := segment.Open(fsys, t.TempDir(), segment.Options{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- shelf.Run(ctx) }()
	p := NewPublisher(PublisherOptions{Stream: log, Store: shelf})
	check := func(when, want string) {
		t.Helper()
		if got, err := publish(t.Context(), p, 1, 2, -2); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", when, got, err, want)
		}
	}
	check("at first", "0, 1, 2")
	check("not indexed", "0 dup, 1 dup, 2 dup")
	if err := shelf.Append(t.Context(), contents(t, log), event.Positions{3}); err != nil {
		t.Fatal(err)
	}
	p.flights.init() // nothing is known but to the store
	check("in memory", "0 dup, 1 dup, 2 dup")
	if err := shelf.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("on disk", "0 dup, 1 dup, 2 dup")
	if got, err := publish(t.Context(), p, -1, 1); err != nil || got != "3, 0 dup" {
		t.Errorf("another tenant's of an ID on disk: got %q (%v)", got, err)
	}
	cancel()
	if err := errors.Join(<-done, shelf.Close()); err != nil {
		t.Error(err)
	}
}

// What is taken back was never added: neither its bytes nor its identity.
func TestTruncate(t *testing.T) {
	log := openLog(t)
	p := NewPublisher(PublisherOptions{Stream: log, Store: new(shelf), Keyed: true})
	add := func(b *Batch, user string, id byte) {
		e := event.Event{UserID: user, Action: "a", Resource: "r", ID: event.ID{15: id}}
		if err := b.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	b := p.NewBatch()
	for _, keep := range []int{3, 1, 5, 0} {
		b.Reset()
		for i := range 4 {
			add(b, fmt.Sprint("user-", i), byte(i%2)) // every second one has an identity
		}
		b.Truncate(keep)
		if want := min(keep, 4); b.Len() != want || len(b.keys) != want || len(b.sent) != want/2 {
			t.Errorf("truncated to %d: %d events, %d keys, %d with an identity", keep, b.Len(), len(b.keys), len(b.sent))
		}
	}
	add(b, "kept", 0)
	add(b, "gone", 9)
	b.Truncate(1)
	add(b, "last", 9)
	if err := b.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.Receipts(); len(r) != 2 || r[1].Duplicate {
		t.Errorf("receipts: %v", r)
	}
	events := contents(t, log)
	if len(events) != 2 || events[0].UserID != "kept" || events[1].UserID != "last" {
		t.Errorf("%d events", len(events))
	}
}
