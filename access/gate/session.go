package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
)

// session is the payload of a session: of a key that was shown to the page, or of
// who signed in with a provider.
type session struct {
	Key     string   `json:"k,omitempty"` // id of the key
	Mark    string   `json:"m,omitempty"` // of its secret
	Subject string   `json:"s,omitempty"` // as the provider has it
	Name    string   `json:"n,omitempty"`
	Groups  []string `json:"g,omitempty"`
	Expires int64    `json:"e"` // seconds since 1970
}

// Limits of a session, besides its length.
const (
	maxGroups  = 64  // that it carries: those alone that a role names
	maxSubject = 256 // bytes of who it is, as much as an event has room for
	maxPerson  = 256 // bytes of a name; what is longer is cut
)

// KeySession begins a session of who has shown a key; who has shown something else
// gets ErrNone.
func (g *Gate) KeySession(grant *access.Grant, now time.Time) (text string, expires time.Time, err error) {
	mark, err := g.shown(grant)
	if err != nil {
		return "", time.Time{}, err
	}
	expires = soonest(now.Add(g.lasts), grant.Expires)
	text, err = g.sessions.sign(session{Key: grant.ID, Mark: mark, Expires: expires.Unix()})
	return text, expires, err
}

// Person is who signed in with a provider.
type Person struct {
	Subject string // who it is, for the log
	Name    string
	Groups  []string
}

// SignIn begins a session of a person, or returns ErrNone when no role is theirs.
// A person must be told from others, by a subject of 1 to 256 bytes.
func (g *Gate) SignIn(p Person, now time.Time) (text string, expires time.Time, err error) {
	if _, ok := g.Member(p.Groups); !ok {
		return "", time.Time{}, ErrNone
	}
	if p.Subject == "" || len(p.Subject) > maxSubject {
		return "", time.Time{}, fmt.Errorf("the provider's name for who signed in has %d bytes; 1 to %d are accepted", len(p.Subject), maxSubject)
	}
	if len(p.Name) > maxPerson {
		p.Name = strings.ToValidUTF8(p.Name[:maxPerson], "")
	}
	expires = now.Add(g.lasts)
	s := session{Subject: p.Subject, Name: p.Name, Groups: g.named(p.Groups), Expires: expires.Unix()}
	for { // the last groups are those of the last roles, which are not reached while there are others
		text, err = g.sessions.sign(s)
		if !errors.Is(err, errLong) || len(s.Groups) <= 1 {
			return text, expires, err
		}
		s.Groups = s.Groups[:len(s.Groups)-1]
	}
}

// named returns those of a person's groups that roles name, each once, in the order
// of the roles.
func (g *Gate) named(groups []string) (named []string) {
	for _, r := range g.roles {
		for _, name := range r.Groups {
			if slices.Contains(groups, name) && !slices.Contains(named, name) && len(named) < maxGroups {
				named = append(named, name)
			}
		}
	}
	return named
}

// Session returns the grant of a session. What a person may do is looked up in
// the roles of now, so that a change of the settings holds for sessions too.
func (g *Gate) Session(text string, now time.Time) (*access.Grant, error) {
	var s session
	if err := g.sessions.read(text, &s); err != nil {
		return nil, ErrNone
	}
	expires := time.Unix(s.Expires, 0)
	if !now.Before(expires) {
		return nil, keyring.ErrExpired
	}
	if s.Key != "" {
		grant, err := g.keys.Current(s.Key, s.Mark, now)
		if err != nil {
			return nil, err
		}
		ofSession := *grant
		ofSession.Expires = soonest(expires, grant.Expires)
		return &ofSession, nil
	}
	role, ok := g.Member(s.Groups)
	if !ok {
		return nil, ErrNone
	}
	scope, err := role.scope()
	if err != nil {
		return nil, err
	}
	return &access.Grant{
		Kind: access.SignIn, ID: s.Subject, Subject: s.Subject, Name: s.Name, Rights: role.Rights, Scope: scope,
		Expires: expires, Limits: g.limitsOf(s.Subject),
	}, nil
}

// maxPeople is how many people's limits are remembered. Beyond it all begin anew,
// which lets each of them do a second's worth more.
const maxPeople = 10_000

func (g *Gate) limitsOf(subject string) *access.Limits {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.limits[subject]
	if l == nil {
		if len(g.limits) >= maxPeople {
			clear(g.limits)
		}
		l = g.limit()
		g.limits[subject] = l
	}
	return l
}
