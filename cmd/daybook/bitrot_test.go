package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/stream"
)

// rotData is where the data folder of these tests lies.
const (
	rotData   = "/data"
	rotEvents = 60
)

// rotServer is the stages of a server from stream to store, running over a file
// system. In a bubble of synctest it takes no time.
type rotServer struct {
	*server
	logged          lockedBuffer
	cancel          context.CancelFunc
	indexed, stored chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rotServe opens and runs a server.
func rotServe(fsys vfs.FS) (*rotServer, error) {
	s := settings.Defaults()
	s.Data, s.StoreHeadRows, s.StoreCacheBytes = rotData, 24, 0
	s.StreamSegmentBytes, s.StreamRetainBytes, s.StoreHeadAge = 800, 2800, settings.Duration(1<<62)
	r := &rotServer{indexed: make(chan error, 1), stored: make(chan error, 1)}
	r.server = &server{settings: s, log: slog.New(slog.NewTextHandler(&r.logged, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := errors.Join(r.open(fsys)); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.indexed <- r.index.Run(ctx) }()
	go func() { r.stored <- r.store.Run(ctx) }()
	return r, nil
}

func (r *rotServer) open(fsys vfs.FS) error {
	if err := r.openStore(fsys); err != nil {
		return err
	}
	if err := r.openStreams(fsys, r.settings); err != nil {
		return err
	}
	return r.openIndex()
}

// stop ends the server and returns the error with which the index had stopped, if
// it had.
func (r *rotServer) stop(t *testing.T) error {
	t.Helper()
	r.cancel()
	err := <-r.indexed
	if err := errors.Join(<-r.stored, r.Close()); err != nil {
		t.Error(err)
	}
	return err
}

// answer returns every event and every dead letter, in words.
func (r *rotServer) answer(ctx context.Context) (string, error) {
	var b strings.Builder
	err := r.store.Scan(ctx, store.Scan{Range: store.AllTime, Order: store.OldestFirst}, func(e *event.Event) bool {
		fmt.Fprintln(&b, *e)
		return true
	})
	if err != nil {
		return "", err
	}
	letters, _, err := r.letters.List(ctx, index.Selection{}, index.LetterCursor{}, 100)
	for _, l := range letters {
		text, err := l.Describe()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String(), err
}

// rotFolder makes a data folder with two segments of the store, three of the
// stream and events in neither but the stream's last, and two dead letters. The
// server was killed.
func rotFolder(t *testing.T) (files map[string][]byte, truth string) {
	t.Helper()
	mem := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) {
		r, err := rotServe(mem)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			b := new(stream.Batch)
			for j := range 6 {
				b.Add(stream.Key{}, fmt.Appendf(nil, `{"action":"a.%d","event_id":"0198c2d4-0000-7000-8000-%012x","resource":"r/%d","tenant_id":"default","timestamp":"2026-11-24T10:00:%02dZ","user_id":"alice"}`, j, i*10+j, i*j, i))
			}
			if i%4 == 0 {
				b.Add(stream.Key{}, fmt.Appendf(nil, `{"no":"event %d"}`, i))
			}
			if err := r.stream.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		truth, err = r.answer(t.Context())
		if n, letters := strings.Count(truth, "alice"), strings.Count(truth, `"class":"field"`); err != nil || n != rotEvents || letters != 3 {
			t.Fatalf("%d events, %d letters, %v:\n%s", n, letters, err, truth)
		}
		if end, err := r.stream.End(t.Context()); err != nil || r.store.Stats().Segments != 2 || r.store.Committed().Covers(end) {
			t.Fatalf("%+v, committed %v of %v, %v", r.store.Stats(), r.store.Committed(), end, err)
		}
		files = rotContent(t, mem)
		if err := r.stop(t); err != nil {
			t.Error(err)
		}
	})
	return files, truth
}

// rotContent returns all files.
func rotContent(t *testing.T, fsys vfs.FS) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, dir := range []string{"", storeDir, streamDir, deadDir} {
		entries, err := fsys.ReadDir(path.Join(rotData, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			name := path.Join(rotData, dir, e.Name())
			f, err := fsys.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			size, err := f.Size()
			if err != nil {
				t.Fatal(err)
			}
			files[name] = make([]byte, size)
			if n, err := f.ReadAt(files[name], 0); n < int(size) {
				t.Fatal(err)
			}
		}
	}
	return files
}

// rotLoad makes a file system of files, with b in place of the one at name, and
// without it if b is nil.
func rotLoad(t *testing.T, files map[string][]byte, name string, b []byte) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	for n, whole := range files {
		if n == name {
			if whole = b; b == nil {
				continue
			}
		}
		if err := mem.MkdirAll(path.Dir(n)); err != nil {
			t.Fatal(err)
		}
		f, err := mem.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(whole); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// TestBitRot damages bytes of every file of a data folder, and starts a server
// over it. Either that refuses, or stops, and names the file; or a query fails and
// names it, and the events are rebuilt from the stream or reported missing; or
// what is answered is the truth. daybook check names the file in any case. Every
// 97th byte is damaged, and with BITROT=all every one.
func TestBitRot(t *testing.T) {
	files, truth := rotFolder(t)
	step := 97
	if os.Getenv("BITROT") == "all" {
		step = 1
	}
	count := map[string]map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		kind := path.Base(path.Dir(name)) + "/*" + path.Ext(name)
		if count[kind] == nil {
			count[kind] = map[string]int{}
		}
		for at := 0; at < len(files[name]); at += step {
			for _, mask := range []byte{0xff, 1 << (at % 8)} {
				b := slices.Clone(files[name])
				b[at] ^= mask
				what := ""
				synctest.Test(t, func(t *testing.T) {
					what = rot(t, rotLoad(t, files, name, b), strings.TrimPrefix(name, rotData+"/"), truth)
				})
				if what == "harmless" && path.Base(name) != "MANIFEST" { // where digits of the checksum may be of either case
					t.Error("check finds nothing")
				}
				if count[kind][what]++; t.Failed() {
					t.Fatalf("byte %d of %s is %#x, not %#x: %s", at, name, b[at], files[name][at], what)
				}
			}
		}
	}
	for kind, n := range count {
		t.Logf("%-22s %v", kind, n)
	}
}

// TestLostFiles removes each file of a data folder, and cuts it short, and starts a
// server over it, with the same outcomes as TestBitRot. Only of the last segment
// of a log nothing tells that it was there, or longer, unless the store has its
// events: a log may end at any of its frames.
func TestLostFiles(t *testing.T) {
	files, truth := rotFolder(t)
	last := map[string]bool{}
	for _, dir := range []string{streamDir, deadDir} {
		logs := slices.Sorted(maps.Keys(files))
		logs = slices.DeleteFunc(logs, func(name string) bool {
			return path.Base(path.Dir(name)) != dir || path.Ext(name) != ".wal"
		})
		last[logs[len(logs)-1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		contents := [][]byte{nil} // nil: the file is gone
		for size := 0; size < len(files[name]); size += 97 {
			contents = append(contents, files[name][:size:size])
		}
		for _, b := range contents {
			what := ""
			synctest.Test(t, func(t *testing.T) {
				fsys := rotLoad(t, files, name, b)
				if last[name] {
					what = rotLast(t, fsys, truth)
				} else {
					// Where a file is missing, the next one is named, or both logs.
					what = rot(t, fsys, path.Base(path.Dir(name)), truth)
				}
			})
			if b == nil || t.Failed() {
				t.Logf("%s with %d bytes, or gone: %s", name, len(b), what)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// rotLast checks that a server over a log that lost its end either refuses or has
// nothing but what is true.
func rotLast(t *testing.T, fsys vfs.FS, truth string) string {
	t.Helper()
	r, err := rotServe(fsys)
	if err != nil {
		return err.Error()
	}
	time.Sleep(30 * time.Second)
	answer, err := r.answer(t.Context())
	if err := errors.Join(err, r.stop(t)); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(answer) {
		if !strings.Contains(truth, line) {
			t.Errorf("a wrong event: %s", line)
		}
	}
	return fmt.Sprintf("%d events of %d", strings.Count(answer, "alice"), rotEvents)
}

// rot checks what a server makes of a damaged file, and returns it in a few words.
// What is named must have place in it.
func rot(t *testing.T, fsys vfs.FS, place, truth string) string {
	t.Helper()
	report, err := checkData(t.Context(), fsys, rotData, &progress{})
	if err != nil {
		t.Errorf("check: %v", err)
		return "check failed"
	}
	named := slices.ContainsFunc(report.Findings, func(f checkFinding) bool { return strings.Contains(f.File, place) })
	r, err := rotServe(fsys)
	if err != nil {
		if !named || !strings.Contains(err.Error(), path.Base(place)) {
			t.Errorf("refused: %v\nfound %+v", err, report.Findings)
		}
		return "refused"
	}
	time.Sleep(30 * time.Second)
	answer, asked := r.answer(t.Context())
	if asked != nil && !strings.Contains(asked.Error(), place) {
		t.Errorf("a query fails: %v", asked)
	}
	time.Sleep(5 * time.Minute) // what is damaged is set aside and rebuilt
	later, err := r.answer(t.Context())
	if err != nil {
		t.Errorf("a query fails later: %v", err)
	}
	missing := int64(0)
	for _, d := range r.store.Missing() {
		missing += d.Events
	}
	if err := r.stop(t); err != nil {
		if !named || !strings.Contains(err.Error(), place) {
			t.Errorf("stopped: %v", err)
		}
		return "stopped"
	}
	switch {
	case asked == nil && answer != truth && !strings.Contains(r.logged.String(), place):
		t.Errorf("a wrong answer; logged was %s", r.logged.String())
	case !named && answer != truth:
		t.Errorf("check finds %+v", report.Findings)
	case missing > 0:
		if n := int64(strings.Count(later, "alice")); n != rotEvents-missing {
			t.Errorf("%d events are answered, %d missing", n, missing)
		}
		for line := range strings.Lines(later) {
			if !strings.Contains(truth, line) {
				t.Errorf("a wrong event: %s", line)
			}
		}
		return "named, then missing"
	case asked == nil && answer != truth && later == answer:
		return "cut off, and named"
	case later != truth:
		t.Error("a wrong answer later")
	case asked != nil:
		return "named, then rebuilt"
	case !named:
		return "harmless"
	}
	return "found by check only"
}
