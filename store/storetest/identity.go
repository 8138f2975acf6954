package storetest

import (
	"fmt"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
)

// testIdentities: events of several tenants with one ID are several events, in one
// append or in many, and each is known under its own tenant only.
func testIdentities(t *testing.T, f Fixture) {
	const early, late = 1000, 5000 // received
	rising, other := event.ID{0: 1, 6: 0x70, 15: 1}, event.ID{0: 9, 6: 0x40, 15: 9}
	m := &Model{}
	add := func(received int64, ids ...event.Identity) {
		var rows []event.Event
		for _, id := range ids {
			at := int64(len(m.Events) + len(rows))
			rows = append(rows, event.Event{ID: id.ID, TenantID: id.TenantID, Timestamp: received + at, ReceivedAt: received, Offset: at,
				UserID: "u", Action: "a", Resource: "r", Outcome: "unknown", Operation: "other", UserType: "user"})
		}
		m.Events = append(m.Events, rows...)
		f.append(t, rows, event.Positions{int64(len(m.Events))})
	}
	known := func(since int64, id event.Identity) (offset int64) {
		found := make([]event.Position, 3)
		nobody := event.Identity{TenantID: "nobody", ID: id.ID}
		if err := f.Store.Known(t.Context(), []event.Identity{nobody, id, nobody}, since, found); err != nil {
			t.Fatal(err)
		}
		if found[0].Offset != -1 || found[2].Offset != -1 {
			t.Errorf("a tenant without events has %s at %v", id.ID, found)
		}
		return found[1].Offset
	}
	check := func(t *testing.T) {
		last := map[event.Identity]event.Event{}
		for _, e := range m.Events {
			last[e.Identity()] = e
		}
		for id, e := range last {
			for since, want := range map[int64]int64{0: e.Offset, e.ReceivedAt: e.Offset, e.ReceivedAt + 1: -1} {
				if got := known(since, id); got != want {
					t.Errorf("%v, received at %d, is known at %d since %d; want %d", id, e.ReceivedAt, got, since, want)
				}
			}
			CheckGet(t, f.Store, m, id.ID, ofTenant(id.TenantID))
		}
		// All at once, each three times.
		ids, found := []event.Identity(nil), make([]event.Position, 3*len(last))
		for id := range last {
			ids = append(ids, id, id, id)
		}
		if err := f.Store.Known(t.Context(), ids, 0, found); err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if want := last[id]; found[i] != want.Position() {
				t.Errorf("%v among all is known at %v, want %v", id, found[i], want.Position())
			}
		}
		for _, id := range []event.ID{rising, other} {
			CheckGet(t, f.Store, m, id, nil)
			CheckGet(t, f.Store, m, id, ofTenant("nobody"))
			for _, x := range []string{"event_id:", "tenant_id:b event_id:", "-event_id:"} {
				CheckScan(t, f.Store, m, &store.Scan{Filter: parse(x + id.String()), Range: store.AllTime})
			}
		}
	}
	// A hundred tenants have the same IDs, some of them in one append; then two of
	// them have another event with one, when the time for copies has passed.
	var all []event.Identity
	for n := range 100 {
		name := fmt.Sprint("t", n)
		all = append(all, event.Identity{TenantID: name, ID: rising}, event.Identity{TenantID: name, ID: other})
	}
	steps := []struct {
		name string
		do   func()
	}{
		{"one tenant's", func() {
			add(early, event.Identity{TenantID: "a", ID: rising}, event.Identity{TenantID: "a", ID: other})
		}},
		{"another's, too", func() {
			add(early, event.Identity{TenantID: "b", ID: rising}, event.Identity{TenantID: "b", ID: other})
		}},
		{"everybody's", func() { add(early+1, all...) }},
		{"again, long after", func() { add(late, event.Identity{TenantID: "a", ID: rising}, all[7]) }},
	}
	for _, s := range steps {
		s.do()
		t.Run(s.name+"/new", check)
		f.settle()
		t.Run(s.name+"/settled", check)
	}
}
