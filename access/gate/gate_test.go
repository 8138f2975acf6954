package gate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// seen reports whether an event of acme, of ada, with that metadata is seen.
func seen(t *testing.T, s *access.Scope, metadata string) bool {
	t.Helper()
	x, err := s.Predicate(start)
	if err != nil {
		t.Fatal(err)
	}
	return filter.Match(x, &event.Event{TenantID: "acme", UserID: "ada", Metadata: metadata})
}

func TestBearer(t *testing.T) {
	g, k := newGate(t)
	whole := k.whole["acme"]
	cookie, _, err := g.KeySession(k.grant(t, "acme"), start)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"a key", whole, nil},
		{"a key with a wrong secret", whole[:len(whole)-1] + "?", keyring.ErrUnknown},
		{"nothing", "", ErrNone},
		{"half a key", "dbk_" + k.id["acme"], ErrNone},
		{"a key without its prefix", strings.TrimPrefix(whole, "dbk_"), ErrNone},
		{"a session", cookie, ErrNone},
		{"a session as a viewer token", "dbv_" + strings.TrimPrefix(cookie, "dbs_"), ErrNone},
		{"a viewer token that is none", "dbv_a.b", ErrNone},
	} {
		got, err := g.Bearer(tt.token, start)
		if !errors.Is(err, tt.want) || (err == nil) != (got != nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestPassword(t *testing.T) {
	g, k := newGate(t)
	whole, id := k.whole["acme"], k.id["acme"]
	_, secret, _ := keyring.Split(whole)
	for _, tt := range []struct {
		name, id, secret string
		want             error
	}{
		{"id and secret", id, secret, nil},
		{"dbk_ before the id", "dbk_" + id, secret, nil},
		{"the whole key as the secret", id, whole, nil},
		{"the same, dbk_ before the id", "dbk_" + id, whole, nil},
		{"the whole key, and another's id", k.id["all"], whole, keyring.ErrUnknown},
		{"the whole key, and no id", "", whole, keyring.ErrUnknown},
		{"the whole key as id and secret", whole, whole, keyring.ErrUnknown},
		{"another's secret", k.id["all"], secret, keyring.ErrUnknown},
		{"no secret", id, "", keyring.ErrUnknown},
		{"nothing", "", "", keyring.ErrUnknown},
		{"dbk_ twice", "dbk_dbk_" + id, secret, keyring.ErrUnknown},
		{"a viewer token", id, "dbv_a.b", keyring.ErrUnknown},
	} {
		got, err := g.Password(tt.id, tt.secret, start)
		if !errors.Is(err, tt.want) || err == nil && got.ID != id {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

// TestOpen: a server asks nobody until there is a key, or somebody can sign in.
func TestOpen(t *testing.T) {
	k := emptyKeys(t)
	if gateOf(t, k, testRoles).Open() {
		t.Error("open though people can sign in")
	}
	g := gateOf(t, k, nil)
	everyone := g.Everyone()
	if !g.Open() || !everyone.Alive(start) || everyone.Kind != access.Anonymous || !everyone.May(access.Write|access.Read|access.Admin|access.Metrics) || !everyone.Scope.Whole() {
		t.Errorf("open %v, everyone %+v", g.Open(), everyone)
	}
	if _, err := g.Bearer("dbk_a_b", start); !errors.Is(err, keyring.ErrUnknown) {
		t.Errorf("a key that is none, on an open server: %v", err)
	}
	k.create(t, keyring.Spec{Name: "admin", Rights: access.Admin})
	if g.Open() || everyone.Alive(start) || g.Everyone().Alive(start) {
		t.Error("what was open to everybody is open though there is a key")
	}
	if gateOf(t, k, nil).Everyone().Alive(start) {
		t.Error("and after a restart")
	}
}

func TestRolesThatCannotBe(t *testing.T) {
	k := emptyKeys(t)
	groups := []string{"g"}
	for _, tt := range []struct {
		role Role
		want string
	}{
		{Role{Rights: access.Read}, "groups names none"},
		{Role{Groups: []string{"a", ""}, Rights: access.Read}, "groups names none"},
		{Role{Groups: groups}, "rights names none"},
		{Role{Groups: groups, Rights: access.Admin, Filter: "*"}, "do not go with the right admin"},
		{Role{Groups: groups, Rights: access.Admin, Hidden: []string{"source_ip"}}, "do not go with the right admin"},
		{Role{Groups: groups, Rights: access.Write, Filter: "*"}, "narrow what is read"},
		{Role{Groups: groups, Rights: access.Write, Tenant: "_daybook"}, "Daybook's own"},
		{Role{Groups: groups, Rights: access.Metrics, Tenant: "acme"}, "metrics are of the whole server"},
		{Role{Groups: groups, Rights: access.Read, Filter: "(("}, "filter"},
		{Role{Groups: groups, Rights: access.Read, Hidden: []string{"tenant_id"}}, "cannot be hidden"},
	} {
		tt.role.Name = "broken"
		_, err := New(Options{Keys: k.Keyring, Secret: testSecret, Roles: append([]Role{testRoles[0]}, tt.role)})
		if err == nil || !strings.HasPrefix(err.Error(), `role "broken": `) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.role, err, tt.want)
		}
	}
	if _, err := New(Options{Keys: k.Keyring, Secret: testSecret[:31]}); err == nil {
		t.Error("a short secret is enough")
	}
}

// TestRoles: the first role that one of the groups makes a member of is a person's.
func TestRoles(t *testing.T) {
	g, _ := newGate(t)
	for _, tt := range []struct {
		groups []string
		rights access.Rights
		sees   string
	}{
		{[]string{"ops"}, access.Admin, ""},
		{[]string{"x", "sre", "customers"}, access.Admin, ""},
		{[]string{"customers", "audit"}, access.Read, ""},
		{[]string{"customers"}, access.Read, "acme (user_id:(ada or bob)) without source_ip"},
		{[]string{"Ops"}, access.Read, "public"},
		{nil, access.Read, "public"},
	} {
		cookie, expires, err := g.SignIn(Person{Subject: "ada@example.com", Name: "Ada", Groups: tt.groups}, start)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Session(cookie, start.Add(time.Hour))
		if err != nil || got.Rights != tt.rights || described(got) != tt.sees {
			t.Errorf("%v: %+v, %v", tt.groups, got, err)
			continue
		}
		if got.Kind != access.SignIn || got.Subject != "ada@example.com" || got.Name != "Ada" || !expires.Equal(start.Add(DefaultSession)) || !got.Expires.Equal(expires) {
			t.Errorf("%v: %+v until %v", tt.groups, got, expires)
		}
		if _, err := g.Session(cookie, expires); !errors.Is(err, keyring.ErrExpired) {
			t.Errorf("%v: when the session expires: %v", tt.groups, err)
		}
	}
}

// TestRolesOfNow: what a session may do is what the settings say when it is used.
func TestRolesOfNow(t *testing.T) {
	g, k := newGate(t)
	cookie, _, err := g.SignIn(Person{Subject: "ada", Groups: []string{"wheel", "ops", "customers"}}, start)
	if err != nil {
		t.Fatal(err)
	}
	var carried session
	if err := g.sessions.read(cookie, &carried); err != nil || strings.Join(carried.Groups, " ") != "ops customers" {
		t.Errorf("carried are %v, %v; want those that roles name", carried.Groups, err)
	}
	for _, tt := range []struct {
		roles []Role
		sees  string
		want  error
	}{
		{testRoles[2:3], "acme (user_id:(ada or bob)) without source_ip", nil},
		{testRoles[3:], "public", nil},
		{testRoles[1:2], "", ErrNone},
		{nil, "", ErrNone},
	} {
		got, err := gateOf(t, k, tt.roles).Session(cookie, start)
		if !errors.Is(err, tt.want) || err == nil && described(got) != tt.sees {
			t.Errorf("%v: %v, %v", tt.roles, got, err)
		}
	}
	narrow := gateOf(t, k, testRoles[:3])
	if _, _, err := narrow.SignIn(Person{Subject: "eve", Groups: []string{"wheel"}}, start); !errors.Is(err, ErrNone) {
		t.Errorf("who has no role signs in: %v", err)
	}
}

// TestSessionsFitACookie: whatever a provider says of somebody, and the role stays.
func TestSessionsFitACookie(t *testing.T) {
	k := emptyKeys(t)
	var roles []Role
	var groups []string
	for i := range 200 {
		name := fmt.Sprintf("cn=%03d,%s", i, strings.Repeat("ou=department,", 10))
		roles = append(roles, Role{Name: name, Groups: []string{name}, Tenant: fmt.Sprint("t", i), Rights: access.Read})
		groups = append([]string{name, name}, groups...)
	}
	g := gateOf(t, k, roles)
	cookie, _, err := g.SignIn(Person{Subject: strings.Repeat("s", 256), Name: strings.Repeat("é", 5000), Groups: groups}, start)
	if err != nil || len("__Host-daybook=")+len(cookie) > 4096 {
		t.Fatalf("%d bytes, %v", len(cookie), err)
	}
	got, err := g.Session(cookie, start)
	if err != nil || got.Scope.Tenant != "t0" || len(got.Name) > maxPerson || !strings.HasPrefix(got.Name, "éé") {
		t.Errorf("%+v, %v", got, err)
	}
	for _, subject := range []string{"", strings.Repeat("s", 257)} {
		if _, _, err := g.SignIn(Person{Subject: subject, Groups: groups}, start); err == nil {
			t.Errorf("a subject of %d bytes is one", len(subject))
		}
	}
}

// TestLimitsOfPeople: one person has one, however many sessions; and they are
// bounded in number.
func TestLimitsOfPeople(t *testing.T) {
	k := emptyKeys(t)
	g, err := New(Options{Keys: k.Keyring, Secret: testSecret, Roles: testRoles, Session: time.Hour, QueriesAtOnce: 1})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(subject string) *access.Grant {
		t.Helper()
		cookie, expires, err := g.SignIn(Person{Subject: subject}, start)
		if err != nil || !expires.Equal(start.Add(time.Hour)) {
			t.Fatal(expires, err)
		}
		got, err := g.Session(cookie, start)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if !sign("ada").Limits.EnterQuery() || sign("ada").Limits.EnterQuery() || !sign("bob").Limits.EnterQuery() {
		t.Error("a person has a place in each session, or shares one with another")
	}
	for i := range 3 * maxPeople {
		g.limitsOf(fmt.Sprint(i))
	}
	if n := len(g.limits); n > maxPeople {
		t.Errorf("%d people are remembered", n)
	}
}
