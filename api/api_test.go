package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
)

// What is refused, with which status, and what the problem says.
func TestProblems(t *testing.T) {
	id := numbered(999).ID.String()
	tests := []struct {
		request string
		status  int
		kind    string
		says    string
	}{
		{"GET /v1/events?limit=-1", 400, "invalid-parameter", `"field":"limit","value":"-1"`},
		{"GET /v1/events?limit=0", 400, "invalid-parameter", "from 1 to 10000"},
		{"GET /v1/events?limit=10001", 400, "invalid-parameter", "from 1 to 10000"},
		{"GET /v1/events?limit=1&limit=2", 400, "invalid-parameter", "given 2 times"},
		{"GET /v1/events?acton=x", 400, "invalid-parameter", "did you mean action?"},
		{"GET /v1/events?q=user_id:", 400, "invalid-filter", `"column":1,"token":"user_id:"`},
		{"GET /v1/events?q=(a", 400, "invalid-filter", `"column":1,"token":"("`},
		{"GET /v1/events?q=" + strings.Repeat("a", 17000), 400, "invalid-filter", "at most 16384"},
		{"GET /v1/events?q=" + strings.Repeat("(", 10000), 400, "invalid-filter", "nested more than"},
		{"GET /v1/events?q=%ff", 400, "invalid-filter", "UTF-8"},
		{"GET /v1/events?q=%zz", 400, "invalid-parameter", "cannot be decoded"},
		{"GET /v1/events?q=a;limit=2", 400, "invalid-parameter", "cannot be decoded"},
		{"GET /v1/events?cursor=x", 400, "invalid-parameter", "is not a cursor"},
		{"GET /v1/events?fields=usr_id", 400, "invalid-parameter", "did you mean user_id?"},
		{"GET /v1/events/42", 400, "invalid-parameter", "must be a UUID"},
		{"GET /v1/events/" + id, 404, "no-such-event", "no event has this event_id"},
		{"GET /v1/events/" + id + "?limit=1", 400, "invalid-parameter", "no such parameter"},
		{"GET /v1/events/tail?last_event_id=0:99", 410, "not-in-this-log", "lies at 0:99, after the end of this log, 0:3"},
		{"GET /v1/events/tail?last_event_id=0:1@0100000000000000", 410, "not-in-this-log", "comes from log 0100000000000000"},
		{"GET /v1/events/tail?last_event_id=0:1@x", 400, "invalid-parameter", "16 hexadecimal digits"},
		{"GET /v1/events/tail?from=-1h", 400, "invalid-parameter", "no such parameter"},
		{"GET /v1/counts?by=nothing", 400, "invalid-parameter", "by"},
		{"GET /v1/counts?interval=1ms&from=2020&to=2026", 400, "invalid-parameter", "at most 10000"},
		{"GET /v1/export?format=xlsx", 400, "invalid-parameter", "ndjson, csv or parquet"},
		{"GET /v1/export?format=parquet&order=newest", 400, "invalid-parameter", "oldest first"},
		{"GET /v1/export?limit=10", 400, "invalid-parameter", "no such parameter"},
		{"GET /nothing", 404, "no-such-path", "GET / lists"},
		{"GET /v1/", 404, "no-such-path", "GET / lists"},
		{"DELETE /v1/events", 405, "method-not-allowed", "DELETE is not served here"},
		{"POST /v1/counts", 405, "method-not-allowed", "POST is not served here"},
	}
	s := newServer(t)
	s.mem.Publish(run(0, 3)...)
	for _, tt := range tests {
		t.Run(tt.request[:min(60, len(tt.request))], func(t *testing.T) {
			method, path, _ := strings.Cut(tt.request, " ")
			resp := s.do(method, path)
			body := read(t, resp)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("answered %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			if !strings.Contains(body, `"urn:problem-type:daybook:`+tt.kind+`"`) || !strings.Contains(body, tt.says) || !json.Valid([]byte(body)) {
				t.Errorf("got %s\nwant %s saying %s", body, tt.kind, tt.says)
			}
			if tt.status == 405 && resp.Header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

// What the query says about itself becomes a status that a program can act on.
func TestQueryErrors(t *testing.T) {
	tests := []struct {
		err        error
		status     int
		kind       string
		retryAfter string
	}{
		{store.ErrMemory, 422, "query-memory", ""},
		{query.ErrTimeout, 422, "query-timeout", ""},
		{query.ErrBusy, 503, "busy", "1"},
		{&query.BehindError{}, 503, "behind", "1"},
		{errors.New("disk on fire in /secret/path"), 500, "internal", ""},
		{fmt.Errorf("%w: 000000000001.parquet", store.ErrDamaged), 503, "damaged", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			s := newServer(t)
			s.mem.Publish(run(0, 3)...)
			s.mem.FailScans(fmt.Errorf("scan: %w", tt.err), 1)
			for _, path := range []string{"/v1/events", "/v1/counts", "/v1/export", "/v1/export?format=csv"} {
				resp := s.do("GET", path)
				body := read(t, resp)
				if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retryAfter || !strings.Contains(body, tt.kind) {
					t.Errorf("%s answered %d, Retry-After %q: %s", path, resp.StatusCode, resp.Header.Get("Retry-After"), body)
				}
				if strings.Contains(body, "/secret") || resp.Header.Get("Content-Disposition") != "" {
					t.Errorf("%s: %s %v", path, body, resp.Header)
				}
			}
		})
	}
}

func TestSearch(t *testing.T) {
	s := newServer(t)
	if got := s.get("/v1/events"); got != `{"events":[],"next_cursor":null}`+"\n" {
		t.Errorf("empty: %s", got)
	}
	s.mem.Publish(run(0, 5)...)
	p := s.page("/v1/events?limit=2&fields=resource,offset")
	if len(p.Events) != 2 || string(p.Events[0]) != `{"resource":"document/4","offset":4}` || p.Next == nil {
		t.Errorf("got %s", p.Events)
	}
	if got, want := string(s.page("/v1/events?limit=1&order=oldest").Events[0]), string(event.AppendJSON(nil, ptr(numbered(0)), event.AllFields)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	resp := s.do("GET", "/v1/events?limit=2&fields=offset", "Accept", "application/x-ndjson")
	if body := read(t, resp); body != "{\"offset\":4}\n{\"offset\":3}\n" || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("NDJSON: %s", body)
	}
	next := resp.Trailer.Get("Daybook-Next-Cursor")
	if got := s.page("/v1/events?limit=9&fields=offset&cursor=" + next); len(got.Events) != 3 {
		t.Errorf("after the trailer's cursor: %s", got.Events)
	}
	if got := s.get("/v1/events/" + numbered(3).ID.String() + "?fields=user_id"); got != `{"user_id":"user-0"}`+"\n" {
		t.Errorf("get: %s", got)
	}
	if resp := s.do("HEAD", "/v1/events"); resp.StatusCode != 200 {
		t.Errorf("HEAD answered %d", resp.StatusCode)
	}
}

func ptr[T any](v T) *T { return &v }

// A page may be larger than what is held back, and is still one JSON document.
func TestLargePage(t *testing.T) {
	s := newServer(t)
	for n := range 300 {
		e := numbered(n)
		e.Metadata = `{"pad":"` + strings.Repeat("x", 60_000) + `"}`
		s.mem.Publish(e)
	}
	if p := s.page("/v1/events?limit=299"); len(p.Events) != 299 || p.Next == nil {
		t.Errorf("got %d events", len(p.Events))
	}
	s.mem.FailScans(errors.New("the disk is gone"), 200)
	if _, err := io.ReadAll(s.do("GET", "/v1/events?limit=299").Body); err == nil {
		t.Error("a page that failed half way looks whole")
	}
}

func TestCounts(t *testing.T) {
	s := newServer(t)
	if got := s.get("/v1/counts?interval=auto"); got != `{"total":0,"buckets":[]}`+"\n" {
		t.Errorf("empty: %s", got)
	}
	s.mem.Publish(run(0, 5)...)
	tests := []struct{ given, want string }{
		{"", `{"total":5}`},
		{"by=user_id&top=1", `{"total":5,"by":"user_id","groups":[{"value":"user-0","count":2}],"other":3,"values":3}`},
		{"interval=2s&user_id=user-1", `{"total":2,"interval":"2s","from":"2026-11-01T00:00:01Z","to":"2026-11-01T00:00:04.000000001Z","buckets":[{"start":"2026-11-01T00:00:00Z","count":1},{"start":"2026-11-01T00:00:04Z","count":1}]}`},
		{"interval=1m&by=labels.env", `{"total":5,"interval":"1m","from":"2026-11-01T00:00:00Z","to":"2026-11-01T00:00:04.000000001Z","buckets":[{"start":"2026-11-01T00:00:00Z","count":5}],"by":"labels.env","groups":[{"value":"prod","count":5,"buckets":[{"start":"2026-11-01T00:00:00Z","count":5}]}],"other":0,"values":1}`},
	}
	for _, tt := range tests {
		if got := s.get("/v1/counts?" + tt.given); got != tt.want+"\n" {
			t.Errorf("%s\ngot  %swant %s", tt.given, got, tt.want)
		}
	}
}

// Pages put together are the export of the same moment, though events arrive
// between the pages, among the times of those that were read and after them.
func TestPagesAreTheExport(t *testing.T) {
	for _, order := range []string{"newest", "oldest"} {
		s := newServer(t)
		s.mem.Publish(run(0, 100)...)
		given := "?q=-user_id:user-2&order=" + order
		want := lines(s.get("/v1/export" + given))
		var got []string
		for p := s.page("/v1/events" + given + "&limit=7"); ; p = s.page("/v1/events" + given + "&limit=7&cursor=" + *p.Next) {
			for _, e := range p.Events {
				got = append(got, string(e))
			}
			if p.Next == nil {
				break
			}
			s.mem.Publish(numbered(50), numbered(1000+len(got)), numbered(-len(got)))
		}
		if len(want) != 67 || !slices.Equal(got, want) {
			t.Errorf("%s: pages have %d events, the export %d", order, len(got), len(want))
		}
	}
}

// A server without keys answers to this machine, whatever name it is asked by.
func TestLocalOnly(t *testing.T) {
	s := newServer(t, func(o *api.Options) { o.LocalOnly = func() bool { return true } })
	for host, status := range map[string]int{
		"localhost": 200, "localhost:7575": 200, "LOCALHOST": 200, "127.0.0.1:7575": 200, "127.9.9.9": 200, "[::1]:7575": 200, "daybook.localhost": 200,
		"evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example:7575": 403, "192.168.1.5": 403, "0.0.0.0": 403,
	} {
		if got := s.do("GET", "/v1/events", "Host", host).StatusCode; got != status {
			t.Errorf("Host %s: %d, want %d", host, got, status)
		}
	}
}

// A page of another site may link here: neither publish, nor start work whose
// answer it cannot read but whose delay it can.
func TestForeignOrigin(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct {
		method  string
		headers []string
		status  int
	}{
		{"POST", nil, 200}, // no browser
		{"POST", []string{"Origin", s.URL}, 200},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"POST", []string{"Origin", "https://evil.example"}, 403},
		{"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", []string{"Origin", "null", "Content-Type", "text/plain"}, 403},                 // what a form or a sandboxed frame sends
		{"POST", []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}, 403}, // needs no preflight
		{"POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},   // a form
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},     // an image
		{"GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},         // fetch from another port
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},    // a link
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{"GET", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},                // its own page
		{"GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Host", "a.test"}, 200}, // typed
	} {
		resp := s.do(tt.method, "/v1/events", tt.headers...)
		if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %v: %d, want %d", tt.method, tt.headers, resp.StatusCode, tt.status)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/", "/v1/events", "/v1/events?limit=0", "/nothing", "/healthz"} {
		h := s.do("GET", path).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

// What lacks events, because a segment was damaged, does not look complete.
func TestMissingEventsAreAdmitted(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 5)...)
	for _, want := range []string{"", "1000", "1234"} {
		for _, path := range []string{"/v1/events", "/v1/counts", "/v1/export?format=csv", "/v1/export?format=parquet", "/v1/events/tail"} {
			resp := s.do("GET", path)
			if got := resp.Header.Get("Daybook-Missing-Events"); resp.StatusCode != 200 || got != want {
				t.Errorf("%s: %d, %q, want %q", path, resp.StatusCode, got, want)
			}
			resp.Body.Close()
		}
		s.mem.Lose(map[string]int64{"": 1000, "1000": 234}[want])
	}
}

