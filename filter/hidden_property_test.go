package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// plainly returns doc without the values whose path, all keys split at their
// dots, begins with one of hidden, and without what holds nothing then.
func plainly(tb testing.TB, f event.Field, doc string, hidden []string) string {
	tb.Helper()
	if doc == "" {
		return ""
	}
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%s: %v", doc, err)
	}
	v, gone := withoutHidden(v, "", func(path string) bool {
		for _, h := range hidden {
			if path == "."+h || f != event.Labels && strings.HasPrefix(path, "."+h+".") {
				return true
			}
		}
		return false
	})
	if gone {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		tb.Fatal(err)
	}
	out, err := event.AppendCanonicalJSON(nil, b.Bytes())
	if err != nil {
		tb.Fatalf("%s: %v", b.Bytes(), err)
	}
	return string(out)
}

func withoutHidden(v any, path string, hidden func(path string) bool) (left any, gone bool) {
	switch v := v.(type) {
	case map[string]any:
		n := len(v)
		for key, x := range v {
			x, gone := withoutHidden(x, path+"."+key, hidden)
			if v[key] = x; gone || hidden(path+"."+key) {
				delete(v, key)
			}
		}
		return v, n > 0 && len(v) == 0
	case []any:
		var kept []any
		for _, x := range v {
			if x, gone := withoutHidden(x, path, hidden); !gone {
				kept = append(kept, x)
			}
		}
		if len(v) > 0 {
			return kept, len(kept) == 0
		}
	}
	return v, false
}

// checkApply holds Apply to what is written above, and checks that no spelling
// of a hidden selector finds anything afterwards.
func checkApply(tb testing.TB, h Hidden, e *event.Event) {
	tb.Helper()
	var paths [jsonFields][]string
	var selectors []Selector
	for _, name := range h.Names() {
		sel, err := ParseSelector(name)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		selectors = append(selectors, sel)
		if i := int(sel.Field) - int(event.Changes); i >= 0 && sel.Path != "" {
			path, _ := sel.joined()
			paths[i] = append(paths[i], path)
		}
	}
	before, after := e.Clone(), e.Clone()
	h.Apply(&after)
	for f := event.UserID; f.IsText(); f++ {
		want := before.Text(f)
		if h.Fields().Has(f) {
			want = ""
		} else if f >= event.Changes {
			want = plainly(tb, f, want, paths[f-event.Changes])
		}
		got := after.Text(f)
		if got != want {
			tb.Errorf("%v hidden in %s %s\n leaves %s\n   want %s", h.Names(), f, before.Text(f), got, want)
		}
		if f < event.Changes || got == "" {
			continue
		}
		if again, err := event.AppendCanonicalJSON(nil, []byte(got)); err != nil || string(again) != got {
			tb.Errorf("%v hidden in %s %s\n leaves %s, which is not canonical: %s, %v", h.Names(), f, before.Text(f), got, again, err)
		}
	}
	for _, sel := range selectors {
		path, _ := sel.joined()
		steps := []step{{path, sel.Field == event.Labels}} // finds what any spelling finds
		if sel.Path == "" {
			steps = nil
		}
		if got := after.Text(sel.Field); got != "" && sel.Field >= event.Changes {
			walk(got, steps, func(raw string) bool {
				tb.Errorf("%s hidden in %s: %s finds %s", sel, before.Text(sel.Field), sel, raw)
				return false
			})
		}
		if v := sel.Value(after.Text(sel.Field)); v != "" {
			tb.Errorf("%s hidden in %s: its value is %s", sel, before.Text(sel.Field), v)
		}
	}
	again := after
	if h.Apply(&again); again != after {
		tb.Errorf("%v: applied twice, it takes out more: %s", h.Names(), again.Metadata)
	}
}

