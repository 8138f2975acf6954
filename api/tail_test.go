package api_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/query"
)

// sse reads server-sent events.
type sse struct {
	t    testing.TB
	body io.Closer
	r    *bufio.Reader
	id   string // of the last event or heartbeat
}

func (s *server) tail(path string, headers ...string) *sse {
	s.t.Helper()
	resp := s.do("GET", path, headers...)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%s answered %d: %s", path, resp.StatusCode, read(s.t, resp))
	}
	return &sse{t: s.t, body: resp.Body, r: bufio.NewReader(resp.Body)}
}

// next returns the next block's data, "" for a heartbeat.
func (e *sse) next() string {
	e.t.Helper()
	data := ""
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			e.t.Fatal(err)
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "id":
			e.id = value
		case "data":
			data = value
		case "retry":
			if value != "2000" {
				e.t.Errorf("retry: %s", value)
			}
		case "event":
			if value != "event" {
				e.t.Errorf("event: %s", value)
			}
		case "":
			if line == "\n" {
				return data
			}
		}
	}
}

// events returns the data of the next n events and the id of each.
func (e *sse) events(n int) (data, ids []string) {
	e.t.Helper()
	for len(data) < n {
		if d := e.next(); d != "" {
			data, ids = append(data, d), append(ids, e.id)
		}
	}
	return data, ids
}

func TestTail(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 5)...)
	tail := s.tail("/v1/events/tail?fields=offset&user_id=user-0")
	if tail.next() != "" || tail.id != "0:5@da7b000000000000" {
		t.Errorf("begins with id %s", tail.id)
	}
	s.mem.Publish(run(5, 10)...)
	data, ids := tail.events(2)
	if !slices.Equal(data, []string{`{"offset":6}`, `{"offset":9}`}) || !slices.Equal(ids, []string{"0:7@da7b000000000000", "0:10@da7b000000000000"}) {
		t.Errorf("got %v with ids %v", data, ids)
	}
}

// Resuming by the id of any event goes on with the next one.
func TestTailResumes(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 200)...)
	all, ids := s.tail("/v1/events/tail?since=beginning").events(200)
	for range 10 {
		cut := rand.IntN(199)
		for _, tail := range []*sse{
			s.tail("/v1/events/tail?since=now", "Last-Event-ID", ids[cut]),
			s.tail("/v1/events/tail?last_event_id=" + ids[cut]),
			s.tail("/v1/events/tail?last_event_id=0:0", "Last-Event-ID", ids[cut]), // the header is newer
		} {
			if rest, _ := tail.events(199 - cut); !slices.Equal(rest, all[cut+1:]) {
				t.Fatalf("after %s: %d events, want %d", ids[cut], len(rest), len(all)-cut-1)
			}
			tail.body.Close()
		}
	}
}

// A client that reads nothing for a while, with far more to come than buffers
// hold, finds everything when it reads again; other clients do not wait for it.
func TestTailSlowReader(t *testing.T) {
	s := newServer(t)
	slow, fast := s.tail("/v1/events/tail"), s.tail("/v1/events/tail")
	const n = 30_000 // about 15 MB
	for from := 0; from < n; from += 1000 {
		s.mem.Publish(run(from, from+1000)...)
	}
	if data, _ := fast.events(n); len(data) != n {
		t.Errorf("the fast reader got %d", len(data))
	}
	data, ids := slow.events(n)
	if len(data) != n || ids[n-1] != "0:30000@da7b000000000000" {
		t.Errorf("the slow reader got %d, the last %s", len(data), ids[n-1])
	}
}

func TestTailHeartbeatOverHTTP(t *testing.T) {
	s := newServer(t)
	beating := newServer(t, func(o *api.Options) {
		o.Query = query.New(query.Options{Store: s.mem, Stream: s.mem, Heartbeat: 10 * time.Millisecond})
	})
	tail := beating.tail("/v1/events/tail?user_id=nobody")
	tail.next()
	s.mem.Publish(run(0, 5)...)
	for tail.id != "0:5@da7b000000000000" { // the position moves on past what does not match
		if data := tail.next(); data != "" {
			t.Fatalf("got %s", data)
		}
	}
}

func TestTailHead(t *testing.T) {
	resp := newServer(t).do("HEAD", "/v1/events/tail")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
}

// Beyond as many tails as may be open, a client is told to come back.
func TestTooManyTails(t *testing.T) {
	s := newServer(t)
	few := newServer(t, func(o *api.Options) {
		o.Query = query.New(query.Options{Store: s.mem, Stream: s.mem, MaxTails: 1})
	})
	few.tail("/v1/events/tail").next()
	resp := few.do("GET", "/v1/events/tail")
	if body := read(t, resp); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "5" || !strings.Contains(body, "query.max_tails") {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
}

// A tail that was told to end by the server ends whole, and one asked for after
// that is sent away.
func TestTailEndsOnClose(t *testing.T) {
	s := newServer(t)
	resp := s.do("GET", "/v1/events/tail")
	s.api.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("cut off: %v", err)
	}
	if resp := s.do("GET", "/readyz"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("still ready: %d", resp.StatusCode)
	}
}
