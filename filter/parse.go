package filter

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a filter. They bound what a stranger's filter can cost: parsing is
// linear in the text, and matching visits each leaf once per event or
// dictionary entry.
const (
	MaxBytes = 16 << 10 // length of the text
	MaxDepth = 64       // nesting of parentheses and negations
	MaxTerms = 1024     // leaves of the tree, each value of a group counted
)

// Parse parses the filter language; relative times count from now. The empty
// text gives the empty And. An error is a [*SyntaxError].
func Parse(s string) (Expr, error) { return ParseAt(s, time.Now()) }

// ParseAt is Parse with the moment that relative times count from. The tree
// holds absolute times only.
func ParseAt(s string, now time.Time) (Expr, error) {
	if len(s) > MaxBytes {
		return nil, syntaxError(s, &fault{off: MaxBytes, reason: fmt.Sprintf(
			"the filter is %d bytes long; at most %d are accepted", len(s), MaxBytes)})
	}
	if off := invalidUTF8(s); off >= 0 {
		return nil, syntaxError(s, &fault{off: off, token: s[off : off+1], reason: "this is not valid UTF-8"})
	}
	p := &parser{scanner: scanner{src: s}, now: now}
	x, f := p.filter()
	if f != nil {
		return nil, syntaxError(s, f)
	}
	return x, nil
}

// Equals returns the term selector:value for a value taken literally, as the
// plain parameters of the API need it: no wildcard, no quoting. What a value
// can be depends on the field: a source_ip may still be a network, a timestamp
// a whole day. The error names the selector and what would be accepted.
func Equals(sel Selector, value string) (Expr, error) {
	steps, f := compilePath(sel)
	if f != nil {
		return nil, errors.New(f.reason)
	}
	op, f := compileValue(sel, plainValue(literal{text: value}), time.Now())
	if f != nil {
		return nil, fmt.Errorf("%s: %s", sel, f.reason)
	}
	return newTerm(sel, steps, []operand{op}), nil
}

// SyntaxError says where a filter stopped making sense.
type SyntaxError struct {
	Column int    // 1-based, in characters, of the first one in question
	Token  string // the text in question, shortened; "" at the end
	Reason string // what is wrong and what would be accepted
}

// Error returns the column, the token and the reason in one line.
func (e *SyntaxError) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("column %d: %s", e.Column, e.Reason)
	}
	return fmt.Sprintf("column %d, at %q: %s", e.Column, e.Token, e.Reason)
}

// fault is a SyntaxError while it is still known by its byte offset.
type fault struct {
	off    int
	token  string
	reason string
}

// maxToken is the length, in characters, that an error shows of a token.
const maxToken = 40

func syntaxError(src string, f *fault) *SyntaxError {
	token := f.token
	if utf8.RuneCountInString(token) > maxToken {
		token = string([]rune(token)[:maxToken-1]) + "…"
	}
	return &SyntaxError{
		Column: utf8.RuneCountInString(src[:f.off]) + 1,
		Token:  strings.ToValidUTF8(token, "\uFFFD"),
		Reason: f.reason,
	}
}

// invalidUTF8 returns the offset of the first byte of s that is not UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return i
		}
	}
	return -1
}

// parser is a recursive descent over the grammar in docs/filter-language.md; a
// method per rule. Every rule takes the selector of the group it stands in, nil
// outside of one, because inside user_id:( … ) the leaves are values of user_id
// and everything else is the same.
type parser struct {
	scanner
	now   time.Time
	depth int // parentheses and negations open at pos
	terms int // leaves so far
}

// group is the selector that a parenthesis after a colon distributes.
type group struct {
	Selector
	steps []step
}

func (p *parser) filter() (Expr, *fault) {
	p.skipSpace()
	if p.atEnd() {
		return And{}, nil
	}
	x, f := p.or(nil)
	if f != nil {
		return nil, f
	}
	if !p.atEnd() { // or stops early at a closing parenthesis only
		return nil, p.fault(1, "no parenthesis is open here; quote the text if ) is part of it")
	}
	return x, nil
}

func (p *parser) or(g *group) (Expr, *fault) {
	var xs []Expr
	for {
		x, f := p.and(g)
		if f != nil {
			return nil, f
		}
		xs = append(xs, x)
		if !p.takeKeyword("or") {
			return anyOf(xs), nil
		}
	}
}

func (p *parser) and(g *group) (Expr, *fault) {
	var xs []Expr
	for {
		x, f := p.unary(g)
		if f != nil {
			return nil, f
		}
		xs = append(xs, x)
		p.skipSpace()
		if p.takeKeyword("and") {
			continue
		}
		if p.atEnd() || p.at(')') || p.seesKeyword("or") {
			return allOf(xs), nil
		}
	}
}

func (p *parser) unary(g *group) (Expr, *fault) {
	p.skipSpace()
	start := p.pos
	switch {
	case p.takeKeyword("not"):
	case p.at('-'):
		p.pos++
		if p.atDelimiter() && !p.at('(') && !p.at('"') {
			p.pos = start
			return nil, p.fault(1, "- negates what follows it directly, as in -outcome:success; quote it to search for the text")
		}
	default:
		return p.primary(g)
	}
	if f := p.enter(start); f != nil {
		return nil, f
	}
	x, f := p.unary(g)
	p.depth--
	if f != nil {
		return nil, f
	}
	return negate(x), nil
}

