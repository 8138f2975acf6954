package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// slowSync is a file system whose fsync takes a second of the test's clock.
type slowSync struct{ vfs.FS }

type slowFile struct{ vfs.File }

func (s slowSync) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	return slowFile{f}, err
}

func (f slowFile) Sync() error {
	time.Sleep(time.Second)
	return f.File.Sync()
}

// TestGroupCommit: a lone publisher waits for one fsync; all who come during it
// share the next, and no more than that.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, slowSync{vfs.NewMem()}, crashDir, Options{})
		before := l.Stats()
		start := time.Now()
		var wg sync.WaitGroup
		publish := func(after, took time.Duration) {
			wg.Go(func() {
				time.Sleep(after)
				if err := l.Append(t.Context(), newEventGen(1).batch(2)); err != nil {
					t.Errorf("Append: %v", err)
				}
				if got := time.Since(start); got != after+took {
					t.Errorf("an append after %s took until %s, want %s", after, got, after+took)
				}
			})
		}
		publish(0, time.Second)
		for range 100 {
			publish(300*time.Millisecond, 1700*time.Millisecond)
		}
		for range 100 {
			publish(900*time.Millisecond, 1100*time.Millisecond)
		}
		publish(1500*time.Millisecond, 1500*time.Millisecond)
		wg.Wait()
		after := l.Stats()
		if after.Syncs-before.Syncs != 3 || after.Groups != 3 || after.Records != 404 || after.WaitingBytes != 0 {
			t.Errorf("after 202 appends: %+v", after)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSmallAppendsShareAFrame: an event costs little more on disk when it comes
// alone, as long as others do too.
func TestSmallAppendsShareAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, slowSync{vfs.NewMem()}, crashDir, Options{})
		defer l.Close()
		var wg sync.WaitGroup
		for i := range 500 {
			b := newEventGen(uint64(i)).batch(1)
			wg.Go(func() {
				if err := l.Append(t.Context(), b); err != nil {
					t.Errorf("Append: %v", err)
				}
			})
		}
		wg.Wait()
		if s := l.Stats(); s.StoredBytes/s.Records > 150 {
			t.Errorf("%d records take %d bytes", s.Records, s.StoredBytes)
		}
	})
}

// TestCommitIsBounded: what is more than MaxCommitBytes goes into another commit.
func TestCommitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, slowSync{vfs.NewMem()}, crashDir, Options{MaxCommitBytes: 1000})
		defer l.Close()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				b := &stream.Batch{}
				b.Add(stream.Key{}, make([]byte, 400))
				if err := l.Append(t.Context(), b); err != nil {
					t.Errorf("Append: %v", err)
				}
			})
		}
		wg.Wait()
		if s := l.Stats(); s.Groups < 5 {
			t.Errorf("10 appends of 400 bytes took %d commits of at most 1000", s.Groups)
		}
	})
}

// TestOverload: more than MaxWaitingBytes is refused at once, and taken again
// when what waited is durable. A single batch is never too much.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, slowSync{vfs.NewMem()}, crashDir, Options{MaxWaitingBytes: 1000})
		defer l.Close()
		batch := func(size int) *stream.Batch {
			b := &stream.Batch{}
			b.Add(stream.Key{}, make([]byte, size))
			return b
		}
		first := make(chan error, 1)
		go func() { first <- l.Append(t.Context(), batch(5000)) }()
		synctest.Wait()
		if err := l.Append(t.Context(), batch(1)); !errors.Is(err, stream.ErrOverloaded) {
			t.Errorf("Append = %v; want ErrOverloaded", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the batch that waited: %v", err)
		}
		if err := l.Append(t.Context(), batch(900)); err != nil {
			t.Errorf("Append after it: %v", err)
		}
		if end, _ := l.End(t.Context()); end.At(0) != 2 {
			t.Errorf("the end is %v; want 2", end)
		}
	})
}

