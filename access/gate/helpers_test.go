package gate

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/internal/state"
)

// start is when the tests' keys are made.
var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// keys are the keys of a test, by name.
type keys struct {
	*keyring.Keyring
	id, whole map[string]string
}

// emptyKeys returns a keyring without a key.
func emptyKeys(tb testing.TB) *keys {
	tb.Helper()
	db, err := state.Open(filepath.Join(tb.TempDir(), "state.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	k, err := keyring.Open(db)
	if err != nil {
		tb.Fatal(err)
	}
	return &keys{k, map[string]string{}, map[string]string{}}
}

func (k *keys) create(tb testing.TB, spec keyring.Spec) {
	tb.Helper()
	key, whole, err := k.Create(spec, "tester", start, nil)
	if err != nil {
		tb.Fatal(err)
	}
	k.id[spec.Name], k.whole[spec.Name] = key.ID, whole
}

// grant returns what the key of a name opens.
func (k *keys) grant(tb testing.TB, name string) *access.Grant {
	tb.Helper()
	id, secret, _ := keyring.Split(k.whole[name])
	g, err := k.Lookup(id, secret, start)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return g
}

var testRoles = []Role{
	{Name: "ops", Groups: []string{"ops", "sre"}, Rights: access.Admin},
	{Name: "auditors", Groups: []string{"audit"}, Rights: access.Read},
	{Name: "acme", Groups: []string{"customers"}, Tenant: "acme", Rights: access.Read, Filter: "user_id:(ada or bob)", Hidden: []string{"source_ip"}},
	{Name: "rest", Groups: []string{"*"}, Tenant: "public", Rights: access.Read},
}

// newGate returns a gate with keys of all kinds, and testRoles.
func newGate(tb testing.TB) (*Gate, *keys) {
	tb.Helper()
	k := emptyKeys(tb)
	soon := start.Add(5 * time.Minute)
	for _, spec := range []keyring.Spec{
		{Name: "admin", Rights: access.Admin},
		{Name: "all", Rights: access.Read},
		{Name: "acme", Tenant: "acme", Rights: access.Read | access.Write},
		{Name: "narrow", Tenant: "acme", Rights: access.Read, Filter: "user_id:(ada or bob)", Hidden: []string{"source_ip", "metadata.ssn"}, Certificate: "cn:narrow"},
		{Name: "writer", Tenant: "acme", Rights: access.Write},
		{Name: "soon", Tenant: "acme", Rights: access.Read, ExpiresAt: &soon},
	} {
		k.create(tb, spec)
	}
	return gateOf(tb, k, testRoles), k
}

func gateOf(tb testing.TB, k *keys, roles []Role) *Gate {
	tb.Helper()
	g, err := New(Options{Keys: k.Keyring, Secret: testSecret, Roles: roles})
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// described writes what a grant sees.
func described(g *access.Grant) string {
	parts := []string{g.Scope.Tenant}
	for _, f := range g.Scope.Filters {
		parts = append(parts, "("+f+")")
	}
	if names := g.Scope.Hidden.Names(); len(names) > 0 {
		parts = append(parts, "without "+strings.Join(names, " "))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}