func TestReadiness(t *testing.T) {
	var checks []api.Check
	s := newServer(t, func(o *api.Options) { o.Ready = func(context.Context) []api.Check { return checks } })
	if got := s.get("/readyz"); got != `{"status":"ok"}`+"\n" {
		t.Error(got)
	}
	checks = []api.Check{{Name: "stream", OK: true}, {Name: "disk", Detail: "no room"}}
	resp := s.do("GET", "/readyz")
	if got := read(t, resp); resp.StatusCode != 503 || got != `{"status":"unavailable","checks":[{"name":"stream","ok":true},{"name":"disk","ok":false,"detail":"no room"}]}`+"\n" {
		t.Error(resp.StatusCode, got)
	}
	if got := s.get("/healthz"); got != `{"status":"ok"}`+"\n" {
		t.Error(got)
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, func(o *api.Options) {
		o.Figures = []func() []api.Figure{
			func() []api.Figure {
				return []api.Figure{{Name: "daybook_ingest_events_total", Help: "Events.", Counter: true, Value: 7, Labels: map[string]string{"outcome": "accepted"}}}
			},
			api.StoreFigures(func() store.Stats { return store.Stats{Events: 42, Damaged: []store.Damage{{Events: 3}}} }),
		}
	})
	s.get("/v1/events?user_id=alice")
	s.do("GET", "/v1/events?limit=0")
	s.do("GET", "/v1/events/secret-path-of-a-stranger/x")
	got := s.get("/metrics")
	for _, want := range []string{
		`daybook_http_requests_total{code="200",route="GET /v1/events"} 1`,
		`daybook_http_requests_total{code="400",route="GET /v1/events"} 1`,
		`daybook_http_requests_total{code="404",route="none"} 1`,
		`daybook_http_request_duration_seconds_count{route="GET /v1/events"} 2`,
		`daybook_ingest_events_total{outcome="accepted"} 7`,
		"daybook_store_events 42", "daybook_store_missing_events 3", "daybook_query_tails 0",
		`daybook_query_refused_total{cause="busy"} 0`, "go_goroutines", "# TYPE daybook_store_events gauge",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(got, "alice") || strings.Contains(got, "stranger") {
		t.Error("metrics hold what a client sent")
	}
}

// A handler that panics costs its own request only.
func TestPanicIsAnswered(t *testing.T) {
	s := newServer(t, func(o *api.Options) {
		o.Ingest = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			panic("a bug")
		})
	})
	resp := s.do("POST", "/v1/events")
	if body := read(t, resp); resp.StatusCode != 500 || !json.Valid([]byte(body)) {
		t.Errorf("answered %d: %s", resp.StatusCode, body)
	}
}

