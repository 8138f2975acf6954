package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// dialer connects a client with a server that is a function per connection.
func dialer(t *testing.T, serve ...func(request *http.Request, conn net.Conn)) *Client {
	next := 0
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		answer := serve[min(next, len(serve)-1)]
		next++
		go func() {
			defer far.Close()
			request, err := http.ReadRequest(bufio.NewReader(far))
			if err != nil {
				t.Error(err)
				return
			}
			answer(request, far)
			io.Copy(io.Discard, far) // silent until the client hangs up
		}()
		return near, nil
	}}
	c, err := New("http://server")
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport = transport
	return c
}

func send(conn net.Conn, text string) { io.WriteString(conn, text) }

const begin = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

func numbered(n int) string { return fmt.Sprintf("id: %d\ndata: %d\n\n", n, n) }

// A tail connects again when its server has been silent for three heartbeats, be
// it before it answered, and not because its own reader takes its time.
func TestTailNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from []string
		c := dialer(t,
			func(r *http.Request, conn net.Conn) {}, // takes the request, and no more
			func(r *http.Request, conn net.Conn) {
				send(conn, begin+numbered(1))
				for range 4 {
					time.Sleep(15 * time.Second)
					send(conn, ": heartbeat\nid: 7\n\n")
				}
			},
			func(r *http.Request, conn net.Conn) {
				from = append(from, r.Header.Get("Last-Event-ID"))
				send(conn, begin+numbered(8))
				send(conn, numbered(9))
			})
		began := time.Now()
		var got, retries []string
		enough := errors.New("enough")
		err := c.Tail(t.Context(), nil, "", func(ev []byte) error {
			got = append(got, fmt.Sprintf("%s at %v", ev, time.Since(began)))
			if string(ev) == "9" {
				return enough
			}
			if string(ev) == "8" {
				time.Sleep(time.Hour)
			}
			return nil
		}, func(err error) {
			retries = append(retries, fmt.Sprintf("%v at %v", err, time.Since(began)))
		})
		if err != enough || !slices.Equal(from, []string{"7"}) ||
			!slices.Equal(got, []string{"1 at 46s", "8 at 2m32s", "9 at 1h2m32s"}) {
			t.Errorf("got %v, having gone on from %v: %v", got, from, err)
		}
		if want := []string{errSilent.Error() + " at 45s", errSilent.Error() + " at 2m31s"}; !slices.Equal(retries, want) {
			t.Errorf("connected again because of %q, want %q", retries, want)
		}
	})
}
