package filter

import (
	"fmt"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
)

// value is what stands after a selector's colon, before it is known what the
// field makes of it: one literal, or a range of which one end may be open.
type value struct {
	one    *literal
	lo, hi bound // when one is nil; at least one of them has a literal
}

// bound is an end of a range.
type bound struct {
	*literal  // nil: no bound
	exclusive bool
}

func plainValue(l literal) value { return value{one: &l} }

// comparisons are the signs that may stand before a literal; a longer one
// stands before its prefix.
var comparisons = [...]struct {
	sign  string
	value func(l *literal) value
}{
	{">=", func(l *literal) value { return value{lo: bound{l, false}} }},
	{">", func(l *literal) value { return value{lo: bound{l, true}} }},
	{"<=", func(l *literal) value { return value{hi: bound{l, false}} }},
	{"<", func(l *literal) value { return value{hi: bound{l, true}} }},
}

// value parses what stands after a colon or in a group.
func (s *scanner) value() (value, *fault) {
	for _, c := range comparisons {
		if !strings.HasPrefix(s.src[s.pos:], c.sign) {
			continue
		}
		start := s.pos
		s.pos += len(c.sign)
		if !s.at('"') && (s.atDelimiter() || s.atDots()) {
			s.pos = start
			return value{}, s.fault(s.wordLen(), "a value is expected directly after "+c.sign)
		}
		l, f := s.literal(inTerm)
		if f != nil {
			return value{}, f
		}
		if s.atDots() {
			return value{}, s.fault(2, "a comparison has one value; quote the value if .. is part of it")
		}
		return c.value(&l), s.endOfTerm()
	}
	return s.plainOrRange()
}

func (s *scanner) plainOrRange() (value, *fault) {
	start := s.pos
	var v value
	if !s.atDots() {
		l, f := s.literal(inTerm)
		if f != nil {
			return value{}, f
		}
		if !s.atDots() {
			return plainValue(l), s.endOfTerm()
		}
		v.lo.literal = &l
	}
	dots := s.pos
	s.pos += 2
	if !s.at('.') && (s.at('"') || !s.atDelimiter()) {
		l, f := s.literal(inTerm)
		if f != nil {
			return value{}, f
		}
		v.hi.literal = &l
	}
	if s.at('.') {
		s.pos = dots
		return value{}, s.fault(s.wordLen(), "a range is a..b, a.. or ..b; quote the value if .. is part of it")
	}
	if v.lo.literal == nil && v.hi.literal == nil {
		s.pos = start
		return value{}, s.fault(2, "a range has a value before or after its two dots")
	}
	return v, s.endOfTerm()
}

// literals returns the one or two literals of v.
func (v *value) literals() []*literal {
	var ls []*literal
	for _, l := range []*literal{v.one, v.lo.literal, v.hi.literal} {
		if l != nil {
			ls = append(ls, l)
		}
	}
	return ls
}

// isExists reports whether v is a lone wildcard.
func (v *value) isExists() bool {
	return v.one != nil && len(v.one.parts) == 2 && v.one.text == ""
}

// compileValue makes an operand of a value. This is the one place that says
// which values a field takes.
func compileValue(sel Selector, v value, now time.Time) (operand, *fault) {
	if v.one == nil {
		for _, l := range v.literals() {
			if l.parts != nil {
				return nil, l.fault(`a range or comparison has no wildcards; write \* if * is part of the value`)
			}
		}
	}
	info := sel.Field.Info()
	switch info.Kind {
	case event.KindID:
		return compileID(v)
	case event.KindTime:
		return compileInterval(v, true, func(l *literal) (int64, int64, *fault) { return parseMoment(l, now, v.one == nil) })
	case event.KindInt:
		return compileInterval(v, false, parseInteger)
	}
	if v.isExists() {
		return exists{}, nil
	}
	switch info.Kind {
	case event.KindEnum:
		return compileEnum(info, v)
	case event.KindAddr:
		return compileAddr(v)
	case event.KindJSON:
		if sel.Path == "" {
			return nil, v.literals()[0].fault(fmt.Sprintf("%s takes a key, as in %s:%s, or %[1]s:* for any", sel.Field, exampleSelector(sel.Field), exampleValue(sel)))
		}
	}
	if v.one != nil && v.one.parts == nil && v.one.text == "" && info.Kind != event.KindJSON {
		return nil, v.one.fault(fmt.Sprintf("%s is never empty: an event has a value or has none; write -%[1]s:* for none", sel))
	}
	return compileText(v, info.Kind == event.KindJSON)
}
