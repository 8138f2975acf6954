package query_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// recorder is a sink that keeps what it is sent.
type recorder struct {
	mu      sync.Mutex
	sent    []string // resources that were flushed
	after   []string // the position after each
	beats   int      // flushes with nothing added
	at      string   // of the last flush
	full    int      // Add reports full at so many; 0: never
	pending []string
	block   func() // called by Flush
	fail    error
}

func (r *recorder) Add(e *event.Event, after event.Positions) bool {
	r.pending = append(r.pending, e.Resource)
	r.after = append(r.after, query.FormatPositions(after))
	return r.full > 0 && len(r.pending) >= r.full
}

func (r *recorder) Flush(at event.Positions) error {
	if r.block != nil {
		r.block()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = query.FormatPositions(at)
	if len(r.pending) == 0 {
		r.beats++
	}
	r.sent = append(r.sent, r.pending...)
	r.pending = nil
	return r.fail
}

func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// tailing runs a tail until the test ends or stop is called.
func tailing(t *testing.T, e *query.Engine, queryString, resumeID string, sink query.TailSink) (stop func() error) {
	t.Helper()
	p := params(t, queryString)
	tail := p.Tail(epoch, resumeID)
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Tail(ctx, tail, sink) }()
	return func() error { cancel(); return <-ended }
}

func TestTailFollows(t *testing.T) {
	tests := []struct{ given, want string }{
		{"", "5 6 7"},
		{"since=now", "5 6 7"},
		{"since=beginning", "0 1 2 3 4 5 6 7"},
		{"since=2026-11-01T00:00:03Z", "3 4 5 6 7"},
		{"since=beginning&user_id=user-0", "0 3 6"},
		{"user_id=user-1&q=action:document.read", ""},
		{"last_event_id=0:2", "2 3 4 5 6 7"},
		{"last_event_id=0:2&since=now", "2 3 4 5 6 7"},
		{"last_event_id=0:0", "0 1 2 3 4 5 6 7"},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := querytest.New()
				mem.Publish(run(0, 5)...)
				sink := new(recorder)
				stop := tailing(t, newEngine(mem), tt.given, "", sink)
				synctest.Wait()
				for n := 5; n < 8; n++ {
					mem.Publish(numbered(n))
					synctest.Wait()
				}
				if got := strings.ReplaceAll(strings.Join(sink.got(), " "), "document/", ""); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if err := stop(); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

// What is acknowledged before a tail begins is not new, though the store does
// not have it yet; what comes after is.
func TestTailFromNowBeginsAtTheStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Hold(true)
		mem.Publish(run(0, 5)...)
		sink := new(recorder)
		stop := tailing(t, newEngine(mem), "", "", sink)
		synctest.Wait()
		mem.Publish(numbered(5))
		mem.Hold(false)
		synctest.Wait()
		if got := sink.got(); len(got) != 1 || got[0] != "document/5" {
			t.Errorf("got %v, want the event that came after the tail", got)
		}
		stop()
	})
}

// A tail that is cut anywhere and resumed by the id of any event goes on with
// the next: no gap, no repeat. Here over three partitions.
func TestTailResumesAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		publish := func(from, to int) {
			for n := from; n < to; n++ {
				e := numbered(n)
				e.Partition = int32(n * 7 % 3)
				mem.Publish(e)
			}
		}
		publish(0, 50)
		e := newEngine(mem)
		all := new(recorder)
		stop := tailing(t, e, "since=beginning&q=-user_id:user-2", "", all)
		synctest.Wait()
		publish(50, 100)
		synctest.Wait()
		stop()
		if len(all.sent) != 67 {
			t.Fatalf("got %d events", len(all.sent))
		}
		for range 50 {
			cut := rand.IntN(len(all.sent))
			rest := &recorder{full: 1 + rand.IntN(5)}
			stop := tailing(t, e, "since=beginning&q=-user_id:user-2", all.after[cut], rest)
			synctest.Wait()
			stop()
			if got := append(slices.Clone(all.sent[:cut+1]), rest.sent...); !sameEvents(got, all.sent) {
				t.Fatalf("resumed after %s (%s): got %v", all.sent[cut], all.after[cut], rest.sent)
			}
		}
	})
}

