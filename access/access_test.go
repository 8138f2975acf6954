package access

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

func hide(tb testing.TB, names ...string) filter.Hidden {
	tb.Helper()
	h, err := filter.ParseHidden(names)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func TestAlive(t *testing.T) {
	now := time.Unix(1000, 0)
	open, closed := make(chan struct{}), make(chan struct{})
	close(closed)
	for _, tt := range []struct {
		name string
		g    Grant
		want bool
	}{
		{"for ever", Grant{}, true},
		{"not taken back", Grant{Ended: open}, true},
		{"taken back", Grant{Ended: closed}, false},
		{"taken back before it expires", Grant{Ended: closed, Expires: now.Add(1)}, false},
		{"about to expire", Grant{Expires: now.Add(1)}, true},
		{"expires now", Grant{Expires: now}, false},
	} {
		if got := tt.g.Alive(now); got != tt.want {
			t.Errorf("%s: alive %v", tt.name, got)
		}
	}
}

// TestAdmit: whose key publishes to which tenant.
func TestAdmit(t *testing.T) {
	acme := &Grant{Kind: ByKey, Rights: Write, Scope: Scope{Tenant: "acme"}}
	all := &Grant{Kind: ByKey, Rights: Write}
	for _, tt := range []struct {
		name    string
		g       *Grant
		tenant  string
		refused string // what the reason says; "": admitted
	}{
		{"its own", acme, "acme", ""},
		{"another", acme, "globex", `is not the tenant of this key, which is "acme"`},
		{"one that its own begins", acme, "acme2", "is not the tenant"},
		{"in other letters", acme, "Acme", "is not the tenant"},
		{"the default one, of a tenant's key", acme, event.DefaultTenant, "is not the tenant"},
		{"Daybook's own, of a tenant's key", acme, SelfTenant, "is not the tenant"},
		{"any, of a key of all", all, "globex", ""},
		{"the default one", all, event.DefaultTenant, ""},
		{"Daybook's own", all, SelfTenant, "Daybook's own"},
		{"any reserved one", all, "_", "Daybook's own"},
		{"one with an underscore within", all, "a_b", ""},
		{"on an open server", Everyone(), "acme", ""},
		{"Daybook's own, on an open server", Everyone(), SelfTenant, "Daybook's own"},
		{"Daybook's own, of a key of it", &Grant{Scope: Scope{Tenant: SelfTenant}}, SelfTenant, "Daybook's own"},
	} {
		err := tt.g.Admit(&event.Event{TenantID: tt.tenant})
		if tt.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		errs, ok := errors.AsType[event.Errors](err)
		if !ok || len(errs) != 1 || errs[0].Field != "tenant_id" || errs[0].Value != `"`+tt.tenant+`"` || !strings.Contains(errs[0].Reason, tt.refused) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.refused)
		}
	}
	if acme.Tenant() != "acme" || all.Tenant() != event.DefaultTenant {
		t.Errorf("events that name no tenant are of %q and %q", acme.Tenant(), all.Tenant())
	}
}

func TestGoverns(t *testing.T) {
	for _, tt := range []struct {
		of, tenant string
		rights     Rights
		want       bool
	}{
		{"", "", Admin, true},
		{"", "acme", Admin, true},
		{"acme", "acme", Admin, true},
		{"acme", "globex", Admin, false},
		{"acme", "", Admin, false},
		{"", "", Read | Write | Metrics, false},
		{"acme", "acme", Read | Write, false},
	} {
		g := &Grant{Rights: tt.rights, Scope: Scope{Tenant: tt.of}}
		if got := g.Governs(tt.tenant); got != tt.want {
			t.Errorf("%s of %q governs %q: %v", tt.rights, tt.of, tt.tenant, got)
		}
	}
}

// TestWithin: what is seen by who sees o through s.
func TestWithin(t *testing.T) {
	both := Scope{Tenant: "acme", Filters: []string{"a", "b"}, Hidden: hide(t, "source_ip", "metadata.ssn")}
	for _, tt := range []struct {
		name       string
		s, o, want Scope
		refused    string
	}{
		{name: "everything of everything"},
		{name: "a tenant of all", o: Scope{Tenant: "acme"}, want: Scope{Tenant: "acme"}},
		{name: "all of a tenant is the tenant", s: Scope{Tenant: "acme"}, want: Scope{Tenant: "acme"}},
		{name: "the same tenant", s: Scope{Tenant: "acme"}, o: Scope{Tenant: "acme"}, want: Scope{Tenant: "acme"}},
		{name: "another tenant", s: Scope{Tenant: "acme"}, o: Scope{Tenant: "globex"}, refused: `"globex" is not to be seen with this key, which is of tenant "acme"`},
		{name: "another case", s: Scope{Tenant: "acme"}, o: Scope{Tenant: "ACME"}, refused: "not to be seen"},
		{name: "filters add up", s: Scope{Tenant: "acme", Filters: []string{"a"}}, o: Scope{Filters: []string{"b"}}, want: Scope{Tenant: "acme", Filters: []string{"a", "b"}}},
		{name: "nothing asked is what there is", s: both, want: both},
		{name: "hidden is what either hides", s: Scope{Hidden: hide(t, "source_ip")}, o: Scope{Hidden: hide(t, "metadata.ssn")}, want: Scope{Hidden: hide(t, "source_ip", "metadata.ssn")}},
		{name: "a part of what is hidden whole", s: Scope{Hidden: hide(t, "metadata")}, o: Scope{Hidden: hide(t, "metadata.ssn")}, want: Scope{Hidden: hide(t, "metadata")}},
	} {
		got, err := tt.s.Within(tt.o)
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.refused)
			}
			continue
		}
		if err != nil || got.Tenant != tt.want.Tenant || strings.Join(got.Filters, ";") != strings.Join(tt.want.Filters, ";") ||
			strings.Join(got.Hidden.Names(), ";") != strings.Join(tt.want.Hidden.Names(), ";") {
			t.Errorf("%s: %v, %v, want %v", tt.name, &got, err, &tt.want)
		}
		if got.Whole() != (tt.want.Tenant == "" && len(tt.want.Filters) == 0 && tt.want.Hidden.IsZero()) {
			t.Errorf("%s: whole is %v", tt.name, got.Whole())
		}
	}
}

