package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// testHidden: what is hidden from a reader neither finds an event nor keeps it from
// being found, and what is scanned is the event as it is.
func testHidden(t *testing.T, f Fixture) {
	tests := []struct{ hidden, filter, want string }{ // by position
		{"user_id", "alice", "e"},
		{"user_id", "-alice", "a b c d f"},
		{"user_id", "carol or dave", "f"},
		{"resource", "document", "c d e"},
		{"resource action", "document", ""},
		{"metadata.note", "alice", "a c d"},
		{"metadata.note", "asked", ""},
		{"metadata.note", "-asked", "a b c d e f"},
		{"metadata.size", "asked", "e"},
		{"metadata", "asked or prod", "b c"},
		{"metadata.note user_id", "alice", ""},
		{"metadata.note user_id", "alice or bob or carol or prod", "b c"},
		{"metadata.note", "metadata.size:10 -asked", "c d"},
		{"labels.env", "prod or dev", ""},
		{"labels.env", "document -prod", "c d e"},
		{"labels.team", "prod", "b c"},
		{"metadata.size", `"10"`, ""},
		{"metadata.note", `"10"`, "d"},
	}
	m := &Model{Events: few()}
	eachState(t, f, func(t *testing.T) {
		for _, test := range tests {
			h, x := hide(t, test.hidden), parse(test.filter)
			restricted, err := h.Restrict(x)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, f.Store, store.Scan{Filter: restricted, Range: store.AllTime, Order: store.ByPosition}); got != test.want {
				t.Errorf("%s with %s hidden: %q, want %q", test.filter, test.hidden, got, test.want)
			}
			CheckHidden(t, f.Store, m, h, x)
		}
	})
}

// testHiddenRandom compares with what is found among what is shown, over events
// that hold the same words in places of all kinds.
func testHiddenRandom(t *testing.T, f Fixture) {
	rng := rand.New(rand.NewPCG(8, 8))
	src := NewSource(rng, 1)
	m := &Model{}
	for part := range 3 { // the last stays new
		rows, reached := src.Next(300)
		for i := range rows {
			rows[i].RequestID = fmt.Sprintf("%016x", rng.Uint64())
			rows[i].Metadata, rows[i].Changes = randomNote(rng), maybe(rng, fmt.Sprintf(`[{"new":%s,"path":"note"}]`, randomNote(rng)))
		}
		f.append(t, rows, reached)
		m.Events = append(m.Events, rows...)
		if part == 1 {
			f.settle()
		}
	}
	check := func(t *testing.T) {
		for range 60 {
			h := hide(t, pick(rng, "metadata.a.secret", "metadata.a", "metadata.secret", "changes.new.secret", "changes", "user_id", "labels.env", "request_id"))
			h = h.Union(hide(t, pick(rng, "metadata.secret", "metadata.list.a.secret", "changes.new.a", "metadata", "reason", "source_ip")))
			x := parse(pick(rng, "walnut", `"walnut 7"`, "Walnut 1*", "hazel or -walnut", "-(hazel walnut)", "-walnut", "walnut user_id:alice",
				"-almond outcome:failure", "(dörte or rights) -hazel", `"`+m.Events[rng.IntN(len(m.Events))].RequestID+`"`))
			CheckHidden(t, f.Store, m, h, x)
			if y := RandomFilter(rng, m.Events); y != nil {
				CheckHidden(t, f.Store, m, h, filter.Join(x, y))
			}
		}
	}
	t.Run("settled and new", check)
	f.settle()
	t.Run("settled", check)
}

// randomNote makes metadata with a word in some of the places that are hidden and
// in some that are not.
func randomNote(r *rand.Rand) string {
	word := func() string {
		return fmt.Sprintf(`"%s %d"`, pick(r, "walnut", "hazel", "almond"), r.IntN(200))
	}
	return pick(r, fmt.Sprintf(`{"a":{"note":%s,"secret":%s}}`, word(), word()),
		fmt.Sprintf(`{"a.secret":%s,"list":[{"a":{"secret":%s}},%s]}`, word(), word(), word()),
		fmt.Sprintf(`{"secret":{"deep":[%s]}}`, word()),
		fmt.Sprintf(`{"note":%s}`, word()))
}

// CheckHidden compares what a reader from whom h is hidden finds by x with what x
// finds among the events that it is shown. A filter that is refused is fine.
func CheckHidden(t testing.TB, s store.Store, m *Model, h filter.Hidden, x filter.Expr) {
	t.Helper()
	restricted, err := h.Restrict(x)
	if err != nil {
		if _, ok := errors.AsType[*filter.HiddenError](err); !ok {
			t.Errorf("%s with %v hidden: %v", text(x), h.Names(), err)
		}
		return
	}
	want := make(map[event.Position]*event.Event)
	for i := range m.Events {
		shown := m.Events[i]
		if h.Apply(&shown); filter.Match(x, &shown) {
			want[shown.Position()] = &m.Events[i]
		}
	}
	found := 0
	err = s.Scan(t.Context(), store.Scan{Filter: restricted, Range: store.AllTime}, func(e *event.Event) bool {
		found++
		if w := want[e.Position()]; w == nil || *e != *w {
			t.Errorf("scan %s with %v hidden: unwanted event\n%+v", text(x), h.Names(), *e)
		}
		return !t.Failed()
	})
	if err != nil || found != len(want) {
		t.Errorf("scan %s with %v hidden: %d events, want %d (%v)", text(x), h.Names(), found, len(want), err)
	}
	counts, err := s.Count(t.Context(), store.Count{Filter: restricted, Range: store.AllTime})
	if err != nil || counts.Total != int64(len(want)) {
		t.Errorf("count %s with %v hidden: %+v, want %d (%v)", text(x), h.Names(), counts, len(want), err)
	}
}

func hide(t testing.TB, names string) filter.Hidden {
	t.Helper()
	h, err := filter.ParseHidden(strings.Fields(names))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
