package query_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
)

func TestSearchOrdersAndLimits(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 5)...)
	e := newEngine(mem)
	tests := []struct{ given, want string }{
		{"", "4 3 2 1 0"},
		{"limit=5", "4 3 2 1 0"},
		{"limit=2", "4 3 …"},
		{"order=oldest", "0 1 2 3 4"},
		{"order=oldest&limit=1", "0 …"},
		{"user_id=user-0", "3 0"},
		{"q=-user_id:user-0&limit=2", "4 2 …"},
		{"from=2026-11-01T00:00:01Z&to=2026-11-01T00:00:03Z", "2 1"},
		{"q=timestamp:>2026-11-01T00:00:02Z", "4 3"},
		{"user_id=nobody", ""},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			got, next := page(t, e, tt.given)
			if next != "" {
				got = append(got, "…")
			}
			if s := strings.ReplaceAll(strings.Join(got, " "), "document/", ""); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

// Pages put together are the result as of the first page, though events arrive
// before, between and after what was read.
func TestPagesAreOneSnapshot(t *testing.T) {
	for _, order := range []string{"newest", "oldest"} {
		for _, limit := range []string{"1", "3", "7", "100"} {
			t.Run(order+" by "+limit, func(t *testing.T) {
				mem := querytest.New()
				mem.Publish(run(0, 20)...)
				mem.Publish(run(40, 60)...)
				want := append(resourcesOf(run(0, 20)), resourcesOf(run(40, 60))...)
				if order == "newest" {
					want = reversed(want)
				}
				next := 20
				got := pages(t, newEngine(mem), "order="+order+"&limit="+limit, func() {
					mem.Publish(numbered(next)) // in the midst of the times
					mem.Publish(numbered(next + 1000))
					next++
				})
				if !slices.Equal(got, want) {
					t.Errorf("got %v\nwant %v", got, want)
				}
			})
		}
	}
}

// Events of one instant are told apart by their position.
func TestPagesOverEqualTimestamps(t *testing.T) {
	mem := querytest.New()
	for n := range 10 {
		e := numbered(n)
		e.Timestamp = epoch.UnixNano()
		e.Partition = int32(n % 3)
		mem.Publish(e)
	}
	got := pages(t, newEngine(mem), "limit=1", func() {})
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != 10 {
		t.Errorf("got %d of 10 events", len(got))
	}
}

// A relative time means the same on every page.
func TestRelativeTimesAreFixedByTheFirstPage(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	e := newEngine(mem)
	for _, given := range []string{"q=timestamp:>=-5s&limit=2", "from=-5s&limit=2"} {
		search := func(now time.Time, given string) (got []string, next string) {
			p := params(t, given)
			s := p.Search(now)
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			next, err := e.Search(t.Context(), s, func(ev *event.Event) bool {
				got = append(got, ev.Resource)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			return got, next
		}
		now := epoch.Add(10 * time.Second)
		all, next := search(now, given)
		for next != "" {
			var more []string
			now = now.Add(time.Hour)
			more, next = search(now, given+"&cursor="+next)
			all = append(all, more...)
		}
		if want := reversed(resourcesOf(run(5, 10))); !slices.Equal(all, want) {
			t.Errorf("%s: got %v, want %v", given, all, want)
		}
	}
}

func TestCursorFromElsewhereIsRefused(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	e := newEngine(mem)
	_, cursor := page(t, e, "limit=2&user_id=user-0&from=2026-11-01")
	flipped := []byte(cursor)
	flipped[20] ^= 1
	future, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	future[0]++
	tests := []struct{ name, given, reason string }{
		{"of another filter", "user_id=user-1&from=2026-11-01&cursor=" + cursor, "another search"},
		{"of no filter", "from=2026-11-01&cursor=" + cursor, "another search"},
		{"of another range", "user_id=user-0&from=2026-10-01&cursor=" + cursor, "another search"},
		{"of another order", "user_id=user-0&from=2026-11-01&order=oldest&cursor=" + cursor, "another order"},
		{"cut short", "user_id=user-0&from=2026-11-01&cursor=" + cursor[:len(cursor)-3], "is not a cursor"},
		{"with a bit flipped", "user_id=user-0&from=2026-11-01&cursor=" + string(flipped), "is not a cursor"},
		{"of another format, unsigned", "user_id=user-0&from=2026-11-01&cursor=" + base64.RawURLEncoding.EncodeToString(future), "is not a cursor"},
		{"huge", "user_id=user-0&from=2026-11-01&cursor=" + strings.Repeat("A", 1<<17), "is not a cursor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := params(t, tt.given)
			p.Search(epoch)
			if err := p.Err(); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %v, want … %s …", err, tt.reason)
			}
		})
	}
	other := querytest.New()
	other.Log = event.LogID{1}
	other.Publish(run(0, 10)...)
	for reason, mem := range map[string]*querytest.Mem{
		"comes from log da7b000000000000, and this is log 0100000000000000": other,
		"lies at 0:10, after the end of this log, 0:0":                      querytest.New(),
	} {
		t.Run(reason, func(t *testing.T) {
			s := parseSearch(t, "limit=2&user_id=user-0&from=2026-11-01&cursor="+cursor)
			_, err := newEngine(mem).Search(t.Context(), s, func(*event.Event) bool { return true })
			gone, ok := errors.AsType[*query.GoneError](err)
			if !ok || gone.Param != "cursor" || !strings.Contains(gone.Reason, reason) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("of the same search spelt otherwise", func(t *testing.T) {
		if got, _ := page(t, e, "limit=9&q=user_id:user-0&from=2026-11-01T00:00:00Z&cursor="+cursor); len(got) != 2 {
			t.Errorf("got %v, want the two events that are left", got)
		}
	})
}

// A store that was started again has a cursor's snapshot only once it has
// replayed what it held in memory. The cursor waits for that, whatever else does.
func TestCursorOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := querytest.New()
		before.Publish(run(0, 10)...)
		_, cursor := page(t, newEngine(before), "limit=2")
		after := querytest.New()
		after.Publish(run(0, 5)...)
		after.Hold(true)
		after.Publish(run(5, 20)...)
		time.AfterFunc(time.Second, func() { after.Hold(false) })
		got, _ := page(t, newEngine(after), "limit=100&wait=0s&cursor="+cursor)
		if want := reversed(resourcesOf(run(0, 8))); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A page that waits for its cursor's snapshot keeps nobody else from a slot, and
// says so when the store does not get there.
func TestCursorWaitsWithoutASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := querytest.New()
		before.Publish(run(0, 10)...)
		_, cursor := page(t, newEngine(before), "limit=2")
		after := querytest.New()
		after.Publish(run(0, 5)...)
		after.Hold(true)
		after.Publish(run(5, 10)...)
		e := all(query.New(query.Options{Store: after, Stream: after, Concurrency: 1}))
		ended := make(chan error)
		go func() {
			_, err := e.Search(t.Context(), parseSearch(t, "wait=0s&cursor="+cursor), func(*event.Event) bool { return true })
			ended <- err
		}()
		synctest.Wait()
		if got, _ := page(t, e, "wait=0s"); len(got) != 5 {
			t.Errorf("got %v, want what is there", got)
		}
		var behind *query.BehindError
		if err := <-ended; !errors.As(err, &behind) || behind.Want.At(0) != 10 {
			t.Errorf("got %v, want a BehindError", err)
		}
	})
}

// A query sees what was acknowledged before it began.
func TestReadYourWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Hold(true)
		mem.Publish(run(0, 3)...)
		e := newEngine(mem)
		time.AfterFunc(time.Second, func() { mem.Hold(false) })
		began := time.Now()
		if got, _ := page(t, e, ""); len(got) != 3 {
			t.Errorf("got %v, want all three events", got)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestQueryFailsRatherThanMissEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Publish(run(0, 3)...)
		mem.Hold(true)
		mem.Publish(run(3, 5)...)
		e := newEngine(mem)
		for given, wait := range map[string]time.Duration{"": 30 * time.Second, "wait=2s": 2 * time.Second} {
			began := time.Now()
			_, err := e.Search(t.Context(), parseSearch(t, given), func(*event.Event) bool { return true })
			var behind *query.BehindError
			if !errors.As(err, &behind) {
				t.Fatalf("%q: got %v, want a BehindError", given, err)
			}
			if behind.Have.At(0) != 3 || behind.Want.At(0) != 5 || time.Since(began) != wait {
				t.Errorf("%q: %v after %v", given, err, time.Since(began))
			}
		}
		if got, _ := page(t, e, "wait=0s"); len(got) != 3 {
			t.Errorf("wait=0s got %v, want what is there", got)
		}
		if s := e.Stats(); s.Behind != 2 || s.Queries != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A receipt's position is waited for though this stream does not know it yet.
func TestAfterPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Publish(run(0, 3)...)
		e := newEngine(mem)
		time.AfterFunc(time.Second, func() { mem.Publish(numbered(3)) })
		if got, _ := page(t, e, "after_position=0:3"); len(got) != 4 {
			t.Errorf("got %v, want the event of the receipt too", got)
		}
	})
}

func TestLimitsOfTimeAndConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Publish(run(0, 3)...)
		e := all(query.New(query.Options{Store: mem, Stream: mem, Timeout: 10 * time.Second, Concurrency: 1}))
		s := parseSearch(t, "")
		release := make(chan struct{})
		ended := make(chan error)
		go func() {
			_, err := e.Search(t.Context(), s, func(*event.Event) bool { <-release; return true })
			ended <- err
		}()
		synctest.Wait()
		if _, err := e.Search(t.Context(), s, func(*event.Event) bool { return true }); !errors.Is(err, query.ErrBusy) {
			t.Errorf("with every slot taken: %v, want ErrBusy", err)
		}
		time.Sleep(10 * time.Second)
		close(release)
		if err := <-ended; !errors.Is(err, query.ErrTimeout) {
			t.Errorf("after its time: %v, want ErrTimeout", err)
		}
		if _, err := e.Search(t.Context(), s, func(*event.Event) bool { return true }); err != nil {
			t.Errorf("with the slot free again: %v", err)
		}
		if s := e.Stats(); s.Busy != 1 || s.Timeouts != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestErrorsOfTheStoreComeThrough(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 3)...)
	mem.FailScans(store.ErrMemory, 1)
	next, err := newEngine(mem).Search(t.Context(), parseSearch(t, "limit=1"), func(*event.Event) bool { return true })
	if !errors.Is(err, store.ErrMemory) || next != "" {
		t.Errorf("got %q, %v", next, err)
	}
}

func TestCancelledQueryStops(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 100)...)
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	_, err := newEngine(mem).Search(ctx, parseSearch(t, "limit=100"), func(*event.Event) bool {
		if seen++; seen == 10 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) || seen != 10 {
		t.Errorf("%v after %d events", err, seen)
	}
}

// An export is exactly what was there when it began.
func TestExportIsASnapshot(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	p := params(t, "")
	x := &query.Export{Criteria: p.Criteria(epoch), Order: store.OldestFirst, Fields: event.AllFields}
	var got []string
	err := newEngine(mem).Export(t.Context(), x, func(ev *event.Event) bool {
		got = append(got, ev.Resource)
		mem.Publish(numbered(100 + len(got)))
		return true
	})
	if want := resourcesOf(run(0, 10)); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
