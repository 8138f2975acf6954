package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/parquet/parquettest"
)

const readScript = "../../store/parquet/testdata/read.py"

// TestOtherToolsReadTheSame imports real audit logs and holds every row that
// pyarrow reads, from the store's segments and from a Parquet export, against
// what the API exports as NDJSON.
func TestOtherToolsReadTheSame(t *testing.T) {
	const shared = "../../../shared/data"
	logs, err := filepath.Glob(filepath.Join(shared, "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	// Several segments, and a merge of some.
	s, err := startChild(t.Context(), data, testWriter{t}, "--store-head-rows", "1024")
	if err != nil {
		t.Fatal(err)
	}
	if len(logs) == 0 {
		t.Logf("WARNING: %s is absent: the test goes on with three events of its own", shared)
		command(t, threeEvents, "send", "--server", s.url)
	} else if _, stderr, code := command(t, "", append([]string{"import", "--server", s.url, "--refused", os.DevNull}, logs...)...); code != exitOK && code != exitRefused {
		t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	dir := t.TempDir()
	ndjson, whole := filepath.Join(dir, "all.ndjson"), filepath.Join(dir, "all.parquet")
	for format, file := range map[string]string{"ndjson": ndjson, "parquet": whole} {
		if _, stderr, code := command(t, "", "export", "--server", s.url, "--format", format, "--to-file", file); code != exitOK {
			t.Fatalf("export: exit code %d\n%s", code, stderr)
		}
	}
	if err := s.stop(); err != nil { // which freezes the head
		t.Fatal(err)
	}
	want := exported(t, ndjson)
	t.Logf("%d events", len(want))
	compare(t, "the export", parquettest.ReadPyArrow(t, readScript, whole), want)

	segments, err := filepath.Glob(filepath.Join(data, storeDir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	var stored []event.Event
	for _, f := range segments {
		stored = append(stored, parquettest.ReadPyArrow(t, readScript, f)...)
	}
	compare(t, "the segments", stored, want)
}

// exported reads an NDJSON export.
func exported(t *testing.T, name string) map[event.ID]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	events := map[event.ID]string{}
	dec := event.Decoder{AllowSet: true}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var e event.Event
		if err := dec.Decode(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events[e.ID] = string(line)
	}
	return events
}

// compare holds events against an export, in the words of the export: the
// fields that Daybook sets included.
func compare(t *testing.T, what string, got []event.Event, want map[event.ID]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows; the API exports %d events", what, len(got), len(want))
	}
	wrong := 0
	for i := range got {
		text := string(event.AppendJSON(nil, &got[i], event.AllFields))
		if text != want[got[i].ID] {
			if wrong++; wrong <= 3 {
				t.Errorf("%s: pyarrow reads\n%s\nthe API exports\n%s", what, text, want[got[i].ID])
			}
		}
	}
	if wrong > 3 {
		t.Errorf("%s: %d rows differ", what, wrong)
	}
}
