package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// script fails the operations of the kinds named, in that order, with the errors
// beside them; operations of other kinds between them succeed.
func script(steps ...any) func(vfs.Op) error {
	return func(op vfs.Op) error {
		if len(steps) > 0 && op.Kind == steps[0] {
			err, _ := steps[1].(error) // nil: let it pass
			steps = steps[2:]
			return err
		}
		return nil
	}
}

// TestFailures says what an append returns when the file system fails it, and
// whether the log goes on.
func TestFailures(t *testing.T) {
	tests := []struct {
		name  string
		steps []any
		want  error
	}{
		{"the write fails", []any{"Write", syscall.EIO}, stream.ErrFailed},
		{"the write finds no room", []any{"Write", syscall.ENOSPC}, stream.ErrFull},
		{"the write exceeds a quota", []any{"Write", syscall.EDQUOT}, stream.ErrFull},
		{"the write finds no room and cannot be cut off", []any{"Write", syscall.ENOSPC, "Truncate", syscall.EIO}, stream.ErrFailed},
		{"the write finds no room and the cut is not synced", []any{"Write", syscall.ENOSPC, "Sync", syscall.EIO}, stream.ErrFailed},
		{"the fsync fails", []any{"Sync", syscall.EIO}, stream.ErrFailed},
		{"the fsync finds no room", []any{"Sync", syscall.ENOSPC}, stream.ErrFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := mustOpen(t, mem, crashDir, Options{})
			gen := newEventGen(1)
			if err := l.Append(t.Context(), gen.batch(3)); err != nil {
				t.Fatal(err)
			}
			mem.SetHook(script(test.steps...))
			err := l.Append(t.Context(), gen.batch(3))
			if !errors.Is(err, test.want) || !errors.Is(err, test.steps[1].(error)) {
				t.Fatalf("Append = %v; want %v and the cause", err, test.want)
			}
			if end, _ := l.End(t.Context()); end.At(0) != 3 {
				t.Fatalf("the end is %v after a failed append", end)
			}
			b := gen.batch(2)
			err = l.Append(t.Context(), b)
			if test.want == stream.ErrFull {
				if err != nil || b.Base != 3 || l.Failed() != nil {
					t.Fatalf("append with room again: at %d, %v; the log has failed: %v", b.Base, err, l.Failed())
				}
			} else if !errors.Is(err, stream.ErrFailed) || !errors.Is(l.Failed(), stream.ErrFailed) {
				t.Fatalf("append to a failed log: %v; Failed: %v", err, l.Failed())
			}
			if got, err := readAll(t, l); err != nil || len(got) < 3 {
				t.Fatalf("%d records can be read: %v", len(got), err)
			}
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		})
	}
}

// TestFailedSyncThenRestart: the fsync fails, and so does the cut. A process that
// opens the log on the same kernel reads bytes that no later fsync of its own
// would bring to the disk; it must not build on them as they are.
func TestFailedSyncThenRestart(t *testing.T) {
	eio := syscall.EIO
	tests := []struct {
		name  string
		opts  Options
		steps []any
	}{
		{"of a group", Options{}, []any{"Sync", eio, "Truncate", eio}},
		{"of the mark that ends a segment", Options{SegmentBytes: 1}, []any{"Sync", eio, "Truncate", eio}},
		{"of a segment's header", Options{SegmentBytes: 1}, []any{"Create", nil, "Sync", eio}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := mustOpen(t, mem, crashDir, test.opts)
			gen := newEventGen(1)
			if err := l.Append(t.Context(), gen.batch(1)); err != nil {
				t.Fatal(err)
			}
			mem.SetHook(script(test.steps...))
			if err := appendFrames(l, gen, 3); !errors.Is(err, stream.ErrFailed) {
				t.Fatalf("Append = %v; want ErrFailed", err)
			}
			mem.SetHook(nil)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}

			l = mustOpen(t, mem, crashDir, test.opts)
			read, err := readAll(t, l)
			if err != nil {
				t.Fatal(err)
			}
			b := gen.batch(1)
			if err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			after, err := Open(mem.Crash(rand.New(rand.NewPCG(1, 1))), crashDir, test.opts, quiet)
			if err != nil {
				t.Fatalf("Open after the power cut: %v", err)
			}
			defer after.Close()
			got, err := readAll(t, after)
			if want := append(read, string(b.Value(0))); err != nil || !slices.Equal(got, want) {
				t.Errorf("%d records are left, %v; %d had been read or acknowledged", len(got), err, len(want))
			}
		})
	}
}