func (p *parser) primary(g *group) (Expr, *fault) {
	start := p.pos
	switch {
	case p.atEnd(), p.at(')'), p.seesKeyword("and"), p.seesKeyword("or"):
		return nil, p.missing(g)
	case p.at('('):
		if f := p.enter(start); f != nil {
			return nil, f
		}
		x, f := p.parenthesis(g)
		p.depth--
		return x, f
	}
	if g != nil {
		if f := p.refuseTermInGroup(g); f != nil {
			return nil, f
		}
		return p.term(g)
	}
	if end, ok := p.selectorEnd(); ok {
		return p.selector(end)
	}
	return p.text()
}

// missing is the fault of an operand that is not there.
func (p *parser) missing(g *group) *fault {
	want := "a term such as user_id:alice, a text to search for, or ( is expected here"
	if g != nil {
		want = fmt.Sprintf("a value of %s is expected here", g.Selector)
	}
	if p.atEnd() {
		return p.fault(0, want)
	}
	return p.fault(p.wordLen(), want+`; quote the word to search for it`)
}

// parenthesis parses from ( to ).
func (p *parser) parenthesis(g *group) (Expr, *fault) {
	open := p.pos
	p.pos++
	x, f := p.or(g)
	if f != nil {
		return nil, f
	}
	if !p.at(')') { // or stops at the end or at a closing parenthesis
		p.pos = open
		return nil, p.fault(1, "this parenthesis is not closed; ) is expected at the end")
	}
	p.pos++
	if p.at('(') {
		return x, nil
	}
	return x, p.endOfTerm()
}

// selector parses a term from the selector, which ends at the colon at end.
func (p *parser) selector(end int) (Expr, *fault) {
	sel, steps, f := parseSelector(p.src[p.pos:end])
	if f != nil {
		f.off += p.pos
		return nil, f
	}
	start := p.pos
	p.pos = end + 1
	g := &group{sel, steps}
	if p.at('(') {
		return p.parenthesis(g)
	}
	if p.atDelimiter() && !p.at('"') {
		p.pos = start
		return nil, p.fault(end+1-start, fmt.Sprintf(
			`the value is missing; it follows the colon directly, as in %s:%s, or %s:* for any value`,
			sel, exampleValue(sel), sel))
	}
	return p.term(g)
}

// term parses one value of the group's selector.
func (p *parser) term(g *group) (Expr, *fault) {
	if f := p.leaf(); f != nil {
		return nil, f
	}
	v, f := p.value()
	if f != nil {
		return nil, f
	}
	op, f := compileValue(g.Selector, v, p.now)
	if f != nil {
		return nil, f
	}
	return newTerm(g.Selector, g.steps, []operand{op}), nil
}

// text parses a word or a quoted phrase to search for.
func (p *parser) text() (Expr, *fault) {
	if f := p.leaf(); f != nil {
		return nil, f
	}
	l, f := p.literal(inText)
	if f != nil {
		return nil, f
	}
	if f := p.endOfTerm(); f != nil {
		return nil, f
	}
	if l.parts == nil {
		if l.text == "" {
			return nil, l.fault("an empty text is in every event; leave it out")
		}
		return newText(l.text), nil
	}
	// The needle may stand anywhere in a value, so a wildcard at either end
	// says nothing more.
	parts := l.parts
	for len(parts) > 0 && parts[0] == "" {
		parts = parts[1:]
	}
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	switch len(parts) {
	case 0:
		return And{}, nil
	case 1:
		return newText(parts[0]), nil
	}
	return nil, l.fault(`a text search has no wildcard within; search for each part, name a field (as in action:` +
		l.raw + `), or quote the text if * is part of it`)
}

// leaf counts a leaf.
func (p *parser) leaf() *fault {
	if p.terms++; p.terms > MaxTerms {
		return p.fault(1, fmt.Sprintf("the filter has more than %d terms", MaxTerms))
	}
	return nil
}

// enter counts a parenthesis or negation, which begins at off.
func (p *parser) enter(off int) *fault {
	if p.depth++; p.depth > MaxDepth {
		return &fault{off: off, token: p.src[off : off+1], reason: fmt.Sprintf(
			"parentheses and negations are nested more than %d deep", MaxDepth)}
	}
	return nil
}

// refuseTermInGroup refuses action:(login or user_id:alice), which would
// otherwise silently look for an action called user_id:alice.
func (p *parser) refuseTermInGroup(g *group) *fault {
	end, ok := p.selectorEnd()
	if !ok {
		return nil
	}
	if _, _, f := parseSelector(p.src[p.pos:end]); f != nil {
		return nil
	}
	return p.fault(end+1-p.pos, fmt.Sprintf(
		"this parenthesis holds values of %s, no other field; close it first, or quote the value if the colon is part of it", g.Selector))
}
