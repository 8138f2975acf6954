package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/storetest"
)

// TestTextOfManyValues: whatever is passed over of columns with much text, a
// search finds exactly the events that match, in two segments and a head.
func TestTextOfManyValues(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	s := openQuiet(t, vfs.NewMem(), Options{})
	var all []event.Event
	words := []string{"Übermut", "invoice", "READ only", "a\"b\\c", "naïve", "Kelvin"}
	edit := func(i int, e *event.Event) {
		e.RequestID = fmt.Sprintf("%016x", r.Uint64())
		e.Resource = fmt.Sprintf("Document/%d", r.IntN(100_000))
		e.UserID = fmt.Sprintf("user-%d", r.IntN(5000))
		e.Metadata = fmt.Sprintf(`{"note":%q,"trace":"%08X"}`, words[r.IntN(len(words))], r.Uint32())
		if i%700 == 3 {
			e.Reason = strings.Repeat(words[i%len(words)]+" ", 30) + e.RequestID
		}
		all = append(all, *e)
	}
	fill(t, s, 9000, edit)
	fill(t, s, 7000, edit)
	head := slices.Clone(all[:100])
	end := s.Visible().At(0)
	for i := range head {
		head[i].ID, head[i].Offset = event.ID{0: 1, 1: byte(i), 6: 0x40}, end+int64(i)
	}
	if err := s.Append(t.Context(), head, event.Positions{end + int64(len(head))}); err != nil {
		t.Fatal(err)
	}
	all = append(all, head...)

	random := func() *event.Event { return &all[r.IntN(len(all))] }
	cut := func(v string) string {
		from := r.IntN(len(v))
		return strings.ToValidUTF8(v[from:from+1+r.IntN(len(v)-from)], "")
	}
	any := func(f string) string { return fmt.Sprintf("%s:*%s*", f, cut(random().RequestID)) }
	queries := []func() string{
		func() string { return fmt.Sprintf("%q", random().RequestID) },
		func() string { return fmt.Sprintf("%q", strings.ToUpper(cut(random().RequestID))) },
		func() string { return fmt.Sprintf("%q", cut(random().Resource)) },
		func() string { return fmt.Sprintf("%q or %q", cut(random().RequestID), random().UserID) },
		func() string { return fmt.Sprintf("-%q %q", cut(random().Resource), words[r.IntN(len(words))]) },
		func() string { return fmt.Sprintf("%q", strings.ToLower(words[r.IntN(len(words))])) },
		func() string { return fmt.Sprintf("request_id:%s", random().RequestID) },
		func() string { return fmt.Sprintf("request_id:(%s or %s)", random().RequestID, random().RequestID) },
		func() string { return any("request_id") },
		func() string { return "user_id:user-1* " + any("resource") },
		func() string { return fmt.Sprintf("resource:Document/%d*", r.IntN(1000)) },
		func() string { return `"no such words"` },
	}
	for range 10 {
		for _, q := range queries {
			text := q()
			x, err := filter.Parse(text)
			if err != nil {
				continue // what was cut out is no value of its own
			}
			var got, want []int64
			err = s.Scan(t.Context(), store.Scan{Range: store.AllTime, Order: store.ByPosition, Filter: x}, func(e *event.Event) bool {
				got = append(got, e.Offset)
				return true
			})
			if err != nil {
				t.Fatal(text, err)
			}
			for i := range all {
				if filter.Match(x, &all[i]) {
					want = append(want, all[i].Offset)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %d events, %d match", text, len(got), len(want))
			}
		}
	}
}

// TestHiddenTextOfManyValues: filters of pieces and joined values hold what is
// hidden from a reader, and it makes no difference to what it finds, in plain
// columns of two segments and in a head.
func TestHiddenTextOfManyValues(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	s := openQuiet(t, vfs.NewMem(), Options{})
	m := &storetest.Model{}
	edit := func(i int, e *event.Event) {
		e.RequestID = fmt.Sprintf("%016x", r.Uint64())
		e.Metadata = fmt.Sprintf(`{"card":{"number":"%08d"},"note":"%08d"}`, r.IntN(1e8), r.IntN(1e8))
		if i%3 == 0 {
			e.Metadata = fmt.Sprintf(`{"card.number":"%08d"}`, r.IntN(1e8))
		}
		if i%700 == 3 {
			e.Reason = e.RequestID + " " + e.Metadata
		}
		m.Events = append(m.Events, *e)
	}
	fill(t, s, 9000, edit)
	fill(t, s, 9000, edit)
	head := slices.Clone(m.Events[:100])
	end := s.Visible().At(0)
	for i := range head {
		head[i].ID, head[i].Offset = event.ID{0: 1, 1: byte(i), 6: 0x40}, end+int64(i)
	}
	if err := s.Append(t.Context(), head, event.Positions{end + int64(len(head))}); err != nil {
		t.Fatal(err)
	}
	m.Events = append(m.Events, head...)
	for i := range 4 {
		e := &m.Events[r.IntN(len(m.Events))]
		_, number, _ := strings.Cut(e.Metadata, `number":"`)
		for _, names := range [][]string{{"metadata.card.number"}, {"metadata.note", "reason"}, {"metadata", "request_id"}} {
			h, err := filter.ParseHidden(names)
			if err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{number[:8], number[1:6], "-" + number[:3], e.RequestID, e.RequestID + " or " + number[:8]} {
				x, err := filter.Parse(query)
				if err != nil {
					t.Fatal(err)
				}
				storetest.CheckHidden(t, s, m, h, x)
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

// TestKeepParts: rows stay whose part is wanted, and of a word with rows of two
// parts all stay if one is.
func TestKeepParts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		set := &rowset{base: r.IntN(300), n: 1 + r.IntN(5000)}
		set.words = make([]uint64, wordsFor(set.n))
		set.fill()
		size, mask := 64*(1+r.IntN(3)), r.Uint64()&r.Uint64()
		set.keepParts(mask, size)
		for row := set.base; row < set.base+set.n; row++ {
			word := (row - set.base) / 64 * 64
			last := min(word+63, set.n-1)
			in := func(i int) bool { return mask>>((set.base+i)/size)&1 != 0 }
			if want := in(word) || in(last); set.has(row) != want {
				t.Fatalf("parts %x of %d rows: row %d of %d from %d is in the set: %t", mask, size, row, set.n, set.base, !want)
			}
		}
	}
}
