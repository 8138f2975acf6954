package gate

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access/keyring"
)

var testSecret = bytes.Repeat([]byte{7}, 32)

func mustSigner(tb testing.TB, prefix string, most int) signer {
	tb.Helper()
	s, err := newSigner(testSecret, prefix, most)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestTokenGolden: tokens that were handed out must open after an update. These were
// made with HMAC-SHA-256 and HKDF of another implementation.
func TestTokenGolden(t *testing.T) {
	viewers, sessions := mustSigner(t, viewerPrefix, maxToken), mustSigner(t, sessionPrefix, maxSession)
	for _, tt := range []struct {
		name    string
		signer  signer
		payload any
		want    string
	}{
		{"viewer", viewers, viewerToken{Key: "abcdefghijklmnop", Mark: "abcdefgh", Subject: "ada", Tenant: "acme", Filter: "user_id:ada", Hidden: []string{"source_ip"}, Expires: 1795000000},
			"dbv_eyJrIjoiYWJjZGVmZ2hpamtsbW5vcCIsIm0iOiJhYmNkZWZnaCIsInMiOiJhZGEiLCJ0IjoiYWNtZSIsImYiOiJ1c2VyX2lkOmFkYSIsImgiOlsic291cmNlX2lwIl0sImUiOjE3OTUwMDAwMDB9.T608fbyf5z5OEeSyJmiVsFI1UyRRs2xmed3YWQB98Bw"},
		{"session of a key", sessions, session{Key: "abcdefghijklmnop", Mark: "abcdefgh", Expires: 1795000000},
			"dbs_eyJrIjoiYWJjZGVmZ2hpamtsbW5vcCIsIm0iOiJhYmNkZWZnaCIsImUiOjE3OTUwMDAwMDB9.D1Qt4TkDZgln8HcM4Nj1xqNHtI5O5TJ5o6yKrZca9HY"},
		{"session of a person", sessions, session{Subject: "ada@example.com", Name: "Ada", Groups: []string{"ops"}, Expires: 1795000000},
			"dbs_eyJzIjoiYWRhQGV4YW1wbGUuY29tIiwibiI6IkFkYSIsImciOlsib3BzIl0sImUiOjE3OTUwMDAwMDB9.eVb7WrAFcXyJTTBAwgt_rgtxpQ47gL2FD_6PVmf1W_U"},
	} {
		got, err := tt.signer.sign(tt.payload)
		if err != nil || got != tt.want {
			t.Errorf("%s: %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

// TestNothingChangedIsAccepted flips every bit of a token, and changes it in the
// ways that decoders are lenient about.
func TestNothingChangedIsAccepted(t *testing.T) {
	for _, s := range []signer{mustSigner(t, viewerPrefix, maxToken), mustSigner(t, sessionPrefix, maxSession)} {
		token, err := s.sign(session{Subject: "ada", Expires: 1795000000})
		if err != nil {
			t.Fatal(err)
		}
		var got session
		if err := s.read(token, &got); err != nil || got.Subject != "ada" {
			t.Fatalf("the token itself: %+v, %v", got, err)
		}
		changed := []string{"", token + "=", token + ".", token + "\n", token + "A", " " + token, token[:len(token)-1], strings.TrimPrefix(token, s.prefix),
			strings.ToUpper(token), strings.Replace(token, ".", "", 1), strings.Replace(token, ".", "..", 1), strings.Replace(token, ".", ".\n", 1), strings.Replace(token, ".", "\r.", 1),
			token[:strings.Index(token, ".")+1], s.prefix + ".", s.prefix, "."}
		for i := range len(token) * 8 {
			b := []byte(token)
			b[i/8] ^= 1 << (i % 8)
			changed = append(changed, string(b))
		}
		for _, c := range changed {
			if err := s.read(c, new(session)); !errors.Is(err, errToken) {
				t.Errorf("%q is accepted for %q: %v", c, token, err)
			}
		}
	}
}

// TestPurposesAreSeparate: neither the key nor the prefix of one purpose is good for
// the other.
func TestPurposesAreSeparate(t *testing.T) {
	viewers, sessions := mustSigner(t, viewerPrefix, maxToken), mustSigner(t, sessionPrefix, maxSession)
	token, err := viewers.sign(session{Key: "k", Expires: 1})
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := sessions.sign(session{Key: "k", Expires: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    signer
		text string
	}{
		{sessions, token}, {viewers, cookie},
		{sessions, sessionPrefix + strings.TrimPrefix(token, viewerPrefix)},
		{viewers, viewerPrefix + strings.TrimPrefix(cookie, sessionPrefix)},
	} {
		if err := c.s.read(c.text, new(session)); err == nil {
			t.Errorf("%s is accepted as %s", c.text, c.s.prefix)
		}
	}
	other, err := newSigner(bytes.Repeat([]byte{8}, 32), viewerPrefix, maxToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.read(token, new(session)); err == nil {
		t.Error("a token of another server is accepted")
	}
}

func TestTokenLimits(t *testing.T) {
	s := mustSigner(t, sessionPrefix, maxSession)
	if _, err := s.sign(session{Name: strings.Repeat("x", maxSession)}); !errors.Is(err, errLong) {
		t.Errorf("a session that no browser keeps: %v", err)
	}
	for _, secret := range [][]byte{nil, {}, bytes.Repeat([]byte{7}, 31)} {
		if _, err := newSigner(secret, viewerPrefix, maxToken); err == nil {
			t.Errorf("a secret of %d bytes is enough", len(secret))
		}
	}
	text := s.prefix + base64.RawURLEncoding.EncodeToString([]byte("no JSON"))
	if err := s.read(text+"."+s.mac(text), new(session)); !errors.Is(err, errToken) {
		t.Errorf("a payload that is no JSON: %v", err)
	}
}

// FuzzToken: what was not made here opens nothing, whatever it is.
func FuzzToken(f *testing.F) {
	g, keys := newGate(f)
	now := start.Add(time.Minute)
	made := map[string]bool{}
	grant := keys.grant(f, "acme")
	token, _, err := g.IssueViewer(grant, Viewer{Filter: "user_id:ada", Hidden: []string{"source_ip"}}, now)
	if err != nil {
		f.Fatal(err)
	}
	cookie, _, err := g.KeySession(grant, now)
	if err != nil {
		f.Fatal(err)
	}
	person, _, err := g.SignIn(Person{Subject: "ada", Groups: []string{"ops"}}, now)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{token, cookie, person, keys.whole["acme"]} {
		made[text] = true
		f.Add(text)
		f.Add(text[:len(text)-1])
	}
	for _, text := range []string{"", "dbv_", "dbs_.", "dbv_e30.", "dbk_a_b", "dbv_" + strings.Repeat("A", maxToken), "dbs_\xff.\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, use := range map[string]func() error{
			"bearer":   func() error { _, err := g.Bearer(text, now); return err },
			"session":  func() error { _, err := g.Session(text, now); return err },
			"password": func() error { _, err := g.Password("id", text, now); return err },
		} {
			if err := use(); err == nil && !made[text] {
				t.Errorf("%s opens as %s", text, name)
			} else if err != nil && !errors.Is(err, ErrNone) && !errors.Is(err, keyring.ErrUnknown) {
				t.Errorf("%q as %s: %v", text, name, err)
			}
		}
	})
}
