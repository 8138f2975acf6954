package segment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
)

// small is a store of three segments in which every column has a value.
func small(t *testing.T) (files map[string][]byte, segments []meta, st *stream) {
	t.Helper()
	st = newStream(3, 64)
	for i := range st.all {
		e := &st.batches[i/64][i%64]
		for f := event.UserID; f <= event.Metadata && i%7 == 0; f++ {
			if e.Text(f) == "" {
				e.SetText(f, fmt.Sprint(f, i/14))
			}
		}
		st.all[i] = *e
	}
	fsys := vfs.NewMem()
	s, err := Open(fsys, crashDir, crashOptions, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.feed(t.Context(), s), s.Flush(withRun(t, s)), s.Close()); err != nil {
		t.Fatal(err)
	}
	if segments = s.manifest.Segments; len(segments) != 3 {
		t.Fatalf("%d segments", len(segments))
	}
	return content(t, fsys), segments, st
}

// withRun runs s for the length of the test.
func withRun(t *testing.T, s *Store) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ctx
}

// content returns the files of the store in crashDir.
func content(t *testing.T, fsys vfs.FS) map[string][]byte {
	t.Helper()
	entries, err := fsys.ReadDir(crashDir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		f, err := fsys.Open(filepath.Join(crashDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		if n, err := f.ReadAt(b, 0); n < len(b) {
			t.Fatal(err)
		}
		files[e.Name()] = b
	}
	return files
}

// folder makes a file system of files, with b in place of the one named; nil: it
// is missing.
func folder(t *testing.T, files map[string][]byte, name string, b []byte) *vfs.Mem {
	t.Helper()
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(crashDir); err != nil {
		t.Fatal(err)
	}
	for n, whole := range files {
		if n == name {
			if whole = b; b == nil {
				continue
			}
		}
		if err := writeFile(fsys, filepath.Join(crashDir, n), whole); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

// question is asked of a store; its answer is in words.
type question struct {
	name string
	ask  func(ctx context.Context, s *Store) (string, error)
}

// questions makes use of everything that a segment holds.
func questions(t *testing.T, st *stream) []question {
	scan := func(q store.Scan) func(context.Context, *Store) (string, error) {
		return func(ctx context.Context, s *Store) (string, error) {
			var b strings.Builder
			err := s.Scan(ctx, q, func(e *event.Event) bool { fmt.Fprintln(&b, *e); return true })
			return b.String(), err
		}
	}
	list := []question{
		{"everything", scan(store.Scan{Range: store.AllTime, Order: store.OldestFirst})},
		{"by position", scan(store.Scan{Range: store.AllTime, Order: store.ByPosition, Fields: event.Fields(event.ReceivedAt)})},
		{"counts", func(ctx context.Context, s *Store) (string, error) {
			x, err := s.Count(ctx, store.Count{Range: store.AllTime, Bucket: time.Hour, By: &filter.Selector{Field: event.Action}})
			return fmt.Sprintf("%+v", x), err
		}},
	}
	for i := 0; i < len(st.all); i += 40 {
		e := st.all[i]
		list = append(list, question{"an identity", func(ctx context.Context, s *Store) (string, error) {
			got, err := s.Get(ctx, e.ID, nil)
			if errors.Is(err, store.ErrNotFound) {
				return "none", nil
			}
			return fmt.Sprintf("%+v", got), err
		}})
		texts := []string{"user_id:" + e.UserID, "resource:" + e.Resource, "request_id:" + e.RequestID + "*"}
		if e.TraceID != "" {
			texts = append(texts, "trace_id:"+e.TraceID, `"`+e.TraceID+`"`)
		}
		for _, text := range texts {
			x, err := filter.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			list = append(list, question{text, scan(store.Scan{Filter: x, Range: store.AllTime})})
		}
	}
	return list
}

// answers asks everything. An answer that is an error must say that file is
// damaged.
func answers(t *testing.T, s *Store, list []question, file string) (answers []string, errs int) {
	t.Helper()
	for _, q := range list {
		a, err := q.ask(t.Context(), s)
		if err != nil {
			errs++
			a = "error"
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", q.name, err)
			}
		}
		answers = append(answers, a)
	}
	return answers, errs
}

// checks returns what Check finds in the folder, without its path.
func checks(t *testing.T, fsys vfs.FS) *Report {
	t.Helper()
	r, err := Check(t.Context(), fsys, crashDir, CheckOptions{})
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	for i := range r.Findings {
		r.Findings[i].File = filepath.Base(r.Findings[i].File)
		if r.Findings[i].Reason == "" {
			t.Error("a finding has no reason")
		}
	}
	return r
}

func mustOpen(t *testing.T, fsys vfs.FS, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(fsys, dir, o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBitRot damages bytes of a segment and of the manifest. Check names the file
// each time. The store refuses the manifest. Of the segment, a query finds the
// damage and fails, or its answer is the one it was; once set aside, answers are
// those without the segment. Every 31st byte is damaged, and with BITROT=all every
// one: once the whole byte, once a bit.
func TestBitRot(t *testing.T) {
	files, segments, st := small(t)
	list := questions(t, st)
	victim := segments[1].File
	ask := func(fsys vfs.FS) []string {
		s := mustOpen(t, fsys, crashDir, crashOptions)
		defer s.Close()
		a, _ := answers(t, s, list, victim)
		return a
	}
	whole, without := ask(folder(t, files, "", nil)), ask(folder(t, files, victim, nil))
	t.Logf("%d bytes of segment, %d of manifest", len(files[victim]), len(files[manifestName]))
	if r := checks(t, folder(t, files, "", nil)); len(r.Findings) > 0 || r.Events != 192 || r.Segments != 3 {
		t.Fatalf("the store as it was written: %+v", r)
	}

	step := 31
	if os.Getenv("BITROT") == "all" {
		step = 1
	}
	count := map[string]int{}
	for _, name := range []string{manifestName, victim} {
		for at := 0; at < len(files[name]); at += step {
			for _, mask := range []byte{0xff, 1 << (at % 8)} {
				b := slices.Clone(files[name])
				b[at] ^= mask
				fsys := folder(t, files, name, b)
				r := checks(t, fsys)
				if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.File == name }) {
					if _, err := readManifest(fsys, crashDir); name != manifestName || err != nil || !strings.EqualFold(string(b), string(files[name])) {
						t.Errorf("Check finds %+v", r.Findings)
					}
					count["harmless"]++ // a hexadecimal digit of the checksum, in upper case
					continue
				}
				if s, err := Open(fsys, crashDir, crashOptions, nil); name == manifestName {
					if err == nil || !strings.Contains(err.Error(), manifestName) {
						t.Errorf("Open: %v", err)
					}
					count["refused"]++
				} else if err != nil {
					t.Error(err)
				} else {
					count[rot(t, s, list, victim, whole, without)]++
				}
				if t.Failed() {
					t.Fatalf("byte %d of %s is %#x, not %#x", at, name, b[at], files[name][at])
				}
			}
		}
	}
	t.Logf("%v", count)
}

// rot checks the answers of a store of which one segment is damaged.
func rot(t *testing.T, s *Store, list []question, victim string, whole, without []string) string {
	t.Helper()
	defer s.Close()
	got, errs := answers(t, s, list, victim)
	for i, a := range got {
		if a != "error" && a != whole[i] {
			t.Errorf("%s: %s, want %s", list[i].name, a, whole[i])
		}
	}
	if errs == 0 {
		return "found by Check only"
	}
	if err := s.tidy(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	if m := s.Missing(); len(m) != 1 || filepath.Base(m[0].File) != victim || m[0].Events != 64 {
		t.Errorf("missing %+v", m)
	}
	if got, _ = answers(t, s, list, victim); !slices.Equal(got, without) {
		t.Error("answers without the segment are others than they should be")
	}
	return "found by a query"
}

// TestLostEnd cuts manifest and segment short, at every 16th byte, and with
// BITROT=all at every one.
func TestLostEnd(t *testing.T) {
	files, segments, _ := small(t)
	victim := segments[1].File
	step := 16
	if os.Getenv("BITROT") == "all" {
		step = 1
	}
	for _, name := range []string{manifestName, victim} {
		for size := len(files[name]) - 1; size >= 0; size -= step {
			fsys := folder(t, files, name, files[name][:size])
			if r := checks(t, fsys); !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.File == name }) {
				t.Fatalf("%s cut at byte %d: Check finds %+v", name, size, r.Findings)
			}
			s, err := Open(fsys, crashDir, crashOptions, nil)
			if name == manifestName {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Fatalf("%s cut at byte %d: Open: %v", name, size, err)
				}
				continue
			}
			if err != nil || len(s.Missing()) != 1 {
				t.Fatalf("%s cut at byte %d: Open: %v", name, size, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
