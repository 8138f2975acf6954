package filter

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// Term compares the values under a selector with one or more operands. It
// matches when one of the values matches one of the operands. An absent value
// matches no Term.
type Term struct {
	Selector Selector
	steps    []step    // the selector's path into a JSON field
	ops      []operand // as written, without repetition; at least one

	// What ops are compiled to, by the kind of the field.
	set      map[string]struct{} // texts to be equal to, when they are many
	texts    []textOperand       // the other operands over text
	ints     []bounds[int64]
	ids      []bounds[event.ID]
	exact    []string
	prefix   string
	contains string
}

// bounds are the values from lo to hi, both included. In a Term they are sorted
// and do not overlap.
type bounds[T any] struct{ lo, hi T }

// setFrom is the number of texts from which a hash lookup is cheaper than
// comparing one by one, which mostly ends at the length (BenchmarkMatchSet).
const setFrom = 4

// newTerm compiles a term. It keeps steps and ops.
func newTerm(sel Selector, steps []step, ops []operand) *Term {
	t := &Term{Selector: sel, steps: steps}
	seen := make(map[string]struct{}, len(ops))
	for _, op := range ops {
		key := string(op.append(nil, inTerm))
		if _, again := seen[key]; !again {
			seen[key] = struct{}{}
			t.ops = append(t.ops, op)
		}
	}
	for _, op := range t.ops {
		switch op := op.(type) {
		case interval:
			t.ints = append(t.ints, bounds[int64]{op.lo, op.hi})
		case idRange:
			t.ids = append(t.ids, bounds[event.ID]{op.lo, op.hi})
		case textOperand:
			t.texts = append(t.texts, op)
		}
	}
	t.ints = disjoint(t.ints, cmp.Compare)
	t.ids = disjoint(t.ids, compareIDs)
	t.exact = t.findExact()
	t.prefix = t.findPrefix()
	t.contains = t.findContains()
	t.moveToSet()
	return t
}

// disjoint sorts bs and joins those that overlap, in place.
func disjoint[T any](bs []bounds[T], compare func(a, b T) int) []bounds[T] {
	slices.SortFunc(bs, func(a, b bounds[T]) int { return compare(a.lo, b.lo) })
	kept := bs[:0]
	for _, b := range bs {
		if n := len(kept); n == 0 || compare(kept[n-1].hi, b.lo) < 0 {
			kept = append(kept, b)
		} else if compare(kept[n-1].hi, b.hi) < 0 {
			kept[n-1].hi = b.hi
		}
	}
	return kept
}

// moveToSet moves the operands that list their texts to a set if they are many.
func (t *Term) moveToSet() {
	listed := 0
	for _, op := range t.texts {
		listed += len(op.texts())
	}
	if listed < setFrom {
		return
	}
	t.set = make(map[string]struct{}, listed)
	t.texts = slices.DeleteFunc(t.texts, func(op textOperand) bool {
		texts := op.texts()
		for _, text := range texts {
			t.set[text] = struct{}{}
		}
		return texts != nil
	})
}

// kind returns the kind of the term's field.
func (t *Term) kind() event.Kind { return t.Selector.Field.Info().Kind }

// MatchText reports whether the stored text of the term's field matches: the
// string of a text field, the canonical JSON of a JSON field. "" is an absent
// field and matches no term. Not for identity, time and integer fields, where
// it is false.
func (t *Term) MatchText(field string) bool {
	if field == "" {
		return false
	}
	switch {
	case t.kind() == event.KindJSON:
		return t.matchJSON(field)
	case t.Selector.Path != "":
		field = typeOf(field)
		return field != "" && t.matchScalar(scalar{field, plainText})
	}
	return t.matchScalar(scalar{field, plainText})
}

func (t *Term) matchScalar(v scalar) bool {
	if t.set != nil && v.kind != jsonContainer {
		if _, ok := t.set[v.text]; ok {
			return true
		}
	}
	for _, op := range t.texts {
		if op.match(v) {
			return true
		}
	}
	return false
}

func (t *Term) matchJSON(field string) bool {
	if !strings.Contains(field, t.contains) {
		return false
	}
	if len(t.steps) == 0 {
		return t.matchScalar(scalar{field, jsonContainer})
	}
	found := false
	walk(field, t.steps, func(raw string) bool {
		found = t.matchScalar(scalarOf(raw))
		return !found
	})
	return found
}

