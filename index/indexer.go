package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/stream"
)

// Stream is what the indexer needs of the stream; see [stream.Stream].
type Stream interface {
	ID() event.LogID
	Reader(from event.Positions) (stream.Reader, error)
	Start(ctx context.Context) (event.Positions, error)
	End(ctx context.Context) (event.Positions, error)
	Release(upTo event.Positions)
}

// Store is what the indexer needs of the store; see store.Store.
type Store interface {
	Follow(log event.LogID) error
	Append(ctx context.Context, rows []event.Event, reached event.Positions) error
	Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error
	Visible() event.Positions
	Committed() event.Positions
	Wait(ctx context.Context, pos event.Positions) error
}

// MinWindow is the shortest window in which copies are recognised, and the
// default.
const MinWindow = 7 * 24 * time.Hour

const (
	// maxRows is the most rows of one append to the store. More would not make
	// an append cheaper per row, and would make the first row wait longer.
	maxRows = 8192
	// maxQueued is how many bytes of records are read ahead.
	maxQueued = 16 << 20
	// lookEvery is how often the store is asked what it has committed, while
	// nothing arrives, and what it misses.
	lookEvery = 5 * time.Second
)

// Options are what an [Indexer] is made of.
type Options struct {
	Stream      Stream
	Store       Store
	Restorer    Restorer // the Store again, if it is one; else nil
	DeadLetters *DeadLetters
	Topic       string        // where dead letters say that their records lie; "": they do not
	Window      time.Duration // at least MinWindow; 0: MinWindow
	Logger      *slog.Logger  // nil: nothing is logged
}

// Indexer carries events from the stream into the store. Make one with New and
// start it with Run; the other methods may be called at any time.
type Indexer struct {
	stream   Stream
	store    Store
	restorer Restorer
	letters  *DeadLetters
	topic    string
	window   int64 // ns
	log      *slog.Logger
	counters

	done    chan struct{} // closed when Run has returned
	running atomic.Bool

	releasing sync.Mutex
	released  event.Positions // guarded by releasing

	// What follows belongs to the goroutine of Run.
	reader  stream.Reader
	decoder event.Decoder
	reached event.Positions    // past every record that is in rows or was passed over
	rows    []event.Event      // decoded, not appended yet
	letter  []DeadLetter       // refused among them
	ids     []event.Identity   // of rows
	found   []event.Position   // of ids, in the store
	seen    map[event.ID]int32 // by ID, the last row that is kept and has it
	before  []int32            // by row that is kept, the one before with its ID; -1: none
}

// reunite is what to do about a stream and a store that are not of one piece.
const reunite = "put both back from one backup, or move the store away: then a new one is filled with what the stream still holds"

