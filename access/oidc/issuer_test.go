package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// issuer is a provider made by hand, for what a real one does not do. It is
// reached without a network, so that it also serves in virtual time.
type issuer struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	doc    map[string]any             // the discovery document
	claims map[string]any             // of the next ID token
	about  map[string]any             // nil: there is no such endpoint
	sign   func(claims []byte) string // makes the next ID token
	fail   func(w http.ResponseWriter, r *http.Request) bool
	tokens map[string]any // answers the code, besides the ID token

	raw         string       // the ID token that was sent
	discoveries atomic.Int32 // requests for the discovery document
}

const (
	issuerURL   = "https://id.example"
	accessToken = "an-access-token-that-is-secret"
	authCode    = "a-code-that-is-secret"
	clientPass  = "a-client-secret"
)

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &issuer{t: t, key: key}
	s.doc = map[string]any{
		"issuer": issuerURL, "authorization_endpoint": issuerURL + "/auth", "token_endpoint": issuerURL + "/token", "jwks_uri": issuerURL + "/keys",
		"userinfo_endpoint": issuerURL + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
	}
	s.claims = map[string]any{
		"iss": issuerURL, "aud": "daybook", "sub": "u1", "name": "Ann", "email": "ann@example.com", "email_verified": true,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "groups": []string{"a", "b"},
	}
	s.about = map[string]any{"sub": "u1"}
	s.tokens = map[string]any{"access_token": accessToken, "token_type": "Bearer"}
	s.sign = func(claims []byte) string { return s.jwt(`{"alg":"ES256","kid":"1"}`, claims, s.key) }
	return s
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwt signs claims with an ECDSA key, or with a password, or not at all.
func (s *issuer) jwt(header string, claims []byte, key any) string {
	text := b64([]byte(header)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			s.t.Error(err)
		}
		return text + "." + b64(append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...))
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return text + "." + b64(mac.Sum(nil))
	}
	return text + "."
}

func (s *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/openid-configuration" {
		s.discoveries.Add(1)
	}
	if s.fail != nil && s.fail(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var answer map[string]any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = s.doc
	case "/keys":
		raw, err := s.key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			s.t.Error(err)
		}
		answer = map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "kid": "1", "x": b64(raw[1:33]), "y": b64(raw[33:])}}}
	case "/token":
		answer = s.tokens
		if s.sign != nil {
			claims, err := json.Marshal(s.claims)
			if err != nil {
				s.t.Error(err)
			}
			s.raw = s.sign(claims)
			answer["id_token"] = s.raw
		}
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			s.t.Errorf("userinfo is asked with %q", r.Header.Get("Authorization"))
		}
		answer = s.about
	default:
		http.NotFound(w, r)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Error(err)
	}
}

// RoundTrip implements http.RoundTripper.
func (s *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "id.example" {
		s.t.Errorf("%s is asked", r.URL.Redacted())
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// open returns a Provider that signs in with s.
func (s *issuer) open(change func(*Options)) (*Provider, *lines) {
	s.t.Helper()
	log := &lines{}
	o := Options{Issuer: issuerURL, ClientID: "daybook", ClientSecret: clientPass, RedirectURL: "https://log.example/oidc/callback",
		Secret: testSecret, HTTPClient: &http.Client{Transport: s}, Logger: log.logger()}
	if change != nil {
		change(&o)
	}
	p, err := Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return p, log
}

// visit is a browser between Begin and Finish.
type visit struct {
	state, nonce string
	callback     *http.Request
}

// begin begins a sign-in, for which the issuer will answer with the right nonce.
func (s *issuer) begin(p *Provider) (*visit, error) {
	w := httptest.NewRecorder()
	if err := p.Begin(w, httptest.NewRequestWithContext(s.t.Context(), "GET", "/login", nil), "/"); err != nil {
		if w.Result().Header.Get("Set-Cookie") != "" {
			s.t.Error("Begin failed and yet set a cookie")
		}
		return nil, err
	}
	to, err := url.Parse(w.Result().Header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	v := &visit{state: to.Query().Get("state"), nonce: to.Query().Get("nonce")}
	if _, ok := s.claims["nonce"]; !ok {
		s.claims["nonce"] = v.nonce
	}
	v.callback = httptest.NewRequestWithContext(s.t.Context(), "GET", "/oidc/callback?code="+authCode+"&state="+v.state, nil)
	for _, c := range w.Result().Cookies() {
		v.callback.AddCookie(c)
	}
	return v, nil
}

// finish ends a sign-in and looks for secrets in what it says.
func (s *issuer) finish(p *Provider, v *visit, log *lines) (*Identity, error) {
	s.t.Helper()
	c := v.callback.Cookies()[0]
	f, err := p.decode(c.Name, c.Value)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	id, _, err := p.Finish(w, v.callback)
	if got := w.Result().Cookies(); len(got) != 1 || got[0].Name != c.Name || got[0].MaxAge != -1 || got[0].Value != "" {
		s.t.Errorf("Finish sets the cookies %v; it must clear that of the flow", got)
	}
	said := log.String()
	if err != nil {
		said += err.Error()
	}
	for what, secret := range map[string]string{"client secret": clientPass, "code": authCode, "access token": accessToken,
		"ID token": s.raw, "verifier": encode32(f.verifier), "secret": string(testSecret)} {
		if secret != "" && strings.Contains(said, secret) {
			s.t.Errorf("the %s is in the log or the error:\n%s", what, said)
		}
	}
	if (id == nil) != (err != nil) {
		s.t.Errorf("Finish returns both %v and %v", id, err)
	}
	return id, err
}
