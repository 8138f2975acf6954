package importer

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

const docsFile = "../docs/import.md"

// generated is the line of docsFile after which the mappings stand.
const generated = "<!-- The sections below are written by go test ./importer -run Docs -update from the mappings in the code. -->\n"

// TestDocs compares the tables of docs/import.md with the mappings.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	written, got, found := strings.Cut(string(page), generated)
	if !found {
		t.Fatalf("%s has no line %s", docsFile, generated)
	}
	var want strings.Builder
	for _, m := range mappings {
		describe(&want, m)
	}
	if *update {
		if err := os.WriteFile(docsFile, []byte(written+generated+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want.String() {
		t.Errorf("%s does not say what the mappings do; run go test ./importer -run Docs -update", docsFile)
	}
	for _, reason := range []string{ReasonRead, ReasonJSON, ReasonUnrecognised, ReasonInvalid} {
		if !strings.Contains(written, "| "+reason+" |") {
			t.Errorf("%s does not explain the reason %q", docsFile, reason)
		}
	}
}

// describe writes the section of one mapping.
func describe(w *strings.Builder, m *mapping) {
	fmt.Fprintf(w, "\n## %s: `%s`\n\nRecognised by %s.\n", m.title, m.name, m.detect.doc)
	if m.fold {
		w.WriteString("Names match in any case: some exports change it.\n")
	}
	if len(m.envelopes) > 0 {
		fmt.Fprintf(w, "Also as a string in `%s` of another object.\n", strings.Join(m.envelopes, "`, `"))
	}
	fmt.Fprintf(w, "The source's own id is `%s`.\n\n| field | from |\n|---|---|\n", strings.Join(m.id, "`, `"))
	for f, r := range m.fields {
		if r.get != nil {
			fmt.Fprintf(w, "| `%s` | %s |\n", event.Field(f), r.doc)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.labels)) {
		fmt.Fprintf(w, "| `labels.%s` | %s |\n", name, m.labels[name].doc)
	}
}

// TestMappings checks what every table must have: the rules of required fields
// give something for any record, and no label is the one that marks a missing time.
func TestMappings(t *testing.T) {
	var empty tree
	empty.load([]byte(`{}`))
	for _, m := range mappings {
		for f := range event.NumFields {
			if f.Info().Required && m.fields[f].get(&empty) == "" && m.detect.match(&empty) {
				t.Errorf("%s: %s may be empty", m.name, f)
			}
			if f.Info().Set && m.fields[f].get != nil || f.Info().Kind == event.KindID && m.fields[f].get != nil {
				t.Errorf("%s: %s is not a mapping's to set", m.name, f)
			}
		}
		if _, ok := m.labels["timestamp"]; ok {
			t.Errorf("%s: the label timestamp says that a time was assigned", m.name)
		}
		if len(m.labels) > 31 {
			t.Errorf("%s: %d labels and timestamp are more than 32", m.name, len(m.labels))
		}
	}
}
