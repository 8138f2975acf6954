package query

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Store is what a query needs of the store.
type Store interface {
	events
	progress
}

// events is what is read of the store through a scope.
type events interface {
	Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error
	Count(ctx context.Context, q store.Count) (*store.Counts, error)
	Get(ctx context.Context, id event.ID, x filter.Expr) (*event.Event, error)
}

// progress is how far the store has come.
type progress interface {
	Visible() event.Positions
	Wait(ctx context.Context, pos event.Positions) error
	Stats() store.Stats
}

// Stream is what a query needs of the stream: to know what the store must have
// reached, and whose positions it is asked about.
type Stream interface {
	ID() event.LogID
	End(ctx context.Context) (event.Positions, error)
}

// Options says what an [Engine] works on and how much it may do at once.
type Options struct {
	Store  Store
	Stream Stream

	// Timeout is how long a search, count or get may take, waiting included.
	// An export may wait as long to begin. 0: 30 s.
	Timeout time.Duration
	// Concurrency is how many searches, counts and gets run at once; 0: 16.
	// Half as many exports, at least one, run besides.
	Concurrency int
	// MaxTails is how many tails are open at once; 0: 2048.
	MaxTails int
	// Secret hides positions from readers who do not see the whole log: at least 32
	// bytes, the same for as long as a cursor is to be of use. nil: random.
	Secret []byte
	// Heartbeat is how often a tail that has nothing to say shows that it is
	// alive; 0: 15 s.
	Heartbeat time.Duration
}

// patience is how long a query waits for a slot before it is refused. It is long
// enough for a burst of short queries to pass and short enough for a person.
const patience = 5 * time.Second

// Engine runs queries. It is safe for concurrent use and needs no closing:
// what it starts ends with the last call that needed it.
//
// What of the store it asks is how far that has come. Events are read through a
// [View] alone.
type Engine struct {
	store     progress
	events    events
	stream    Stream
	secret    []byte
	timeout   time.Duration
	heartbeat time.Duration
	step      int64 // tailStep

	queries *gate // searches, counts, gets
	exports *gate
	tails   *gate // tails that are open
	looks   *gate // tails that look at new rows
	watch   *watch

	busy     atomic.Int64 // queries refused for want of a slot
	tooMany  atomic.Int64 // tails refused
	behind   atomic.Int64 // queries for which the store was too late
	timeouts atomic.Int64
}

// New returns an engine.
func New(o Options) *Engine {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Concurrency == 0 {
		o.Concurrency = 16
	}
	if o.MaxTails == 0 {
		o.MaxTails = 2048
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Secret == nil {
		o.Secret = make([]byte, 32)
		rand.Read(o.Secret) // never fails: crypto/rand ends the program instead
	}
	return &Engine{
		secret:    o.Secret,
		store:     o.Store,
		events:    o.Store,
		stream:    o.Stream,
		timeout:   o.Timeout,
		heartbeat: o.Heartbeat,
		step:      tailStep,
		queries:   newGate(o.Concurrency),
		exports:   newGate(max(1, o.Concurrency/2)),
		tails:     newGate(o.MaxTails),
		looks:     newGate(runtime.GOMAXPROCS(0)),
		watch:     newWatch(o.Store),
	}
}

// Log returns the identity of the log that the engine's positions count in.
func (e *Engine) Log() event.LogID { return e.stream.ID() }

// Timeout returns how long a search, count or get may take.
func (e *Engine) Timeout() time.Duration { return e.timeout }

// Missing returns how many events every answer may lack, because the segment that
// held them was damaged and set aside. Asked after an answer's first event or at
// its end, it covers what that answer lacks.
func (e *Engine) Missing() (events int64) {
	for _, d := range e.store.Stats().Damaged {
		events += d.Events
	}
	return events
}

// Stats says what an engine is doing and has refused since it was made.
type Stats struct {
	Queries int // searches, counts and gets that hold a slot
	Exports int // exports that run
	Tails   int // tails that are open

	Busy         int64 // queries refused with ErrBusy
	TailsRefused int64 // tails refused with ErrTails
	Behind       int64 // queries refused with a BehindError
	Timeouts     int64 // queries ended by ErrTimeout
}

// Stats returns the figures of now.
func (e *Engine) Stats() Stats {
	return Stats{
		Queries:      e.queries.taken(),
		Exports:      e.exports.taken(),
		Tails:        e.tails.taken(),
		Busy:         e.busy.Load(),
		TailsRefused: e.tooMany.Load(),
		Behind:       e.behind.Load(),
		Timeouts:     e.timeouts.Load(),
	}
}

// Fresh says how new the events must be that a query looks at. The zero Fresh is
// what nearly everyone wants: everything acknowledged before the query came.
type Fresh struct {
	// After is what must be visible besides what the stream held when the query
	// came: the position after a receipt's, where the query's stream may not
	// know of that event yet.
	After event.Positions
	// Wait bounds how long the store may take; nil: as long as the query may.
	// Zero takes what is there and promises nothing.
	Wait *time.Duration

	cursor *cursor // its snapshot is waited for, whatever Wait says; nil: the query has none
}

// run admits a query, gives it its time, and waits until it can be answered.
func (e *Engine) run(ctx context.Context, fresh Fresh, query func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.timeout, ErrTimeout)
	defer cancel()
	if c := fresh.cursor; c != nil {
		if err := e.owns(ctx, "cursor", c.text, c.log, c.until); err != nil {
			return err
		}
	}
	if err := e.catchUp(ctx, fresh); err != nil {
		return err
	}
	if c := fresh.cursor; c != nil { // its snapshot may have to be rebuilt after a restart
		if err := e.await(ctx, c.until); err != nil {
			return err
		}
	}
	if err := e.enter(ctx, e.queries); err != nil {
		return err
	}
	defer e.queries.leave()
	err := outcome(ctx, query(ctx))
	if errors.Is(err, ErrTimeout) {
		e.timeouts.Add(1)
	}
	return err
}