// appendFrames appends a group of several frames of two records.
func appendFrames(l *Log, gen *eventGen, frames int) error {
	var g *group
	for range frames {
		it := item{batch: gen.batch(2), encoded: new([]byte)}
		*it.encoded, it.payload = appendPayload(nil, it.batch.Data, it.batch.Ends)
		g, _, _ = l.join(it)
	}
	l.lead(g)
	return g.err
}

// TestNoRoomForSegment: a segment that finds no room leaves nothing behind.
func TestNoRoomForSegment(t *testing.T) {
	short := &vfs.ShortWrite{N: 10, Err: syscall.ENOSPC}
	for name, steps := range map[string][]any{
		"for the mark":                 {"Write", short},
		"for the file":                 {"Create", syscall.ENOSPC},
		"for the header":               {"Write", nil, "Write", short},
		"no descriptor for the file":   {"Create", syscall.EMFILE},
		"no descriptor for the folder": {"Create", nil, "SyncDir", syscall.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := mustOpen(t, mem, crashDir, Options{SegmentBytes: 1})
			gen := newEventGen(1)
			if err := l.Append(t.Context(), gen.batch(1)); err != nil {
				t.Fatal(err)
			}
			mem.SetHook(script(steps...))
			if err := l.Append(t.Context(), gen.batch(1)); !errors.Is(err, stream.ErrFull) {
				t.Fatalf("Append = %v; want ErrFull", err)
			}
			mem.SetHook(nil)
			for want := int64(1); want < 4; want++ {
				b := gen.batch(1)
				if err := l.Append(t.Context(), b); err != nil || b.Base != want {
					t.Fatalf("append with room again: at %d, %v", b.Base, err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if report, err := Check(t.Context(), mem, crashDir, CheckOptions{}); err != nil || len(report.Findings) > 0 || report.Records != 4 {
				t.Fatalf("Check: %+v, %v", report, err)
			}
		})
	}
}

// TestRemovedSegmentStaysAway: a segment that found no room is not there after a
// crash either, when the one before it has gone on because the clock went back.
func TestRemovedSegmentStaysAway(t *testing.T) {
	noRoom, noFiles := []any{"Create", nil, "Write", syscall.ENOSPC}, []any{"Create", nil, "SyncDir", syscall.EMFILE}
	for seed := range uint64(20) {
		mem := vfs.NewMem()
		now := time.Unix(0, 1)
		opts := Options{RetainAge: time.Hour, Now: func() time.Time { return now }}
		l := mustOpen(t, mem, crashDir, opts)
		gen := newEventGen(1)
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Hour)
		mem.SetHook(script([][]any{noRoom, noFiles}[seed%2]...))
		if err := l.Append(t.Context(), gen.batch(1)); !errors.Is(err, stream.ErrFull) {
			t.Fatalf("Append = %v; want ErrFull", err)
		}
		mem.SetHook(nil)
		now = now.Add(-2 * time.Hour)
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
		after, err := Open(mem.Crash(rand.New(rand.NewPCG(seed, 1))), crashDir, opts, quiet)
		if err != nil {
			t.Fatalf("Open after the power cut: %v", err)
		}
		if got, err := readAll(t, after); err != nil || len(got) != 2 {
			t.Fatalf("%d records are left, %v", len(got), err)
		}
	}
}

// TestCloseWithoutRoom: what is durable needs no room for the mark.
func TestCloseWithoutRoom(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{})
	if err := l.Append(t.Context(), newEventGen(1).batch(1)); err != nil {
		t.Fatal(err)
	}
	mem.SetHook(script("Write", syscall.ENOSPC))
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if got, err := readAll(t, mustOpen(t, mem, crashDir, Options{})); err != nil || len(got) != 1 {
		t.Fatalf("%d records after reopening, %v", len(got), err)
	}
}

// TestOpenRefusals: Open says what is wrong with the folder.
func TestOpenRefusals(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		l := mustOpen(t, vfs.OS(), dir, Options{})
		_, err := Open(vfs.OS(), dir, Options{}, quiet)
		if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), dir) {
			t.Errorf("a second Open: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, vfs.OS(), dir, Options{}).Close()
	})
	t.Run("read-only", func(t *testing.T) {
		for _, kind := range []string{"Lock", "OpenAppend"} {
			mem := vfs.NewMem()
			mustOpen(t, mem, crashDir, Options{}).Close()
			mem.SetHook(script(kind, fs.ErrPermission))
			if _, err := Open(mem, crashDir, Options{}, quiet); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "cannot be written") {
				t.Errorf("%s not permitted: %v", kind, err)
			}
			mem.SetHook(nil)
			mustOpen(t, mem, crashDir, Options{}).Close() // the lock was released
		}
	})
	t.Run("options", func(t *testing.T) {
		for _, opts := range []Options{{SegmentBytes: -1}, {SegmentBytes: 2 << 30}, {MaxBatchBytes: 512 << 20}, {RetainBytes: -1}} {
			if _, err := Open(vfs.NewMem(), crashDir, opts, quiet); err == nil {
				t.Errorf("options %+v were taken", opts)
			}
		}
	})
}

