// Package gate tells who is there: from a key, a viewer token, a session or the
// names of a client certificate it finds the grant, or why there is none.
//
//	dbk_<id>_<secret>      an API key, see access/keyring
//	dbv_<payload>.<mac>    a viewer token, made by whoever has a key and narrower than it
//	dbs_<payload>.<mac>    a session of the page, in a cookie
//
// Tokens and sessions are signed and kept nowhere. What came of a key ends with
// the key: both name it, and it is looked up at each use.
package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
)

// Prefixes of the tokens made here.
const (
	viewerPrefix  = "dbv_"
	sessionPrefix = "dbs_"
)

// Limits of a viewer token.
const (
	DefaultViewerTime = 15 * time.Minute
	MaxViewerTime     = 24 * time.Hour
)

// ErrNone says that nothing was shown, or nothing that this server knows.
var ErrNone = errors.New("a key is needed")

// Role is what members of groups of a sign-in provider may do.
type Role struct {
	Name   string
	Groups []string // one of these makes a member; "*": whoever signs in
	Tenant string   // "": every tenant
	Rights access.Rights
	Filter string
	Hidden []string
}

// Options are what a [Gate] is made of.
type Options struct {
	Keys    *keyring.Keyring
	Secret  []byte        // of the server, 32 bytes or more
	Roles   []Role        // in the order in which they are tried
	Session time.Duration // how long a session lasts; 0: 12 hours
	// Limits of each of those who sign in; 0: none.
	EventsPerSecond, QueriesAtOnce int
}

// DefaultSession is how long a session lasts.
const DefaultSession = 12 * time.Hour

// Gate finds grants. It is safe for concurrent use.
type Gate struct {
	keys     *keyring.Keyring
	viewers  signer
	sessions signer
	roles    []Role
	lasts    time.Duration
	everyone *access.Grant
	limit    func() *access.Limits

	mu     sync.Mutex
	limits map[string]*access.Limits // guarded by mu: of who signed in
}

// New returns a gate. An error names the role that cannot be.
func New(o Options) (*Gate, error) {
	g := &Gate{keys: o.Keys, roles: o.Roles, lasts: o.Session, everyone: access.Everyone(), limits: map[string]*access.Limits{}}
	g.everyone.Ended = o.Keys.Keyed()
	g.limit = func() *access.Limits { return access.NewLimits(o.EventsPerSecond, o.QueriesAtOnce) }
	if g.lasts == 0 {
		g.lasts = DefaultSession
	}
	var err error
	if g.viewers, err = newSigner(o.Secret, viewerPrefix, maxToken); err != nil {
		return nil, err
	}
	if g.sessions, err = newSigner(o.Secret, sessionPrefix, maxSession); err != nil {
		return nil, err
	}
	for i := range o.Roles {
		if err := o.Roles[i].check(); err != nil {
			return nil, fmt.Errorf("role %q: %w", o.Roles[i].Name, err)
		}
	}
	return g, nil
}

func (r *Role) check() error {
	if len(r.Groups) == 0 || slices.Contains(r.Groups, "") {
		return errors.New("groups names none; name groups of the provider, or * for whoever signs in")
	}
	switch access.Fit(r.Rights, r.Tenant, r.Filter != "" || len(r.Hidden) > 0) {
	case access.NoRights:
		return errors.New("rights names none; write, read, admin or metrics")
	case access.AdminNarrowed:
		return errors.New("filter and hidden do not go with the right admin")
	case access.UnreadNarrowed:
		return errors.New("filter and hidden narrow what is read; the role does not have the right to read")
	case access.OwnTenant:
		return fmt.Errorf("tenant %q is Daybook's own; only the right to read goes with it", r.Tenant)
	case access.MetricsOfTenant:
		return errors.New("metrics are of the whole server; a role with a tenant cannot have them")
	}
	scope, err := r.scope()
	if err != nil {
		return err
	}
	_, err = scope.Predicate(time.Now())
	return err
}

func (r *Role) scope() (access.Scope, error) {
	return access.NewScope(r.Tenant, r.Filter, r.Hidden)
}

// Open reports whether the server asks nobody who he is, because no key was made
// yet and nobody can sign in.
func (g *Gate) Open() bool { return g.keys.Empty() && len(g.roles) == 0 }

// Everyone returns the grant of anybody on an open server.
func (g *Gate) Everyone() *access.Grant { return g.everyone }

// Bearer returns the grant of a key or a viewer token.
func (g *Gate) Bearer(token string, now time.Time) (*access.Grant, error) {
	if strings.HasPrefix(token, viewerPrefix) {
		return g.viewer(token, now)
	}
	id, secret, ok := keyring.Split(token)
	if !ok {
		return nil, ErrNone
	}
	return g.keys.Lookup(id, secret, now)
}

// Password returns the grant of a key whose two parts come apart, as SASL has
// them. The secret may also be the whole key.
func (g *Gate) Password(id, secret string, now time.Time) (*access.Grant, error) {
	id = strings.TrimPrefix(id, keyring.Prefix)
	if whole, rest, ok := keyring.Split(secret); ok {
		if id != whole {
			return nil, keyring.ErrUnknown
		}
		secret = rest
	}
	return g.keys.Lookup(id, secret, now)
}

// Certificate returns the grant of a verified client certificate's names.
func (g *Gate) Certificate(names []string, now time.Time) (*access.Grant, error) {
	return g.keys.ByCertificate(names, now)
}

