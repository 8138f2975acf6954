package query

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Criteria names a set of events.
type Criteria struct {
	Filter filter.Expr // q and the plain parameters, joined by and; never nil
	Range  store.Range // from ≤ timestamp < to
	Now    time.Time   // what relative times counted from
	Fresh  Fresh
}

// Criteria reads what names a set of events: q, from, to, a parameter per field
// or path, after_position and wait. Relative times count from now.
func (p *Params) Criteria(now time.Time) Criteria {
	c := Criteria{Now: now, Range: store.AllTime, Fresh: p.Fresh()}
	c.Filter = p.filter(now)
	from, hasFrom := p.instant("from", now)
	if hasFrom {
		c.Range.From = from
	}
	to, hasTo := p.instant("to", now)
	if hasTo {
		c.Range.To = to
	}
	if hasFrom && hasTo && from >= to {
		v, _ := p.Text("from")
		p.Fail("from", v, "must lie before to, which is the first moment after the range; for a whole day, let to be the day after")
	}
	return c
}

// filter returns the conjunction of q and of the parameters that are selectors.
func (p *Params) filter(now time.Time) filter.Expr {
	terms := []filter.Expr{filter.And{}}
	if q, ok := p.raw("q"); ok {
		x, err := filter.ParseAt(q, now)
		if err != nil {
			p.filterFault("q", q, err)
		} else {
			terms = append(terms, x)
		}
	}
	for _, name := range plainFields() {
		terms = p.equals(terms, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if strings.Contains(name, ".") && len(p.errs) < maxFaults { // labels.env, metadata.order.id
			terms = p.equals(terms, name)
		}
	}
	return filter.Join(terms...)
}

// plainFields returns the names that are parameters of their own: every field
// whose value is a word, and the type of the resource.
func plainFields() []string {
	names := []string{event.EventID.String()}
	for f := range event.NumFields {
		if f.IsText() && f.Info().Kind != event.KindJSON {
			names = append(names, f.String())
		}
	}
	return append(names, "resource_type")
}

// equals appends the term that the parameter name, a selector, stands for.
func (p *Params) equals(terms []filter.Expr, name string) []filter.Expr {
	v, ok := p.Text(name)
	if !ok {
		return terms
	}
	sel, err := filter.ParseSelector(name)
	if err != nil {
		p.Fail(name, v, "no such parameter here: %v", err)
		return terms
	}
	x, err := filter.Equals(sel, v)
	if err != nil {
		p.Fail(name, v, "%s", strings.TrimPrefix(err.Error(), name+": "))
		return terms
	}
	return append(terms, x)
}

func (p *Params) filterFault(name, value string, err error) {
	fault := &ParamError{Param: name, Value: value, Reason: err.Error()}
	if syntax, ok := errors.AsType[*filter.SyntaxError](err); ok {
		fault.Column, fault.Token, fault.Reason = syntax.Column, syntax.Token, syntax.Reason
	}
	p.fault(fault)
}

// plan returns the scan of c's events. The range is as tight as range and filter
// together allow, so that the store can leave out what lies outside.
func (c *Criteria) plan(order store.Order, fields event.FieldSet) store.Scan {
	return store.Scan{Range: c.tight(), Order: order, Fields: fields}
}

func (c *Criteria) tight() store.Range { return within(c.Range, c.Filter) }

// bounded reports whether both ends of r are given.
func bounded(r store.Range) bool { return r.From > math.MinInt64 && r.To < math.MaxInt64 }
