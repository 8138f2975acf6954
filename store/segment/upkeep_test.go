package segment

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/storetest"
)

// TestPickRun: digits are rows of neighbours, in tenths of a full segment; a bar
// is a piece of the stream that is missing.
func TestPickRun(t *testing.T) {
	tests := []struct{ segments, want string }{
		{"", ""},
		{"111", ""},
		{"1111", "1111"},
		{"11111", "11111"},
		{"9999", ""},
		{"91111", "1111"},
		{"11119", "1111"},
		{"11|11", ""},
		{"11|1111", "1111"},
		{"4111", ""}, // the 4 would be written again for 3 more
		{"3111", "3111"},
		{"333322", "3322"},
		{"11111111111", "1111111111"},
		{"52111", "52111"},
		{"62111", "2111"},
		{"2211149", "22111"},
	}
	for _, test := range tests {
		var segments []*segment
		at := int64(0)
		for _, c := range test.segments {
			if c == '|' {
				at++
				continue
			}
			m := meta{File: string(c), From: event.Positions{at}, To: event.Positions{at + 10}}
			m.Parquet.Rows = int64(c-'0') * 10
			at += 10
			segments = append(segments, &segment{meta: m})
		}
		got := ""
		for _, g := range pickRun(segments, 100, 1<<20) {
			got += g.File
		}
		if got != test.want {
			t.Errorf("%q: %q is merged, want %q", test.segments, got, test.want)
		}
	}
}

