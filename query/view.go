package query

import (
	"context"
	"fmt"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// View is the engine as one reader may use it. Whatever it reads, it reads through
// the reader's scope: it has no other way to the store's events. It is safe for
// concurrent use.
type View struct {
	*Engine
	events *scoped
	scope  access.Scope
	veil   *veil // nil: the reader sees everything, and so positions
}

// View returns the view of a scope, whose relative times count from now. The
// error is of a scope that cannot be read, which lets nothing be seen.
func (e *Engine) View(scope access.Scope, now time.Time) (*View, error) {
	predicate, err := scope.Predicate(now)
	if err != nil {
		return nil, fmt.Errorf("what may be seen: %w", err)
	}
	v := &View{Engine: e, scope: scope, events: &scoped{events: e.events, predicate: predicate, hidden: scope.Hidden}}
	if !scope.Whole() {
		v.veil = newVeil(e.secret, scope.String())
		v.events.places = true
	}
	return v, nil
}

// places are the fields that say where in the log of everybody an event lies.
const places = event.FieldSet(1<<event.Partition | 1<<event.Offset)

// Withheld returns the fields that the reader is not given, whatever it asks for.
func (v *View) Withheld() event.FieldSet {
	if v.veil == nil {
		return 0
	}
	return places | v.scope.Hidden.Fields()
}

// Params returns a reader of a request's parameters, for this view.
func (v *View) Params(values map[string][]string) *Params {
	p := NewParams(values)
	p.veil = v.veil
	return p
}

// AppendTailID appends the id of a position in a tail.
func (v *View) AppendTailID(dst []byte, at event.Positions) []byte {
	if v.veil == nil {
		return AppendTailID(dst, v.Log(), at)
	}
	return v.veil.seal(dst, "tail", string(AppendTailID(nil, v.Log(), at)))
}

// Get returns one event, or store.ErrNotFound: also where there is one that may
// not be seen.
func (v *View) Get(ctx context.Context, id event.ID, fresh Fresh) (ev *event.Event, err error) {
	err = v.run(ctx, fresh, func(ctx context.Context) error {
		ev, err = v.events.get(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ev, nil
}

// scoped is the store's events as a scope lets them be seen. Every scan, count and
// single event of every query passes through here, and nothing else adds the
// scope's predicate or takes out what it hides.
type scoped struct {
	events    events
	predicate filter.Expr
	hidden    filter.Hidden
	places    bool // places are hidden, too
}

// restricted is what of a reader's filter a scope makes: the only kind of filter with
// which events are scanned or counted.
type restricted struct{ x filter.Expr }

// see returns what a reader's filter finds in the scope, or a
// [*filter.HiddenError] if it looks at what is hidden.
func (s *scoped) see(x filter.Expr) (restricted, error) {
	if s.places && filter.Fields(x)&places != 0 {
		return restricted{}, &filter.HiddenError{Selector: filter.Selector{Field: event.Offset}}
	}
	own, err := s.hidden.Restrict(x)
	if err != nil {
		return restricted{}, err
	}
	return restricted{filter.Join(s.predicate, own)}, nil
}

// scan scans; q's filter is x.
func (s *scoped) scan(ctx context.Context, x restricted, q store.Scan, yield func(*event.Event) bool) error {
	q.Filter, q.Range = x.x, within(q.Range, s.predicate)
	if s.hidden.IsZero() {
		return s.events.Scan(ctx, q, yield)
	}
	return s.events.Scan(ctx, q, func(e *event.Event) bool {
		s.hidden.Apply(e)
		return yield(e)
	})
}

// count counts; q's filter is x.
func (s *scoped) count(ctx context.Context, x restricted, q store.Count) (*store.Counts, error) {
	if err := s.seesBy(q.By); err != nil {
		return nil, err
	}
	q.Filter, q.Range = x.x, within(q.Range, s.predicate)
	return s.events.Count(ctx, q)
}

// seesBy returns an error if a selector to group by, nil for none, is hidden.
func (s *scoped) seesBy(by *filter.Selector) error {
	if by != nil && (s.hidden.Covers(*by) || s.places && places.Has(by.Field)) {
		return ParamErrors{{Param: "by", Value: by.String(), Reason: "is hidden from this key; group by a field that it sees"}}
	}
	return nil
}

// get returns an event that may be seen, as it may be seen.
func (s *scoped) get(ctx context.Context, id event.ID) (*event.Event, error) {
	e, err := s.events.Get(ctx, id, s.predicate)
	if err != nil {
		return nil, err
	}
	s.hidden.Apply(e)
	return e, nil
}

// within narrows a range to the times that a filter allows.
func within(r store.Range, x filter.Expr) store.Range {
	from, to := filter.TimeRange(x)
	return store.Range{From: max(from, r.From), To: min(to, r.To)}
}
