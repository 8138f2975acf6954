// Package filter is the filter language: one text form, one predicate tree,
// used everywhere a set of events is named. It knows the event's fields and
// nothing of where events are kept: storage evaluates the tree, one leaf at a
// time, over whatever it keeps the fields in.
//
// The grammar and the meaning of each construct are in docs/filter-language.md;
// a test parses every example there.
//
// # Evaluating a tree
//
// A leaf is positive: it matches an event because of a value the event has, so
// an absent value ("" for a stored text) matches no leaf. Only [Not] turns that
// round, and it turns round the whole event: -labels.env:prod matches an event
// without the label. Storage may therefore leave out of a leaf whatever cannot
// hold one of [Term.Exact], [Term.Prefix], [Term.Contains] or [Term.IntRange],
// and need not think about absence.
//
// A [Text] may be one that does not look at what is hidden from a reader. Then
// [Fields] leaves out what is hidden whole, and what [Text.Piece] and
// [Text.MayMatch] rule out is ruled out; that a text field matches only
// [Text.Match] can say.
//
// Operands are compiled when the tree is made. The Match methods do not
// allocate, but for a value in a JSON field that is written with a backslash.
//
// # Adding an operator
//
// An operator is a type with the methods of operand, in a file of its own
// (op_….go), and a line in compileValue that makes it.
package filter

import (
	"github.com/daybook-log/daybook/event"
)

// Expr is a node of the predicate tree: [And], [Or], [Not], [*Term] or [*Text].
// A tree is immutable and safe for concurrent use. The empty And matches every
// event; the empty Or matches none.
//
// Trees from [Parse], [Equals] and [Join] are simple: an And or Or has either
// no node or two and more, none of which is of its own kind or constant; a Not
// holds no Not; an Or has at most one Term per selector.
type Expr interface {
	// String returns the node in the filter language; parsing it again gives an
	// equal tree if the tree is simple and the text within MaxBytes.
	String() string
	append(b []byte) []byte
}

// And matches an event that every one of its nodes matches.
type And []Expr

// Or matches an event that one of its nodes matches.
type Or []Expr

// Not matches an event that X does not match.
type Not struct{ X Expr }

// allOf returns the conjunction of simple trees as a simple tree.
func allOf(xs []Expr) Expr {
	nodes := And{}
	for _, x := range xs {
		switch x := x.(type) {
		case And:
			nodes = append(nodes, x...)
		case Or:
			if len(x) == 0 {
				return Or{}
			}
			nodes = append(nodes, x)
		default:
			nodes = append(nodes, x)
		}
	}
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

// anyOf returns the disjunction of simple trees as a simple tree. Terms of one
// selector become one Term, which storage can look up as a set.
func anyOf(xs []Expr) Expr {
	nodes := Or{}
	for _, x := range xs {
		switch x := x.(type) {
		case Or:
			nodes = append(nodes, x...)
		case And:
			if len(x) == 0 {
				return And{}
			}
			nodes = append(nodes, x)
		default:
			nodes = append(nodes, x)
		}
	}
	nodes = mergeTerms(nodes)
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

// mergeTerms moves the operands of terms with the same selector to the first of
// them. It may change nodes in place.
func mergeTerms(nodes Or) Or {
	first := make(map[Selector]int) // index into kept
	extra := make(map[int][]operand)
	kept := nodes[:0]
	for _, x := range nodes {
		t, ok := x.(*Term)
		if !ok {
			kept = append(kept, x)
			continue
		}
		i, seen := first[t.Selector]
		if !seen {
			first[t.Selector] = len(kept)
			kept = append(kept, t)
			continue
		}
		extra[i] = append(extra[i], t.ops...)
	}
	for i, ops := range extra {
		t := kept[i].(*Term)
		kept[i] = newTerm(t.Selector, t.steps, append(t.ops[:len(t.ops):len(t.ops)], ops...))
	}
	return kept
}

// negate returns the negation of a simple tree as a simple tree.
func negate(x Expr) Expr {
	switch x := x.(type) {
	case Not:
		return x.X
	case And:
		if len(x) == 0 {
			return Or{}
		}
	case Or:
		if len(x) == 0 {
			return And{}
		}
	}
	return Not{x}
}

// simplify returns any tree as a simple one.
func simplify(x Expr) Expr {
	switch x := x.(type) {
	case And:
		return allOf(simplifyAll(x))
	case Or:
		return anyOf(simplifyAll(x))
	case Not:
		return negate(simplify(x.X))
	}
	return x
}

func simplifyAll(xs []Expr) []Expr {
	out := make([]Expr, len(xs))
	for i, x := range xs {
		out[i] = simplify(x)
	}
	return out
}

// Join returns the conjunction of the given trees; nil ones are left out.
// Without any it returns the empty And.
func Join(xs ...Expr) Expr {
	var given []Expr
	for _, x := range xs {
		if x != nil {
			given = append(given, simplify(x))
		}
	}
	return allOf(given)
}

// Match reports whether e matches x. A nil x matches every event.
func Match(x Expr, e *event.Event) bool {
	switch x := x.(type) {
	case And:
		for _, n := range x {
			if !Match(n, e) {
				return false
			}
		}
	case Or:
		for _, n := range x {
			if Match(n, e) {
				return true
			}
		}
		return false
	case Not:
		return !Match(x.X, e)
	case *Term:
		return x.matchEvent(e)
	case *Text:
		return x.matchEvent(e)
	}
	return true
}

// Fields returns the fields that evaluating x looks at.
func Fields(x Expr) event.FieldSet {
	var set event.FieldSet
	switch x := x.(type) {
	case And:
		for _, n := range x {
			set |= Fields(n)
		}
	case Or:
		for _, n := range x {
			set |= Fields(n)
		}
	case Not:
		set = Fields(x.X)
	case *Term:
		set = event.Fields(x.Selector.Field)
	case *Text:
		for f := range event.NumFields {
			if f.IsText() && !x.hidden.whole.Has(f) {
				set |= event.Fields(f)
			}
		}
	}
	return set
}

// String implements Expr. The empty And is *.
func (a And) String() string { return string(a.append(nil)) }

// String implements Expr. The empty Or is -*.
func (o Or) String() string { return string(o.append(nil)) }

// String implements Expr.
func (n Not) String() string { return string(n.append(nil)) }

func (a And) append(b []byte) []byte {
	if len(a) == 0 {
		return append(b, '*')
	}
	for i, x := range a {
		if i > 0 {
			b = append(b, ' ')
		}
		o, ok := x.(Or)
		b = appendNode(b, x, ok && len(o) > 1)
	}
	return b
}

func (o Or) append(b []byte) []byte {
	if len(o) == 0 {
		return append(b, "-*"...)
	}
	for i, x := range o {
		if i > 0 {
			b = append(b, " or "...)
		}
		b = x.append(b)
	}
	return b
}

func (n Not) append(b []byte) []byte {
	compound := false
	switch x := n.X.(type) {
	case And:
		compound = len(x) > 1
	case Or:
		compound = len(x) > 1
	}
	return appendNode(append(b, '-'), n.X, compound)
}

func appendNode(b []byte, x Expr, parentheses bool) []byte {
	if !parentheses {
		return x.append(b)
	}
	return append(x.append(append(b, '(')), ')')
}
