package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/access"
)

// TestKeyFormat: what is shown once is dbk_<id>_<secret>, and no two are alike.
func TestKeyFormat(t *testing.T) {
	k, _ := newKeyring(t)
	seen := map[string]bool{}
	for range 100 {
		key, whole := create(t, k, Spec{Rights: access.Read}, start)
		if !regexp.MustCompile(`^dbk_[a-z2-7]{16}_[a-z2-7]{52}$`).MatchString(whole) {
			t.Fatalf("%s is no key", whole)
		}
		id, secret, ok := Split(whole)
		if !ok || id != key.ID || seen[id] || seen[secret] {
			t.Fatalf("%s: id %s, secret %s, %v", whole, id, secret, ok)
		}
		seen[id], seen[secret] = true, true
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		key, id, secret string
		ok              bool
	}{
		{"dbk_a_b", "a", "b", true},
		{"dbk_a_b_c", "a", "b_c", true},
		{"dbk_a_", "", "", false},
		{"dbk__b", "", "", false},
		{"dbk_a", "", "", false},
		{"dbv_a_b", "", "", false},
		{"DBK_a_b", "", "", false},
		{" dbk_a_b", "", "", false},
		{"", "", "", false},
	} {
		id, secret, ok := Split(tt.key)
		if ok != tt.ok || ok && (id != tt.id || secret != tt.secret) {
			t.Errorf("%q: %q, %q, %v", tt.key, id, secret, ok)
		}
	}
}

// TestTheSecretIsNowhere: neither in the file, whole or in part, nor in what is
// shown of keys.
func TestTheSecretIsNowhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	k, db := openFile(t, path)
	key, first := create(t, k, Spec{Rights: access.Admin}, start)
	_, second, err := k.Rotate(key.ID, time.Hour, start, nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(k.List("", start))
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []string{first, second} {
		opened(t, k, whole, start)
	}
	if err := k.keep(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(key.ID)) {
		t.Fatal("the file does not even have the key's id")
	}
	for _, whole := range []string{first, second} {
		_, secret, _ := Split(whole)
		raw, err := base32Lower.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"file": file, "list": shown} {
			if bytes.Contains(text, []byte(secret[:20])) || bytes.Contains(text, []byte(secret[32:])) || bytes.Contains(text, raw[:16]) {
				t.Errorf("the secret is in the %s", name)
			}
		}
	}
	if bytes.Contains(shown, []byte("sha256")) {
		t.Errorf("the list has hashes: %s", shown)
	}
}

// TestLookup: what is shown, and what it opens.
func TestLookup(t *testing.T) {
	k, _ := newKeyring(t)
	key, whole := create(t, k, Spec{Name: "billing", Tenant: "acme", Rights: access.Read, Filter: "user_id:ada", Hidden: []string{"source_ip"}, ExpiresAt: in(time.Hour)}, start)
	other, _ := create(t, k, Spec{Rights: access.Read}, start)
	revoked, takenBack := create(t, k, Spec{Rights: access.Read}, start)
	if _, err := k.Revoke(revoked.ID, start, nil); err != nil {
		t.Fatal(err)
	}
	id, secret, _ := Split(whole)
	_, gone, _ := Split(takenBack)
	for _, tt := range []struct {
		name, id, secret string
		after            time.Duration
		want             error
	}{
		{"the key", id, secret, 0, nil},
		{"just before it expires", id, secret, time.Hour - 1, nil},
		{"when it expires", id, secret, time.Hour, ErrExpired},
		{"another's secret", id, gone, 0, ErrUnknown},
		{"its secret with another's id", other.ID, secret, 0, ErrUnknown},
		{"a secret that begins as its own", id, secret[:51], 0, ErrUnknown},
		{"a secret that goes on", id, secret + "a", 0, ErrUnknown},
		{"in capitals", id, strings.ToUpper(secret), 0, ErrUnknown},
		{"its hash", id, string(hash(secret)), 0, ErrUnknown},
		{"no secret", id, "", 0, ErrUnknown},
		{"no id", "", secret, 0, ErrUnknown},
		{"an unknown id", strings.Repeat("a", 16), secret, 0, ErrUnknown},
		{"revoked", revoked.ID, gone, 0, ErrRevoked},
		{"revoked, with a wrong secret", revoked.ID, secret, 0, ErrUnknown},
		{"expired, with a wrong secret", id, gone, 2 * time.Hour, ErrUnknown},
	} {
		g, err := k.Lookup(tt.id, tt.secret, start.Add(tt.after))
		if !errors.Is(err, tt.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: %v, %v; want %v", tt.name, g, err, tt.want)
		}
	}
	g := opened(t, k, whole, start)
	if g.Kind != access.ByKey || g.ID != key.ID || g.Subject != "key:"+key.ID || g.Name != "billing" || g.Rights != access.Read ||
		g.Scope.Tenant != "acme" || !reflect.DeepEqual(g.Scope.Filters, []string{"user_id:ada"}) || !reflect.DeepEqual(g.Scope.Hidden.Names(), []string{"source_ip"}) ||
		!g.Expires.Equal(*key.ExpiresAt) || g.Limits == nil || hasEnded(g) {
		t.Errorf("grant %+v of key %+v", g, key)
	}
	if again := opened(t, k, whole, start); again != g {
		t.Error("a key opens another grant each time")
	}
}

