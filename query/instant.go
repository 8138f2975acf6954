package query

import (
	"errors"
	"strings"
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
	if strings.ContainsAny(v, " \"()*\\<>=") || strings.Contains(v, "..") {
		v = "?" // would be more than a value to the filter language, and is no time
	}
	since, err := filter.ParseAt(event.Timestamp.String()+":>="+v, now)
	if syntax, ok := errors.AsType[*filter.SyntaxError](err); ok {
		return 0, errors.New(syntax.Reason) // its column is in a text that nobody wrote
	}
	if err != nil {
		return 0, err
	}
	from, _ := filter.TimeRange(since)
	return from, nil
}

// receivedSince returns the filter of the events that the stream took at or
// after a moment.
func receivedSince(ns int64) (filter.Expr, error) {
	return filter.Parse(event.ReceivedAt.String() + ":>=" + string(event.AppendTime(nil, ns)))
}