// A body that only trickles is given up; one on a slow line is not.
func TestBodyMustComeAtAPace(t *testing.T) {
	for _, tt := range []struct {
		perSecond, seconds, status int
	}{
		{1, 3600, 400},
		{1000, 3600, 400},
		{1, 20, 200},
		{8 << 10, 3600, 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := api.New(api.Options{
				Query: query.New(query.Options{}), Logger: slog.New(slog.DiscardHandler),
				Ingest: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						http.Error(w, err.Error(), http.StatusBadRequest)
					}
				}),
			})
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("POST", "/v1/events", &trickle{tt.perSecond, tt.seconds}))
			if w.Code != tt.status {
				t.Errorf("%d bytes a second for %d s: %d, want %d", tt.perSecond, tt.seconds, w.Code, tt.status)
			}
		})
	}
}

// trickle is a body that comes slowly.
type trickle struct{ perSecond, seconds int }

func (b *trickle) Read(p []byte) (int, error) {
	if b.seconds == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	b.seconds--
	return min(b.perSecond, len(p)), nil
}

// A client that takes nothing of what it is sent is given up, and what it held
// is free again.
func TestStalledClientIsGivenUp(t *testing.T) {
	s := newServer(t, func(o *api.Options) { o.StallTimeout = 200 * time.Millisecond })
	s.mem.Publish(run(0, 60_000)...) // far more than the buffers of a connection hold
	stalled := []io.Closer{s.tail("/v1/events/tail?since=beginning").body, s.do("GET", "/v1/export", "Accept-Encoding", "identity").Body}
	deadline := time.Now().Add(10 * time.Second)
	for {
		m := s.get("/metrics")
		if strings.Contains(m, "daybook_query_tails 0") && strings.Contains(m, "daybook_query_exports_running 0") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still waiting for the client")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, body := range stalled {
		if _, err := io.Copy(io.Discard, body.(io.Reader)); err == nil {
			t.Error("what was cut off looks whole")
		}
	}
}

