//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
)

// crowd opens n connections to s, a few at a time, asks each for something, and
// returns them once each has been answered with 200. They are reset at the test's
// end: closed, each would hold a port for a minute.
func crowd(t *testing.T, s *child, n int, request string) (members []*bufio.Reader) {
	t.Helper()
	conns := make([]net.Conn, n)
	members = make([]*bufio.Reader, n)
	errs := make([]error, n)
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	})
	var busy sync.WaitGroup
	const atOnce = 16
	for w := range atOnce {
		busy.Go(func() {
			for i := w; i < n && errs[w] == nil; i += atOnce {
				conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					errs[w] = err
					return
				}
				conns[i], members[i] = conn, bufio.NewReaderSize(conn, 1<<10)
				errs[w] = errors.Join(conn.(*net.TCPConn).SetLinger(0), ask(conn, members[i], request))
			}
		})
	}
	busy.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return members
}

// ask sends a request and reads the answer's header, and its body if its length
// is known.
func ask(conn net.Conn, in *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%.40q: %s", request, resp.Status)
	}
	if resp.ContentLength > 0 {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return err
}

// resident returns how much memory s takes, in bytes.
func (c *child) resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rss)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// figure returns a value of /metrics, named with its labels.
func (c *child) figure(t *testing.T, name string) int {
	t.Helper()
	_, text := c.get(t, "/metrics")
	_, rest, _ := strings.Cut(text, "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatalf("%s is not in /metrics", name)
	}
	return int(n)
}

// usual does what clients usually do, a few times over, wants all of it answered,
// and returns the medians of how long it took.
func usual(t *testing.T, s *child) string {
	t.Helper()
	gen := bench.NewGenerator(uint64(time.Now().UnixNano()), false)
	var publish, find, count bench.Latencies
	timed := func(l *bench.Latencies, f func() (int, string)) {
		t.Helper()
		began := time.Now()
		if status, answer := f(); status != http.StatusOK {
			t.Errorf("%d %.300s", status, answer)
		}
		l.Add(time.Since(began))
	}
	for range 20 {
		line, id := gen.Append(nil, time.Now())
		timed(&publish, func() (int, string) { return s.post(t, string(line)) })
		timed(&find, func() (int, string) { return s.get(t, "/v1/events/"+id.String()) })
		timed(&count, func() (int, string) { return s.get(t, "/v1/counts") })
	}
	return fmt.Sprintf("publish %v, get %v, count %v", publish.Summary().P50, find.Summary().P50, count.Summary().P50)
}

// TestTenThousandIdleConnections: clients that keep a connection and ask nothing
// lock nobody out, and cost no more than their memory.
func TestTenThousandIdleConnections(t *testing.T) {
	const idle = 10_000 // as many connections as a server has
	if n, known := descriptors(); known && n < idle*4/3 {
		notTested(t, "this takes %d file descriptors; there are %d (ulimit -n)", idle*4/3, n)
		t.SkipNow()
	}
	s, err := strictly(t, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	alone := usual(t, s)
	http.DefaultClient.CloseIdleConnections() // or that would be the one that has waited longest
	before := s.resident(t)
	crowd(t, s, idle, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	each := (s.resident(t) - before) / idle
	crowded := usual(t, s)
	waiting, shed := s.figure(t, `daybook_http_connections{state="waiting"}`), s.figure(t, "daybook_http_connections_shed_total")
	if waiting < idle-3 || shed < 1 || shed > 3 {
		t.Errorf("%d connections are waiting, %d gave way; there are %d, and one more that asks", waiting, shed, idle)
	}
	t.Logf("%d idle connections take %d bytes each; alone: %s; with them: %s", idle, each, alone, crowded)
	if err := s.stop(); err != nil {
		t.Errorf("stopping with them: %v", err)
	}
}

// TestThousandTails: a thousand tails get every event that is published, each
// once and in order, while others never read what they asked for.
func TestThousandTails(t *testing.T) {
	const tails, batches, batch = 1000, 10, 10
	s := underFaults(t, filepath.Join(t.TempDir(), "data"))
	if status, answer := s.post(t, someEvents(4000)); status != http.StatusOK { // more than connections hold
		t.Fatal(status, answer)
	}
	alone := usual(t, s)
	next := s.total(t)
	before := s.resident(t)
	members := crowd(t, s, tails, "GET /v1/events/tail?fields=offset HTTP/1.1\r\nHost: localhost\r\n\r\n")
	each := (s.resident(t) - before) / tails
	for _, path := range []string{"/v1/events/tail?since=beginning", "/v1/export", "/v1/export?format=csv", "/v1/events?limit=10000"} {
		s.dial(t, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n") // and never read
	}
	gen := bench.NewGenerator(1, false)
	for range batches {
		var body []byte
		for range batch {
			body, _ = gen.Append(body, time.Now())
		}
		if status, answer := s.post(t, string(body)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	crowded := usual(t, s)
	for i, in := range members {
		for want := next; want < next+batches*batch; {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("tail %d, before offset %d: %v", i, want, err)
			}
			data, isData := strings.CutPrefix(line, "data: ")
			if !isData {
				continue
			}
			if data != fmt.Sprintf("{\"offset\":%d}\n", want) {
				t.Fatalf("tail %d got %s where offset %d was to come", i, data, want)
			}
			want++
		}
	}
	t.Logf("%d tails take %d bytes each; alone: %s; with them: %s", tails, each, alone, crowded)
}

// TestSlowSenders: clients that send a header or a body and never come to its end
// take connections from nobody, though they open more than there are.
func TestSlowSenders(t *testing.T) {
	const bound = 200
	s := underFaults(t, filepath.Join(t.TempDir(), "data"), "--api-max-connections", strconv.Itoa(bound))
	alone := usual(t, s)
	http.DefaultClient.CloseIdleConnections() // or that would be one that gives way, at any moment
	for range bound / 2 {
		s.dial(t, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"+`{"user_id":"a`)
	}
	for range 3 * bound {
		s.dial(t, "POST /v1/events HTTP/1.1\r\nHost: loc")
	}
	for s.figure(t, "daybook_http_connections_shed_total") < bound/2+3*bound-bound {
		time.Sleep(10 * time.Millisecond) // until all of them have come in
	}
	crowded := usual(t, s)
	if waiting, answering := s.figure(t, `daybook_http_connections{state="waiting"}`), s.figure(t, `daybook_http_connections{state="answering"}`); waiting+answering > bound {
		t.Errorf("%d connections wait and %d are answering; %d are allowed", waiting, answering, bound)
	}
	t.Logf("alone: %s; with them: %s", alone, crowded)
}
