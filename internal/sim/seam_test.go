package sim

import (
	"context"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// clientKey is under which a context says whose call it is.
type clientKey struct{}

// turnOf waits for the turn of a call. Who makes it is told by the context, or
// else by the number of its goroutine.
func (p *process) turnOf(ctx context.Context, stage, what string) error {
	t := &turn{of: p}
	if c, ok := ctx.Value(clientKey{}).(*client); ok {
		t.name = stage + ": " + c.name + " " + what
	} else if t.name = stage + ": " + what; !p.w.calm.Load() { // at the end nobody competes
		t.goroutine = goroutine()
	}
	return p.w.turns.wait(t)
}

// streamSeam is the stream as one stage sees it: what reads or changes what
// others change waits for its turn before, and what may have waited, after.
type streamSeam struct {
	*wal.Log
	p     *process
	stage string
}

func (s streamSeam) turn(ctx context.Context, what string) error {
	return s.p.turnOf(ctx, s.stage, what)
}

func (s streamSeam) Append(ctx context.Context, b *stream.Batch) error {
	if err := s.turn(ctx, "append"); err != nil {
		return err
	}
	err := s.Log.Append(ctx, b)
	if err == nil && s.p.failedAt >= 0 && b.Base >= s.p.failedAt {
		s.p.w.failf("the stream acknowledged offset %d after an fsync had failed at %d", b.Base, s.p.failedAt)
	}
	if killed := s.turn(ctx, "appended"); killed != nil {
		return killed
	}
	return err
}

func (s streamSeam) Start(ctx context.Context) (event.Positions, error) {
	if err := s.turn(ctx, "start"); err != nil {
		return nil, err
	}
	return s.Log.Start(ctx)
}

func (s streamSeam) End(ctx context.Context) (event.Positions, error) {
	if err := s.turn(ctx, "end"); err != nil {
		return nil, err
	}
	return s.Log.End(ctx)
}

func (s streamSeam) Release(upTo event.Positions) {
	if s.turn(context.Background(), "release") != nil {
		return
	}
	s.p.w.model.released(upTo.At(0))
	s.Log.Release(upTo)
}

func (s streamSeam) Reader(from event.Positions) (stream.Reader, error) {
	if err := s.turn(context.Background(), "reader"); err != nil {
		return nil, err
	}
	r, err := s.Log.Reader(from)
	return &readerSeam{r, s}, err
}

type readerSeam struct {
	stream.Reader
	s streamSeam
}

func (r *readerSeam) Next(ctx context.Context) (*stream.Batch, error) {
	if err := r.s.turn(ctx, "next"); err != nil {
		return nil, err
	}
	b, err := r.Reader.Next(ctx)
	if killed := r.s.turn(ctx, "read"); killed != nil {
		return nil, killed
	}
	if err == nil {
		r.s.p.w.model.read(b)
	}
	return b, err
}

// storeSeam is the store as one stage sees it.
type storeSeam struct {
	*segment.Store
	p     *process
	stage string
}

func (s storeSeam) turn(ctx context.Context, what string) error {
	return s.p.turnOf(ctx, s.stage, what)
}

// around waits for a turn before and after call.
func (s storeSeam) around(ctx context.Context, what, after string, call func() error) error {
	if err := s.turn(ctx, what); err != nil {
		return err
	}
	err := call()
	if killed := s.turn(ctx, after); killed != nil {
		return killed
	}
	return err
}

func (s storeSeam) Append(ctx context.Context, rows []event.Event, reached event.Positions) error {
	return s.around(ctx, "add rows", "added rows", func() error {
		s.p.w.model.indexed(rows, s.Store.Visible().At(0), reached.At(0))
		return s.Store.Append(ctx, rows, reached)
	})
}

func (s storeSeam) Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error {
	return s.around(ctx, "known", "knows", func() error { return s.Store.Known(ctx, ids, since, found) })
}

func (s storeSeam) Wait(ctx context.Context, pos event.Positions) error {
	return s.around(ctx, "wait", "waited", func() error { return s.Store.Wait(ctx, pos) })
}

func (s storeSeam) Get(ctx context.Context, id event.ID, x filter.Expr) (e *event.Event, err error) {
	err = s.around(ctx, "get", "got", func() error {
		e, err = s.Store.Get(ctx, id, x)
		return err
	})
	return e, err
}

func (s storeSeam) Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error {
	return s.around(ctx, "scan", "scanned", func() error { return s.Store.Scan(ctx, q, yield) })
}

func (s storeSeam) Count(ctx context.Context, q store.Count) (c *store.Counts, err error) {
	err = s.around(ctx, "count", "counted", func() error {
		c, err = s.Store.Count(ctx, q)
		return err
	})
	return c, err
}

func (s storeSeam) Visible() event.Positions {
	_ = s.turn(context.Background(), "visible") // a dead process may look
	return s.Store.Visible()
}

func (s storeSeam) Committed() event.Positions {
	_ = s.turn(context.Background(), "committed")
	return s.Store.Committed()
}

func (s storeSeam) Missing() []store.Damage {
	_ = s.turn(context.Background(), "missing")
	return s.Store.Missing()
}
