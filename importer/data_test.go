package importer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/importer/importertest"
)

// sharedData holds real audit logs; it lies beside the checkout and is no part of it.
const sharedData = "../../shared/data"

// sharedFiles returns the real audit logs there are.
func sharedFiles(t testing.TB) []string {
	files := importertest.Logs(t, sharedData)
	return slices.DeleteFunc(files, func(f string) bool { return strings.Contains(f, "webhooks") })
}

// importAll returns the items of data, with their Raw cloned.
func importAll(t testing.TB, format, name string, data []byte) []Item {
	t.Helper()
	im, err := New(format)
	if err != nil {
		t.Fatal(err)
	}
	var items []Item
	for item := range im.Read(name, bytes.NewReader(data)) {
		item.Raw = bytes.Clone(item.Raw)
		items = append(items, item)
	}
	return items
}

// expectedRefusals counts the lines of the real files that are no audit events:
// results of queries over a log, and rule-test inputs of a single field.
var expectedRefusals = map[string]int{
	"gcp_audit.ndjson.gz": 3,
	"github.ndjson.gz":    1,
	"okta.ndjson.gz":      26,
}

// normalise returns JSON in a form that is the same for the same content.
func normalise(t testing.TB, src []byte) string {
	var v any
	if err := json.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestRealLogs imports every real log and accounts for every line of it.
func TestRealLogs(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-34s %6s %6s %8s %8s  %s\n", "file", "lines", "events", "distinct", "refused", "formats")
	for _, file := range sharedFiles(t) {
		data := importertest.Inflate(t, file)
		lines := bytes.Count(data, []byte{'\n'})
		items := importAll(t, Auto, file, data)
		var dec event.Decoder
		events, refused := 0, map[string]int{}
		formats, ids := map[string]int{}, map[event.ID]bool{}
		for i, item := range items {
			if item.Line != i+1 {
				t.Fatalf("%s: record %d is said to be on line %d", file, i+1, item.Line)
			}
			if (item.Err == nil) == (item.Event == nil) {
				t.Fatalf("%s:%d: want an event or an error", file, item.Line)
			}
			if item.Err != nil {
				refused[Reason(item.Err)]++
				if testing.Verbose() {
					t.Logf("%s:%d: %v: %.150s", filepath.Base(file), item.Line, item.Err, item.Raw)
				}
				continue
			}
			events++
			formats[item.Format]++
			var ev event.Event
			if err := dec.Decode(item.Event, &ev); err != nil {
				t.Errorf("%s:%d: %v", file, item.Line, err)
			}
			if ev.ID.Version() != 8 {
				t.Errorf("%s:%d: event_id %v is no UUIDv8", file, item.Line, ev.ID)
			}
			ids[ev.ID] = true
		}
		if len(items) != lines {
			t.Errorf("%s: %d lines, %d accounted for", file, lines, len(items))
		}
		distinct := map[string]bool{}
		for _, item := range items {
			if item.Err == nil {
				distinct[normalise(t, item.Raw)] = true
			}
		}
		if want := expectedRefusals[filepath.Base(file)]; lines-events != want {
			t.Errorf("%s: %d lines refused, want %d: %v", file, lines-events, want, refused)
		}
		if len(ids) != len(distinct) {
			t.Errorf("%s: %d different records have %d ids", file, len(distinct), len(ids))
		}
		var fs []string
		for _, f := range slices.Sorted(maps.Keys(formats)) {
			fs = append(fs, fmt.Sprintf("%s %d", f, formats[f]))
		}
		fmt.Fprintf(&table, "%-34s %6d %6d %8d %8d  %s\n", filepath.Base(file), lines, events, len(ids), lines-events, strings.Join(fs, ", "))
	}
	t.Log(table.String())
}
