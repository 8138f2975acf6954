package filter

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
)

// FuzzParse checks that a filter of any bytes either is refused with a column
// inside it or gives a tree that holds to what checkTree checks.
func FuzzParse(f *testing.F) {
	for _, tt := range matchTests {
		f.Add(tt.query)
	}
	for _, q := range []string{
		`user_id:(a or -b* (c d))`, `timestamp:(2026 or >now-1d)`, `metadata."a\"b".c:>=1e9`, `"\ud83d\ude00"`,
		`offset:("-5" or 3)`, `x*y`, `labels.a:b:c`, `a..b`, `user_id:"..".."."`, "(((", "- -", `\`,
	} {
		f.Add(q)
	}
	events := testEvents()
	f.Fuzz(func(t *testing.T, query string) {
		x, err := ParseAt(query, testNow)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) || se.Reason == "" || se.Column < 1 || se.Column > utf8.RuneCountInString(query)+1 {
				t.Fatalf("%q: %#v", query, err)
			}
			return
		}
		checkTree(t, query, x, events)
	})
}

// FuzzMatchJSON checks that matching over a field that holds anything at all, and
// taking out of it what is hidden, does not panic: a store may hand over a damaged text.
func FuzzMatchJSON(f *testing.F) {
	for _, e := range testEvents() {
		for _, doc := range []string{e.Labels, e.Metadata, e.Changes} {
			f.Add(`metadata.order.total:>=100`, doc)
		}
	}
	for _, doc := range []string{`{`, `{"a"`, `{"a":`, `[`, `[[`, `{"a":"\`, `{"a":"x\u"}`, `"`, `{"":[,]}`, "\x00"} {
		f.Add(`metadata.a:*`, doc)
	}
	hidden := mustHide(f, `metadata.a.b metadata."" labels.env changes.new.a`)
	f.Add("b", `{"a":{"b`)
	f.Fuzz(func(t *testing.T, query, doc string) {
		x, err := ParseAt(query, testNow)
		if err != nil {
			return
		}
		hidden.Apply(&event.Event{Labels: doc, Metadata: doc, Changes: doc})
		for _, leaf := range leaves(x, nil) {
			switch leaf := leaf.(type) {
			case *Term:
				leaf.MatchText(doc)
				leaf.Selector.Value(doc)
			case *Text:
				leaf.Match(event.UserID, doc)
				leaf.Match(event.Metadata, doc)
				restricted, err := hidden.Restrict(leaf)
				if err != nil {
					t.Fatal(err)
				}
				restricted.(*Text).Match(event.Metadata, doc)
			}
		}
	})
}
