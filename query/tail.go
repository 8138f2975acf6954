package query

import (
	"context"
	"fmt"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// tailStep is how many stream positions of a partition a tail looks at in one
// scan. It bounds how long a tail far behind, whose filter matches nothing, goes
// without a heartbeat.
const tailStep = 1 << 18

// Tail asks for every event that matches, in the order in which the stream took
// them, and does not end.
type Tail struct {
	Filter filter.Expr
	Fields event.FieldSet // what the events must carry

	// Resume is the position to go on from; nil: at Beginning or, without it, at
	// the end the stream has now.
	Resume    event.Positions
	Beginning bool
}

// Tail reads the parameters of a tail: q, a parameter per field, since and
// last_event_id. A resumeID that is not empty stands for last_event_id and
// before it: browsers send it by itself when they connect again.
func (p *Params) Tail(now time.Time, resumeID string) *Tail {
	t := &Tail{Filter: p.filter(now)}
	since, hasSince := p.Text("since")
	name, id, resumed := "Last-Event-ID", resumeID, resumeID != ""
	if v, ok := p.Text("last_event_id"); ok && !resumed {
		name, id, resumed = "last_event_id", v, true
	}
	if resumed { // since says where the first connection began; that is over
		ps, err := ParsePositions(id)
		if err != nil {
			p.Fail(name, id, "%v; give the id of the last event received, or leave it out", err)
		}
		t.Resume = ps
		return t
	}
	switch {
	case !hasSince || since == "now":
	case since == "beginning":
		t.Beginning = true
	default:
		from, err := parseInstant(since, now)
		if err != nil {
			p.Fail("since", since, "must be now, beginning or a time: %v", err)
			return t
		}
		received, err := receivedSince(from)
		if err != nil {
			p.Fail("since", since, "%v", err)
			return t
		}
		t.Beginning = true
		t.Filter = filter.Join(t.Filter, received)
	}
	return t
}

// TailSink receives a tail. The engine calls it from one goroutine.
type TailSink interface {
	// Add takes an event, which is valid only during the call, and the position
	// after it: a tail resumed there goes on with the next. It must not block.
	// It returns true when it holds enough to be flushed.
	Add(e *event.Event, after event.Positions) (full bool)
	// Flush sends what was added, or, when nothing was, shows that the tail is
	// alive and has come to at. It may block for as long as the reader is slow:
	// the tail holds no slot meanwhile. An error ends the tail.
	Flush(at event.Positions) error
}

// Tail feeds sink until ctx ends or sink fails, and returns that error.
func (e *Engine) Tail(ctx context.Context, t *Tail, sink TailSink) error {
	end, err := e.stream.End(ctx)
	if err != nil {
		return err
	}
	at := t.Resume.Clone()
	switch {
	case t.Beginning || t.Resume != nil:
	default:
		at = end.Clone()
	}
	if !end.Covers(at) {
		return ParamErrors{{Param: "last_event_id", Value: FormatPositions(at), Reason: fmt.Sprintf(
			"lies after the end of this log, %s: it comes from another one; leave it out", FormatPositions(end))}}
	}
	e.watch.join(len(end))
	defer e.watch.leave()
	if err := sink.Flush(at); err != nil { // the reader knows that it is connected, and where
		return err
	}
	flushed := time.Now()
	beat := time.NewTicker(e.heartbeat)
	defer beat.Stop()
	for {
		moved := e.watch.next()
		if visible := e.store.Visible(); !at.Covers(visible) {
			sent, err := e.look(ctx, t, &at, visible, sink)
			if err != nil {
				return err
			}
			if sent || time.Since(flushed) >= e.heartbeat {
				if err := sink.Flush(at); err != nil {
					return err
				}
				flushed = time.Now()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-beat.C:
			if err := sink.Flush(at); err != nil {
				return err
			}
			flushed = time.Now()
		}
	}
}

// look takes a tail from at towards visible, by tailStep at most, and reports
// whether it left something to be flushed.
func (e *Engine) look(ctx context.Context, t *Tail, at *event.Positions, visible event.Positions, sink TailSink) (pending bool, err error) {
	until := at.Clone()
	for p, offset := range visible {
		until = until.Advance(int32(p), min(offset, at.At(int32(p))+tailStep))
	}
	scan := store.Scan{Filter: t.Filter, Range: store.AllTime, Order: store.ByPosition, Since: at.Clone(), Until: until, Fields: t.Fields}
	if err := e.looks.enter(ctx); err != nil {
		return false, err
	}
	inside := true
	defer func() {
		if inside {
			e.looks.leave()
		}
	}()
	var sinkErr error
	err = e.store.Scan(ctx, scan, func(ev *event.Event) bool {
		*at = at.Advance(ev.Partition, ev.Offset+1)
		pending = true
		if !sink.Add(ev, *at) {
			return true
		}
		pending = false
		e.looks.leave()
		inside = false
		if sinkErr = sink.Flush(*at); sinkErr != nil {
			return false
		}
		sinkErr = e.looks.enter(ctx)
		inside = sinkErr == nil
		return inside
	})
	if sinkErr != nil {
		return false, sinkErr
	}
	if err != nil {
		return false, err
	}
	*at = until
	return pending, nil
}
