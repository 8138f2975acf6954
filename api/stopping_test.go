package api_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// pipes is a listener whose connections are pipes, so that time can be virtual.
type pipes struct{ accepted chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.accepted
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p.accepted); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// export asks for an export and returns its answer, of which nothing but the
// header was taken.
func (p pipes) export(t *testing.T) *http.Response {
	near, far := net.Pipe()
	p.accepted <- far
	if _, err := io.WriteString(near, "GET /v1/export HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A server that stops does not wait for an export that nobody reads, and breaks it
// off where everyone can see it; one that is read slowly comes whole.
func TestStoppingWaitsForReadersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := querytest.New()
		mem.Publish(run(0, 6000)...) // about 3 MB
		a := api.New(api.Options{Query: query.New(query.Options{Store: mem, Stream: mem}), Logger: slog.New(slog.DiscardHandler)})
		server, listener := &http.Server{Handler: a}, pipes{make(chan net.Conn)}
		go server.Serve(listener)
		stalled, slow := listener.export(t), listener.export(t)
		read := make(chan error)
		go func() {
			for {
				if _, err := io.CopyN(io.Discard, slow.Body, 400<<10); err != nil {
					read <- err
					return
				}
				time.Sleep(time.Second)
			}
		}()
		synctest.Wait()
		began := time.Now()
		a.Close()
		if err := <-read; err != io.EOF {
			t.Errorf("the slow reader got %v after %v", err, time.Since(began))
		}
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited > 8*time.Second {
			t.Errorf("stopping took %v", waited)
		}
		if _, err := io.Copy(io.Discard, stalled.Body); err == nil {
			t.Error("what was broken off looks whole")
		}
	})
}
