package index

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// machine is the embedded log, store and indexer over one file system.
type machine struct {
	log     *wal.Log
	dead    *wal.Log
	letters *DeadLetters
	store   *segment.Store
	index   *Indexer
	stop    func()
}

// boot starts a machine. What it logs at level warning or above goes to logs.
func boot(t testing.TB, fsys vfs.FS, dir string, so segment.Options, logs *syncBuffer) *machine {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	if logs != nil {
		quiet = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var m machine
	var err error
	m.log, err = wal.Open(fsys, filepath.Join(dir, "log"), wal.Options{SegmentBytes: 1 << 20}, quiet)
	must(err)
	m.dead, err = wal.Open(fsys, filepath.Join(dir, "dead"), wal.Options{}, quiet)
	must(err)
	m.letters, err = OpenDeadLetters(t.Context(), m.dead)
	must(err)
	m.store, err = segment.Open(fsys, filepath.Join(dir, "store"), so, quiet)
	must(err)
	m.index, err = New(t.Context(), Options{Stream: m.log, Store: m.store, Restorer: m.store, DeadLetters: m.letters, Logger: quiet})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	storeDone, indexDone := make(chan error, 1), make(chan error, 1)
	go func() { storeDone <- m.store.Run(ctx) }()
	go func() { indexDone <- m.index.Run(ctx) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-indexDone
		<-storeDone
		// After a crash of the file system these fail, and it does not matter.
		_ = m.log.Close()
		_ = m.dead.Close()
		_ = m.store.Close()
	}
	t.Cleanup(m.stop)
	return &m
}

// stored returns how often each identity is in the store.
func (m *machine) stored(t testing.TB) map[event.Identity]int {
	t.Helper()
	seen := map[event.Identity]int{}
	err := m.store.Scan(t.Context(), store.Scan{Range: store.AllTime, Order: store.ByPosition}, func(e *event.Event) bool {
		seen[event.Identity{TenantID: strings.Clone(e.TenantID), ID: e.ID}]++
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func checkOnce(t testing.TB, seen map[event.Identity]int, want int) {
	t.Helper()
	if len(seen) != want {
		t.Errorf("the store holds %d identities, want %d", len(seen), want)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("the store holds %v %d times", id, n)
		}
	}
}

func TestEndToEnd(t *testing.T) {
	dir := t.TempDir()
	next := 0
	for round := range 4 {
		m := boot(t, vfs.OS(), dir, segment.Options{HeadRows: 500}, nil)
		for range 20 {
			var records [][]byte
			for range 100 {
				next++
				records = append(records, record(next), record(1+(next*7)%next)) // each with a retry of an earlier one
			}
			put(t, m.log, append(records, []byte("no event"))...)
		}
		drain(t, m.index)
		checkOnce(t, m.stored(t), next)
		if n := m.letters.Count(); n != int64(20*(round+1)) {
			t.Errorf("%d dead letters, want %d", n, 20*(round+1))
		}
		m.stop()
	}
}

// TestCrash: whatever a crash leaves of the files, every event that the log
// acknowledged is in the store once after a restart, and nothing else is.
func TestCrash(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 3))
		fsys := vfs.NewMem()
		acked := map[event.Identity]bool{}
		sent := 0
		for range 6 {
			m := boot(t, fsys, "data", segment.Options{HeadRows: 64, HeadAge: time.Millisecond}, nil)
			for range rng.IntN(30) {
				b := new(stream.Batch)
				from := sent
				for range 1 + rng.IntN(40) {
					sent++
					b.Add(stream.Key{}, record(sent))
					b.Add(stream.Key{}, record(1+rng.IntN(sent)))
				}
				b.Add(stream.Key{}, []byte("no event"))
				if err := m.log.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				for n := from + 1; n <= sent; n++ {
					acked[identityOf(n)] = true
				}
			}
			if rng.IntN(3) == 0 {
				drain(t, m.index)
			}
			fsys = fsys.Crash(rng)
			m.stop()
		}
		m := boot(t, fsys, "data", segment.Options{}, nil)
		drain(t, m.index)
		checkOnce(t, m.stored(t), len(acked))
		end, _ := m.log.End(t.Context())
		bad := 0
		var c LetterCursor
		for {
			page, next, err := m.letters.List(t.Context(), Selection{}, c, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			bad, c = bad+len(page), next
		}
		if visible := m.store.Visible(); !visible.Covers(end) || int64(bad) != m.letters.Count() {
			t.Errorf("visible %v, end %v; %d letters listed, %d counted", visible, end, bad, m.letters.Count())
		}
		m.stop()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestRebuild: a damaged segment is set aside and its events are put back from
// the stream, while events keep coming.
func TestRebuild(t *testing.T) {
	dir := t.TempDir()
	logs := new(syncBuffer)
	m := boot(t, vfs.OS(), dir, segment.Options{HeadRows: 2000}, logs)
	const n = 10_000
	for i := 0; i < n; i += 100 {
		var records [][]byte
		for k := range 100 {
			records = append(records, record(i+k+1))
		}
		put(t, m.log, append(records, record(i+1), []byte("no event"))...)
	}
	drain(t, m.index)
	if err := m.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.stop()
	damage(t, filepath.Join(dir, "store"))

	m = boot(t, vfs.OS(), dir, segment.Options{HeadRows: 2000}, logs)
	var seen map[event.Identity]int
	deadline := time.Now().Add(time.Minute)
	for next := n; ; {
		next++
		put(t, m.log, record(next), record(next-n))
		drain(t, m.index)
		seen = map[event.Identity]int{}
		err := m.store.Scan(t.Context(), store.Scan{Range: store.AllTime, Order: store.ByPosition}, func(e *event.Event) bool {
			seen[event.Identity{TenantID: strings.Clone(e.TenantID), ID: e.ID}]++
			return true
		})
		if s := m.index.Stats(); err == nil && s.Restored > 0 && len(m.store.Missing()) == 0 {
			checkOnce(t, seen, next)
			if s.Restored < 1000 {
				t.Errorf("%d events restored of a segment of 2000", s.Restored)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not rebuilt: %d of %d events, scan error %v, missing %+v\n%s", len(seen), next, err, m.store.Missing(), logs)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if s := logs.String(); !strings.Contains(s, "damaged") {
		t.Errorf("the damage was not logged:\n%s", s)
	}
}

// damage flips bytes in the midst of the first segment file.
func damage(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segment files in %s: %v", dir, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(data)/2; i += 50 {
		data[i] ^= 0x55
	}
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkEndToEnd is indexing over the real log and store: one operation is
// 1,000 events appended to the log and visible.
func BenchmarkEndToEnd(b *testing.B) {
	const n = 1000
	m := boot(b, vfs.OS(), b.TempDir(), segment.Options{}, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	var ids event.IDSource
	var data []byte
	var ends []uint32
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		data, ends = nil, nil
		for range n {
			data = append(data, canonical410(rng, ids.New(time.Now()))...)
			ends = append(ends, uint32(len(data)))
		}
		b.StartTimer()
		if err := m.log.Append(b.Context(), &stream.Batch{Data: bytes.Clone(data), Ends: ends}); err != nil {
			b.Fatal(err)
		}
	}
	drain(b, m.index)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
}