func TestList(t *testing.T) {
	k, admin := newKeyring(t)
	labels := map[string]string{"team": "core", "env": "prod"}
	key, whole := create(t, k, Spec{Rights: access.Read, Labels: labels, ExpiresAt: in(time.Hour)}, start.Add(time.Minute))
	labels["team"] = "changed by who made it"
	ids := func(prefix string) (list []string) {
		for _, k := range k.List(prefix, start.Add(2*time.Minute)) {
			list = append(list, k.ID)
		}
		return list
	}
	all := []string{admin.ID, key.ID} // the oldest first
	for _, tt := range []struct {
		prefix string
		want   []string
	}{
		{"", all},
		{"dbk_", all},
		{key.ID, all[1:]},
		{key.ID[:14], all[1:]},
		{"dbk_" + key.ID[:14], all[1:]},
		{"dbk_" + key.ID + "_", all[1:]},
		{whole, all[1:]},
		{key.ID + "a", nil},
		{"nosuch0", nil},
		{key.ID[1:], nil},
	} {
		if got := ids(tt.prefix); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q lists %v, want %v", tt.prefix, got, tt.want)
		}
	}
	got, err := k.Get(key.ID, start.Add(2*time.Hour))
	if err != nil || got.State != Expired || got.CreatedBy != "tester" || got.Labels["team"] != "core" || !got.CreatedAt.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := k.Get("nosuch", start); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key that is none: %v", err)
	}
	for _, tt := range []struct {
		labels map[string]string
		want   int
	}{{nil, 2}, {map[string]string{"env": "prod"}, 1}, {map[string]string{"env": "prod", "team": "core"}, 1}, {map[string]string{"env": "dev"}, 0}, {map[string]string{"none": ""}, 0}} {
		if got := Labelled(k.List("", start), tt.labels); len(got) != tt.want {
			t.Errorf("labelled %v are %d", tt.labels, len(got))
		}
	}
}

