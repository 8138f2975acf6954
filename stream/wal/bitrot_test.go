package wal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/internal/vfs"
)

// crashedLog returns the files of a log as a crash leaves them, and its records.
// There are two segments, first and last. The last has two groups of two frames,
// the second of which begins at lastGroup, and no mark.
func crashedLog(t *testing.T) (files map[string][]byte, first, last string, lastGroup int, records []string) {
	t.Helper()
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{Now: clockAt(1)})
	for group, segmentBytes := range []int64{1 << 20, 1, 1 << 20} {
		l.opts.SegmentBytes = segmentBytes
		if group == 2 {
			lastGroup = int(l.head.size)
		}
		if err := appendFrames(l, newEventGen(uint64(group)), 2); err != nil {
			t.Fatal(err)
		}
	}
	records, err := readAll(t, l)
	if err != nil || len(l.segments) != 2 {
		t.Fatalf("%d segments, %v", len(l.segments), err)
	}
	files = dump(t, mem, crashDir)
	files[identityPath] = []byte(onDisk(t, mem, identityPath))
	return files, l.segments[0].path, l.head.path, lastGroup, records
}

// openAndRead opens a log and reads all of it. What Open logs comes back, too,
// and that it was opened.
func openAndRead(t *testing.T, fsys vfs.FS) (records []string, logged string, err error) {
	t.Helper()
	var b bytes.Buffer
	l, err := Open(fsys, crashDir, Options{}, slog.New(slog.NewTextHandler(&b, nil)))
	if err != nil {
		return nil, b.String(), err
	}
	defer l.Close()
	records, err = readAll(t, l)
	return records, b.String() + "opened", err
}

// TestBitRot damages every byte of a log that was not closed. Check names the
// file each time. Open refuses it, or a reader stops at it; what is in the last
// group is cut off, which is logged, and kept but where it happens to look like a
// write that was broken off.
func TestBitRot(t *testing.T) {
	files, _, last, lastGroup, want := crashedLog(t)
	masks := []byte{0xff, 1, 2, 4, 8, 16, 32, 64, 128}
	count := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for at, original := range files[name] {
			for _, mask := range masks {
				if testing.Short() && (at*len(masks)+int(mask))%13 != 0 {
					continue
				}
				content := bytes.Clone(files[name])
				content[at] = original ^ mask
				count[rot(t, load(t, files, name, content), name, want, name == last && at >= lastGroup)]++
				if t.Failed() {
					t.Fatalf("byte %d of %s is %#x, not %#x", at, name, content[at], original)
				}
			}
		}
	}
	t.Logf("%v", count)
	if count["cut off"] > count["kept"]/10 {
		t.Errorf("of what was cut off, more than a tenth was not kept: %v", count)
	}
}

// rot checks what becomes of a log of which a byte of the file name is wrong, and
// returns it in a word or two.
func rot(t *testing.T, fsys vfs.FS, name string, want []string, inLastGroup bool) string {
	t.Helper()
	report, err := Check(t.Context(), fsys, crashDir, CheckOptions{})
	if err != nil || !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.File == name }) {
		t.Errorf("Check: %+v, %v", report, err)
	}
	got, logged, err := openAndRead(t, fsys)
	refused := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Refused })
	if refused != (err != nil && logged == "") {
		t.Errorf("Check says that the log is refused: %t; Open: %v", refused, err)
	}
	var damage *DamageError
	switch {
	case errors.As(err, &damage) && damage.File == name:
		return "named"
	case err != nil:
		t.Errorf("Open: %v", err)
	case slices.Equal(got, want):
		t.Error("it makes no difference")
	case !inLastGroup || len(got) >= len(want) || !slices.Equal(got, want[:len(got)]) || !strings.Contains(logged, name):
		t.Errorf("%d records are read of %d; logged was %s", len(got), len(want), logged)
	}
	if _, err := fsys.Stat(name + fmt.Sprintf(".%d%s", report.Findings[0].Offset, cutSuffix)); err != nil {
		return "cut off"
	}
	return "kept"
}

// TestLostEnd cuts every file of the log at every byte. No record but the last
// ones is ever missing. Check names the file, but where the last segment is cut
// behind its header or a frame: nothing can tell that from a log that ends there.
func TestLostEnd(t *testing.T) {
	files, _, last, _, want := crashedLog(t)
	unnamed := 0
	for name, whole := range files {
		for size := range whole {
			fsys := load(t, files, name, whole[:size])
			report, err := Check(t.Context(), fsys, crashDir, CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := openAndRead(t, fsys)
			if err == nil && (name != last || !slices.Equal(got, want[:len(got)])) ||
				err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("%s cut at byte %d: %d records, %v", name, size, len(got), err)
			}
			switch {
			case len(report.Findings) == 0 && name == last:
				unnamed++
			case len(report.Findings) == 0:
				t.Errorf("%s cut at byte %d: Check finds nothing", name, size)
			}
		}
	}
	if unnamed != 4 {
		t.Errorf("%d cuts of the last segment are not found", unnamed)
	}
}

