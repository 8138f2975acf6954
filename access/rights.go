package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rights is a set of rights.
type Rights uint8

// The rights. Admin has all of the others within its tenant.
const (
	Write   Rights = 1 << iota // publish events
	Read                       // search, watch, count, export
	Admin                      // keys, dead letters, viewer tokens for anything in the tenant
	Metrics                    // figures of the whole server, and no event
)

var rightNames = []string{"write", "read", "admin", "metrics"}

// ParseRights reads names of rights, and refuses none at all.
func ParseRights(names []string) (Rights, error) {
	var r Rights
	for _, name := range names {
		i := slices.Index(rightNames, strings.TrimSpace(name))
		if i < 0 {
			return 0, fmt.Errorf("%q is no right; there are %s", name, strings.Join(rightNames, ", "))
		}
		r |= 1 << i
	}
	if r == 0 {
		return 0, fmt.Errorf("names no right; there are %s", strings.Join(rightNames, ", "))
	}
	return r, nil
}

// Has reports whether r allows what needs all of want.
func (r Rights) Has(want Rights) bool { return r&Admin != 0 || r&want == want }

// Names returns the names of the rights.
func (r Rights) Names() []string {
	names := []string{}
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the names, separated by commas.
func (r Rights) String() string { return strings.Join(r.Names(), ",") }

// MarshalJSON implements json.Marshaler.
func (r Rights) MarshalJSON() ([]byte, error) { return json.Marshal(r.Names()) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Rights) UnmarshalJSON(b []byte) (err error) {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return err
	}
	*r, err = ParseRights(names)
	return err
}
