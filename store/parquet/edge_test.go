package parquet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

func TestRefusedRows(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*column.Rows)
		want   string // in the error
	}{
		{"no rows", func(r *column.Rows) { *r = column.Rows{} }, "row group of 0 rows"},
		{"too many rows", func(r *column.Rows) { r.N = parquet.MaxRows + 1 }, "row group of 262145 rows"},
		{"identities missing", func(r *column.Rows) { r.IDs = nil }, "column event_id has 0 values for 10 rows"},
		{"timestamps missing", func(r *column.Rows) { r.Timestamps = r.Timestamps[1:] }, "column timestamp has 9 values for 10 rows"},
		{"received_at missing", func(r *column.Rows) { r.ReceivedAt = nil }, "column received_at has 0 values"},
		{"offsets missing", func(r *column.Rows) { r.Offsets = nil }, "column offset has 0 values"},
		{"part of the partitions", func(r *column.Rows) { r.Partitions = r.Partitions[:3] }, "column partition has 3 values"},
		{"part of a text", func(r *column.Rows) { r.Text[event.Action].Rows = 4 }, "column action has 4 values"},
		{"not sorted", func(r *column.Rows) { slices.Reverse(r.Timestamps) }, "not sorted by timestamp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			w := parquet.NewWriter(&b)
			r := columns(realistic(10, 1))
			c.change(r)
			if err := w.WriteRowGroup(r); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			es := realistic(3, 1) // what was refused left no trace
			if err := w.WriteRowGroup(columns(es)); err != nil {
				t.Fatal(err)
			}
			info, err := w.Close()
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, open(t, b.Bytes(), info, nil), es)
		})
	}
}

func TestWriterAfterClose(t *testing.T) {
	w := parquet.NewWriter(io.Discard)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteRowGroup(columns(realistic(1, 1))); err == nil {
		t.Error("a row group after Close was taken")
	}
	if _, err := w.Close(); err == nil {
		t.Error("a second Close went well")
	}
}

// fullAfter is a stream that takes n bytes.
type fullAfter struct{ n int }

var errFull = errors.New("no room")

