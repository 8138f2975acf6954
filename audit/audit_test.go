package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
)

// publisher keeps what is published, after a decoder has read it again as the index
// will.
type publisher struct {
	t testing.TB

	mu     sync.Mutex
	fail   func(attempt int) error // guarded by mu; nil: never
	delay  time.Duration           // of each
	asked  int                     // guarded by mu
	ids    map[event.ID]int        // guarded by mu: attempts of those that were given one
	events []event.Event           // guarded by mu
}

func (p *publisher) Publish(ctx context.Context, e *event.Event) (event.Position, error) {
	if p.delay > 0 {
		select {
		case <-time.After(p.delay):
		case <-ctx.Done():
			return event.Position{}, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if !e.ID.IsZero() {
		if p.ids == nil {
			p.ids = map[event.ID]int{}
		}
		p.ids[e.ID]++
	}
	if p.fail != nil {
		if err := p.fail(p.asked); err != nil {
			return event.Position{}, err
		}
	}
	var ids event.IDSource
	e.Complete(&ids, time.Now())
	b := event.AppendCanonical(nil, e)
	var d event.Decoder
	var again event.Event
	if err := d.Decode(b, &again); err != nil {
		p.t.Errorf("recorded what is no event: %v\n%.300s", err, b)
	} else if string(event.AppendCanonical(nil, &again)) != string(b) || len(b) > event.MaxSize {
		p.t.Errorf("recorded what is not canonical, or too large: %.300s", b)
	}
	p.events = append(p.events, again.Clone())
	return event.Position{}, nil
}

// got returns what was published, and how many calls it stands for.
func (p *publisher) got() (events []event.Event, counted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.events {
		counted += countOf(p.t, &p.events[i])
	}
	return p.events, counted
}

// countOf returns how many calls an event stands for.
func countOf(t testing.TB, e *event.Event) int {
	t.Helper()
	if e.Metadata == "" {
		return 1
	}
	var m struct{ Count *int }
	if err := json.Unmarshal([]byte(e.Metadata), &m); err != nil {
		t.Fatal(err)
	}
	if m.Count == nil {
		return 1
	}
	return *m.Count
}

// running returns a log over a publisher that runs until stop is called.
func running(t *testing.T, p *publisher, logger *slog.Logger) (l *Log, stop func()) {
	t.Helper()
	p.t = t
	l = New(Options{Publisher: p, Logger: logger})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	return l, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

var key = &access.Grant{Kind: access.ByKey, ID: "ab12", Subject: "key:ab12", Name: "billing"}

// TestRecord: what is recorded, and as which event.
func TestRecord(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		e    Entry
		want string // the canonical form without event_id
	}{
		{"a key's change", Entry{At: at, Grant: key, Action: "key.create", Operation: "create", Resource: "key/cd34", SourceIP: "10.0.0.1", UserAgent: "curl/8.0", Metadata: map[string]any{"name": "x", "hidden": []string{"a"}}},
			`{"action":"key.create","metadata":{"hidden":["a"],"name":"x"},"operation":"create","outcome":"success","resource":"key/cd34","source":"daybook","source_ip":"10.0.0.1","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_agent":"curl/8.0","user_id":"key:ab12","user_name":"billing","user_type":"api_key"}`},
		{"what Daybook did itself", Entry{At: at, Action: "retention.drop", Operation: "delete", Resource: "store"},
			`{"action":"retention.drop","operation":"delete","outcome":"success","resource":"store","source":"daybook","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_id":"daybook","user_type":"system"}`},
		{"a stranger", Entry{At: at, Subject: "unknown", Action: "access.deny", Outcome: "denied", Resource: "api/v1/events", Reason: "no key", SourceIP: "::ffff:10.0.0.1"},
			`{"action":"access.deny","operation":"other","outcome":"denied","reason":"no key","resource":"api/v1/events","source":"daybook","source_ip":"10.0.0.1","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_id":"unknown","user_type":"anonymous"}`},
		{"somebody at the machine", Entry{At: at, Subject: "root", UserType: "user", Action: "key.create", Resource: "key/a"},
			`{"action":"key.create","operation":"other","outcome":"success","resource":"key/a","source":"daybook","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_id":"root","user_type":"user"}`},
		{"a person", Entry{At: at, Grant: &access.Grant{Kind: access.SignIn, Subject: "ada@example.com", Name: "Ada"}, Action: "export.begin", Operation: "read", Resource: "export/csv"},
			`{"action":"export.begin","operation":"read","outcome":"success","resource":"export/csv","source":"daybook","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_id":"ada@example.com","user_name":"Ada","user_type":"user"}`},
		{"a viewer", Entry{At: at, Grant: &access.Grant{Kind: access.Viewer, Subject: "viewer:"}, Action: "a", Resource: "r"},
			`{"action":"a","operation":"other","outcome":"success","resource":"r","source":"daybook","tenant_id":"_daybook","timestamp":"2026-11-26T12:00:00Z","user_id":"viewer:","user_type":"anonymous"}`},
	} {
		p := &publisher{t: t}
		l := New(Options{Publisher: p, Enabled: func() bool { return false }}) // Record records anyway
		if err := l.Record(t.Context(), tt.e); err != nil {
			t.Fatal(err)
		}
		events, _ := p.got()
		if p.asked != 1 || len(events) != 1 { // to record one is not itself recorded
			t.Fatalf("%s: published %d times", tt.name, p.asked)
		}
		got := string(event.AppendCanonical(nil, &events[0]))
		id := fmt.Sprintf(`"event_id":%q,`, events[0].ID)
		if got = strings.Replace(got, id, "", 1); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	refusal := errors.New("the disk is full")
	l := New(Options{Publisher: &publisher{t: t, fail: func(int) error { return refusal }}})
	if err := l.Record(t.Context(), Entry{Action: "key.create", Resource: "key/a"}); !errors.Is(err, refusal) || l.Stats() != (Stats{Failed: 1}) {
		t.Errorf("%v, %+v", err, l.Stats())
	}
}

// TestHostileEntries: whatever a request says, what is recorded is an event.
func TestHostileEntries(t *testing.T) {
	texts := []string{
		"", "\xff", "\xff\xfe\xfd", "a\x00b\x1f\x7f\u2028", `"},{"action":"forged`, "\n\r\t", strings.Repeat("x", 100<<10), strings.Repeat("é", 50<<10),
		strings.Repeat("\xe2\x82", 1000), strings.Repeat("a", maxText-1) + "é", strings.Repeat("\x01", 2000), "\ufeff\ufffd", "fe80::1%eth0", "::ffff:10.0.0.1%25",
		"10.0.0.1:80", "2001:db8::1", "fe80::1%" + strings.Repeat("z", 200), "_daybook",
	}
	p := &publisher{t: t}
	l := New(Options{Publisher: p})
	for _, s := range texts {
		for _, e := range []Entry{
			{Action: s, Resource: s, Operation: s, Outcome: s, Reason: s, SourceIP: s, UserAgent: s, Subject: s, UserType: s, Metadata: map[string]any{s: s, "more": []any{s, 1, nil, map[string]any{s: s}}}},
			{Action: "a", Resource: "r/" + s, Grant: &access.Grant{Kind: access.Kind(s), Subject: s, Name: s}},
			{Action: "a", Resource: "r", Metadata: map[string]any{"no": func() {}}},
			{Action: "a", Resource: "r", Metadata: map[string]any{"large": strings.Repeat(s, 100)}},
		} {
			if err := l.Record(t.Context(), e); err != nil {
				t.Errorf("%.20q: %v", s, err)
			}
			if settled := e.settled(); len(settled.UserAgent) > maxText || len(settled.Subject) > maxName || !utf8.ValidString(settled.Reason) {
				t.Errorf("%.20q: queued with %d bytes", s, len(settled.UserAgent))
			}
		}
	}
	events, _ := p.got()
	for i := range events {
		if events[i].TenantID != access.SelfTenant || events[i].Action == "forged" {
			t.Errorf("recorded as %+v", events[i])
		}
		if ip := events[i].SourceIP; ip != "" && ip != "10.0.0.1" && ip != "2001:db8::1" && ip != "fe80::1" {
			t.Errorf("source_ip %q", ip)
		}
	}
}

// TestNote: recorded soon, with the time it was noted, and only when there is
// anybody to tell apart.
func TestNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{delay: time.Minute}
		enabled := true
		p.t = t
		l := New(Options{Publisher: p, Enabled: func() bool { return enabled }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		began := time.Now()
		l.Note(Entry{Action: "one", Resource: "r"})
		l.Note(Entry{Action: "two", Resource: "r"})
		if time.Since(began) != 0 {
			t.Error("who notes waits")
		}
		time.Sleep(3 * time.Minute)
		events, _ := p.got()
		if len(events) != 2 || events[0].Action != "one" || events[1].Timestamp != began.UnixNano() {
			t.Errorf("%+v, want the times when they were noted", events)
		}
		enabled = false
		l.Note(Entry{Action: "three", Resource: "r"})
		l.Sample("k", Entry{Action: "four", Resource: "r"})
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if p.asked != 2 || l.Stats() != (Stats{Recorded: 2}) {
			t.Errorf("on a server without keys: %d, %+v", p.asked, l.Stats())
		}
	})
}

// TestSample: the first of the same at once, the others of a minute as one more,
// with their number.
func TestSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		l, stop := running(t, p, nil)
		want := func(when string, n, counted int) {
			t.Helper()
			synctest.Wait()
			if events, got := p.got(); len(events) != n || got != counted {
				t.Errorf("%s: %d events that count %d, want %d and %d", when, len(events), got, n, counted)
			}
		}
		metadata := map[string]any{"path": "/v1"}
		for i := range 5 {
			l.Sample("a", Entry{Action: "access.deny", Resource: fmt.Sprint("api/", i), Metadata: metadata})
		}
		l.Sample("b", Entry{Action: "access.deny", Resource: "api/b"})
		want("at once", 2, 2)
		time.Sleep(sampleTime + time.Second)
		want("after a minute", 3, 6)
		events, _ := p.got()
		if last := events[2]; last.Resource != "api/4" || last.Metadata != `{"count":4,"path":"/v1"}` || len(metadata) != 1 {
			t.Errorf("those counted are %+v; the caller's metadata %v", last, metadata)
		}
		time.Sleep(10 * sampleTime)
		want("nothing more came", 3, 6)
		l.Sample("a", Entry{Action: "access.deny", Resource: "api/5"})
		want("in a new minute", 4, 7)
		l.Sample("a", Entry{Action: "access.deny", Resource: "api/6"})
		stop()
		want("at the end", 5, 8)
	})
}

