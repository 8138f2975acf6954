// Package keyring keeps API keys: it makes them, finds the one that a request
// shows, and takes them back.
//
// A key is dbk_<id>_<secret>, both parts random and in base32. It is shown once,
// when it is made; what is kept is the SHA-256 of its secret. Keys are kept in a
// bucket of package state and, whole, in memory: to find one costs a map lookup, a
// hash and a comparison in constant time (BenchmarkLookup), and takes no lock.
//
// A change is durable before it holds, and holds before the call returns: a key
// that was revoked opens nothing from then on, and [access.Grant.Ended] of what it
// has open is closed.
//
// A key stays in the list when it has expired or was revoked, so that its id in
// the log can be told whose it was.
package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/internal/state"
)

// Errors of a key that is shown. What is said to who shows it should not tell
// the first from a key that never was.
var (
	ErrUnknown = errors.New("there is no such key")
	ErrRevoked = errors.New("the key was revoked")
	ErrExpired = errors.New("the key has expired")
)

// ErrNoKey says that there is no key with an id.
var ErrNoKey = errors.New("no such key")

// MaxKeys is how many keys there may be, those included that open nothing.
const MaxKeys = 100_000

// Keyring is every key there is. It is safe for concurrent use.
type Keyring struct {
	bucket state.Bucket[record]
	keys   atomic.Pointer[ring]
	keyed  chan struct{} // closed when there is a key

	changing sync.Mutex // held while keys change, or what they were used for is written
}

// ring is the keys at one time. It is not changed but for the entries' times of
// use.
type ring struct {
	byID   map[string]*entry
	byName map[string]*entry // by the name of a client certificate; the newest that was not revoked
}

// entry is one key in memory.
type entry struct {
	record *record
	limits *access.Limits
	opens  []opening
	used   *atomic.Int64 // when the key was used last, seconds since 1970
	kept   int64         // what of that is in the file; guarded by Keyring.changing
}

// opening is one secret of a key, and the grant that it opens.
type opening struct {
	secret secret
	grant  *access.Grant
	ended  chan struct{}
}

// Open reads the keys.
func Open(db *state.DB) (*Keyring, error) {
	k := &Keyring{bucket: state.NewBucket[record](db, "keys"), keyed: make(chan struct{})}
	records, err := k.bucket.All()
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	r := &ring{byID: map[string]*entry{}}
	for _, rec := range records {
		if r.byID[rec.ID], err = newEntry(&rec, nil); err != nil {
			return nil, fmt.Errorf("key %s: %w", rec.ID, err)
		}
	}
	k.publish(r)
	if len(records) > 0 {
		close(k.keyed)
	}
	return k, nil
}

// Keyed returns a channel that is closed once there is a key: what was open to
// everybody until then is not any more.
func (k *Keyring) Keyed() <-chan struct{} { return k.keyed }

// newEntry makes the entry of a record. It takes over from the one before what
// outlives a change: counters, and the grants of secrets that stay.
func newEntry(rec *record, before *entry) (*entry, error) {
	e := &entry{record: rec}
	if before != nil {
		e.limits, e.used, e.kept = before.limits, before.used, before.kept
	} else {
		e.limits, e.used = access.NewLimits(rec.EventsPerSecond, rec.QueriesAtOnce), new(atomic.Int64)
		if rec.LastUsedAt != nil {
			e.kept = rec.LastUsedAt.Unix()
			e.used.Store(e.kept)
		}
	}
	if rec.RevokedAt != nil {
		return e, nil
	}
	for _, s := range rec.Secrets {
		ended := make(chan struct{})
		if before != nil {
			for _, o := range before.opens {
				if string(o.secret.Hash) == string(s.Hash) {
					ended = o.ended // what it has open goes on
				}
			}
		}
		g, err := rec.grant(&s, e.limits, ended)
		if err != nil {
			return nil, err
		}
		e.opens = append(e.opens, opening{s, g, ended})
	}
	return e, nil
}

