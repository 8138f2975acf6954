package oidc

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/daybook-log/daybook/access/oidc/oidctest"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// outcome is what Finish returned.
type outcome struct {
	id       *Identity
	returnTo string
	err      error
}

// app is a server with a sign-in.
type app struct {
	*Provider
	url  string
	http *http.Client // that trusts the server; without a jar
	log  *lines

	mu   sync.Mutex
	last outcome // guarded by mu
}

// newApp starts a server whose people sign in with remote.
func newApp(t *testing.T, remote *oidctest.Provider, secure bool, change func(*Options)) *app {
	t.Helper()
	a := &app{log: &lines{}}
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	a.url, a.http = server.URL, server.Client()
	o := Options{Issuer: remote.Issuer, ClientID: remote.ClientID, ClientSecret: remote.ClientSecret,
		RedirectURL: a.url + "/oidc/callback", Secret: testSecret, Logger: a.log.logger()}
	if change != nil {
		change(&o)
	}
	var err error
	if a.Provider, err = Open(o); err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Begin(w, r, r.FormValue("to")); err != nil {
			a.keep(outcome{err: err})
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /oidc/callback", func(w http.ResponseWriter, r *http.Request) {
		id, to, err := a.Finish(w, r)
		a.keep(outcome{id, to, err})
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	return a
}

func (a *app) keep(o outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = o
}

// outcome returns what came of the last sign-in.
func (a *app) outcome() outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

func (a *app) login(returnTo string) string {
	return a.url + "/login?to=" + url.QueryEscape(returnTo)
}

// browser returns a client with cookies of its own.
func (a *app) browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *a.http
	c.Jar = jar
	return &c
}

// visit gets a page and returns what came of the sign-in that it ends.
func (a *app) visit(t *testing.T, c *http.Client, page string) outcome {
	t.Helper()
	resp, err := c.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return a.outcome()
}

// flows returns the flow cookies that a browser has.
func (a *app) flows(t *testing.T, c *http.Client) (flows []*http.Cookie) {
	t.Helper()
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range c.Jar.Cookies(u) {
		if strings.HasPrefix(cookie.Name, a.prefix) {
			flows = append(flows, cookie)
		}
	}
	return flows
}

// wantError checks what kind of error err is, and that its text has a part.
func wantError(t *testing.T, err, kind error, part string) {
	t.Helper()
	for _, k := range []error{ErrDenied, ErrFlow, ErrUnavailable, ErrRefused} {
		if errors.Is(err, k) != (k == kind) {
			t.Errorf("error %v: it must be of the kind %v and no other", err, kind)
		}
	}
	if err != nil && !strings.Contains(err.Error(), part) {
		t.Errorf("error %q must say %q", err, part)
	}
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