// TestFlood: a million whos that somebody made up, before and while entries are
// published, slower than they come. Memory is bounded and none goes uncounted.
func TestFlood(t *testing.T) {
	const calls = 1_000_000
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{delay: time.Millisecond}
		p.t = t
		l := New(Options{Publisher: p})
		agent := strings.Repeat("a", 100<<10) // of so many that all that is kept has one
		for i := range calls / 2 {
			e := Entry{Action: "access.deny", Resource: "api"}
			if i < 3*maxSamples {
				e.UserAgent = strings.Clone(agent) // each request has its own
			}
			l.Sample(fmt.Sprint("who", i), e)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > 64<<20 { // each with its 100 KB would be 400 MB and more
			t.Errorf("%d MB are in use", m.HeapAlloc>>20)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		for i := range calls / 2 {
			l.Sample(fmt.Sprint("other", i), Entry{Action: "access.deny", Resource: "api"})
			if i%5000 == 0 {
				time.Sleep(2 * time.Second)
			}
		}
		l.mu.Lock()
		n := len(l.samples)
		l.mu.Unlock()
		if n > maxSamples+1 {
			t.Errorf("%d are told apart", n)
		}
		time.Sleep(3 * sampleTime)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		events, counted := p.got()
		if counted != calls || l.Stats().Dropped != 0 {
			t.Errorf("%d events count %d of %d; %+v", len(events), counted, calls, l.Stats())
		}
	})
}

