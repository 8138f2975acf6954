package query

import (
	"context"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 10_000
)

// Search asks for one page of the events that match, ordered by time.
//
// The first page fixes the snapshot and what relative times count from; its
// cursor carries both on. The limit may change from page to page; filter, range
// and order may not.
type Search struct {
	Criteria
	Order  store.Order    // NewestFirst or OldestFirst
	Limit  int            // 1 to MaxLimit
	Fields event.FieldSet // what the events must carry
	cursor *cursor        // nil: the first page
}

// Search reads the parameters of a search: those of [Params.Criteria], limit,
// order and cursor. Fields is left to the caller.
func (p *Params) Search(now time.Time) *Search {
	s := &Search{Limit: p.Int("limit", DefaultLimit, 1, MaxLimit)}
	text, resumed := p.Text("cursor")
	if resumed {
		var c *cursor
		err := errCursorMangled
		if plain, ok := p.reveal("cursor", text); ok {
			c, err = decodeCursor(plain)
		}
		if err != nil {
			p.Fail("cursor", text, "%v", err)
		} else {
			c.text = text
			s.cursor, now = c, time.Unix(0, c.now)
		}
	}
	if p.Choice("order", "newest", "oldest") == "oldest" {
		s.Order = store.OldestFirst
	}
	s.Criteria = p.Criteria(now)
	if s.cursor == nil || len(p.errs) > 0 {
		return s
	}
	switch {
	case s.cursor.order != s.Order:
		p.Fail("cursor", text, "%v", errCursorOrder)
	case s.cursor.fingerprint != fingerprint(s.Filter, s.Range):
		p.Fail("cursor", text, "%v", errCursorQuery)
	}
	return s
}

// Search calls yield for each event of the page, until it returns false, and
// returns the cursor of the next page, "" when there is none. The event is valid
// only during the call.
func (v *View) Search(ctx context.Context, s *Search, yield func(*event.Event) bool) (next string, err error) {
	seen, err := v.events.see(s.Filter)
	if err != nil {
		return "", err
	}
	fresh := s.Fresh
	fresh.cursor = s.cursor
	err = v.run(ctx, fresh, func(ctx context.Context) error {
		scan := s.plan(s.Order, s.Fields)
		scan.Limit = s.Limit + 1 // one more shows that there is a next page
		scan.Until = v.store.Visible().Clone()
		if s.cursor != nil {
			scan.Until = s.cursor.until
			scan.After = &s.cursor.last
		}
		count, last := 0, store.Key{}
		return v.events.scan(ctx, seen, scan, func(ev *event.Event) bool {
			if count == s.Limit {
				c := cursor{order: s.Order, log: v.Log(), fingerprint: fingerprint(s.Filter, s.Range), now: s.Now.UnixNano(), last: last, until: scan.Until}
				if next = c.encode(); v.veil != nil {
					next = string(v.veil.seal(nil, "cursor", next))
				}
				return false
			}
			count++
			last = store.Key{Timestamp: ev.Timestamp, Position: ev.Position()}
			return yield(ev)
		})
	})
	if err != nil {
		return "", err
	}
	return next, nil
}

// Export asks for every event that matches, ordered by time, as of its start.
type Export struct {
	Criteria
	Order  store.Order    // NewestFirst or OldestFirst
	Fields event.FieldSet // what the events must carry
}

// Export calls yield for every event, until it returns false. It has no timeout,
// because an export ends when its reader has everything; waiting for the store
// and for a slot are bounded.
func (v *View) Export(ctx context.Context, x *Export, yield func(*event.Event) bool) error {
	seen, err := v.events.see(x.Filter)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, v.timeout, ErrTimeout)
	defer cancel()
	if err := v.catchUp(waiting, x.Fresh); err != nil {
		return err
	}
	if err := v.enter(waiting, v.exports); err != nil {
		return err
	}
	defer v.exports.leave()
	scan := x.plan(x.Order, x.Fields)
	scan.Until = v.store.Visible().Clone()
	return v.events.scan(ctx, seen, scan, yield)
}