// TestTooLarge: a batch over the limit is refused and named as such.
func TestTooLarge(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), crashDir, Options{MaxBatchBytes: 1000})
	defer l.Close()
	if err := l.Append(t.Context(), newEventGen(1).batch(3)); err == nil {
		t.Error("a batch over MaxBatchBytes was taken")
	}
	if err := l.Append(t.Context(), &stream.Batch{Ends: make([]uint32, 1001)}); err == nil {
		t.Error("a batch of more records than MaxBatchBytes was taken")
	}
}

// TestLeaving: a publisher may leave while its group is on the way; the group and
// its other publishers do not notice.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, slowSync{vfs.NewMem()}, crashDir, Options{})
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		appending := func(ctx context.Context) chan error {
			result := make(chan error, 1)
			go func() { result <- l.Append(ctx, newEventGen(1).batch(1)) }()
			synctest.Wait()
			return result
		}
		committed := appending(t.Context())
		leader := appending(t.Context())
		leaving := appending(ctx)
		cancel()
		if err := <-leaving; !errors.Is(err, context.Canceled) {
			t.Errorf("Append = %v; want context.Canceled", err)
		}
		if err := errors.Join(<-committed, <-leader); err != nil {
			t.Error(err)
		}
		if end, _ := l.End(t.Context()); end.At(0) != 3 {
			t.Errorf("the end is %v", end)
		}
	})
}

// TestCloseWhileAppending: the commit under way succeeds, those behind it do not.
func TestCloseWhileAppending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		l := mustOpen(t, slowSync{mem}, crashDir, Options{})
		first, behind := make(chan error, 1), make(chan error, 1)
		go func() { first <- l.Append(t.Context(), newEventGen(1).batch(1)) }()
		synctest.Wait()
		go func() { behind <- l.Append(t.Context(), newEventGen(2).batch(1)) }()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the commit under way: %v", err)
		}
		if err := <-behind; !errors.Is(err, stream.ErrClosed) {
			t.Errorf("the append behind it: %v; want ErrClosed", err)
		}
		if got, err := readAll(t, mustOpen(t, mem, crashDir, Options{})); err != nil || len(got) != 1 {
			t.Errorf("%d records after Close, %v", len(got), err)
		}
	})
}

// TestClockGoesBack: received_at does not, not even over a restart.
func TestClockGoesBack(t *testing.T) {
	mem := vfs.NewMem()
	want := []int64{100, 100, 100, 150, 150}
	for i, now := range []int64{100, 50, 70, 150, 10} {
		l := mustOpen(t, mem, crashDir, Options{Now: clockAt(now), SegmentBytes: int64(1 + 1000*(i%2))})
		b := newEventGen(1).batch(1)
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if b.ReceivedAt != want[i] {
			t.Errorf("append %d at %d: received_at is %d, want %d", i, now, b.ReceivedAt, want[i])
		}
		l.Close()
	}
}

// TestRetention says what is dropped of a log of ten segments of one record,
// received at seconds 0 to 9, about 500 bytes each.
func TestRetention(t *testing.T) {
	tests := []struct {
		opts     Options
		released int64
		now      int64 // seconds
		start    int64 // oldest offset left
	}{
		{Options{}, 10, 1 << 30, 0},
		{Options{RetainAge: time.Second}, 0, 1000, 0},
		{Options{RetainAge: time.Second}, 3, 1000, 3},
		{Options{RetainAge: time.Second}, 10, 1000, 9},
		{Options{RetainAge: 5 * time.Second}, 10, 9, 4},
		{Options{RetainAge: 50 * time.Second}, 10, 9, 0},
		{Options{RetainBytes: 1}, 5, 9, 5},
		{Options{RetainBytes: 1}, 100, 9, 9},
		{Options{RetainBytes: 2900}, 10, 9, 5},
		{Options{RetainBytes: 1 << 20}, 10, 9, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("age %s, bytes %d, released %d", test.opts.RetainAge, test.opts.RetainBytes, test.released), func(t *testing.T) {
			mem := vfs.NewMem()
			now := int64(0)
			opts := test.opts
			opts.SegmentBytes = 1
			opts.Now = func() time.Time { return time.Unix(now, 0) }
			l := mustOpen(t, mem, crashDir, opts)
			for now = range 10 {
				if err := l.Append(t.Context(), newEventGen(uint64(now)).batch(1)); err != nil {
					t.Fatal(err)
				}
			}
			now = test.now
			l.Release(event.Positions{test.released})
			if got := l.Stats(); got.Start != test.start || got.End != 10 || got.Dropped != test.start {
				t.Fatalf("%+v; want the start %d", got, test.start)
			}
			l.Close()
			l = mustOpen(t, mem, crashDir, opts) // nothing is released yet: nothing is dropped
			if start, _ := l.Start(t.Context()); start.At(0) != test.start {
				t.Errorf("after reopening, the start is %v; want %d", start, test.start)
			}
			for offset := range all(t, l) {
				if offset < test.start {
					t.Errorf("offset %d is there", offset)
				}
			}
			l.Close()
		})
	}
}

