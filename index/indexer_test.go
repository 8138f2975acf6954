package index

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

func TestIndex(t *testing.T) {
	log, store := openLog(t, wal.Options{}), newCellar()
	x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
	put(t, log, record(1), record(2), record(1))
	drain(t, x)
	put(t, log, record(2), record(3))
	put(t, log, record(4))
	drain(t, x)
	if got, want := store.offsets(), []int64{0, 1, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("stored offsets %v, want %v", got, want)
	}
	s := x.Stats()
	if s.Indexed != 4 || s.Duplicates != 2 || len(s.DeadLetters) != 0 || !s.Visible.Covers(event.Positions{6}) || s.Newest.IsZero() {
		t.Errorf("stats %+v", s)
	}
	if n, err := x.Lag(t.Context()); n != 0 || err != nil {
		t.Errorf("lag %d, %v", n, err)
	}
	for i, e := range store.rows {
		if e.ReceivedAt == 0 || e.UserID != "alice" || e.Identity() != identityOf(i+1) {
			t.Errorf("row %d is %+v", i, e)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	put(t, log, record(5))
	if err := x.Drain(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("Drain after Run: %v", err)
	}
	if n, _ := x.Lag(t.Context()); n != 1 {
		t.Errorf("lag %d, want 1", n)
	}
}

func TestIndexDeadLetters(t *testing.T) {
	log, store, deadLog := openLog(t, wal.Options{}), newCellar(), openLog(t, wal.Options{})
	letters := openLetters(t, deadLog)
	x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: letters})
	put(t, log, record(1), []byte("no \xff JSON"), []byte(`{"user_id":"a","action":"b"}`), record(2), []byte{})
	drain(t, x)
	if got, want := store.offsets(), []int64{0, 3}; !slices.Equal(got, want) {
		t.Errorf("stored offsets %v, want %v", got, want)
	}
	if s := x.Stats(); s.DeadLetters[ClassSyntax] != 2 || s.DeadLetters[ClassField] != 1 {
		t.Errorf("stats %+v", s)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	// A crash before the store commits: everything is read again.
	letters = openLetters(t, deadLog)
	x, _ = start(t, Options{Stream: log, Store: store.reopen(), DeadLetters: letters})
	put(t, log, []byte("{}"))
	drain(t, x)
	got, _, err := letters.List(t.Context(), Selection{}, LetterCursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var offsets []int64
	for _, d := range got {
		offsets = append(offsets, d.Position.Offset)
	}
	if want := []int64{1, 2, 4, 5}; !slices.Equal(offsets, want) || letters.Count() != 4 {
		t.Errorf("dead letters of offsets %v, count %d, want %v", offsets, letters.Count(), want)
	}
	if end, _ := deadLog.End(t.Context()); end.At(0) != 4 {
		t.Errorf("the dead-letter stream holds %d records, want 4: none twice", end.At(0))
	}
	if d := got[0]; string(d.Record) != "no \xff JSON" || d.Class != ClassSyntax || d.ReceivedAt == 0 || d.Errors[0].Reason == "" {
		t.Errorf("dead letter %+v", d)
	}
	if d := got[1]; d.Class != ClassField || d.Errors[0].Field != "resource" {
		t.Errorf("dead letter %+v", d)
	}
}

// TestIndexAdopts: an event that another program put into the stream without
// identity and timestamp gets the same ones whenever it is read.
func TestIndexAdopts(t *testing.T) {
	log, letters := openLog(t, wal.Options{}), openLetters(t, openLog(t, wal.Options{}))
	bare := []byte(`{"user_id":"alice","action":"a","resource":"r"}`)
	put(t, log, bare, bare)
	var first []event.Event
	for range 2 {
		store := newCellar()
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: letters})
		drain(t, x)
		stop()
		if first == nil {
			first = store.rows
		}
		if len(store.rows) != 2 || store.rows[0].ID == store.rows[1].ID {
			t.Fatalf("rows %+v", store.rows)
		}
		for i, e := range store.rows {
			if e != first[i] || e.ID.IsZero() || e.Timestamp != e.ReceivedAt || e.Outcome != event.DefaultOutcome {
				t.Errorf("row %+v, at first %+v", e, first[i])
			}
		}
	}
}