// TestKeptOverReopening: keys, their state and when they were used.
func TestKeptOverReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	k, db := openFile(t, path)
	create(t, k, Spec{Rights: access.Admin}, start)
	key, _ := create(t, k, Spec{Rights: access.Read, Filter: "user_id:ada", Labels: map[string]string{"a": "b"}}, start)
	_, unused := create(t, k, Spec{Rights: access.Read}, start)
	rotated, second, err := k.Rotate(key.ID, 0, start.Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, _ := create(t, k, Spec{Rights: access.Read}, start)
	if _, err := k.Revoke(gone.ID, start, nil); err != nil {
		t.Fatal(err)
	}
	if rotated.LastUsedAt != nil {
		t.Errorf("a key that was not used was used %v", rotated.LastUsedAt)
	}
	used := start.Add(2 * time.Hour)
	opened(t, k, second, used)
	if err := k.keep(); err != nil {
		t.Fatal(err)
	}
	// A change after it was written must not put back what was written before.
	rotated, third, err := k.Rotate(key.ID, time.Hour, start.Add(3*time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := start.Add(3 * time.Hour)
	before := k.List("", now)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	k, _ = openFile(t, path)
	if after := k.List("", now); !reflect.DeepEqual(after, before) {
		t.Errorf("reopened:\n%+v\nwere\n%+v", after, before)
	}
	if got, _ := k.Get(key.ID, now); got.LastUsedAt == nil || !got.LastUsedAt.Equal(used) {
		t.Errorf("used last %v, was %v", got.LastUsedAt, used)
	}
	for _, whole := range []string{second, third, unused} {
		opened(t, k, whole, now)
	}
	if _, err := lookUp(t, k, second, now.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("the rotated secret opens for longer once it is reopened: %v", err)
	}
	select {
	case <-k.Keyed():
	default:
		t.Error("a keyring that has keys is not keyed")
	}
}

// TestRunWritesLastUse: every minute, and at the end.
func TestRunWritesLastUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	k, db := openFile(t, path)
	synctest.Test(t, func(t *testing.T) {
		key, whole := create(t, k, Spec{Rights: access.Admin}, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		kept := func() *time.Time {
			records, err := k.bucket.All()
			if err != nil {
				t.Fatal(err)
			}
			return records[key.ID].LastUsedAt
		}
		time.Sleep(10 * time.Second)
		opened(t, k, whole, time.Now())
		at := time.Now().Truncate(time.Second)
		if kept() != nil {
			t.Error("each use is written")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := kept(); got == nil || !got.Equal(at) {
			t.Errorf("after a minute %v is written, want %v", got, at)
		}
		opened(t, k, whole, time.Now())
		at = time.Now().Truncate(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := kept(); !got.Equal(at) {
			t.Errorf("at the end %v is written, want %v", got, at)
		}
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRunGoesOnWhenNothingCanBeWritten: what expires is ended nevertheless.
func TestRunGoesOnWhenNothingCanBeWritten(t *testing.T) {
	k, db := openFile(t, filepath.Join(t.TempDir(), "state.db"))
	synctest.Test(t, func(t *testing.T) {
		create(t, k, Spec{Rights: access.Admin}, time.Now())
		expires := time.Now().Add(5 * time.Minute)
		_, whole := create(t, k, Spec{Rights: access.Read, ExpiresAt: &expires}, time.Now())
		g := opened(t, k, whole, time.Now())
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		if !hasEnded(g) {
			t.Error("what has expired is open")
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("what could not be written is no error at the end")
		}
	})
}

// TestEndedWithinASecondOfExpiry: of keys, and of secrets that were rotated.
func TestEndedWithinASecondOfExpiry(t *testing.T) {
	k, _ := openFile(t, filepath.Join(t.TempDir(), "state.db"))
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		expires := now.Add(10*time.Second + 300*time.Millisecond)
		create(t, k, Spec{Rights: access.Admin}, now)
		_, whole := create(t, k, Spec{Rights: access.Read, ExpiresAt: &expires}, now)
		rotated, old := create(t, k, Spec{Rights: access.Read}, now)
		expiring, overlapping := opened(t, k, whole, now), opened(t, k, old, now)
		_, fresh, err := k.Rotate(rotated.ID, 20*time.Second, now, nil)
		if err != nil {
			t.Fatal(err)
		}
		going := opened(t, k, fresh, now)
		go k.Run(t.Context())
		for _, step := range []struct {
			at    time.Duration
			ended [3]bool
		}{
			{10 * time.Second, [3]bool{false, false, false}},
			{11300 * time.Millisecond, [3]bool{true, false, false}},
			{19900 * time.Millisecond, [3]bool{true, false, false}},
			{21 * time.Second, [3]bool{true, true, false}},
			{time.Hour, [3]bool{true, true, false}},
		} {
			time.Sleep(time.Until(now.Add(step.at)))
			synctest.Wait()
			if got := [3]bool{hasEnded(expiring), hasEnded(overlapping), hasEnded(going)}; got != step.ended {
				t.Errorf("after %v ended are %v, want %v", step.at, got, step.ended)
			}
		}
	})
}

// TestLookupsWhileKeysChange is for the race detector; and what is revoked opens
// nothing from the moment Revoke returns.
func TestLookupsWhileKeysChange(t *testing.T) {
	k, _ := newKeyring(t)
	key, whole := create(t, k, Spec{Rights: access.Read, Certificate: "cn:a", ExpiresAt: in(1000 * time.Hour)}, start)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			id, secret, _ := Split(whole)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				now := start.Add(time.Duration(i) * time.Second / 10)
				if g, err := k.Lookup(id, secret, now); err == nil {
					g.Alive(now)
					k.Current(id, k.Mark(g), now)
				}
				k.ByCertificate([]string{"cn:a"}, now)
				k.List(id[:4], now)
				k.Empty()
			}
		})
	}
	for range 5 {
		other, secret := create(t, k, Spec{Rights: access.Read}, start)
		if _, _, err := k.Rotate(key.ID, time.Hour, start, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Revoke(other.ID, start, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := lookUp(t, k, secret, start); !errors.Is(err, ErrRevoked) {
			t.Errorf("right after Revoke: %v", err)
		}
		k.sweep(start)
		if err := k.keep(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	all.Wait()
}
