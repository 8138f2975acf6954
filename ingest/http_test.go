package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/stream"
)

// good returns a good event with the n-th identity.
func good(n int) string {
	return fmt.Sprintf(`{"event_id":"%s","user_id":"alice","action":"a","resource":"r"}`, idOf(n))
}

const anonymous = `{"user_id":"alice","action":"a","resource":"r"}`

// reply is an answer as a test compares it.
type reply struct {
	status int
	// results in words: "offset", "offset dup", or "index/line field: reason",
	// separated by " | "; reasons are cut at the first comma, colon or semicolon
	results string
	problem string // short type of the problem document
	detail  string
}

// post sends a body and checks that the answer's members agree with each other.
func post(t *testing.T, h http.Handler, target string, body io.Reader, headers ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", target, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a struct {
		Type, Detail                   string
		Status                         int
		Accepted, Duplicates, Rejected int
		Last                           []event.Position
		Results                        []struct {
			EventID   string `json:"event_id"`
			Partition int32
			Offset    int64
			Duplicate bool
			Index     int
			Line      int
			Errors    event.Errors
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("status %d, body is not JSON: %v\n%s", w.Code, err, w.Body)
	}
	wantType := "application/json"
	if w.Code >= 400 {
		wantType = problem.ContentType
		if a.Status != w.Code || a.Detail == "" {
			t.Errorf("problem %s with status %d says %d", w.Body, w.Code, a.Status)
		}
	}
	if got := w.Header().Get("Content-Type"); got != wantType {
		t.Errorf("Content-Type %q with status %d", got, w.Code)
	}
	var words []string
	var counts [3]int
	last := int64(-1)
	for _, e := range a.Results {
		switch {
		case e.Errors != nil:
			counts[2]++
			reason, _, _ := strings.Cut(e.Errors[0].Reason, ",")
			reason, _, _ = strings.Cut(reason, ";")
			reason, _, _ = strings.Cut(reason, ":")
			words = append(words, fmt.Sprintf("%d/%d %s: %s", e.Index, e.Line, e.Errors[0].Field, reason))
			continue
		case e.Duplicate:
			counts[1]++
			words = append(words, fmt.Sprintf("%d dup", e.Offset))
		default:
			counts[0]++
			words = append(words, fmt.Sprint(e.Offset))
		}
		last = max(last, e.Offset)
		if _, ok := event.ParseID(e.EventID); !ok {
			t.Errorf("receipt with event_id %q", e.EventID)
		}
	}
	if w.Header().Get("Preference-Applied") == "" && !strings.Contains(target, "receipts") {
		if counts != [3]int{a.Accepted, a.Duplicates, a.Rejected} {
			t.Errorf("results have %v, counts are %s", counts, w.Body)
		}
		if last >= 0 && (len(a.Last) != 1 || a.Last[0].Offset != last) {
			t.Errorf("last is %v, want offset %d", a.Last, last)
		}
	}
	return reply{w.Code, strings.Join(words, " | "), strings.TrimPrefix(a.Type, "urn:problem-type:daybook:"), a.Detail}
}

func newHandler(t testing.TB, o HTTPOptions) *Handler {
	o.Logger = discard()
	return NewHandler(NewPublisher(PublisherOptions{Stream: openLog(t), Store: new(shelf)}), o)
}

