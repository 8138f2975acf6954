// Package audit records what is done with Daybook itself as events like any other,
// in the tenant [access.SelfTenant]: keys made and revoked, sign-ins, requests
// denied, exports, searches across tenants, dead letters replayed, events removed.
//
// [Log.Record] is for what must not happen unrecorded: it returns when the event
// is durable. [Log.Note] does not make its caller wait. [Log.Sample] is for what a
// stranger can cause at will: of the same by the same, one is recorded at once and
// the others of a minute as one more, with their number, so that nothing floods
// the log and nothing goes uncounted.
//
// Events go straight to the publisher, past the door that would refuse the tenant,
// and recording one is not itself recorded: there is no recursion.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
)

// Publisher makes an event durable.
type Publisher interface {
	Publish(ctx context.Context, e *event.Event) (event.Position, error)
}

// Entry is one thing that was done.
type Entry struct {
	ID        event.ID      // zero: a new one. With one, an entry that is recorded twice is one event
	At        time.Time     // zero: when it is given to the log
	Grant     *access.Grant // who did it; nil: Daybook itself
	Subject   string        // who, where there is no grant
	UserType  string        // of the subject; "": anonymous
	Action    string        // such as key.create
	Resource  string        // such as key/ab12
	Operation string        // create, read, update, delete, login; "": other
	Outcome   string        // success, failure, denied; "": success
	Reason    string
	SourceIP  string
	UserAgent string
	Metadata  map[string]any // no secrets; not changed afterwards

	count int // how many this one stands for, when they were counted; else 0
}

// Options are what a [Log] is made of.
type Options struct {
	Publisher Publisher
	Logger    *slog.Logger // nil: nothing is logged
	// Enabled reports whether there is anybody to tell apart: on a server without
	// keys only what is recorded with Record is. nil: always.
	Enabled func() bool
}

// Limits of a [Log].
const (
	maxQueued   = 4096            // entries that wait to be published
	maxSamples  = 4096            // whos and whats that are told apart in a minute
	sampleTime  = time.Minute     // over which the same are counted together
	maxText     = 1024            // bytes of a text in an entry, from a request
	maxName     = 256             // bytes of a name in an entry
	maxMetadata = 32 << 10        // bytes of an entry's metadata, as JSON
	lastTime    = 3 * time.Second // for publishing what is left when Run is to end
)

// Log records entries. It is safe for concurrent use.
type Log struct {
	publisher Publisher
	log       *slog.Logger
	enabled   func() bool
	queue     chan Entry // sent to with mu held
	ids       event.IDSource

	mu      sync.Mutex
	samples map[[sha256.Size]byte]*sample // guarded by mu: by the hash of their key, which may be of any length
	stopped bool                          // guarded by mu: nothing is queued any more

	recorded, failed, dropped atomic.Int64
}

// sample is what of one kind came in the present minute.
type sample struct {
	last Entry
	more int // that are not recorded yet
}

