package filter

import (
	"fmt"
	"math"
	"strconv"

	"github.com/daybook-log/daybook/event"
)

// interval matches the integers from lo to hi, both included. It is the one
// operand of time fields (ns) and integer fields. An absent time matches none.
type interval struct {
	lo, hi int64
	time   bool // written as times
}

// The ends of an interval that is open. The lowest integer is what an absent
// time is stored as.
const (
	lowest  = event.NoTime + 1
	highest = math.MaxInt64
)

// compileInterval makes an interval of a value whose literals parse to
// intervals themselves: 2026-11 is a month.
func compileInterval(v value, time bool, parse func(*literal) (lo, hi int64, f *fault)) (operand, *fault) {
	if v.isExists() {
		return interval{lowest, highest, time}, nil
	}
	if v.one != nil {
		if v.one.parts != nil {
			return nil, v.one.fault("wildcards do not work here; write a range a..b, or a lone * for any value")
		}
		lo, hi, f := parse(v.one)
		return interval{lo, hi, time}, f
	}
	i := interval{lowest, highest, time}
	if v.lo.literal != nil {
		lo, hi, f := parse(v.lo.literal)
		if f != nil {
			return nil, f
		}
		if i.lo = lo; v.lo.exclusive {
			if hi >= highest-1 {
				return nil, v.lo.fault("no value lies beyond this one")
			}
			i.lo = hi + 1
		}
	}
	if v.hi.literal != nil {
		lo, hi, f := parse(v.hi.literal)
		if f != nil {
			return nil, f
		}
		if i.hi = hi; v.hi.exclusive {
			if lo <= lowest+1 {
				return nil, v.hi.fault("no value lies before this one")
			}
			i.hi = lo - 1
		}
	}
	if i.lo > i.hi {
		return nil, v.lo.fault(fmt.Sprintf("the range is empty: it begins after %s", v.hi.raw))
	}
	return i, nil
}

func parseInteger(l *literal) (lo, hi int64, f *fault) {
	n, err := strconv.ParseInt(l.text, 10, 64)
	if err != nil || n < lowest {
		return 0, 0, l.fault("an integer is expected, such as 1000, or a range of them, 1000..1999")
	}
	return n, n, nil
}

func (i interval) append(b []byte, at place) []byte {
	text := func(n int64, upper bool) string {
		if i.time {
			return formatMoment(n, upper)
		}
		return strconv.FormatInt(n, 10)
	}
	switch {
	case i.lo == lowest && i.hi == highest:
		return append(b, '*')
	case i.time:
		if s, ok := formatSpan(i.lo, i.hi); ok {
			return appendLiteral(b, s, at)
		}
	case i.lo == i.hi:
		return appendLiteral(b, text(i.lo, false), at)
	}
	switch {
	case i.hi == highest:
		return appendLiteral(append(b, ">="...), text(i.lo, false), inTerm)
	case i.lo == lowest:
		return appendLiteral(append(b, "<="...), text(i.hi, true), inTerm)
	}
	b = append(appendLiteral(b, text(i.lo, false), at), ".."...)
	return appendLiteral(b, text(i.hi, true), at)
}
