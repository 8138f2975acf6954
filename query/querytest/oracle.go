package querytest

import (
	"context"
	"fmt"
	"math"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/storetest"
	"github.com/daybook-log/daybook/stream"
)

// Oracle knows everything that a log of one partition took, and says what answers
// must have been while it took it.
//
// Answers may lack what retention dropped: always everything before some position,
// the floor, which only rises. So an answer is judged by the floors before and after
// it.
type Oracle struct {
	model storetest.Model
	at    map[int64]*event.Event
}

// ReadLog returns the oracle of a log that still has every record. A record that
// is no event, or whose identity came before, is none that an answer holds.
func ReadLog(ctx context.Context, log stream.Stream) (o *Oracle, err error) {
	end, err := log.End(ctx)
	if err != nil {
		return nil, err
	}
	r, err := log.Reader(nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o = &Oracle{at: make(map[int64]*event.Event)}
	seen := make(map[event.Identity]bool)
	for next := int64(0); next < end.At(0); {
		b, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range b.Len() {
			var d event.Decoder
			var e event.Event
			if d.Decode(b.Value(i), &e) != nil || seen[e.Identity()] {
				continue
			}
			seen[e.Identity()] = true
			e.Offset, e.ReceivedAt = b.Position(i).Offset, b.ReceivedAt
			o.model.Events = append(o.model.Events, e)
		}
		next += int64(b.Len())
	}
	for i := range o.model.Events {
		o.at[o.model.Events[i].Offset] = &o.model.Events[i]
	}
	return o, nil
}

// Floor returns the offset of the oldest event that a store holds, or where it
// stands when it holds none: retention has dropped what lies before.
func Floor(ctx context.Context, s interface {
	Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error
	Visible() event.Positions
}) (floor int64, err error) {
	floor = s.Visible().At(0)
	q := store.Scan{Range: store.AllTime, Order: store.ByPosition, Limit: 1, Fields: event.Fields(event.Offset)}
	err = s.Scan(ctx, q, func(e *event.Event) bool {
		floor = e.Offset
		return false
	})
	return floor, err
}

// Line is an event as an answer held it.
type Line struct {
	Offset int64
	JSON   string // all of it, as event.AppendJSON writes it
	Floor  int64  // of a tail: when the line had come
}

// CheckTail judges all that a tail received between two positions, over all its
// connections. floor is that of the time when it had come to the second.
func (o *Oracle) CheckTail(x filter.Expr, from, to int64, lines []Line, floor int64) error {
	scan := store.Scan{Filter: x, Range: store.AllTime, Order: store.ByPosition, Since: event.Positions{from}, Until: event.Positions{to}}
	left := lines
	for _, e := range o.model.Scan(&scan) {
		if len(left) > 0 && left[0].Offset == e.Offset {
			if err := sameEvent(left[0], &e); err != nil {
				return err
			}
			left = left[1:]
			continue
		}
		if len(left) > 0 {
			if e.Offset < left[0].Floor {
				continue
			}
			return fmt.Errorf("offset %d comes where %d must (the store began at %d)", left[0].Offset, e.Offset, left[0].Floor)
		}
		if e.Offset >= floor {
			return fmt.Errorf("offset %d is missing before %d, where the tail had come (the store began at %d)", e.Offset, to, floor)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("offset %d comes where nothing must: it is repeated, late, or does not match", left[0].Offset)
	}
	return nil
}

// Page is a page of a search, or an export, which is one page without a limit.
type Page struct {
	After  int64 // offset of the event that its cursor stood at; -1: it had none
	Limit  int   // 0: none
	Lines  []Line
	More   bool     // it gave a cursor
	Floors [2]int64 // before it was asked for and after it had come
}

// CheckPages judges pages that share a snapshot: those that go on from a first one
// by its cursors, in any order and however often. end is where the stream ended
// when the first was asked for.
func (o *Oracle) CheckPages(x filter.Expr, r store.Range, order store.Order, end int64, pages []Page) error {
	// The snapshot is of end or later. If later, it does not show but in what came.
	for i := range pages {
		for _, line := range pages[i].Lines {
			end = max(end, line.Offset+1)
		}
	}
	for i := range pages {
		p := &pages[i]
		scan := store.Scan{Filter: x, Range: r, Order: order, Until: event.Positions{end}}
		if p.After >= 0 {
			e := o.at[p.After]
			scan.After = &store.Key{Timestamp: e.Timestamp, Position: e.Position()}
		}
		if err := o.checkPage(&scan, p); err != nil {
			return fmt.Errorf("page %d of %d, of at most %d after offset %d: %w", i+1, len(pages), p.Limit, p.After, err)
		}
	}
	return nil
}

// checkPage finds the floor that p was made with.
func (o *Oracle) checkPage(scan *store.Scan, p *Page) error {
	rest := o.model.Scan(scan)
	floors := []int64{p.Floors[1], p.Floors[0]}
	for i := range rest {
		if e := &rest[i]; e.Offset >= p.Floors[0] && e.Offset < p.Floors[1] {
			floors = append(floors, e.Offset)
		}
	}
	var err error
	for _, floor := range floors {
		var want []event.Event
		for i := range rest {
			if rest[i].Offset >= floor {
				want = append(want, rest[i])
			}
		}
		if err = samePage(want, p); err == nil {
			return nil
		}
	}
	return err
}

// samePage compares p with what must be on it and on those that follow.
func samePage(want []event.Event, p *Page) error {
	limit := p.Limit
	if limit == 0 {
		limit = math.MaxInt
	}
	if p.More != (len(want) > limit) {
		return fmt.Errorf("%d events are left, there is a cursor: %v", len(want), p.More)
	}
	want = want[:min(len(want), limit)]
	for i := range min(len(want), len(p.Lines)) {
		if err := sameEvent(p.Lines[i], &want[i]); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
	}
	if len(want) != len(p.Lines) {
		return fmt.Errorf("%d lines, must be %d", len(p.Lines), len(want))
	}
	return nil
}

// sameEvent compares a line with the event that it must be.
func sameEvent(line Line, want *event.Event) error {
	if line.Offset != want.Offset {
		return fmt.Errorf("offset %d comes where %d must", line.Offset, want.Offset)
	}
	if text := string(event.AppendJSON(nil, want, event.AllFields)); line.JSON != text {
		return fmt.Errorf("offset %d is %s, must be %s", line.Offset, line.JSON, text)
	}
	return nil
}

// Len returns how many events an answer without bounds must hold, if nothing was
// dropped.
func (o *Oracle) Len() int { return len(o.model.Events) }

// Identity returns the identity of the event at an offset, zero where none lies.
func (o *Oracle) Identity(offset int64) event.Identity {
	if e := o.at[offset]; e != nil {
		return e.Identity()
	}
	return event.Identity{}
}
