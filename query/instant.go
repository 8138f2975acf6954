package query

import (
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// instant returns the moment that a parameter gives, ns since the Unix epoch.
func (p *Params) instant(name string, now time.Time) (ns int64, given bool) {
	v, ok := p.Text(name)
	if !ok {
		return 0, false
	}
	ns, err := parseInstant(v, now)
	if err != nil {
		p.Fail(name, v, "%v", err)
		return 0, false
	}
	return ns, true
}

// parseInstant reads what the filter language takes as a timestamp. What stands
// for a span there, such as a day, is its first moment here; relative times count
// from now.
func parseInstant(v string, now time.Time) (int64, error) {
	from, _, err := filter.Span(v, now)
	return from, err
}

// receivedSince returns the filter of the events that the stream took at or
// after a moment.
func receivedSince(ns int64) (filter.Expr, error) {
	return filter.Parse(event.ReceivedAt.String() + ":>=" + string(event.AppendTime(nil, ns)))
}
