// Package oidctest runs a real OpenID Connect provider for tests, zitadel's, on a
// loopback address: with a login form, a page that asks for consent, codes, PKCE
// and signed tokens. Only tests import it, so that none of it gets into a program.
package oidctest

import (
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Who can sign in.
const (
	Alice    = "alice"         // subject alice-id, groups security and staff
	Bob      = "bob"           // subject bob-id, in no group
	Password = "correct horse" // of both

	ClientID       = "daybook"
	ClientSecret   = "a secret/of the+client"
	PublicClientID = "daybook-public" // a client without a secret
)

// Groups are those of Alice, in the claim groups.
func Groups() []string { return []string{"security", "staff"} }

// Provider is a running provider. Its clients may name every callback on
// 127.0.0.1 and localhost.
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret string

	store *store
	op    *op.Provider
	down  atomic.Bool

	mu     sync.Mutex
	logins map[string]string // guarded by mu: user by authorization request, between login and consent
}

// Start starts a provider that stops at the end of the test.
func Start(t testing.TB) *Provider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Issuer: "http://" + listener.Addr().String(), ClientID: ClientID, ClientSecret: ClientSecret, store: newStore(), logins: map[string]string{}}
	config := &op.Config{CodeMethodS256: true}
	rand.Read(config.CryptoKey[:])
	p.op, err = op.NewProvider(config, p.store, op.StaticIssuer(p.Issuer), op.WithAllowInsecure())
	if err != nil {
		listener.Close()
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", p.showLogin)
	mux.HandleFunc("POST /login", p.login)
	mux.Handle("POST /consent", op.NewIssuerInterceptor(p.op.IssuerFromRequest).HandlerFunc(p.consent))
	mux.Handle("/", p.op)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler) // hangs up
		}
		mux.ServeHTTP(w, r)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// SetDown makes the provider hang up on everybody, or serve again.
func (p *Provider) SetDown(down bool) { p.down.Store(down) }

// SetThin makes ID tokens say only who somebody is, as many providers do: name,
// address and groups are then at the userinfo endpoint.
func (p *Provider) SetThin(thin bool) { p.store.thin.Store(thin) }

