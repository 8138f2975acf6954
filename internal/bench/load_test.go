package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
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

// TestLoadIsTheSameForEveryServer: with given times a load is the same bytes,
// however the servers that take it differ in speed.
func TestLoadIsTheSameForEveryServer(t *testing.T) {
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	load := Load{Path: "/take", Events: 1234, Connections: 3, Batch: 100, Seed: 7,
		At: func(n int) time.Time { return day.Add(time.Duration(n) * time.Second) }}
	take := func(every int64) (*Loaded, []string) {
		var mu sync.Mutex
		var lines []string
		var requests atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.URL.Path != "/take" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if n := requests.Add(1); n%every == 0 {
				time.Sleep(time.Duration(n) * time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, strings.Split(strings.TrimSpace(string(body)), "\n")...)
		}))
		defer s.Close()
		load.Addr = strings.TrimPrefix(s.URL, "http://")
		done, err := load.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(lines)
		return done, lines
	}
	fast, first := take(1000)
	slow, second := take(3)
	if len(first) != load.Events || !slices.Equal(first, second) {
		t.Fatalf("%d and %d events; %d the same, or others, were due", len(first), len(second), load.Events)
	}
	if fast.Sum != slow.Sum || len(fast.Samples) != 13 {
		t.Errorf("sums %08x and %08x, %d samples of 13 requests", fast.Sum, slow.Sum, len(fast.Samples))
	}
	load.Seed++
	if other, _ := take(1000); other.Sum == fast.Sum {
		t.Error("another seed has the same sum")
	}
	for _, s := range fast.Samples {
		if !slices.ContainsFunc(first, func(line string) bool {
			return strings.Contains(line, s.EventID) && strings.Contains(line, s.RequestID)
		}) {
			t.Errorf("sample %+v is no event that was sent", s)
		}
	}
}
