package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access/oidc/oidctest"
)

// Real users sign in with a real provider.
func TestSignIn(t *testing.T) {
	remote := oidctest.Start(t)
	tests := []struct {
		name   string
		secure bool // the server is reached over HTTPS
		public bool // the client has no secret
		thin   bool // ID tokens say only who it is
		user   string
		groups []string
	}{
		{"over http", false, false, false, oidctest.Alice, oidctest.Groups()},
		{"over https", true, false, false, oidctest.Alice, oidctest.Groups()},
		{"a public client", true, true, false, oidctest.Alice, oidctest.Groups()},
		{"what the ID token lacks comes from userinfo", true, false, true, oidctest.Alice, oidctest.Groups()},
		{"in no group", true, false, false, oidctest.Bob, nil},
		{"in no group, says userinfo", true, true, true, oidctest.Bob, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			remote.SetThin(tt.thin)
			a := newApp(t, remote, tt.secure, func(o *Options) {
				if tt.public {
					o.ClientID, o.ClientSecret = oidctest.PublicClientID, ""
				}
			})
			browser := a.browser(t)
			resp := remote.SignIn(t, browser, a.login("/events?q=actor.id%3Dbob"), tt.user)
			got := a.outcome()
			if got.err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("Finish: %v, status %d", got.err, resp.StatusCode)
			}
			if left := time.Until(got.id.Expires); left <= 0 || left > 2*time.Hour {
				t.Errorf("the identity expires in %v; the token is good for an hour", left)
			}
			got.id.Expires = time.Time{}
			want := &Identity{Subject: tt.user + "-id", Name: strings.ToUpper(tt.user[:1]) + tt.user[1:] + " Example",
				Email: tt.user + "@example.com", EmailVerified: tt.user == oidctest.Alice, Groups: tt.groups}
			if !reflect.DeepEqual(got.id, want) {
				t.Errorf("got %+v, want %+v", got.id, want)
			}
			if want := "/events?q=actor.id%3Dbob"; got.returnTo != want {
				t.Errorf("returns to %q, want %q", got.returnTo, want)
			}
			if flows := a.flows(t, browser); len(flows) != 0 {
				t.Errorf("%d flow cookies are left", len(flows))
			}
		})
	}
}

// What Begin sends is what the package comment says.
func TestBegin(t *testing.T) {
	remote := oidctest.Start(t)
	for _, secure := range []bool{false, true} {
		a := newApp(t, remote, secure, func(o *Options) { o.Scopes = []string{"openid", "email"} })
		w := httptest.NewRecorder()
		if err := a.Begin(w, httptest.NewRequest("GET", "/login", nil), "/"); err != nil {
			t.Fatal(err)
		}
		resp := w.Result()
		to, err := resp.Location()
		if err != nil || resp.StatusCode != http.StatusFound || resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("answers %d %v, %v", resp.StatusCode, resp.Header, err)
		}
		q := to.Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": oidctest.ClientID, "redirect_uri": a.url + "/oidc/callback",
			"scope": "openid email", "code_challenge_method": "S256",
		} {
			if !slices.Equal(q[name], []string{want}) {
				t.Errorf("%s is %q, want %q", name, q[name], want)
			}
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if len(q.Get(name)) != 43 {
				t.Errorf("%s is %q, want 32 bytes in base64url", name, q.Get(name))
			}
		}
		cookies := resp.Cookies()
		if len(cookies) != 1 {
			t.Fatalf("sets %d cookies, want 1", len(cookies))
		}
		c := cookies[0]
		if !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 {
			t.Errorf("cookie is %s", c)
		}
		if prefix := map[bool]string{false: "daybook-flow-", true: "__Host-daybook-flow-"}[secure]; !strings.HasPrefix(c.Name, prefix) {
			t.Errorf("cookie is called %s, want %s…", c.Name, prefix)
		}
		if err := c.Valid(); err != nil {
			t.Error(err)
		}
	}
}

