package saved

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/state"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func openAt(t *testing.T, path string) (*Searches, *state.DB) {
	t.Helper()
	db, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(db)
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func TestSearchesOfATenant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, db := openAt(t, path)
	save := func(tenant, name, state, by string) Search {
		t.Helper()
		x, err := s.Save(Search{Tenant: tenant, Name: name, State: state, CreatedBy: by}, now)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	denials := save("acme", "denials", "q=outcome:denied", "ada")
	save("acme", "Admins", "q=user_type:user", "ada")
	save("globex", "theirs", "q=x", "eve")
	if again := save("acme", "denials", "q=outcome:failure", "ada"); again.ID != denials.ID {
		t.Error("saved again under its name, it is another")
	}
	if other := save("acme", "denials", "q=1", "bob"); other.ID == denials.ID {
		t.Error("somebody else's of the same name was replaced")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openAt(t, path)
	var names []string
	for _, x := range s.List("acme") {
		names = append(names, x.Name+" "+x.State)
	}
	if got := strings.Join(names, ", "); !strings.HasPrefix(got, "Admins q=user_type:user, denials ") || len(names) != 3 {
		t.Errorf("after reopening: %s", got)
	}
	yes := func(Search) bool { return true }
	if err := s.Delete("globex", denials.ID, yes); !errors.Is(err, ErrNone) {
		t.Errorf("deleted by another tenant: %v", err)
	}
	if err := s.Delete("acme", denials.ID, func(Search) bool { return false }); !errors.Is(err, ErrNone) {
		t.Errorf("deleted by who may not: %v", err)
	}
	if err := s.Delete("acme", denials.ID, yes); err != nil || len(s.List("acme")) != 2 {
		t.Errorf("deleting: %v, left %d", err, len(s.List("acme")))
	}
}

func TestWhatIsNoSearch(t *testing.T) {
	s, _ := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	for name, c := range map[string]struct {
		search Search
		want   error
	}{
		"no name":         {Search{Name: " ", State: "q=1"}, ErrName},
		"a long name":     {Search{Name: strings.Repeat("n", MaxName+1), State: "q=1"}, ErrName},
		"a name in bytes": {Search{Name: "\xff", State: "q=1"}, ErrName},
		"nothing":         {Search{Name: "n"}, ErrLong},
		"too much":        {Search{Name: "n", State: strings.Repeat("q", MaxState+1)}, ErrLong},
	} {
		if _, err := s.Save(c.search, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for i := range MaxPerTenant {
		s.all[strings.Repeat("x", i+1)] = Search{} // without a thousand syncs
	}
	if _, err := s.Save(Search{Name: "one more", State: "q=1"}, now); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
}