func TestHTTPBodies(t *testing.T) {
	const wrong = `{"user_id":"alice","action":"a"}`
	tests := []struct {
		name   string
		target string
		body   string
		want   reply
	}{
		{"one object", "/", good(1), reply{200, "0", "", ""}},
		{"one pretty object", "/", "{\n  \"user_id\": \"alice\",\n  \"action\": \"a\",\n  \"resource\": \"r\",\n  \"metadata\": {\n    \"x\": {}\n  }\n}\n", reply{200, "0", "", ""}},
		{"NDJSON", "/", good(1) + "\n" + good(2) + "\r\n\n" + good(3) + "\n", reply{200, "0 | 1 | 2", "", ""}},
		{"array", "/", " [" + good(1) + ",\n" + good(2) + "]\n", reply{200, "0 | 1", "", ""}},
		{"empty array", "/", "[]", reply{200, "", "", ""}},
		{"without identity", "/", anonymous + "\n" + anonymous, reply{200, "0 | 1", "", ""}},
		{"twice in a request", "/", good(1) + "\n" + good(2) + "\n" + good(1), reply{200, "0 | 1 | 0 dup", "", ""}},
		{"byte order mark", "/", "\ufeff" + good(1), reply{200, "0", "", ""}},

		{"a bad line among good ones", "/", good(1) + "\n" + wrong + "\n" + good(2), reply{207, "0 | 1/2 resource: is required | 1", "", ""}},
		{"bad lines first and last", "/", wrong + "\n" + good(1) + "\n{\"user", reply{207, "0/1 resource: is required | 0 | 2/3 : is not valid JSON", "", ""}},
		{"NUL bytes and bad UTF-8", "/", good(1) + "\n\x00\n{\"user_id\":\"\xff\",\"action\":\"a\",\"resource\":\"r\"}\n" + good(2), reply{207, "0 | 1/2 : is not valid JSON | 2/3 user_id: is not valid UTF-8 | 1", "", ""}},
		{"a bad element", "/", "[" + good(1) + ",{oops no}," + good(2) + "]", reply{207, "0 | 1/0 : is not valid JSON | 1", "", ""}},
		{"an element that is no object", "/", "[" + good(1) + ",17," + good(2) + "]", reply{207, "0 | 1/0 : must be a JSON object | 1", "", ""}},
		{"too large among good ones", "/", good(1) + "\n{\"a\":\"" + strings.Repeat("x", event.MaxSize) + "\"}\n" + good(2), reply{207, "0 | 1/2 : the event is larger than the 65536 bytes that are accepted | 1", "", ""}},

		{"one bad object", "/", wrong, reply{422, "0/1 resource: is required", "events-refused", "the event could not be accepted; see results"}},
		{"one pretty object that is not JSON", "/", "{\n  \"user_id\": oops\n}", reply{422, "0/1 : is not valid JSON", "events-refused", "the event could not be accepted; see results"}},
		{"all bad", "/", wrong + "\n" + wrong, reply{422, "0/1 resource: is required | 1/2 resource: is required", "events-refused", "none of the 2 events could be accepted; see results"}},

		{"atomic, all good", "/?atomic=true", good(1) + "\n" + good(2), reply{200, "0 | 1", "", ""}},
		{"atomic, one bad", "/?atomic=true", good(1) + "\n" + wrong + "\n" + good(2), reply{422, "1/2 resource: is required", "events-refused", "1 of the events were refused, and with atomic=true none is accepted then; see results"}},
		{"atomic, one duplicate", "/?atomic=1", good(1) + "\n" + good(1), reply{200, "0 | 0 dup", "", ""}},

		{"without receipts", "/?receipts=false", good(1) + "\n" + wrong + "\n" + good(2), reply{207, "1/2 resource: is required", "", ""}},

		{"empty", "/", "", reply{400, "", "malformed-body", "the body is empty; send a JSON object, an array of objects, or one object a line (NDJSON)"}},
		{"array not closed", "/", "[" + good(1), reply{400, "", "malformed-body", "the array is not closed: the body ends before ]"}},
		{"not JSON", "/", "user=alice", reply{400, "", "malformed-body", `the body begins with 'u'; send a JSON object, an array of objects, or one object a line (NDJSON)`}},
		{"unknown parameter", "/?atomc=true", good(1), reply{400, "", "invalid-parameter", "the request has a parameter that is not accepted; see errors"}},
		{"a query string that cannot be decoded", "/?atomic=true;receipts=false", good(1), reply{400, "", "invalid-parameter", "the query string cannot be decoded: invalid semicolon separator in query; parameters are separated by & and percent-encoded"}},
		{"a parameter twice", "/?atomic=true&atomic=false", good(1), reply{400, "", "invalid-parameter", "the request has a parameter that is not accepted; see errors"}},
		{"bad parameter", "/?atomic=yes", good(1), reply{400, "", "invalid-parameter", "the request has a parameter that is not accepted; see errors"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(t, HTTPOptions{})
			got := post(t, h, tt.target, strings.NewReader(tt.body))
			if got.results = regexp.MustCompile(` at byte \d+`).ReplaceAllString(got.results, ""); got != tt.want {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
			accepted := 0
			for r := range strings.SplitSeq(got.results, " | ") {
				if r != "" && !strings.ContainsAny(r, "/ ") {
					accepted++
				}
			}
			if n := len(contents(t, h.publisher.stream.(stream.Stream))); n != accepted && !strings.Contains(tt.target, "receipts") {
				t.Errorf("the log holds %d events, %d were acknowledged as new", n, accepted)
			}
			if n := h.metrics.HTTP.InFlight.Load() + h.metrics.HTTP.InFlightBytes.Load(); n != 0 {
				t.Errorf("%d requests or bytes are counted as in flight after the answer", n)
			}
		})
	}
}

func compressed(t testing.TB, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	if coding == "gzip" {
		w = gzip.NewWriter(&b)
	} else {
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHTTPCompression(t *testing.T) {
	body := events410(rand.New(rand.NewPCG(1, 1)), nil, 500)
	for _, coding := range []string{"gzip", "zstd"} {
		h := newHandler(t, HTTPOptions{})
		packed := compressed(t, coding, body)
		damaged := bytes.Clone(packed)
		damaged[len(damaged)/2] ^= 0xff
		for range 2 { // the decompressor is used again
			if got := post(t, h, "/?receipts=false", bytes.NewReader(packed), "Content-Encoding", coding); got.status != 200 {
				t.Errorf("%s: %+v", coding, got)
			}
			got := post(t, h, "/", bytes.NewReader(packed[:len(packed)/2]), "Content-Encoding", coding)
			if want := (reply{400, "", "malformed-body", "the body's " + coding + " stream breaks off before its end"}); got != want {
				t.Errorf("%s cut in half:\n got %+v\nwant %+v", coding, got, want)
			}
			if got := post(t, h, "/", bytes.NewReader(damaged), "Content-Encoding", coding); got.status != 400 || !strings.HasPrefix(got.detail, "the body") {
				t.Errorf("%s damaged: %+v", coding, got)
			}
			if got := post(t, h, "/", strings.NewReader(""), "Content-Encoding", coding); got.status != 400 {
				t.Errorf("%s, empty: %+v", coding, got)
			}
			if got := post(t, h, "/", bytes.NewReader(body), "Content-Encoding", coding); got.status != 400 {
				t.Errorf("%s, and is not: %+v", coding, got)
			}
		}
		if n := len(contents(t, h.publisher.stream.(stream.Stream))); n != 1000 {
			t.Errorf("%s: the log holds %d events, want 1000: nothing of a damaged body", coding, n)
		}
	}
	h := newHandler(t, HTTPOptions{})
	if got := post(t, h, "/", strings.NewReader(good(1)), "Content-Encoding", "br"); got.status != 415 || !strings.Contains(got.detail, "gzip, zstd, identity") {
		t.Errorf("br: %+v", got)
	}
	if got := post(t, h, "/", strings.NewReader(good(1)), "Content-Encoding", "Identity"); got.status != 200 {
		t.Errorf("identity: %+v", got)
	}
}

func TestHTTPContentTypes(t *testing.T) {
	for contentType, want := range map[string]int{
		"": 200, "application/json": 200, "application/json; charset=utf-8": 200, "application/x-ndjson": 200,
		"application/jsonl": 200, "application/x-www-form-urlencoded": 200, "text/plain": 200,
		"multipart/form-data; boundary=x": 415, "application/xml": 415, "image/png": 415, "%%%": 415,
	} {
		got := post(t, newHandler(t, HTTPOptions{}), "/", strings.NewReader(good(1)), "Content-Type", contentType)
		if got.status != want {
			t.Errorf("%q: %+v, want %d", contentType, got, want)
		}
	}
	got := post(t, newHandler(t, HTTPOptions{}), "/", strings.NewReader("garbage\n"+good(1)), "Content-Type", "application/x-ndjson")
	if got.status != 207 {
		t.Errorf("NDJSON whose first line is garbage: %+v", got)
	}
}

func TestHTTPLimits(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(good(i+1) + "\n")
		}
		return b.String()
	}
	bomb := compressed(t, "gzip", bytes.Repeat([]byte(" "), 4<<20))
	tests := []struct {
		name    string
		opts    HTTPOptions
		target  string
		body    io.Reader
		coding  string
		want    reply
		durable int
	}{
		{"declared length", HTTPOptions{MaxBody: 1000}, "/", strings.NewReader(lines(20)), "",
			reply{413, "", "body-too-large", "the body is larger than the 1000 bytes that are accepted; send it in pieces"}, 0},
		{"length not declared", HTTPOptions{MaxBody: 1000}, "/", io.MultiReader(strings.NewReader(lines(20))), "",
			reply{413, "", "body-too-large", "the body is larger than the 1000 bytes that are accepted; send it in pieces"}, 0},
		{"just as long", HTTPOptions{MaxBody: int64(len(lines(2)))}, "/", io.MultiReader(strings.NewReader(lines(2))), "",
			reply{200, "0 | 1", "", ""}, 2},
		{"bomb", HTTPOptions{MaxDecoded: 1 << 20}, "/", bytes.NewReader(bomb), "gzip",
			reply{413, "", "body-too-large", "the body is larger than the 1048576 bytes that are accepted after decompression; send it in pieces"}, 0},
		{"events", HTTPOptions{MaxEvents: 3}, "/", strings.NewReader(lines(4)), "",
			reply{413, "", "events-too-large", "the request has more than the 3 events that are accepted; send it in pieces"}, 0},
		{"just as many events", HTTPOptions{MaxEvents: 3}, "/", strings.NewReader(lines(3)), "",
			reply{200, "0 | 1 | 2", "", ""}, 3},
		{"atomic", HTTPOptions{MaxAtomic: 500}, "/?atomic=true", strings.NewReader(lines(10)), "",
			reply{413, "", "atomic-too-large", "the events are more than the 500 bytes that atomic=true accepts; send them in pieces, or without it"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(t, tt.opts)
			if got := post(t, h, tt.target, tt.body, "Content-Encoding", tt.coding); got != tt.want {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
			if n := len(contents(t, h.publisher.stream.(stream.Stream))); n != tt.durable {
				t.Errorf("the log holds %d events, want %d", n, tt.durable)
			}
		})
	}
}

// TestHTTPEndlessBody: a body without end is answered and holds no more memory
// than a request may.
func TestHTTPEndlessBody(t *testing.T) {
	for name, text := range map[string]string{"blanks": " ", "garbage": "x", "a string": `{"a":"x`, "one array": "[[", "empty objects": "{}", "lines": "{\n"} {
		h := newHandler(t, HTTPOptions{MaxBody: 2 << 20, MaxEvents: 20_000})
		got := post(t, h, "/", &endless{text: text}, "Content-Type", "application/x-ndjson")
		if got.status != 413 {
			t.Errorf("%s: status %d %s", name, got.status, got.detail)
		}
	}
}

type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.at%len(e.text)]
		e.at++
	}
	return len(p), nil
}

