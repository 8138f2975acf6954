//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
	"github.com/daybook-log/daybook/internal/client"
)

// loads returns everyone who talks to the server.
func (s *soak) loads() []load {
	const batch, publishers, singles = 100, 4, 2
	ask := func(path string, params url.Values) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return s.discard(ctx, path+"?"+params.Encode()) }
	}
	return []load{
		{"publish 100", publishers, time.Second * publishers * batch / time.Duration(s.rate), true, s.publish(publishers, batch)},
		{"publish 1", singles, 20 * time.Millisecond, true, s.publish(singles, 1)},

		{"get by event_id", 1, 200 * time.Millisecond, true, s.needle},
		{"search a user", 1, 200 * time.Millisecond, true, ask("/v1/events", url.Values{"q": {"user_id:" + bench.User(500)}, "limit": {"100"}})},
		{"search text", 1, time.Second, true, ask("/v1/events", url.Values{"q": {`"invoice/4242"`}})},
		{"deep page", 1, 300 * time.Millisecond, true, s.deepPages()},
		{"count by action", 1, time.Second, true, ask("/v1/counts", url.Values{"by": {"action"}})},
		{"count over time", 1, time.Second, true, ask("/v1/counts", url.Values{"interval": {"auto"}, "q": {"outcome:denied"}})},
		{"export NDJSON", 1, 5 * time.Second, true, s.export},
		{"export CSV", 1, 5 * time.Second, true, ask("/v1/export", url.Values{"format": {"csv"}, "from": {"-5s"}})},
		{"export Parquet", 1, 5 * time.Second, true, ask("/v1/export", url.Values{"format": {"parquet"}, "from": {"-20s"}})},
		{"export, left half-way", 1, 5 * time.Second, false, s.leaveExport},

		{"tail of everything, reconnecting", 2, 0, false, s.reconnectingTail()},
		{"tail, slow", 2, 0, false, s.slowTail},
		{"tail with a filter", s.few(1000), 0, false, s.filteredTail},
		{"never reads", 6, 0, false, s.neverRead},

		{"connection, idle", s.few(200), 0, false, s.idle},
		{"connection, silent", s.few(50), 0, false, s.silent},
		{"header, slow", s.few(30), 0, false, s.drip("POST /v1/events HTTP/1.1\r\n", "X-Padding: x\r\n")},
		{"body, slow", s.few(30), 0, false, s.drip("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", `{"user_id":"alice"`)},
		{"malformed", 1, 100 * time.Millisecond, false, s.malformed},
	}
}

// publish returns a turn that publishes batches of n events.
func (s *soak) publish(workers, n int) func(context.Context, int) error {
	gens := make([]*bench.Generator, workers)
	for i := range gens {
		gens[i] = bench.NewGenerator(uint64(n*1000+i), false)
	}
	return func(ctx context.Context, worker int) error {
		var body []byte
		var first string
		for i := range n {
			b, id := gens[worker].Append(body, time.Now())
			if body = b; i == 0 {
				first = id.String()
			}
		}
		// Every request is seen through, so that what was acknowledged is known.
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, s.server.url+"/v1/events", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		var res client.Result
		if err := s.answer(req, &res); err != nil {
			return err
		}
		if res.Accepted != n || len(res.Results) != n {
			return fmt.Errorf("%d of %d events were accepted: %+v", res.Accepted, n, res)
		}
		s.acknowledged(n, first)
		return nil
	}
}

// needle gets an event that was acknowledged lately.
func (s *soak) needle(ctx context.Context, _ int) error {
	s.mu.Lock()
	recent := s.recent[max(0, len(s.recent)-100):]
	s.mu.Unlock()
	if len(recent) == 0 {
		return nil
	}
	return s.discard(ctx, "/v1/events/"+recent[rand.IntN(len(recent))])
}

// deepPages returns a turn that turns a page, from the newest to the oldest and
// then again.
func (s *soak) deepPages() func(context.Context, int) error {
	params := url.Values{"limit": {"1000"}}
	return func(ctx context.Context, _ int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.url+"/v1/events?"+params.Encode(), nil)
		if err != nil {
			return err
		}
		var page client.Page
		if err := s.answer(req, &page); err != nil {
			return err
		}
		if params.Del("cursor"); page.NextCursor != "" {
			params.Set("cursor", page.NextCursor)
		}
		return nil
	}
}

// open asks for a path and returns the answer if it is a success.
func (s *soak) open(ctx context.Context, path string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.url+path, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return s.do(req)
}

// do sends a request and returns the answer if it is a success.
func (s *soak) do(req *http.Request) (*http.Response, error) {
	resp, err := s.client.Do(req)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return nil, errors.Join(err, &client.Problem{Status: resp.StatusCode, Detail: string(body)})
}

