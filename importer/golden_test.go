package importer

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

var update = flag.Bool("update", false, "rewrite the golden files and the tables of docs/import.md")

// TestGolden imports testdata/<format>.ndjson and compares the events, without
// the metadata, with testdata/<format>.golden.json. Every format has a fixture.
// It checks that auto and the format's own name give the same events, and that
// metadata is the original.
func TestGolden(t *testing.T) {
	for _, format := range Formats()[1:] {
		t.Run(format, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", format+".ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			items := importAll(t, format, format, data)
			byAuto := importAll(t, Auto, format, data)
			if lines := bytes.Count(data, []byte{'\n'}); len(items) != lines || len(byAuto) != lines {
				t.Fatalf("%d lines gave %d items, %d by auto", lines, len(items), len(byAuto))
			}
			var got bytes.Buffer
			for i, item := range items {
				if item.Err != nil {
					t.Fatalf("line %d: %v", item.Line, item.Err)
				}
				if !bytes.Equal(item.Event, byAuto[i].Event) {
					t.Errorf("line %d: auto took it for %s: %v", item.Line, byAuto[i].Format, byAuto[i].Err)
				}
				var fields map[string]json.RawMessage
				if err := json.Unmarshal(item.Event, &fields); err != nil {
					t.Fatal(err)
				}
				if format != native {
					checkMetadata(t, item, fields["metadata"])
					delete(fields, "metadata")
				}
				shown, err := json.MarshalIndent(fields, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got.Write(append(shown, '\n'))
			}
			golden := filepath.Join("testdata", format+".golden.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs from what the import gives; if that is meant, run go test -update:\n%s", golden, got.Bytes())
			}
		})
	}
}

// checkMetadata checks that metadata is the canonical form of the original, or
// for what came in an envelope or as text, that it holds all of it.
func checkMetadata(t *testing.T, item Item, metadata []byte) {
	t.Helper()
	want, err := event.AppendCanonicalJSON(nil, item.Raw)
	if err == nil && bytes.Equal(metadata, want) {
		return
	}
	var held struct {
		Raw      string         `json:"raw"`
		Envelope map[string]any `json:"_envelope"`
	}
	if err := json.Unmarshal(metadata, &held); err != nil {
		t.Fatal(err)
	}
	if held.Raw != string(item.Raw) && held.Envelope == nil {
		t.Errorf("line %d: metadata is not the original:\n%s\n%s", item.Line, metadata, item.Raw)
	}
	if len(held.Envelope) > 0 && strings.Contains(string(item.Raw), "kube-audit") && held.Envelope["category"] != "kube-audit" {
		t.Errorf("line %d: the envelope lost its fields: %v", item.Line, held.Envelope)
	}
}