// TestRetentionGoesOn: what is released is dropped as segments fill, and a folder
// that could not be synced after a removal does not end that.
func TestRetentionGoesOn(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{SegmentBytes: 1, RetainBytes: 1})
	defer l.Close()
	gen := newEventGen(1)
	l.Release(event.Positions{100})
	for end := int64(1); end <= 4; end++ {
		if end == 3 {
			// The new segment's own, then the one after the removal.
			mem.SetHook(script("SyncDir", nil, "SyncDir", syscall.EIO))
		}
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
		want := end - 1 // only the newest is left
		if end == 3 {
			want = 1 // removed, but a crash may bring it back
		}
		if s := l.Stats(); s.Start != want {
			t.Errorf("after %d appends: %+v; want the start %d", end, s, want)
		}
	}
}

// TestQuietLog: a segment that never fills is ended by its age.
func TestQuietLog(t *testing.T) {
	now := time.Unix(1000, 0)
	l := mustOpen(t, vfs.NewMem(), crashDir, Options{RetainAge: time.Hour, Now: func() time.Time { return now }})
	defer l.Close()
	for range 5 {
		if err := l.Append(t.Context(), newEventGen(1).batch(1)); err != nil {
			t.Fatal(err)
		}
		end, _ := l.End(t.Context())
		l.Release(end)
		now = now.Add(40 * time.Minute)
	}
	// At 0, 40, 80, 120 and 160 minutes; the third and fifth began a segment.
	if s := l.Stats(); s.Segments != 2 || s.Start != 2 {
		t.Errorf("%+v; want two segments from offset 2 on", s)
	}
}

// TestTailCache: the newest batches are handed out as they are, within the limit.
func TestTailCache(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), crashDir, Options{TailCacheBytes: 10_000})
	defer l.Close()
	gen := newEventGen(1)
	for range 50 {
		if err := l.Append(t.Context(), gen.batch(3)); err != nil {
			t.Fatal(err)
		}
		if got := l.Stats().CachedBytes; got > 10_000 || got == 0 {
			t.Fatalf("the cache holds %d bytes", got)
		}
	}
	large := gen.batch(300)
	if err := l.Append(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	r, err := l.Reader(event.Positions{large.Base + 7})
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Next(t.Context())
	if err != nil || b.Base != large.Base+7 || b.Len() != 293 || string(b.Value(0)) != string(large.Value(7)) {
		t.Fatalf("from the middle of the newest batch: %d records from %d on, %v", b.Len(), b.Base, err)
	}
	if &b.Data[0] != &large.Value(7)[0] {
		t.Error("the records were copied")
	}
	if got := l.Stats().CachedBytes; got < 100_000 {
		t.Errorf("the newest batch was dropped from the cache: %d bytes are left", got)
	}
}

