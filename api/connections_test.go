package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// fewConnections runs a server that may have n connections for the length of the
// test, and returns its address.
func fewConnections(t *testing.T, n int) (addr string) {
	t.Helper()
	mem := querytest.New()
	a := api.New(api.Options{Query: query.New(query.Options{Store: mem, Stream: mem}), Logger: slog.New(slog.DiscardHandler), MaxConnections: n})
	s, err := api.Open(t.Context(), "127.0.0.1:0", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

// caller is one connection.
type caller struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func call(t *testing.T, addr string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &caller{t, conn, bufio.NewReader(conn)}
}

// ask sends a request and returns the answer, whose body is not read yet.
func (c *caller) ask(path string) *http.Response {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
	return resp
}

// get asks for a path and returns status and body of the answer.
func (c *caller) get(path string) (int, string) {
	c.t.Helper()
	resp := c.ask(path)
	return resp.StatusCode, read(c.t, resp)
}

// closed waits until the server has closed the connection. After the deadline it
// would have done so in any case.
func (c *caller) closed() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("got %q, %v; the connection was to be closed", b, err)
	}
}

// await waits until /metrics, asked for on connections that next returns, has a line.
func await(t *testing.T, line string, next func() *caller) {
	t.Helper()
	for {
		status, metrics := next().get("/metrics")
		if status != http.StatusOK {
			t.Fatal(status, metrics)
		}
		if strings.Contains(metrics, line+"\n") {
			return
		}
	}
}

// Beyond the bound, a connection that asks nothing gives way to a new one: the one
// that has asked nothing for longest.
func TestIdleConnectionsGiveWay(t *testing.T) {
	addr := fewConnections(t, 4)
	silent, first, second, watcher := call(t, addr), call(t, addr), call(t, addr), call(t, addr)
	ask := func(c *caller) {
		t.Helper()
		if status, body := c.get("/v1/events"); status != http.StatusOK {
			t.Fatal(status, body)
		}
		await(t, `daybook_http_connections{state="waiting"} 3`, func() *caller { return watcher }) // all but the watcher: c has begun to wait
	}
	for _, c := range []*caller{first, second, first} {
		ask(c)
	}
	for _, longest := range []*caller{silent, second, first} {
		ask(call(t, addr))
		longest.closed()
	}
}

// When every connection is answering, more are told so, and whoever asks how the
// server is gets an answer; when one ends, the next is served.
func TestFullServer(t *testing.T) {
	addr := fewConnections(t, 2)
	tails := []*caller{call(t, addr), call(t, addr)}
	for _, c := range tails {
		if resp := c.ask("/v1/events/tail"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	for range 100 { // more than the spare ones, one after the other
		c := call(t, addr)
		resp := c.ask("/v1/events")
		if body := read(t, resp); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, "api.max_connections") {
			t.Fatalf("%s %v %s", resp.Status, resp.Header, body)
		}
		c.closed()
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := call(t, addr).get(path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, line := range []string{
		`daybook_http_connections{state="answering"} 3`, // the one that asks is the third
		`daybook_http_connections_refused_total 100`,
		`daybook_http_requests_total{code="503",route="none"} 100`,
	} {
		await(t, line, func() *caller { return call(t, addr) })
	}
	tails[0].conn.Close()
	for {
		status, body := call(t, addr).get("/v1/events")
		if status == http.StatusOK {
			break
		}
		if status != http.StatusServiceUnavailable {
			t.Fatal(status, body)
		}
	}
}

// Of a flood on a full server, as many are held as may ask how it is; the rest are
// hung up on, the oldest first.
func TestFloodOnFullServer(t *testing.T) {
	addr := fewConnections(t, 1)
	tail := call(t, addr)
	if resp := tail.ask("/v1/events/tail"); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	var flood []*caller
	for range 200 {
		flood = append(flood, call(t, addr))
	}
	if status, body := call(t, addr).get("/healthz"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range flood[:200-64] {
		c.closed()
	}
	if _, err := io.WriteString(tail.conn, "\r\n"); err != nil {
		t.Errorf("the tail was cut off: %v", err)
	}
}