// TestIndexGroups: what arrives while the store is busy goes into one append,
// and none is larger than it may be.
func TestIndexGroups(t *testing.T) {
	log, store := openLog(t, wal.Options{}), newCellar()
	var busy atomic.Bool
	release := make(chan struct{})
	store.fail = func(step string) error {
		if step == "append" && busy.CompareAndSwap(false, true) {
			<-release
		}
		return nil
	}
	x, _ := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
	put(t, log, record(1))
	for !busy.Load() {
		time.Sleep(time.Millisecond)
	}
	n := 1
	for range 100 {
		var records [][]byte
		for range 100 {
			n++
			records = append(records, record(n))
		}
		put(t, log, records...)
	}
	time.Sleep(20 * time.Millisecond) // for the reader to read ahead
	close(release)
	drain(t, x)
	if len(store.rows) != n || slices.Max(store.appends) > maxRows || len(store.appends) > 20 {
		t.Errorf("%d rows in appends of %v", len(store.rows), store.appends)
	}
}

func TestIndexRetries(t *testing.T) {
	for _, step := range []string{"known", "append"} {
		synctest.Test(t, func(t *testing.T) {
			log, store := openLog(t, wal.Options{}), newCellar()
			var attempts []time.Duration
			begin := time.Now()
			store.fail = func(s string) error {
				if s != step || time.Since(begin) > time.Hour {
					return nil
				}
				attempts = append(attempts, time.Since(begin))
				return errAway
			}
			x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
			put(t, log, record(1), record(2), record(1))
			time.Sleep(30 * time.Minute)
			put(t, log, record(3))
			if f := x.Stats().Failing; f == nil || f.Err != errAway || time.Since(f.Since) < 29*time.Minute {
				t.Errorf("%s: while it fails Stats says %+v", step, f)
			}
			time.Sleep(40 * time.Minute)
			if got, want := store.offsets(), []int64{0, 1, 3}; !slices.Equal(got, want) {
				t.Errorf("%s: stored offsets %v, want %v", step, got, want)
			}
			if s := x.Stats(); s.Failing != nil || s.Retries != int64(len(attempts)) || s.Duplicates != 1 {
				t.Errorf("%s: after it works stats are %+v", step, s)
			}
			for i := 1; i < len(attempts); i++ {
				pause := attempts[i] - attempts[i-1]
				longest := longestPause
				if i < 10 {
					longest = min(firstPause<<(i-1), longestPause)
				}
				if pause > longest || pause < longest/2 {
					t.Errorf("%s: pause %d is %s, want %s to %s", step, i, pause, longest/2, longest)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIndexStopsWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := openLog(t, wal.Options{}), newCellar()
		store.fail = func(string) error { return errAway }
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
		put(t, log, record(1))
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v", err)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestIndexDeadLettersFirst: the position never passes a record whose dead
// letter is not durable.
func TestIndexDeadLettersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := openLog(t, wal.Options{}), newCellar()
		dead := &flaky{Log: openLog(t, wal.Options{})}
		dead.failures.Store(5)
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, dead)})
		put(t, log, record(1), []byte("x"), record(2))
		for dead.failures.Load() > 0 {
			if store.Visible().At(0) > 1 {
				t.Fatal("the store passed a record without dead letter")
			}
			time.Sleep(time.Millisecond)
		}
		drain(t, x)
		if n := x.letters.Count(); n != 1 {
			t.Errorf("%d dead letters", n)
		}
		stop()
	})
}

// flaky is a log whose first appends fail, every second one after it was written.
type flaky struct {
	*wal.Log
	failures atomic.Int64
}

func (f *flaky) Append(ctx context.Context, b *stream.Batch) error {
	if left := f.failures.Load(); left > 0 {
		f.failures.Store(left - 1)
		if left%2 == 1 {
			if err := f.Log.Append(ctx, b); err != nil {
				return err
			}
		}
		return errors.New("answer lost")
	}
	return f.Log.Append(ctx, b)
}

// gappy is a reader that lost some records.
type gappy struct {
	*wal.Log
	gap *stream.GapError
}

func (g *gappy) Reader(from event.Positions) (stream.Reader, error) {
	r, err := g.Log.Reader(event.Positions{g.gap.To})
	return &gappyReader{r, g.gap}, err
}

