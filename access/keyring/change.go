package keyring

import (
	"fmt"
	"slices"
	"time"

	"github.com/daybook-log/daybook/access"
)

// Before is called with a key as it is about to be, once nothing but writing it can
// fail: to record it. With an error nothing is changed. nil: nothing is called.
type Before func(Key) error

func (b Before) call(k Key) error {
	if b == nil {
		return nil
	}
	return b(k)
}

// Create makes a key and returns it with the whole of it, dbk_<id>_<secret>,
// which is nowhere else and cannot be had again. by names who makes it. The error
// is an [*Error] where the spec is at fault, or that of before.
func (k *Keyring) Create(spec Spec, by string, now time.Time, before Before) (Key, string, error) {
	if fault := spec.check(now); fault != nil {
		return Key{}, "", fault
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	keys := k.keys.Load()
	switch {
	case len(keys.byID) == 0 && (spec.Rights&access.Admin == 0 || spec.Tenant != ""):
		return Key{}, "", &Error{"rights", spec.Rights.String(), "must have admin, without a tenant, for the first key: nobody could make another"}
	case len(keys.byID) >= MaxKeys:
		return Key{}, "", &Error{"id", "", fmt.Sprintf("is more than the %d keys that there may be", MaxKeys)}
	case spec.Certificate != "" && keys.named(spec.Certificate, now):
		return Key{}, "", &Error{"certificate", spec.Certificate, "stands for another key; revoke that one first"}
	}
	text, s := newSecret()
	rec := (&record{Key: Key{ID: random(idBytes), Spec: spec, CreatedAt: now.UTC(), CreatedBy: by}, Secrets: []secret{s}}).clone()
	if err := before.call(rec.Key); err != nil {
		return Key{}, "", err
	}
	e, err := k.replace(rec)
	if err != nil {
		return Key{}, "", err
	}
	return e.shown(now), Prefix + rec.ID + "_" + text, nil
}

// Rotate gives a key a new secret. The one that it has opens for overlap longer,
// so that whoever uses it can change over; an older one ends now.
func (k *Keyring) Rotate(id string, overlap time.Duration, now time.Time, before Before) (Key, string, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Key{}, "", &Error{"overlap", overlap.String(), fmt.Sprintf("must be from 0s to %v", MaxOverlap)}
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	rec, err := k.active(id, now)
	if err != nil {
		return Key{}, "", err
	}
	text, s := newSecret()
	at := now.UTC()
	rec.RotatedAt = &at
	secrets := []secret{s}
	if overlap > 0 {
		old, until := rec.Secrets[0], at.Add(overlap)
		old.Until = &until
		secrets = append(secrets, old)
	}
	rec.Secrets = secrets
	if err := before.call(rec.Key); err != nil {
		return Key{}, "", err
	}
	e, err := k.replace(rec)
	if err != nil {
		return Key{}, "", err
	}
	return e.shown(now), Prefix + id + "_" + text, nil
}

// MaxOverlap is the longest that a rotated key's old secret still opens.
const MaxOverlap = 30 * 24 * time.Hour

// Revoke takes a key back for good. To revoke one again changes nothing. The last
// key that can make others is not taken back.
func (k *Keyring) Revoke(id string, now time.Time, before Before) (Key, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	e := k.keys.Load().byID[id]
	switch {
	case e == nil:
		return Key{}, fmt.Errorf("%s: %w", id, ErrNoKey)
	case e.record.RevokedAt != nil:
		return e.shown(now), nil
	case k.lastAdmin(id, now):
		return Key{}, &Error{"id", id, "is the last key that can make others; make another one first"}
	}
	rec := e.record.clone()
	at := now.UTC()
	rec.RevokedAt = &at
	if err := before.call(rec.Key); err != nil {
		return Key{}, err
	}
	e, err := k.replace(rec)
	if err != nil {
		return Key{}, err
	}
	return e.shown(now), nil
}

// active returns a copy of the record of a key that opens. changing is held.
func (k *Keyring) active(id string, now time.Time) (*record, error) {
	e := k.keys.Load().byID[id]
	if e == nil {
		return nil, fmt.Errorf("%s: %w", id, ErrNoKey)
	}
	if state := e.state(now); state != Active {
		return nil, &Error{"id", id, fmt.Sprintf("is %s; make a new key", state)}
	}
	return e.record.clone(), nil
}

// lastAdmin reports whether no other key could make keys for every tenant.
// changing is held.
func (k *Keyring) lastAdmin(id string, now time.Time) bool {
	governs := func(e *entry) bool {
		return e.record.Rights.Has(access.Admin) && e.record.Tenant == "" && e.state(now) == Active
	}
	keys := k.keys.Load().byID
	if !governs(keys[id]) {
		return false
	}
	for other, e := range keys {
		if other != id && governs(e) {
			return false
		}
	}
	return true
}

// Labelled returns those of keys that have every one of the labels, written
// name=value.
func Labelled(keys []Key, labels map[string]string) []Key {
	return slices.DeleteFunc(keys, func(k Key) bool {
		for name, value := range labels {
			if got, ok := k.Labels[name]; !ok || got != value {
				return true
			}
		}
		return false
	})
}