// sameEvents reports whether a and b hold the same, each once.
func sameEvents(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// A reader that is slower than the events lags, loses nothing, and keeps nobody
// else from following.
func TestSlowReaderLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		e := newEngine(mem)
		slow := &recorder{full: 3, block: func() { time.Sleep(time.Second) }}
		fast := new(recorder)
		var stops []func() error
		for range 20 { // more than there are slots to look
			stops = append(stops, tailing(t, e, "", "", &recorder{full: 1, block: func() { time.Sleep(time.Hour) }}))
		}
		stops = append(stops, tailing(t, e, "", "", slow), tailing(t, e, "", "", fast))
		time.Sleep(2 * time.Hour)
		for n := range 100 {
			mem.Publish(numbered(n))
			time.Sleep(10 * time.Millisecond)
		}
		if got := fast.got(); len(got) != 100 {
			t.Errorf("the fast reader has %d of 100 events", len(got))
		}
		if got := slow.got(); len(got) > 50 {
			t.Errorf("the slow reader has %d events already", len(got))
		}
		time.Sleep(time.Minute)
		if got, want := slow.got(), resourcesOf(run(0, 100)); !slices.Equal(got, want) {
			t.Errorf("the slow reader got %v", got)
		}
		for _, stop := range stops {
			stop()
		}
		if n := e.Stats().Tails; n != 0 {
			t.Errorf("%d tails are left", n)
		}
	})
}

// However fast the store moves and however the wake-ups of many tails are spaced,
// none is lost.
func TestManyTailsMissNoWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		e := newEngine(mem)
		var sinks []*recorder
		var stops []func() error
		for range 100 {
			sinks = append(sinks, new(recorder))
			stops = append(stops, tailing(t, e, "", "", sinks[len(sinks)-1]))
		}
		synctest.Wait()
		for n := range 50 {
			mem.Publish(numbered(n))
			time.Sleep(time.Millisecond) // less than the spacing
		}
		time.Sleep(100 * time.Millisecond) // less than a heartbeat
		for i, sink := range sinks {
			if got := sink.got(); len(got) != 50 {
				t.Errorf("tail %d has %d of 50 events", i, len(got))
			}
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// A heartbeat says how far the tail has come, also past what did not match.
func TestTailHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		sink := new(recorder)
		stop := tailing(t, newEngine(mem), "user_id=nobody", "", sink)
		for n := range 60 {
			mem.Publish(numbered(n))
			time.Sleep(time.Second)
		}
		stop()
		if sink.beats < 4 || sink.beats > 6 { // one at the start and one in 15 s
			t.Errorf("%d heartbeats in a minute", sink.beats)
		}
		if len(sink.sent) != 0 || sink.at == "0:0" {
			t.Errorf("sent %v at %s", sink.sent, sink.at)
		}
	})
}

func TestTailEndsWithItsSink(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	gone := errors.New("the reader has gone")
	p := params(t, "since=beginning")
	if err := newEngine(mem).Tail(t.Context(), p.Tail(epoch, ""), &recorder{fail: gone}); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestTailFromAnotherLogIsRefused(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	p := params(t, "")
	err := newEngine(mem).Tail(t.Context(), p.Tail(epoch, "0:11"), new(recorder))
	var faults query.ParamErrors
	if !errors.As(err, &faults) || !strings.Contains(err.Error(), "another one") {
		t.Error(err)
	}
}

// What it costs that many tails follow: time per event published, all tails
// having seen it.
func BenchmarkTails(b *testing.B) {
	for _, tails := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(tails), func(b *testing.B) {
			mem := querytest.New()
			e := newEngine(mem)
			ctx, cancel := context.WithCancel(b.Context())
			var ended sync.WaitGroup
			var seen sync.WaitGroup
			for range tails {
				p := query.NewParams(map[string][]string{"user_id": {"user-0"}, "last_event_id": {"0:0"}})
				tail := p.Tail(epoch, "")
				ended.Go(func() { e.Tail(ctx, tail, &counter{seen: &seen}) })
			}
			b.ResetTimer()
			for n := 0; b.Loop(); n++ {
				seen.Add(tails)
				mem.Publish(numbered(3 * n))
				seen.Wait()
				mem.Forget()
			}
			cancel()
			ended.Wait()
		})
	}
}

// counter tells that an event was seen.
type counter struct{ seen *sync.WaitGroup }

func (c *counter) Add(*event.Event, event.Positions) bool { c.seen.Done(); return false }
func (c *counter) Flush(event.Positions) error            { return nil }