// Sign-ins in two tabs of a browser end in any order.
func TestTwoTabs(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, true, nil)
	browser := a.browser(t)
	first := remote.Callback(t, browser, a.login("/first"), oidctest.Alice)
	second := remote.Callback(t, browser, a.login("/second"), oidctest.Bob)
	if n := len(a.flows(t, browser)); n != 2 {
		t.Fatalf("%d flow cookies, want 2", n)
	}
	for _, tab := range []struct{ callback, subject, returnTo string }{
		{second, "bob-id", "/second"},
		{first, "alice-id", "/first"},
	} {
		got := a.visit(t, browser, tab.callback)
		if got.err != nil || got.id.Subject != tab.subject || got.returnTo != tab.returnTo {
			t.Errorf("got %+v, want %s to return to %s", got, tab.subject, tab.returnTo)
		}
	}
}

// A browser that begins and never finishes does not collect cookies without end.
func TestManyTabs(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, false, nil)
	browser := a.browser(t)
	oldest := remote.Callback(t, browser, a.login("/"), oidctest.Alice)
	// One that does not open is older than any.
	u, _ := url.Parse(a.url)
	browser.Jar.SetCookies(u, []*http.Cookie{{Name: plainPrefix + "0000", Value: "x", Path: "/"}})
	var newest string
	for range maxFlows - 1 {
		newest = remote.Callback(t, browser, a.login("/"), oidctest.Alice)
	}
	names := func() (names []string) {
		for _, c := range a.flows(t, browser) {
			names = append(names, c.Name)
		}
		return names
	}
	if got := names(); len(got) != maxFlows || slices.Contains(got, plainPrefix+"0000") {
		t.Errorf("the browser has %q, want %d without the one that does not open", got, maxFlows)
	}
	for range maxFlows {
		newest = remote.Callback(t, browser, a.login("/"), oidctest.Alice)
	}
	if got := names(); len(got) != maxFlows {
		t.Errorf("the browser has %d flow cookies, want %d", len(got), maxFlows)
	}
	wantError(t, a.visit(t, browser, oldest).err, ErrFlow, "cookie is missing")
	if err := a.visit(t, browser, newest).err; err != nil {
		t.Error(err)
	}
}

func TestDenied(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, true, nil)
	browser := a.browser(t)
	got := a.visit(t, browser, remote.Denied(t, browser, a.login("/"), oidctest.Alice))
	wantError(t, got.err, ErrDenied, "access_denied")
	if n := len(a.flows(t, browser)); n != 0 || got.id != nil {
		t.Errorf("%d cookies are left, identity %v", n, got.id)
	}
	if !strings.Contains(a.log.String(), "the user said no") {
		t.Errorf("the log does not say why:\n%s", a.log)
	}
}

// A callback counts once, also for who keeps the cookie.
func TestReplay(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, true, nil)
	browser := a.browser(t)
	callback := remote.Callback(t, browser, a.login("/"), oidctest.Alice)
	kept := a.flows(t, browser)
	if err := a.visit(t, browser, callback).err; err != nil {
		t.Fatal(err)
	}
	wantError(t, a.visit(t, browser, callback).err, ErrFlow, "was finished before")

	u, _ := url.Parse(a.url)
	for _, c := range kept {
		c.Path, c.Secure = "/", true
	}
	browser.Jar.SetCookies(u, kept)
	wantError(t, a.visit(t, browser, callback).err, ErrRefused, "gave no tokens")
}

