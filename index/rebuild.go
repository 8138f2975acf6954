package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/stream"
)

// Restorer is a store that can lose a piece and take it back, as one does that
// keeps its rows in files of its own.
type Restorer interface {
	// Missing names the pieces of the stream whose events are missing.
	Missing() []store.Damage
	// Restore puts back rows from a part of such a piece: all that belong into
	// the store, and so none that Known finds.
	Restore(ctx context.Context, rows []event.Event, from, to event.Positions) error
}

// rebuild puts back the next part, up to maxRows, of what the store misses and
// the stream still has. It reports whether there may be more. It is called by
// the goroutine that appends, between appends: an event and its copy must not
// be looked up, one to be restored and one to be appended, at the same time.
func (x *Indexer) rebuild(ctx context.Context) (more bool) {
	from, to, err := x.restorable(ctx)
	if err == nil && to == nil {
		return false
	}
	if err == nil {
		err = x.restore(ctx, from, to)
	}
	clear(x.rows)
	x.rows = x.rows[:0]
	if err != nil && ctx.Err() == nil {
		x.log.Warn("rebuilding from the stream failed; will be tried again", "from", from, "to", to, "error", err)
	}
	return err == nil
}

// restorable returns the first piece that is missing and that the stream has;
// to is nil when there is none.
func (x *Indexer) restorable(ctx context.Context) (from, to event.Positions, err error) {
	missing := x.restorer.Missing()
	if len(missing) == 0 {
		return nil, nil, nil
	}
	start, err := x.stream.Start(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("find the stream's start: %w", err)
	}
	for _, d := range missing {
		from = d.From.Clone()
		for p, offset := range start {
			if offset < d.To.At(int32(p)) {
				from = from.Advance(int32(p), offset)
			} else {
				from = from.Advance(int32(p), d.To.At(int32(p)))
			}
		}
		if !from.Covers(d.To) {
			return from, d.To, nil
		}
	}
	return nil, nil, nil
}

// restore reads up to maxRows records from the stream and puts them back.
func (x *Indexer) restore(ctx context.Context, from, to event.Positions) error {
	r, err := x.stream.Reader(from.Clone())
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	from, reached, err := x.readPiece(ctx, r, from, to)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if len(x.rows) > 0 {
		if err := x.dropCopies(ctx); err != nil {
			return fmt.Errorf("look up known events: %w", err)
		}
	}
	if err := x.restorer.Restore(ctx, x.rows, from, reached); err != nil {
		return fmt.Errorf("put events back: %w", err)
	}
	x.restored.Add(int64(len(x.rows)))
	return nil
}

// readPiece fills rows with the events from the piece [from, to) and returns
// which part of it they are.
func (x *Indexer) readPiece(ctx context.Context, r stream.Reader, from, to event.Positions) (begin, reached event.Positions, err error) {
	begin, reached = from, from.Clone()
	for len(x.rows) < maxRows && !reached.Covers(to) {
		b, err := r.Next(ctx)
		if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
			if !begin.Covers(reached) {
				break // what lies before the gap is put back first
			}
			begin = begin.Advance(gap.Partition, min(gap.To, to.At(gap.Partition)))
			reached = begin.Clone()
			continue
		} else if err != nil {
			return nil, nil, fmt.Errorf("read the stream: %w", err)
		}
		reached = reached.Advance(b.Partition, min(b.Base, to.At(b.Partition)))
		for i := 0; i < b.Len() && len(x.rows) < maxRows; i++ {
			pos := b.Position(i)
			if pos.Offset >= to.At(pos.Partition) {
				continue
			}
			// What does not decode has its dead letter since it was indexed.
			_ = x.decode(b, i)
			reached = reached.Advance(pos.Partition, pos.Offset+1)
		}
	}
	return begin, reached, nil
}
