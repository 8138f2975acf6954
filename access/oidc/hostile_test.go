package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What a provider, or who pretends to be one, may send at the end of a sign-in.
func TestFinishDistrusts(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*issuer) {
		return func(s *issuer) {
			s.claims[name] = value
			if value == nil {
				delete(s.claims, name)
			}
		}
	}
	answers := func(path string, status int, body string) func(*issuer) {
		return func(s *issuer) {
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				w.Write([]byte(body))
				return true
			}
		}
	}
	asks := func(then func(*issuer)) func(*issuer) {
		return func(s *issuer) { delete(s.claims, "groups"); then(s) }
	}
	huge := `{"access_token":"` + strings.Repeat("x", 2<<20) + `"}`
	tests := []struct {
		name   string
		change func(*issuer)
		kind   error // nil: signs in
		says   string
	}{
		{"nothing wrong", func(*issuer) {}, nil, ""},
		{"issued to us among others", claim("aud", []string{"other", "daybook"}), nil, ""},

		{"for another audience", claim("aud", "other"), ErrRefused, "audience"},
		{"for no audience", claim("aud", nil), ErrRefused, "audience"},
		{"authorized party is another client", claim("azp", "other"), ErrRefused, `issued to client "other"`},
		{"of another issuer", claim("iss", "https://elsewhere.example"), ErrRefused, "different provider"},
		{"with a wrong nonce", claim("nonce", "x"), ErrRefused, "nonce"},
		{"with an empty nonce", claim("nonce", ""), ErrRefused, "nonce"},
		{"expired", claim("exp", time.Now().Add(-time.Second).Unix()), ErrRefused, "expired"},
		{"without an end", claim("exp", nil), ErrRefused, "expired"},
		{"not valid yet", claim("nbf", time.Now().Add(time.Hour).Unix()), ErrRefused, "nbf"},
		{"about nobody", claim("sub", ""), ErrRefused, "no sub"},
		{"for another access token", claim("at_hash", "x"), ErrRefused, "at_hash"},
		{"groups are objects", claim("groups", map[string]any{"admin": 1}), ErrRefused, "claim groups must be an array of strings"},
		{"groups are numbers", claim("groups", []any{"a", 1}), ErrRefused, "claim groups must be an array of strings"},

		{"not signed", func(s *issuer) {
			s.sign = func(claims []byte) string { return s.jwt(`{"alg":"none"}`, claims, nil) }
		}, ErrRefused, "algorithm"},
		{"signed by another key under our key's name", func(s *issuer) {
			s.sign = func(claims []byte) string { return s.jwt(`{"alg":"ES256","kid":"1"}`, claims, stranger) }
		}, ErrRefused, "signature"},
		{"signed by a key that is not published", func(s *issuer) {
			s.sign = func(claims []byte) string { return s.jwt(`{"alg":"ES256","kid":"2"}`, claims, stranger) }
		}, ErrRefused, "signature"},
		{"signed with the client's secret", func(s *issuer) {
			s.sign = func(claims []byte) string { return s.jwt(`{"alg":"HS256"}`, claims, []byte(clientPass)) }
		}, ErrRefused, "algorithm"},
		{"signed, then changed", func(s *issuer) {
			s.sign = func(claims []byte) string {
				good := s.jwt(`{"alg":"ES256","kid":"1"}`, claims, s.key)
				head, rest, _ := strings.Cut(good, ".")
				_, sig, _ := strings.Cut(rest, ".")
				return head + "." + b64([]byte(strings.Replace(string(claims), `"u1"`, `"u2"`, 1))) + "." + sig
			}
		}, ErrRefused, "signature"},
		{"no JWT", func(s *issuer) { s.sign = func([]byte) string { return "not-a-jwt-but-secret" } }, ErrRefused, "malformed"},
		{"no ID token", func(s *issuer) { s.sign = nil }, ErrRefused, "without an ID token"},

		{"the code is refused, and repeated in the answer", answers("/token", 400, `{"error":"invalid_grant","error_description":"code `+authCode+` of `+clientPass+` is spent"}`), ErrRefused, "status 400, saying invalid_grant"},
		{"the code is refused with markup", answers("/token", 400, `{"error":"<script>"}`), ErrRefused, "saying an error that is not a word"},
		{"the code is refused without a word", answers("/token", 403, authCode), ErrRefused, "without saying why"},
		{"tokens are elsewhere", func(s *issuer) {
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					http.Redirect(w, r, "https://evil.example/token", http.StatusTemporaryRedirect)
				}
				return r.URL.Path == "/token"
			}
		}, ErrRefused, "status 307"},
		{"the token endpoint is overloaded", answers("/token", 503, `{}`), ErrUnavailable, "503"},
		{"the token endpoint is busy", answers("/token", 429, `{}`), ErrUnavailable, "429"},
		{"tokens are no JSON", answers("/token", 200, accessToken), ErrUnavailable, "cannot parse json"},
		{"tokens without end", answers("/token", 200, huge), ErrUnavailable, "cannot parse json"},
		{"keys cannot be had", answers("/keys", 500, ``), ErrUnavailable, "fetching keys"},
		{"keys without end", answers("/keys", 200, huge), ErrUnavailable, "fetching keys"},

		{"userinfo is about another", asks(func(s *issuer) { s.about["sub"] = "u2" }), ErrRefused, "another subject"},
		{"userinfo is overloaded", asks(answers("/userinfo", 502, accessToken)), ErrUnavailable, "502"},
		{"userinfo refuses", asks(answers("/userinfo", 403, accessToken)), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newIssuer(t)
			tt.change(s)
			p, log := s.open(nil)
			v, err := s.begin(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.finish(p, v, log)
			wantError(t, err, tt.kind, tt.says)
		})
	}
}

