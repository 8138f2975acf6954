package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// serve answers each request by the next of the answers, and the last for ever.
func serve(t *testing.T, answers ...http.HandlerFunc) (c *Client, requests *[]string) {
	t.Helper()
	requests = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*requests = append(*requests, string(body))
		answers[min(len(*requests), len(answers))-1](w, r)
	}))
	t.Cleanup(s.Close)
	c, err := New(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return c, requests
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestPublishTriesAgain(t *testing.T) {
	busy := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		status(429, `{"status":429,"detail":"busy"}`)(w, r)
	}
	c, requests := serve(t, hangUp, status(503, "down"), status(408, `{"status":408}`), busy,
		status(207, `{"accepted":1,"rejected":1,"results":[{"event_id":"x","offset":7},{"index":1,"errors":[{"field":"user_id","reason":"is required"}]}]}`))
	var pauses []time.Duration
	res, err := c.Publish(t.Context(), []byte("a\nb\n"), func(_ error, pause time.Duration) { pauses = append(pauses, pause) })
	if err != nil {
		t.Fatal(err)
	}
	if res.Accepted != 1 || res.Rejected != 1 || len(res.Results) != 2 || res.Results[1].Index != 1 || len(res.Results[1].Errors) != 1 {
		t.Errorf("got %+v", res)
	}
	if len(pauses) != 4 || pauses[3] < time.Second {
		t.Errorf("pauses %v; want 4, the last as long as Retry-After", pauses)
	}
	for i, body := range *requests {
		if body != "a\nb\n" {
			t.Errorf("request %d carried %q", i, body)
		}
	}
}

func TestPublishGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		status int // of the Problem; 0: another error
	}{
		{"what cannot be accepted", status(413, `{"status":413,"detail":"too large"}`), 413},
		{"a body that is no event at all", status(422, `{"status":422,"detail":"nothing"}`), 422},
		{"another kind of server", status(200, "<html>It works!</html>"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, requests := serve(t, tt.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := c.Publish(ctx, nil, nil)
			p, ok := errors.AsType[*Problem](err)
			if err == nil || len(*requests) != 1 || ok != (tt.status > 0) || ok && p.Status != tt.status {
				t.Errorf("error %v after %d requests", err, len(*requests))
			}
		})
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	c, _ := serve(t, status(503, "down"))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Publish(ctx, nil, func(error, time.Duration) { cancel() }); err == nil {
		t.Error("no error")
	}
}

func TestGetAndCount(t *testing.T) {
	c, _ := serve(t, status(200, `{"event_id":"x"}`), status(200, `{"total":3,"groups":[{"value":"a","count":3}],"raw":1}`), status(404, `{"detail":"no such event"}`))
	if ev, err := c.Get(t.Context(), "x"); err != nil || string(ev) != `{"event_id":"x"}` {
		t.Errorf("get: %s (%v)", ev, err)
	}
	if n, err := c.Count(t.Context(), nil); err != nil || n.Total != 3 || len(n.Groups) != 1 || len(n.Raw) < 10 {
		t.Errorf("count: %+v (%v)", n, err)
	}
	_, err := c.Get(t.Context(), "y")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 404 || p.Error() != "no such event" {
		t.Errorf("absent: %v", err)
	}
}

// TestTailReconnects: the tail goes on after the last event that was handed out,
// and ends with the callback's error.
func TestTailReconnects(t *testing.T) {
	var from []string
	events := func(ids ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			from = append(from, r.Header.Get("Last-Event-ID"))
			for _, id := range ids {
				fmt.Fprintf(w, ": heartbeat\n\nid: %d\nevent: event\ndata: {\"n\":%d}\n\n", id, id)
			}
			fmt.Fprint(w, "id: 99\ndata: cut o") // not ended, so not there
		}
	}
	c, _ := serve(t, events(1, 2), events(3))
	enough := errors.New("enough")
	var got []string
	err := c.Tail(t.Context(), nil, "", func(ev []byte) error {
		if got = append(got, string(ev)); len(got) == 3 {
			return enough
		}
		return nil
	}, nil)
	if err != enough || fmt.Sprint(got) != `[{"n":1} {"n":2} {"n":3}]` || fmt.Sprint(from) != "[ 2]" {
		t.Errorf("got %v from %q: %v", got, from, err)
	}
}
