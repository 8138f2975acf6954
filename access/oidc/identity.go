package oidc

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Identity is who has signed in, as the provider says.
type Identity struct {
	Subject string // the provider's name for the user, which never changes and is never given to another
	Name    string // to show: claim name, else preferred_username, else the address, else the subject
	Email   string // "": the provider tells none

	// EmailVerified is whether the provider vouches that the address is the
	// user's. An address without it may be anybody's.
	EmailVerified bool

	Groups  []string  // in the provider's order, each once
	Expires time.Time // when the provider's word ends
}

// redeem exchanges the code for tokens, and returns whom they are about.
func (p *Provider) redeem(ctx context.Context, remote *remote, f *flow, code string) (*Identity, error) {
	token, err := p.config(remote).Exchange(ctx, code, oauth2.VerifierOption(encode32(f.verifier)))
	if err != nil {
		return nil, p.exchangeError(err, code, encode32(f.verifier))
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, fmt.Errorf("%w: the provider answered the code without an ID token; the client may not ask for scope openid", ErrRefused)
	}
	verified, err := remote.verifier.Verify(ctx, raw)
	if err != nil {
		kind, text := ErrRefused, err.Error()
		if strings.Contains(text, "fetching keys") { // go-oidc does not wrap it
			kind = ErrUnavailable
		}
		return nil, fmt.Errorf("%w: ID token: %s", kind, scrub(text, raw, token.AccessToken))
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: ID token: its claims are no object", ErrRefused)
	}
	azp, _ := claims["azp"].(string)
	switch {
	case subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(encode32(f.nonce))) != 1:
		return nil, fmt.Errorf("%w: ID token: its nonce is not that of this sign-in", ErrRefused)
	case azp != "" && azp != p.opts.ClientID:
		return nil, fmt.Errorf("%w: ID token: it was issued to client %q, not to %q", ErrRefused, clip(azp), p.opts.ClientID)
	case verified.AccessTokenHash != "" && verified.VerifyAccessToken(token.AccessToken) != nil:
		return nil, fmt.Errorf("%w: ID token: its at_hash is of another access token", ErrRefused)
	case verified.Subject == "":
		return nil, fmt.Errorf("%w: ID token: it has no sub", ErrRefused)
	}
	id := &Identity{Subject: verified.Subject, Expires: verified.Expiry}
	if err := p.describe(ctx, remote, id, claims, token); err != nil {
		return nil, err
	}
	return id, nil
}

// exchangeError is the error of a provider that gave no tokens for a code.
func (p *Provider) exchangeError(err error, secrets ...string) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("%w: asked for tokens: %s", ErrUnavailable, scrub(err.Error(), append(secrets, p.opts.ClientSecret)...))
	}
	status := answer.Response.StatusCode
	p.log.Warn("the identity provider gave no tokens for a code", "status", status, "error", clip(answer.ErrorCode),
		"description", scrub(answer.ErrorDescription, append(secrets, p.opts.ClientSecret)...))
	if status >= 500 || status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: asked for tokens, it answers %d", ErrUnavailable, status)
	}
	word := "without saying why"
	if answer.ErrorCode != "" {
		word = "saying " + errorWord(answer.ErrorCode)
	}
	return fmt.Errorf("%w: the provider gave no tokens for the code, status %d, %s", ErrRefused, status, word)
}

// describe fills id with what the ID token says, and the userinfo endpoint where
// it is silent: providers put little into an ID token, or leave out groups when
// there are many.
func (p *Provider) describe(ctx context.Context, remote *remote, id *Identity, claims map[string]any, token *oauth2.Token) error {
	groups, found := lookup(claims, p.opts.GroupsClaim)
	if remote.UserInfoEndpoint() != "" && (!found || text(claims, "name") == "" || text(claims, "email") == "") {
		more, err := p.userInfo(ctx, remote, id.Subject, token)
		if err != nil {
			return err
		}
		if !found {
			groups, found = lookup(more, p.opts.GroupsClaim)
		}
		for _, name := range []string{"name", "preferred_username"} {
			if text(claims, name) == "" {
				claims[name] = more[name]
			}
		}
		if text(claims, "email") == "" { // an address and whether it is verified come from one place
			claims["email"], claims["email_verified"] = more["email"], more["email_verified"]
		}
	}
	id.Email = text(claims, "email")
	if id.Email != "" {
		// Some providers write the boolean as a string.
		id.EmailVerified = claims["email_verified"] == true || claims["email_verified"] == "true"
	}
	id.Name = cmp.Or(text(claims, "name"), text(claims, "preferred_username"), id.Email, id.Subject)
	if !found {
		if overage(claims, p.opts.GroupsClaim) {
			p.log.Warn("a user has too many groups for an ID token and signs in without any; let the provider send only those that are assigned to the client",
				"subject", id.Subject, "claim", p.opts.GroupsClaim)
		}
		return nil
	}
	var err error
	if id.Groups, err = groupNames(groups); err != nil {
		return fmt.Errorf("%w: claim %s %w", ErrRefused, p.opts.GroupsClaim, err)
	}
	return nil
}

// userInfo asks the provider's userinfo endpoint. One that refuses is as one that
// says nothing: some answer only for other tokens.
func (p *Provider) userInfo(ctx context.Context, remote *remote, subject string, token *oauth2.Token) (map[string]any, error) {
	info, err := remote.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		text := scrub(err.Error(), token.AccessToken)
		if isNetwork(err) || strings.HasPrefix(text, "5") { // go-oidc's error begins with the status
			return nil, fmt.Errorf("%w: asked for userinfo: %s", ErrUnavailable, text)
		}
		p.log.Warn("the identity provider's userinfo endpoint does not answer; a user signs in with what the ID token says", "subject", subject, "error", text)
		return nil, nil
	}
	if info.Subject != subject {
		return nil, fmt.Errorf("%w: userinfo is about another subject than the ID token", ErrRefused)
	}
	var claims map[string]any
	if err := info.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: userinfo is no object", ErrRefused)
	}
	return claims, nil
}

// lookup returns a claim by its name or by its path. Names may have dots, as in
// https://example.com/groups, so the longest name that is there wins. null is as
// good as absent.
func lookup(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok && v != nil {
		return v, true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v, ok := lookup(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// groupNames reads the value of the groups claim.
func groupNames(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var names []string
	seen := map[string]bool{"": true}
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return nil, errors.New("must be an array of strings or one string; name another claim, or let the provider send it so")
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

// overage reports whether the provider says that groups are elsewhere, in the way
// of OpenID Connect's distributed claims or of Microsoft Entra ID.
func overage(claims map[string]any, claim string) bool {
	names, _ := claims["_claim_names"].(map[string]any)
	return names[claim] != nil || claims["hasgroups"] == true || claims["hasgroups"] == "true"
}

// text returns a claim that is a string.
func text(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}

// scrub returns the beginning of a text of the provider or a library, without what
// must not be in it.
func scrub(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "(secret)")
		}
	}
	return clip(s)
}