// publish makes r what is looked up in.
func (k *Keyring) publish(r *ring) {
	r.byName = map[string]*entry{}
	for _, e := range r.byID {
		name := e.record.Certificate
		if name == "" || len(e.opens) == 0 {
			continue
		}
		// Of two, the older had expired when the newer was made.
		if other := r.byName[name]; other == nil || other.record.CreatedAt.Before(e.record.CreatedAt) {
			r.byName[name] = e
		}
	}
	k.keys.Store(r)
}

// named reports whether the name of a certificate stands for a key that opens.
func (r *ring) named(certificate string, now time.Time) bool {
	e := r.byName[certificate]
	return e != nil && e.state(now) == Active
}

// Empty reports whether no key was ever made.
func (k *Keyring) Empty() bool { return len(k.keys.Load().byID) == 0 }

// noSecret is compared with when there is no key, so that it takes as long.
var noSecret = secret{Hash: make([]byte, sha256.Size)}

// Lookup returns the grant that a key opens: its id and its secret, as in
// dbk_<id>_<secret>. The error is ErrUnknown, or for who has the secret
// ErrRevoked or ErrExpired.
func (k *Keyring) Lookup(id, secret string, now time.Time) (*access.Grant, error) {
	sum := sha256.Sum256([]byte(secret))
	e := k.keys.Load().byID[id]
	if e == nil {
		noSecret.matches(&sum)
		return nil, ErrUnknown
	}
	for i := range e.opens {
		if o := &e.opens[i]; o.secret.matches(&sum) {
			return e.open(o, now)
		}
	}
	for i := range e.record.Secrets {
		if e.record.RevokedAt != nil && e.record.Secrets[i].matches(&sum) {
			return nil, ErrRevoked
		}
	}
	return nil, ErrUnknown
}

func (e *entry) open(o *opening, now time.Time) (*access.Grant, error) {
	if !o.grant.Alive(now) {
		return nil, ErrExpired
	}
	if s := now.Unix(); e.used.Load() != s { // not for every request: the line is shared
		e.used.Store(s)
	}
	return o.grant, nil
}

// ByCertificate returns the grant of the key that one of the names of a verified
// client certificate stands for.
func (k *Keyring) ByCertificate(names []string, now time.Time) (*access.Grant, error) {
	r := k.keys.Load()
	for _, name := range names {
		if e := r.byName[name]; e != nil {
			g, err := e.open(&e.opens[0], now)
			if err != nil {
				return nil, err
			}
			byCertificate := *g
			byCertificate.Kind = access.Certificate
			return &byCertificate, nil
		}
	}
	return nil, ErrUnknown
}

// Current returns what a key opens now without its secret being shown: for
// tokens and sessions that were given to who had shown it. mark is the
// [Keyring.Mark] of the secret that was shown.
func (k *Keyring) Current(id, mark string, now time.Time) (*access.Grant, error) {
	e := k.keys.Load().byID[id]
	switch {
	case e == nil:
		return nil, ErrUnknown
	case e.record.RevokedAt != nil:
		return nil, ErrRevoked
	}
	for i := range e.opens {
		if o := &e.opens[i]; o.secret.mark() == mark {
			return e.open(o, now)
		}
	}
	return nil, ErrExpired // it was rotated
}

// Mark names the secret that opened a grant without giving it away.
func (k *Keyring) Mark(g *access.Grant) string {
	if e := k.keys.Load().byID[g.ID]; e != nil {
		for i := range e.opens {
			if e.opens[i].ended == g.Ended {
				return e.opens[i].secret.mark()
			}
		}
	}
	return ""
}

func (s *secret) mark() string { return base32Lower.EncodeToString(s.Hash[:5]) }