// MatchInt reports whether the value of a time field (ns) or integer field
// matches. [event.NoTime] matches no term.
func (t *Term) MatchInt(v int64) bool {
	if len(t.ints) == 1 {
		return v >= t.ints[0].lo && v <= t.ints[0].hi
	}
	i, found := slices.BinarySearchFunc(t.ints, v, func(b bounds[int64], v int64) int { return cmp.Compare(b.lo, v) })
	return found || i > 0 && v <= t.ints[i-1].hi
}

// MatchID reports whether an identity matches. The zero ID matches no term.
func (t *Term) MatchID(id event.ID) bool {
	if id.IsZero() {
		return false
	}
	i, found := slices.BinarySearchFunc(t.ids, id, func(b bounds[event.ID], id event.ID) int { return compareIDs(b.lo, id) })
	return found || i > 0 && compareIDs(id, t.ids[i-1].hi) <= 0
}

// IntRange returns the tightest inclusive range outside which MatchInt is false,
// for a time or integer field; for another field, all integers.
func (t *Term) IntRange() (lo, hi int64) {
	if len(t.ints) == 0 {
		return math.MinInt64, math.MaxInt64
	}
	return t.ints[0].lo, t.ints[len(t.ints)-1].hi
}

// Exact returns the field texts outside which MatchText is false, when they are
// finitely many: what to ask a bloom filter or a dictionary. For event_id they
// are 36-character forms. "" is never one of them. It returns false for JSON
// fields and for resource_type, whose field texts are endless. The slice is
// shared: do not change it.
func (t *Term) Exact() ([]string, bool) { return t.exact, t.exact != nil }

// Prefix returns a prefix that every matching field text has (for event_id, of
// the 36-character form), or "".
func (t *Term) Prefix() string { return t.prefix }

// Contains returns a substring that every matching field text has, or "". In a
// JSON field it is a piece of the canonical JSON: a key or a value, with its
// quotes and escapes.
func (t *Term) Contains() string { return t.contains }

func (t *Term) findExact() []string {
	if t.kind() == event.KindJSON || t.Selector.Path != "" {
		return nil
	}
	var exact []string
	for _, op := range t.ops {
		switch op := op.(type) {
		case textOperand:
			texts := op.texts()
			if texts == nil {
				return nil
			}
			exact = append(exact, texts...)
		case idRange:
			if op.lo != op.hi {
				return nil
			}
			exact = append(exact, op.text)
		case interval:
			return nil
		}
	}
	return exact
}

func (t *Term) findPrefix() string {
	if t.kind() == event.KindJSON {
		return ""
	}
	prefix := ""
	for i, op := range t.ops {
		p := ""
		switch op := op.(type) {
		case textOperand:
			p = op.prefix()
		case idRange:
			p = op.text
		}
		if i > 0 {
			p = commonPrefix(prefix, p)
		}
		prefix = p
	}
	return prefix
}

func (t *Term) findContains() string {
	if t.kind() == event.KindJSON {
		return t.containsJSON()
	}
	if len(t.ops) == 1 && len(t.texts) == 1 {
		return t.texts[0].substring()
	}
	return t.prefix
}

// String implements Expr.
func (t *Term) String() string { return string(t.append(nil)) }

func (t *Term) append(b []byte) []byte {
	b = append(t.Selector.append(b), ':')
	if len(t.ops) == 1 {
		return t.ops[0].append(b, inTerm)
	}
	b = append(b, '(')
	for i, op := range t.ops {
		if i > 0 {
			b = append(b, " or "...)
		}
		b = op.append(b, inGroup)
	}
	return append(b, ')')
}

func (t *Term) matchEvent(e *event.Event) bool {
	switch t.Selector.Field {
	case event.EventID:
		return t.MatchID(e.ID)
	case event.Timestamp:
		return t.MatchInt(e.Timestamp)
	case event.ReceivedAt:
		return t.MatchInt(e.ReceivedAt)
	case event.Partition:
		return t.MatchInt(int64(e.Partition))
	case event.Offset:
		return t.MatchInt(e.Offset)
	}
	return t.MatchText(e.Text(t.Selector.Field))
}
