package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestPacedKeepsToItsRate: at any rate, also one below an event a tick, what is
// sent is what is due, and no request is empty.
func TestPacedKeepsToItsRate(t *testing.T) {
	for _, rate := range []int{50, 5000} {
		var sent atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			n := bytes.Count(body, []byte("\n"))
			if sent.Add(int64(n)); n == 0 {
				w.WriteHeader(http.StatusBadRequest)
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- paced(ctx, Options{addr: strings.TrimPrefix(s.URL, "http://"), Rate: rate}) }()
		for sent.Load() < int64(rate/10) && len(done) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%d a second: %v", rate, err)
		}
		due := int64(time.Since(start).Seconds() * float64(rate))
		if n := sent.Load(); n > due {
			t.Errorf("%d a second: %d events were sent when %d were due", rate, n, due)
		}
		s.Close()
	}
}
