package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// strictly starts a server of which the test fails when it prints a panic or a
// data race. The test stops it, or kills it.
func strictly(t *testing.T, data string, args ...string) (*child, error) {
	t.Helper()
	return startChild(t.Context(), data, strictWriter{testWriter{t}}, args...)
}

type strictWriter struct{ testWriter }

func (w strictWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("panic")) || bytes.Contains(b, []byte("DATA RACE")) {
		w.t.Errorf("the server printed: %s", b)
	}
	return w.testWriter.Write(b)
}

// underFaults starts such a server for the length of the test and checks at its
// end that it still serves, and took no more memory than it is meant to.
func underFaults(t *testing.T, data string, args ...string) *child {
	t.Helper()
	s, err := strictly(t, data, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if status, body := s.get(t, "/readyz"); status != http.StatusOK {
			t.Errorf("at the end: %d %s", status, body)
		}
		checkPeak(t, s)
		if err := s.stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s
}

// checkPeak fails the test if s has ever taken 500 MB.
func checkPeak(t *testing.T, s *child) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return // no such thing on this system
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(peak)[0])
	if err != nil {
		t.Fatal(err)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "-race" && setting.Value == "true" {
				return // the race detector takes several times as much for itself
			}
		}
	}
	if kb > 500_000 {
		t.Errorf("the server has taken %d kB of memory", kb)
	}
}

func (c *child) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return c.do(t, http.MethodGet, path, nil)
}

func (c *child) post(t *testing.T, body string) (status int, answer string) {
	t.Helper()
	return c.do(t, http.MethodPost, "/v1/events?receipts=false", strings.NewReader(body), "Content-Type", "application/x-ndjson")
}

func (c *child) do(t *testing.T, method, path string, body io.Reader, headers ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, c.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && path != "/readyz" && resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s: 503 without Retry-After", method, path)
	}
	return resp.StatusCode, string(text)
}

// dial opens a connection to s, sends text, and leaves it open until the test
// ends, unless the caller closes it.
func (c *child) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// total returns how many events s holds.
func (c *child) total(t *testing.T) int {
	t.Helper()
	status, body := c.get(t, "/v1/counts")
	var counts struct{ Total int }
	if err := json.Unmarshal([]byte(body), &counts); err != nil || status != http.StatusOK {
		t.Fatalf("count: %d %s", status, body)
	}
	return counts.Total
}

// someEvents returns n events of 3 kB that hardly compress.
func someEvents(n int) string {
	var b strings.Builder
	pad := make([]byte, 1440)
	for range n {
		rand.Read(pad)
		fmt.Fprintf(&b, `{"user_id":"alice","action":"thing.touch","resource":"thing/%x","metadata":{"pad":"%x"}}`+"\n", pad[:4], pad)
	}
	return b.String()
}

