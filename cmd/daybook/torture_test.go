package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

	truth := &ledger{events: map[event.ID]fate{}}
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
		if round%20 == 19 || round == rounds-1 {
			checkLedger(t, data, truth, round)
		}
		if t.Failed() {
			t.Fatalf("round %d failed", round)
		}
	}
	t.Logf("%d kills, %d events attempted, %d acknowledged, every one of these there once", rounds, len(truth.events), truth.acked())
}

// ledger is what the publishers know.
type ledger struct {
	mu     sync.Mutex
	events map[event.ID]fate // guarded by mu
	ids    event.IDSource
}

// fate is what is known of an event that was sent at least once.
type fate struct {
	resource uint64 // the number in its resource
	acked    bool
	seen     int // by the check under way: in which one, counted from 1
}

func (l *ledger) acked() (n int) {
	for _, f := range l.events {
		if f.acked {
			n++
		}
	}
	return n
}

// victim is a publisher whose server is killed under it. A batch that was not
// acknowledged is sent again after the restart, as a careful publisher would.
type victim struct {
	truth *ledger
	rnd   *rand.Rand
	body  []byte
	ids   []event.ID
}

// next makes the next batch, unless one is still to be repeated.
func (v *victim) next() {
	if v.ids != nil {
		return
	}
	v.body = v.body[:0]
	v.truth.mu.Lock()
	defer v.truth.mu.Unlock()
	for range 1 + v.rnd.IntN(100) {
		id, n := v.truth.ids.New(time.Now()), v.rnd.Uint64()
		v.body = fmt.Appendf(v.body, `{"event_id":%q,"user_id":"u%d","action":"thing.touch","resource":"thing/%d","metadata":{"n":%d}}`+"\n", id, v.rnd.IntN(50), n, n%1000)
		v.truth.events[id] = fate{resource: n}
		v.ids = append(v.ids, id)
	}
}

func (v *victim) acknowledged() {
	v.truth.mu.Lock()
	defer v.truth.mu.Unlock()
	for _, id := range v.ids {
		f := v.truth.events[id]
		f.acked = true
		v.truth.events[id] = f
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
				// Kills are what counts here, not events: every check reads all of them.
				time.Sleep(time.Duration(v.rnd.IntN(8)) * time.Millisecond)
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
func checkLedger(t *testing.T, data string, truth *ledger, round int) {
	t.Helper()
	s, err := startChild(t.Context(), data, testWriter{t}, "--store-head-rows", "1024")
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(s.url)
	if err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(cl.Export(t.Context(), url.Values{"format": {"ndjson"}}, in)) }()
	dec := event.Decoder{AllowSet: true}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ev event.Event
		if err := dec.Decode(bytes.Clone(lines.Bytes()), &ev); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		f, ok := truth.events[ev.ID]
		if !ok || fmt.Sprintf("thing/%d", f.resource) != ev.Resource {
			t.Errorf("%s %s was never published", ev.ID, ev.Resource)
		}
		if f.seen == round+1 {
			t.Errorf("%s is there twice", ev.ID)
		}
		f.seen = round + 1
		truth.events[ev.ID] = f
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("export: %v", err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	lost := 0
	for _, f := range truth.events {
		if f.acked && f.seen != round+1 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, truth.acked())
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
