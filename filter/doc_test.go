package filter

import (
	"os"
	"strings"
	"testing"
)

// TestDocExamples parses every example of the language's documentation.
func TestDocExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/filter-language.md")
	if err != nil {
		t.Fatal(err)
	}
	events := testEvents()
	examples := map[string]int{}
	kind := ""
	for n, line := range strings.Split(string(doc), "\n") {
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			kind = fence
			continue
		}
		query, rest, _ := strings.Cut(line, "   ")
		if kind == "" || query == "" {
			continue
		}
		examples[kind]++
		if kind == "filter-hidden" {
			if h, err := ParseHidden([]string{query}); err != nil || h.Names()[0] != query {
				t.Errorf("line %d: hide %s: %v, %v", n+1, query, h.Names(), err)
			}
			continue
		}
		x, err := ParseAt(query, testNow)
		switch kind {
		case "filter":
			if err != nil {
				t.Errorf("line %d: %s: %v", n+1, query, err)
				continue
			}
			checkTree(t, query, x, events)
		case "filter-error":
			if err == nil {
				t.Errorf("line %d: %s: is accepted as %s", n+1, query, x)
			}
		case "text": // the error that is shown, as far as it is
			want := strings.TrimSuffix(strings.TrimSpace(rest), "…")
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("line %d: %s: %v, but the page says %s", n+1, query, err, want)
			}
		}
	}
	if examples["filter"] < 80 || examples["filter-error"] < 10 || examples["text"] < 7 || examples["filter-hidden"] < 5 {
		t.Errorf("found only %v examples", examples)
	}
}