// SignIn walks a user through a sign-in as a browser would, from the page that
// begins it to the one at its end. c has a cookie jar.
func (p *Provider) SignIn(t testing.TB, c *http.Client, begin, user string) *http.Response {
	t.Helper()
	resp, err := c.Get(p.Callback(t, c, begin, user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Callback walks a user through the login and to the point where the provider
// sends the browser back, and returns the URL that it would go to.
func (p *Provider) Callback(t testing.TB, c *http.Client, begin, user string) string {
	t.Helper()
	return p.walk(t, c, begin, user, "allow")
}

// Denied is as Callback for a user who signs in and refuses consent.
func (p *Provider) Denied(t testing.TB, c *http.Client, begin, user string) string {
	t.Helper()
	return p.walk(t, c, begin, user, "deny")
}

func (p *Provider) walk(t testing.TB, c *http.Client, begin, user, answer string) string {
	t.Helper()
	b := &browser{t: t, http: *c, issuer: p.Issuer}
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	id := b.form(b.get(begin), "/login")
	id = b.form(b.post("/login", url.Values{"id": {id}, "username": {user}, "password": {Password}}), "/consent")
	resp := b.post("/consent", url.Values{"id": {id}, "answer": {answer}})
	for resp.StatusCode/100 == 3 {
		to, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(to.String(), p.Issuer+"/") {
			return to.String()
		}
		resp = b.get(to.String())
	}
	t.Fatalf("the provider answered %d to consent and does not send the browser back", resp.StatusCode)
	return ""
}

// browser does what a user's browser does between two forms.
type browser struct {
	t      testing.TB
	http   http.Client
	issuer string
}

func (b *browser) get(to string) *http.Response {
	b.t.Helper()
	resp, err := b.http.Get(to)
	return b.took(resp, err)
}

func (b *browser) post(path string, form url.Values) *http.Response {
	b.t.Helper()
	resp, err := b.http.PostForm(b.issuer+path, form)
	return b.took(resp, err)
}

func (b *browser) took(resp *http.Response, err error) *http.Response {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

var formID = regexp.MustCompile(`<form method="post" action="([^"]*)"><input type="hidden" name="id" value="([^"]*)">`)

// form follows redirects to a page of the provider with a form that is sent to
// path, and returns the id in it.
func (b *browser) form(resp *http.Response, path string) string {
	b.t.Helper()
	for resp.StatusCode/100 == 3 {
		to, err := resp.Location()
		if err != nil {
			b.t.Fatal(err)
		}
		resp = b.get(to.String())
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	found := formID.FindSubmatch(page)
	if found == nil || string(found[1]) != path {
		b.t.Fatalf("%s answers %d without a form for %s:\n%s", resp.Request.URL.Path, resp.StatusCode, path, page)
	}
	return string(found[2])
}

func page(w http.ResponseWriter, text string, id string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := template.Must(template.New("page").Parse(text)).Execute(w, id); err != nil {
		panic(err)
	}
}

func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	page(w, `<form method="post" action="/login"><input type="hidden" name="id" value="{{.}}">
<input name="username"><input name="password" type="password"><button>Sign in</button></form>`, r.FormValue("id"))
}

func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	id, user := r.PostFormValue("id"), r.PostFormValue("username")
	if err := p.store.CheckUsernamePasswordSimple(user, r.PostFormValue("password")); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	p.logins[id] = user
	p.mu.Unlock()
	page(w, `<form method="post" action="/consent"><input type="hidden" name="id" value="{{.}}">
<button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button></form>`, id)
}

func (p *Provider) consent(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("id")
	p.mu.Lock()
	user, ok := p.logins[id]
	delete(p.logins, id)
	p.mu.Unlock()
	request, err := p.store.AuthRequestByID(r.Context(), id)
	switch {
	case !ok || err != nil:
		http.Error(w, "log in first", http.StatusForbidden)
	case r.PostFormValue("answer") != "allow":
		op.AuthRequestError(w, r, request, oidc.ErrAccessDenied().WithDescription("the user said no"), p.op)
	default:
		if err := p.store.CheckUsernamePassword(user, Password, id); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(p.op)(r.Context(), id), http.StatusFound)
	}
}

// store is zitadel's storage in memory, with groups.
type store struct {
	*storage.Storage
	thin    atomic.Bool
	clients map[string]*storage.Client
}

func newStore() *store {
	clients := map[string]*storage.Client{
		ClientID:       storage.WebClient(ClientID, ClientSecret),
		PublicClientID: storage.WebClient(PublicClientID, ""),
	}
	return &store{Storage: storage.NewStorageWithClients(users{}, clients), clients: clients}
}

// GetClientByClientID implements op.Storage.
func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, errors.New("no such client")
	}
	return &client{Client: c, thin: s.thin.Load()}, nil
}

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest, for ID tokens.
func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	if !s.thin.Load() {
		addGroups(info, request.GetSubject())
	}
	return nil
}

// SetUserinfoFromToken implements op.Storage, for the userinfo endpoint.
func (s *store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	addGroups(info, subject)
	return nil
}

func addGroups(info *oidc.UserInfo, subject string) {
	if subject == Alice+"-id" {
		info.AppendClaims("groups", Groups())
	}
}

// client is a client of the provider.
type client struct {
	*storage.Client
	thin bool
}

func (c *client) LoginURL(id string) string            { return "/login?id=" + url.QueryEscape(id) }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return !c.thin }
func (c *client) PostLogoutRedirectURIGlobs() []string { return nil }
func (c *client) RedirectURIGlobs() []string {
	return []string{"http://127.0.0.1:*/**", "https://127.0.0.1:*/**", "http://localhost:*/**", "https://localhost:*/**"}
}

func (c *client) AuthMethod() oidc.AuthMethod {
	if c.GetID() == PublicClientID {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}

// users are those who can sign in.
type users struct{}

// ExampleClientID implements storage.UserStore.
func (users) ExampleClientID() string { return storage.ServiceUserID }

// GetUserByID implements storage.UserStore.
func (u users) GetUserByID(id string) *storage.User {
	name, ok := strings.CutSuffix(id, "-id")
	if !ok {
		return nil
	}
	return u.GetUserByUsername(name)
}

// GetUserByUsername implements storage.UserStore.
func (users) GetUserByUsername(name string) *storage.User {
	if name != Alice && name != Bob {
		return nil
	}
	return &storage.User{
		ID: name + "-id", Username: name, Password: Password, FirstName: strings.ToUpper(name[:1]) + name[1:], LastName: "Example",
		Email: name + "@example.com", EmailVerified: name == Alice,
	}
}
