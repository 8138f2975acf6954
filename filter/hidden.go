package filter

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"

	"github.com/daybook-log/daybook/event"
)

// Hidden is a set of fields, and of paths into JSON fields, that a reader may not
// see. The zero Hidden hides nothing. A Hidden is immutable and safe for
// concurrent use.
//
// A hidden path takes in everything below it, and every spelling that leads to
// it: paths are compared key by key with all keys split at their dots, those in
// quotes and those of the document too. So metadata.a.b hides {"a":{"b":1}},
// {"a.b":1}, {"a":[{"b.c":1}]}, and the selectors metadata."a.b" and
// metadata.a.b.c. A label's key is one key, dots and all.
//
// For every filter x that [Hidden.Restrict] accepts and every event e,
//
//	x restricted matches e   if and only if   x matches e after Apply
//
// so that a reader finds out by searching what it could find out by looking at
// what it is shown, and no more. Storage evaluates the restricted filter over
// events as they are; [Hidden.Apply] is for those that are handed out.
type Hidden struct {
	whole  event.FieldSet
	inside [jsonFields]*mask // of event.Changes and on; nil: no path inside is hidden, or the field is in whole
}

// jsonFields is how many JSON fields there are; they follow each other.
const jsonFields = event.Metadata - event.Changes + 1

// shown are the fields that every reader sees: what a position, a cursor and the
// bounds of a key's tenant are made of.
var shown = event.Fields(event.EventID, event.Timestamp, event.TenantID, event.ReceivedAt, event.Partition, event.Offset)

// ParseHidden parses selectors as the filter language spells them: source_ip,
// labels.env, metadata.ssn, changes.old, changes. The fields event_id, timestamp,
// tenant_id, received_at, partition and offset cannot be hidden, and
// resource_type not without resource.
func ParseHidden(names []string) (Hidden, error) {
	var whole event.FieldSet
	var paths [jsonFields][]string
	for _, name := range names {
		sel, err := ParseSelector(name)
		switch {
		case err != nil:
			return Hidden{}, fmt.Errorf("hide %q: %w", name, err)
		case shown.Has(sel.Field):
			return Hidden{}, fmt.Errorf("hide %q: this field cannot be hidden; any can but %s", name, fieldNames(shown))
		case sel.Path == "":
			whole |= event.Fields(sel.Field)
		case sel.Field == event.Resource:
			return Hidden{}, fmt.Errorf("hide %q: this is the first part of resource; hide resource", name)
		default:
			path, _ := sel.joined() // ParseSelector has seen to it
			paths[sel.Field-event.Changes] = append(paths[sel.Field-event.Changes], path)
		}
	}
	return newHidden(whole, paths), nil
}

func newHidden(whole event.FieldSet, paths [jsonFields][]string) Hidden {
	h := Hidden{whole: whole}
	for i := range paths {
		if f := event.Changes + event.Field(i); !whole.Has(f) && len(paths[i]) > 0 {
			h.inside[i] = newMask(f, paths[i])
		}
	}
	return h
}

// joined returns the keys of s's path with a dot between each two, which is the
// same for every spelling of a path; for a label, its key. It returns false for a
// path that leads nowhere.
func (s Selector) joined() (string, bool) {
	var buf [4]step
	steps, f := s.appendSteps(buf[:0])
	if f != nil {
		return "", false
	}
	keys := make([]string, len(steps))
	for i := range steps {
		keys[i] = steps[i].key
	}
	return strings.Join(keys, "."), true
}

// fieldNames returns the names of a set of fields, as prose.
func fieldNames(set event.FieldSet) string {
	var names []string
	for f := range event.NumFields {
		if set.Has(f) {
			names = append(names, f.String())
		}
	}
	return strings.Join(names, ", ")
}

// mask returns what is hidden inside the field f, nil for nothing.
func (h *Hidden) mask(f event.Field) *mask {
	if f < event.Changes || f > event.Metadata {
		return nil
	}
	return h.inside[f-event.Changes]
}

// IsZero reports whether h hides nothing.
func (h Hidden) IsZero() bool { return h == Hidden{} }

// Fields returns the fields that are hidden whole.
func (h Hidden) Fields() event.FieldSet { return h.whole }

