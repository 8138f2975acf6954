//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/bench"
	"github.com/daybook-log/daybook/internal/client"
)

// TestSoak runs the real program under everything at once, for as long as
// SOAK_DURATION says, and wants at the end what there was at the beginning: no
// more memory, goroutines, descriptors or disk, and every acknowledged event that
// retention has not dropped, once. `make soak` runs it for an hour; without
// SOAK_DURATION it takes seconds, which show that all of it works and no trend.
//
// SOAK_RATE says how many events a second are published, and SOAK_CSV where every
// sample is written.
func TestSoak(t *testing.T) {
	s := &soak{t: t, duration: 4 * time.Second, rate: envInt(t, "SOAK_RATE", 1000)}
	if text := os.Getenv("SOAK_DURATION"); text != "" {
		var err error
		if s.duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK_DURATION: %v", err)
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	s.start(data)
	rec := newRecorder(t, s, data)
	rec.watch(t.Context(), "idle", s.duration/60)

	ctx, unload := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, l := range s.loads() {
		for n := range l.workers {
			running.Go(func() { s.drive(ctx, l, n) })
		}
	}
	rec.watch(ctx, "warm-up", s.duration/6)
	rec.watch(ctx, "steady", s.duration-s.duration/6)
	unload()
	running.Wait()
	s.client.CloseIdleConnections()

	s.audit()
	rec.settle()
	rec.print()
	if s.duration >= judgeFrom {
		rec.judge("steady")
	}
	began := time.Now()
	if err := s.server.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if took := time.Since(began); took > promisedStop {
		t.Errorf("stopping took %v; %v are promised", took, promisedStop)
	} else {
		t.Logf("stopped in %v", took.Round(time.Millisecond))
	}
}

const (
	// judgeFrom is how long a soak must be for its trends to mean anything: by
	// then retention has dropped segments of stream and store many times.
	judgeFrom = 10 * time.Minute
	// promisedStop is what a stop may take: requests have 15 s, and then what was
	// acknowledged has its time to be indexed and to be frozen.
	promisedStop = 15*time.Second + 2*drainFor
)

// soak is a server and everyone who talks to it.
type soak struct {
	t        *testing.T
	duration time.Duration
	rate     int // events a second
	server   *child
	addr     string
	client   *http.Client

	mu      sync.Mutex
	acked   int                         // guarded by mu: events acknowledged
	recent  []string                    // guarded by mu: the identities of the last of these, at most keepRecent
	ops     map[string]*bench.Latencies // guarded by mu: since the last sample
	all     map[string]*bench.Latencies // guarded by mu: in the phase
	refused map[string]int              // guarded by mu: operations that were answered 429 or 503
	failed  int                         // guarded by mu
}

const keepRecent = 10_000

// start starts a server whose stream, heads and store are so small that every one
// of freezing, merging and retention happens again and again.
func (s *soak) start(data string) {
	server, err := strictly(s.t, data,
		"--stream-segment-bytes", "4MiB", "--stream-retain-bytes", "16MiB",
		"--store-head-rows", "65536", "--store-head-age", "2s", "--store-retain-bytes", "48MiB")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { server.cmd.Process.Kill() }) // no harm when it has ended
	s.server, s.addr = server, strings.TrimPrefix(server.url, "http://")
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	s.ops, s.all, s.refused = map[string]*bench.Latencies{}, map[string]*bench.Latencies{}, map[string]int{}
}

// few scales a number of clients to the length of the soak.
func (s *soak) few(n int) int {
	if s.duration < judgeFrom {
		return max(1, n/10)
	}
	return n
}

// load is one kind of client.
type load struct {
	name    string
	workers int
	every   time.Duration // between the beginnings of two turns of a worker; 0: one after the other
	timed   bool          // how long a turn takes is of interest
	turn    func(ctx context.Context, worker int) error
}

// drive lets one worker of a load take turns until ctx ends.
func (s *soak) drive(ctx context.Context, l load, worker int) {
	due := time.Now().Add(l.every * time.Duration(worker) / time.Duration(l.workers))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		began := time.Now()
		err := l.turn(ctx, worker)
		if ctx.Err() != nil {
			return
		}
		s.took(l, time.Since(began), err)
		if due = due.Add(l.every); due.Before(time.Now()) {
			due = time.Now() // late; what was missed is not made up for
		}
	}
}

// took takes down a turn.
func (s *soak) took(l load, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch status := statusOf(err); {
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		s.refused[l.name]++
	case err != nil:
		if s.failed++; s.failed <= 20 {
			s.t.Errorf("%s: %v", l.name, err)
		}
	case l.timed:
		for _, to := range []map[string]*bench.Latencies{s.ops, s.all} {
			if to[l.name] == nil {
				to[l.name] = new(bench.Latencies)
			}
			to[l.name].Add(took)
		}
	}
}

// acknowledged takes down events that the server has acknowledged.
func (s *soak) acknowledged(n int, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked += n
	s.recent = append(s.recent, ids...)
	if len(s.recent) > 2*keepRecent {
		s.recent = slices.Clone(s.recent[len(s.recent)-keepRecent:])
	}
}

// audit compares what the server holds with what it has acknowledged. Offsets are
// given out one after the other, so whatever is stored at each from the oldest
// kept to the end, once, is everything.
func (s *soak) audit() {
	s.t.Helper()
	s.server.total(s.t) // waits until all is indexed
	m, err := s.scrape()
	if err != nil {
		s.t.Fatal(err)
	}
	end, held, expired := int(m["daybook_stream_end_offset"]), int(m["daybook_store_events"]), int(m["daybook_store_expired_events_total"])
	if end != s.acked || held+expired != s.acked {
		s.t.Errorf("%d events were acknowledged; the stream took %d, the store holds %d and dropped %d", s.acked, end, held, expired)
	}
	resp, err := s.client.Get(s.server.url + "/v1/export?fields=event_id,offset")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var offsets []int64
	ids := map[event.ID]bool{}
	for lines := bufio.NewScanner(resp.Body); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				s.t.Fatal(err)
			}
			break
		}
		var e struct {
			EventID string `json:"event_id"`
			Offset  int64
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			s.t.Fatalf("%v: %s", err, lines.Bytes())
		}
		id, _ := event.ParseID(e.EventID)
		ids[id], offsets = true, append(offsets, e.Offset)
	}
	if len(offsets) == 0 {
		s.t.Fatal("the export is empty")
	}
	slices.Sort(offsets)
	if n := len(offsets); n != len(ids) || offsets[n-1] != int64(end-1) || offsets[n-1]-offsets[0] != int64(n-1) || len(slices.Compact(offsets)) != n {
		s.t.Errorf("the export holds %d events with %d identities, at offsets %d to %d; the stream ends at %d",
			n, len(ids), offsets[0], offsets[n-1], end)
	}
	for _, text := range s.recent {
		if id, _ := event.ParseID(text); !ids[id] {
			s.t.Errorf("event %s was acknowledged and is lost", text)
		}
	}
	s.t.Logf("%d events acknowledged, %d held at offsets %d to %d, %d dropped by retention; every one there once", s.acked, held, end-held, end-1, expired)
}

// statusOf returns the status of an answer that is no success, or 0.
func statusOf(err error) int {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

func (s *soak) String() string {
	return fmt.Sprintf("%v at %d events/s", s.duration, s.rate)
}