// What an identity is made of, wherever the provider puts it.
func TestIdentity(t *testing.T) {
	type object = map[string]any
	base := object{"name": nil, "email": nil, "email_verified": nil, "groups": nil}
	tests := []struct {
		name   string
		path   string // of groups
		claims object
		about  object // what userinfo adds
		want   Identity
	}{
		{"the subject is all", "", object{}, object{}, Identity{Name: "u1"}},
		{"a user name", "", object{"preferred_username": "ann"}, object{}, Identity{Name: "ann"}},
		{"an address", "", object{"email": "a@example.com"}, object{}, Identity{Name: "a@example.com", Email: "a@example.com"}},
		{"a verified address", "", object{"email": "a@example.com", "email_verified": true}, object{}, Identity{Name: "a@example.com", Email: "a@example.com", EmailVerified: true}},
		{"verified, as a string", "", object{"email": "a@example.com", "email_verified": "true"}, object{}, Identity{Name: "a@example.com", Email: "a@example.com", EmailVerified: true}},
		{"not verified, as a string", "", object{"email": "a@example.com", "email_verified": "false"}, object{}, Identity{Name: "a@example.com", Email: "a@example.com"}},
		{"verified, without an address", "", object{"email_verified": true}, object{}, Identity{Name: "u1"}},
		{"another's word for another address", "", object{"email_verified": true}, object{"email": "b@example.com"}, Identity{Name: "b@example.com", Email: "b@example.com"}},
		{"the ID token goes before userinfo", "", object{"name": "Ann"}, object{"name": "Bea", "email": "b@example.com"}, Identity{Name: "Ann", Email: "b@example.com"}},

		{"groups", "", object{"groups": []string{"b", "a", "b", ""}}, object{}, Identity{Name: "u1", Groups: []string{"b", "a"}}},
		{"one group", "", object{"groups": "a b"}, object{}, Identity{Name: "u1", Groups: []string{"a b"}}},
		{"no groups, says the ID token", "", object{"groups": []string{}}, object{"groups": []string{"a"}}, Identity{Name: "u1"}},
		{"groups of userinfo", "", object{}, object{"groups": []string{"a"}}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"null is as good as absent", "", object{"groups": nil}, object{"groups": []string{"a"}}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"a path", "realm_access.roles", object{"realm_access": object{"roles": []string{"a"}}}, object{}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"a path in userinfo", "realm_access.roles", object{"realm_access": object{}}, object{"realm_access": object{"roles": []string{"a"}}}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"a path that ends early", "realm_access.roles", object{"realm_access": "x"}, object{}, Identity{Name: "u1"}},
		{"a name with dots", "https://example.com/groups", object{"https://example.com/groups": []string{"a"}}, object{}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"a path through a name with dots", "access.my.app.roles", object{"access": object{"my.app": object{"roles": "a"}}}, object{}, Identity{Name: "u1", Groups: []string{"a"}}},
		{"groups are elsewhere", "", object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.example"}}}, object{}, Identity{Name: "u1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newIssuer(t)
			for name := range base {
				delete(s.claims, name)
			}
			for name, v := range tt.claims {
				s.claims[name] = v
			}
			for name, v := range tt.about {
				s.about[name] = v
			}
			p, log := s.open(func(o *Options) { o.GroupsClaim = tt.path })
			v, err := s.begin(p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.finish(p, v, log)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Subject, tt.want.Expires = "u1", got.Expires
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
			if overflow := tt.claims["_claim_names"] != nil; overflow != strings.Contains(log.String(), "too many groups") {
				t.Errorf("the log says:\n%s", log)
			}
		})
	}
}

// A provider without userinfo is not asked for it.
func TestNoUserInfo(t *testing.T) {
	s := newIssuer(t)
	delete(s.doc, "userinfo_endpoint")
	delete(s.claims, "groups")
	p, log := s.open(nil)
	v, err := s.begin(p)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := s.finish(p, v, log); err != nil || id.Groups != nil {
		t.Errorf("got %v, %v", id, err)
	}
}

// How the client says who it is: once, and as the provider wants it.
func TestClientAuthentication(t *testing.T) {
	tests := []struct {
		methods []string
		secret  string
		basic   bool // else in the body
	}{
		{nil, clientPass, true},
		{[]string{"client_secret_post", "client_secret_basic"}, clientPass, true},
		{[]string{"client_secret_post"}, clientPass, false},
		{nil, "", false},
		{[]string{"client_secret_basic", "none"}, "", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.methods, tt.secret), func(t *testing.T) {
			s := newIssuer(t)
			if tt.methods != nil {
				s.doc["token_endpoint_auth_methods_supported"] = tt.methods
			}
			asked := 0
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/token" {
					return false
				}
				asked++
				_, password, basic := r.BasicAuth()
				if basic != tt.basic || basic && password != tt.secret || !basic && r.PostFormValue("client_secret") != tt.secret {
					t.Errorf("basic authentication is %v; the form has %v", basic, r.PostForm)
				}
				if r.PostFormValue("code") != authCode || len(r.PostFormValue("code_verifier")) != 43 || !tt.basic && r.PostFormValue("client_id") != "daybook" {
					t.Errorf("the form has %v", r.PostForm)
				}
				w.WriteHeader(http.StatusUnauthorized) // which must not be tried again in another way
				return true
			}
			p, log := s.open(func(o *Options) { o.ClientSecret = tt.secret })
			v, err := s.begin(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.finish(p, v, log)
			wantError(t, err, ErrRefused, "401")
			if asked != 1 {
				t.Errorf("the code was sent %d times", asked)
			}
		})
	}
}
