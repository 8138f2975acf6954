package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

// TestTorture runs publishers against the real program, kills it with SIGKILL
// at random moments, starts it again on the same folder, and checks after every
// kill that what was acknowledged is there once and nothing was invented.
//
// TORTURE_ROUNDS says how many kills; TORTURE_SEED repeats a run's choices.
func TestTorture(t *testing.T) {
	rounds := envInt(t, "TORTURE_ROUNDS", 4)
	seed := uint64(envInt(t, "TORTURE_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("TORTURE_SEED=%d TORTURE_ROUNDS=%d", seed, rounds)
	rnd := rand.New(rand.NewPCG(seed, 1))
	data := filepath.Join(t.TempDir(), "data")

	truth := &ledger{attempted: map[string]string{}, acked: map[string]bool{}}
	var publishers []*victim
	for n := range 4 {
		publishers = append(publishers, &victim{truth: truth, rnd: rand.New(rand.NewPCG(seed, uint64(n)+10))})
	}
	for round := range rounds {
		// A small head and small stream segments, so that kills meet freezing,
		// compaction, rolling and retention too.
		s, err := startChild(t.Context(), data, testWriter{t}, "--store-head-rows", "1024", "--stream-segment-bytes", "1MiB")
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		publishUntilKilled(t, s, publishers, time.Duration(20+rnd.IntN(800))*time.Millisecond)
		if round%10 == 9 || round == rounds-1 {
			checkLedger(t, data, truth)
		}
		if t.Failed() {
			t.Fatalf("round %d failed", round)
		}
	}
	t.Logf("%d kills, %d events attempted, %d acknowledged, every one of these there once", rounds, len(truth.attempted), len(truth.acked))
}

// ledger is what the publishers know.
type ledger struct {
	mu        sync.Mutex
	attempted map[string]string // guarded by mu: event_id → resource
	acked     map[string]bool   // guarded by mu
	ids       event.IDSource
}

// victim is a publisher whose server is killed under it. A batch that was not
// acknowledged is sent again after the restart, as a careful publisher would.
type victim struct {
	truth *ledger
	rnd   *rand.Rand
	n     int
	body  []byte
	ids   []string
}

// next makes the next batch, unless one is still to be repeated.
func (v *victim) next() {
	if v.ids != nil {
		return
	}
	v.body = v.body[:0]
	v.truth.mu.Lock()
	defer v.truth.mu.Unlock()
	for range 1 + v.rnd.IntN(200) {
		v.n++
		id := v.truth.ids.New(time.Now()).String()
		resource := fmt.Sprintf("thing/%d-%d", v.rnd.Uint32(), v.n)
		v.body = fmt.Appendf(v.body, `{"event_id":%q,"user_id":"u%d","action":"thing.touch","resource":%q,"metadata":{"n":%d}}`+"\n", id, v.rnd.IntN(50), resource, v.n)
		v.truth.attempted[id] = resource
		v.ids = append(v.ids, id)
	}
}

func (v *victim) acknowledged() {
	v.truth.mu.Lock()
	defer v.truth.mu.Unlock()
	for _, id := range v.ids {
		v.truth.acked[id] = true
	}
	v.ids = nil
}

func publishUntilKilled(t *testing.T, s *child, publishers []*victim, after time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, v := range publishers {
		cl, err := client.New(s.url)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				v.next()
				res, err := cl.Publish(ctx, v.body, nil)
				var p *client.Problem
				switch {
				case errors.As(err, &p) && p.Status < 500 && p.Status != 429:
					t.Errorf("refused: %v", err)
					return
				case err != nil:
					return // killed: the batch stays to be repeated
				case res.Rejected > 0 || res.Accepted+res.Duplicates < len(v.ids):
					t.Errorf("sent %d, got %+v", len(v.ids), res)
					return
				}
				v.acknowledged()
			}
		})
	}
	time.Sleep(after)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.done
	stop()
	wg.Wait()
}

// checkLedger starts the server again and holds an export of everything against
// what the publishers know.
func checkLedger(t *testing.T, data string, truth *ledger) {
	t.Helper()
	s, err := startChild(t.Context(), data, testWriter{t}, "--store-head-rows", "1024")
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := cl.Export(t.Context(), url.Values{"format": {"ndjson"}}, &out); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(out.Bytes()) {
		var ev struct {
			ID       string `json:"event_id"`
			Resource string `json:"resource"`
		}
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seen[ev.ID] {
			t.Errorf("%s is there twice", ev.ID)
		}
		seen[ev.ID] = true
		if want, ok := truth.attempted[ev.ID]; !ok || want != ev.Resource {
			t.Errorf("%s %s was never published", ev.ID, ev.Resource)
		}
	}
	lost := 0
	for id := range truth.acked {
		if !seen[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, len(truth.acked))
	}
}

func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, v, err)
	}
	return n
}
