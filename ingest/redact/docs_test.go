package redact

import (
	"os"
	"strings"
	"testing"
)

// TestDocs holds docs/redaction.md to the lists in the code.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/redaction.md")
	if err != nil {
		t.Fatal(err)
	}
	everything, scalarsOnly := DefaultKeys()
	for heading, names := range map[string][]string{
		"everything below is secret:":                              everything,
		"only a string or number beside them, or in an array, is:": scalarsOnly,
	} {
		_, list, found := strings.Cut(string(page), heading+"\n\n")
		list, _, ended := strings.Cut(list, ".\n")
		if want := "`" + strings.Join(names, "`, `") + "`"; !found || !ended || strings.ReplaceAll(list, "\n", " ") != want {
			t.Errorf("under %q stands\n%s\nwant\n%s", heading, list, want)
		}
	}
	for _, name := range PatternNames() {
		if !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("the table of patterns has no %s", name)
		}
	}
}