// TestWithinSharesNothing: two scopes within one do not write into each other.
func TestWithinSharesNothing(t *testing.T) {
	s := Scope{Filters: append(make([]string, 0, 8), "user_id:a")}
	one, _ := s.Within(Scope{Filters: []string{"action:one"}})
	two, _ := s.Within(Scope{Filters: []string{"action:two"}})
	if one.Filters[1] != "action:one" || two.Filters[1] != "action:two" {
		t.Errorf("%v, %v", &one, &two)
	}
}

// TestWithinNeverWidens: whatever is asked, an event that is not seen through the
// outer scope is not seen; and what the outer one hides cannot be told from which
// events a filter of the inner one lets through.
func TestWithinNeverWidens(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	outer := Scope{Tenant: "acme", Filters: []string{"user_id:(ada or bob)"}, Hidden: hide(t, "source_ip", "metadata.ssn")}
	events := []event.Event{
		{TenantID: "acme", UserID: "ada", SourceIP: "10.0.0.1", Metadata: `{"ssn":"walnut"}`},
		{TenantID: "acme", UserID: "ada", SourceIP: "10.0.0.2", Metadata: `{"ssn":"hazel"}`},
		{TenantID: "acme", UserID: "bob", Reason: "walnut"},
		{TenantID: "acme", UserID: "eve", SourceIP: "10.0.0.1"},
		{TenantID: "globex", UserID: "ada", SourceIP: "10.0.0.1"},
	}
	for _, tt := range []struct{ asked, seen string }{
		{"*", "0 1 2"},
		{"user_id:eve or user_id:ada", "0 1"},
		{"tenant_id:globex or *", "0 1 2"},
		{"-user_id:ada", "2"},
		{"walnut", "2"},
		{"-walnut", "0 1"},
		{"source_ip:10.0.0.1", "refused"},
		{"-source_ip:10.0.0.1", "refused"},
		{"user_id:ada or metadata.ssn:walnut", "refused"},
		{"metadata.ssn.x:*", "refused"},
	} {
		scope, err := outer.Within(Scope{Filters: []string{tt.asked}})
		if err != nil {
			t.Fatal(err)
		}
		// However often it is narrowed further, and by whom.
		for range 3 {
			got := seenOf(&scope, now, events)
			if got != tt.seen {
				t.Errorf("%s: sees %q, want %q", tt.asked, got, tt.seen)
			}
			if scope, err = scope.Within(Scope{Tenant: "acme", Filters: []string{"*"}, Hidden: hide(t, "request_id")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := Scope{Tenant: "acme", Filters: []string{"source_ip:10.0.0.1"}, Hidden: hide(t, "source_ip")}
	if got := seenOf(&own, now, events); got != "0 3" {
		t.Errorf("a scope's own filter looks at what it hides: it sees %q, want 0 3", got)
	}
	asked, _ := (&Scope{Tenant: "acme", Hidden: hide(t, "reason")}).Within(Scope{Filters: []string{"walnut"}})
	given := Scope{Tenant: "acme", Filters: []string{"walnut"}, Hidden: hide(t, "reason")}
	if a, b := seenOf(&asked, now, events), seenOf(&given, now, events); a == b || asked.String() == given.String() {
		t.Errorf("scopes that see %q and %q are named %s and %s", a, b, &asked, &given)
	}
}

func seenOf(s *Scope, now time.Time, events []event.Event) string {
	x, err := s.Predicate(now)
	if err != nil {
		if _, ok := errors.AsType[*filter.HiddenError](err); ok {
			return "refused"
		}
		return err.Error()
	}
	var seen []string
	for i := range events {
		if filter.Match(x, &events[i]) {
			seen = append(seen, string(rune('0'+i)))
		}
	}
	return strings.Join(seen, " ")
}

// TestPredicate: an event is seen that is of the tenant and matches each filter.
func TestPredicate(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) int64 { return now.Add(-ago).UnixNano() }
	acme := event.Event{TenantID: "acme", UserID: "ada", Action: "doc.read", Timestamp: at(time.Minute)}
	for _, tt := range []struct {
		name string
		s    Scope
		e    event.Event
		want bool
	}{
		{"everything", Scope{}, acme, true},
		{"of the tenant", Scope{Tenant: "acme"}, acme, true},
		{"of another", Scope{Tenant: "globex"}, acme, false},
		{"of one whose name looks like a pattern", Scope{Tenant: "*"}, acme, false},
		{"of one whose name begins as the event's", Scope{Tenant: "acm"}, acme, false},
		{"of one whose name is a filter", Scope{Tenant: `acme" or *`}, acme, false},
		{"of such a tenant", Scope{Tenant: `acme" or *`}, event.Event{TenantID: `acme" or *`}, true},
		{"matching both filters", Scope{Filters: []string{"user_id:ada", "action:doc.*"}}, acme, true},
		{"matching one of two filters", Scope{Filters: []string{"user_id:ada", "action:login"}}, acme, false},
		{"an or stays within its filter", Scope{Tenant: "globex", Filters: []string{"user_id:eve or user_id:ada"}}, acme, false},
		{"a filter in which parentheses would count", Scope{Filters: []string{"user_id:eve", "action:x or user_id:ada"}}, acme, false},
		{"newer than an hour before now", Scope{Filters: []string{"timestamp:>-1h"}}, acme, true},
		{"older than it", Scope{Filters: []string{"timestamp:>-1h"}}, event.Event{TenantID: "acme", Timestamp: at(2 * time.Hour)}, false},
	} {
		x, err := tt.s.Predicate(now)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got := filter.Match(x, &tt.e); got != tt.want {
			t.Errorf("%s: %s matches: %v", tt.name, x, got)
		}
	}
	for _, s := range []Scope{{Filters: []string{"user_id:"}}, {Filters: []string{"user_id:ada", "(("}}, {Filters: []string{"nosuchfield:1"}}} {
		if x, err := s.Predicate(now); err == nil {
			t.Errorf("%s gives %s and no error", &s, x)
		}
	}
}

func TestSeesRecord(t *testing.T) {
	acme := Scope{Tenant: "acme"}
	for _, tt := range []struct {
		name, record string
		want         bool
	}{
		{"its own", `{"user_id":1,"tenant_id":"acme"}`, true},
		{"its own, written otherwise", ` { "tenant\u005fid" : "ac\u006de" } `, true},
		{"another's", `{"tenant_id":"globex"}`, false},
		{"of none", `{"user_id":"a"}`, false},
		{"no JSON", "\x00\xff", false},
		{"nothing", "", false},
		{"JSON that breaks off", `{"tenant_id":"acme"`, false},
		{"JSON and more", `{"tenant_id":"acme"} {"tenant_id":"globex"}`, false},
		{"an array", `[{"tenant_id":"acme"}]`, false},
		{"further inside", `{"event":{"tenant_id":"acme"}}`, false},
		{"named in other letters", `{"Tenant_ID":"acme"}`, false},
		{"in other letters besides", `{"tenant_id":"globex","TENANT_ID":"acme"}`, false},
		{"two, the last its own", `{"tenant_id":"globex","tenant_id":"acme"}`, false},
		{"twice its own", `{"tenant_id":"acme","tenant_id":"acme"}`, false},
		{"not text", `{"tenant_id":["acme"]}`, false},
		{"null", `{"tenant_id":null}`, false},
	} {
		if got := acme.SeesRecord([]byte(tt.record)); got != tt.want {
			t.Errorf("%s: %s is seen: %v", tt.name, tt.record, got)
		}
		if !(&Scope{}).SeesRecord([]byte(tt.record)) {
			t.Errorf("%s: who sees everything does not see %s", tt.name, tt.record)
		}
		for _, s := range []Scope{{Filters: []string{"*"}}, {Tenant: "acme", Filters: []string{"*"}}, {Tenant: "acme", Hidden: hide(t, "source_ip")}, {Hidden: hide(t, "source_ip")}} {
			if s.SeesRecord([]byte(tt.record)) {
				t.Errorf("%s: %s sees %s, of which it cannot be told what may be seen", tt.name, &s, tt.record)
			}
		}
	}
}

// TestScopesAreNamedApart: a cursor is bound to a scope's name, so no two have one.
func TestScopesAreNamedApart(t *testing.T) {
	scopes := []Scope{
		{}, {Tenant: "a"}, {Tenant: "b"}, {Tenant: `a" ["x`}, {Filters: []string{"a"}}, {Tenant: "a", Filters: []string{"a"}},
		{Filters: []string{"a", "b"}}, {Filters: []string{`a" "b`}}, {Filters: []string{"a b"}}, {Hidden: hide(t, "reason")},
		{Hidden: hide(t, "reason", "source")}, {Filters: []string{"reason"}},
	}
	names := map[string]bool{}
	for i := range scopes {
		names[scopes[i].String()] = true
	}
	if len(names) != len(scopes) {
		t.Errorf("%d scopes have %d names: %v", len(scopes), len(names), names)
	}
}
