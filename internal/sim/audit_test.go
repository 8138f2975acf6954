package sim

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
)

// auditor compares, when nothing else goes on, every way of reading with the
// model and with the others.
type auditor struct {
	reader
	due bool
}

func (a *auditor) wants() bool { return a.due }

func (a *auditor) act(ctx context.Context, p *process) string {
	for _, c := range []criterion{criteria[0], oneOf(a.rng, criteria[1:]...)} {
		exported := a.whole(ctx, p, c)
		paged := a.paged(ctx, p, c)
		if a.w.plan.store.RetainAge == 0 && !slices.Equal(paged, exported) {
			a.w.failf("auditor: the pages of %q are %v, the export is %v", c.q, paged, exported)
		}
		a.count(ctx, p, c)
	}
	a.every(ctx, p)
	a.due = false
	return "audited"
}

// whole exports.
func (a *auditor) whole(ctx context.Context, p *process, c criterion) []int64 {
	x := &query.Export{Criteria: a.criteriaOf(c, url.Values{}).Criteria(time.Now()), Order: store.OldestFirst}
	b := a.w.model.begin(p)
	var got []int64
	err := p.engine.Export(ctx, x, func(e *event.Event) bool {
		got = append(got, a.w.model.see(e, a.name))
		return true
	})
	if err != nil {
		a.w.failf("auditor: %v", err)
	}
	a.w.model.answered("audited export", got, c, b, x.Order, true)
	return got
}

// paged searches page by page.
func (a *auditor) paged(ctx context.Context, p *process, c criterion) []int64 {
	values := url.Values{"limit": {"7"}, "order": {"oldest"}}
	b := a.w.model.begin(p)
	var got []int64
	for {
		s := a.criteriaOf(c, values).Search(time.Now())
		next, err := p.engine.Search(ctx, s, func(e *event.Event) bool {
			got = append(got, a.w.model.see(e, a.name))
			return true
		})
		if err != nil {
			a.w.failf("auditor: %v", err)
		}
		if next == "" || err != nil {
			break
		}
		values.Set("cursor", next)
	}
	a.w.model.answered("audited pages", got, c, b, store.OldestFirst, false)
	return got
}

// every looks up each event that was acknowledged: by its ID, which another
// tenant's event may have, too, and by all of its identity.
func (a *auditor) every(ctx context.Context, p *process) {
	m := a.w.model
	for n := range m.events {
		id := m.events[n].Identity()
		tenant, err := filter.Parse("tenant_id:" + id.TenantID)
		if err != nil {
			a.w.failf("auditor: %v", err)
			return
		}
		byID, errByID := p.engine.Get(ctx, id.ID, query.Fresh{})
		whole, errWhole := storeSeam{p.store, p, "query"}.Get(ctx, id.ID, tenant)
		if err := cmp.Or(errByID, errWhole); err != nil && m.there(n) {
			a.w.failf("auditor: event %d, acknowledged at %v: %v", n, m.acked[n], err)
		}
		if errByID == nil {
			m.see(byID, "audited lookup")
		}
		if errWhole == nil {
			m.see(whole, "audited lookup by tenant")
			if whole.Identity() != id {
				a.w.failf("auditor: asked for %v, and got %v", id, whole.Identity())
			}
		}
	}
}

// leftovers finds out whether the store's folder holds what belongs there.
func (m *model) leftovers() {
	want := []string{"LOCK", "MANIFEST"}
	for _, s := range m.manifest.Segments {
		want = append(want, s.File)
	}
	entries, err := m.w.mem.ReadDir(storeDir)
	if err != nil {
		m.w.failf("%v", err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) && !strings.HasSuffix(e.Name(), ".damaged") {
			m.w.failf("%s was left over in the store's folder, which holds %s", e.Name(), fmt.Sprint(want))
		}
	}
}
