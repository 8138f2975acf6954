package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/kafkatest"
	"github.com/daybook-log/daybook/stream"
)

// BenchmarkAppend publishes events of about 400 bytes to one broker, which runs on
// the same machine, and waits until each is acknowledged.
func BenchmarkAppend(b *testing.B) {
	c := kafkatest.Start(b, kafkatest.Options{JVM: []string{"-XX:TieredStopAtLevel=4"}})
	for _, size := range []int{1, 100, 1000} {
		for _, publishers := range []int{1, 16} {
			b.Run(fmt.Sprintf("events=%d/publishers=%d", size, publishers), func(b *testing.B) {
				o := options(b, c, 12)
				o.Logger = nil
				s := mustOpen(b, o)
				batches := make([]*stream.Batch, 64)
				for i := range batches {
					batches[i] = events(size)
				}
				if err := s.Append(b.Context(), events(100)); err != nil { // which finds the leaders
					b.Fatal(err)
				}
				b.ResetTimer()
				publish(b, publishers, func(i int) error { return s.Append(b.Context(), copyOf(batches[i%len(batches)])) })
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkRead reads what was published.
func BenchmarkRead(b *testing.B) {
	c := kafkatest.Start(b, kafkatest.Options{JVM: []string{"-XX:TieredStopAtLevel=4"}})
	o := options(b, c, 12)
	o.Logger = nil
	s := mustOpen(b, o)
	const batches, size = 200, 1000
	publish(b, 4, func(int) error { return s.Append(b.Context(), events(size)) }, batches)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		r, err := s.Reader(nil)
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < batches*size; {
			got, err := r.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += got.Len()
		}
		r.Close()
	}
	b.ReportMetric(float64(b.N*batches*size)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkEnd is what every search pays for reading its writes.
func BenchmarkEnd(b *testing.B) {
	s := mustOpen(b, options(b, single.Cluster(b), 12))
	for b.Loop() {
		if _, err := s.End(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// publish calls do b.N times, or so often as said, from so many goroutines.
func publish(b *testing.B, goroutines int, do func(i int) error, times ...int) {
	b.Helper()
	n := append(times, b.N)[0]
	next := make(chan int)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func events(n int) *stream.Batch {
	var ids event.IDSource
	b := &stream.Batch{}
	for range n {
		user := fmt.Sprint("user-", rand.IntN(5000))
		b.Add(stream.Key{Tenant: "tenant-7", User: user}, fmt.Appendf(nil, `{"action":"document.read","event_id":"%s","metadata":{"bytes":%d,"duration_ms":%d,"region":"eu-west-1"},"operation":"read","outcome":"success","request_id":"req-%016x","resource":"document/%d","session_id":"s-%012x","source":"billing-api","source_ip":"10.0.%d.%d","tenant_id":"tenant-7","timestamp":"2026-11-03T09:14:15.123456Z","user_id":"%s","user_type":"user"}`,
			ids.New(time.Now()), rand.IntN(100_000), rand.IntN(900), rand.Uint64(), rand.IntN(1_000_000), rand.Int64N(1<<48), rand.IntN(256), rand.IntN(256), user))
	}
	return b
}

// copyOf returns a batch for the stream to own.
func copyOf(b *stream.Batch) *stream.Batch {
	return &stream.Batch{Data: b.Data, Ends: b.Ends, Keys: b.Keys}
}
