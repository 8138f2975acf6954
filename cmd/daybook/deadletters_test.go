package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// TestDeadLetterCommands has another program write records into the stream that
// are no events, and deals with them as an operator would.
func TestDeadLetterCommands(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := vfs.OS().MkdirAll(data); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(vfs.OS(), filepath.Join(data, streamDir), wal.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := new(stream.Batch)
	for _, record := range []string{"no JSON", `{"user_id":"alice","action":"document.read","resource":"document/1"}`, `{"user_id":"bob","action":"a"}`, "\xff", "neither"} {
		b.Add(stream.Key{}, []byte(record))
	}
	if err := log.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, data)
	corrected := `{"user_id":"bob","action":"document.delete","resource":"document/2"}`
	for _, c := range []struct {
		args  string
		stdin string
		code  int
		out   string // must stand in standard output
		err   string // must stand in standard error
	}{
		{args: "list -o table", out: "0-0          open "},
		{args: "list -n 1 -o ndjson", out: `"record":"no JSON"`},
		{args: "show 0-2", out: `"field": "resource"`},
		{args: "show 0-3 --record", out: "\xff"},
		{args: "show 0-1", code: exitNotFound, err: "no record at this position"},
		{args: "show first", code: exitUsage, err: "partition and offset"},
		{args: "replay 0-2", code: exitRefused, err: "resource"},
		{args: "replay 0-0 0-2 --event x", code: exitUsage, err: "name the one dead letter"},
		{args: "replay 0-2 --event -", code: exitUsage, err: "is empty"},
		{args: "replay 0-2 --event -", stdin: corrected, err: "1 replayed, 0 refused"},
		{args: "replay 0-2 --event -", stdin: corrected, err: "1 replayed, 0 refused"}, // again: the same event
		{args: "discard 0-0", err: "1 discarded, 0 refused"},
		{args: "replay 0-0", code: exitRefused, err: "was discarded at"},
		{args: "replay", code: exitUsage, err: "--all"},
		{args: "replay --all", code: exitRefused, err: "0 replayed, 2 refused"},
		{args: "discard --all --class syntax", err: "2 discarded, 0 refused"},
		{args: "list -o json", out: "[\n]"},
		{args: "list --state replayed -o ndjson", out: `"id":"0-2","state":"replayed"`},
	} {
		args := append([]string{"dead-letters"}, strings.Fields(c.args)...)
		stdout, stderr, code := command(t, c.stdin, append(args, "--server", s.url)...)
		if code != c.code || !strings.Contains(stdout, c.out) || !strings.Contains(stderr, c.err) {
			t.Errorf("%s: exit code %d, want %d\nstandard output: %s\nstandard error: %s", c.args, code, c.code, stdout, stderr)
		}
	}
	if out, _, _ := command(t, "", "count", "--server", s.url, "-o", "ndjson", "user_id:(alice or bob)"); !strings.Contains(out, `"total":2`) {
		t.Errorf("of the record that is an event and the one that was replayed there are %s", out)
	}
}