// TestTail says what Open makes of the end of a log that was not closed.
func TestTail(t *testing.T) {
	// Three groups of one, two and one frames; the last group begins at last,
	// its two frames at last and second.
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{Now: clockAt(1)})
	gen := newEventGen(1)
	appendGroup := func(frames int) {
		if err := appendFrames(l, gen, frames); err != nil {
			t.Fatal(err)
		}
	}
	appendGroup(1)
	first := int(l.head.size)
	appendGroup(1)
	last := int(l.head.size)
	appendGroup(2)
	files := dump(t, mem, crashDir)
	name := lastOf(files)
	whole := files[name]
	h, err := parseFrameHeader(whole[last:], int64(last))
	if err != nil {
		t.Fatal(err)
	}
	second := int(h.next())

	edit := func(do func(p []byte) []byte) []byte { return do(bytes.Clone(whole)) }
	zero := func(from, to int) []byte {
		return edit(func(p []byte) []byte { clear(p[from:to]); return p })
	}
	tests := []struct {
		name    string
		content []byte
		records int  // left
		damage  int  // where Open refuses, or -1
		kept    bool // what is cut off, since it does not look unfinished
	}{
		{"whole", whole, 8, -1, false},
		{"cut in the last frame", whole[:len(whole)-1], 6, -1, false},
		{"cut in a frame header", whole[:second+20], 6, -1, false},
		{"cut behind a frame", whole[:second], 6, -1, false},
		{"cut in the group's first frame", whole[:last+70], 4, -1, false},
		{"zeros behind the end", append(bytes.Clone(whole), make([]byte, 5000)...), 8, -1, false},
		{"noise behind the end", append(bytes.Clone(whole), newEventGen(9).batch(20).Data...), 8, -1, true},
		{"the last group's second frame lost", zero(second, len(whole)), 6, -1, false},
		{"the last group's first frame lost, the second kept", zero(last, second), 4, -1, false},
		{"the last group's first payload torn", zero(last+100, second), 4, -1, false},
		{"the last group lost", zero(last, len(whole)), 4, -1, false},
		{"an earlier frame torn", zero(first+100, first+200), 0, first, false},
		{"an earlier frame lost", zero(first, last), 0, first, false},
		{"the first frame's header damaged", zero(segmentHeaderSize+4, segmentHeaderSize+5), 0, segmentHeaderSize, false},
		{"the segment header damaged", zero(3, 4), 0, 0, false},
		{"a frame of elsewhere", edit(func(p []byte) []byte { return append(p, p[last:]...) }), 8, -1, true},
		{"a bit of the last payload flipped", edit(func(p []byte) []byte { p[len(p)-20] ^= 8; return p }), 6, -1, true},
		{"a bit of the last header flipped", edit(func(p []byte) []byte { p[second+9] ^= 1; return p }), 6, -1, true},
		{"only half a segment header", whole[:20], 0, -1, false},
		{"nothing", nil, 0, -1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem := load(t, files, name, test.content)
			var logged bytes.Buffer
			l, err := Open(mem, crashDir, Options{}, slog.New(slog.NewTextHandler(&logged, nil)))
			if test.damage >= 0 {
				var damage *DamageError
				if !errors.As(err, &damage) || damage.Offset != int64(test.damage) || damage.File != name {
					t.Fatalf("Open: %v; want damage at %d", err, test.damage)
				}
				return
			}
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			got, err := readAll(t, l)
			if err != nil || len(got) != test.records {
				t.Errorf("%d records are left, %v; want %d", len(got), err, test.records)
			}
			cut := int64(len(test.content)) != l.head.size
			if cut != strings.Contains(logged.String(), "cut off") && len(test.content) > 0 {
				t.Errorf("%d of %d bytes are left; logged was %q", l.head.size, len(test.content), logged.String())
			}
			if err := l.Append(t.Context(), gen.batch(1)); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			report, err := Check(t.Context(), mem, crashDir, CheckOptions{})
			if err != nil || report.Records != int64(test.records)+1 {
				t.Errorf("Check after repair: %+v, %v", report, err)
			}
			if test.kept && (len(report.Findings) != 1 || report.Findings[0].Kind != Cut) || !test.kept && len(report.Findings) > 0 {
				t.Errorf("kept is to be %t, found was %+v", test.kept, report.Findings)
			}
		})
	}
}