type gappyReader struct {
	stream.Reader
	gap *stream.GapError
}

func (r *gappyReader) Next(ctx context.Context) (*stream.Batch, error) {
	if gap := r.gap; gap != nil {
		r.gap = nil
		return nil, gap
	}
	return r.Reader.Next(ctx)
}

func TestIndexGap(t *testing.T) {
	for _, to := range []int64{2, 3} { // with and without records after the gap
		log, store := openLog(t, wal.Options{}), newCellar()
		put(t, log, record(1), record(2), record(3))
		x, _ := start(t, Options{Stream: &gappy{log, &stream.GapError{From: 0, To: to}}, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
		drain(t, x)
		s := x.Stats()
		if len(store.rows) != int(3-to) || s.Missing != to || len(s.Gaps) != 1 || s.Gaps[0].To != to {
			t.Errorf("gap to %d: %d rows, stats %+v", to, len(store.rows), s)
		}
	}
}

// TestIndexPassesOverWhatIsNoRecord: a batch without records moves the position
// on. Without it nobody could wait for the end of a stream that ends so.
func TestIndexPassesOverWhatIsNoRecord(t *testing.T) {
	log, store := openLog(t, wal.Options{}), newCellar()
	put(t, log, record(1), record(2))
	x, _ := start(t, Options{Stream: &markers{log}, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
	drain(t, x)
	if s := x.Stats(); len(store.rows) != 0 || s.Missing != 0 || len(s.DeadLetters) != 0 {
		t.Errorf("%d rows, stats %+v", len(store.rows), s)
	}
}

// markers is a log that holds no records but what takes up as many offsets.
type markers struct{ *wal.Log }

func (m *markers) Reader(from event.Positions) (stream.Reader, error) {
	r, err := m.Log.Reader(from)
	return &markersReader{r}, err
}

type markersReader struct{ stream.Reader }

func (r *markersReader) Next(ctx context.Context) (*stream.Batch, error) {
	b, err := r.Reader.Next(ctx)
	if err != nil {
		return nil, err
	}
	return &stream.Batch{Partition: b.Partition, Base: b.Base + int64(b.Len())}, nil
}

// keeper keeps the positions that it was asked to read from.
type keeper struct {
	*wal.Log
	from event.Positions
}

func (k *keeper) Reader(from event.Positions) (stream.Reader, error) {
	k.from = from
	return k.Log.Reader(from)
}

func TestIndexLendsItsPositionToNobody(t *testing.T) {
	log := &keeper{Log: openLog(t, wal.Options{})}
	put(t, log, record(1), record(2), record(3))
	x, stop := start(t, Options{Stream: log, Store: &blackHole{visible: event.Positions{1}}, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
	for x.indexed.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if log.from.At(0) != 1 {
		t.Errorf("the position that the stream was given has moved to %d", log.from.At(0))
	}
}

func TestIndexRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := &noting{Log: openLog(t, wal.Options{})}, newCellar()
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
		put(t, log, record(1), record(2))
		drain(t, x)
		if got := log.released.Load(); got != 0 {
			t.Errorf("released up to %d before the store committed", got)
		}
		store.commit()
		put(t, log, record(3))
		drain(t, x)
		synctest.Wait()
		if got := log.released.Load(); got != 2 {
			t.Errorf("released up to %d, want 2", got)
		}
		store.commit()
		time.Sleep(2 * lookEvery) // nothing arrives
		if got := log.released.Load(); got != 3 {
			t.Errorf("released up to %d, want 3", got)
		}
		stop()
	})
}

type noting struct {
	*wal.Log
	released atomic.Int64
}

func (n *noting) Release(upTo event.Positions) {
	n.released.Store(upTo.At(0))
	n.Log.Release(upTo)
}

// TestIndexRestarts: restarted at any moment, over a store that loses what it
// did not commit, the indexer stores every event once.
func TestIndexRestarts(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	log, store := openLog(t, wal.Options{}), newCellar()
	letters := openLetters(t, openLog(t, wal.Options{}))
	next := 0
	for range 20 {
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: letters})
		for range rng.IntN(20) {
			var records [][]byte
			for range 1 + rng.IntN(50) {
				next++
				records = append(records, record(next))
				if rng.IntN(5) == 0 {
					records = append(records, record(1+rng.IntN(next))) // a retry
				}
			}
			put(t, log, records...)
			if rng.IntN(4) == 0 {
				store.commit()
			}
		}
		if rng.IntN(2) == 0 {
			drain(t, x)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		store = store.reopen()
	}
	x, _ := start(t, Options{Stream: log, Store: store, DeadLetters: letters})
	drain(t, x)
	if len(store.rows) != next {
		t.Errorf("%d rows, want %d", len(store.rows), next)
	}
	for i, e := range store.rows {
		if e.Identity() != identityOf(i+1) {
			t.Fatalf("row %d is %s: lost or out of order", i, e.ID)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	log, letters := openLog(t, wal.Options{}), openLetters(t, openLog(t, wal.Options{}))
	ahead := newCellar()
	ahead.visible = event.Positions{100}
	foreign := newCellar()
	foreign.log = event.LogID{1}
	for want, o := range map[string]Options{
		"the window for duplicates is 24h0m0s; it must be at least 168h0m0s":                                  {Stream: log, Store: newCellar(), DeadLetters: letters, Window: 24 * time.Hour},
		"the store holds partition 0 of the stream up to offset 100, but the stream ends at offset 0: it has": {Stream: log, Store: ahead, DeadLetters: letters},
		"the store was filled from another log: ":                                                             {Stream: log, Store: foreign, DeadLetters: letters},
	} {
		if _, err := New(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s…", err, want)
		}
	}
	if !ahead.log.IsZero() {
		t.Error("a store that was refused follows the stream all the same")
	}
}

func TestRunFailsWithTheStream(t *testing.T) {
	log := openLog(t, wal.Options{})
	x, err := New(t.Context(), Options{Stream: log, Store: newCellar(), DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Run(t.Context()); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Run over a closed stream: %v", err)
	}
	if err := x.Run(t.Context()); err == nil {
		t.Error("Run twice")
	}
}

// TestWindow: a copy is recognised within the window and is an event of its own
// beyond it.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := openLog(t, wal.Options{}), newCellar()
		store.known = map[event.Identity]event.Position{}
		x, stop := start(t, Options{Stream: log, Store: lenient{store}, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
		for _, wait := range []time.Duration{0, MinWindow - time.Second, 2 * time.Second} {
			time.Sleep(wait)
			put(t, log, record(1))
			drain(t, x)
		}
		if got, want := store.offsets(), []int64{0, 2}; !slices.Equal(got, want) {
			t.Errorf("stored offsets %v, want %v", got, want)
		}
		stop()
	})
}

// lenient lets an identity come again.
type lenient struct{ *cellar }

func (l lenient) Append(ctx context.Context, rows []event.Event, reached event.Positions) error {
	l.mu.Lock()
	for i := range rows {
		delete(l.known, rows[i].Identity())
	}
	l.mu.Unlock()
	return l.cellar.Append(ctx, rows, reached)
}

// fullStore is a store whose appends wait until it has room.
type fullStore struct {
	*cellar
	room chan struct{} // closed when there is
}

func (s fullStore) Append(ctx context.Context, rows []event.Event, reached event.Positions) error {
	select {
	case <-s.room:
		return s.cellar.Append(ctx, rows, reached)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestIndexStuck: an append that only waits is reported as one that fails.
func TestIndexStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := openLog(t, wal.Options{}), fullStore{newCellar(), make(chan struct{})}
		x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: openLetters(t, openLog(t, wal.Options{}))})
		put(t, log, record(1))
		time.Sleep(slowAppend / 2)
		if f := x.Stats().Failing; f != nil {
			t.Errorf("after a moment Stats says %+v", f)
		}
		time.Sleep(time.Minute)
		if f := x.Stats().Failing; f == nil || f.Step != stepAppend || time.Since(f.Since) < time.Minute {
			t.Errorf("while the store has no room Stats says %+v", f)
		}
		close(store.room)
		synctest.Wait()
		if f := x.Stats().Failing; f != nil || len(store.offsets()) != 1 {
			t.Errorf("when there is room Stats says %+v, stored are %v", f, store.offsets())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