// checkRestrict checks what Hidden promises of a filter and an event. It returns
// false if x is refused.
func checkRestrict(tb testing.TB, h Hidden, x Expr, e *event.Event) bool {
	tb.Helper()
	restricted, err := h.Restrict(x)
	if err != nil {
		covered := false
		for _, leaf := range leaves(x, nil) {
			term, ok := leaf.(*Term)
			covered = covered || ok && h.Covers(term.Selector)
		}
		if !covered {
			tb.Errorf("%s with %v hidden: refused: %v", x, h.Names(), err)
		}
		return false
	}
	shown := e.Clone()
	h.Apply(&shown)
	if got, want := Match(restricted, e), Match(x, &shown); got != want {
		tb.Errorf("%s with %v hidden: %v, but over what is shown %v\n%s\n%s\n%s", x, h.Names(), got, want, e.Metadata, e.Labels, e.Changes)
	}
	if Match(restricted, e) != Match(restricted, onlyFields(e, Fields(restricted))) {
		tb.Errorf("%s with %v hidden: a field besides %b counts", x, h.Names(), Fields(restricted))
	}
	for _, leaf := range leaves(restricted, nil) {
		if term, ok := leaf.(*Term); ok && term.Selector.Value(e.Text(term.Selector.Field)) != term.Selector.Value(shown.Text(term.Selector.Field)) {
			tb.Errorf("%v hidden: the value of %s is not that of what is shown", h.Names(), term.Selector)
		}
		text, ok := leaf.(*Text)
		for f := event.UserID; ok && f.IsText(); f++ {
			field, piece := e.Text(f), newFolded(text.Piece(f))
			if text.Match(f, field) && (!text.MayMatch(f, field+field) || !piece.in(field)) {
				tb.Errorf("%s with %v hidden: %s %s matches and is ruled out", text, h.Names(), f, field)
			}
		}
	}
	if !equalTrees(Join(restricted, nil, And{}), restricted) {
		tb.Errorf("%s with %v hidden: the tree is not simple", x, h.Names())
	}
	return true
}

