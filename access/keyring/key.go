package keyring

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/access"
)

// Prefix begins every API key, so that scanners for leaked secrets know one.
const Prefix = "dbk_"

// Lengths of the two parts of a key, in bytes before they are written in base32.
const (
	idBytes     = 10 // 16 characters
	secretBytes = 32 // 52 characters
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return base32Lower.EncodeToString(b)
}

// State is how a key stands.
type State string

// The states of a key.
const (
	Active  State = "active"
	Expired State = "expired"
	Revoked State = "revoked"
)

// Spec is what a key is to be.
type Spec struct {
	Name   string        `json:"name"`             // what it is for, for people
	Tenant string        `json:"tenant,omitempty"` // "": every tenant
	Rights access.Rights `json:"rights"`

	// Filter and Hidden narrow what a key with the right to read sees.
	Filter string   `json:"filter,omitempty"`
	Hidden []string `json:"hidden,omitempty"`

	Labels map[string]string `json:"labels,omitempty"` // as their owner likes, at most MaxLabels

	// Certificate is a name of a client certificate that stands for this key,
	// such as uri:spiffe://prod/billing, dns:…, email:… or cn:…; "": none does.
	Certificate string `json:"certificate,omitempty"`

	ExpiresAt       *time.Time `json:"expires_at,omitempty"`        // nil: never
	EventsPerSecond int        `json:"events_per_second,omitempty"` // 0: no bound
	QueriesAtOnce   int        `json:"queries_at_once,omitempty"`   // 0: no bound
}

