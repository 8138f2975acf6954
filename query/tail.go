package query

import (
	"context"
	"errors"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// tailStep is how many stream positions of a partition a tail looks at in one
// scan, after which it tells how far it has come. It bounds what a tail far behind,
// whose filter matches nothing, looks at again when its connection is cut.
const tailStep = 1 << 18

// Tail asks for every event that matches, in the order in which the stream took
// them, and does not end.
type Tail struct {
	Filter filter.Expr
	Fields event.FieldSet // what the events must carry

	// Resume is the position to go on from; nil: at Beginning, or with the first
	// event that since accepts, or without either at the end the stream has now.
	Resume    event.Positions
	Beginning bool
	since     filter.Expr // of when the stream took an event; Filter has it too

	resumed ParamError  // where Resume came, and as what
	log     event.LogID // that Resume counts in; zero: not said
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
		plain, ok := p.reveal("tail", id)
		err := errTailID
		if ok {
			t.Resume, t.log, err = ParseTailID(plain)
		}
		if err != nil {
			p.Fail(name, id, "%v; give the id of the last event received, or leave it out", err)
		}
		t.resumed = ParamError{Param: name, Value: id}
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
		if t.since, err = receivedSince(from); err != nil {
			p.Fail("since", since, "%v", err)
			return t
		}
		t.Filter = filter.Join(t.Filter, t.since)
	}
	return t
}

var errTailID = errors.New("is not an id that this reader was given")

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

// Tail feeds sink until ctx ends or sink fails, and returns that error; or ErrTails
// at once.
func (v *View) Tail(ctx context.Context, t *Tail, sink TailSink) error {
	seen, err := v.events.see(t.Filter)
	if err != nil {
		return err
	}
	if !v.tails.tryEnter() {
		v.tooMany.Add(1)
		return ErrTails
	}
	defer v.tails.leave()
	end, err := v.end(ctx)
	if err != nil {
		return err
	}
	if err := v.owns(ctx, t.resumed.Param, t.resumed.Value, t.log, t.Resume); err != nil {
		return err
	}
	at, err := v.begin(ctx, t, end)
	if err != nil {
		return err
	}
	v.watch.join(len(end))
	defer v.watch.leave()
	if err := sink.Flush(at); err != nil { // the reader knows that it is connected, and where
		return err
	}
	flushed := time.Now()
	beat := time.NewTicker(v.heartbeat)
	defer beat.Stop()
	for {
		moved := v.watch.next()
		if visible := v.store.Visible(); !at.Covers(visible) {
			sent, err := v.look(ctx, t, seen, &at, visible, sink)
			if err != nil {
				return err
			}
			if sent || time.Since(flushed) >= v.heartbeat {
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

// begin returns where a tail begins when the stream ends at end. A moment becomes
// a position here, once: a client whose connection is cut before the first event
// goes on from there, however the moment reads by then.
func (v *View) begin(ctx context.Context, t *Tail, end event.Positions) (event.Positions, error) {
	switch {
	case t.Resume != nil:
		return t.Resume.Clone(), nil
	case t.Beginning:
		return nil, nil
	case t.since == nil:
		return end.Clone(), nil
	}
	since, err := v.events.see(t.since)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, v.timeout, ErrTimeout)
	defer cancel()
	if err := v.await(ctx, end); err != nil {
		return nil, err
	}
	if err := v.looks.enter(ctx); err != nil {
		return nil, outcome(ctx, err)
	}
	defer v.looks.leave()
	at := end.Clone()
	for p := range end { // in each, the time that the stream took an event never falls
		scan := store.Scan{Range: store.AllTime, Order: store.ByPosition, Since: end.Clone(), Until: end, Limit: 1, Fields: event.Fields(event.Offset)}
		scan.Since[p] = 0
		err := v.events.scan(ctx, since, scan, func(ev *event.Event) bool {
			at[p] = ev.Offset
			return false
		})
		if err != nil {
			return nil, outcome(ctx, err)
		}
	}
	return at, nil
}

// look takes a tail from at towards visible, by a step at most, and reports whether
// it left something to be flushed: events, or that it made a whole step.
func (v *View) look(ctx context.Context, t *Tail, seen restricted, at *event.Positions, visible event.Positions, sink TailSink) (pending bool, err error) {
	until := at.Clone()
	for p, offset := range visible {
		until = until.Advance(int32(p), min(offset, at.At(int32(p))+v.step))
	}
	stepped := !until.Covers(visible)
	scan := store.Scan{Range: store.AllTime, Order: store.ByPosition, Since: at.Clone(), Until: until, Fields: t.Fields}
	if err := v.looks.enter(ctx); err != nil {
		return false, err
	}
	inside := true
	defer func() {
		if inside {
			v.looks.leave()
		}
	}()
	var sinkErr error
	err = v.events.scan(ctx, seen, scan, func(ev *event.Event) bool {
		*at = at.Advance(ev.Partition, ev.Offset+1)
		pending = true
		if !sink.Add(ev, *at) {
			return true
		}
		pending = false
		v.looks.leave()
		inside = false
		if sinkErr = sink.Flush(*at); sinkErr != nil {
			return false
		}
		sinkErr = v.looks.enter(ctx)
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
	return pending || stepped, nil
}
