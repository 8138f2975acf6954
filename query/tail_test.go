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
	"github.com/daybook-log/daybook/store"
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
func tailing(t *testing.T, e *query.View, queryString, resumeID string, sink query.TailSink) (stop func() error) {
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

// Where a tail since a moment begins is where it goes on, though it was cut before
// it had any event.
func TestTailSinceAMomentIsAPosition(t *testing.T) {
	tests := []struct{ since, want string }{
		{"2026-11-01T00:00:03Z", "3 4 5 6"},
		{"2026-11-01T00:00:00Z", "0 1 2 3 4 5 6"},
		{"2026-11-01T00:00:04.000000001Z", "5 6"},
		{"-1h", "5 6"},
	}
	for _, tt := range tests {
		t.Run(tt.since, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := querytest.New()
				mem.Publish(run(0, 3)...)
				mem.Hold(true)
				mem.Publish(run(3, 5)...)
				e := newEngine(mem)
				p := params(t, "since="+tt.since)
				gone := errors.New("the connection is cut")
				first := &recorder{fail: gone}
				ended := make(chan error)
				go func() { ended <- e.Tail(t.Context(), p.Tail(epoch.Add(2*time.Hour), ""), first) }()
				synctest.Wait()
				mem.Hold(false)
				if err := <-ended; !errors.Is(err, gone) || len(first.sent) != 0 {
					t.Fatalf("%v, having sent %v", err, first.sent)
				}
				mem.Publish(run(5, 7)...)
				second := new(recorder)
				stop := tailing(t, e, "since="+tt.since, first.at, second)
				synctest.Wait()
				stop()
				if got := strings.ReplaceAll(strings.Join(second.got(), " "), "document/", ""); got != tt.want {
					t.Errorf("resumed at %s: got %q, want %q", first.at, got, tt.want)
				}
			})
		})
	}
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

// Beyond as many tails as may be open one is refused at once, until one ends.
func TestTailsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		e := all(query.New(query.Options{Store: mem, Stream: mem, MaxTails: 2}))
		first, second := tailing(t, e, "", "", new(recorder)), tailing(t, e, "", "", new(recorder))
		synctest.Wait()
		if err := tailing(t, e, "", "", new(recorder))(); !errors.Is(err, query.ErrTails) {
			t.Errorf("a third tail: %v", err)
		}
		first()
		third := tailing(t, e, "", "", new(recorder))
		synctest.Wait()
		if s := e.Stats(); s.Tails != 2 || s.TailsRefused != 1 {
			t.Errorf("%d tails, %d refused; want 2 and 1", s.Tails, s.TailsRefused)
		}
		second()
		third()
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

// A tail far behind tells how far it has come after every step, so that one whose
// connections do not last a heartbeat gets on all the same.
func TestTailTellsOfItsSteps(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 95)...)
	e := newEngine(mem)
	e.SetTailStep(10)
	id, cut := "0:0", errors.New("the connection is cut")
	for range 9 {
		sink := &recorder{}
		sink.block = func() { // the first flush answers the connection, the second is cut
			if sink.beats == 1 {
				sink.fail = cut
			}
		}
		if err := e.Tail(t.Context(), params(t, "user_id=nobody").Tail(epoch, id), sink); !errors.Is(err, cut) {
			t.Fatal(err)
		}
		id = sink.at
	}
	if id != "0:90" {
		t.Errorf("after nine connections the tail has come to %s", id)
	}
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

// ahead is a store that has its rows in hand, and so does not hear that they are not
// wanted any more.
type ahead struct{ *querytest.Mem }

func (m ahead) Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error {
	return m.Mem.Scan(context.WithoutCancel(ctx), q, yield)
}

// Nothing is added once a tail's time has ended, however much of a step is left: its
// reader may have lost the right to see it.
func TestTailEndsBetweenFlushes(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	ctx, cancel := context.WithCancel(t.Context())
	sink := &recorder{full: 2}
	sink.block = func() {
		if len(sink.pending) > 0 {
			cancel()
		}
	}
	v := all(query.New(query.Options{Store: ahead{mem}, Stream: mem}))
	err := v.Tail(ctx, params(t, "since=beginning").Tail(time.Now(), ""), sink)
	if !errors.Is(err, context.Canceled) || len(sink.got()) != 2 || len(sink.pending) != 0 {
		t.Errorf("%v after %v", err, sink.got())
	}
}

func TestTailFromElsewhereIsRefused(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 10)...)
	tests := []struct{ id, want string }{ // want "": it is taken
		{"0:10", ""},
		{"0:10@da7b000000000000", ""},
		{"0:11", "lies at 0:11, after the end of this log, 0:10"},
		{"0:11@da7b000000000000", "lies at 0:11, after the end of this log, 0:10"},
		{"0:10,1:1@da7b000000000000", "after the end"},
		{"0:0@0100000000000000", "comes from log 0100000000000000, and this is log da7b000000000000"},
		{"0:11@0100000000000000", "comes from log 0100000000000000"},
	}
	for _, tt := range tests {
		for _, header := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			name, tail := "Last-Event-ID", params(t, "").Tail(epoch, tt.id)
			if !header {
				name, tail = "last_event_id", params(t, "last_event_id="+tt.id).Tail(epoch, "")
			}
			err := newEngine(mem).Tail(ctx, tail, new(recorder))
			gone, ok := errors.AsType[*query.GoneError](err)
			switch {
			case tt.want == "" && !errors.Is(err, context.Canceled):
				t.Errorf("%s: %v", tt.id, err)
			case tt.want != "" && (!ok || gone.Param != name || gone.Value != tt.id || !strings.Contains(gone.Reason, tt.want)):
				t.Errorf("%s in %s: %v, want … %s …", tt.id, name, err, tt.want)
			}
		}
	}
}

func TestTailIDs(t *testing.T) {
	for id, want := range map[string]string{
		"0:7@da7b000000000000":     "",
		"0:0@da7b000000000000":     "",
		"0:7,2:9@da7b000000000000": "",
		"0:7":                      "",
		"":                         "not partition:offset",
		"7":                        "not partition:offset",
		"@da7b000000000000":        "not partition:offset",
		"0:7@":                     "not the identity of a log",
		"0:7@DA7B000000000000":     "not the identity of a log",
		"0:7@da7b0000000000000":    "not the identity of a log",
		"0:7@da7b000000000000@":    "not the identity of a log",
		"0:7 @da7b000000000000":    "not partition:offset",
		"0:7,0:8@da7b000000000000": "named twice",
		"-1:7@da7b000000000000":    "not partition:offset",
	} {
		ps, log, err := query.ParseTailID(id)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, %s, %v, want … %s …", id, ps, log, err, want)
			}
			continue
		}
		again := query.FormatPositions(ps)
		if !log.IsZero() {
			again = string(query.AppendTailID(nil, log, ps))
		}
		if err != nil || again != id {
			t.Errorf("%q came back as %q, %v", id, again, err)
		}
	}
}

// An id is refused, or says the same when it is written anew.
func FuzzTailID(f *testing.F) {
	for _, id := range []string{"0:7@da7b000000000000", "0:7,2:9@da7b000000000000", "0:7", "0:7@", "@", "65535:9223372036854775806"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		ps, log, err := query.ParseTailID(id)
		if err != nil {
			return
		}
		again := string(query.AppendTailID(nil, log, ps))
		ps2, log2, err := query.ParseTailID(again)
		if err != nil || log2 != log || !ps2.Covers(ps) || !ps.Covers(ps2) {
			t.Errorf("%q is %v of %s, written %q, which is %v of %s, %v", id, ps, log, again, ps2, log2, err)
		}
	})
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
