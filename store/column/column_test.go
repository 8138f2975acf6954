package column_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// shapes are the kinds of column that there are: value i of n.
var shapes = []struct {
	name  string
	value func(r *rand.Rand, i int) string
}{
	{"absent", func(*rand.Rand, int) string { return "" }},
	{"constant", func(*rand.Rand, int) string { return "default" }},
	{"late", func(_ *rand.Rand, i int) string {
		if i < 700 {
			return ""
		}
		return "late"
	}},
	{"runs", func(_ *rand.Rand, i int) string { return fmt.Sprint("run", i/100) }},
	{"few", func(r *rand.Rand, _ int) string { return []string{"", "read", "write", "ü€𝄞"}[r.IntN(4)] }},
	{"users", func(r *rand.Rand, _ int) string { return fmt.Sprint("user-", r.IntN(3000)) }},
	{"unique", func(_ *rand.Rand, i int) string { return fmt.Sprint("request-", i) }},
	{"sparse unique", func(r *rand.Rand, i int) string {
		if r.IntN(8) > 0 {
			return ""
		}
		return fmt.Sprint("trace-", i)
	}},
	{"few then unique", func(r *rand.Rand, i int) string {
		if i < 30_000 {
			return fmt.Sprint("few-", r.IntN(10))
		}
		return fmt.Sprint("unique-", i)
	}},
	{"long", func(r *rand.Rand, i int) string { return strings.Repeat(fmt.Sprint(r.IntN(20)), 1+r.IntN(3000)) }},
	{"empty now and then", func(r *rand.Rand, i int) string { return strings.Repeat("x", r.IntN(3)) }},
}

func values(shape, n int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, uint64(shape)))
	vs := make([]string, n)
	for i := range vs {
		vs[i] = shapes[shape].value(r, i)
	}
	return vs
}

func build(vs []string) column.Text {
	b := column.NewBuilder(len(vs))
	for _, v := range vs {
		b.Append(v)
	}
	return b.Snapshot()
}

// check compares a column with the values that it should have, and its shape
// with what the type promises.
func check(t *testing.T, got *column.Text, want []string) {
	t.Helper()
	if got.Rows != len(want) {
		t.Fatalf("%d rows, want %d", got.Rows, len(want))
	}
	switch {
	case got.Dict != nil && got.Codes == nil && got.Dict.Len() != 1:
		t.Fatalf("no codes but %d dictionary entries", got.Dict.Len())
	case got.Codes != nil && len(got.Codes) != got.Rows:
		t.Fatalf("%d codes for %d rows", len(got.Codes), got.Rows)
	case got.Dict == nil && got.Codes != nil:
		t.Fatal("codes without a dictionary")
	case got.Dict == nil && got.Plain.Len() != 0 && got.Plain.Len() != got.Rows:
		t.Fatalf("%d strings for %d rows", got.Plain.Len(), got.Rows)
	}
	for i, v := range want {
		if g := got.At(i); g != v {
			t.Fatalf("row %d is %q, want %q", i, g, v)
		}
	}
}

func TestBuilder(t *testing.T) {
	for s := range shapes {
		for _, n := range []int{0, 1, 2, 255, 1000, 70_000} {
			t.Run(fmt.Sprint(shapes[s].name, "/", n), func(t *testing.T) {
				vs := values(s, n, 1)
				got := build(vs)
				check(t, &got, vs)
			})
		}
	}
}

func TestBuilderForm(t *testing.T) {
	form := func(c column.Text) string {
		switch {
		case c.Absent():
			return "absent"
		case c.Dict == nil:
			return "plain"
		case c.Codes == nil:
			return "constant"
		}
		return "coded"
	}
	want := map[string]string{
		"absent": "absent", "constant": "constant", "late": "coded", "runs": "coded", "few": "coded",
		"users": "coded", "unique": "plain", "sparse unique": "plain", "few then unique": "plain", "long": "plain",
		"empty now and then": "coded",
	}
	for s, shape := range shapes {
		if got := form(build(values(s, 110_000, 2))); got != want[shape.name] {
			t.Errorf("%s: %s, want %s", shape.name, got, want[shape.name])
		}
	}
}

func TestBuilderBeyondCapacity(t *testing.T) {
	for s := range shapes {
		vs := values(s, 3000, 3)
		b := column.NewBuilder(7)
		for _, v := range vs {
			b.Append(v)
		}
		got := b.Snapshot()
		check(t, &got, vs)
	}
}

func TestAbsentColumnHoldsNothing(t *testing.T) {
	b := column.NewBuilder(1 << 18)
	if n := testing.AllocsPerRun(1000, func() { b.Append("") }); n != 0 {
		t.Errorf("%v allocations per absent row", n)
	}
	if b.Bytes() != 0 {
		t.Errorf("%d bytes for absent rows", b.Bytes())
	}
	b.Append("value")
	if b.Bytes() == 0 {
		t.Error("no bytes for a present row")
	}
}

// A snapshot stays what it was, whatever is appended after it, and may be read
// by others meanwhile.
func TestSnapshotStays(t *testing.T) {
	for s, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			vs := values(s, 40_000, 4)
			b := column.NewBuilder(50_000)
			var wg sync.WaitGroup
			for i, v := range vs {
				if i%1777 == 0 {
					snap := b.Snapshot()
					wg.Go(func() {
						if snap.Rows != i {
							t.Errorf("%d rows, want %d", snap.Rows, i)
						}
						for j := range snap.Rows {
							if got := snap.At(j); got != vs[j] {
								t.Errorf("snapshot of %d rows: row %d is %q, want %q", i, j, got, vs[j])
								return
							}
						}
					})
				}
				b.Append(v)
			}
			wg.Wait()
		})
	}
}

