package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// checked is how many events the data folder of TestCheck holds.
const checked = 3000

// smallPieces make few events fill several segments of stream and store.
var smallPieces = []string{"--store-head-rows=1024", "--stream-segment-bytes=1MiB"}

// TestCheck damages a data folder, a copy for each case, and compares what check
// says. Where it says that a server starts, or how to make it start, that is
// done, and the server must have every event.
func TestCheck(t *testing.T) {
	t.Parallel()
	original := filepath.Join(t.TempDir(), "data")
	session := func(do func(s *child)) {
		s, err := strictly(t, original, smallPieces...)
		if err != nil {
			t.Fatal(err)
		}
		do(s)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	session(func(s *child) {
		for range checked / 500 {
			if status, answer := s.post(t, someEvents(500)); status != http.StatusOK {
				t.Fatal(status, answer)
			}
		}
	})
	for committed(t, original) < checked { // a slow disk let the server end before
		session(func(*child) {})
	}
	logs, segments := glob(t, original, "stream/*.wal"), glob(t, original, "store/*.parquet")
	if len(logs) < 3 || len(segments) < 3 {
		t.Fatalf("%d segments of the stream and %d of the store; the test wants more", len(logs), len(segments))
	}
	oldest, newest, victim := logs[0], logs[len(logs)-1], segments[0]

	tests := []struct {
		name   string
		damage func(t *testing.T, f dataFolder)
		says   []string // each must stand in the report; none: it is sound
		note   bool     // it is sound all the same
		mend   func(t *testing.T, f dataFolder, report string)
	}{
		{name: "nothing", damage: func(*testing.T, dataFolder) {}},
		{name: "a segment of the store", damage: func(t *testing.T, f dataFolder) { f.flip(t, victim, 1000) },
			says: []string{"DAMAGE: " + victim + ", byte ", "page of column", "1000 events, offsets 0 to 999, 20", "Nothing is lost: the stream holds it all"}},
		{name: "a segment of the store, and the stream begins later", damage: func(t *testing.T, f dataFolder) {
			f.flip(t, victim, 1000)
			f.remove(t, oldest)
		}, says: []string{"DAMAGE: " + victim, "is lost, unless a backup has the file", "put it in its place"}},
		{name: "a segment of the store is missing", damage: func(t *testing.T, f dataFolder) { f.remove(t, victim) },
			says: []string{"DAMAGE: " + victim + "\n", "the file is missing", "rebuilds it by itself"}},
		{name: "the manifest", damage: func(t *testing.T, f dataFolder) { f.flip(t, "store/MANIFEST", 100) },
			says: []string{"DAMAGE: store/MANIFEST\n", "checksum", "3000 events, offsets 0 to 2999", "has offsets 0 to 2999"},
			mend: func(t *testing.T, f dataFolder, _ string) { f.move(t, "store") }},
		{name: "the middle of an old stream segment", damage: func(t *testing.T, f dataFolder) { f.flip(t, oldest, 2000) },
			says: []string{"DAMAGE: " + oldest + ", byte ", "offsets 0 to ", "Nothing is lost: the store has all of these events. The server starts."},
			mend: func(*testing.T, dataFolder, string) {}},
		{name: "the mark of an old stream segment", damage: func(t *testing.T, f dataFolder) { f.flip(t, oldest, -20) },
			says: []string{"No event is lost. The server does not start over it. Move this segment and all older ones away."},
			mend: func(t *testing.T, f dataFolder, _ string) { f.remove(t, oldest) }},
		{name: "the newest stream segment", damage: func(t *testing.T, f dataFolder) { f.flip(t, newest, 2000) },
			says: []string{"DAMAGE: " + newest, "The server does not start over it. Move the segments of the stream away and make an empty file"}, mend: goOnEmpty},
		{name: "the newest stream segment is missing", damage: func(t *testing.T, f dataFolder) { f.remove(t, newest) },
			says: []string{"DAMAGE: stream\n", "and the store has events up to offset 2999", "What the store has is not lost"}, mend: goOnEmpty},
		{name: "the end of the stream after a crash", damage: func(t *testing.T, f dataFolder) {
			f.cut(t, newest, 56) // the mark
			f.flip(t, newest, -20)
		}, says: []string{"DAMAGE: " + newest, "look damaged rather than unfinished", "The store has events up to offset 2999"}, mend: goOnEmpty},
		{name: "a write that a crash broke off", damage: func(t *testing.T, f dataFolder) { f.write(t, newest, make([]byte, 700)) },
			says: []string{"NOTE: " + newest, "700 bytes that are no whole write"}, note: true, mend: func(*testing.T, dataFolder, string) {}},
		{name: "what was cut off", damage: func(t *testing.T, f dataFolder) { f.write(t, oldest+".99.cut", []byte("x")) },
			says: []string{"DAMAGE: " + oldest + ".99.cut", "Keep it to be looked at, or remove it"}, mend: func(*testing.T, dataFolder, string) {}},
		{name: "the identity of the stream is missing", damage: func(t *testing.T, f dataFolder) { f.remove(t, "stream/ID") },
			says: []string{"DAMAGE: stream/ID", "write the file anew"},
			mend: func(t *testing.T, f dataFolder, report string) {
				f.write(t, "stream/ID", []byte(regexp.MustCompile("daybook-log 1 .*\n").FindString(report)))
			}},
		{name: "the identity of another stream", damage: func(t *testing.T, f dataFolder) {
			f.remove(t, "stream/ID")
			f.write(t, "stream/ID", []byte("daybook-log 1 00000000000000ff 00000000000000ff\n"))
		}, says: []string{"DAMAGE: stream/ID", "and this is log 00000000000000ff"}},
		{name: "the stream begins after the store's end", damage: func(t *testing.T, f dataFolder) {
			f.move(t, "store")
			f.remove(t, oldest)
		}, says: []string{"DAMAGE: stream\n", "The events between them are lost"}},
		{name: "a record that is no dead letter", damage: func(t *testing.T, f dataFolder) { f.deadLetter(t, "{}}") },
			says: []string{"DAMAGE: dead-letters", "the record at offset 0 is no dead letter"}},
		{name: "dead letters", damage: func(t *testing.T, f dataFolder) {
			f.deadLetter(t, `{"partition":0,"offset":3,"record":"x"}`)
			f.flip(t, glob(t, string(f), "dead-letters/*.wal")[0], 60)
		}, says: []string{"DAMAGE: dead-letters/", "The server does not start over it. 1 dead letters cannot be read. Restore"}},
		{name: "the dead letters are gone", damage: func(t *testing.T, f dataFolder) { f.remove(t, glob(t, string(f), "dead-letters/*.wal")[0]) },
			says: []string{"DAMAGE: dead-letters/ID", "has no segment"}},
		{name: "the stream is gone", damage: func(t *testing.T, f dataFolder) {
			for _, log := range logs {
				f.remove(t, log)
			}
		}, says: []string{"DAMAGE: stream/ID", "DAMAGE: stream\n", "it ends at offset 0"}, mend: goOnEmpty},
		{name: "files of a crash", damage: func(t *testing.T, f dataFolder) { f.write(t, "store/000000000099.parquet.tmp", nil) },
			says: []string{"NOTE: store", "000000000099.parquet.tmp", "the next start removes them"}, note: true, mend: func(*testing.T, dataFolder, string) {}},
		{name: "no lock files", damage: func(t *testing.T, f dataFolder) {
			for _, name := range []string{"LOCK", "store/LOCK", "stream/LOCK", "dead-letters/LOCK"} {
				f.remove(t, name)
			}
		}, mend: func(*testing.T, dataFolder, string) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := dataFolder(filepath.Join(t.TempDir(), "data"))
			if err := os.CopyFS(string(f), os.DirFS(original)); err != nil {
				t.Fatal(err)
			}
			test.damage(t, f)
			before := f.everything(t)
			report, stderr, code := command(t, "", "check", "--data", string(f))
			if sound := len(test.says) == 0 || test.note; (code == exitOK) != sound || (code == exitError) == sound || sound != strings.HasSuffix(report, ": sound\n") {
				t.Errorf("exit code %d", code)
			}
			for _, want := range test.says {
				if !strings.Contains(report, want) {
					t.Errorf("the report lacks %q", want)
				}
			}
			if len(test.says) == 0 && strings.Contains(report, "NOTE") {
				t.Error("there is a note")
			}
			if t.Failed() {
				t.Log(report, stderr)
			}
			if f.everything(t) != before {
				t.Error("check has changed the folder")
			}
			if test.mend == nil || t.Failed() {
				return
			}
			test.mend(t, f, report)
			s := serve(t, string(f), smallPieces...)
			if n := s.total(t); n != checked {
				t.Errorf("%d events are left", n)
			}
			if status, answer := s.post(t, someEvents(1)); status != http.StatusOK || s.total(t) != checked+1 {
				t.Errorf("publishing: %d %s", status, answer)
			}
		})
	}
}