// enter takes a slot of g, or gives up with ErrBusy.
func (e *Engine) enter(ctx context.Context, g *gate) error {
	waiting, cancel := context.WithTimeoutCause(ctx, patience, ErrBusy)
	defer cancel()
	if g.enter(waiting) == nil {
		return nil
	}
	if cause := context.Cause(waiting); errors.Is(cause, ErrBusy) || errors.Is(cause, ErrTimeout) {
		e.busy.Add(1)
		return ErrBusy
	}
	return ctx.Err()
}

// owns returns a *GoneError unless ps, which came with a parameter and counts in
// log, is a position of this log. The zero log is taken for this one.
func (e *Engine) owns(ctx context.Context, param, value string, log event.LogID, ps event.Positions) error {
	gone := &GoneError{Param: param, Value: shorten(value)}
	if mine := e.Log(); log != mine && !log.IsZero() {
		gone.Reason = fmt.Sprintf("comes from log %s, and this is log %s: the server has another data folder than it had, "+
			"or is another server; leave it out to start again", log, mine)
		return gone
	}
	end, err := e.end(ctx)
	if err != nil {
		return err
	}
	if !end.Covers(ps) {
		gone.Reason = fmt.Sprintf("lies at %s, after the end of this log, %s: an older copy of the log was put back since, "+
			"or the position is another log's; leave it out to start again", FormatPositions(ps), FormatPositions(end))
		return gone
	}
	return nil
}

// end asks the stream where it ends.
func (e *Engine) end(ctx context.Context) (event.Positions, error) {
	end, err := e.stream.End(ctx)
	if err != nil {
		err = outcome(ctx, fmt.Errorf("%w: %w", ErrStream, err))
	}
	return end, err
}

// catchUp waits until the store has what the query must see. It holds no slot,
// so that a store that is late does not make queries that need not wait late.
func (e *Engine) catchUp(ctx context.Context, fresh Fresh) error {
	if fresh.Wait != nil && *fresh.Wait <= 0 {
		return nil
	}
	if fresh.Wait != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, *fresh.Wait, ErrTimeout)
		defer cancel()
	}
	want, err := e.end(ctx)
	if err != nil {
		return err
	}
	want = want.Clone()
	for p, offset := range fresh.After {
		want = want.Advance(int32(p), offset)
	}
	return e.await(ctx, want)
}

// await waits until the store has reached want.
func (e *Engine) await(ctx context.Context, want event.Positions) error {
	if e.store.Visible().Covers(want) {
		return nil
	}
	began := time.Now()
	err := outcome(ctx, e.store.Wait(ctx, want))
	if errors.Is(err, ErrTimeout) {
		e.behind.Add(1)
		waited := time.Since(began).Round(time.Millisecond)
		return &BehindError{Want: want, Have: e.store.Visible().Clone(), Waited: waited}
	}
	return err
}

// gate is a number of slots.
type gate struct{ slots chan struct{} }

func newGate(n int) *gate { return &gate{make(chan struct{}, n)} }

// tryEnter takes a slot if one is free.
func (g *gate) tryEnter() bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// enter waits for a slot. Whoever's time has ended gets none, though there be one: a
// reader whose key is revoked must not go on from slot to slot.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.tryEnter() {
		return nil
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave()     { <-g.slots }
func (g *gate) taken() int { return len(g.slots) }