// New returns a log that records when Run runs.
func New(o Options) *Log {
	if o.Enabled == nil {
		o.Enabled = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Log{publisher: o.Publisher, log: o.Logger, enabled: o.Enabled, queue: make(chan Entry, maxQueued), samples: map[[sha256.Size]byte]*sample{}}
}

// Stats counts entries since the start.
type Stats struct {
	Recorded int64
	Failed   int64 // attempts to publish that failed; those of Note are tried again
	Dropped  int64 // of Note and Sample, for want of room, at the end, or because the publisher refuses them; each of those counted together
}

// Stats returns the figures of now.
func (l *Log) Stats() Stats {
	return Stats{l.recorded.Load(), l.failed.Load(), l.dropped.Load()}
}

// Record records an entry, whether or not there are keys, and returns when it is
// durable.
func (l *Log) Record(ctx context.Context, e Entry) error { return l.record(ctx, e.event()) }

func (l *Log) record(ctx context.Context, ev event.Event) error {
	if _, err := l.publisher.Publish(ctx, &ev); err != nil {
		l.failed.Add(1)
		return fmt.Errorf("record %s: %w", ev.Action, err)
	}
	l.recorded.Add(1)
	return nil
}

// Note records an entry soon. When there is no room it is dropped, counted and
// logged.
func (l *Log) Note(e Entry) {
	if !l.enabled() {
		return
	}
	e = e.settled()
	l.mu.Lock()
	queued, stopped := l.offer(e), l.stopped
	l.mu.Unlock()
	switch {
	case stopped:
		l.drop(&e, "the server stops")
	case !queued:
		l.drop(&e, "too many wait")
	}
}

// offer queues an entry if there is room. mu is held.
func (l *Log) offer(e Entry) bool {
	if l.stopped {
		return false
	}
	select {
	case l.queue <- e:
		return true
	default:
		return false
	}
}

// drop counts an entry that cannot be recorded. What is lost of the audit log is
// told in the server's.
func (l *Log) drop(e *Entry, why string) {
	n := max(1, e.count)
	l.dropped.Add(int64(n))
	l.log.Error("an entry about this server could not be recorded", "action", e.Action, "resource", e.Resource, "count", n, "why", why)
}

// Sample records the first of what is the same for key in a minute, and counts
// the others. When there is no room for the first it is counted with them.
func (l *Log) Sample(key string, e Entry) {
	if !l.enabled() {
		return
	}
	e = e.settled()
	if !l.count(sha256.Sum256([]byte(key)), e) {
		l.drop(&e, "the server stops")
	}
}

// count returns false when nothing is recorded any more.
func (l *Log) count(key [sha256.Size]byte, e Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	if l.samples[key] == nil && len(l.samples) >= maxSamples { // somebody makes up whos: they are one
		key = sha256.Sum256([]byte("others\x00" + e.Action))
	}
	s := l.samples[key]
	if s == nil {
		s = new(sample)
		l.samples[key] = s
		if l.offer(e) {
			return true
		}
	}
	s.last = e
	s.more++
	return true
}

// flush queues what was counted, and begins a new minute. What finds no room is
// counted on.
func (l *Log) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.samples {
		if s.more > 0 {
			e := s.last
			if e.count = s.more; !l.offer(e) {
				continue
			}
		}
		delete(l.samples, key)
	}
}

// Run publishes what was noted until ctx ends, and then what is left, as long as
// the publisher takes it and for a few seconds at most. What is noted after that is
// dropped.
func (l *Log) Run(ctx context.Context) error {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends lastTime after ctx
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(lastTime, cancel)
		context.AfterFunc(last, func() { timer.Stop() })
	})()
	minute := time.NewTicker(sampleTime)
	defer minute.Stop()
	for ctx.Err() == nil {
		select {
		case e := <-l.queue:
			l.publish(ctx, last, e)
		case <-minute.C:
			l.flush()
		case <-ctx.Done():
		}
	}
	l.finish(last)
	return nil
}

