package query_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
)

func hidden(t testing.TB, names ...string) filter.Hidden {
	t.Helper()
	h, err := filter.ParseHidden(names)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func viewOf(t testing.TB, e *query.Engine, s access.Scope, now time.Time) *query.View {
	t.Helper()
	v, err := e.View(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tenants returns a store in which events of acme and globex take turns, and its
// engine.
func tenants(n int) (*querytest.Mem, *query.Engine) {
	mem := querytest.New()
	for i := range n {
		e := numbered(i)
		e.TenantID, e.SourceIP, e.Metadata = "acme", fmt.Sprintf("10.0.0.%d", i), fmt.Sprintf(`{"note":"walnut%d","ssn":"secret%d"}`, i, i)
		if i%2 == 1 {
			e.TenantID = "globex"
		}
		mem.Publish(e)
	}
	return mem, query.New(query.Options{Store: mem, Stream: mem})
}

// TestViewOfATenant: nothing that is answered tells of the other tenant.
func TestViewOfATenant(t *testing.T) {
	_, e := tenants(10)
	v := viewOf(t, e, access.Scope{Tenant: "acme"}, epoch)
	want := []string{"document/0", "document/2", "document/4", "document/6", "document/8"}
	if got := pages(t, v, "limit=2&order=oldest", func() {}); !slices.Equal(got, want) {
		t.Errorf("search: %v", got)
	}
	if got, next := page(t, v, "limit=5"); len(got) != 5 || next != "" {
		t.Errorf("the last page of five has %d and the next is %q, though nothing of acme follows", len(got), next)
	}
	for _, q := range []string{"tenant_id=globex", "q=tenant_id:globex", "q=-tenant_id:acme", "q=document/1+or+tenant_id:globex&resource=document/1"} {
		if got, next := page(t, v, q); len(got) > 0 || next != "" {
			t.Errorf("%s finds %v", q, got)
		}
	}
	for given, want := range map[string]string{
		"by=tenant_id":              "5 Σ 1 [acme 5] 0 [0,0)",
		"by=resource&top=2":         "5 Σ 5 [document/0 1 document/2 1] 3 [0,0)",
		"interval=auto":             "5 Σ 0 [] 0 [0,8)",
		"interval=auto&to=20261102": "5 Σ 0 [] 0 [0,86400)",
	} {
		p := params(t, strings.Replace(given, "20261102", "2026-11-02", 1))
		c := p.Counts(epoch)
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		answer, err := v.Counts(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var groups []string
		for _, g := range answer.Groups {
			groups = append(groups, fmt.Sprint(g.Value, " ", g.Count))
		}
		from, to := int64(0), int64(0)
		if answer.Interval > 0 {
			from, to = (answer.Range.From-epoch.UnixNano())/1e9, (answer.Range.To-epoch.UnixNano())/1e9
		}
		if got := fmt.Sprintf("%d Σ %d %v %d [%d,%d)", answer.Total, answer.Values, groups, answer.Other, from, to); got != want {
			t.Errorf("counts of %s: %s, want %s", given, got, want)
		}
	}
	_, own := v.Get(t.Context(), numbered(2).ID, query.Fresh{})
	_, foreign := v.Get(t.Context(), numbered(1).ID, query.Fresh{})
	_, none := v.Get(t.Context(), numbered(99).ID, query.Fresh{})
	if own != nil || !errors.Is(foreign, store.ErrNotFound) || !errors.Is(none, store.ErrNotFound) {
		t.Errorf("get: own %v, foreign %v, none %v", own, foreign, none)
	}
	if f, n := strings.Replace(foreign.Error(), numbered(1).ID.String(), "ID", 1), strings.Replace(none.Error(), numbered(99).ID.String(), "ID", 1); f != n {
		t.Errorf("another tenant's event is told from none: %q, %q", f, n)
	}
}

// TestViewWithoutFields: what is hidden is in no answer, and is not found.
func TestViewWithoutFields(t *testing.T) {
	_, e := tenants(4)
	v := viewOf(t, e, access.Scope{Hidden: hidden(t, "source_ip", "metadata.ssn", "resource")}, epoch)
	check := func(how string, ev *event.Event) {
		t.Helper()
		if ev.SourceIP != "" || ev.Resource != "" || strings.Contains(ev.Metadata, "ssn") || !strings.Contains(ev.Metadata, "walnut") {
			t.Errorf("%s shows %q, %q and %s", how, ev.SourceIP, ev.Resource, ev.Metadata)
		}
	}
	for _, fields := range []event.FieldSet{0, event.AllFields, event.Fields(event.SourceIP, event.Metadata, event.Resource)} {
		s, x := parseSearch(t, ""), &query.Export{Criteria: parseSearch(t, "").Criteria, Fields: fields}
		s.Fields = fields
		n := 0
		_, err := v.Search(t.Context(), s, func(ev *event.Event) bool { check("search", ev); n++; return true })
		if err == nil {
			err = v.Export(t.Context(), x, func(ev *event.Event) bool { check("export", ev); n++; return true })
		}
		if err != nil || n != 8 {
			t.Errorf("%d events, %v", n, err)
		}
	}
	ev, err := v.Get(t.Context(), numbered(1).ID, query.Fresh{})
	if err != nil {
		t.Fatal(err)
	}
	check("get", ev)
	for _, tt := range []struct {
		given string
		found int
	}{{"q=walnut1", 1}, {"q=secret1", 0}, {"q=10.0.0.1", 0}, {"q=-secret1", 4}, {"q=%22document/1%22", 0}, {"q=metadata.note:walnut2", 1}} {
		if got, _ := page(t, v, tt.given); len(got) != tt.found {
			t.Errorf("%s finds %d, want %d", tt.given, len(got), tt.found)
		}
	}
	for _, given := range []string{"source_ip=10.0.0.1", "q=-source_ip:10.0.0.1", "q=metadata.ssn:*", "q=metadata:*", "q=walnut1+or+resource_type:document", "resource_type=document"} {
		p := params(t, given)
		s, tail, counts := p.Search(epoch), p.Tail(epoch, ""), p.Counts(epoch)
		never := func(*event.Event) bool { t.Errorf("%s finds something", given); return false }
		_, searched := v.Search(t.Context(), s, never)
		_, counted := v.Counts(t.Context(), counts)
		exported := v.Export(t.Context(), &query.Export{Criteria: s.Criteria}, never)
		tailed := v.Tail(t.Context(), tail, new(recorder))
		for how, err := range map[string]error{"search": searched, "counts": counted, "export": exported, "tail": tailed} {
			if _, ok := errors.AsType[*filter.HiddenError](err); !ok {
				t.Errorf("%s of %s: %v", how, given, err)
			}
		}
	}
	for _, given := range []string{"by=source_ip", "by=resource_type", "by=metadata.ssn", "by=metadata.ssn.x", "by=source_ip&interval=auto", "by=source_ip&interval=auto&action=nothing.has.it"} {
		if _, err := v.Counts(t.Context(), params(t, given).Counts(epoch)); err == nil || !strings.Contains(err.Error(), "is hidden from this key") {
			t.Errorf("counts of %s: %v", given, err)
		}
	}
}

// TestViewOfATail: over all the ways to begin, and what comes then.
func TestViewOfATail(t *testing.T) {
	since := "since=" + epoch.Add(5*time.Second).Format(time.RFC3339)
	for _, tt := range []struct{ given, id, want string }{
		{"since=beginning", "", "0 2 4 6 8 10"},
		{"", "", "10"},
		{"", "0:3", "4 6 8 10"},
		{since, "", "6 8 10"},
		{"since=beginning&tenant_id=globex", "", ""},
		{"since=beginning&q=document/1+or+document/6", "", "6 10"},
	} {
		synctest.Test(t, func(t *testing.T) {
			mem, e := tenants(10)
			sink := new(recorder)
			stop := tailing(t, viewOf(t, e, access.Scope{Tenant: "acme"}, epoch), tt.given, tt.id, sink)
			synctest.Wait()
			for i, tenant := range []string{"acme", "globex"} {
				ev := numbered(10 + i)
				ev.TenantID = tenant
				mem.Publish(ev)
			}
			time.Sleep(time.Second)
			if got := strings.ReplaceAll(strings.Join(sink.got(), " "), "document/", ""); got != tt.want {
				t.Errorf("%s %s: %s, want %s", tt.given, tt.id, got, tt.want)
			}
			stop()
		})
	}
}

// TestCursorIsBoundToItsScope: one of another scope is refused, both ways.
func TestCursorIsBoundToItsScope(t *testing.T) {
	_, e := tenants(20)
	scopes := []access.Scope{
		{}, {Tenant: "acme"}, {Tenant: "globex"}, {Filters: []string{"*"}}, {Tenant: "acme", Filters: []string{"user_id:user-*"}}, {Hidden: hidden(t, "source_ip")},
		{Tenant: "acme", Hidden: hidden(t, "source_ip")},
	}
	for i, made := range scopes {
		_, cursor := page(t, viewOf(t, e, made, epoch), "limit=2")
		if cursor == "" {
			t.Fatalf("%s: no next page", &made)
		}
		for j, used := range scopes {
			_, _, err := search(t, viewOf(t, e, used, epoch), "limit=2&cursor="+cursor)
			if (err == nil) != (i == j) || err != nil && !strings.Contains(err.Error(), "is not a cursor") {
				t.Errorf("made by %s, used by %s: %v", &made, &used, err)
			}
		}
	}
}

// TestScopesTimesCountFromNow: whatever time a cursor's first page was of.
func TestScopesTimesCountFromNow(t *testing.T) {
	_, e := tenants(10)
	scope := access.Scope{Filters: []string{"timestamp:>=-3s"}}
	now := epoch.Add(9 * time.Second)
	v := viewOf(t, e, scope, now)
	got, cursor := page(t, v, "limit=2")
	if want := []string{"document/9", "document/8"}; !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	if got, next := page(t, v, "limit=9&cursor="+cursor); !slices.Equal(got, []string{"document/7", "document/6"}) || next != "" {
		t.Errorf("the next page: %v", got)
	}
	later := viewOf(t, e, scope, now.Add(2*time.Second)) // less may be seen by then
	if got, _ := page(t, later, "limit=9&cursor="+cursor); len(got) != 0 {
		t.Errorf("two seconds later: %v", got)
	}
}

// TestPositionsAreVeiled: what a reader who does not see everything is given to come
// back with tells nothing of how much there is, and is of use to him alone.
func TestPositionsAreVeiled(t *testing.T) {
	_, e := tenants(20)
	v := viewOf(t, e, access.Scope{Tenant: "acme"}, epoch)
	small, large := event.Positions{7}, event.Positions{1 << 60}
	ids := map[string]bool{}
	for _, at := range []event.Positions{small, small, large} {
		id := string(v.AppendTailID(nil, at))
		if ids[id] || strings.ContainsAny(id, ":@\n ") || len(id) != len(v.AppendTailID(nil, small)) {
			t.Errorf("the id of %v is %s", at, id)
		}
		ids[id] = true
		again := v.Params(nil).Tail(epoch, id)
		if !slices.Equal(again.Resume, at) {
			t.Errorf("the id of %v is read as %v", at, again.Resume)
		}
		p := viewOf(t, e, access.Scope{Tenant: "globex"}, epoch).Params(nil)
		if p.Tail(epoch, id); p.Err() == nil {
			t.Errorf("another's id is read")
		}
		p = v.Params(nil)
		if p.Tail(epoch, string(query.AppendTailID(nil, e.Log(), at))); p.Err() == nil {
			t.Errorf("an id that was made up is read")
		}
	}
	_, cursor := page(t, v, "limit=2")
	p := v.Params(nil)
	if p.Tail(epoch, cursor); p.Err() == nil {
		t.Error("a cursor is read as the id of a tail")
	}
	for _, q := range []string{"q=offset:>1", "q=partition:0 or user_id:a", "q=-offset:3"} {
		if _, _, err := search(t, v, q); err == nil || !strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", q, err)
		}
	}
	if v.Withheld() != event.Fields(event.Partition, event.Offset) || viewOf(t, e, access.Scope{}, epoch).Withheld() != 0 {
		t.Errorf("withheld: %v", v.Withheld())
	}
}

// TestViewOfAScopeThatCannotBeRead lets nothing be seen.
func TestViewOfAScopeThatCannotBeRead(t *testing.T) {
	_, e := tenants(1)
	blind, err := (&access.Scope{Hidden: hidden(t, "source_ip")}).Within(access.Scope{Filters: []string{"source_ip:*"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []access.Scope{{Filters: []string{"(("}}, {Tenant: "acme", Filters: []string{"*", "nosuch:1"}}, blind} {
		if v, err := e.View(s, epoch); err == nil || v != nil {
			t.Errorf("%s: %v, %v", &s, v, err)
		}
	}
}