// randomDoc makes a JSON value in which few keys come in all their spellings.
func randomDoc(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(5) == 0 {
		return []string{`"Rose"`, `"a\"rose\\"`, `"lily"`, `""`, `1`, `null`, `{}`, `[]`, `true`}[r.IntN(9)]
	}
	var parts []string
	n := r.IntN(4)
	if r.IntN(4) == 0 {
		for range n {
			parts = append(parts, randomDoc(r, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	for _, key := range r.Perm(len(someKeys))[:n] {
		k, err := json.Marshal(someKeys[key])
		if err != nil {
			panic(err)
		}
		parts = append(parts, string(k)+":"+randomDoc(r, depth-1))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

var someKeys = []string{"a", "b", "c", "a.b", "b.c", "a.b.c", "a.", ".a", "", ".", "ab", "a b", "b\"", "\n"}

// randomHidden returns selectors, some of which hide something in most documents.
func randomHidden(r *rand.Rand) []string {
	quoted := func() string { return string(appendQuoted(nil, someKeys[r.IntN(len(someKeys))])) }
	var names []string
	for range 1 + r.IntN(3) {
		name := []string{"user_id", "reason", "metadata", "labels", "changes", "changes.old", "changes.path",
			"metadata.a", "metadata.a.b", "metadata.b.c", "metadata.a.b.c", "metadata." + quoted(), "metadata." + quoted() + "." + quoted(),
			"changes.new.a", "changes.new." + quoted(), "changes.old." + quoted() + "." + quoted(), "labels.a", "labels.a.b"}[r.IntN(18)]
		names = append(names, name)
	}
	return names
}

func randomQuery(r *rand.Rand, depth int) string {
	if depth > 0 {
		a, b := randomQuery(r, depth-1), randomQuery(r, depth-1)
		return []string{"(" + a + " or " + b + ")", a + " " + b, "-(" + a + ")", a}[r.IntN(4)]
	}
	return []string{"rose", "lily", `"a\"rose"`, `"\\"`, "e", "user_id:rose", "reason:*", "metadata.a:Rose", "metadata.b:*", "metadata.a.b:lily",
		"metadata.c:*", `metadata."a.b":*`, "metadata.b.c:1", "metadata.ab:Rose", "labels.a:*", "labels.b:rose", "changes.new.b:*", "changes.path:a",
		"-metadata:*", "changes:*"}[r.IntN(20)]
}

func canonical(tb testing.TB, doc string) string {
	tb.Helper()
	out, err := event.AppendCanonicalJSON(nil, []byte(doc))
	if err != nil {
		tb.Fatalf("%s: %v", doc, err)
	}
	return string(out)
}

func TestHiddenRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	accepted := 0
	for range 6_000 {
		h, err := ParseHidden(randomHidden(r))
		if err != nil {
			continue // one of the keys cannot be
		}
		e := event.Event{UserID: "rose", Reason: randomText(r, "lilyroseROSE", 12), TenantID: "default",
			Metadata: canonical(t, randomDoc(r, 4)),
			Labels:   canonical(t, fmt.Sprintf(`{"a":"Rose","a.b":%q,"b":"rose"}`, randomText(r, "roselily", 8))),
			Changes:  canonical(t, fmt.Sprintf(`[{"path":"a","old":%s,"new":%s},{"path":"rose","new":%[2]s}]`, randomDoc(r, 2), randomDoc(r, 3))),
		}
		checkApply(t, h, &e)
		if checkRestrict(t, h, mustParse(t, randomQuery(r, 2)), &e) {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	if accepted < 600 {
		t.Errorf("only %d filters were accepted", accepted)
	}
}

// FuzzHiddenApply checks Apply over any documents and any names.
func FuzzHiddenApply(f *testing.F) {
	for _, e := range testEvents() {
		for _, doc := range []string{e.Labels, e.Metadata, e.Changes} {
			f.Add("metadata.order.items.sku labels.env changes.new", doc)
		}
	}
	r := rand.New(rand.NewPCG(11, 12))
	for range 50 {
		f.Add(strings.Join(randomHidden(r), " "), randomDoc(r, 4))
	}
	f.Fuzz(func(t *testing.T, names, doc string) {
		h, err := ParseHidden(splitNames(names))
		if err != nil {
			return
		}
		if again, err := ParseHidden(h.Names()); err != nil || strings.Join(again.Names(), " ") != strings.Join(h.Names(), " ") {
			t.Fatalf("%s: names %q give %q, %v", names, h.Names(), again.Names(), err)
		}
		doc, ok := object(doc)
		if !ok {
			return
		}
		checkApply(t, h, &event.Event{UserID: "u", Labels: doc, Metadata: doc, Changes: "[" + doc + "]"})
	})
}

// FuzzRestrict checks what Hidden promises, over any filters, names and documents.
func FuzzRestrict(f *testing.F) {
	for _, e := range testEvents() {
		for _, tt := range matchTests {
			f.Add(tt.query, "metadata.order labels.env changes.new.a user_id", e.Metadata)
		}
	}
	r := rand.New(rand.NewPCG(13, 14))
	for range 100 {
		f.Add(randomQuery(r, 2), strings.Join(randomHidden(r), " "), randomDoc(r, 4))
	}
	f.Fuzz(func(t *testing.T, query, names, doc string) {
		h, err := ParseHidden(splitNames(names))
		if err != nil {
			return
		}
		x, err := ParseAt(query, testNow)
		if err != nil {
			return
		}
		doc, ok := object(doc)
		if !ok {
			return
		}
		checkRestrict(t, h, x, &event.Event{UserID: "Rose", Reason: doc, Labels: doc, Metadata: doc, Changes: "[" + doc + "]"})
	})
}

// object returns the canonical form of an object that events may hold.
func object(doc string) (string, bool) {
	out, err := event.AppendCanonicalJSON(nil, []byte(doc))
	if err != nil || len(out) <= 2 || out[0] != '{' {
		return "", false
	}
	return string(out), true
}
