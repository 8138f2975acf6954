package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// operand is one operator with the values it was given.
type operand interface {
	// append appends the operand in the filter language. Two operands of one
	// selector are equal if their texts are.
	append(b []byte, at place) []byte
}

// textOperand is an operand over texts and JSON scalars.
type textOperand interface {
	operand
	match(v scalar) bool
	// texts returns what match accepts, if that can be listed, else nil. None
	// of them is a number that another spelling is equal to.
	texts() []string
	// prefix and substring return what every matching text begins with and
	// contains, or "".
	prefix() string
	substring() string
}

// scalar is a value that a textOperand looks at. It is never absent.
type scalar struct {
	text string // of a number, true, false, null, object or array: its JSON
	kind scalarKind
}

type scalarKind uint8

const (
	plainText  scalarKind = iota // of a text field
	jsonString                   // the rest: inside a JSON field
	jsonNumber
	jsonWord      // true, false, null
	jsonContainer // object or array: there, but equal to nothing
)

// compileText makes the operand of a field that takes any text. Inside JSON,
// texts that are numbers also compare as such.
func compileText(v value, json bool) (operand, *fault) {
	switch {
	case v.one == nil:
		s := span{lo: newSpanEnd(v.lo, json), hi: newSpanEnd(v.hi, json)}
		if s.isEmpty() {
			return nil, v.lo.fault(fmt.Sprintf("the range is empty: %q lies after %q", s.lo.text, s.hi.text))
		}
		return s, nil
	case v.one.parts != nil:
		return pattern{v.one.parts}, nil
	}
	return equal{v.one.text, newNumber(v.one.text, json)}, nil
}

// compileEnum makes the operand of a field that has a list of values, and
// refuses one that none of them matches.
func compileEnum(info *event.Info, v value) (operand, *fault) {
	accepted := fmt.Sprintf("%s is one of %s", info.Name, strings.Join(info.Values, ", "))
	switch {
	case v.one == nil:
		return nil, v.literals()[0].fault(accepted + "; they have no order")
	case v.one.parts != nil:
		p := pattern{v.one.parts}
		if !slices.ContainsFunc(info.Values, func(s string) bool { return p.match(scalar{text: s}) }) {
			return nil, v.one.fault(accepted)
		}
		return p, nil
	case !slices.Contains(info.Values, v.one.text):
		return nil, v.one.fault(accepted)
	}
	return equal{text: v.one.text}, nil
}

// exists matches every value: field:*.
type exists struct{}

func (exists) append(b []byte, _ place) []byte { return append(b, '*') }
func (exists) match(scalar) bool               { return true }
func (exists) texts() []string                 { return nil }
func (exists) prefix() string                  { return "" }
func (exists) substring() string               { return "" }

// equal matches one text exactly, and a JSON number of the same value.
type equal struct {
	text   string
	number number
}

func (e equal) append(b []byte, at place) []byte { return appendLiteral(b, e.text, at) }

func (e equal) match(v scalar) bool {
	if v.text == e.text {
		return v.kind != jsonContainer
	}
	return e.number.set && v.kind == jsonNumber && e.number.compare(v.text) == 0
}

func (e equal) texts() []string {
	if e.number.set {
		return nil
	}
	return []string{e.text}
}

func (e equal) prefix() string    { return e.text }
func (e equal) substring() string { return e.text }

// pattern matches texts that consist of its parts, in order, with anything
// between each two. It has at least two, and a part between two is not empty.
type pattern struct{ parts []string }

func (p pattern) append(b []byte, at place) []byte { return appendPattern(b, p.parts, at) }

func (p pattern) match(v scalar) bool {
	if v.kind == jsonContainer {
		return false
	}
	s, last := v.text, len(p.parts)-1
	if len(s) < len(p.parts[0])+len(p.parts[last]) || !strings.HasPrefix(s, p.parts[0]) || !strings.HasSuffix(s, p.parts[last]) {
		return false
	}
	s = s[len(p.parts[0]) : len(s)-len(p.parts[last])]
	for _, part := range p.parts[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

func (pattern) texts() []string  { return nil }
func (p pattern) prefix() string { return p.parts[0] }

func (p pattern) substring() string {
	return slices.MaxFunc(p.parts, func(a, b string) int { return len(a) - len(b) })
}

// span matches the texts between two ends, byte by byte, or the numbers.
type span struct{ lo, hi spanEnd }

type spanEnd struct {
	text      string
	set       bool
	exclusive bool
	number    number
}

func newSpanEnd(b bound, json bool) spanEnd {
	if b.literal == nil {
		return spanEnd{}
	}
	return spanEnd{text: b.text, set: true, exclusive: b.exclusive, number: newNumber(b.text, json)}
}

// compare orders a value and an end. A string that is written as a number is a
// number here: prices and counters are often sent as strings.
func (e *spanEnd) compare(v scalar) int {
	if e.number.set && (v.kind == jsonNumber || v.kind == jsonString && isNumber(v.text)) {
		return e.number.compare(v.text)
	}
	return strings.Compare(v.text, e.text)
}

func (s span) isEmpty() bool {
	if !s.lo.set || !s.hi.set {
		return false
	}
	if s.lo.number.set != s.hi.number.set {
		return false // what lies between depends on the value
	}
	kind := plainText
	if s.lo.number.set {
		kind = jsonNumber
	}
	return s.hi.compare(scalar{s.lo.text, kind}) > 0
}

func (s span) match(v scalar) bool {
	if v.kind == jsonContainer || v.kind == jsonWord {
		return false
	}
	if s.lo.set {
		if c := s.lo.compare(v); c < 0 || c == 0 && s.lo.exclusive {
			return false
		}
	}
	if s.hi.set {
		if c := s.hi.compare(v); c > 0 || c == 0 && s.hi.exclusive {
			return false
		}
	}
	return true
}

func (s span) append(b []byte, at place) []byte {
	if s.lo.set && s.hi.set {
		b = append(appendLiteral(b, s.lo.text, at), ".."...)
		return appendLiteral(b, s.hi.text, inTerm)
	}
	end, sign := s.lo, byte('>')
	if s.hi.set {
		end, sign = s.hi, '<'
	}
	b = append(b, sign)
	if !end.exclusive {
		b = append(b, '=')
	}
	return appendLiteral(b, end.text, inTerm)
}

func (span) texts() []string { return nil }

// prefix: whatever lies between two texts begins with what both begin with.
func (s span) prefix() string {
	if !s.lo.set || !s.hi.set {
		return ""
	}
	return commonPrefix(s.lo.text, s.hi.text)
}

func (s span) substring() string { return "" }

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