// Key is a key as it is shown: everything but its secret. What it points to is
// shared, and not to be changed.
type Key struct {
	ID string `json:"id"`
	Spec
	State      State      `json:"state"`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	RotatedAt  *time.Time `json:"rotated_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// Limits of a [Spec].
const (
	MaxName     = 128 // bytes of a name, a tenant and a label
	MaxLabels   = 32
	MaxHidden   = 64
	MaxSelector = 512 // bytes of a hidden field and of a certificate's name
)

// Error says what is wrong with a request to make or change a key.
type Error struct {
	Field  string // of a [Spec], or "id"
	Value  string
	Reason string
}

func (e *Error) Error() string { return e.Field + " " + e.Reason }

// check returns the first thing that is wrong with s.
func (s *Spec) check(now time.Time) *Error {
	bad := func(field, value, format string, args ...any) *Error {
		return &Error{field, value, fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Name == "" || len(s.Name) > MaxName:
		return bad("name", s.Name, "must say what the key is for, in 1 to %d bytes", MaxName)
	case len(s.Tenant) > MaxName:
		return bad("tenant", s.Tenant, "is longer than the %d bytes that a tenant's name has at most", MaxName)
	}
	switch access.Fit(s.Rights, s.Tenant, s.Filter != "" || len(s.Hidden) > 0) {
	case access.NoRights:
		return bad("rights", "", "must be some of write, read, admin, metrics")
	case access.OwnTenant:
		return bad("tenant", s.Tenant, "is Daybook's own; a key of it can have the right to read and no other")
	case access.MetricsOfTenant:
		return bad("rights", s.Rights.String(), "has metrics, which are of the whole server; a key with them is of no tenant")
	case access.AdminNarrowed:
		return bad("filter", s.Filter, "and hidden do not go with the right admin: who makes keys could make one that sees everything")
	case access.UnreadNarrowed:
		return bad("filter", s.Filter, "and hidden narrow what is read; the key does not have the right to read")
	}
	switch {
	case len(s.Hidden) > MaxHidden:
		return bad("hidden", "", "names %d fields; at most %d", len(s.Hidden), MaxHidden)
	case len(s.Labels) > MaxLabels:
		return bad("labels", "", "are %d; at most %d", len(s.Labels), MaxLabels)
	case s.ExpiresAt != nil && !s.ExpiresAt.After(now):
		return bad("expires_at", s.ExpiresAt.Format(time.RFC3339), "must lie in the future")
	case s.EventsPerSecond < 0 || s.QueriesAtOnce < 0:
		return bad("events_per_second", "", "and queries_at_once must be 0, for no bound, or more")
	}
	if field, value := s.notText(); field != "" {
		return bad(field, value, "is not valid UTF-8")
	}
	for k, v := range s.Labels {
		if k == "" || len(k) > MaxName || len(v) > MaxName {
			return bad("labels", k, "has a label longer than %d bytes, or without a name", MaxName)
		}
	}
	if kind, name, _ := strings.Cut(s.Certificate, ":"); s.Certificate != "" && (name == "" || !slices.Contains([]string{"uri", "dns", "email", "cn"}, kind)) {
		return bad("certificate", s.Certificate, "must be a name of a client certificate: uri:…, dns:…, email:… or cn:…")
	}
	if len(s.Certificate) > MaxSelector {
		return bad("certificate", s.Certificate, "is longer than %d bytes", MaxSelector)
	}
	for _, name := range s.Hidden {
		if len(name) > MaxSelector {
			return bad("hidden", name, "names a field in more than %d bytes", MaxSelector)
		}
	}
	scope, err := s.scope()
	if err != nil {
		return bad("hidden", strings.Join(s.Hidden, ","), "cannot be read: %v", err)
	}
	if _, err := scope.Predicate(now); err != nil {
		return bad("filter", s.Filter, "cannot be read: %v", err)
	}
	return nil
}

// notText returns a field of s that is not UTF-8: it would be another one once it was
// kept as JSON and read again.
func (s *Spec) notText() (field, value string) {
	texts := map[string][]string{"name": {s.Name}, "tenant": {s.Tenant}, "certificate": {s.Certificate}, "filter": {s.Filter}, "hidden": s.Hidden}
	for k, v := range s.Labels {
		texts["labels"] = append(texts["labels"], k, v)
	}
	for field, values := range texts {
		for _, v := range values {
			if !utf8.ValidString(v) {
				return field, v
			}
		}
	}
	return "", ""
}

func (s *Spec) scope() (access.Scope, error) { return access.NewScope(s.Tenant, s.Filter, s.Hidden) }

// record is a key as it is kept.
type record struct {
	Key
	Secrets []secret `json:"secrets"` // the newest first; two while a rotation overlaps
}

// secret is one secret of a key: its hash, and until when it opens.
//
// SHA-256 without salt or stretching is enough, because a secret is 32 random
// bytes: there is no list of likely ones to try.
type secret struct {
	Hash  []byte     `json:"sha256"`
	Until *time.Time `json:"until,omitempty"` // nil: as long as the key
}

func newSecret() (text string, s secret) {
	text = random(secretBytes)
	return text, secret{Hash: hash(text)}
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// matches compares in constant time.
func (s *secret) matches(sum *[sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(s.Hash, sum[:]) == 1
}

// clone returns a copy that shares nothing with r.
func (r *record) clone() *record {
	c := *r
	c.Secrets = slices.Clone(r.Secrets)
	c.Labels, c.Hidden = maps.Clone(r.Labels), slices.Clone(r.Hidden)
	for _, p := range []**time.Time{&c.ExpiresAt, &c.RotatedAt, &c.RevokedAt, &c.LastUsedAt} {
		if *p != nil {
			at := **p
			*p = &at
		}
	}
	return &c
}

// expires returns until when a secret opens; zero: for ever.
func (r *record) expires(s *secret) time.Time {
	var until time.Time
	for _, t := range []*time.Time{r.ExpiresAt, s.Until} {
		if t != nil && (until.IsZero() || t.Before(until)) {
			until = *t
		}
	}
	return until
}

// grant returns the grant of who shows a secret of r.
func (r *record) grant(s *secret, limits *access.Limits, ended <-chan struct{}) (*access.Grant, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	return &access.Grant{
		Kind: access.ByKey, ID: r.ID, Subject: "key:" + r.ID, Name: r.Name, Rights: r.Rights, Scope: scope,
		Expires: r.expires(s), Ended: ended, Limits: limits,
	}, nil
}

// Split takes a key apart.
func Split(key string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(key, Prefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && id != "" && secret != ""
}
