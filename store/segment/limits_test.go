package segment

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/storetest"
)

// fill appends n events like a source's, changed by edit, and freezes them to one
// segment, in the foreground.
func fill(t *testing.T, s *Store, n int, edit func(i int, e *event.Event)) {
	t.Helper()
	st, end := newStream(1, n), s.Visible().At(0)
	for i := range st.all {
		e := &st.all[i]
		e.ID, e.Offset = event.ID{1: byte(end >> 16), 2: byte(end >> 8), 3: byte(end), 6: 0x40}, end
		edit(i, e)
		end++
	}
	if err := s.Append(t.Context(), st.all, event.Positions{end}); err != nil {
		t.Fatal(err)
	}
	s.tryRotate()
	for h := s.oldestFrozen(); h != nil; h = s.oldestFrozen() {
		if err := s.freeze(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
}

func openQuiet(t *testing.T, fsys vfs.FS, opts Options) *Store {
	t.Helper()
	s, err := Open(fsys, crashDir, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustParse(t *testing.T, text string) filter.Expr {
	t.Helper()
	x, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestMaxWritten: a dictionary keeps a column small in memory; when it stops
// paying, all of it is written out. So neither a head nor a merged segment takes
// more than what can be.
func TestMaxWritten(t *testing.T) {
	h := newHead(DefaultHeadRows, nil)
	same := strings.Repeat("x", 60<<10)
	row := []event.Event{{ID: event.ID{1}, Metadata: same}}
	rows := slices.Repeat(row, 1000)
	batches := 0
	for h.room(len(rows), DefaultHeadRows, DefaultHeadBytes) {
		h.append(rows, nil)
		if batches++; batches > 20 {
			t.Fatalf("a head took %d bytes of text", batches*len(rows)*len(same))
		}
	}
	if least := maxWritten / (len(rows) * len(same)); batches <= least {
		t.Errorf("a head took %d batches, there is room for more than %d", batches, least)
	}
	m := describe(&h.snapshot().cols)
	if want := int64(batches * len(rows) * len(same)); m.Text != want {
		t.Errorf("the manifest says %d bytes of text, not %d", m.Text, want)
	}
	var run []*segment
	for i := range int64(8) {
		g := &segment{meta: meta{From: event.Positions{i}, To: event.Positions{i + 1}, Text: maxWritten / 5}}
		g.Parquet.Rows = 10
		run = append(run, g)
	}
	if got := len(pickRun(run, 1000, 1<<20)); got != 5 {
		t.Errorf("%d segments are merged, there is room for 5", got)
	}
}

// TestColumnsAreReadOnce: however many leaves look at a column, a query pays for it
// once, in memory as well.
func TestColumnsAreReadOnce(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{QueryMemory: 1 << 20})
	fill(t, s, 4000, func(i int, e *event.Event) { e.Metadata = fmt.Sprintf(`{"n":"v%d%s"}`, i, strings.Repeat("-", 40)) })
	var terms []string
	for i := range 20 {
		terms = append(terms, fmt.Sprintf(`"v%d-"`, 100+i))
	}
	n := 0
	q := store.Scan{Range: store.AllTime, Filter: mustParse(t, strings.Join(terms, " or "))}
	if err := s.Scan(t.Context(), q, func(*event.Event) bool { n++; return true }); err != nil || n != len(terms) {
		t.Errorf("%d events, %v; want %d", n, err, len(terms))
	}
}

// TestPageOfLargeEvents: how many rows are fetched at once depends on their size
// from the first ones on.
func TestPageOfLargeEvents(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{QueryMemory: 8 << 20})
	fill(t, s, 200, func(i int, e *event.Event) { e.Metadata = fmt.Sprintf(`{"n":"%d%s"}`, i, strings.Repeat("-", 60<<10)) })
	n := 0
	err := s.Scan(t.Context(), store.Scan{Range: store.AllTime, Limit: 180}, func(*event.Event) bool { n++; return true })
	if err != nil || n != 180 {
		t.Errorf("a page of 180 events of 60 KiB in 8 MiB: %d, %v", n, err)
	}
}

// TestCountMemory: the buckets of groups are bounded as the groups are.
func TestCountMemory(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{QueryMemory: 1 << 20})
	fill(t, s, 20_000, func(i int, e *event.Event) {
		e.UserID, e.Timestamp = fmt.Sprint("user-", i%200), int64(i/200)*int64(time.Second)
	})
	by := filter.Selector{Field: event.UserID}
	q := store.Count{Range: store.AllTime, By: &by, Top: 100, Bucket: time.Second}
	if _, err := s.Count(t.Context(), q); err != nil {
		t.Errorf("100 groups of 100 buckets in 1 MiB: %v", err)
	}
	q.Top = 200
	if _, err := s.Count(t.Context(), q); !errors.Is(err, store.ErrMemory) || !strings.Contains(err.Error(), "user_id") {
		t.Errorf("200 groups of 100 buckets in 1 MiB: %v", err)
	}
}

// TestManyGroups: the largest groups are found among more than are sorted at once.
func TestManyGroups(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{})
	fill(t, s, 9000, func(i int, e *event.Event) { e.RequestID = fmt.Sprint("r", min(i, 8000-i%2)) })
	by := filter.Selector{Field: event.RequestID}
	got, err := s.Count(t.Context(), store.Count{Range: store.AllTime, By: &by, Top: 3})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Group{{Value: "r7999", Count: 501}, {Value: "r8000", Count: 500}, {Value: "r0", Count: 1}}
	if got.Values != 8001 || got.Other != 7998 || fmt.Sprint(got.Groups) != fmt.Sprint(want) {
		t.Errorf("%d values, %d others, %v", got.Values, got.Other, got.Groups)
	}
}

// TestUnreadable: a file that cannot be read fails queries; if it stays so it is
// set aside, and what comes back is taken back.
func TestUnreadable(t *testing.T) {
	for _, test := range []struct {
		name   string
		broken int // minutes
		aside  bool
	}{{"for a moment", 0, false}, {"for two minutes", 2, false}, {"for good", 100, true}} {
		t.Run(test.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			s := openQuiet(t, fsys, Options{})
			for range 5 {
				fill(t, s, 100, func(int, *event.Event) {})
			}
			victim := s.segments[2].File
			fsys.SetHook(func(op vfs.Op) error {
				if op.Kind == "ReadAt" && strings.HasSuffix(op.Path, victim) {
					return syscall.EIO
				}
				return nil
			})
			all := store.Scan{Range: store.AllTime}
			if err := s.Scan(t.Context(), all, func(*event.Event) bool { return true }); !errors.Is(err, syscall.EIO) {
				t.Fatalf("a scan over a bad sector: %v", err)
			}
			now := time.Now()
			for minute := range 6 {
				if minute == test.broken {
					fsys.SetHook(nil)
				}
				for range 3 { // upkeep runs for other reasons too
					_ = s.setSuspectsAside(t.Context(), now)
				}
				now = now.Add(time.Minute)
			}
			n := 0
			err := s.Scan(t.Context(), all, func(*event.Event) bool { n++; return true })
			missing := s.Missing()
			switch {
			case err != nil || len(s.suspects) > 0:
				t.Errorf("a scan after six minutes: %v; %d suspects", err, len(s.suspects))
			case test.aside && (n != 400 || len(missing) != 1 || !strings.Contains(missing[0].Reason, "cannot be read")):
				t.Errorf("%d events, missing %+v", n, missing)
			case !test.aside && (n != 500 || len(missing) > 0):
				t.Errorf("%d events, missing %+v", n, missing)
			}
		})
	}
}