// answer sends a request and decodes its answer.
func (s *soak) answer(req *http.Request, into any) error {
	resp, err := s.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (s *soak) discard(ctx context.Context, path string) error {
	resp, err := s.open(ctx, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// export checks that an export has as many events as it says.
func (s *soak) export(ctx context.Context, _ int) error {
	resp, err := s.open(ctx, "/v1/export?from=-5s")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n := 0
	for lines := bufio.NewReader(resp.Body); ; n++ {
		if _, err := lines.ReadSlice('\n'); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if says := resp.Trailer.Get("Daybook-Events"); says != strconv.Itoa(n) {
		return fmt.Errorf("%d events came; the trailer says %s", n, says)
	}
	return nil
}

// leaveExport takes the beginning of an export of everything and hangs up.
func (s *soak) leaveExport(ctx context.Context, _ int) error {
	resp, err := s.open(ctx, "/v1/export")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
	if err == io.EOF {
		return nil // that was everything
	}
	return err
}

// reconnectingTail returns a turn that follows everything for some seconds and
// hangs up, where the next turn goes on: every offset must come, each once.
func (s *soak) reconnectingTail() func(context.Context, int) error {
	var mu sync.Mutex
	type place struct {
		id   string
		next int64
	}
	places := map[int]place{}
	return func(ctx context.Context, worker int) error {
		mu.Lock()
		at, known := places[worker]
		mu.Unlock()
		ctx, hangUp := context.WithCancel(ctx)
		defer hangUp()
		resp, err := s.open(ctx, "/v1/events/tail?fields=offset", "Last-Event-ID", at.id)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		defer time.AfterFunc(time.Second+rand.N(4*time.Second), hangUp).Stop()
		id := ""
		for lines := bufio.NewReader(resp.Body); ; {
			line, err := lines.ReadString('\n')
			if err != nil { // what was cut off does not count
				break
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				id = value
			case "data":
				var offset int64
				if _, err := fmt.Sscanf(value, `{"offset":%d}`, &offset); err != nil {
					return fmt.Errorf("%w: %s", err, value)
				}
				if known && offset != at.next {
					return fmt.Errorf("offset %d came where %d was to come", offset, at.next)
				}
				at.next, known = offset+1, true
			case "": // the event is whole
				at.id = id
				if known {
					mu.Lock()
					places[worker] = at
					mu.Unlock()
				}
			}
		}
		if ctx.Err() == nil {
			return errors.New("the server ended a tail")
		}
		return nil
	}
}

// slowTail reads everything at a pace at which it falls behind, for a minute.
func (s *soak) slowTail(ctx context.Context, _ int) error {
	resp, err := s.open(ctx, "/v1/events/tail")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for range 600 {
		if _, err := io.CopyN(io.Discard, resp.Body, 16<<10); err != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// filteredTail follows one user for as long as the soak lasts.
func (s *soak) filteredTail(ctx context.Context, worker int) error {
	conn, err := s.dial(ctx, "GET /v1/events/tail?user_id="+bench.User(5000+worker)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return err
	}
	return errors.New("the server ended a tail")
}

// neverRead asks for much and takes nothing of it, for longer than the server
// waits for such a client.
func (s *soak) neverRead(ctx context.Context, worker int) error {
	path := [...]string{"/v1/events/tail?since=beginning", "/v1/export", "/v1/events?limit=10000"}[worker%3]
	conn, err := s.dial(ctx, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		return err
	}
	defer conn.Close()
	pause(ctx, 150*time.Second)
	return nil
}

// idle asks once and keeps the connection for as long as the server does.
func (s *soak) idle(ctx context.Context, _ int) error {
	conn, err := s.dial(ctx, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(io.Discard, conn)
	return err
}

// silent connects and asks nothing.
func (s *soak) silent(ctx context.Context, _ int) error {
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(io.Discard, conn)
	return err
}

// drip returns a turn that sends start and then more a byte a second, until the
// server has had enough.
func (s *soak) drip(start, more string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		conn, err := s.dial(ctx, start)
		if err != nil {
			return err
		}
		defer conn.Close()
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, conn) // until it is closed, here or there
			close(ended)
		}()
		for i := 0; ; i = (i + 1) % len(more) {
			select {
			case <-ended:
				return nil
			case <-time.After(time.Second):
			}
			if _, err := io.WriteString(conn, more[i:i+1]); err != nil {
				return nil
			}
		}
	}
}

// malformed sends what is no request, or a bad one, and wants to hear so.
func (s *soak) malformed(ctx context.Context, _ int) error {
	const post = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	bad := [...]string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
		"GET /v1/events?q=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/events?q=(((( HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/events HTTP/1.1\r\nHost: example.com\r\n\r\n",
		post + "Content-Length: 3\r\n\r\n{]}", post + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
		post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"GET /v1/events?q=" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
	}
	request := bad[rand.IntN(len(bad))]
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	go io.WriteString(conn, request) // the server need not read all of it
	answer := make([]byte, len("HTTP/1.1 4"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("to %.60q: %w", request, err)
	}
	if !bytes.HasSuffix(answer, []byte(" 4")) && !bytes.HasSuffix(answer, []byte(" 5")) {
		return fmt.Errorf("to %.60q: %s", request, answer)
	}
	return nil
}

// dial connects and sends a text. The connection ends with ctx, and without
// waiting for the other side: ports are not many.
func (s *soak) dial(ctx context.Context, text string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	c := &endingConn{Conn: conn}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	_, err = io.WriteString(conn, text)
	return c, errors.Join(err, conn.(*net.TCPConn).SetLinger(0))
}

// endingConn is a connection that ends with a context.
type endingConn struct {
	net.Conn
	stop func() bool
}

func (c *endingConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// pause waits until d has passed or ctx has ended.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