// New returns an indexer that goes on where the store stands. It fails when
// the stream ends before that, because it has lost records that were
// acknowledged, and when the store or the dead letters were filled from another
// stream.
func New(ctx context.Context, o Options) (*Indexer, error) {
	if o.Window == 0 {
		o.Window = MinWindow
	}
	if o.Window < MinWindow {
		return nil, fmt.Errorf("the window for duplicates is %s; it must be at least %s", o.Window, MinWindow)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	from := o.Store.Visible().Clone()
	end, err := o.Stream.End(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the stream's end: %w", err)
	}
	for p, offset := range from {
		if offset > end.At(int32(p)) {
			return nil, fmt.Errorf("the store holds partition %d of the stream up to offset %d, but the stream ends at offset %d: "+
				"it has lost records, or it is not the stream that the store was filled from; %s", p, offset, end.At(int32(p)), reunite)
		}
	}
	if err := o.Store.Follow(o.Stream.ID()); errors.Is(err, store.ErrForeignLog) {
		return nil, fmt.Errorf("%w; %s", err, reunite)
	} else if err != nil {
		return nil, fmt.Errorf("let the store follow the stream: %w", err)
	}
	if err := o.DeadLetters.follow(o.Stream.ID()); err != nil {
		return nil, err
	}
	reader, err := o.Stream.Reader(from.Clone()) // the stream may keep it, and reached moves on
	if err != nil {
		return nil, fmt.Errorf("read the stream: %w", err)
	}
	return &Indexer{
		stream: o.Stream, store: o.Store, restorer: o.Restorer, letters: o.DeadLetters, topic: o.Topic, window: int64(o.Window), log: o.Logger,
		done: make(chan struct{}), reader: reader, reached: from,
		rows: make([]event.Event, 0, maxRows), seen: make(map[event.ID]int32, maxRows),
	}, nil
}

// Run indexes until ctx ends, and then returns nil; or until the stream fails,
// and then returns its error. When ctx ends, records that are not in the store
// yet stay in the stream. Run is called once.
func (x *Indexer) Run(ctx context.Context) error {
	if x.running.Swap(true) {
		return errors.New("index: Run was called twice")
	}
	defer close(x.done)
	x.release()
	ctx, cancel := context.WithCancel(ctx)
	q := newQueue(maxQueued)
	var wg sync.WaitGroup
	wg.Go(func() { x.read(ctx, q) })
	wg.Go(func() { x.lookAround(ctx, q) })
	err := x.index(ctx, q)
	if ctx.Err() != nil {
		err = nil // it was told to stop
	}
	cancel()
	wg.Wait()
	return errors.Join(err, x.reader.Close())
}

// read fills the queue.
func (x *Indexer) read(ctx context.Context, q *queue) {
	for {
		b, err := x.reader.Next(ctx)
		c := chunk{batch: b}
		if err != nil && !errors.As(err, &c.gap) {
			q.fail(fmt.Errorf("read the stream: %w", err))
			return
		}
		if q.put(ctx, c) != nil {
			return
		}
	}
}

// index empties the queue.
func (x *Indexer) index(ctx context.Context, q *queue) error {
	var chunks []chunk
	for {
		var err error
		clear(chunks)
		if chunks, err = q.take(ctx, chunks[:0]); err != nil {
			return err
		}
		rebuild, read := false, false
		for _, c := range chunks {
			switch {
			case c.rebuild:
				rebuild = true
				continue
			case c.gap != nil:
				x.passOver(c.gap)
			default:
				if err := x.add(ctx, c.batch); err != nil {
					return err
				}
			}
			read = true
		}
		if read {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
		if rebuild && x.rebuild(ctx) {
			q.force(chunk{rebuild: true})
		}
	}
}

// passOver takes note of records that the stream no longer holds.
func (x *Indexer) passOver(gap *stream.GapError) {
	x.log.Error("events are missing: the stream dropped them before they were indexed",
		"partition", gap.Partition, "from", gap.From, "to", gap.To)
	x.addGap(*gap)
	x.reached = x.reached.Advance(gap.Partition, gap.To)
}

// add decodes the records of b, appending whenever maxRows are in hand.
func (x *Indexer) add(ctx context.Context, b *stream.Batch) error {
	x.reached = x.reached.Advance(b.Partition, b.Base) // there is nothing before that is not read
	for i := range b.Len() {
		if len(x.rows)+len(x.letter) == maxRows {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
		pos := b.Position(i)
		if err := x.decode(b, i); err != nil {
			d := newDeadLetter(pos, b.ReceivedAt, b.Value(i), err)
			d.Topic = x.topic
			if b.Headers != nil {
				d.Headers = b.Headers[i]
			}
			x.letter = append(x.letter, d)
		}
		x.reached = x.reached.Advance(pos.Partition, pos.Offset+1)
	}
	return nil
}

// decode adds record i of b to rows, or returns why it is no event.
func (x *Indexer) decode(b *stream.Batch, i int) error {
	n := len(x.rows)
	x.rows = x.rows[:n+1]
	e := &x.rows[n]
	if err := x.decoder.Decode(b.Value(i), e); err != nil {
		x.rows = x.rows[:n]
		return err
	}
	pos := b.Position(i)
	e.Partition, e.Offset, e.ReceivedAt = pos.Partition, pos.Offset, b.ReceivedAt
	adopt(e)
	return nil
}

// stepAppend names the step in the log and in Stats.
const stepAppend = "append to the store"

// flush appends what is in hand: first to the dead letters, then, with the
// position that covers both, to the store.
func (x *Indexer) flush(ctx context.Context) error {
	if len(x.letter) > 0 {
		err := x.persist(ctx, "append dead letters", func(ctx context.Context) error {
			return x.letters.Append(ctx, x.letter)
		})
		if err != nil {
			return err
		}
		for i := range x.letter {
			x.addDeadLetter(&x.letter[i])
		}
	}
	read := len(x.rows)
	if read > 0 {
		err := x.persist(ctx, "look up known events", x.dropCopies)
		if err != nil {
			return err
		}
	}
	// The store may keep the position, and reached moves on.
	reached := x.reached.Clone()
	err := x.persist(ctx, stepAppend, func(ctx context.Context) error {
		x.appending.Store(time.Now().UnixNano())
		defer x.appending.Store(0)
		return x.store.Append(ctx, x.rows, reached)
	})
	if err != nil {
		return err
	}
	x.appends.Add(1)
	x.indexed.Add(int64(len(x.rows)))
	x.duplicates.Add(int64(read - len(x.rows)))
	if n := len(x.rows); n > 0 {
		x.newest.Store(x.rows[n-1].ReceivedAt)
	}
	// Letters and rows refer to the stream's memory.
	clear(x.letter)
	clear(x.rows[:read])
	x.letter, x.rows = x.letter[:0], x.rows[:0]
	x.release()
	return nil
}

// dropCopies removes the rows whose identity the store holds or an earlier row
// has. When it fails the rows are as they were.
func (x *Indexer) dropCopies(ctx context.Context) error {
	defer func() { // tenants refer to the stream's memory
		clear(x.ids)
		x.ids = x.ids[:0]
	}()
	oldest := x.rows[0].ReceivedAt
	for i := range x.rows {
		x.ids = append(x.ids, x.rows[i].Identity())
		oldest = min(oldest, x.rows[i].ReceivedAt)
	}
	x.found = slices.Grow(x.found[:0], len(x.ids))[:len(x.ids)]
	if err := x.store.Known(ctx, x.ids, oldest-x.window, x.found); err != nil {
		return err
	}
	clear(x.seen)
	x.before = x.before[:0]
	kept := 0
	for i := range x.rows {
		if x.found[i].Offset >= 0 {
			continue
		}
		last, seen := x.seen[x.ids[i].ID]
		if !seen {
			last = -1
		} else if x.isKept(last, x.rows[i].TenantID) {
			continue
		}
		x.seen[x.ids[i].ID] = int32(kept)
		x.before = append(x.before, last)
		if kept != i {
			x.rows[kept] = x.rows[i]
		}
		kept++
	}
	x.rows = x.rows[:kept]
	return nil
}

// isKept reports whether row, or one before it with its ID, is of the tenant.
func (x *Indexer) isKept(row int32, tenant string) bool {
	for ; row >= 0; row = x.before[row] {
		if x.rows[row].TenantID == tenant {
			return true
		}
	}
	return false
}

// release tells the stream what it may forget.
func (x *Indexer) release() {
	committed := x.store.Committed()
	x.releasing.Lock()
	due := !x.released.Covers(committed)
	if due {
		x.released = committed.Clone()
	}
	x.releasing.Unlock()
	if due { // without the lock: the stream may remove files
		x.stream.Release(committed)
	}
}

// lookAround does, until ctx ends, what is due though nothing arrives.
func (x *Indexer) lookAround(ctx context.Context, q *queue) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		if x.restorer != nil {
			if _, to, err := x.restorable(ctx); err == nil && to != nil {
				q.force(chunk{rebuild: true})
			}
		}
		select {
		case <-t.C:
			x.release()
		case <-ctx.Done():
			return
		}
	}
}

// ErrStopped is returned by Drain when the indexer has stopped on its way.
var ErrStopped = errors.New("the indexer has stopped")

// Drain returns when everything that the stream held at the call can be
// searched. It is called when no more events are taken in and Run is to be
// stopped. The error is ctx's, the stream's, or ErrStopped.
func (x *Indexer) Drain(ctx context.Context) error {
	end, err := x.stream.End(ctx)
	if err != nil {
		return fmt.Errorf("find the stream's end: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-x.done:
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	}()
	if x.store.Visible().Covers(end) {
		return nil
	}
	if err := x.store.Wait(ctx, end); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}
