package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// events410 returns n events of about 410 bytes, as services publish them. With
// ids they have an event_id.
func events410(n int, ids *event.IDSource) [][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	actions := [...]string{"document.read", "document.update", "document.delete", "user.login", "invoice.create", "role.assign"}
	operations := [...]string{"read", "update", "delete", "login", "create", "update"}
	events := make([][]byte, n)
	for i := range events {
		a := rng.IntN(len(actions))
		b := []byte{'{'}
		if ids != nil {
			b = fmt.Appendf(b, `"event_id":"%s",`, ids.New(time.Now()))
		}
		events[i] = fmt.Appendf(b, `"timestamp":"2026-11-03T09:%02d:%02d.%06dZ","user_id":"user-%d","action":%q,"resource":"document/%d","tenant_id":"tenant-%d","outcome":"success","operation":%q,"source":"billing-api","source_ip":"10.%d.%d.%d","session_id":"s-%012x","request_id":"req-%016x","metadata":{"bytes":%d,"duration_ms":%d,"region":"eu-west-1"},"user_type":"user"}`,
			rng.IntN(60), rng.IntN(60), rng.IntN(1_000_000), rng.IntN(5000), actions[a], rng.IntN(1_000_000), rng.IntN(20), operations[a],
			rng.IntN(4), rng.IntN(256), rng.IntN(256), rng.Int64N(1<<48), rng.Uint64(), rng.IntN(100_000), rng.IntN(900))
	}
	return events
}

// sink is a stream that takes everything at no cost, and a store that shows it
// at once.
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

func (s *sink) Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error {
	for i := range found {
		found[i].Offset = -1
	}
	return nil
}

func (s *sink) Visible() event.Positions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return event.Positions{s.end}
}

// BenchmarkFranz is a franz-go producer and the listener in one process, so its
// figure is what both take: with everything behind the listener, and with
// nothing.
func BenchmarkFranz(b *testing.B) {
	events := events410(20_000, nil)
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for _, name := range []string{"none", "snappy", "lz4", "zstd"} {
		b.Run("whole/"+name, func(b *testing.B) {
			m := start(b, vfs.OS(), b.TempDir(), Options{})
			load(b, m.addr(), codecs[name], events)
		})
	}
	b.Run("alone/none", func(b *testing.B) {
		var nowhere sink
		s, err := Open(b.Context(), Options{Listen: "127.0.0.1:0", Publisher: ingest.NewPublisher(ingest.PublisherOptions{Stream: &nowhere, Store: &nowhere})})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		load(b, s.Addr().String(), kgo.NoCompression(), events)
		cancel()
		<-done
	})
}

// load publishes b.N times the events.
func load(b *testing.B, addr string, codec kgo.CompressionCodec, events [][]byte) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(DefaultTopic), kgo.ProducerBatchCompression(codec),
		kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	records := make([]kgo.Record, len(events))
	for b.Loop() {
		for i, e := range events {
			records[i] = kgo.Record{Value: e}
			cl.Produce(b.Context(), &records[i], func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := cl.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N * len(events))
	b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/event")
}