// TestHTTPReadsRefusedBodies: a program that sends all of a body before it looks
// for the answer gets the answer, though the body was refused at its beginning.
func TestHTTPReadsRefusedBodies(t *testing.T) {
	srv := httptest.NewServer(newHandler(t, HTTPOptions{MaxEvents: 1}))
	defer srv.Close()
	for _, tt := range []struct {
		name, target, body string
		status             int
	}{
		{"too many events", "/", "{}\n{}\n", 413},
		{"a broken array", "/", "[1 2", 400},
		{"a bad parameter", "/?atomic=yes", "", 400},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const length = 32 << 20 // more than what the two ends of a connection buffer
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", tt.target, length, tt.body)
		_, err = conn.Write(bytes.Repeat([]byte(" "), length-len(tt.body)))
		if err != nil {
			t.Errorf("%s: sending: %v", tt.name, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != tt.status {
			t.Errorf("%s: %v, %v; want status %d", tt.name, resp, err, tt.status)
		}
		conn.Close()
	}
}

// TestHTTPFailsMidway: what was durable before the failure is told, and nothing
// else was accepted.
func TestHTTPFailsMidway(t *testing.T) {
	body := events410(rand.New(rand.NewPCG(2, 2)), nil, batchEvents+100)
	packed := compressed(t, "gzip", body)
	broken := errors.New("connection lost")
	tests := []struct {
		name   string
		body   io.Reader
		coding string
		fail   error
		status int
	}{
		{"truncated gzip", bytes.NewReader(packed[:len(packed)-100]), "gzip", nil, 400},
		{"connection lost", io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)), "", nil, 400},
		{"disk full", bytes.NewReader(body), "", stream.ErrFull, 503},
		{"overloaded", bytes.NewReader(body), "", stream.ErrOverloaded, 429},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := openLog(t)
			var s Stream = log
			if tt.fail != nil {
				s = &failing{Stream: log, after: 1, err: tt.fail}
			}
			h := NewHandler(NewPublisher(PublisherOptions{Stream: s, Store: new(shelf)}), HTTPOptions{})
			got := post(t, h, "/", tt.body, "Content-Encoding", tt.coding)
			held := len(contents(t, log))
			if got.status != tt.status || held == 0 || held > batchEvents || strings.Count(got.results, "|")+1 != held {
				t.Errorf("status %d %s; %d results, the log holds %d", got.status, got.detail, strings.Count(got.results, "|")+1, held)
			}
		})
	}
}

