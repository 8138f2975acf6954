//go:build unix

package wal

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// nullFS takes what is written and keeps nothing, so that a benchmark measures
// the log and not the disk or the kernel.
type nullFS struct{ vfs.FS }

type nullFile struct{ vfs.File }

func (nullFS) Create(string) (vfs.File, error)     { return nullFile{}, nil }
func (nullFS) Remove(string) error                 { return nil }
func (nullFS) SyncDir(string) error                { return nil }
func (nullFile) Write(p []byte) (int, error)       { return len(p), nil }
func (nullFile) Sync() error                       { return nil }
func (nullFile) Close() error                      { return nil }
func (nullFS) Lock(name string) (io.Closer, error) { return io.NopCloser(nil), nil }

// cpuTime returns what the process has used so far, of which the kernel's part
// is left out.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano())
}

func report(b *testing.B, l *Log, events int, cpu time.Duration) {
	s := l.Stats()
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(s.StoredBytes)/float64(s.Records), "B/event")
	b.ReportMetric(float64(s.Records)/float64(max(s.Groups, 1)), "events/sync")
}

// BenchmarkAppend appends batches from one publisher: what the log itself costs
// per event (null), and with a write and an fsync for each batch (disk).
func BenchmarkAppend(b *testing.B) {
	for _, disk := range []bool{false, true} {
		for _, size := range []int{1, 10, 100, 1000} {
			name := fmt.Sprintf("null/batch=%d", size)
			fsys := vfs.FS(nullFS{vfs.NewMem()})
			if disk {
				name = fmt.Sprintf("disk/batch=%d", size)
				fsys = vfs.OS()
			}
			b.Run(name, func(b *testing.B) {
				l := mustOpen(b, fsys, b.TempDir(), Options{TailCacheBytes: 1 << 20})
				defer l.Close()
				src := newEventGen(1).batch(size)
				b.ReportAllocs()
				cpu := cpuTime()
				for b.Loop() {
					if err := l.Append(b.Context(), &stream.Batch{Data: src.Data, Ends: src.Ends}); err != nil {
						b.Fatal(err)
					}
				}
				report(b, l, b.N*size, cpuTime()-cpu)
			})
		}
	}
}

// BenchmarkPublishers appends from many publishers at once, to the disk.
func BenchmarkPublishers(b *testing.B) {
	for _, run := range []struct{ publishers, size int }{{4, 1000}, {1000, 1}, {100, 10}} {
		b.Run(fmt.Sprintf("publishers=%d/batch=%d", run.publishers, run.size), func(b *testing.B) {
			l := mustOpen(b, vfs.OS(), b.TempDir(), Options{})
			defer l.Close()
			gen := newEventGen(1)
			batches := make([]*stream.Batch, run.publishers)
			for i := range batches {
				batches[i] = gen.batch(run.size)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			cpu := cpuTime()
			var wg sync.WaitGroup
			for _, src := range batches {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := l.Append(b.Context(), &stream.Batch{Data: src.Data, Ends: src.Ends}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			report(b, l, b.N*run.size, cpuTime()-cpu)
		})
	}
}

// BenchmarkCodec compares what the payload could be compressed with.
func BenchmarkCodec(b *testing.B) {
	zstdEncoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	codecs := []struct {
		name   string
		encode func(dst, src []byte) []byte
	}{
		{"s2", s2.Encode},
		{"s2-better", s2.EncodeBetter},
		{"zstd-fastest", func(dst, src []byte) []byte { return zstdEncoder.EncodeAll(src, dst[:0]) }},
	}
	for _, size := range []int{1, 1000} {
		src := newEventGen(1).batch(size).Data
		dst := make([]byte, s2.MaxEncodedLen(len(src)))
		for _, codec := range codecs {
			b.Run(fmt.Sprintf("%s/batch=%d", codec.name, size), func(b *testing.B) {
				stored := 0
				cpu := cpuTime()
				for b.Loop() {
					stored = len(codec.encode(dst, src))
				}
				b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N*size), "cpu-ns/event")
				b.ReportMetric(float64(stored)/float64(size), "B/event")
				b.ReportMetric(float64(len(src))/float64(size), "raw-B/event")
			})
		}
	}
}

// BenchmarkRead reads a log of batches of 1,000 through the tail cache, and from
// its files (which the kernel has in memory).
func BenchmarkRead(b *testing.B) {
	const batches, size = 100, 1000
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("cached=%t", cached), func(b *testing.B) {
			opts := Options{TailCacheBytes: 1 << 30}
			if !cached {
				opts.TailCacheBytes = 1
			}
			l := mustOpen(b, vfs.OS(), b.TempDir(), opts)
			defer l.Close()
			gen := newEventGen(1)
			for range batches {
				if err := l.Append(b.Context(), gen.batch(size)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			cpu := cpuTime()
			for b.Loop() {
				r, err := l.Reader(event.Positions{0})
				if err != nil {
					b.Fatal(err)
				}
				for records := 0; records < batches*size; {
					batch, err := r.Next(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					records += batch.Len()
				}
				r.Close()
			}
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N*batches*size), "cpu-ns/event")
		})
	}
}

// BenchmarkOpen opens a log whose last segment is full: the time a restart takes.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, vfs.OS(), dir, Options{})
	src := newEventGen(1).batch(1000)
	for l.Stats().Bytes < 120<<20 {
		if err := l.Append(b.Context(), &stream.Batch{Data: src.Data, Ends: src.Ends}); err != nil {
			b.Fatal(err)
		}
	}
	l.Close()
	b.ReportAllocs()
	for b.Loop() {
		mustOpen(b, vfs.OS(), dir, Options{}).Close()
	}
}