// What one browser began does not end in another, nor under another's state.
func TestForeignFlow(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, true, nil)
	mallory, victim := a.browser(t), a.browser(t)
	callback := remote.Callback(t, mallory, a.login("/"), oidctest.Bob)
	own := remote.Callback(t, victim, a.login("/"), oidctest.Alice)
	theirs, ours := a.flows(t, mallory)[0], a.flows(t, victim)[0]

	query := func(callback string, change func(url.Values)) string {
		u, err := url.Parse(callback)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q)
		return "?" + q.Encode()
	}
	state := func(callback string) (state string) {
		query(callback, func(q url.Values) { state = q.Get("state") })
		return state
	}
	same := func(url.Values) {}
	renamed := func(c *http.Cookie, name string) *http.Cookie { return &http.Cookie{Name: name, Value: c.Value} }
	tests := []struct {
		name   string
		query  string
		cookie *http.Cookie
		kind   error
		says   string
	}{
		{"another's callback", query(callback, same), ours, ErrFlow, "cookie is missing"},
		{"another's callback, under the name of its cookie", query(callback, same), renamed(ours, theirs.Name), ErrFlow, "was changed, or is of another server"},
		{"another's state with one's own code", query(own, func(q url.Values) { q.Set("state", state(callback)) }), ours, ErrFlow, "cookie is missing"},
		{"another's code with one's own state", query(callback, func(q url.Values) { q.Set("state", state(own)) }), ours, ErrRefused, "gave no tokens"},
		{"a changed cookie", query(own, same), &http.Cookie{Name: ours.Name, Value: ours.Value[:len(ours.Value)-4] + "AAAA"}, ErrFlow, "was changed"},
		{"no state", query(own, func(q url.Values) { q.Del("state") }), ours, ErrFlow, "no state"},
		{"a state that is none", query(own, func(q url.Values) { q.Set("state", "x") }), ours, ErrFlow, "not one of this server"},
		{"two states", query(own, func(q url.Values) { q.Add("state", state(callback)) }), ours, ErrFlow, "state 2 times"},
		{"two codes", query(own, func(q url.Values) { q.Add("code", "x") }), ours, ErrFlow, "code 2 times"},
		{"neither code nor error", query(own, func(q url.Values) { q.Del("code") }), ours, ErrFlow, "neither code nor error"},
		{"a query that is none", "?state=%zz", ours, ErrFlow, "malformed"},
		{"another provider's", query(own, func(q url.Values) { q.Set("iss", "https://elsewhere.example") }), ours, ErrRefused, "elsewhere.example"},
		{"an error that is markup", query(own, func(q url.Values) { q.Set("error", "<b>") }), ours, ErrRefused, "an error that is not a word"},
		{"an error of the provider", query(own, func(q url.Values) { q.Set("error", "server_error") }), ours, ErrUnavailable, "server_error"},
		{"an error about the client", query(own, func(q url.Values) { q.Set("error", "invalid_scope") }), ours, ErrRefused, "invalid_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/oidc/callback"+tt.query, nil)
			r.AddCookie(tt.cookie)
			id, _, err := a.Finish(httptest.NewRecorder(), r)
			wantError(t, err, tt.kind, tt.says)
			if id != nil {
				t.Errorf("and yet it is %s", id.Subject)
			}
		})
	}
	if got := a.visit(t, victim, own); got.err != nil || got.id.Subject != "alice-id" {
		t.Errorf("after all that one's own sign-in ends with %+v", got)
	}
}

// A flow opens only where the same options hold.
func TestOtherServer(t *testing.T) {
	remote := oidctest.Start(t)
	a := newApp(t, remote, true, nil)
	f := newFlow("/")
	name, value := a.cookieName(f.state), a.encode(f)
	if _, err := a.decode(name, value); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Options){
		"secret":   func(o *Options) { o.Secret = slices.Repeat([]byte{7}, 32) },
		"issuer":   func(o *Options) { o.Issuer += "/other" },
		"client":   func(o *Options) { o.ClientID += "2" },
		"callback": func(o *Options) { o.RedirectURL += "2" },
	} {
		if _, err := newApp(t, remote, true, change).decode(name, value); err == nil {
			t.Errorf("a flow opens with another %s", what)
		}
	}
}

// A provider may be down when the server starts, and when somebody comes back.
func TestProviderDown(t *testing.T) {
	remote := oidctest.Start(t)
	remote.SetDown(true)
	a := newApp(t, remote, true, nil)
	browser := a.browser(t)
	wantError(t, a.visit(t, browser, a.login("/")).err, ErrUnavailable, "openid-configuration")
	if n := len(a.flows(t, browser)); n != 0 {
		t.Errorf("%d flow cookies were set", n)
	}

	remote.SetDown(false)
	a.discover.mu.Lock()
	a.discover.tried = time.Time{} // TestDiscovery has the pause
	a.discover.mu.Unlock()
	callback := remote.Callback(t, browser, a.login("/"), oidctest.Alice)

	remote.SetDown(true)
	wantError(t, a.visit(t, browser, callback).err, ErrUnavailable, "asked for tokens")

	remote.SetDown(false)
	remote.SignIn(t, browser, a.login("/"), oidctest.Alice)
	if got := a.outcome(); got.err != nil {
		t.Error(got.err)
	}
}