// TestSealedSegments: in a segment that another follows nothing may be missing.
func TestSealedSegments(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{SegmentBytes: 1})
	for range 3 {
		if err := l.Append(t.Context(), newEventGen(1).batch(2)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	files := dump(t, mem, crashDir)
	middle := segmentPath(crashDir, 2)
	for name, content := range map[string][]byte{
		"no mark":       files[middle][:len(files[middle])-frameHeaderSize],
		"cut short":     files[middle][:100],
		"empty":         nil,
		"other segment": files[segmentPath(crashDir, 0)],
	} {
		if _, err := Open(load(t, files, middle, content), crashDir, Options{}, quiet); !errors.As(err, new(*DamageError)) || !strings.Contains(err.Error(), middle) {
			t.Errorf("%s: Open: %v", name, err)
		}
		if report, err := Check(t.Context(), load(t, files, middle, content), crashDir, CheckOptions{}); err != nil || len(report.Findings) == 0 {
			t.Errorf("%s: Check: %+v, %v", name, report, err)
		}
	}
	missing := load(t, files, "", nil)
	if err := missing.Remove(middle); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(missing, crashDir, Options{}, quiet); !errors.As(err, new(*DamageError)) {
		t.Errorf("a segment is missing; Open: %v", err)
	}
	if report, err := Check(t.Context(), missing, crashDir, CheckOptions{}); err != nil || len(report.Findings) == 0 {
		t.Errorf("a segment is missing; Check: %+v, %v", report, err)
	}
}

// TestContradiction: whole frames that do not follow each other are no tail to be
// cut off.
func TestContradiction(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{})
	gen := newEventGen(1)
	var last int64
	for range 3 {
		last = l.head.size
		if err := l.Append(t.Context(), gen.batch(2)); err != nil {
			t.Fatal(err)
		}
	}
	files := dump(t, mem, crashDir)
	name := lastOf(files)
	for what, change := range map[string]func(h *frameHeader){
		"a hole":            func(h *frameHeader) { h.base++ },
		"offsets twice":     func(h *frameHeader) { h.base-- },
		"time goes back":    func(h *frameHeader) { h.receivedAt = 1 },
		"neither (control)": func(*frameHeader) {},
	} {
		content := bytes.Clone(files[name])
		h, err := parseFrameHeader(content[last:], last)
		if err != nil {
			t.Fatal(err)
		}
		control := h
		change(&h)
		h.put(content[last:])
		mem := load(t, files, name, content)
		report, err := Check(t.Context(), mem, crashDir, CheckOptions{})
		if err != nil || (len(report.Findings) == 0) != (h == control) {
			t.Errorf("%s: Check: %+v, %v", what, report, err)
		}
		_, err = Open(mem, crashDir, Options{}, quiet)
		var damage *DamageError
		if (err == nil) != (h == control) || err != nil && (!errors.As(err, &damage) || damage.File != name || damage.Offset != last) {
			t.Errorf("%s: Open: %v", what, err)
		}
	}
}

// TestCheckNothing: Check of a folder that is not there says so and makes none.
func TestCheckNothing(t *testing.T) {
	mem := vfs.NewMem()
	if _, err := Check(t.Context(), mem, crashDir, CheckOptions{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), crashDir) {
		t.Errorf("Check: %v", err)
	}
	if _, err := mem.Stat(crashDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat after it: %v", err)
	}
}

// TestDamageMetWhileReading: a reader hands out what lies before the damage, then
// stays at it.
func TestDamageMetWhileReading(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{SegmentBytes: 1500})
	gen := newEventGen(1)
	var second int64
	for i := range 12 {
		if i == 1 {
			second = l.head.size
		}
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	files := dump(t, mem, crashDir)
	first := segmentPath(crashDir, 0)
	content := bytes.Clone(files[first])
	content[second+frameHeaderSize+5] ^= 1
	l = mustOpen(t, load(t, files, first, content), crashDir, Options{})
	defer l.Close()
	r, err := l.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Next(t.Context()); err != nil || b.Base != 0 {
		t.Fatalf("the first record: %v", err)
	}
	for range 2 {
		_, err := r.Next(t.Context())
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Offset != second || damage.File != first {
			t.Fatalf("the second record: %v", err)
		}
	}
	// Records behind it are read by who asks for them.
	r2, err := l.Reader(event.Positions{2})
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	if b, err := r2.Next(t.Context()); err != nil || b.Base != 2 {
		t.Fatalf("the third record: %v", err)
	}
}

// TestReaderBeyondTheEnd: whoever has read more than there is must be told.
func TestReaderBeyondTheEnd(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), crashDir, Options{})
	defer l.Close()
	if _, err := l.Reader(event.Positions{1}); err == nil {
		t.Error("a reader from offset 1 of an empty log was given")
	}
}
