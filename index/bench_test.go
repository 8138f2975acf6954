package index

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// BenchmarkIndex is what indexing costs besides reading the stream and
// appending to the store: queue, decode, dedupe. Each operation is a batch of
// 1,000 canonical events of about 410 bytes.
func BenchmarkIndex(b *testing.B) {
	const n = 1000
	rng := rand.New(rand.NewPCG(1, 1))
	var ids event.IDSource
	batches := make([]*stream.Batch, 100)
	for i := range batches {
		batches[i] = &stream.Batch{ReceivedAt: time.Now().UnixNano()}
		for range n {
			batches[i].Add(stream.Key{}, canonical410(rng, ids.New(time.Now())))
		}
	}
	store := &blackHole{}
	x, err := New(b.Context(), Options{Stream: belt{}, Store: store, DeadLetters: openLetters(b, openLog(b, wal.Options{}))})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	q := newQueue(maxQueued)
	done := make(chan error)
	go func() { done <- x.index(ctx, q) }()
	b.SetBytes(int64(len(batches[0].Data)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		copied := *batches[i%len(batches)]
		copied.Base = int64(i * n)
		i++
		if err := q.put(ctx, chunk{batch: &copied}); err != nil {
			b.Fatal(err)
		}
	}
	for x.indexed.Load() < int64(i*n) {
		time.Sleep(100 * time.Microsecond)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
	cancel()
	<-done
}

func canonical410(rng *rand.Rand, id event.ID) []byte {
	return fmt.Appendf(nil, `{"action":"document.read","event_id":"%s","metadata":{"bytes":%d,"duration_ms":%d,"region":"eu-west-1"},"operation":"read","outcome":"success","request_id":"req-%016x","resource":"document/%d","session_id":"s-%012x","source":"billing-api","source_ip":"10.%d.%d.%d","tenant_id":"tenant-%d","timestamp":"2026-11-03T09:%02d:%02d.%06dZ","user_id":"user-%d","user_type":"user"}`,
		id, 10+rng.IntN(100_000), 1+rng.IntN(900), rng.Uint64(), rng.IntN(1_000_000), rng.Int64N(1<<48),
		rng.IntN(4), rng.IntN(256), rng.IntN(256), rng.IntN(20), rng.IntN(60), rng.IntN(60), rng.IntN(1_000_000), rng.IntN(5000))
}

// blackHole is a store that takes everything and keeps nothing.
type blackHole struct{ visible event.Positions }

func (*blackHole) Follow(event.LogID) error                                     { return nil }
func (*blackHole) Append(context.Context, []event.Event, event.Positions) error { return nil }
func (s *blackHole) Visible() event.Positions                                   { return s.visible }
func (s *blackHole) Committed() event.Positions                                 { return nil }
func (s *blackHole) Wait(context.Context, event.Positions) error                { return nil }

func (*blackHole) Known(_ context.Context, _ []event.Identity, _ int64, found []event.Position) error {
	for i := range found {
		found[i].Offset = -1
	}
	return nil
}

// belt is a stream that is read by other means.
type belt struct{}

func (belt) Reader(event.Positions) (stream.Reader, error)  { return nil, nil }
func (belt) Start(context.Context) (event.Positions, error) { return nil, nil }
func (belt) End(context.Context) (event.Positions, error)   { return nil, nil }
func (belt) ID() event.LogID                                { return event.LogID{1} }
func (belt) Release(event.Positions)                        {}