func TestHTTPStreamErrors(t *testing.T) {
	tests := []struct {
		err        error
		status     int
		kind       string
		retryAfter string
	}{
		{stream.ErrOverloaded, 429, "overloaded", "1"},
		{fmt.Errorf("write data/log/1.wal: no space left on device: %w", stream.ErrFull), 503, "stream-full", "30"},
		{stream.ErrFailed, 503, "stream-failed", "30"},
		{fmt.Errorf("topic t did not acknowledge within 5s: %w", stream.ErrUnavailable), 503, "stream-unavailable", "5"},
		{stream.ErrClosed, 503, "stopping", "5"},
		{errors.New("unheard of"), 500, "append-failed", ""},
	}
	for _, tt := range tests {
		s := &failing{Stream: openLog(t), err: tt.err}
		h := NewHandler(NewPublisher(PublisherOptions{Stream: s, Store: new(shelf)}), HTTPOptions{Logger: discard()})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(good(1))))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), ":"+tt.kind+`"`) || w.Header().Get("Retry-After") != tt.retryAfter ||
			!strings.Contains(w.Body.String(), `"results":[]`) {
			t.Errorf("%v: %d, Retry-After %q, %s", tt.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		s.after = 1 // it works again
		if got := post(t, h, "/", strings.NewReader(good(1))); got.results != "0" {
			t.Errorf("after %v: %+v", tt.err, got)
		}
	}
}