// publish publishes an entry, trying again until ctx ends, and then once more. Each
// time it is the same event, so that one which was taken though that was not said is
// not there twice. An event that is refused for what it is would be so again.
func (l *Log) publish(ctx, last context.Context, e Entry) {
	ev := e.event()
	if ev.ID.IsZero() {
		ev.ID = l.ids.New(time.Now())
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		ending := ctx.Err() != nil
		err := l.record(last, ev)
		if err == nil {
			return
		}
		if _, refused := errors.AsType[event.Errors](err); refused || ending {
			l.drop(&e, err.Error())
			return
		}
		l.log.Warn("an entry about this server waits to be recorded", "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// finish publishes what is left, until the publisher fails or ctx ends; the rest is
// dropped.
func (l *Log) finish(ctx context.Context) {
	failure := ctx.Err()
	for {
		l.flush()
		for len(l.queue) > 0 {
			e := <-l.queue
			if failure == nil {
				if failure = l.record(ctx, e.event()); failure == nil {
					failure = ctx.Err()
					continue
				}
			}
			l.drop(&e, failure.Error())
		}
		l.mu.Lock()
		l.stopped = failure != nil || len(l.queue) == 0 && len(l.samples) == 0
		done := l.stopped
		left := slices.Collect(maps.Values(l.samples))
		l.mu.Unlock()
		if !done {
			continue
		}
		for len(l.queue) > 0 { // nobody sends any more
			e := <-l.queue
			l.drop(&e, failure.Error())
		}
		for _, s := range left {
			if s.more > 0 {
				s.last.count = s.more
				l.drop(&s.last, failure.Error())
			}
		}
		return
	}
}

// settled returns e as it is queued: with its time, and without more of a request
// than is recorded.
func (e Entry) settled() Entry {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.Subject, e.Action, e.SourceIP = cutTo(e.Subject, maxName), cutTo(e.Action, maxName), cutTo(e.SourceIP, maxName)
	e.Resource, e.Reason, e.UserAgent = cut(e.Resource), cut(e.Reason), cut(e.UserAgent)
	return e
}

// event returns the event that records e, which is valid whatever e is.
func (e *Entry) event() event.Event {
	ev := event.Event{
		ID: e.ID, Timestamp: time.Now().UnixNano(), TenantID: access.SelfTenant, Source: "daybook",
		UserID: "daybook", UserType: "system", Action: cmp.Or(cutTo(e.Action, maxName), "unknown"), Resource: cmp.Or(cut(e.Resource), "unknown"),
		Operation: oneOf(event.Operation, cmp.Or(e.Operation, event.DefaultOperation)), Outcome: oneOf(event.Outcome, cmp.Or(e.Outcome, "success")),
		Reason: cut(e.Reason), UserAgent: cut(e.UserAgent), SourceIP: address(e.SourceIP), Metadata: e.metadata(),
	}
	if !e.At.IsZero() {
		ev.Timestamp = e.At.UnixNano()
	}
	switch {
	case e.Grant != nil:
		ev.UserID, ev.UserName, ev.UserType = cmp.Or(cutTo(e.Grant.Subject, maxName), "unknown"), cutTo(e.Grant.Name, maxName), userType(e.Grant.Kind)
	case e.Subject != "":
		ev.UserID, ev.UserType = cmp.Or(cutTo(e.Subject, maxName), "unknown"), oneOf(event.UserType, cmp.Or(e.UserType, "anonymous"))
	}
	return ev
}

// metadata returns e's metadata, and how many it counts, as canonical JSON.
func (e *Entry) metadata() string {
	m := e.Metadata
	if e.count > 0 {
		if m = maps.Clone(m); m == nil {
			m = map[string]any{}
		}
		m["count"] = e.count
	}
	if len(m) == 0 {
		return ""
	}
	b, err := json.Marshal(m)
	if err == nil {
		b, err = event.AppendCanonicalJSON(nil, b)
	}
	if err == nil && len(b) <= maxMetadata {
		return string(b)
	}
	// What is put in is plain and short, so this is a fault of the program.
	return fmt.Sprintf(`{"count":%d,"error":"the metadata could not be written"}`, max(1, e.count))
}

// oneOf returns v if it is a value of the field f, else the default.
func oneOf(f event.Field, v string) string {
	if slices.Contains(f.Info().Values, v) {
		return v
	}
	return f.Info().Default
}

// address returns an IP address as events have it; "" if it is none.
func address(s string) string {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}

func userType(k access.Kind) string {
	switch k {
	case access.ByKey, access.Certificate:
		return "api_key"
	case access.SignIn:
		return "user"
	}
	return "anonymous"
}

// cut shortens a text from a request to what an entry holds of it.
func cut(s string) string { return cutTo(s, maxText) }

// cutTo returns at most n bytes of s, as whole characters of UTF-8, in memory of its
// own: s may be a part of a request that is far larger.
func cutTo(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.Clone(strings.ToValidUTF8(s, ""))
}