// TestExpireForgetsMissing: what is missing is missing no longer once retention
// would have dropped it.
func TestExpireForgetsMissing(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{RetainAge: time.Hour})
	now := time.Now()
	for i := range 4 {
		at := now.Add(time.Duration(i-3) * time.Hour).Add(time.Minute).UnixNano()
		fill(t, s, 100, func(_ int, e *event.Event) { e.ReceivedAt = at })
	}
	victim := s.segments[1]
	s.suspect(victim, nil)
	s.suspects[victim] = &suspicion{failed: unreadAfter - 1}
	if err := s.fs.Remove(crashDir + "/" + victim.File); err != nil {
		t.Fatal(err)
	}
	if err := s.setSuspectsAside(t.Context(), now); err != nil || len(s.Missing()) != 1 {
		t.Fatalf("missing %v, %v", s.Missing(), err)
	}
	if err := s.expire(now.Add(-70 * time.Minute)); err != nil || len(s.Missing()) != 1 {
		t.Errorf("what is older went: missing %v, %v", s.Missing(), err)
	}
	if err := s.expire(now.Add(5 * time.Minute)); err != nil || len(s.Missing()) != 0 || len(s.segments) != 1 {
		t.Errorf("what is newer went: missing %v, %d segments, %v", s.Missing(), len(s.segments), err)
	}
}