// List returns the keys whose id begins with a prefix (dbk_ before it is passed
// over), the oldest first.
func (k *Keyring) List(prefix string, now time.Time) []Key {
	prefix = strings.TrimPrefix(prefix, Prefix)
	prefix, _, _ = strings.Cut(prefix, "_") // of a whole key, what is not secret
	var keys []Key
	for id, e := range k.keys.Load().byID {
		if strings.HasPrefix(id, prefix) {
			keys = append(keys, e.shown(now))
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys
}

// Get returns one key, or ErrNoKey.
func (k *Keyring) Get(id string, now time.Time) (Key, error) {
	e := k.keys.Load().byID[id]
	if e == nil {
		return Key{}, fmt.Errorf("%s: %w", id, ErrNoKey)
	}
	return e.shown(now), nil
}

// shown returns the key as it stands.
func (e *entry) shown(now time.Time) Key {
	key := e.record.Key
	key.State, key.LastUsedAt = e.state(now), usedAt(e.used.Load())
	return key
}

// state returns how the key stands.
func (e *entry) state(now time.Time) State {
	switch {
	case e.record.RevokedAt != nil:
		return Revoked
	case e.record.ExpiresAt != nil && !now.Before(*e.record.ExpiresAt):
		return Expired
	}
	return Active
}

// States returns how many keys stand how.
func (k *Keyring) States(now time.Time) map[State]int {
	states := map[State]int{}
	for _, e := range k.keys.Load().byID {
		states[e.state(now)]++
	}
	return states
}

// usedAt returns a time of use as it is shown; nil: never.
func usedAt(seconds int64) *time.Time {
	if seconds <= 0 {
		return nil
	}
	at := time.Unix(seconds, 0).UTC()
	return &at
}

// sweepEvery is how often what has expired is ended, and keepEvery how often the
// times of use are written: a crash forgets as much.
const (
	sweepEvery = 500 * time.Millisecond
	keepEvery  = time.Minute
)

// Run ends what has open what has expired, and writes down now and then when keys
// were used. When that fails it is tried again, and only the last time is an error: a
// full disk must not keep what has expired open.
func (k *Keyring) Run(ctx context.Context) error {
	sweep, keep := time.NewTicker(sweepEvery), time.NewTicker(keepEvery)
	defer sweep.Stop()
	defer keep.Stop()
	for {
		select {
		case <-ctx.Done():
			return k.keep()
		case now := <-sweep.C:
			k.sweep(now)
		case <-keep.C:
			_ = k.keep() // tried again in a minute, and at the end
		}
	}
}

// sweep ends the grants that have expired.
func (k *Keyring) sweep(now time.Time) {
	k.changing.Lock()
	defer k.changing.Unlock()
	for _, e := range k.keys.Load().byID {
		for _, o := range e.opens {
			if until := o.grant.Expires; !until.IsZero() && !now.Before(until) {
				end(o.ended)
			}
		}
	}
}

// end closes a channel that nobody else closes meanwhile, if it is open.
func end(ended chan struct{}) {
	select {
	case <-ended:
	default:
		close(ended)
	}
}

// keep writes when keys were used.
func (k *Keyring) keep() error {
	k.changing.Lock()
	defer k.changing.Unlock()
	changed, kept := map[string]record{}, map[*entry]int64{}
	for id, e := range k.keys.Load().byID {
		if used := e.used.Load(); used != e.kept {
			rec := e.record.clone()
			rec.LastUsedAt = usedAt(used)
			changed[id], kept[e] = *rec, used
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := k.bucket.Put(changed); err != nil {
		return fmt.Errorf("write when keys were used: %w", err)
	}
	for e, used := range kept {
		e.kept = used
	}
	return nil
}

// replace makes rec a key's record, durably. changing is held.
func (k *Keyring) replace(rec *record) (*entry, error) {
	r := k.keys.Load()
	before := r.byID[rec.ID]
	e, err := newEntry(rec, before)
	if err != nil {
		return nil, err
	}
	used := e.used.Load()
	rec.LastUsedAt = usedAt(used) // else a change would put back the one of the start
	if err := k.bucket.Put(map[string]record{rec.ID: *rec}); err != nil {
		return nil, fmt.Errorf("write key %s: %w", rec.ID, err)
	}
	e.kept = used
	next := &ring{byID: maps.Clone(r.byID)}
	next.byID[rec.ID] = e
	k.publish(next)
	end(k.keyed)
	if before != nil {
		for _, o := range before.opens {
			if !slices.ContainsFunc(e.opens, func(n opening) bool { return n.ended == o.ended }) {
				end(o.ended)
			}
		}
	}
	return e, nil
}
