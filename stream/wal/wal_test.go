package wal

import (
	"log/slog"
	"testing"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/streamtest"
)

var quiet = slog.New(slog.DiscardHandler)

func mustOpen(t testing.TB, fsys vfs.FS, dir string, opts Options) *Log {
	t.Helper()
	l, err := Open(fsys, dir, opts, quiet)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

// TestContract runs the suite over logs of one segment and of many, and with
// readers that find nothing in memory.
func TestContract(t *testing.T) {
	tests := map[string]Options{
		"defaults":       {},
		"small segments": {SegmentBytes: 200, IndexEvery: 100},
		"small segments, no cache, small commits": {SegmentBytes: 1000, TailCacheBytes: 1, MaxCommitBytes: 100},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			dir := ""
			streamtest.Run(t, streamtest.Harness{
				Open: func(t *testing.T) stream.Stream {
					dir = t.TempDir()
					return mustOpen(t, vfs.OS(), dir, opts)
				},
				Reopen: func(t *testing.T, s stream.Stream) stream.Stream {
					if err := s.Close(); err != nil {
						t.Fatalf("Close: %v", err)
					}
					l := mustOpen(t, vfs.OS(), dir, opts)
					t.Cleanup(func() { l.Close() })
					return l
				},
				Drop: func(t *testing.T, s stream.Stream) {
					l := s.(*Log)
					l.opts.SegmentBytes, l.opts.RetainBytes = 1, 1
					if err := l.Append(t.Context(), newEventGen(1).batch(1)); err != nil {
						t.Fatal(err)
					}
					l.Retain()
				},
			})
		})
	}
}
