package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/audit"
)

// Provider is where people sign in.
type Provider interface {
	// Begin sends the browser to the provider; returnTo is where to go afterwards.
	Begin(w http.ResponseWriter, r *http.Request, returnTo string) error
	// Finish reads what the provider has sent the browser back with. The error is
	// a *SignInError.
	Finish(w http.ResponseWriter, r *http.Request) (who gate.Person, returnTo string, err error)
}

// SignInError says why somebody is not signed in. Kind is shown on the page:
// denied, expired, unavailable or refused.
type SignInError struct {
	Kind string
	Err  error
}

func (e *SignInError) Error() string { return e.Kind + ": " + e.Err.Error() }
func (e *SignInError) Unwrap() error { return e.Err }

// cookieName returns the name of the cookie that carries a session. With the
// prefix __Host- a browser takes it from nobody but this host over https.
func (a *API) cookieName() string {
	if a.access.Secure {
		return "__Host-daybook"
	}
	return "daybook"
}

// setCookie gives a session to the browser, or takes it away with "".
func (a *API) setCookie(w http.ResponseWriter, session string, expires time.Time) {
	c := &http.Cookie{Name: a.cookieName(), Value: session, Path: "/", Expires: expires, HttpOnly: true, Secure: a.access.Secure, SameSite: http.SameSiteStrictMode}
	if session == "" {
		c.MaxAge, c.Expires = -1, time.Time{}
	}
	http.SetCookie(w, c)
}

// signInBody is the answer of GET /v1/sign-in: what the page offers.
type signInBody struct {
	Required bool           `json:"required"`
	Methods  []signInMethod `json:"methods"`
}

type signInMethod struct {
	Kind  string `json:"kind"` // key or oidc
	Name  string `json:"name,omitempty"`
	Start string `json:"start,omitempty"` // path to send the browser to
}

// signIn answers GET /v1/sign-in.
func (a *API) signIn(w http.ResponseWriter, r *http.Request) {
	body := signInBody{Required: !a.access.Gate.Open(), Methods: []signInMethod{{Kind: "key"}}}
	if a.access.Provider != nil {
		body.Methods = append(body.Methods, signInMethod{"oidc", a.access.ProviderName, "/v1/sign-in/oidc"})
	}
	b, err := json.Marshal(body)
	a.sendJSON(w, r, b, err)
}

// beginSignIn answers GET /v1/sign-in/oidc.
func (a *API) beginSignIn(w http.ResponseWriter, r *http.Request) {
	if err := a.access.Provider.Begin(w, r, r.URL.Query().Get("return_to")); err != nil {
		a.notSignedIn(w, r, err)
	}
}

// finishSignIn answers GET /v1/sign-in/oidc/callback.
func (a *API) finishSignIn(w http.ResponseWriter, r *http.Request) {
	who, returnTo, err := a.access.Provider.Finish(w, r)
	if err != nil {
		a.notSignedIn(w, r, err)
		return
	}
	session, expires, err := a.access.Gate.SignIn(who, time.Now())
	entry := audit.Entry{Subject: who.Subject, Action: "session.create", Operation: "login", Resource: "session/oidc"}
	if err != nil && !errors.Is(err, gate.ErrNone) {
		a.notSignedIn(w, r, &SignInError{Kind: "refused", Err: err})
		return
	}
	if err != nil {
		entry.Outcome, entry.Reason = "denied", "no role is of one of the groups"
		a.denied.Add(1)
		a.note(r, nil, entry, "no role "+who.Subject)
		a.back(w, r, "no-role")
		return
	}
	g, err := a.access.Gate.Session(session, time.Now())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.record(r, g, entry); err != nil {
		a.fail(w, r, err)
		return
	}
	a.setCookie(w, session, expires)
	http.Redirect(w, r, returnTo, http.StatusSeeOther)
}

// notSignedIn sends the browser back to the page, which says what went wrong.
func (a *API) notSignedIn(w http.ResponseWriter, r *http.Request, err error) {
	kind := "unavailable"
	if e, ok := errors.AsType[*SignInError](err); ok {
		kind = e.Kind
	}
	a.log.Warn("somebody could not sign in", "err", err)
	a.denied.Add(1)
	a.note(r, nil, audit.Entry{Action: "session.create", Operation: "login", Outcome: "failure", Resource: "session/oidc", Reason: kind}, "sign-in "+kind)
	a.back(w, r, kind)
}

func (a *API) back(w http.ResponseWriter, r *http.Request, kind string) {
	http.Redirect(w, r, "/?"+url.Values{"sign_in": {kind}}.Encode(), http.StatusSeeOther)
}

// sessionBody is the answer of GET /v1/session: who asks, and what he may do.
type sessionBody struct {
	Subject   string     `json:"subject"`
	Name      string     `json:"name"`
	Kind      string     `json:"kind"`
	Tenant    *string    `json:"tenant"` // null: every tenant
	Rights    []string   `json:"rights"`
	Filter    string     `json:"filter,omitempty"`
	Hidden    []string   `json:"hidden"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// session answers GET /v1/session.
func (a *API) session(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	body := sessionBody{Subject: g.Subject, Name: g.Name, Kind: string(g.Kind), Rights: g.Rights.Names(), Hidden: g.Scope.Hidden.Names()}
	if g.Scope.Tenant != "" {
		body.Tenant = &g.Scope.Tenant
	}
	var filters []string
	for _, f := range g.Scope.Filters {
		filters = append(filters, "("+f+")")
	}
	if body.Filter = strings.Join(filters, " "); len(filters) == 1 {
		body.Filter = g.Scope.Filters[0]
	}
	if body.Hidden == nil {
		body.Hidden = []string{}
	}
	if !g.Expires.IsZero() {
		at := g.Expires.UTC()
		body.ExpiresAt = &at
	}
	b, err := json.Marshal(body)
	a.sendJSON(w, r, b, err)
}

// beginSession answers POST /v1/session: whoever shows a key gets a cookie that
// stands for it.
func (a *API) beginSession(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	if g.Kind != access.ByKey || r.Header.Get("Authorization") == "" {
		a.forbid(w, r, g, "a session begins with an API key: send it as Authorization: Bearer dbk_…")
		return
	}
	session, expires, err := a.access.Gate.KeySession(g, time.Now())
	if err == nil {
		err = a.record(r, g, audit.Entry{Action: "session.create", Operation: "login", Resource: "session/key"})
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.setCookie(w, session, expires)
	w.WriteHeader(http.StatusNoContent)
}

// endSession answers DELETE /v1/session. It asks for no grant: a session that has
// ended must be able to go.
func (a *API) endSession(w http.ResponseWriter, r *http.Request) {
	if g, err := a.authenticate(r); err == nil && g.Kind != access.Anonymous {
		a.soon(r, g, audit.Entry{Action: "session.end", Resource: "session/" + string(g.Kind)})
	}
	a.setCookie(w, "", time.Time{})
	w.WriteHeader(http.StatusNoContent)
}