func (w *fullAfter) Write(b []byte) (int, error) {
	if len(b) > w.n {
		return w.n, errFull
	}
	w.n -= len(b)
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	r := columns(realistic(20_000, 1))
	for _, room := range []int{0, 1, 300 << 10, 600 << 10} {
		w := parquet.NewWriter(&fullAfter{room})
		err := w.WriteRowGroup(r)
		_, closed := w.Close()
		if !errors.Is(closed, errFull) {
			t.Errorf("room for %d bytes: Close gives %v", room, closed)
		}
		if err != nil && !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	b, info := write(t)
	f := open(t, b, info, nil)
	if len(f.RowGroups()) != 0 || info.Rows != 0 {
		t.Errorf("%d row groups, %d rows", len(f.RowGroups()), info.Rows)
	}
	if err := f.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// Values at the limits of what there can be.
func TestEdges(t *testing.T) {
	base := func(n int) []event.Event {
		es := make([]event.Event, n)
		for i := range es {
			es[i].ID = event.ID{1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i), 15: 7}
			es[i].Timestamp = int64(i)
		}
		return es
	}
	with := func(n int, set func(i int, e *event.Event)) []event.Event {
		es := base(n)
		for i := range es {
			set(i, &es[i])
		}
		return es
	}
	for _, c := range []struct {
		name   string
		events []event.Event
	}{
		{"nothing but what is required", base(3000)},
		{"one value", with(35_000, func(_ int, e *event.Event) { e.Action = "read" })},
		{"the first row alone has a value", with(35_000, func(i int, e *event.Event) {
			if i == 0 {
				e.Action, e.Reason = "read", "because"
			}
		})},
		{"the last row alone has a value", with(35_000, func(i int, e *event.Event) {
			if i == 34_999 {
				e.Action, e.Reason = "read", "because"
			}
		})},
		{"every other row", with(35_000, func(i int, e *event.Event) {
			if i%2 == 0 {
				e.Action, e.TraceID = fmt.Sprint("a", i%5), fmt.Sprint("t", i)
			}
		})},
		{"64 KiB strings, each its own", with(200, func(i int, e *event.Event) {
			e.Metadata = fmt.Sprintf("%d%s", i, strings.Repeat("m", 64<<10-8))
		})},
		{"64 KiB strings, a few", with(3000, func(i int, e *event.Event) {
			e.Metadata = fmt.Sprintf("%d%s", i%3, strings.Repeat("\u00fc", 32<<10-8))
		})},
		{"a dictionary too large for a page", with(600, func(i int, e *event.Event) {
			e.Metadata = fmt.Sprintf("%d%s", i%300, strings.Repeat("x", 64<<10-8))
		})},
		{"more than 64Ki values", with(110_000, func(i int, e *event.Event) {
			e.UserID, e.Resource = fmt.Sprint("u", i*7919%70_000), fmt.Sprint("r", i%66_000)
		})},
		{"exactly 64Ki values", with(132_000, func(i int, e *event.Event) { e.UserID = fmt.Sprint("u", i%(64<<10)) })},
		{"times at the ends of time", []event.Event{
			{ID: event.ID{1}, Timestamp: math.MinInt64, ReceivedAt: math.MaxInt64, Partition: math.MinInt32, Offset: math.MinInt64},
			{ID: event.ID{2}, Timestamp: 0, ReceivedAt: math.MinInt64, Partition: math.MaxInt32, Offset: math.MaxInt64},
			{ID: event.ID{255, 255}, Timestamp: math.MaxInt64, ReceivedAt: 0, Partition: -1, Offset: -1},
		}},
		{"the same identity all over", with(3000, func(_ int, e *event.Event) { e.ID = event.ID{9} })},
		{"characters of every length", with(300, func(i int, e *event.Event) {
			e.Reason = strings.Repeat("aé€𝄞\U0010ffff", 1+i%20)
			e.UserName = strings.Repeat("\U0010ffff", 10+i)
		})},
		{"no UTF-8", with(300, func(i int, e *event.Event) { e.Reason = strings.Repeat("\xff", 30+i) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, info := write(t, columns(c.events))
			f := open(t, b, info, parquet.NewCache(1<<20))
			if err := f.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, err := f.RowGroups()[0].All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, eventsOf(all), c.events)
			var rows []uint32
			var want []event.Event
			for i := 0; i < len(c.events); i += 1 + len(c.events)/500 {
				rows = append(rows, uint32(i))
				want = append(want, c.events[i])
			}
			got, err := f.RowGroups()[0].Gather(t.Context(), rows, event.AllFields)
			if err != nil {
				t.Fatal(err)
			}
			same(t, eventsOf(got), want)
		})
	}
}

// Rows picked out of more share their dictionary: only what they use is written.
func TestUnusedStringsAreNotWritten(t *testing.T) {
	all := realistic(9000, 3)
	r := columns(all)
	rows := []uint32{5, 77, 4000, 8999}
	picked := &column.Rows{N: len(rows)}
	var want []event.Event
	for _, i := range rows {
		want = append(want, all[i])
		picked.IDs = append(picked.IDs, r.IDs[i])
		picked.Timestamps = append(picked.Timestamps, r.Timestamps[i])
		picked.ReceivedAt = append(picked.ReceivedAt, r.ReceivedAt[i])
		picked.Offsets = append(picked.Offsets, r.Offsets[i])
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		picked.Text[f] = column.Gather(&r.Text[f], rows)
	}
	b, info := write(t, picked)
	f := open(t, b, info, nil)
	checkFile(t, f, want)
	if d, err := f.RowGroups()[0].Dict(event.UserID); err != nil || d.Len() > len(rows) {
		t.Errorf("dictionary of %d strings for %d rows: %v", d.Len(), len(rows), err)
	}
}

// Compaction: row groups read, put together and written again.
func TestRewrite(t *testing.T) {
	es := realistic(12_000, 4)
	b, info := write(t, columns(es[:5000]), columns(es[5000:5001]), columns(es[5001:]))
	merged := &column.Rows{}
	var text [event.NumFields][]*column.Text
	for _, g := range open(t, b, info, nil).RowGroups() {
		r, err := g.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		merged.N += r.N
		merged.IDs = append(merged.IDs, r.IDs...)
		merged.Timestamps = append(merged.Timestamps, r.Timestamps...)
		merged.ReceivedAt = append(merged.ReceivedAt, r.ReceivedAt...)
		merged.Offsets = append(merged.Offsets, r.Offsets...)
		for f := event.UserID; f <= event.Metadata; f++ {
			part := r.Text[f]
			part.Rows = r.N // a column that no row has may have length 0
			text[f] = append(text[f], &part)
		}
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		merged.Text[f] = column.Concat(text[f])
	}
	b, info = write(t, merged)
	checkFile(t, open(t, b, info, nil), es)
}

func TestGatherFields(t *testing.T) {
	es := realistic(3000, 5)
	b, info := write(t, columns(es))
	g := open(t, b, info, nil).RowGroups()[0]
	got, err := g.Gather(t.Context(), []uint32{2999, 0}, event.Fields(event.Action, event.Labels))
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Event{es[2999], es[0]}
	for i := range want {
		e := &want[i]
		*e = event.Event{ID: e.ID, Timestamp: e.Timestamp, Partition: e.Partition, Offset: e.Offset, Action: e.Action}
	}
	same(t, eventsOf(got), want)
	if _, err := g.Gather(t.Context(), []uint32{3000}, event.AllFields); err == nil {
		t.Error("a row that is not there was gathered")
	}
}

func TestMayContain(t *testing.T) {
	es := realistic(20_000, 6)
	b, info := write(t, columns(es))
	g := open(t, b, info, nil).RowGroups()[0]
	for _, c := range []struct {
		field event.Field
		value string
		want  bool
	}{
		{event.Action, "document.read", true},
		{event.Action, "aaa", false},         // below the least
		{event.Action, "zzz", false},         // above the greatest
		{event.Action, "document.zzz", true}, // between, and there is no bloom filter
		{event.Labels, "{}", false},          // no row has labels
		{event.Labels, "", true},             // every row is without
		{event.UserID, "", false},            // no row is without
		{event.ErrorCode, "", true},          // some rows are
		{event.UserID, "user-00001x", false}, // by the bloom filter
		{event.RequestID, es[77].RequestID, true},
	} {
		if got, err := g.MayContain(c.field, c.value); err != nil || got != c.want {
			t.Errorf("%s %q: %v, %v", c.field, c.value, got, err)
		}
	}
	wrong := 0
	for i := range 10_000 {
		may, err := g.MayContain(event.RequestID, fmt.Sprintf("req-%016x", i*0x1234567))
		if err != nil {
			t.Fatal(err)
		}
		if may {
			wrong++
		}
	}
	if wrong > 300 {
		t.Errorf("the bloom filter says yes to %d of 10,000 values that are not there", wrong)
	}
}

// TestFindSeveral: all rows with an ID are found, whatever page they are on, and
// none after the one that is enough.
func TestFindSeveral(t *testing.T) {
	es := realistic(5000, 3)
	want := []uint32{10, 900, 905, 3000, 4999}
	for _, i := range want {
		es[i].ID = es[10].ID
	}
	b, info := write(t, columns(es))
	g := open(t, b, info, nil).RowGroups()[0]
	id := es[10].ID
	few := []event.ID{id, {1}, id}
	many := few
	for i := range 20 {
		many = append(many, es[4000+i].ID)
	}
	if rows := find(t, g, few...); !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	if rows := find(t, g, many...); len(rows) != len(want)+20 || !slices.Equal(rows[:4], want[:4]) || rows[24] != want[4] {
		t.Errorf("rows %v, want %v and from 4000 on", rows, want)
	}
	for _, ids := range [][]event.ID{few, many} {
		asked := 0
		err := g.FindIDs(t.Context(), ids, func(uint32) bool { asked++; return asked < 3 })
		if err != nil || asked != 3 {
			t.Errorf("three rows were enough, and there were %d, %v", asked, err)
		}
	}
}

// TestEachCodes: codes by page are those of the whole column, and a page that is
// not wanted is not read.
func TestEachCodes(t *testing.T) {
	es := realistic(100_000, 4)
	b, info := write(t, columns(es))
	g := open(t, b, info, nil).RowGroups()[0]
	coded := 0
	for f := event.UserID; f <= event.Metadata; f++ {
		text, err := g.Text(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []int{0, 70_000, 100_000} {
			at := -1
			done, err := g.EachCodes(t.Context(), f, func(_, end int) bool { return end > from }, func(first int, codes []uint32) {
				if at < 0 && first <= from {
					at = first
				}
				if first != at || !slices.Equal(codes, text.Codes[first:first+len(codes)]) {
					t.Errorf("%s: %d codes of rows from %d on, want them from %d on", f, len(codes), first, at)
				}
				at += len(codes)
			})
			if err != nil || done != (text.Codes != nil) || done && from < len(es) && at != len(es) || from == len(es) && at >= 0 {
				t.Errorf("%s from row %d: %t, %v, up to row %d", f, from, done, err, at)
			}
			if done {
				coded++
			}
		}
	}
	if coded < 6 {
		t.Errorf("%d columns are coded", coded/3)
	}
}