// TestBadPublishes sends what no publisher should.
func TestBadPublishes(t *testing.T) {
	t.Parallel()
	const good = `{"user_id":"alice","action":"a.b","resource":"r/1"}`
	with := func(field string) string { return strings.TrimSuffix(good, "}") + "," + field + "}" }
	zipped := gzipped(t, good+"\n"+good+"\n")
	s := underFaults(t, filepath.Join(t.TempDir(), "data"), "--ingest-max-unpacked", "4MiB")
	stored := 0
	for _, c := range []struct {
		name, path, coding, body string
		status, stored           int
		says                     string
	}{
		{"nothing", "", "", "", 400, 0, "the body is empty"},
		{"no JSON", "", "", "hello", 422, 0, "is not valid JSON"},
		{"a number", "", "", "17", 422, 0, "must be a JSON object"},
		{"wrong types", "", "", `{"user_id":1,"action":[],"resource":{},"labels":[]}`, 422, 0, `"field":"user_id"`},
		{"bad lines among good ones", "", "", good + "\n{\"user_id\":}\nfoo\n" + good, 207, 2, `"rejected":2`},
		{"an array that is cut off", "", "", "[" + good, 400, 0, "not closed"},
		{"NUL bytes", "", "", "\x00\x00\x00", 422, 0, "is not valid JSON"},
		{"invalid UTF-8", "", "", strings.Replace(good, "alice", "\xff", 1), 422, 0, "is not valid UTF-8"},
		{"a lone surrogate", "", "", strings.Replace(good, "alice", `\ud800`, 1), 422, 0, "surrogate"},
		{"a lone surrogate in metadata", "", "", with(`"metadata":{"\udc00":1}`), 422, 0, "surrogate"},
		{"a huge number", "", "", with(`"metadata":{"n":1e999999999}`), 200, 1, `"accepted":1`},
		{"a huge timestamp", "", "", with(`"timestamp":99999999999999999999999`), 422, 0, `"field":"timestamp"`},
		{"deep nesting", "", "", with(`"metadata":{"a":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + "}"), 422, 0, "deep"},
		{"a million brackets", "", "", strings.Repeat("[", 1e6), 400, 0, "not closed"},
		{"objects 100,000 deep", "", "", strings.Repeat(`{"a":`, 1e5), 422, 0, "larger than"},
		{"an event that is too large", "", "", with(`"metadata":{"a":"`+strings.Repeat("x", 1<<16)+`"}`) + "\n" + good, 207, 1, "65536"},
		{"one key twice", "", "", with(`"user_id":"bob"`), 422, 0, "user_id"},
		{"truncated gzip", "", "gzip", zipped[:len(zipped)-9], 400, 0, "breaks off"},
		{"no gzip", "", "gzip", good, 400, 0, "not valid gzip"},
		{"no zstd", "", "zstd", good, 400, 0, "not valid zstd"},
		{"an unknown coding", "", "br", good, 415, 0, "zstd"},
		{"a gzip bomb", "", "gzip", gzipped(t, strings.Repeat(" ", 8<<20)), 413, 0, "after decompression"},
		{"an unknown parameter", "?atomc=true", "", good, 400, 0, "atomc"},
		{"a query string that cannot be decoded", "?atomic=true;x", "", good + "\nx", 400, 0, "cannot be decoded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := []string{"Content-Type", "application/x-ndjson"}
			if c.coding != "" {
				headers = append(headers, "Content-Encoding", c.coding)
			}
			status, answer := s.do(t, http.MethodPost, "/v1/events"+c.path, strings.NewReader(c.body), headers...)
			if status != c.status || !strings.Contains(answer, c.says) {
				t.Errorf("%d %.500s; want %d and %q", status, answer, c.status, c.says)
			}
			stored += c.stored
		})
	}
	if n := s.total(t); n != stored {
		t.Errorf("%d events are stored; want %d", n, stored)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEndlessBodies sends 10 GB, for as long as the server takes them.
func TestEndlessBodies(t *testing.T) {
	t.Parallel()
	s := underFaults(t, filepath.Join(t.TempDir(), "data"), "--ingest-max-body", "4MiB")
	const huge = 10 << 30
	for name, unit := range map[string]string{
		"zeros": "\x00", "spaces": " ", "line ends": "\n", "one line": "x", "an object": `{"a":`, "an array": "[1,", "bad lines": "x\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n")
			piece := strings.Repeat(unit, 64<<10/len(unit))
			chunk := fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
			go func() {
				for sent := int64(0); sent < huge; sent += int64(len(piece)) {
					if _, err := io.WriteString(conn, chunk); err != nil {
						return // refused: the answer says why
					}
				}
			}()
			answer := make([]byte, 12)
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 413" {
				t.Errorf("%q, %v; want 413", answer, err)
			}
		})
	}
}

// TestBadQueries asks what makes no sense.
func TestBadQueries(t *testing.T) {
	t.Parallel()
	s := underFaults(t, filepath.Join(t.TempDir(), "data"))
	if status, answer := s.post(t, someEvents(20)); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	longer := underFaults(t, filepath.Join(t.TempDir(), "data"))
	if status, answer := longer.post(t, someEvents(30)); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	var page struct {
		Next string `json:"next_cursor"`
	}
	if _, body := longer.get(t, "/v1/events?limit=1"); json.Unmarshal([]byte(body), &page) != nil || page.Next == "" {
		t.Fatalf("no cursor in %s", body)
	}
	for _, c := range []struct {
		name, path string
		status     int
		says       string
	}{
		{"limit of -1", "/v1/events?limit=-1", 400, "1 to 10000"},
		{"limit without bounds", "/v1/events?limit=99999999999999999999", 400, "1 to 10000"},
		{"an unknown parameter", "/v1/events?limt=1", 400, "limit"},
		{"a parameter twice", "/v1/events?limit=1&limit=2", 400, "2 times"},
		{"no cursor", "/v1/events?cursor=" + strings.Repeat("A", 300), 400, "is not a cursor"},
		{"a cursor from elsewhere", "/v1/events?limit=1&cursor=" + page.Next, 410, "and this is log"},
		{"a filter of a megabyte", "/v1/events?q=" + strings.Repeat("a", 1<<20), 431, ""},
		{"a filter that is too long", "/v1/events?q=" + strings.Repeat("a", 20_000), 400, "16384"},
		{"parentheses 10,000 deep", "/v1/events?q=" + strings.Repeat("(", 10_000) + "a", 400, "column"},
		{"negations 10,000 deep", "/v1/events?q=" + strings.Repeat("-", 10_000) + "a", 400, "64 deep"},
		{"a filter with NUL", "/v1/events?q=%00", 200, ""},
		{"a filter that is not UTF-8", "/v1/events?q=%ff", 400, "UTF-8"},
		{"an escape that is none", "/v1/events?q=%zz", 400, "cannot be decoded"},
		{"a time out of range", "/v1/events?from=0001-01-01T00:00:00Z", 400, "1678"},
		{"seven billion buckets", "/v1/counts?interval=1s&from=1970-01-01&to=2200-01-01", 400, "buckets"},
		{"a position of another log", "/v1/events?after_position=0:99999999&wait=10ms", 503, "0:20"},
		{"a tail after the end", "/v1/events/tail?last_event_id=0:99999999", 410, "after the end"},
		{"a tail from elsewhere", "/v1/events/tail?last_event_id=0:1@0000000000000001", 410, "comes from log 0000000000000001"},
		{"no identity", "/v1/events/%00", 400, "UUID"},
		{"a format that is none", "/v1/export?format=xml", 400, "parquet"},
		{"no such path", "/etc/passwd", 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, answer := s.get(t, c.path); status != c.status || !strings.Contains(answer, c.says) {
				t.Errorf("%d %.500s; want %d and %q", status, answer, c.status, c.says)
			}
		})
	}
}

// TestBadClients: clients that hold connections, break off, or never read what
// they asked for take nothing from the others.
func TestBadClients(t *testing.T) {
	s := underFaults(t, filepath.Join(t.TempDir(), "data"), "--store-head-rows", "1024")
	const publish = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
	var bad []net.Conn
	for range 50 {
		bad = append(bad,
			s.dial(t, ""),                                                 // never asks
			s.dial(t, "GET /healthz HTTP/1.1\r\nHo"),                      // never ends its header
			s.dial(t, publish+`{"user_id":"alice","acti`),                 // never ends its body
			s.dial(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")) // never reads
		gone := s.dial(t, publish+someEvents(2))
		if err := gone.(*net.TCPConn).SetLinger(0); err != nil { // so that closing is a reset
			t.Fatal(err)
		}
		gone.Close()
	}
	for range 10 {
		bad = append(bad, s.dial(t, "GET /v1/events/tail?since=beginning HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	const batches, batch = 10, 300
	for range batches {
		if status, answer := s.post(t, someEvents(batch)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	for range 5 {
		bad = append(bad, s.dial(t, "GET /v1/export HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	if n := s.total(t); n != batches*batch {
		t.Errorf("%d events are found; want %d, and none of a body that broke off", n, batches*batch)
	}
	for _, conn := range bad {
		conn.Close()
	}
}

// TestDamage does to a data folder what disks, crashes and people do.
func TestDamage(t *testing.T) {
	const batches, batch = 17, 130 // the last two in a stream segment of their own
	settings := []string{"--store-head-rows", "1024", "--stream-segment-bytes", "1MiB"}
	base := filepath.Join(t.TempDir(), "data")
	s, err := strictly(t, base, settings...)
	if err != nil {
		t.Fatal(err)
	}
	for range batches {
		if status, answer := s.post(t, someEvents(batch)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
		s.total(t) // so that the index takes each by itself
	}
	for {
		if found, err := filepath.Glob(filepath.Join(base, storeDir, "*.parquet")); err != nil || len(found) >= 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.kill(t)

	for _, c := range []struct {
		name   string
		damage func(f *folder)
		events int    // that are there in the end
		says   string // not "": why it does not start
	}{
		{"a write that was cut off", func(f *folder) { f.cut(f.last(streamDir, "*.wal"), -7) }, (batches - 1) * batch, ""},
		{"garbage after the last write", func(f *folder) { f.add(f.last(streamDir, "*.wal"), "garbage") }, batches * batch, ""},
		{"zeros after the last write", func(f *folder) { f.add(f.last(streamDir, "*.wal"), strings.Repeat("\x00", 10_000)) }, batches * batch, ""},
		{"a flipped byte before the last write", func(f *folder) { f.flip(f.last(streamDir, "*.wal"), 200) }, 0, ".wal is damaged at byte"},
		{"a stream segment that is missing", func(f *folder) { f.remove(f.all(streamDir, "*.wal")[1]) }, 0, ".wal is damaged at byte"},
		{"a stream that is missing", func(f *folder) { f.remove(streamDir) }, 0, "the stream ends at offset 0"},
		{"a stream that says it is another", func(f *folder) { f.remove(filepath.Join(streamDir, "ID")) }, 0, "filled from another log"},
		{"a flipped byte in the identity of the stream", func(f *folder) { f.flip(filepath.Join(streamDir, "ID"), 20) }, 0, "ID is damaged"},
		{"a store that is missing", func(f *folder) { f.remove(storeDir) }, batches * batch, ""},
		{"a manifest that is missing", func(f *folder) { f.remove(filepath.Join(storeDir, "MANIFEST")) }, 0, "no MANIFEST"},
		{"a flipped byte in the manifest", func(f *folder) { f.flip(filepath.Join(storeDir, "MANIFEST"), 30) }, 0, "MANIFEST is damaged"},
		{"an empty manifest", func(f *folder) { f.cut(filepath.Join(storeDir, "MANIFEST"), 0) }, 0, "MANIFEST is damaged"},
		{"a segment that is missing", func(f *folder) { f.remove(f.all(storeDir, "*.parquet")[0]) }, batches * batch, ""},
		{"a segment that is cut off", func(f *folder) { f.cut(f.all(storeDir, "*.parquet")[0], 100) }, batches * batch, ""},
		{"flipped bytes in a segment", func(f *folder) { f.flip(f.all(storeDir, "*.parquet")[0], 5000) }, batches * batch, ""},
		{"files that do not belong there", func(f *folder) {
			for _, dir := range []string{".", storeDir, streamDir, deadDir} {
				f.add(filepath.Join(dir, ".DS_Store"), "garbage")
				f.add(filepath.Join(dir, "99.wal"), "garbage")
			}
		}, batches * batch, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &folder{t, filepath.Join(t.TempDir(), "data")}
			if err := os.CopyFS(f.dir, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			c.damage(f)
			if c.says != "" {
				var stderr bytes.Buffer
				cmd := program(append([]string{"serve", "--listen", "127.0.0.1:0", "--data", f.dir}, settings...)...)
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if code := exit(t, cmd); code != exitError || !strings.Contains(stderr.String(), c.says) {
					t.Errorf("exit code %d, %s; want %q in it", code, stderr.String(), c.says)
				}
				return
			}
			s, err := strictly(t, f.dir, settings...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.stop()
			lines := func() int { // of an export, which reads everything
				_, body := s.get(t, "/v1/export")
				return strings.Count(body, "\n")
			}
			deadline := time.Now().Add(20 * time.Second)
			for lines() != c.events {
				if time.Now().After(deadline) {
					_, ready := s.get(t, "/readyz")
					t.Fatalf("%d events are there; want %d; %s", lines(), c.events, ready)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if status, answer := s.post(t, someEvents(1)); status != http.StatusOK {
				t.Errorf("a publish afterwards: %d %s", status, answer)
			}
		})
	}
}

// folder is a data folder that is damaged. Names are relative to it.
type folder struct {
	t   *testing.T
	dir string
}

func (f *folder) all(dir, pattern string) (names []string) {
	f.t.Helper()
	found, err := filepath.Glob(filepath.Join(f.dir, dir, pattern))
	if err != nil || len(found) < 2 {
		f.t.Fatalf("%s in %s: %v, %v; the test wants more than one", pattern, dir, found, err)
	}
	for _, name := range found {
		names = append(names, filepath.Join(dir, filepath.Base(name)))
	}
	return names
}

func (f *folder) last(dir, pattern string) string {
	names := f.all(dir, pattern)
	return names[len(names)-1]
}

// change replaces a file's contents.
func (f *folder) change(name string, edit func([]byte) []byte) {
	f.t.Helper()
	name = filepath.Join(f.dir, name)
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(name, edit(b), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// cut leaves n bytes of a file, or takes -n off its end.
func (f *folder) cut(name string, n int) {
	f.change(name, func(b []byte) []byte {
		if n < 0 {
			n += len(b)
		}
		return b[:n]
	})
}

func (f *folder) flip(name string, at int) {
	f.change(name, func(b []byte) []byte { b[at] ^= 0x5a; return b })
}

func (f *folder) add(name, text string) {
	f.change(name, func(b []byte) []byte { return append(b, text...) })
}

func (f *folder) remove(name string) {
	f.t.Helper()
	if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

// notTested says what this machine does not allow to be tested. In CI that is an
// error.
func notTested(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("NOT TESTED: "+format, args...)
	if os.Getenv("CI") == "true" {
		t.Fail()
	}
}

// mount mounts something for the length of the test, or skips the test where
// that is not possible: mounting takes Linux and root.
func mount(t *testing.T, target string, args ...string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		notTested(t, "this takes Linux and root, because it mounts a file system")
		t.SkipNow()
	}
	if out, err := exec.Command("mount", append(args, target)...).CombinedOutput(); err != nil {
		notTested(t, "mounting a file system: %v: %s", err, out)
		t.SkipNow()
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", target).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// TestDiskFull: a full disk refuses events, answers searches, survives a
// restart, and takes events again when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	mount(t, disk, "-t", "tmpfs", "-o", "size=8m", "tmpfs")
	data := filepath.Join(disk, "data")
	settings := []string{"--store-head-rows", "1024", "--stream-segment-bytes", "1MiB"} // heads freeze while it fills
	start := func() *child {
		s, err := strictly(t, data, settings...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	const batch = 100
	acked := 0
	for {
		status, answer := s.post(t, someEvents(batch))
		if status == http.StatusServiceUnavailable && strings.Contains(answer, "no room") {
			break
		}
		if status != http.StatusOK || acked > 100_000 {
			t.Fatalf("after %d events: %d %s", acked, status, answer)
		}
		acked += batch
	}
	if acked == 0 {
		t.Fatal("nothing was acknowledged")
	}
	check := func(when string) {
		t.Helper()
		if n := s.total(t); n != acked {
			t.Errorf("%s: %d events are found; want %d", when, n, acked)
		}
	}
	check("full")
	if err := s.stop(); err != nil {
		t.Errorf("stopping while the disk is full: %v", err)
	}
	s = start()
	check("started while full")
	s.kill(t)
	s = start()
	check("killed and started while full")
	if out, err := exec.Command("mount", "-o", "remount,size=100m", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 10 {
		if status, answer := s.post(t, someEvents(batch)); status != http.StatusOK {
			t.Fatalf("when there is room: %d %s", status, answer)
		}
		acked += batch
	}
	check("when there is room")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestReadOnlyFolder: a folder that cannot be written to is named.
func TestReadOnlyFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, err := strictly(t, data)
	if err != nil {
		t.Fatal(err)
	}
	s.kill(t)
	mount(t, data, "--bind", data)
	if out, err := exec.Command("mount", "-o", "remount,bind,ro", data).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: %v: %s", err, out)
	}
	_, stderr, code := command(t, "", "serve", "--listen", "127.0.0.1:0", "--data", data)
	if code != exitError || !strings.Contains(stderr, data) || !strings.Contains(stderr, "read-only") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
