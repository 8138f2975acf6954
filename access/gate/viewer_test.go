package gate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
)

// TestViewerTokensNarrowOnly: who makes a token, what is asked for it, and what is
// seen with it, or why it is not made.
func TestViewerTokensNarrowOnly(t *testing.T) {
	g, k := newGate(t)
	for _, tt := range []struct {
		issuer string
		v      Viewer
		sees   string // or after a !, the refusal
	}{
		{"acme", Viewer{}, "acme"},
		{"acme", Viewer{Tenant: "acme"}, "acme"},
		{"acme", Viewer{Tenant: "globex"}, `!tenant "globex" is not to be seen with this key, which is of tenant "acme"`},
		{"acme", Viewer{Filter: "user_id:ada"}, "acme (user_id:ada)"},
		{"acme", Viewer{Filter: "tenant_id:globex or *"}, "acme (tenant_id:globex or *)"},
		{"acme", Viewer{Hidden: []string{"metadata", "source_ip"}}, "acme without metadata source_ip"},
		{"narrow", Viewer{}, "acme (user_id:(ada or bob)) without metadata.ssn source_ip"},
		{"narrow", Viewer{Filter: "user_id:eve", Hidden: []string{"metadata"}}, "acme (user_id:(ada or bob)) (user_id:eve) without metadata source_ip"},
		{"narrow", Viewer{Filter: "source_ip:10.0.0.1"}, "!filter cannot be read"},
		{"narrow", Viewer{Filter: "user_id:ada or -metadata.ssn:*"}, "!filter cannot be read"},
		{"narrow", Viewer{Filter: "walnut"}, "acme (user_id:(ada or bob)) (walnut) without metadata.ssn source_ip"},
		{"narrow", Viewer{Tenant: "_daybook"}, `!tenant "_daybook" is not`},
		{"all", Viewer{Tenant: "globex"}, "globex"},
		{"all", Viewer{}, "!tenant must be given: a viewer sees one tenant"},
		{"all", Viewer{Tenant: strings.Repeat("x", 129)}, "!tenant is longer than the 128 bytes"},
		{"all", Viewer{Tenant: "a\xff"}, "!tenant"},
		{"admin", Viewer{Tenant: "acme"}, "acme"},
		{"acme", Viewer{Filter: "(("}, "!filter cannot be read"},
		{"acme", Viewer{Hidden: []string{"tenant_id"}}, "!hidden cannot be read"},
		{"acme", Viewer{Lasts: time.Second - 1}, "!expires_in must be from 1s to 24h0m0s"},
		{"acme", Viewer{Lasts: MaxViewerTime + 1}, "!expires_in must be"},
		{"acme", Viewer{Lasts: -time.Hour}, "!expires_in must be"},
		{"acme", Viewer{Subject: strings.Repeat("x", 129)}, "!subject is longer than 128 bytes"},
		{"acme", Viewer{Subject: "\xff"}, "!subject"},
		{"acme", Viewer{Filter: "user_id:" + strings.Repeat("x", maxToken)}, "!filter"},
		{"writer", Viewer{}, "!" + ErrNone.Error()},
	} {
		token, expires, err := g.IssueViewer(k.grant(t, tt.issuer), tt.v, start)
		if refusal, ok := strings.CutPrefix(tt.sees, "!"); ok {
			if err == nil || !strings.HasPrefix(err.Error(), refusal) || token != "" {
				t.Errorf("%s asks %+v: %v, want %s", tt.issuer, tt.v, err, refusal)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s asks %+v: %v", tt.issuer, tt.v, err)
			continue
		}
		grant, err := g.Bearer(token, start)
		if err != nil || described(grant) != tt.sees {
			t.Errorf("%s asks %+v: sees %s, %v, want %s", tt.issuer, tt.v, described(grant), err, tt.sees)
			continue
		}
		issuer := k.grant(t, tt.issuer)
		if grant.Kind != access.Viewer || grant.Rights != access.Read || grant.ID != issuer.ID || grant.Limits != issuer.Limits || grant.Ended != issuer.Ended ||
			grant.Subject != "viewer:"+tt.v.Subject || !grant.Expires.Equal(expires) {
			t.Errorf("%s asks %+v: %+v", tt.issuer, tt.v, grant)
		}
		if _, err := grant.Scope.Predicate(start); err != nil {
			t.Errorf("%s asks %+v: %v", tt.issuer, tt.v, err)
		}
	}
}

// TestOnlyKeysMakeTokens: with what is narrower than its key, or of none, neither a
// token nor a session is made, which would see all that the key does.
func TestOnlyKeysMakeTokens(t *testing.T) {
	g, k := newGate(t)
	token, _, err := g.IssueViewer(k.grant(t, "acme"), Viewer{Filter: "user_id:ada"}, start)
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := g.Bearer(token, start)
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, err := g.SignIn(Person{Subject: "ada", Groups: []string{"ops"}}, start)
	if err != nil {
		t.Fatal(err)
	}
	person, err := g.Session(cookie, start)
	if err != nil {
		t.Fatal(err)
	}
	old := k.grant(t, "all")
	if _, _, err := k.Rotate(k.id["all"], 0, start, nil); err != nil {
		t.Fatal(err)
	}
	for name, grant := range map[string]*access.Grant{"a viewer": viewer, "a person": person, "everyone": g.Everyone(), "a secret that was rotated": old} {
		if token, _, err := g.IssueViewer(grant, Viewer{Tenant: "acme"}, start); !errors.Is(err, ErrNone) || token != "" {
			t.Errorf("%s makes a viewer token: %v", name, err)
		}
		if cookie, _, err := g.KeySession(grant, start); !errors.Is(err, ErrNone) || cookie != "" {
			t.Errorf("%s begins a session of a key: %v", name, err)
		}
	}
	certified, err := g.Certificate([]string{"cn:narrow"}, start)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err = g.IssueViewer(certified, Viewer{}, start)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := g.Bearer(token, start); err != nil || described(got) != described(certified) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestTokensEndWithTheirKey: viewer tokens, and sessions of keys.
func TestTokensEndWithTheirKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		key    string
		change func(t *testing.T, k *keys)
		after  time.Duration
		want   error
	}{
		{"nothing happens", "acme", func(*testing.T, *keys) {}, DefaultViewerTime - time.Second, nil},
		{"the token expires", "acme", func(*testing.T, *keys) {}, 13 * time.Hour, keyring.ErrExpired},
		{"revoked", "acme", revoke, 0, keyring.ErrRevoked},
		{"rotated", "acme", rotate(0), 0, keyring.ErrExpired},
		{"rotated with an overlap", "acme", rotate(time.Minute), time.Minute - 1, nil},
		{"at the end of the overlap", "acme", rotate(time.Minute), time.Minute, keyring.ErrExpired},
		{"before the key expires", "soon", func(*testing.T, *keys) {}, 5*time.Minute - 1, nil},
		{"the key expires", "soon", func(*testing.T, *keys) {}, 5 * time.Minute, keyring.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, k := newGate(t)
			grant := k.grant(t, tt.key)
			token, until, err := g.IssueViewer(grant, Viewer{}, start)
			if err != nil {
				t.Fatal(err)
			}
			cookie, sessionUntil, err := g.KeySession(grant, start)
			if err != nil {
				t.Fatal(err)
			}
			if tt.key == "soon" && (!until.Equal(start.Add(5*time.Minute)) || !sessionUntil.Equal(until)) {
				t.Errorf("said to last until %v and %v", until, sessionUntil)
			}
			before := map[string]*access.Grant{}
			for name, use := range map[string]func(string, time.Time) (*access.Grant, error){token: g.Bearer, cookie: g.Session} {
				if before[name], err = use(name, start); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(t, k)
			now := start.Add(tt.after)
			for name, use := range map[string]func(string, time.Time) (*access.Grant, error){token: g.Bearer, cookie: g.Session} {
				got, err := use(name, now)
				if !errors.Is(err, tt.want) || (err == nil) != (got != nil) {
					t.Errorf("%s: %v, want %v", name[:4], err, tt.want)
				}
				if got != nil && !got.Alive(now) {
					t.Errorf("%s: a grant that is over", name[:4])
				}
				if tt.name == "revoked" && before[name].Alive(start) {
					t.Errorf("%s: what it has open goes on", name[:4])
				}
			}
		})
	}
}

func revoke(t *testing.T, k *keys) {
	if _, err := k.Revoke(k.id["acme"], start, nil); err != nil {
		t.Fatal(err)
	}
}

func rotate(overlap time.Duration) func(*testing.T, *keys) {
	return func(t *testing.T, k *keys) {
		if _, _, err := k.Rotate(k.id["acme"], overlap, start, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestViewerTokenSeesWhatItsKeyShows: what is hidden from the key cannot be found
// out by making tokens whose filters look for it.
func TestViewerTokenSeesWhatItsKeyShows(t *testing.T) {
	g, k := newGate(t)
	token, _, err := g.IssueViewer(k.grant(t, "narrow"), Viewer{Filter: "walnut"}, start)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := g.Bearer(token, start)
	if err != nil {
		t.Fatal(err)
	}
	if got := seen(t, &grant.Scope, `{"ssn":"walnut"}`); got {
		t.Error("a token's text filter finds what is hidden from the key that made it")
	}
	if got := seen(t, &grant.Scope, `{"note":"walnut"}`); !got {
		t.Error("it does not find what is shown")
	}
}