// TestFlushOfMoreThanTheQueueHolds: flushing is done by who empties the queue.
func TestFlushOfMoreThanTheQueueHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		l, stop := running(t, p, nil)
		const whos, each = maxSamples + 500, 3
		for i := range each * whos {
			l.Sample(fmt.Sprint(i%whos), Entry{Action: "access.deny", Resource: "api"})
		}
		synctest.Wait()
		time.Sleep(sampleTime)
		stop()
		if _, counted := p.got(); counted != each*whos || l.Stats().Dropped != 0 {
			t.Errorf("%d of %d are counted, %+v", counted, each*whos, l.Stats())
		}
	})
}

// TestFullQueue: what finds no room is counted, and the log names it.
func TestFullQueue(t *testing.T) {
	var logged bytes.Buffer
	p := &publisher{t: t}
	l := New(Options{Publisher: p, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	for i := range maxQueued + 3 {
		l.Note(Entry{Action: "export.begin", Resource: fmt.Sprint("export/", i), Reason: "not for the log"})
	}
	if l.Stats() != (Stats{Dropped: 3}) || strings.Count(logged.String(), "could not be recorded") != 3 ||
		!strings.Contains(logged.String(), fmt.Sprint("export/", maxQueued+2)) || strings.Contains(logged.String(), "not for the log") {
		t.Errorf("%+v, logged %s", l.Stats(), &logged)
	}
	l.Sample("a", Entry{Action: "access.deny", Resource: "api"}) // is counted on, not dropped
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if events, counted := p.got(); len(events) != maxQueued+1 || counted != maxQueued+1 || l.Stats().Dropped != 3 {
		t.Errorf("%d events count %d, %+v", len(events), counted, l.Stats())
	}
	l.Note(Entry{Action: "late", Resource: "r"})
	l.Sample("b", Entry{Action: "late", Resource: "r"})
	if l.Stats().Dropped != 5 || len(l.queue) != 0 {
		t.Errorf("after the end: %+v, %d wait", l.Stats(), len(l.queue))
	}
}

// TestPublisherThatFailsForAWhile: what was noted is recorded when it recovers, in
// order, once, with the time when it was noted; however often it was tried it is one
// event.
func TestPublisherThatFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &publisher{fail: func(int) error {
			if time.Since(began) < time.Hour {
				return errors.New("no broker answers")
			}
			return nil
		}}
		l, stop := running(t, p, nil)
		for i := range 3 {
			l.Note(Entry{Action: "a", Resource: fmt.Sprint(i)})
			l.Sample("k", Entry{Action: "b", Resource: "r"})
		}
		time.Sleep(time.Hour + time.Minute)
		stop()
		events, counted := p.got()
		var order []string
		for i := range events {
			order = append(order, events[i].Action+events[i].Resource)
			if events[i].Timestamp != began.UnixNano() {
				t.Errorf("%s happened %v after it did", events[i].Action, time.Duration(events[i].Timestamp-began.UnixNano()))
			}
		}
		if got := strings.Join(order, " "); got != "a0 br a1 a2 br" || counted != 6 {
			t.Errorf("%s, which count %d", got, counted)
		}
		if s := l.Stats(); s.Recorded != 5 || s.Dropped != 0 || s.Failed < 100 || s.Failed > 3600 {
			t.Errorf("%+v", s)
		}
		if p.ids[events[0].ID] < 100 {
			t.Errorf("the first was tried %d times under its id", p.ids[events[0].ID])
		}
	})
}

