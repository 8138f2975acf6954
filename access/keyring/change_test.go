package keyring

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
)

// TestSpecs is the table of what a key can be, and why else not.
func TestSpecs(t *testing.T) {
	k, _ := newKeyring(t)
	create(t, k, Spec{Rights: access.Write, Certificate: "dns:taken.example"}, start)
	long := strings.Repeat("x", MaxName)
	many := func(n int, format string) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf(format, i))
		}
		return names
	}
	labels := func(n int) map[string]string {
		m := map[string]string{}
		for _, name := range many(n, "l%d") {
			m[name] = "v"
		}
		return m
	}
	for _, tt := range []struct {
		spec   Spec
		refuse string // field and a part of the reason; "": it is made
	}{
		{Spec{Rights: access.Write | access.Read | access.Metrics}, ""},
		{Spec{Name: long, Tenant: long, Rights: access.Read, Labels: map[string]string{long: long}}, ""},
		{Spec{Name: long + "x", Rights: access.Read}, "name must say what the key is for, in 1 to 128 bytes"},
		{Spec{Name: "\xff", Rights: access.Read}, "name is not valid UTF-8"},
		{Spec{Tenant: long + "x", Rights: access.Read}, "tenant is longer than the 128 bytes"},
		{Spec{Tenant: "a\xff", Rights: access.Read}, "tenant is not valid UTF-8"},
		{Spec{}, "rights must be some of write, read, admin, metrics"},
		{Spec{Tenant: "_daybook", Rights: access.Read}, ""},
		{Spec{Tenant: "_daybook", Rights: access.Read | access.Write}, "tenant is Daybook's own"},
		{Spec{Tenant: "_daybook", Rights: access.Admin}, "tenant is Daybook's own"},
		{Spec{Tenant: "_other", Rights: access.Write}, "tenant is Daybook's own"},
		{Spec{Tenant: "acme", Rights: access.Admin}, ""},
		{Spec{Tenant: "acme", Rights: access.Metrics}, "rights has metrics, which are of the whole server"},
		{Spec{Rights: access.Metrics}, ""},
		{Spec{Rights: access.Read, Filter: "resource:billing/*", Hidden: []string{"source_ip", "metadata.ssn"}}, ""},
		{Spec{Rights: access.Read | access.Write, Filter: "timestamp:>-30d"}, ""},
		{Spec{Rights: access.Read, Filter: "nosuch:1"}, "filter cannot be read: "},
		{Spec{Rights: access.Read, Filter: "(a"}, "filter cannot be read: "},
		{Spec{Rights: access.Admin, Filter: "*"}, "filter and hidden do not go with the right admin"},
		{Spec{Rights: access.Admin | access.Read, Hidden: []string{"source_ip"}}, "filter and hidden do not go with the right admin"},
		{Spec{Rights: access.Write, Filter: "*"}, "filter and hidden narrow what is read"},
		{Spec{Rights: access.Read, Hidden: []string{"tenant_id"}}, "hidden cannot be read: "},
		{Spec{Rights: access.Read, Hidden: []string{"nosuch"}}, "hidden cannot be read: "},
		{Spec{Rights: access.Read, Hidden: many(MaxHidden, "metadata.m%d")}, ""},
		{Spec{Rights: access.Read, Hidden: many(MaxHidden+1, "metadata.m%d")}, "hidden names 65 fields; at most 64"},
		{Spec{Rights: access.Read, Hidden: []string{"metadata." + strings.Repeat("a", MaxSelector)}}, "hidden names a field in more than 512 bytes"},
		{Spec{Rights: access.Read, Certificate: "cn:" + strings.Repeat("a", MaxSelector)}, "certificate is longer than 512 bytes"},
		{Spec{Rights: access.Read, Labels: labels(MaxLabels)}, ""},
		{Spec{Rights: access.Read, Labels: labels(MaxLabels + 1)}, "labels are 33; at most 32"},
		{Spec{Rights: access.Read, Labels: map[string]string{"": "v"}}, "labels has a label longer than 128 bytes, or without a name"},
		{Spec{Rights: access.Read, Labels: map[string]string{"k": long + "x"}}, "labels has a label longer"},
		{Spec{Rights: access.Read, Labels: map[string]string{"k": "\xc3"}}, "labels is not valid UTF-8"},
		{Spec{Rights: access.Read, ExpiresAt: in(1)}, ""},
		{Spec{Rights: access.Read, ExpiresAt: in(0)}, "expires_at must lie in the future"},
		{Spec{Rights: access.Read, ExpiresAt: in(-time.Hour)}, "expires_at must lie in the future"},
		{Spec{Rights: access.Write, EventsPerSecond: 1, QueriesAtOnce: 1}, ""},
		{Spec{Rights: access.Write, EventsPerSecond: -1}, "events_per_second and queries_at_once must be 0"},
		{Spec{Rights: access.Write, QueriesAtOnce: -1}, "events_per_second and queries_at_once must be 0"},
		{Spec{Rights: access.Write, Certificate: "uri:spiffe://prod/billing"}, ""},
		{Spec{Rights: access.Write, Certificate: "dns:taken.example"}, "certificate stands for another key"},
		{Spec{Rights: access.Write, Certificate: "dns:"}, "certificate must be a name of a client certificate: uri:…, dns:…, email:… or cn:…"},
		{Spec{Rights: access.Write, Certificate: "ip:10.0.0.1"}, "certificate must be a name"},
		{Spec{Rights: access.Write, Certificate: "example.com"}, "certificate must be a name"},
	} {
		if tt.spec.Name == "" {
			tt.spec.Name = "n"
		}
		before := len(k.List("", start))
		_, whole, err := k.Create(tt.spec, "tester", start, nil)
		if tt.refuse == "" {
			if err != nil {
				t.Errorf("%+v: %v", tt.spec, err)
			}
			continue
		}
		fault, ok := errors.AsType[*Error](err)
		if !ok || !strings.HasPrefix(fault.Error(), tt.refuse) || whole != "" || len(k.List("", start)) != before {
			t.Errorf("%+v: %v, want %s", tt.spec, err, tt.refuse)
		}
	}
	if _, _, err := k.Create(Spec{Rights: access.Read}, "tester", start, nil); err == nil {
		t.Error("a key without a name is made")
	}
}

