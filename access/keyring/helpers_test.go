package keyring

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/internal/state"
)

// start is when the tests' keys are made.
var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// openFile opens the keys in a file, and the file.
func openFile(tb testing.TB, path string) (*Keyring, *state.DB) {
	tb.Helper()
	db, err := state.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() }) // a second time, it does nothing
	k, err := Open(db)
	if err != nil {
		tb.Fatal(err)
	}
	return k, db
}

// newKeyring returns a keyring with one key, an admin's.
func newKeyring(tb testing.TB) (k *Keyring, admin Key) {
	tb.Helper()
	k, _ = openFile(tb, filepath.Join(tb.TempDir(), "state.db"))
	admin, _ = create(tb, k, Spec{Rights: access.Admin}, start)
	return k, admin
}

// create makes a key; one without a name gets one.
func create(tb testing.TB, k *Keyring, spec Spec, now time.Time) (Key, string) {
	tb.Helper()
	if spec.Name == "" {
		spec.Name = "test"
	}
	key, whole, err := k.Create(spec, "tester", now, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return key, whole
}

// lookUp returns what a whole key opens.
func lookUp(tb testing.TB, k *Keyring, whole string, now time.Time) (*access.Grant, error) {
	tb.Helper()
	id, secret, ok := Split(whole)
	if !ok {
		tb.Fatalf("%q is no key", whole)
	}
	return k.Lookup(id, secret, now)
}

func opened(tb testing.TB, k *Keyring, whole string, now time.Time) *access.Grant {
	tb.Helper()
	g, err := lookUp(tb, k, whole, now)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func in(d time.Duration) *time.Time {
	at := start.Add(d)
	return &at
}

func hasEnded(g *access.Grant) bool {
	select {
	case <-g.Ended:
		return true
	default:
		return false
	}
}