// A search whose client takes nothing holds its slot no longer than a query may
// run, however long a client may stall.
func TestStalledSearchFreesItsSlot(t *testing.T) {
	var engine *query.Engine
	s := newServer(t, func(o *api.Options) {
		mem := querytest.New()
		var events []event.Event
		for n := range 5000 {
			e := numbered(n)
			e.Reason = strings.Repeat("x", 4000)
			events = append(events, e)
		}
		mem.Publish(events...)
		engine = query.New(query.Options{Store: mem, Stream: mem, Timeout: 300 * time.Millisecond})
		o.Query, o.StallTimeout = engine, time.Hour
	})
	resp := s.do("GET", "/v1/events?limit=10000") // 20 MB, far more than the buffers of a connection hold
	deadline := time.Now().Add(10 * time.Second)
	for engine.Stats().Queries > 0 {
		if time.Now().After(deadline) {
			t.Fatal("still waiting for the client")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("what was cut off looks whole")
	}
}

// A server asked to stop ends its tails whole and stops, though a client is
// connected that sends nothing.
func TestServerLifecycle(t *testing.T) {
	mem := querytest.New()
	a := api.New(api.Options{Query: query.New(query.Options{Store: mem, Stream: mem}), Logger: slog.New(slog.DiscardHandler)})
	if _, err := api.Open(t.Context(), "256.0.0.1:1", nil, a); err == nil {
		t.Fatal("listens on an address that is none")
	}
	s, err := api.Open(t.Context(), "127.0.0.1:0", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	idle, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	resp, err := http.Get("http://" + s.Addr().String() + "/v1/events/tail")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	mem.Publish(numbered(0))
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data:") {
			break
		}
	}
	stop()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the tail did not end whole: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("still listens")
	}
}