// TestMerge: merging leaves every answer as it was, and removes the old files as
// soon as no scan reads them.
func TestMerge(t *testing.T) {
	fsys := vfs.NewMem()
	s, err := Open(fsys, crashDir, Options{HeadRows: 1000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	st := newStream(8, 50)
	for i, rows := range st.batches {
		if err := s.Append(t.Context(), rows, st.reached[i]); err != nil {
			t.Fatal(err)
		}
		s.tryRotate()
		if err := s.freeze(t.Context(), s.oldestFrozen()); err != nil {
			t.Fatal(err)
		}
	}
	m := &storetest.Model{Events: st.all}
	rng := rand.New(rand.NewPCG(1, 1))
	storetest.Check(t, s, m, rng, 20)
	old := s.segments[0].File
	n := 0
	err = s.Scan(t.Context(), store.Scan{Range: store.AllTime, Order: store.ByPosition}, func(*event.Event) bool {
		if n++; n == 10 {
			if err := s.tidy(t.Context(), time.Now()); err != nil {
				t.Error(err)
			}
			if _, err := fsys.Stat(filepath.Join(crashDir, old)); err != nil {
				t.Errorf("a scan reads %s: %v", old, err)
			}
		}
		return true
	})
	if err != nil || n != len(st.all) {
		t.Errorf("a scan across a merge gave %d of %d events, %v", n, len(st.all), err)
	}
	if len(s.segments) != 1 || s.Stats().Compactions != 1 {
		t.Errorf("%d segments after %d merges", len(s.segments), s.Stats().Compactions)
	}
	storetest.Check(t, s, m, rng, 20)
	checkFolder(t, fsys, s)
}

func TestRetention(t *testing.T) {
	st := newStream(10, 64)
	received := func(i int) time.Time { return time.Unix(0, st.batches[i][63].ReceivedAt) }
	for _, test := range []struct {
		name string
		opts func(size int64) Options
		now  time.Time
		left int64 // events
	}{
		{"nothing", func(int64) Options { return Options{} }, received(9), 640},
		{"age", func(int64) Options { return Options{RetainAge: time.Second} }, received(3).Add(time.Second + time.Millisecond), 6 * 64},
		{"everything is old", func(int64) Options { return Options{RetainAge: time.Second} }, received(9).Add(time.Hour), 0},
		{"bytes", func(size int64) Options { return Options{RetainBytes: size * 45 / 100} }, received(9), 4 * 64},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			s, err := Open(fsys, crashDir, Options{HeadRows: 64}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(st.feed(t.Context(), s), s.tryFlush(t.Context())); err != nil {
				t.Fatal(err)
			}
			s.opts = test.opts(s.Stats().Bytes)
			s.opts.HeadRows, s.opts.QueryMemory = 64, 1<<30
			if err := s.tidy(t.Context(), test.now); err != nil {
				t.Fatal(err)
			}
			stats := s.Stats()
			if stats.Events != test.left || stats.Expired != 640-test.left {
				t.Errorf("%d events left, %d expired; want %d left", stats.Events, stats.Expired, test.left)
			}
			storetest.Check(t, s, &storetest.Model{Events: st.all[640-test.left:]}, rand.New(rand.NewPCG(1, 1)), 3)
			checkFolder(t, fsys, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// tryFlush is Flush in the foreground.
func (s *Store) tryFlush(ctx context.Context) error {
	s.tryRotate()
	for h := s.oldestFrozen(); h != nil; h = s.oldestFrozen() {
		if err := s.freeze(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// TestFullDisk: while the disk is full, searches work, Append waits once heads
// are full, and when there is room again everything is there.
func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"Create", "Write", "Sync", "Rename", "SyncDir"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := vfs.NewMem()
				s := openRunning(t, fsys, crashDir, Options{HeadRows: 64})
				var full atomic.Bool
				full.Store(true)
				fsys.SetHook(func(op vfs.Op) error {
					if op.Kind == kind && full.Load() {
						return syscall.ENOSPC
					}
					return nil
				})
				st := newStream(6, 60)
				fed := make(chan error, 1)
				go func() {
					for i, rows := range st.batches {
						if err := s.Append(t.Context(), rows, st.reached[i]); err != nil {
							fed <- err
							return
						}
					}
					fed <- nil
				}()
				time.Sleep(time.Minute)
				select {
				case err := <-fed:
					t.Fatalf("everything was appended to a full disk: %v", err)
				default:
				}
				storetest.Check(t, s, st.before(s.Visible()), rand.New(rand.NewPCG(1, 1)), 3)
				if got := s.Stats(); got.HeadEvents != 180 || got.FreezeErrors < 5 || len(s.Committed()) != 0 {
					t.Errorf("stats %+v, committed %v", got, s.Committed())
				}
				full.Store(false)
				if err := <-fed; err != nil {
					t.Error(err)
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				storetest.Check(t, s, &storetest.Model{Events: st.all}, rand.New(rand.NewPCG(1, 1)), 3)
				synctest.Wait()
				checkFolder(t, fsys, s)
			})
		})
	}
}

// TestHeadAge: a head that nothing is added to any more is frozen when it is old.
func TestHeadAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openRunning(t, vfs.NewMem(), crashDir, Options{HeadAge: time.Minute})
		st := newStream(1, 10)
		if err := s.Append(t.Context(), st.all, st.reached[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := s.Stats().HeadEvents; got != 10 {
			t.Errorf("after 59s, %d events in the head", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.Stats(); got.HeadEvents != 0 || got.Segments != 1 {
			t.Errorf("after 61s: %+v", got)
		}
		if err := s.Append(t.Context(), nil, event.Positions{20}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := s.Committed(); len(got) != 1 || got[0] != 20 {
			t.Errorf("committed %v after a position without rows, want 20", got)
		}
	})
}

// TestQueryMemory: a query that would hold too much fails, and says so.
func TestQueryMemory(t *testing.T) {
	s := openRunning(t, vfs.NewMem(), crashDir, Options{HeadRows: 4096, QueryMemory: 64 << 10})
	st := newStream(1, 4000)
	if err := errors.Join(s.Append(t.Context(), st.all, st.reached[0]), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	by, err := filter.ParseSelector("event_id")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Count(t.Context(), store.Count{Range: store.AllTime, By: &by}); !errors.Is(err, store.ErrMemory) {
		t.Errorf("a count of 4000 groups in 64 KiB: %v", err)
	}
	x, err := filter.Parse(`offset:>5 offset:<3990 received_at:* timestamp:*`)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Scan(t.Context(), store.Scan{Range: store.AllTime, Filter: x}, func(*event.Event) bool { return true })
	if !errors.Is(err, store.ErrMemory) {
		t.Errorf("a scan that reads columns of more than 64 KiB: %v", err)
	}
	n := 0
	err = s.Scan(t.Context(), store.Scan{Range: store.AllTime, Limit: 10, Fields: event.Fields(event.UserID)}, func(*event.Event) bool { n++; return true })
	if err != nil || n != 10 {
		t.Errorf("a page of ids: %d, %v", n, err)
	}
}

// TestKnownFilter: identities that rise cost nothing; others are looked up in a
// filter that is made once.
func TestKnownFilter(t *testing.T) {
	s := openRunning(t, vfs.NewMem(), crashDir, Options{HeadRows: 256})
	st := newStream(8, 250)
	for i, rows := range st.batches {
		for j := range rows {
			rows[j].ID, rows[j].TenantID = event.ID{0: byte(i), 1: byte(j), 6: 0x70, 15: 1}, "acme"
		}
		if err := s.Append(t.Context(), rows, st.reached[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(ids ...event.ID) []event.Position {
		found := make([]event.Position, len(ids))
		asked := make([]event.Identity, len(ids))
		for i, id := range ids {
			asked[i] = event.Identity{TenantID: "acme", ID: id}
		}
		if err := s.Known(t.Context(), asked, 0, found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	none := event.Position{Offset: -1}
	if got := ask(event.ID{0: 9, 6: 0x70}, event.ID{0: 10, 6: 0x70}); got[0] != none || got[1] != none || s.filterBytes.Load() != 0 {
		t.Errorf("new identities: %v, %d bytes of filters", got, s.filterBytes.Load())
	}
	for range 2 {
		got := ask(event.ID{0: 3, 1: 7, 6: 0x70, 15: 1}, event.ID{0: 3, 1: 8, 6: 0x70, 15: 2})
		if want := st.batches[3][7].Position(); got[0] != want || got[1] != none || s.filterBytes.Load() != 9*250/4 {
			t.Errorf("one that is there and one that is not: %v, want %v; %d bytes of filters", got, want, s.filterBytes.Load())
		}
	}
	s.opts.FilterBytes = 0
	if got := ask(event.ID{0: 4, 1: 7, 6: 0x70, 15: 1}); got[0] != st.batches[4][7].Position() {
		t.Errorf("without room for a filter: %v", got)
	}
}

// TestHeadBytes: large events fill a head before its rows do, repeated ones do
// not.
func TestHeadBytes(t *testing.T) {
	s := openRunning(t, vfs.NewMem(), crashDir, Options{HeadBytes: 1 << 20})
	large := func(n int, metadata func(i int) string) {
		t.Helper()
		st := newStream(1, n)
		end := s.Visible().At(0)
		for i := range st.all {
			e := &st.all[i]
			e.ID, e.Offset, e.Metadata = event.ID{1: byte(end >> 8), 2: byte(end), 6: 0x40}, end, metadata(i)
			end++
			if err := s.Append(t.Context(), st.all[i:i+1], event.Positions{end}); err != nil {
				t.Fatal(err)
			}
		}
	}
	same := strings.Repeat("x", 10_000)
	large(300, func(int) string { return same })
	if got := s.Stats(); got.Events != 300 || got.HeadEvents != 300 {
		t.Errorf("3 MB of text that is 10 KB in a dictionary: %+v", got)
	}
	large(300, func(i int) string { return same + strconv.Itoa(i) })
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Events != 600 || got.Segments < 3 || got.Segments > 6 {
		t.Errorf("3 MB of different text in heads of 1 MB: %+v", got)
	}
}