// Names returns the selectors of what is hidden, sorted, each in one spelling and
// none inside another. ParseHidden of them gives h again.
func (h Hidden) Names() []string {
	var names []string
	for f := range event.NumFields {
		if h.whole.Has(f) {
			names = append(names, f.String())
		}
	}
	for _, m := range h.inside {
		if m == nil {
			continue
		}
		for _, path := range m.paths() {
			names = append(names, spell(m.field, path))
		}
	}
	slices.Sort(names)
	return names
}

// spell returns the selector of a joined path.
func spell(f event.Field, path string) string {
	keys := []string{path}
	if f != event.Labels {
		keys = strings.Split(path, ".")
	}
	b := []byte(f.String())
	for _, key := range keys {
		b = append(b, '.')
		if isPlainKey(key) && !strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
			b = append(b, key...)
		} else {
			b = appendQuoted(b, key)
		}
	}
	return string(b)
}

// Union returns what hides all that h and o hide.
func (h Hidden) Union(o Hidden) Hidden {
	switch {
	case h.IsZero():
		return o
	case o.IsZero():
		return h
	}
	var paths [jsonFields][]string
	for i := range paths {
		for _, m := range []*mask{h.inside[i], o.inside[i]} {
			if m != nil {
				paths[i] = append(paths[i], m.paths()...)
			}
		}
	}
	return newHidden(h.whole|o.whole, paths)
}

// Covers reports whether sel looks at something hidden, into it, or at what it is
// part of, which would show it or tell that it is there: with metadata.a.b hidden,
// metadata.a.b.c and metadata.a are covered, and so is metadata. A covered
// selector is to be refused wherever a reader names one, as in counts.
func (h Hidden) Covers(sel Selector) bool {
	if h.whole.Has(sel.Field) {
		return true
	}
	m := h.mask(sel.Field)
	if m == nil {
		return false
	}
	path, ok := sel.joined()
	if !ok || sel.Path == "" {
		return true
	}
	below, hidden := m.find(m.keys, path)
	return hidden || below != nil
}

// HiddenError says that a reader's filter, or another of its parameters, names
// what is hidden from it.
type HiddenError struct {
	Selector Selector
}

// Error names the selector, not what of it is hidden.
func (e *HiddenError) Error() string {
	return fmt.Sprintf("%s is hidden from this reader, all of it or a part; leave it out", e.Selector)
}

// Restrict returns what x means to a reader from whom h is hidden. A term over
// what h covers is refused with a [*HiddenError]: left to be false, its negation
// would be true. A text looks at what is visible only. The tree is simple if x is,
// and may be joined with filters that are not restricted, such as a role's own.
//
// A restricted tree is printed as x is. Its text, parsed again, is not restricted.
func (h Hidden) Restrict(x Expr) (Expr, error) {
	if h.IsZero() {
		return x, nil
	}
	switch x := x.(type) {
	case And:
		if nodes, err := h.restrictAll(x); err != nil {
			return nil, err
		} else {
			return And(nodes), nil
		}
	case Or:
		if nodes, err := h.restrictAll(x); err != nil {
			return nil, err
		} else {
			return Or(nodes), nil
		}
	case Not:
		if n, err := h.Restrict(x.X); err != nil {
			return nil, err
		} else {
			return Not{n}, nil
		}
	case *Term:
		if h.Covers(x.Selector) {
			return nil, &HiddenError{x.Selector}
		}
	case *Text:
		t := *x
		t.hidden = x.hidden.Union(h)
		return &t, nil
	}
	return x, nil
}

func (h Hidden) restrictAll(xs []Expr) ([]Expr, error) {
	nodes := make([]Expr, len(xs))
	for i, x := range xs {
		var err error
		if nodes[i], err = h.Restrict(x); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// Apply takes out of e what is hidden. What is left of a JSON field is canonical;
// an object or array that holds nothing but what is hidden goes with it, up to the
// field, so that it does not tell that something was there. Apply replaces strings
// of e and never changes one in place. It allocates for a JSON field that
// something is taken out of, and otherwise for a key written with a backslash at
// most.
func (h Hidden) Apply(e *event.Event) {
	for left := uint32(h.whole); left != 0; left &= left - 1 {
		e.SetText(event.Field(bits.TrailingZeros32(left)), "")
	}
	for _, m := range h.inside {
		if m != nil {
			e.SetText(m.field, m.apply(e.Text(m.field)))
		}
	}
}