func TestHTTPOverload(t *testing.T) {
	g := newGate(openLog(t))
	h := NewHandler(NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)}), HTTPOptions{MaxInFlight: 8 << 10, MaxWait: time.Millisecond})
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			if got := post(t, h, "/", strings.NewReader(good(n+1))); got.status != 200 {
				t.Errorf("request in flight: %+v", got)
			}
		})
		<-g.entered
	}
	got := post(t, h, "/", strings.NewReader(good(3)))
	if want := (reply{429, "", "overloaded", "8192 bytes of events are being taken in, which is as much as the server holds at a time; send again later"}); got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	for range 3 {
		g.proceed <- nil
	}
	wg.Wait()
	if got := post(t, h, "/", strings.NewReader(good(3))); got.status != 200 {
		t.Errorf("after the others: %+v", got)
	}
	if n := h.metrics.HTTP.Overloaded.Load(); n != 1 {
		t.Errorf("%d requests counted as overload", n)
	}
}

// TestHTTPLittleMemory: a request that gets no more memory appends in smaller
// batches, one that has to be whole is told to come back.
func TestHTTPLittleMemory(t *testing.T) {
	body := events410(rand.New(rand.NewPCG(3, 3)), nil, 1000)
	h := newHandler(t, HTTPOptions{MaxInFlight: 16 << 10})
	if got := post(t, h, "/?receipts=false", bytes.NewReader(body)); got.status != 200 {
		t.Errorf("status %d %s", got.status, got.detail)
	}
	if n := len(contents(t, h.publisher.stream.(stream.Stream))); n != 1000 {
		t.Errorf("the log holds %d events, want 1000", n)
	}
	if got := post(t, h, "/?atomic=true", bytes.NewReader(body)); got.status != 429 {
		t.Errorf("atomic: status %d %s", got.status, got.detail)
	}
}

func TestHTTPMinimal(t *testing.T) {
	h := newHandler(t, HTTPOptions{})
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(good(1)+"\n"+good(2)+"\n"+good(1)))
	r.Header.Set("Prefer", "respond-async, return=minimal")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	want := `{"accepted":2,"duplicates":1,"rejected":0,"last":[{"partition":0,"offset":1}],"results":[]}` + "\n"
	if w.Body.String() != want || w.Header().Get("Preference-Applied") != "return=minimal" {
		t.Errorf("got %s", w.Body)
	}
}

// TestHTTPNonsense: an answer to nothing but nonsense stays in proportion.
func TestHTTPNonsense(t *testing.T) {
	line := `{"userid":1,"acton":2,"resurce":3,"tenant_id":4,"outcome":5,"source_ip":"x"}` + "\n"
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(strings.Repeat(line, 6000)))
	w := httptest.NewRecorder()
	newHandler(t, HTTPOptions{}).ServeHTTP(w, r)
	if w.Code != 422 || w.Body.Len() > 3<<20 {
		t.Errorf("status %d, answer of %d bytes to %d", w.Code, w.Body.Len(), 6000*len(line))
	}
}

