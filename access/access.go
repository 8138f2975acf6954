// Package access says who may do what: the rights, the scope of what is seen, and
// the grant that joins them, which every road into the program asks for before it
// does anything. It knows neither HTTP nor where keys are kept; that is
// access/keyring, and access/gate tells from what a request shows which grant it
// has.
//
// # What a scope promises
//
// A reader sees the events of its tenant that its filters match, without the
// fields that are hidden from it, and nothing tells it of others: not a count, not
// the end of a page, not an error. [Scope] is the one place that says so. A query
// adds [Scope.Predicate] to every scan, and dead letters ask [Scope.SeesRecord].
package access

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// SelfTenant is the tenant of the events in which Daybook records what is done
// with it.
const SelfTenant = "_daybook"

// Reserved reports whether a tenant is Daybook's own: those whose name begins with
// an underscore. Nobody publishes to one.
func Reserved(tenant string) bool { return strings.HasPrefix(tenant, "_") }

// Kind is by what a grant was shown to be had.
type Kind string

// The kinds of grant.
const (
	Anonymous   Kind = "anonymous" // a server without keys asks nobody
	ByKey       Kind = "key"
	Certificate Kind = "certificate" // a client certificate that stands for a key
	Viewer      Kind = "viewer"      // a viewer token
	SignIn      Kind = "oidc"        // a session of the page, begun with a provider
)

// Grant is what one caller may do. It is immutable but for the counters behind
// Limits, and one grant serves many requests at once.
type Grant struct {
	Kind    Kind
	ID      string // of the key, or of who signed in: what limits and samples go by
	Subject string // who it is, as the user_id of events about it: key:ab12…, ada@example.com
	Name    string // for people
	Rights  Rights
	Scope   Scope
	Expires time.Time       // zero: never
	Ended   <-chan struct{} // closed when the grant is taken back; nil: it cannot be
	Limits  *Limits         // shared by everything under the same key
}

// Everyone is the grant of whoever reaches a server that has no keys.
func Everyone() *Grant {
	return &Grant{Kind: Anonymous, ID: "anonymous", Subject: "anonymous", Name: "anonymous", Rights: Write | Read | Admin | Metrics, Limits: new(Limits)}
}

// Alive reports whether the grant holds at a time.
func (g *Grant) Alive(now time.Time) bool {
	select {
	case <-g.Ended:
		return false
	default:
		return g.Expires.IsZero() || now.Before(g.Expires)
	}
}

// May reports whether the grant has every right of want. The figures of the whole
// server are not for who is of one tenant, whatever else he may.
func (g *Grant) May(want Rights) bool {
	return g.Rights.Has(want) && (want&Metrics == 0 || g.Scope.Tenant == "")
}

// Tenant returns the tenant of events that name none.
func (g *Grant) Tenant() string {
	if g.Scope.Tenant == "" {
		return event.DefaultTenant
	}
	return g.Scope.Tenant
}

// Admit returns nil if the holder may publish e, else [event.Errors].
func (g *Grant) Admit(e *event.Event) error {
	switch {
	case g.Scope.Tenant != "" && e.TenantID != g.Scope.Tenant:
		return event.Errors{{Field: event.TenantID.String(), Value: strconv.Quote(e.TenantID),
			Reason: fmt.Sprintf("is not the tenant of this key, which is %q; leave the field out, or publish with another key", g.Scope.Tenant)}}
	case Reserved(e.TenantID):
		return event.Errors{{Field: event.TenantID.String(), Value: strconv.Quote(e.TenantID),
			Reason: "begins with an underscore: such tenants are Daybook's own, and nobody publishes to them; choose another name"}}
	}
	return nil
}

// Wait returns how long the holder must wait before it publishes more; 0: not at all.
func (g *Grant) Wait() time.Duration { return g.Limits.Wait(time.Now()) }

// Charge takes n published events off what the holder may publish.
func (g *Grant) Charge(n int) { g.Limits.Charge(time.Now(), n) }