func TestBucketOf(t *testing.T) {
	const least, most = math.MinInt64, math.MaxInt64
	for _, test := range []struct{ t, width, start, next int64 }{
		{0, 10, 0, 10}, {9, 10, 0, 10}, {10, 10, 10, 20}, {-1, 10, -10, 0}, {-10, 10, -10, 0}, {-11, 10, -20, -10},
		{most, 10, most - 7, most}, {most - 8, 10, most - 17, most - 7},
		{least + 1, 10, least, least + 8}, {least + 8, 10, least + 8, least + 18}, {5, most, 0, most}, {-5, most, -most, 0},
	} {
		if start, next := bucketOf(test.t, test.width); start != test.start || next != test.next {
			t.Errorf("%d in buckets of %d: [%d, %d), want [%d, %d)", test.t, test.width, start, next, test.start, test.next)
		}
	}
}

// TestRowsetPieces compares what works word by word with what works row by row.
func TestRowsetPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	codes, to := make([]uint32, 1000), []uint32{2, 0, 1, 1, 0}
	for i := range codes {
		codes[i] = r.Uint32N(5)
	}
	for range 300 {
		base := r.IntN(300)
		set := &rowset{base: base, n: 1 + r.IntN(len(codes)-base)}
		set.words = make([]uint64, wordsFor(set.n))
		set.fill()
		if r.IntN(2) == 0 {
			drop := r.IntN(10)
			set.keep(func(row int) bool { return row%10 > drop || row%200 < 64 })
		}
		lo := r.IntN(1000)
		hi := lo + r.IntN(1000)
		var rows []int
		plain, mapped := make([]int64, 5), make([]int64, 5)
		set.each(func(row int) bool {
			if row >= lo && row < hi {
				rows = append(rows, row)
				plain[codes[row]]++
				mapped[to[codes[row]]]++
			}
			return true
		})
		var got []int
		set.eachIn(lo, hi, func(row int) { got = append(got, row) })
		p, m := make([]int64, 5), make([]int64, 5)
		set.tally(codes, nil, p, lo, hi)
		set.tally(codes, to, m, lo, hi)
		if !slices.Equal(got, rows) || set.countIn(lo, hi) != len(rows) || !slices.Equal(p, plain) || !slices.Equal(m, mapped) {
			t.Fatalf("rows %d to %d of [%d, %d): %v, want %v; %v %v, want %v %v", lo, hi, base, base+set.n, got, rows, p, m, plain, mapped)
		}
		ok := []uint8{1, 0, 1, 0, 0}
		pick := &rowset{base: set.base, n: set.n, words: slices.Clone(set.words)}
		hi = min(hi, len(codes))
		pick.keepCodes(lo, codes[min(lo, hi):hi], ok)
		set.each(func(row int) bool {
			if kept := row < lo || row >= hi || ok[codes[row]] == 1; pick.has(row) != kept {
				t.Fatalf("row %d of code %d: kept is %t, want %t", row, codes[row], pick.has(row), kept)
			}
			return true
		})
		want := make(map[int]bool)
		set.each(func(row int) bool { want[row] = true; return true })
		set.keepRuns(func(from, to int) bool {
			for row := from; row < to; row++ {
				if row < base || row >= base+set.n {
					t.Fatalf("asked about rows %d to %d of [%d, %d)", from, to, base, base+set.n)
				}
				if row%97 == 0 && want[row] {
					return true
				}
			}
			return false
		})
		for row := range want {
			if row%97 == 0 && !set.has(row) {
				t.Fatalf("row %d was dropped", row)
			}
		}
	}
}

// TestTextAcrossRows: what is found where two values meet is in neither.
func TestTextAcrossRows(t *testing.T) {
	s := openQuiet(t, vfs.NewMem(), Options{})
	m := &storetest.Model{}
	fill(t, s, 10_000, func(i int, e *event.Event) {
		e.RequestID = fmt.Sprintf("begin%dend", i)
		e.Metadata = fmt.Sprintf(`{"k":"v\"%d"}`, i)
		m.Events = append(m.Events, *e)
	})
	for _, text := range []string{`"endbegin"`, `"END BEGIN"`, `BEGIN77END`, `begin77`, `"v\"77"`, `"v\"9999"`, `"}{"`,
		`request_id:*endbegin*`, `request_id:*n77*`, `-request_id:*begin77*`, `metadata.k:"v\"77"`, `"begin\u212a"`, `begin9end or begin8end`} {
		x, err := filter.Parse(text)
		if err != nil {
			continue
		}
		storetest.CheckScan(t, s, m, &store.Scan{Range: store.AllTime, Filter: x})
	}
}
