package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	requestTimeout = 10 * time.Second
	maxAnswer      = 1 << 20 // bytes

	retryAfter   = 5 * time.Second // how long a failed discovery is believed
	refreshAfter = time.Hour       // when a discovery is made anew, while the old one serves
)

// remote is what a provider says of itself.
type remote struct {
	*gooidc.Provider
	verifier *gooidc.IDTokenVerifier
	byPost   bool // the client's secret goes into the body of a request for a token
	at       time.Time
}

// endpoint returns where the provider is asked, and how a client says who it is.
// x/oauth2 would find the latter out by trying, but a provider may take a code that
// comes twice for stolen.
func (r *remote) endpoint(confidential bool) oauth2.Endpoint {
	e := r.Endpoint()
	e.AuthStyle = oauth2.AuthStyleInHeader
	if r.byPost || !confidential {
		e.AuthStyle = oauth2.AuthStyleInParams
	}
	return e
}

// discovery fetches what the provider says of itself when it is first needed, once
// however many need it.
type discovery struct {
	issuer, clientID string
	client           *http.Client
	log              *slog.Logger

	mu      sync.Mutex
	known   *remote       // guarded by mu; nil: never reached
	err     error         // guarded by mu: of the last try; nil: it worked
	tried   time.Time     // guarded by mu: when the last try ended
	running chan struct{} // guarded by mu: closed at the end of a try; nil: none is under way
}

// get returns what the provider says of itself. Who comes during a try waits for
// its end; who comes soon after one that failed gets its error.
func (d *discovery) get(ctx context.Context) (*remote, error) {
	d.mu.Lock()
	pausing := d.err != nil && time.Since(d.tried) < retryAfter
	stale := d.known == nil || time.Since(d.known.at) >= refreshAfter
	if stale && !pausing && d.running == nil {
		d.running = make(chan struct{})
		go d.try()
	}
	known, err, running := d.known, d.err, d.running
	d.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if running == nil {
		return nil, err
	}
	select {
	case <-running:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the request ended while it was asked", ErrUnavailable)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != nil {
		return d.known, nil
	}
	return nil, d.err
}

// try asks the provider. It is on nobody's request, whose end would be the end of
// all that wait.
func (d *discovery) try() {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	found, err := d.ask(gooidc.ClientContext(ctx, d.client))
	if err != nil {
		d.log.Warn("cannot discover the identity provider", "issuer", d.issuer, "error", err)
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	} else {
		d.log.Info("discovered the identity provider", "issuer", d.issuer)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.known = found
	}
	d.err, d.tried = err, time.Now()
	close(d.running)
	d.running = nil
}

// ask fetches the discovery document.
func (d *discovery) ask(ctx context.Context) (*remote, error) {
	provider, err := gooidc.NewProvider(ctx, d.issuer)
	if err != nil {
		return nil, errors.New(clip(err.Error()))
	}
	var doc struct {
		AuthURL     string   `json:"authorization_endpoint"`
		TokenURL    string   `json:"token_endpoint"`
		KeysURL     string   `json:"jwks_uri"`
		UserInfoURL string   `json:"userinfo_endpoint"`
		Methods     []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&doc); err != nil {
		return nil, fmt.Errorf("its discovery document cannot be read: %s", clip(err.Error()))
	}
	for _, e := range []struct{ name, url string }{
		{"authorization_endpoint", doc.AuthURL}, {"token_endpoint", doc.TokenURL}, {"jwks_uri", doc.KeysURL}, {"userinfo_endpoint", doc.UserInfoURL},
	} {
		if e.name == "userinfo_endpoint" && e.url == "" {
			continue
		}
		if err := d.checkEndpoint(e.url); err != nil {
			return nil, fmt.Errorf("its discovery document has %s %q: %w", e.name, clip(e.url), err)
		}
	}
	// Without a list, OpenID Connect Discovery says, it is client_secret_basic.
	byPost := len(doc.Methods) > 0 && !slices.Contains(doc.Methods, "client_secret_basic")
	verifier := provider.Verifier(&gooidc.Config{ClientID: d.clientID})
	return &remote{Provider: provider, verifier: verifier, byPost: byPost, at: time.Now()}, nil
}

// checkEndpoint lets no provider lead from https to http.
func (d *discovery) checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	issuer, _ := url.Parse(d.issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it must be an absolute https URL")
	case u.Scheme == "http" && (issuer.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("it must be https, as the issuer is, or http on a loopback address with an issuer that is")
	}
	return nil
}

// limit returns a copy of c that neither waits nor reads for ever, and follows no
// redirect: one would take a code and the client's secret to another place.
func limit(c *http.Client) *http.Client {
	if c == nil {
		c = new(http.Client)
	}
	limited := *c
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	limited.Transport = limitedTransport{base}
	limited.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if limited.Timeout == 0 {
		limited.Timeout = requestTimeout
	}
	return &limited
}

type limitedTransport struct{ http.RoundTripper }

func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

// limitedBody fails where io.LimitReader would pretend to be at the end.
type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return n, err
}
