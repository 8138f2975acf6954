package parquet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// Whatever is written is read back: as a whole, by column, by row, by identity.
func TestRoundTrip(t *testing.T) {
	for seed, n := range []int{1, 2, 7, 100, 1023, 4097, 30_000} {
		for _, kind := range []struct {
			name string
			make func(int, uint64) []event.Event
		}{{"realistic", realistic}, {"odd", odd}} {
			if kind.name == "odd" && n > 5000 {
				continue
			}
			t.Run(fmt.Sprint(kind.name, "/", n), func(t *testing.T) {
				es := kind.make(n, uint64(seed))
				slices.SortStableFunc(es, byTime)
				half := n / 2
				var groups []*column.Rows
				for _, part := range [][]event.Event{es[:half], es[half:]} {
					if len(part) > 0 {
						groups = append(groups, columns(part))
					}
				}
				b, info := write(t, groups...)
				checkFile(t, open(t, b, info, nil), es)
				cache := parquet.NewCache(64 << 20)
				checkFile(t, open(t, b, info, cache), es)
				if n < 5000 {
					checkFile(t, open(t, b, info, parquet.NewCache(64<<10)), es)
				}
				if cache.Bytes() == 0 {
					t.Error("nothing is in the cache")
				}
			})
		}
	}
}

// One file and one cache serve many readers at once.
func TestReadersAtOnce(t *testing.T) {
	es := realistic(20_000, 11)
	b, info := write(t, columns(es))
	cache := parquet.NewCache(2 << 20) // too small for the file: pages come and go
	g := open(t, b, info, cache).RowGroups()[0]
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 8 {
				rows := make([]uint32, 50)
				ids := make([]event.ID, len(rows))
				found := make(map[event.ID]uint32)
				for i := range rows {
					rows[i] = uint32(r.IntN(len(es)))
					ids[i] = es[rows[i]].ID
				}
				got, err := g.Gather(t.Context(), rows, event.AllFields)
				if err == nil {
					err = g.FindIDs(t.Context(), ids, func(row uint32) bool { found[es[row].ID] = row; return true })
				}
				if err != nil {
					t.Error(err)
					return
				}
				for i, e := range eventsOf(got) {
					if e != es[rows[i]] || found[ids[i]] != rows[i] {
						t.Errorf("row %d is another, or found in row %d", rows[i], found[ids[i]])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestCancelled(t *testing.T) {
	b, info := write(t, columns(realistic(1000, 1)))
	f := open(t, b, info, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := f.RowGroups()[0]
	_, text := g.Text(ctx, event.Metadata)
	_, gathered := g.Gather(ctx, []uint32{1}, event.AllFields)
	_, all := g.All(ctx)
	for _, err := range []error{text, gathered, all, f.Verify(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

func checkFile(t *testing.T, f *parquet.File, es []event.Event) {
	t.Helper()
	if err := f.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.RowGroups() {
		part := es[:g.Rows()]
		es = es[g.Rows():]
		checkGroup(t, g, part)
	}
	if len(es) != 0 {
		t.Fatalf("%d events are not in the file", len(es))
	}
}

func checkGroup(t *testing.T, g *parquet.RowGroup, es []event.Event) {
	t.Helper()
	all, err := g.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, eventsOf(all), es)
	for f := event.UserID; f <= event.Metadata; f++ {
		checkText(t, g, f, es)
	}
	lo, hi := g.IntRange(event.Timestamp)
	if lo != es[0].Timestamp || hi != es[len(es)-1].Timestamp {
		t.Errorf("timestamps from %d to %d", lo, hi)
	}
	r := rand.New(rand.NewPCG(9, uint64(len(es))))
	for _, n := range []int{0, 1, 2, 100, min(3*len(es), 3000)} {
		rows := make([]uint32, n)
		want := make([]event.Event, n)
		for i := range rows {
			rows[i] = uint32(r.IntN(len(es)))
			want[i] = es[rows[i]]
		}
		got, err := g.Gather(t.Context(), rows, event.AllFields)
		if err != nil {
			t.Fatal(err)
		}
		same(t, eventsOf(got), want)
	}
	checkIDs(t, g, es, r)
}

func checkText(t *testing.T, g *parquet.RowGroup, f event.Field, es []event.Event) {
	t.Helper()
	text, err := g.Text(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	dict, err := g.Dict(f)
	if err != nil {
		t.Fatal(err)
	}
	if dict != nil && (text.Dict == nil || dict.Len() != text.Dict.Len()) {
		t.Errorf("%s: the dictionary is not the column's", f)
	}
	has := false
	for i := range es {
		v := es[i].Text(f)
		has = has || v != ""
		if text.At(i) != v {
			t.Fatalf("%s of row %d is %.100q, want %.100q", f, i, text.At(i), v)
		}
		if i%17 == 0 {
			if may, err := g.MayContain(f, v); err != nil || !may {
				t.Fatalf("%s: no row may have %.100q, which one has: %v", f, v, err)
			}
		}
	}
	if g.Has(f) != has {
		t.Errorf("has %s: %v", f, !has)
	}
}

// find returns the rows that have one of ids, in rising order.
func find(t testing.TB, g *parquet.RowGroup, ids ...event.ID) (rows []uint32) {
	t.Helper()
	err := g.FindIDs(t.Context(), ids, func(row uint32) bool {
		rows = append(rows, row)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}

func checkIDs(t *testing.T, g *parquet.RowGroup, es []event.Event, r *rand.Rand) {
	t.Helper()
	for _, n := range []int{1, 3, min(len(es), 500)} {
		var ids []event.ID
		var want []uint32
		for range n {
			row := r.IntN(len(es))
			ids = append(ids, es[row].ID, event.ID{byte(r.Uint32()), byte(r.Uint32()), 1})
			want = append(want, uint32(row))
		}
		slices.Sort(want)
		if rows := find(t, g, ids...); !slices.Equal(rows, slices.Compact(want)) {
			t.Fatalf("IDs found in rows %v, want %v", rows, want)
		}
	}
}
