package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// shelf is a store that knows what it was told of.
type shelf struct {
	mu      sync.Mutex
	known   map[event.Identity]event.Position
	visible event.Positions
	err     error // of Known
	asked   int   // identities
}

func (s *shelf) Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.asked += len(ids)
	for i, id := range ids {
		pos, ok := s.known[id]
		if !ok {
			pos.Offset = -1
		}
		found[i] = pos
	}
	return nil
}

func (s *shelf) Visible() event.Positions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visible
}

// show makes s know what the log holds, as the index would.
func (s *shelf) show(t testing.TB, log stream.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[event.Identity]event.Position)
	}
	end, _ := log.End(t.Context())
	for i, e := range contents(t, log) {
		if _, ok := s.known[e.Identity()]; !ok {
			s.known[e.Identity()] = event.Position{Offset: int64(i)}
		}
	}
	s.visible = end.Clone()
}

// openLog opens an embedded log in memory.
func openLog(t testing.TB) *wal.Log {
	t.Helper()
	log, err := wal.Open(vfs.NewMem(), "log", wal.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// contents returns the events that a log of one partition holds, by offset.
func contents(t testing.TB, log stream.Stream) []event.Event {
	t.Helper()
	end, err := log.End(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := log.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var events []event.Event
	var d event.Decoder
	for int64(len(events)) < end.At(0) {
		b, err := r.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Len() {
			var e event.Event
			if err := d.Decode(b.Value(i), &e); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			e.Offset, e.ReceivedAt = b.Position(i).Offset, b.ReceivedAt
			events = append(events, e)
		}
	}
	return events
}

// gate is a stream whose appends wait until they are let through, or fail.
type gate struct {
	Stream
	entered chan struct{} // receives once per append
	proceed chan error    // what each append does: nil to go on
}

func newGate(s Stream) *gate {
	return &gate{Stream: s, entered: make(chan struct{}, 100), proceed: make(chan error, 100)}
}

func (g *gate) Append(ctx context.Context, b *stream.Batch) error {
	g.entered <- struct{}{}
	select {
	case err := <-g.proceed:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.Stream.Append(ctx, b)
}

// failing is a stream that refuses appends from the n-th on.
type failing struct {
	Stream
	after int
	err   error
}

func (f *failing) Append(ctx context.Context, b *stream.Batch) error {
	if f.after--; f.after < 0 {
		return fmt.Errorf("append: %w", f.err)
	}
	return f.Stream.Append(ctx, b)
}

// sink is a stream that takes everything at no cost.
type sink struct {
	mu  sync.Mutex
	end int64
}

func (s *sink) Append(ctx context.Context, b *stream.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Base = s.end
	s.end += int64(b.Len())
	return nil
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// events410 returns NDJSON of n events of about 410 bytes, as services publish
// them, with rising identities made from ids or, where that is nil, without.
func events410(rng *rand.Rand, ids *event.IDSource, n int) []byte {
	actions := [...]string{"document.read", "document.update", "document.delete", "user.login", "invoice.create", "role.assign"}
	operations := [...]string{"read", "update", "delete", "login", "create", "update"}
	var b []byte
	for range n {
		a := rng.IntN(len(actions))
		b = append(b, '{')
		if ids != nil {
			b = fmt.Appendf(b, `"event_id":"%s",`, ids.New(time.Now()))
		}
		b = fmt.Appendf(b, `"timestamp":"2026-11-03T09:%02d:%02d.%06dZ","user_id":"user-%d","action":%q,"resource":"document/%d","tenant_id":"tenant-%d","outcome":"success","operation":%q,"source":"billing-api","source_ip":"10.%d.%d.%d","session_id":"s-%012x","request_id":"req-%016x","metadata":{"bytes":%d,"duration_ms":%d,"region":"eu-west-1"},"user_type":"user"}`+"\n",
			rng.IntN(60), rng.IntN(60), rng.IntN(1_000_000), rng.IntN(5000), actions[a], rng.IntN(1_000_000), rng.IntN(20), operations[a],
			rng.IntN(4), rng.IntN(256), rng.IntN(256), rng.Int64N(1<<48), rng.Uint64(), rng.IntN(100_000), rng.IntN(900))
	}
	return b
}
