package filter

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
)

// precision is how exactly a time is written; the time means the whole span
// that it leaves open.
type precision struct {
	layout string
	next   func(t time.Time) time.Time // the start of the next span
}

// precisions by the length of the text without its zone. A fraction of a second
// is longer still.
var precisions = map[int]precision{
	4:  {"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	7:  {"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	10: {"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	13: {"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
	16: {"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	19: {"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
}

// The earliest and the latest time that an int64 of nanoseconds and an open
// interval leave room for.
var (
	earliest = time.Unix(0, lowest+1)
	latest   = time.Unix(0, highest-1)
)

const timeWanted = "a time is a date or a part of one (2026, 2026-11, 2026-11-01, 2026-11-01T10, 2026-11-01T10:30), RFC 3339 (2026-11-01T10:30:00.5+01:00), an epoch integer in ms, µs or ns, now, or relative to now (-15m, -1h, -7d)"

// parseMoment returns the first and the last nanosecond that a written time
// means. A time relative to now is a moment without extent, which only makes
// sense as the end of a range.
func parseMoment(l *literal, now time.Time, inRange bool) (lo, hi int64, f *fault) {
	if d, ok := parseOffset(l.text); ok {
		at := now.Add(d)
		if at.Before(earliest) || at.After(latest) || d == math.MinInt64 {
			return 0, 0, l.fault("this lies outside the years 1678 to 2261, which are what a timestamp can hold")
		}
		if !inRange {
			return 0, 0, l.fault("this is a single moment; write >=" + l.raw + " for everything since, or a range such as -1h..-30m")
		}
		return at.UnixNano(), at.UnixNano(), nil
	}
	from, to, ok := parseAbsolute(l.text)
	if !ok {
		return 0, 0, l.fault(timeWanted)
	}
	if from.Before(earliest) || to.Add(-1).After(latest) {
		return 0, 0, l.fault("this lies outside the years 1678 to 2261, which are what a timestamp can hold")
	}
	return from.UnixNano(), to.Add(-1).UnixNano(), nil
}

// Span returns the span [from, to), in ns since the Unix epoch, that text means
// where the language takes a time, relative ones counted from now: 2026-11 is
// all of November, -15m a single nanosecond. The error's text is a reason, as in
// a [SyntaxError].
func Span(text string, now time.Time) (from, to int64, err error) {
	from, to, f := parseMoment(&literal{text: text, raw: text}, now, true)
	if f != nil {
		return 0, 0, errors.New(f.reason)
	}
	return from, to + 1, nil
}

// parseAbsolute returns the span [from, to) that a written time means.
func parseAbsolute(s string) (from, to time.Time, ok bool) {
	if len(s) != len("2006") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return epochSpan(n)
		}
	}
	s = strings.ToUpper(s)
	text, zone := s, ""
	if len(s) > len("2006-01-02") {
		if i := strings.LastIndexAny(s[10:], "Z+-"); i >= 0 {
			text, zone = s[:10+i], s[10+i:]
		}
	}
	var layout string
	var next func(time.Time) time.Time
	if p, ok := precisions[len(text)]; ok {
		layout, next = p.layout, p.next
	} else if digits := len(text) - 20; digits > 0 && digits <= 9 && text[19] == '.' {
		layout = "2006-01-02T15:04:05." + strings.Repeat("0", digits)
		unit := time.Nanosecond
		for range 9 - digits {
			unit *= 10
		}
		next = func(t time.Time) time.Time { return t.Add(unit) }
	} else {
		return from, to, false
	}
	if zone != "" {
		layout += "Z07:00"
	}
	from, err := time.Parse(layout, text+zone)
	return from, next(from), err == nil
}

// epochSpan returns the span that an integer means. Its magnitude tells the
// unit, as it does in an event (see [event.Decoder]); what is too small for
// milliseconds is seconds or no time at all.
func epochSpan(n int64) (from, to time.Time, ok bool) {
	switch magnitude := max(n, -n); {
	case magnitude < 1e11:
		return from, to, false
	case magnitude < 1e14:
		from = time.UnixMilli(n).UTC()
		return from, from.Add(time.Millisecond), true
	case magnitude < 1e17:
		from = time.UnixMicro(n).UTC()
		return from, from.Add(time.Microsecond), true
	}
	from = time.Unix(0, n).UTC()
	return from, from.Add(time.Nanosecond), true
}

// parseOffset parses now, -15m, +1h, now-1d12h.
func parseOffset(s string) (d time.Duration, ok bool) {
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	rest := strings.ToLower(s)
	rest, fromNow := strings.CutPrefix(rest, "now")
	if rest == "" {
		return 0, fromNow
	}
	sign := rest[0]
	if sign != '-' && sign != '+' {
		return 0, false
	}
	for rest = rest[1:]; ; {
		digits := 0
		for digits < len(rest) && rest[digits]-'0' <= 9 {
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return 0, false
		}
		unit, known := units[rest[digits]]
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if !known {
			return 0, false
		}
		if err != nil || n > int64((math.MaxInt64-d)/unit) {
			return math.MinInt64, true // too long ago for a timestamp, or too far ahead
		}
		d += time.Duration(n) * unit
		if rest = rest[digits+1:]; rest == "" {
			break
		}
	}
	if sign == '-' {
		d = -d
	}
	return d, true
}

// formatSpan returns the one time that means the span from lo to hi, if there
// is one.
func formatSpan(lo, hi int64) (string, bool) {
	t := time.Unix(0, lo).UTC()
	for _, layout := range spanLayouts {
		s := t.Format(layout)
		if from, to, _ := parseAbsolute(s); from.UnixNano() == lo && to.UnixNano()-1 == hi {
			return s, true
		}
	}
	return "", false
}

// formatMoment returns the shortest time, down from a day, that begins at ns,
// or, as the upper end of a range, ends there.
func formatMoment(ns int64, upper bool) string {
	t := time.Unix(0, ns).UTC()
	s := ""
	for _, layout := range boundLayouts {
		s = t.Format(layout)
		from, to, _ := parseAbsolute(s)
		if !upper && from.UnixNano() == ns || upper && to.UnixNano()-1 == ns {
			break
		}
	}
	return s
}

// Layouts by falling extent; the last fits every moment.
var (
	boundLayouts = []string{
		"2006-01-02", "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000Z",
		"2006-01-02T15:04:05.000000Z", "2006-01-02T15:04:05.000000000Z",
	}
	spanLayouts = append([]string{"2006", "2006-01", "2006-01-02", "2006-01-02T15", "2006-01-02T15:04"}, boundLayouts[1:]...)
)

// TimeRange returns the tightest range [from, to) of timestamps, ns, outside
// which x matches nothing, as far as the tree shows it. It is 0, 0 when x
// matches nothing at all. The end math.MaxInt64 is no bound.
func TimeRange(x Expr) (from, to int64) {
	lo, hi := timeRange(x)
	if lo > hi {
		return 0, 0
	}
	if hi < math.MaxInt64 {
		hi++
	}
	return lo, hi
}

// timeRange is TimeRange with an inclusive end, which lies before the start
// when x matches nothing.
func timeRange(x Expr) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	switch x := x.(type) {
	case And:
		for _, n := range x {
			l, h := timeRange(n)
			lo, hi = max(lo, l), min(hi, h)
		}
	case Or:
		lo, hi = math.MaxInt64, math.MinInt64
		for _, n := range x {
			if l, h := timeRange(n); l <= h {
				lo, hi = min(lo, l), max(hi, h)
			}
		}
	case *Term:
		if x.Selector.Field == event.Timestamp {
			return x.IntRange()
		}
	case Not:
		// What lies outside a bound on one side is bounded on the other.
		t, ok := x.X.(*Term)
		if !ok || t.Selector.Field != event.Timestamp || len(t.ints) != 1 {
			break
		}
		switch l, h := t.IntRange(); {
		case l == lowest && h == highest:
			hi = lo // an event without a time
		case l == lowest:
			lo = h + 1
		case h == highest:
			hi = l - 1
		}
	}
	return lo, hi
}