// viewerToken is the payload of a viewer token.
type viewerToken struct {
	Key     string   `json:"k"` // id of the key that made it
	Mark    string   `json:"m"` // of that key's secret
	Subject string   `json:"s,omitempty"`
	Tenant  string   `json:"t,omitempty"`
	Filter  string   `json:"f,omitempty"`
	Hidden  []string `json:"h,omitempty"`
	Expires int64    `json:"e"` // seconds since 1970
}

// Viewer is what a viewer token is to be.
type Viewer struct {
	Subject string // who will look, for the log
	Tenant  string // "": the issuer's
	Filter  string
	Hidden  []string
	Lasts   time.Duration // 0: DefaultViewerTime
}

// shown returns the mark of the secret that opened a grant, or ErrNone where what
// was shown is no key: who has a viewer token could else make itself one that sees
// all that the key does.
func (g *Gate) shown(grant *access.Grant) (mark string, err error) {
	if grant.Kind == access.ByKey || grant.Kind == access.Certificate {
		mark = g.keys.Mark(grant)
	}
	if mark == "" {
		return "", ErrNone
	}
	return mark, nil
}

// IssueViewer makes a token with which whoever has it sees what v and the issuer's
// own scope allow, and no more, until it expires or the issuer does. The issuer must
// be of a key that may read, else the error is ErrNone. A filter may not look at
// what is hidden from the issuer.
func (g *Gate) IssueViewer(issuer *access.Grant, v Viewer, now time.Time) (token string, expires time.Time, err error) {
	mark, err := g.shown(issuer)
	if err != nil || !issuer.Rights.Has(access.Read) {
		return "", time.Time{}, ErrNone
	}
	if v.Lasts == 0 {
		v.Lasts = DefaultViewerTime
	}
	fault := func(field, value, format string, args ...any) (string, time.Time, error) {
		return "", time.Time{}, &keyring.Error{Field: field, Value: value, Reason: fmt.Sprintf(format, args...)}
	}
	scope, err := access.NewScope(v.Tenant, v.Filter, v.Hidden)
	if err != nil {
		return fault("hidden", strings.Join(v.Hidden, ","), "cannot be read: %v", err)
	}
	seen, err := issuer.Scope.Within(scope)
	switch {
	case err != nil:
		return fault("tenant", v.Tenant, "%v", err)
	case seen.Tenant == "":
		return fault("tenant", "", "must be given: a viewer sees one tenant")
	case len(v.Tenant) > keyring.MaxName || !utf8.ValidString(v.Tenant):
		return fault("tenant", v.Tenant, "is longer than the %d bytes that a tenant's name has at most, or no UTF-8", keyring.MaxName)
	case v.Lasts < time.Second || v.Lasts > MaxViewerTime:
		return fault("expires_in", v.Lasts.String(), "must be from 1s to %v", MaxViewerTime)
	case len(v.Subject) > keyring.MaxName || !utf8.ValidString(v.Subject):
		return fault("subject", v.Subject, "is longer than %d bytes, or no UTF-8", keyring.MaxName)
	}
	if _, err := seen.Predicate(now); err != nil {
		return fault("filter", v.Filter, "cannot be read: %v", err)
	}
	expires = soonest(now.Add(v.Lasts), issuer.Expires).UTC().Truncate(time.Second)
	token, err = g.viewers.sign(viewerToken{
		Key: issuer.ID, Mark: mark, Subject: v.Subject, Tenant: v.Tenant, Filter: v.Filter, Hidden: v.Hidden, Expires: expires.Unix(),
	})
	if err != nil {
		return fault("filter", v.Filter, "and hidden are too long: %v", err)
	}
	return token, expires, nil
}

// soonest returns the earlier of a time and another, which is none when it is zero.
func soonest(t, other time.Time) time.Time {
	if !other.IsZero() && other.Before(t) {
		return other
	}
	return t
}

// viewer returns the grant of a viewer token.
func (g *Gate) viewer(token string, now time.Time) (*access.Grant, error) {
	var t viewerToken
	if err := g.viewers.read(token, &t); err != nil {
		return nil, ErrNone
	}
	expires := time.Unix(t.Expires, 0)
	if !now.Before(expires) {
		return nil, keyring.ErrExpired
	}
	issuer, err := g.keys.Current(t.Key, t.Mark, now)
	if err != nil {
		return nil, err
	}
	asked, err := access.NewScope(t.Tenant, t.Filter, t.Hidden)
	if err != nil {
		return nil, err
	}
	scope, err := issuer.Scope.Within(asked)
	if err != nil || !issuer.Rights.Has(access.Read) {
		return nil, ErrNone
	}
	subject := "viewer:" + t.Subject
	return &access.Grant{
		Kind: access.Viewer, ID: issuer.ID, Subject: subject, Name: subject, Rights: access.Read, Scope: scope,
		Expires: soonest(expires, issuer.Expires), Ended: issuer.Ended, Limits: issuer.Limits,
	}, nil
}

// Member returns the first role that one of the groups makes a member of.
func (g *Gate) Member(groups []string) (*Role, bool) {
	for i := range g.roles {
		r := &g.roles[i]
		for _, name := range r.Groups {
			if name == "*" || slices.Contains(groups, name) {
				return r, true
			}
		}
	}
	return nil, false
}
