// Package oidc signs people in with an OpenID Connect provider: the
// authorization code flow with PKCE (S256), a nonce and a state.
//
// [Provider.Begin] sends a browser to the provider, [Provider.Finish] takes it
// back at the callback and says who it is. Between the two nothing is kept in the
// server, so that any server with the same options may finish what another began,
// and a restart in between is not noticed: the browser carries the flow in a
// cookie that only a holder of [Options.Secret] can make or read.
//
// # The flow cookie
//
// Its name is __Host-daybook-flow- (over plain HTTP, which only a loopback address
// may use, daybook-flow-) and the first 16 hexadecimal digits of the SHA-256 of the
// state, so that sign-ins in several tabs do not overwrite one another. Beyond
// eight at a time Begin discards the oldest. It is HttpOnly, Secure over HTTPS,
// SameSite=Lax, because the provider's redirect comes from another site, has no
// Domain and the path /: __Host- demands that, and in return no other host of the
// domain can plant a flow of its own in the browser, and Begin can count them.
//
// Its value is in unpadded base64url:
//
//	offset  size  what
//	     0     1  version, 1
//	     1    12  nonce of AES-256-GCM
//	    13     8  sealed: when the flow expires, in seconds since 1970, big-endian
//	    21    32  sealed: state
//	    53    32  sealed: nonce of the ID token
//	    85    32  sealed: PKCE verifier
//	   117     n  sealed: where to return to, a local path of at most 1024 bytes
//	 117+n    16  tag
//
// State, nonce and verifier are random bytes, and go into URLs in unpadded
// base64url. The key is HKDF-SHA-256 of the secret with the info
// "daybook oidc flow 1", the issuer, the client's identity and the callback, each
// ended by a zero byte: a flow of another provider or server does not open. The
// version and the cookie's name are authenticated with it.
package oidc

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// What an error of [Provider.Begin] and [Provider.Finish] is of; ask with
// [errors.Is]. Their texts hold no secret, code or token.
var (
	// ErrDenied: the user, or a rule of the provider about the user, said no.
	ErrDenied = errors.New("sign-in was denied")
	// ErrFlow: the callback belongs to no sign-in that this browser has under
	// way: it took too long, was finished before, or was begun by somebody else.
	ErrFlow = errors.New("no such sign-in is under way in this browser")
	// ErrUnavailable: the provider does not answer, or not as one; trying
	// again later may help.
	ErrUnavailable = errors.New("the identity provider is unavailable")
	// ErrRefused: the provider refused the code, or what it sent is not to be
	// trusted. Trying again does not help: a setting is wrong, here or there.
	ErrRefused = errors.New("sign-in cannot be trusted")
)

// DefaultGroupsClaim is the claim that groups are taken from.
const DefaultGroupsClaim = "groups"

// minSecret is what a secret must have, in bytes.
const minSecret = 32

// Options are what a [Provider] is made of.
type Options struct {
	// Issuer is the provider's URL, exactly as its discovery document gives
	// it. https, or http on a loopback address. Required.
	Issuer string

	ClientID     string // required
	ClientSecret string // "": a public client

	// RedirectURL is the absolute URL of the callback as browsers see it, and
	// as it is registered with the provider. It is not made from a request,
	// whose Host header is the sender's to choose. https, or http on a
	// loopback address. Required.
	RedirectURL string

	Scopes []string // besides openid; nil: profile and email

	// GroupsClaim is the claim that groups are taken from, an array of strings
	// or one string. A dot leads into an object, as in realm_access.roles,
	// unless a claim has the dot in its own name. "": DefaultGroupsClaim.
	GroupsClaim string

	// Secret seals flow cookies: at least 32 bytes that cannot be guessed, the
	// same in all servers behind one address. The key is derived from it.
	Secret []byte

	// HTTPClient reaches the provider; a copy is used, which follows no
	// redirects and reads no answer beyond a megabyte. nil: one that honours
	// the proxy of the environment. Without a timeout it gets one of 10 s.
	HTTPClient *http.Client

	Logger *slog.Logger // nil: nothing is logged
}