// Governs reports whether the holder has [Admin] and may make, change and see the
// keys of a tenant; "" is every tenant.
func (g *Grant) Governs(tenant string) bool {
	return g.Rights.Has(Admin) && (g.Scope.Tenant == "" || g.Scope.Tenant == tenant)
}

// Scope is what a reader may see. The zero Scope is everything.
type Scope struct {
	Tenant  string        // "": every tenant
	Filters []string      // in the filter language: an event must match each
	Hidden  filter.Hidden // taken out of every event, and not to be searched by

	// blind[i] is hidden from whoever gave Filters[i], which therefore must not
	// tell what it is. It may be shorter than Filters: from others, nothing is.
	blind []filter.Hidden
}

// Whole reports whether everything is seen.
func (s *Scope) Whole() bool {
	return s.Tenant == "" && len(s.Filters) == 0 && s.Hidden.IsZero()
}

// blindTo returns what is hidden from whoever gave Filters[i].
func (s *Scope) blindTo(i int) filter.Hidden {
	if i < len(s.blind) {
		return s.blind[i]
	}
	return filter.Hidden{}
}

// Predicate returns what an event must match to be seen; relative times in
// filters count from now. A filter that cannot be read, or that looks at what is
// hidden from whoever gave it, is an error: it must not be left out.
func (s *Scope) Predicate(now time.Time) (filter.Expr, error) {
	var terms []filter.Expr
	if s.Tenant != "" {
		x, err := filter.Equals(filter.Selector{Field: event.TenantID}, s.Tenant)
		if err != nil {
			return nil, fmt.Errorf("tenant %q: %w", s.Tenant, err)
		}
		terms = append(terms, x)
	}
	for i, text := range s.Filters {
		x, err := filter.ParseAt(text, now)
		if err == nil {
			x, err = s.blindTo(i).Restrict(x)
		}
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", text, err)
		}
		terms = append(terms, x)
	}
	return filter.Join(terms...), nil
}

// SeesRecord reports whether a record that is no event may be seen. What it is
// about can be told only as far as it is JSON that names its tenant: one that does
// not is for those alone who see everything.
func (s *Scope) SeesRecord(record []byte) bool {
	if s.Whole() {
		return true
	}
	if s.Tenant == "" || len(s.Filters) > 0 || !s.Hidden.IsZero() {
		return false
	}
	tenant, ok := tenantOf(record)
	return ok && tenant == s.Tenant
}

// tenantOf returns the tenant that a record names, if it is one JSON object that
// names exactly one. Spelling counts, as in an event: who reads "Tenant_ID" or the
// last of two could be shown what is another's.
func tenantOf(record []byte) (tenant string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(record))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	named := 0
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "", false
		}
		if key == event.TenantID.String() {
			named++
			if json.Unmarshal(value, &tenant) != nil {
				return "", false
			}
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return "", false
	}
	_, err := d.Token()
	return tenant, named == 1 && err == io.EOF
}

// String names the scope: what a cursor is bound to.
func (s *Scope) String() string {
	text := fmt.Sprintf("%q %q %q", s.Tenant, s.Filters, s.Hidden.Names())
	for i := range s.blind {
		text += fmt.Sprintf(" %q", s.blind[i].Names())
	}
	return text
}

// Within returns the scope of who sees o through s: the tenant of both, the filters
// of both, and nothing that either hides. The filters of o look at what s shows: what
// s hides must not be found out by which events they let through. It is an error
// when o is of another tenant.
func (s *Scope) Within(o Scope) (Scope, error) {
	if s.Tenant != "" && o.Tenant != "" && s.Tenant != o.Tenant {
		return Scope{}, fmt.Errorf("%q is not to be seen with this key, which is of tenant %q", o.Tenant, s.Tenant)
	}
	both := Scope{Tenant: cmp.Or(s.Tenant, o.Tenant), Filters: slices.Concat(s.Filters, o.Filters), Hidden: s.Hidden.Union(o.Hidden)}
	for i := range s.Filters {
		both.blind = append(both.blind, s.blindTo(i))
	}
	for i := range o.Filters {
		both.blind = append(both.blind, s.Hidden.Union(o.blindTo(i)))
	}
	return both, nil
}