// committed returns how many events of a data folder the store has for good.
func committed(t *testing.T, data string) int64 {
	t.Helper()
	out, _, _ := command(t, "", "check", "--data", data, "-o", "json")
	var r checkReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Store == nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r.Store.Committed.At(0)
}

// goOnEmpty does what check says about a stream of which the store has all.
func goOnEmpty(t *testing.T, f dataFolder, report string) {
	t.Helper()
	name := regexp.MustCompile(`make an empty file (\S+):`).FindStringSubmatch(report)
	if name == nil {
		t.Fatalf("no file is named:\n%s", report)
	}
	for _, segment := range glob(t, string(f), "stream/*.wal") {
		f.remove(t, segment)
	}
	f.write(t, name[1], nil)
}

// dataFolder is a data folder to be damaged. Names are relative to it.
type dataFolder string

func (f dataFolder) path(name string) string { return filepath.Join(string(f), name) }

// flip changes a byte; a negative one counts from the end.
func (f dataFolder) flip(t *testing.T, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 4
	if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cut takes n bytes off the end.
func (f dataFolder) cut(t *testing.T, name string, n int64) {
	t.Helper()
	info, err := os.Stat(f.path(name))
	if err == nil {
		err = os.Truncate(f.path(name), info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f dataFolder) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(f.path(name)); err != nil {
		t.Fatal(err)
	}
}

// move moves something out of the folder.
func (f dataFolder) move(t *testing.T, name string) {
	t.Helper()
	if err := os.Rename(f.path(name), string(f)+"."+name); err != nil {
		t.Fatal(err)
	}
}

// write appends to a file, which it makes if need be.
func (f dataFolder) write(t *testing.T, name string, b []byte) {
	t.Helper()
	file, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// deadLetter appends a record to the dead letters.
func (f dataFolder) deadLetter(t *testing.T, record string) {
	t.Helper()
	l, err := wal.Open(vfs.OS(), f.path(deadDir), wal.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := new(stream.Batch)
	b.Add(stream.Key{}, []byte(record))
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// everything returns all names, sizes and times, to be compared.
func (f dataFolder) everything(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(string(f), func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func glob(t *testing.T, data, pattern string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		rel, err := filepath.Rel(data, path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(rel))
	}
	return names
}

// TestCheckArguments: what is no data folder is an error, and says so.
func TestCheckArguments(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--data", filepath.Join(empty, "none")}, exitError, "none"},
		{[]string{"--data", empty}, exitError, "is no data folder"},
		{[]string{"-o", "xml"}, exitUsage, "must be table or json"},
		{[]string{"more"}, exitUsage, "more"},
	} {
		_, stderr, code := command(t, "", append([]string{"check"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %s", c.args, code, stderr)
		}
	}
	for _, name := range []string{"LOCK", storeDir, streamDir} {
		if _, err := os.Stat(filepath.Join(empty, name)); !os.IsNotExist(err) {
			t.Errorf("check has made %s", name)
		}
	}
}

// TestCheckWhileServing checks the folder of a server that takes events, freezes,
// merges and drops segments of stream and store, and finds nothing.
func TestCheckWhileServing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, data, append([]string{"--store-head-age=50ms", "--store-retain-bytes=3MB", "--stream-retain-bytes=2MB"}, smallPieces...)...)
	published := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				published <- nil
				return
			default:
			}
			resp, err := http.Post(s.url+"/v1/events?receipts=false", "application/x-ndjson", strings.NewReader(someEvents(100)))
			if err != nil {
				published <- err
				return
			}
			resp.Body.Close()
		}
	}()
	dropped := func() bool {
		_, metrics := s.get(t, "/metrics")
		for _, name := range []string{"daybook_stream_dropped_segments_total", "daybook_store_compactions_total", "daybook_store_expired_events_total"} {
			if m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(metrics); m == nil || m[1] == "0" {
				return false
			}
		}
		return true
	}
	for n := 0; (n < 10 || !dropped()) && !t.Failed(); n++ {
		out, stderr, code := command(t, "", "check", "--data", data, "-o", "json")
		var r checkReport
		if err := json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&r); err != nil || code != exitOK || !r.Sound {
			t.Errorf("check %d: exit code %d, %v\n%s%s", n, code, err, out, stderr)
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	if err := <-published; err != nil {
		t.Error(err)
	}
}