// A filter as long as it may be fits into a header, percent-encoded or not; what
// is much longer is refused before the API sees it.
func TestHeaderLimit(t *testing.T) {
	mem := querytest.New()
	a := api.New(api.Options{Query: query.New(query.Options{Store: mem, Stream: mem}), Logger: slog.New(slog.DiscardHandler)})
	s, err := api.Open(t.Context(), "127.0.0.1:0", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for q, status := range map[string]int{
		strings.Repeat("a", 16<<10): 200, strings.Repeat("%61", 16<<10): 200, strings.Repeat("a", 60<<10): 400, strings.Repeat("a", 1<<20): 431,
	} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go fmt.Fprintf(conn, "GET /v1/events?q=%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", q)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%d bytes: %v, %v, want %d", len(q), resp, err, status)
		}
		conn.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What the way from the store to the client's connection costs per event.
func BenchmarkSearchJSON(b *testing.B) { benchmarkAnswer(b, "/v1/events?limit=1000") }

func BenchmarkExportNDJSON(b *testing.B) { benchmarkAnswer(b, "/v1/export") }

func BenchmarkExportCSV(b *testing.B) { benchmarkAnswer(b, "/v1/export?format=csv") }

func BenchmarkExportParquet(b *testing.B) { benchmarkAnswer(b, "/v1/export?format=parquet") }

func benchmarkAnswer(b *testing.B, path string) {
	fixed := &fixedStore{querytest.New(), run(0, 1000)}
	a := api.New(api.Options{Query: query.New(query.Options{Store: fixed, Stream: fixed}), Logger: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest("GET", path, nil)
	w := &discard{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		a.ServeHTTP(w, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(fixed.events)), "ns/event")
	b.SetBytes(w.n / int64(b.N))
}

// fixedStore answers every scan with the same events, at no cost.
type fixedStore struct {
	*querytest.Mem
	events []event.Event
}

func (f *fixedStore) Scan(_ context.Context, _ store.Scan, yield func(*event.Event) bool) error {
	for i := range f.events {
		if !yield(&f.events[i]) {
			break
		}
	}
	return nil
}

// discard is a response nobody reads.
type discard struct {
	header http.Header
	n      int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += int64(len(b)); return len(b), nil }