func TestGather(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for s, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			vs := values(s, 20_000, 5)
			c := build(vs)
			for _, n := range []int{0, 1, 100, 30_000} {
				rows := make([]uint32, n)
				want := make([]string, n)
				for i := range rows {
					rows[i] = uint32(r.IntN(len(vs)))
					want[i] = vs[rows[i]]
				}
				got := column.Gather(&c, rows)
				check(t, &got, want)
				if got.Dict != c.Dict {
					t.Error("the dictionary is not shared")
				}
			}
		})
	}
}

func TestConcat(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for round := range 60 {
		var ts []*column.Text
		var want []string
		for range r.IntN(6) {
			s := r.IntN(len(shapes))
			vs := values(s, []int{0, 1, 50, 5000, 20_000}[r.IntN(5)], uint64(round))
			c := build(vs)
			if r.IntN(3) == 0 && len(vs) > 0 { // part of the rows: a dictionary with unused strings
				rows := make([]uint32, r.IntN(len(vs)))
				for i := range rows {
					rows[i] = uint32(r.IntN(len(vs)))
				}
				c = column.Gather(&c, rows)
				part := make([]string, len(rows))
				for i := range part {
					part[i] = vs[rows[i]]
				}
				vs = part
			}
			ts = append(ts, &c)
			want = append(want, vs...)
		}
		got := column.Concat(ts)
		check(t, &got, want)
	}
}

func TestConcatForm(t *testing.T) {
	text := func(prefix string, n int) *column.Text {
		vs := make([]string, n)
		for i := range vs {
			vs[i] = fmt.Sprint(prefix, i)
		}
		c := build(vs)
		return &c
	}
	one := func(v string, n int) *column.Text {
		c := build(slices.Repeat([]string{v}, n))
		return &c
	}
	var manySmall []*column.Text
	for i := range 30 {
		manySmall = append(manySmall, text(fmt.Sprint("u", i, "-"), 1000))
	}
	for _, c := range []struct {
		name string
		ts   []*column.Text
		dict int // -1: plain
	}{
		{"nothing", nil, -1},
		{"absent and absent", []*column.Text{one("", 10), one("", 5)}, -1},
		{"the same constant", []*column.Text{one("a", 10), one("a", 5)}, 1},
		{"two constants", []*column.Text{one("a", 10), one("b", 5)}, 2},
		{"absent, then a constant", []*column.Text{one("", 10), one("b", 5)}, 1},
		{"overlapping dictionaries", []*column.Text{text("v", 10), text("v", 15)}, 15},
		{"unique in small pieces", manySmall, -1},
	} {
		got := column.Concat(c.ts)
		n := -1
		if got.Dict != nil {
			n = got.Dict.Len()
		}
		if n != c.dict {
			t.Errorf("%s: dictionary of %d, want %d", c.name, n, c.dict)
		}
	}
	gathered := column.Gather(text("v", 100), []uint32{7, 9, 7})
	if got := column.Concat([]*column.Text{&gathered}); got.Dict.Len() != 2 {
		t.Errorf("dictionary of %d strings for two that are used", got.Dict.Len())
	}
}

func TestConcatLimit(t *testing.T) {
	var c column.Text // 64 MiB of strings; many times over they are too many
	c.Rows = 1
	c.Plain = column.Strings{Data: make([]byte, 64<<20), Ends: []uint32{64 << 20}}
	defer func() {
		if recover() == nil {
			t.Error("4 GiB of strings were taken")
		}
	}()
	column.Concat(slices.Repeat([]*column.Text{&c}, 64))
}

func TestRowsEvent(t *testing.T) {
	want := event.Event{
		ID: event.ID{1}, Timestamp: 5, ReceivedAt: 6, Partition: 2, Offset: 9,
		UserID: "alice", Action: "document.read", Metadata: `{"a":1}`,
	}
	r := column.Rows{N: 2, IDs: make([]event.ID, 2), Timestamps: []int64{0, 5}, ReceivedAt: []int64{0, 6},
		Partitions: []int32{0, 2}, Offsets: []int64{0, 9}}
	r.IDs[1] = want.ID
	for f := event.UserID; f <= event.Metadata; f++ {
		if v := want.Text(f); v != "" {
			r.Text[f] = build([]string{"other", v})
		}
	}
	got := event.Event{Reason: "of the event before", Source: "of the event before"}
	r.Event(1, event.AllFields, &got)
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	r.Partitions = nil
	got = event.Event{Action: "kept", Partition: 3}
	r.Event(1, event.Fields(event.UserID, event.Partition), &got)
	if got != (event.Event{UserID: "alice", Action: "kept"}) {
		t.Errorf("two fields asked for, got %+v", got)
	}
}

// A head of few, large events must not reserve for a quarter million like them.
func TestLargeStringsReserveLittle(t *testing.T) {
	b := column.NewBuilder(256 << 10)
	held := 0
	for i := range 60 {
		v := strings.Repeat(string(rune('a'+i%26)), 60<<10) + strconv.Itoa(i)
		held += len(v)
		b.Append(v)
	}
	for i := range 2000 {
		b.Append(strconv.Itoa(i))
	}
	if most := int64(held + 64<<20); b.Bytes() > most {
		t.Errorf("%d bytes are held for %d of strings; at most %d", b.Bytes(), held, most)
	}
}
