// Package saved keeps searches that people saved on the page, for everybody of
// their tenant.
package saved

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/internal/state"
)

// Limits of a search, and of how many there are.
const (
	MaxName      = 128     // bytes
	MaxState     = 8 << 10 // bytes
	MaxPerTenant = 1000
)

// Errors of saving and deleting.
var (
	ErrNone = errors.New("no such saved search")
	ErrFull = fmt.Errorf("there are %d saved searches already", MaxPerTenant)
	ErrName = fmt.Errorf("name must be 1 to %d bytes of text", MaxName)
	ErrLong = fmt.Errorf("state must be 1 to %d bytes: what stands behind the ? of the page's address", MaxState)
)

// Search is a search that somebody saved. State is the page's query string.
type Search struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Tenant    string    `json:"tenant,omitempty"` // "": of those who see every tenant
	State     string    `json:"state"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

// Searches are all that are kept. They are safe for concurrent use.
type Searches struct {
	bucket state.Bucket[Search]

	mu  sync.Mutex
	all map[string]Search // guarded by mu
}

// Open reads the saved searches.
func Open(db *state.DB) (*Searches, error) {
	s := &Searches{bucket: state.NewBucket[Search](db, "saved searches")}
	var err error
	s.all, err = s.bucket.All()
	return s, err
}

// List returns the searches of a tenant, by name.
func (s *Searches) List(tenant string) []Search {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []Search{}
	for _, x := range s.all {
		if x.Tenant == tenant {
			found = append(found, x)
		}
	}
	slices.SortFunc(found, func(a, b Search) int {
		if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found
}

// Save saves a search: name, tenant, state and by whom. One of the same name and
// tenant is replaced, if the same saved it.
func (s *Searches) Save(x Search, now time.Time) (Search, error) {
	switch {
	case strings.TrimSpace(x.Name) == "" || len(x.Name) > MaxName || !utf8.ValidString(x.Name):
		return x, ErrName
	case x.State == "" || len(x.State) > MaxState || !utf8.ValidString(x.State):
		return x, ErrLong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id, o := range s.all {
		if o.Tenant != x.Tenant {
			continue
		}
		if n++; o.Name == x.Name && o.CreatedBy == x.CreatedBy {
			x.ID = id
		}
	}
	if x.ID == "" {
		if n >= MaxPerTenant {
			return x, ErrFull
		}
		var b [8]byte
		rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		x.ID = hex.EncodeToString(b[:])
	}
	x.CreatedAt = now.UTC()
	if err := s.bucket.Put(map[string]Search{x.ID: x}); err != nil {
		return x, fmt.Errorf("save a search: %w", err)
	}
	s.all[x.ID] = x
	return x, nil
}

// Delete removes a search of a tenant, if may says so.
func (s *Searches) Delete(tenant, id string, may func(Search) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.all[id]
	if !ok || x.Tenant != tenant || !may(x) {
		return ErrNone
	}
	if _, err := s.bucket.Delete(id); err != nil {
		return fmt.Errorf("delete a saved search: %w", err)
	}
	delete(s.all, id)
	return nil
}