// TestHTTPAnswersAreHeld: an answer counts as bytes in flight, or a few small
// bodies of nonsense would be answered out of any amount of memory.
func TestHTTPAnswersAreHeld(t *testing.T) {
	h := newHandler(t, HTTPOptions{MaxInFlight: 2 << 20})
	body := strings.Repeat("{}\n", 50_000)
	got := post(t, h, "/", strings.NewReader(good(1)+"\n"+body))
	if got.status != 429 {
		t.Errorf("status %d for an answer that is larger than what may be held", got.status)
	}
	if n := h.metrics.HTTP.InFlightBytes.Load(); n != 0 {
		t.Errorf("%d bytes are still held after the request", n)
	}
	if got := post(t, h, "/", strings.NewReader(good(1)+"\n"+body[:3*1000])); got.status != 207 {
		t.Errorf("status %d for an answer that is not", got.status)
	}
}

// TestHTTPStall: a publisher that goes quiet in the midst of a body is cut off,
// and one that waits for its answer is not.
func TestHTTPStall(t *testing.T) {
	g := newGate(openLog(t))
	h := NewHandler(NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)}), HTTPOptions{Stall: 50 * time.Millisecond})
	server := httptest.NewServer(h)
	defer server.Close()

	pr, pw := io.Pipe()
	go pw.Write([]byte(good(1) + "\n"))
	response, err := http.Post(server.URL, "application/x-ndjson", pr)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	pw.Close()
	if response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("stalled: status %d", response.StatusCode)
	}

	go func() {
		<-g.entered
		time.Sleep(150 * time.Millisecond)
		g.proceed <- nil
	}()
	response, err = http.Post(server.URL, "application/x-ndjson", strings.NewReader(good(1)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("waiting for its answer: status %d", response.StatusCode)
	}
}

// TestHTTPPublisherGone: an append that has begun is seen through, so that a
// publisher that comes back is told where its event lies. One that has not
// begun does not begin.
func TestHTTPPublisherGone(t *testing.T) {
	g := newGate(openLog(t))
	h := NewHandler(NewPublisher(PublisherOptions{Stream: g, Store: new(shelf)}), HTTPOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(good(1))))
		done <- w.Code
	}()
	<-g.entered
	cancel()
	g.proceed <- nil
	if code := <-done; code != http.StatusOK {
		t.Errorf("status %d", code)
	}
	if got := post(t, h, "/", strings.NewReader(good(1))); got.results != "0 dup" {
		t.Errorf("sent again: %+v", got)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(good(2))))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("gone before the append: status %d", w.Code)
	}
}

// TestHTTPConcurrent publishes overlapping identities by many requests at once.
func TestHTTPConcurrent(t *testing.T) {
	h := newHandler(t, HTTPOptions{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				var b strings.Builder
				for k := range 30 {
					fmt.Fprintln(&b, good((w/2*20+i)*20+k+1))
				}
				if got := post(t, h, "/", strings.NewReader(b.String())); got.status != 200 {
					t.Errorf("%+v", got)
				}
			}
		})
	}
	wg.Wait()
	seen := map[event.ID]bool{}
	for _, e := range contents(t, h.publisher.stream.(stream.Stream)) {
		if seen[e.ID] {
			t.Fatalf("%s is in the log twice", e.ID)
		}
		seen[e.ID] = true
	}
}

// FuzzHTTP: whatever is sent, the answer is JSON and accounts for what the log
// holds.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte(good(1)+"\n"+good(1)+"\n{}"), false)
	f.Add([]byte("["+anonymous+"]"), true)
	f.Add([]byte("{\n\"user_id\":\"a\",\n\"action\":\"b\",\"resource\":\"c\"}"), false)
	h := newHandler(f, HTTPOptions{MaxEvents: 100})
	f.Fuzz(func(t *testing.T, body []byte, atomic bool) {
		before, _ := h.publisher.stream.(stream.Stream).End(t.Context())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("/?atomic=%t", atomic), bytes.NewReader(body)))
		after, _ := h.publisher.stream.(stream.Stream).End(t.Context())
		var a struct{ Accepted, Rejected int64 }
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if n := after.At(0) - before.At(0); n != a.Accepted || atomic && a.Rejected > 0 && n > 0 {
			t.Errorf("status %d: accepted %d, appended %d", w.Code, a.Accepted, n)
		}
	})
}