// TestIndex: a reader from the middle of a segment begins near where it wants to,
// both in a segment written by this process and in one of before.
func TestIndex(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{SegmentBytes: 40_000, IndexEvery: 2000, TailCacheBytes: 1}
	l := mustOpen(t, mem, crashDir, opts)
	gen := newEventGen(1)
	for range 200 {
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			l.Close()
			l = mustOpen(t, mem, crashDir, opts)
		}
		for offset := int64(199); offset >= 0; offset -= 7 {
			s, err := l.Reader(event.Positions{offset})
			if err != nil {
				t.Fatal(err)
			}
			r := s.(*reader)
			at, err := r.look()
			if err != nil {
				t.Fatal(err)
			}
			if at.seg != nil {
				if err := r.openFile(at); err != nil {
					t.Fatal(err)
				}
				h, err := r.w.header(r.pos)
				if err != nil || h.base > offset || h.base < offset-8 {
					t.Fatalf("a reader from %d begins at %d, %v", offset, h.base, err)
				}
			}
			if b, err := r.Next(t.Context()); err != nil || b.Base != offset {
				t.Fatalf("a reader from %d: %v", offset, err)
			}
			r.Close()
		}
	}
	l.Close()
}

// TestDroppedWhileReading: a reader whose segment is dropped reads it to its end,
// or is told of a gap; it is never handed something else.
func TestDroppedWhileReading(t *testing.T) {
	l := mustOpen(t, vfs.OS(), t.TempDir(), Options{SegmentBytes: 1000, TailCacheBytes: 1, RetainBytes: 1})
	defer l.Close()
	gen := newEventGen(1)
	for range 30 {
		if err := l.Append(t.Context(), gen.batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := int64(0)
	gaps := 0
	for i := 0; next < 30; i++ {
		b, err := r.Next(t.Context())
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			if gap.From != next {
				t.Fatalf("gap from %d, expected %d", gap.From, next)
			}
			gaps++
			next = gap.To
		case err != nil:
			t.Fatal(err)
		case b.Base != next:
			t.Fatalf("read %d, expected %d", b.Base, next)
		default:
			next += int64(b.Len())
		}
		if i == 0 {
			l.Release(event.Positions{20})
		}
	}
	if gaps != 1 {
		t.Errorf("%d gaps were reported", gaps)
	}
}

// dropOnOpen drops segments when a reader is about to open one.
type dropOnOpen struct {
	vfs.FS
	drop func()
}

func (d *dropOnOpen) Open(name string) (vfs.File, error) {
	if drop := d.drop; drop != nil {
		d.drop = nil
		drop()
	}
	return d.FS.Open(name)
}

// TestDroppedBeforeOpening: a segment that goes between a reader's finding and
// opening it is a gap and no error.
func TestDroppedBeforeOpening(t *testing.T) {
	fsys := &dropOnOpen{FS: vfs.NewMem()}
	l := mustOpen(t, fsys, crashDir, Options{SegmentBytes: 1, TailCacheBytes: 1, RetainBytes: 1})
	defer l.Close()
	for range 5 {
		if err := l.Append(t.Context(), newEventGen(1).batch(1)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fsys.drop = func() { l.Release(event.Positions{3}) }
	b, err := r.Next(t.Context())
	var gap *stream.GapError
	if !errors.As(err, &gap) || gap.From != 0 || gap.To != 3 {
		t.Fatalf("Next = %v, %v; want the gap from 0 to 3", b, err)
	}
	if b, err = r.Next(t.Context()); err != nil || b.Base != 3 {
		t.Fatalf("behind the gap: %v", err)
	}
}

// TestEverythingAtOnce runs publishers, readers and retention side by side, for
// the race detector.
func TestEverythingAtOnce(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), crashDir, Options{SegmentBytes: 3000, TailCacheBytes: 5000, RetainBytes: 6000})
	const publishers, each = 4, 100
	var publishing, reading sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			gen := newEventGen(uint64(p))
			for i := range each {
				if err := l.Append(t.Context(), gen.batch(1+i%5)); err != nil {
					t.Errorf("Append: %v", err)
				}
				l.Stats()
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			r, err := l.Reader(nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for next := int64(0); ; {
				b, err := r.Next(t.Context())
				var gap *stream.GapError
				switch {
				case errors.As(err, &gap):
					next = gap.To
				case errors.Is(err, stream.ErrClosed):
					return
				case err != nil || b.Base != next:
					t.Errorf("at %d: %v", next, err)
					return
				default:
					next += int64(b.Len())
					l.Release(event.Positions{next})
				}
			}
		})
	}
	publishing.Wait()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	reading.Wait()
}