// TestTornWritesLookUnfinished: what a crash leaves of a write that was not synced
// is not taken for rot, unless a sector is torn within its last few bytes, which
// the file system of the test does now and then and no disk does.
func TestTornWritesLookUnfinished(t *testing.T) {
	torn, mistaken := 0, 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		mem := vfs.NewMem()
		l := mustOpen(t, mem, crashDir, Options{})
		gen := newEventGen(seed)
		for range rng.IntN(3) {
			if err := l.Append(t.Context(), gen.batch(1+rng.IntN(5))); err != nil {
				t.Fatal(err)
			}
		}
		mem.SetHook(func(op vfs.Op) error {
			if op.Kind == "Sync" {
				return vfs.ErrCrashed
			}
			return nil
		})
		if err := appendFrames(l, gen, 1+rng.IntN(3)); err == nil {
			t.Fatal("an append succeeded that was not synced")
		}
		_, logged, err := openAndRead(t, mem.Crash(rng))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if strings.Contains(logged, "cut off") {
			torn++
		}
		if strings.Contains(logged, "damaged") {
			mistaken++
		}
	}
	if torn < 500 || mistaken > torn/100 {
		t.Errorf("of %d writes that were torn, %d are taken for rot", torn, mistaken)
	}
}

// TestCheckFindings: a finding tells which records cannot be read for it.
func TestCheckFindings(t *testing.T) {
	files, first, last, lastGroup, _ := crashedLog(t)
	var starts []int64 // of the frames, by file and then by position
	var bases []int64
	for _, name := range []string{first, last} {
		err := withWindow(load(t, files, "", nil), name, readChunk, func(w *window) error {
			_, err := w.scan(segmentHeaderSize, true, func(h *frameHeader) error {
				starts, bases = append(starts, h.pos), append(bases, h.base)
				return nil
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flip := func(name string, at int64) map[string][]byte {
		changed := maps.Clone(files)
		changed[name] = bytes.Clone(files[name])
		changed[name][at] ^= 1
		return changed
	}
	without := func(name string) map[string][]byte {
		changed := maps.Clone(files)
		delete(changed, name)
		return changed
	}
	// The first segment has the frames 0 and 1 and the mark 2, the last 3 to 6.
	tests := []struct {
		name  string
		files map[string][]byte
		want  []Finding
	}{
		{"nothing", files, nil},
		{"a segment header", flip(first, 9), []Finding{{DamageError: DamageError{File: first}, Resume: starts[0], To: 0, Refused: true}}},
		{"a frame before its group's second", flip(first, starts[0]+60), []Finding{{DamageError: DamageError{File: first, Offset: starts[0]}, Resume: starts[2], From: 0, To: bases[2]}}},
		{"the mark of a segment", flip(first, starts[2]+8), []Finding{{DamageError: DamageError{File: first, Offset: starts[2]}, Resume: int64(len(files[first])), From: bases[2], To: bases[3], Refused: true}}},
		{"a group that another follows", flip(last, starts[3]+60), []Finding{{DamageError: DamageError{File: last, Offset: starts[3]}, Resume: int64(lastGroup), From: bases[3], To: bases[5], Refused: true}}},
		{"the last group", flip(last, starts[6]+60), []Finding{{DamageError: DamageError{File: last, Offset: starts[6]}, Kind: Doubtful, Resume: int64(len(files[last])), From: bases[6], To: -1}}},
		{"the identity", flip(identityPath, 20), []Finding{{DamageError: DamageError{File: identityPath}, Refused: true}}},
		{"the oldest segment is missing", without(first), nil},
		{"all segments are missing", map[string][]byte{identityPath: files[identityPath]}, []Finding{{DamageError: DamageError{File: identityPath}}}},
		{"a name that is none", func() map[string][]byte {
			changed := without(first)
			changed[filepath.Join(crashDir, "0.wal")] = files[first]
			return changed
		}(), []Finding{{DamageError: DamageError{File: filepath.Join(crashDir, "0.wal")}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report, err := Check(t.Context(), load(t, test.files, "", nil), crashDir, CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range report.Findings {
				f := &report.Findings[i]
				if f.Reason == "" {
					t.Error("a finding has no reason")
				}
				f.Reason, f.After, f.Before, f.Next = "", 0, 0, 0
			}
			if !slices.Equal(report.Findings, test.want) {
				t.Errorf("found\n%+v, want\n%+v", report.Findings, test.want)
			}
		})
	}
}

// TestCheckWhileWritten checks a log again and again while it is written and its
// oldest segments are dropped, and finds nothing.
func TestCheckWhileWritten(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, vfs.OS(), dir, Options{SegmentBytes: 20_000, RetainBytes: 100_000})
	defer l.Close()
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		gen := newEventGen(1)
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			b := gen.batch(20)
			if err := l.Append(t.Context(), b); err != nil {
				done <- err
				return
			}
			l.Release([]int64{b.Base + int64(b.Len())})
		}
	}()
	for checks := 0; checks < 20 || l.Stats().Dropped < 20; checks++ {
		report, err := Check(t.Context(), vfs.OS(), dir, CheckOptions{})
		if err != nil {
			t.Error(err)
			break
		}
		for _, f := range report.Findings {
			if f.Kind != Unfinished {
				t.Errorf("found %+v", f)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