// TestFirstKey: it must be able to make others, of every tenant.
func TestFirstKey(t *testing.T) {
	k, _ := openFile(t, filepath.Join(t.TempDir(), "state.db"))
	for _, spec := range []Spec{
		{Rights: access.Write | access.Read | access.Metrics},
		{Rights: access.Admin, Tenant: "acme"},
	} {
		spec.Name = "first"
		if _, _, err := k.Create(spec, "tester", start, nil); err == nil || !strings.Contains(err.Error(), "must have admin, without a tenant, for the first key") {
			t.Errorf("%+v as the first key: %v", spec, err)
		}
	}
	select {
	case <-k.Keyed():
		t.Error("keyed without a key")
	default:
	}
	if !k.Empty() {
		t.Error("not empty without a key")
	}
	create(t, k, Spec{Rights: access.Admin}, start)
	<-k.Keyed()
	if k.Empty() {
		t.Error("empty with a key")
	}
	create(t, k, Spec{Rights: access.Read}, start) // does not close it again
}

func TestLastAdmin(t *testing.T) {
	k, first := newKeyring(t)
	create(t, k, Spec{Rights: access.Admin, Tenant: "acme"}, start)
	create(t, k, Spec{Rights: access.Admin, ExpiresAt: in(time.Hour)}, start)
	late := start.Add(time.Hour)
	refused := func() {
		t.Helper()
		_, err := k.Revoke(first.ID, late, nil)
		if fault, ok := errors.AsType[*Error](err); !ok || fault.Field != "id" {
			t.Errorf("the last admin is revoked: %v", err)
		}
	}
	refused() // the others are of a tenant, or have expired
	second, _ := create(t, k, Spec{Rights: access.Admin | access.Read}, late)
	if _, err := k.Revoke(second.ID, late, nil); err != nil {
		t.Errorf("one of two admins: %v", err)
	}
	refused()
	create(t, k, Spec{Rights: access.Admin}, late)
	if key, err := k.Revoke(first.ID, late, nil); err != nil || key.State != Revoked || !key.RevokedAt.Equal(late) {
		t.Errorf("another is there: %+v, %v", key, err)
	}
	called := false
	if key, err := k.Revoke(first.ID, late.Add(time.Hour), func(Key) error { called = true; return nil }); err != nil || !key.RevokedAt.Equal(late) || called {
		t.Errorf("revoked again: %+v, %v, recorded %v", key, err, called)
	}
	if _, err := k.Revoke("nosuch", late, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestRevokeEndsWhatIsOpen(t *testing.T) {
	k, _ := newKeyring(t)
	key, old := create(t, k, Spec{Rights: access.Read}, start)
	first := opened(t, k, old, start)
	_, fresh, err := k.Rotate(key.ID, time.Hour, start, nil)
	if err != nil {
		t.Fatal(err)
	}
	second := opened(t, k, fresh, start)
	if hasEnded(first) || hasEnded(second) {
		t.Fatal("ended before it was revoked")
	}
	if _, err := k.Revoke(key.ID, start, nil); err != nil {
		t.Fatal(err)
	}
	if !hasEnded(first) || !hasEnded(second) || first.Alive(start) {
		t.Error("open after it was revoked")
	}
	for _, whole := range []string{old, fresh} {
		if _, err := lookUp(t, k, whole, start); !errors.Is(err, ErrRevoked) {
			t.Errorf("opens: %v", err)
		}
	}
}

// TestRotate: the old secret opens as long as the overlap says, the new one at once.
func TestRotate(t *testing.T) {
	k, _ := newKeyring(t)
	key, first := create(t, k, Spec{Rights: access.Read, EventsPerSecond: 10}, start)
	openFirst := opened(t, k, first, start)
	rotated, second, err := k.Rotate(key.ID, time.Hour, start, nil)
	if err != nil || rotated.ID != key.ID || !rotated.RotatedAt.Equal(start) || !strings.HasPrefix(second, Prefix+key.ID+"_") || second == first {
		t.Fatalf("%+v, %s, %v", rotated, second, err)
	}
	openSecond := opened(t, k, second, start)
	if g := opened(t, k, first, start); !g.Expires.Equal(start.Add(time.Hour)) || g.Limits != openFirst.Limits || openSecond.Limits != g.Limits {
		t.Errorf("the old secret's grant %+v; limits are not shared", g)
	}
	if hasEnded(openFirst) || hasEnded(openSecond) || !openSecond.Expires.IsZero() {
		t.Error("rotation ended what was open")
	}
	for _, tt := range []struct {
		whole string
		after time.Duration
		want  error
	}{{first, time.Hour - 1, nil}, {first, time.Hour, ErrExpired}, {second, 0, nil}, {second, 1000 * time.Hour, nil}} {
		if _, err := lookUp(t, k, tt.whole, start.Add(tt.after)); !errors.Is(err, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.after, err, tt.want)
		}
	}

	// A second rotation within the overlap: the oldest ends now, though it had longer.
	at := start.Add(10 * time.Minute)
	_, third, err := k.Rotate(key.ID, 5*time.Minute, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !hasEnded(openFirst) || hasEnded(openSecond) {
		t.Errorf("ended: first %v, second %v", hasEnded(openFirst), hasEnded(openSecond))
	}
	if _, err := lookUp(t, k, first, at); !errors.Is(err, ErrUnknown) {
		t.Errorf("the oldest secret: %v", err)
	}
	if g := opened(t, k, second, at); !g.Expires.Equal(at.Add(5 * time.Minute)) {
		t.Errorf("the second expires %v", g.Expires)
	}
	k.sweep(at.Add(5 * time.Minute))
	if openThird := opened(t, k, third, at); !hasEnded(openSecond) || hasEnded(openThird) {
		t.Error("at the end of the overlap the old one is to end, and the new one not")
	}

	// Without an overlap.
	_, fourth, err := k.Rotate(key.ID, 0, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lookUp(t, k, third, at); !errors.Is(err, ErrUnknown) {
		t.Errorf("rotated without an overlap: %v", err)
	}
	opened(t, k, fourth, at)
}

func TestRotateIsRefused(t *testing.T) {
	k, _ := newKeyring(t)
	expiring, whole := create(t, k, Spec{Rights: access.Read, ExpiresAt: in(time.Hour)}, start)
	revoked, _ := create(t, k, Spec{Rights: access.Read}, start)
	if _, err := k.Revoke(revoked.ID, start, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id      string
		overlap time.Duration
		after   time.Duration
		want    string
	}{
		{expiring.ID, -1, 0, "overlap must be from 0s to 720h0m0s"},
		{expiring.ID, MaxOverlap + 1, 0, "overlap must be from 0s to 720h0m0s"},
		{expiring.ID, 0, time.Hour, "id is expired; make a new key"},
		{revoked.ID, 0, 0, "id is revoked; make a new key"},
		{"nosuch", 0, 0, "nosuch: no such key"},
	} {
		if _, _, err := k.Rotate(tt.id, tt.overlap, start.Add(tt.after), nil); err == nil || err.Error() != tt.want {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, _, err := k.Rotate(expiring.ID, MaxOverlap, start, nil); err != nil {
		t.Fatal(err)
	}
	if g := opened(t, k, whole, start); !g.Expires.Equal(*in(time.Hour)) {
		t.Errorf("an overlap makes the key last until %v", g.Expires)
	}
}

// TestCertificate: a name stands for one key that opens.
func TestCertificate(t *testing.T) {
	k, _ := newKeyring(t)
	const name = "uri:spiffe://prod/billing"
	key, whole := create(t, k, Spec{Rights: access.Write, Certificate: name, ExpiresAt: in(time.Hour)}, start)
	names := []string{"cn:other", name}
	g, err := k.ByCertificate(names, start)
	if err != nil || g.Kind != access.Certificate || g.ID != key.ID || g.Subject != "key:"+key.ID {
		t.Fatalf("%+v, %v", g, err)
	}
	if opened(t, k, whole, start).Kind != access.ByKey {
		t.Error("the key's own grant is a certificate's now")
	}
	if got, _ := k.Get(key.ID, start); got.LastUsedAt == nil {
		t.Error("a certificate does not use its key")
	}
	for _, none := range [][]string{nil, {""}, {"uri:spiffe://prod/billing2"}, {"spiffe://prod/billing"}} {
		if _, err := k.ByCertificate(none, start); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: %v", none, err)
		}
	}
	if _, _, err := k.Create(Spec{Name: "second", Rights: access.Write, Certificate: name}, "tester", start, nil); err == nil {
		t.Error("two keys have one certificate")
	}
	late := start.Add(time.Hour)
	if _, err := k.ByCertificate(names, late); !errors.Is(err, ErrExpired) {
		t.Errorf("of an expired key: %v", err)
	}
	second, _ := create(t, k, Spec{Rights: access.Write, Certificate: name}, late) // the expired one does not keep the name
	for range 20 {                                                                 // however the keys lie in memory
		create(t, k, Spec{Rights: access.Write}, late)
		if g, err := k.ByCertificate(names, late); err != nil || g.ID != second.ID {
			t.Fatalf("%+v, %v; want key %s", g, err, second.ID)
		}
	}
	g, _ = k.ByCertificate(names, late)
	if _, err := k.Revoke(second.ID, late, nil); err != nil {
		t.Fatal(err)
	}
	if !hasEnded(g) {
		t.Error("what a certificate opened is open after its key was revoked")
	}
	third, _ := create(t, k, Spec{Rights: access.Write, Certificate: name}, late)
	if g, err := k.ByCertificate(names, late); err != nil || g.ID != third.ID {
		t.Errorf("%+v, %v; want key %s", g, err, third.ID)
	}
}

// TestBefore: it sees the key as it will be, and its error lets nothing change.
func TestBefore(t *testing.T) {
	k, admin := newKeyring(t)
	key, whole := create(t, k, Spec{Rights: access.Read}, start)
	g := opened(t, k, whole, start)
	refusal := errors.New("the log takes nothing")
	shown := k.List("", start)
	change := map[string]func(Before) error{
		"create": func(b Before) error {
			_, _, err := k.Create(Spec{Name: "new", Rights: access.Read, Certificate: "cn:new"}, "tester", start, b)
			return err
		},
		"rotate": func(b Before) error { _, _, err := k.Rotate(key.ID, 0, start, b); return err },
		"revoke": func(b Before) error { _, err := k.Revoke(key.ID, start, b); return err },
	}
	for name, do := range change {
		if err := do(func(Key) error { return refusal }); !errors.Is(err, refusal) {
			t.Errorf("%s: %v", name, err)
		}
		if after := k.List("", start); !reflect.DeepEqual(after, shown) || hasEnded(g) {
			t.Errorf("%s: what was not recorded changed something: %+v", name, after)
		}
	}
	opened(t, k, whole, start)
	for _, name := range []string{"create", "rotate", "revoke"} {
		var seen []Key
		if err := change[name](func(k Key) error { seen = append(seen, k); return nil }); err != nil {
			t.Fatal(err)
		}
		switch {
		case len(seen) != 1:
			t.Errorf("%s: recorded %d times", name, len(seen))
		case name == "create" && (seen[0].Name != "new" || seen[0].ID == ""), name == "rotate" && seen[0].RotatedAt == nil, name == "revoke" && seen[0].RevokedAt == nil:
			t.Errorf("%s: recorded is %+v", name, seen[0])
		}
	}
	never := func(Key) error { t.Error("recorded what is refused"); return nil }
	k.Create(Spec{Rights: access.Read}, "tester", start, never)
	k.Rotate("nosuch", 0, start, never)
	k.Revoke(admin.ID, start, never)
}

// TestNothingChangesThatCannotBeWritten: memory is never ahead of the file.
func TestNothingChangesThatCannotBeWritten(t *testing.T) {
	k, db := openFile(t, filepath.Join(t.TempDir(), "state.db"))
	create(t, k, Spec{Rights: access.Admin}, start)
	key, whole := create(t, k, Spec{Rights: access.Read, Certificate: "cn:a"}, start)
	g := opened(t, k, whole, start)
	shown := k.List("", start)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, secret, err := k.Create(Spec{Name: "new", Rights: access.Read, Certificate: "cn:b"}, "tester", start, nil); err == nil || secret != "" {
		t.Errorf("created: %v", err)
	}
	if _, secret, err := k.Rotate(key.ID, time.Hour, start, nil); err == nil || secret != "" {
		t.Errorf("rotated: %v", err)
	}
	if _, err := k.Revoke(key.ID, start, nil); err == nil {
		t.Error("revoked")
	}
	if after := k.List("", start); !reflect.DeepEqual(after, shown) {
		t.Errorf("changed:\n%+v\nwere\n%+v", after, shown)
	}
	if hasEnded(g) || opened(t, k, whole, start) != g {
		t.Error("what was open ended, or opens something else")
	}
	if _, err := k.ByCertificate([]string{"cn:b"}, start); !errors.Is(err, ErrUnknown) {
		t.Errorf("the certificate of a key that was not made: %v", err)
	}
	for range 2 { // a failure does not pass for written
		if err := k.keep(); err == nil {
			t.Error("the time of use is written")
		}
	}
}

// TestFirstKeyThatCannotBeWritten leaves the server as open as it was.
func TestFirstKeyThatCannotBeWritten(t *testing.T) {
	k, db := openFile(t, filepath.Join(t.TempDir(), "state.db"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Create(Spec{Name: "first", Rights: access.Admin}, "tester", start, nil); err == nil || !k.Empty() {
		t.Errorf("%v, empty %v", err, k.Empty())
	}
	select {
	case <-k.Keyed():
		t.Error("keyed")
	default:
	}
}

// TestCurrent: what was given to who had shown a secret lasts as long as that one.
func TestCurrent(t *testing.T) {
	k, _ := newKeyring(t)
	key, whole := create(t, k, Spec{Rights: access.Read}, start)
	g := opened(t, k, whole, start)
	mark := k.Mark(g)
	_, secret, _ := Split(whole)
	if mark == "" || strings.Contains(secret, mark) {
		t.Fatalf("mark %q", mark)
	}
	if now, err := k.Current(key.ID, mark, start); err != nil || now != g {
		t.Errorf("%v, %v", now, err)
	}
	for _, tt := range []struct {
		id, mark string
		want     error
	}{{"nosuch", mark, ErrUnknown}, {key.ID, "", ErrExpired}, {key.ID, mark[1:], ErrExpired}} {
		if _, err := k.Current(tt.id, tt.mark, start); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, _, err := k.Rotate(key.ID, time.Hour, start, nil); err != nil {
		t.Fatal(err)
	}
	if now, err := k.Current(key.ID, mark, start); err != nil || !now.Expires.Equal(*in(time.Hour)) {
		t.Errorf("in the overlap: %v, %v", now, err)
	}
	if _, err := k.Current(key.ID, mark, start.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("after it: %v", err)
	}
	if _, err := k.Revoke(key.ID, start, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Current(key.ID, mark, start); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if k.Mark(g) != "" || k.Mark(access.Everyone()) != "" {
		t.Error("a grant of no secret has a mark")
	}
}