// TestRefusedForGood: an entry that the publisher refuses for what it is does not
// keep the others.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{fail: func(attempt int) error {
			if attempt == 1 {
				return fmt.Errorf("publish: %w", event.Errors{{Reason: "the event's canonical form is too large"}})
			}
			return nil
		}}
		l, stop := running(t, p, nil)
		l.Note(Entry{Action: "one", Resource: "r"})
		l.Note(Entry{Action: "two", Resource: "r"})
		time.Sleep(time.Second)
		if events, _ := p.got(); len(events) != 1 || events[0].Action != "two" || l.Stats() != (Stats{Recorded: 1, Failed: 1, Dropped: 1}) {
			t.Errorf("%+v, %+v", events, l.Stats())
		}
		stop()
	})
}

// TestShutdown: what waits is published; what cannot be is counted; and neither a
// publisher that fails nor one that hangs keeps the server from stopping.
func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		p      *publisher
		least  int64 // recorded
		failed int64 // attempts, at most: once one has failed at the end, no other is made
	}{
		{"a publisher that works", &publisher{}, 30, 0},
		{"one that fails", &publisher{fail: func(int) error { return errors.New("closed") }}, 0, 3},
		{"one that hangs", &publisher{delay: time.Hour}, 0, 2},
		{"one that is slow", &publisher{delay: lastTime / 10}, 8, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tt.p
				l, stop := running(t, p, nil)
				for i := range 10 {
					l.Note(Entry{Action: "a", Resource: "r"})
					for range 10 {
						l.Sample(fmt.Sprint(i), Entry{Action: "b", Resource: "r"})
					}
				}
				synctest.Wait()
				began := time.Now()
				stop()
				if took := time.Since(began); took > lastTime {
					t.Errorf("it takes %v", took)
				}
				_, counted := p.got()
				s := l.Stats()
				if counted+int(s.Dropped) != 110 {
					t.Errorf("%d recorded and %d dropped, of 110", counted, s.Dropped)
				}
				if s.Recorded < tt.least || s.Failed > tt.failed {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	p := &publisher{}
	l, stop := running(t, p, nil)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 300 {
				l.Note(Entry{Action: "a", Resource: "r", Grant: key})
				l.Sample(fmt.Sprint(g, i%10), Entry{Action: "b", Resource: "r"})
				if err := l.Record(t.Context(), Entry{Action: "c", Resource: "r"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	if _, counted := p.got(); counted != 3*8*300 {
		t.Errorf("%d of %d, %+v", counted, 3*8*300, l.Stats())
	}
}
