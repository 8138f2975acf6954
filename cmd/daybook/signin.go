package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/oidc"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/internal/certs"
	"github.com/daybook-log/daybook/internal/settings"
)

// provider is where people sign in, as the API needs it.
type provider struct{ *oidc.Provider }

// openProvider makes the provider of the settings; nil where there is none.
func openProvider(a *settings.Access, secret []byte, srv *server) (api.Provider, error) {
	if a.OIDC.Issuer == "" {
		return nil, nil
	}
	o := oidc.Options{
		Issuer: a.OIDC.Issuer, ClientID: a.OIDC.ClientID, Scopes: a.OIDC.Scopes, GroupsClaim: a.OIDC.GroupsClaim,
		RedirectURL: strings.TrimSuffix(a.PublicURL, "/") + "/v1/sign-in/oidc/callback", Secret: secret, Logger: srv.log.With("stage", "sign-in"),
	}
	if file := a.OIDC.ClientSecretFile; file != "" {
		var err error
		if o.ClientSecret, err = readSecret("oidc.client_secret_file", file); err != nil {
			return nil, err
		}
	}
	if file := a.OIDC.CA; file != "" {
		pool, err := certs.Pool("oidc.ca", file)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		o.HTTPClient = &http.Client{Transport: transport}
	}
	p, err := oidc.Open(o)
	if err != nil {
		return nil, &exitCode{exitUsage, err}
	}
	return provider{p}, nil
}

func (p provider) Begin(w http.ResponseWriter, r *http.Request, returnTo string) error {
	return signInError(p.Provider.Begin(w, r, returnTo))
}

// Finish names somebody by the email that the provider has verified, else by the
// provider's own name for him, which never changes.
func (p provider) Finish(w http.ResponseWriter, r *http.Request) (gate.Person, string, error) {
	id, returnTo, err := p.Provider.Finish(w, r)
	if err != nil {
		return gate.Person{}, "", signInError(err)
	}
	who := gate.Person{Subject: id.Subject, Name: cmp.Or(id.Name, id.Email, id.Subject), Groups: id.Groups}
	if id.Email != "" && id.EmailVerified {
		who.Subject = id.Email
	}
	return who, returnTo, nil
}

// signInError says of which kind an error is.
func signInError(err error) error {
	if err == nil {
		return nil
	}
	kind := "unavailable"
	switch {
	case errors.Is(err, oidc.ErrDenied):
		kind = "denied"
	case errors.Is(err, oidc.ErrFlow):
		kind = "expired"
	case errors.Is(err, oidc.ErrRefused):
		kind = "refused"
	}
	return &api.SignInError{Kind: kind, Err: err}
}