// Provider is one OpenID Connect provider, for one client of it. Its methods may
// be called concurrently.
type Provider struct {
	opts     Options
	log      *slog.Logger
	client   *http.Client
	seal     cipher.AEAD
	prefix   string // of flow cookies' names
	secure   bool   // browsers come over HTTPS
	discover discovery
}

// Open checks the options. It asks nobody, because a server must start also while
// its provider is down.
func Open(o Options) (*Provider, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Scopes == nil {
		o.Scopes = []string{gooidc.ScopeProfile, gooidc.ScopeEmail}
	}
	if o.GroupsClaim == "" {
		o.GroupsClaim = DefaultGroupsClaim
	}
	issuer, err := checkURL("Issuer", o.Issuer)
	if err != nil {
		return nil, err
	}
	callback, err := checkURL("RedirectURL", o.RedirectURL)
	if err != nil {
		return nil, err
	}
	switch {
	case issuer.RawQuery != "":
		return nil, fmt.Errorf("oidc: option Issuer is %q: it must have no query", o.Issuer)
	case o.ClientID == "":
		return nil, errors.New("oidc: option ClientID is missing")
	case len(o.Secret) < minSecret:
		return nil, fmt.Errorf("oidc: option Secret has %d bytes: it must have at least %d", len(o.Secret), minSecret)
	}
	for _, scope := range o.Scopes {
		if !isScope(scope) {
			return nil, fmt.Errorf(`oidc: option Scopes has %q: a scope is printable ASCII without spaces, " and \`, scope)
		}
	}
	o.Scopes = slices.DeleteFunc(slices.Clone(o.Scopes), func(s string) bool { return s == gooidc.ScopeOpenID })
	seal, err := newSeal(o)
	if err != nil {
		return nil, err
	}
	o.Secret = nil // the key is all that is needed
	p := &Provider{opts: o, log: o.Logger, client: limit(o.HTTPClient), seal: seal, prefix: plainPrefix}
	if callback.Scheme == "https" {
		p.secure, p.prefix = true, hostPrefix
	}
	p.discover = discovery{issuer: o.Issuer, clientID: o.ClientID, client: p.client, log: o.Logger}
	return p, nil
}

// checkURL returns the URL of an option.
func checkURL(option, text string) (*url.URL, error) {
	if text == "" {
		return nil, fmt.Errorf("oidc: option %s is missing", option)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		if err == nil && u.User != nil {
			text = u.Redacted()
		}
		return nil, fmt.Errorf("oidc: option %s is %q: it must be an absolute https URL without user and fragment, or an http URL of localhost or a loopback address", option, text)
	}
	return u, nil
}

// isLoopback reports whether a URL's host is this machine, so that nobody listens
// in between.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// isScope reports whether s is a scope-token of RFC 6749.
func isScope(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// Begin sends the browser to the provider, and back to the callback when it is
// done there, for at most ten minutes. returnTo is where the user wanted to go; what
// is not a local path (path and query, beginning with one slash) is taken for /.
//
// On an error, which is [ErrUnavailable], nothing was written yet.
func (p *Provider) Begin(w http.ResponseWriter, r *http.Request, returnTo string) error {
	remote, err := p.discover.get(r.Context())
	if err != nil {
		return err
	}
	f := newFlow(returnTo)
	p.discardOldest(w, r)
	http.SetCookie(w, p.cookie(p.cookieName(f.state), p.encode(f), flowLifetime))
	w.Header().Set("Cache-Control", "no-store")
	to := p.config(remote).AuthCodeURL(encode32(f.state), oauth2.S256ChallengeOption(encode32(f.verifier)), gooidc.Nonce(encode32(f.nonce)))
	// Not http.Redirect: the URL is absolute, and the answer needs no body.
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
	return nil
}

// Finish is the callback: it returns who has signed in, and where Begin was told
// to return to. Whatever comes of it, the flow is over: its cookie is cleared,
// which is in w's header when Finish returns. The rest of the answer is the
// caller's to write.
func (p *Provider) Finish(w http.ResponseWriter, r *http.Request) (*Identity, string, error) {
	w.Header().Set("Cache-Control", "no-store")
	answer, err := parseCallback(r.URL.RawQuery)
	if err != nil {
		return nil, "", err
	}
	f, err := p.takeFlow(w, r, answer.state)
	if err != nil {
		return nil, "", err
	}
	if answer.issuer != "" && answer.issuer != p.opts.Issuer { // RFC 9207
		return nil, "", fmt.Errorf("%w: the callback is of issuer %q, not of %q", ErrRefused, answer.issuer, p.opts.Issuer)
	}
	if answer.errorCode != "" {
		return nil, "", p.declined(answer)
	}
	remote, err := p.discover.get(r.Context())
	if err != nil {
		return nil, "", err
	}
	id, err := p.redeem(gooidc.ClientContext(r.Context(), p.client), remote, f, answer.code)
	if err != nil {
		return nil, "", err
	}
	return id, f.returnTo, nil
}

// config is the client as the provider knows it.
func (p *Provider) config(remote *remote) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.opts.ClientID,
		ClientSecret: p.opts.ClientSecret,
		RedirectURL:  p.opts.RedirectURL,
		Scopes:       append([]string{gooidc.ScopeOpenID}, p.opts.Scopes...),
		Endpoint:     remote.endpoint(p.opts.ClientSecret != ""),
	}
}

// declined is the error of a provider that sent the browser back without a code.
func (p *Provider) declined(answer callback) error {
	p.log.Info("the identity provider declined a sign-in", "error", answer.errorCode, "description", answer.description)
	switch answer.errorCode {
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return fmt.Errorf("%w: the provider says %s", ErrDenied, answer.errorCode)
	case "server_error", "temporarily_unavailable":
		return fmt.Errorf("%w: it says %s", ErrUnavailable, answer.errorCode)
	default: // such as invalid_scope
		return fmt.Errorf("%w: the provider says %s", ErrRefused, answer.errorCode)
	}
}

// callback is what a provider sends a browser back with.
type callback struct {
	code, state, issuer    string
	errorCode, description string
}

// parseCallback reads the parameters of a callback. RFC 6749 lets none of them be
// there twice.
func parseCallback(query string) (callback, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return callback{}, fmt.Errorf("%w: the callback's query is malformed", ErrFlow)
	}
	for _, name := range []string{"code", "state", "iss", "error"} {
		if len(values[name]) > 1 {
			return callback{}, fmt.Errorf("%w: the callback has %s %d times", ErrFlow, name, len(values[name]))
		}
	}
	c := callback{code: values.Get("code"), state: values.Get("state"), issuer: values.Get("iss"), errorCode: values.Get("error"), description: clip(values.Get("error_description"))}
	switch {
	case c.state == "":
		return callback{}, fmt.Errorf("%w: the callback has no state", ErrFlow)
	case c.errorCode != "":
		c.errorCode = errorWord(c.errorCode)
	case c.code == "":
		return callback{}, fmt.Errorf("%w: the callback has neither code nor error", ErrFlow)
	}
	return c, nil
}

// errorWord returns an error code if it is of the kind that RFC 6749 has, so that
// it may be shown.
func errorWord(code string) string {
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "an error that is not a word"
	}
	return code
}

// random32 returns 32 random bytes.
func random32() (b [32]byte) {
	rand.Read(b[:])
	return b
}

// isNetwork reports whether err is of a connection, not of what came over it.
func isNetwork(err error) bool {
	_, isURL := errors.AsType[*url.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	return isURL || isNet
}
