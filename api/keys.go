package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
)

// maxRequest is the largest body of a request about keys.
const maxRequest = 64 << 10

// accessRoutes are the endpoints about who may do what.
func (a *API) accessRoutes() []route {
	routes := []route{
		{"GET /v1/sign-in", public, a.signIn, false},
		{"GET /v1/session", anyone, a.session, false},
		{"POST /v1/session", anyone, a.beginSession, false},
		{"DELETE /v1/session", public, a.endSession, false},
		{"GET /v1/keys", access.Admin, a.listKeys, false},
		{"GET /v1/keys/{id}", access.Admin, a.getKey, false},
		{"POST /v1/keys", access.Admin, a.createKey, false},
		{"POST /v1/keys/{id}/revoke", access.Admin, a.revokeKey, false},
		{"POST /v1/keys/{id}/rotate", access.Admin, a.rotateKey, false},
		{"POST /v1/viewer-tokens", access.Read, a.createViewer, false},
	}
	if a.access.Provider != nil {
		routes = append(routes,
			route{"GET /v1/sign-in/oidc", public, a.beginSignIn, false},
			route{"GET /v1/sign-in/oidc/callback", public, a.finishSignIn, false})
	}
	return routes
}

// keyBody is a key as the API shows it. Tenant is null for every tenant.
type keyBody struct {
	keyring.Key
	Tenant *string  `json:"tenant"`
	Hidden []string `json:"hidden"`
}

func newKeyBody(k keyring.Key) keyBody {
	b := keyBody{Key: k, Hidden: k.Hidden}
	if k.Tenant != "" {
		b.Tenant = &k.Tenant
	}
	if b.Hidden == nil {
		b.Hidden = []string{}
	}
	return b
}

// madeKey is the answer to the making of a secret: the one time that it is shown.
type madeKey struct {
	Key    keyBody `json:"key"`
	Secret string  `json:"secret"` // the whole key, dbk_<id>_<secret>
}

// listKeys answers GET /v1/keys.
func (a *API) listKeys(w http.ResponseWriter, r *http.Request) {
	p, err := params(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	prefix, _ := p.Text("prefix")
	wanted := p.Choice("state", "any", string(keyring.Active), string(keyring.Expired), string(keyring.Revoked))
	labels := map[string]string{}
	if text, ok := p.Text("label"); ok {
		name, value, found := strings.Cut(text, "=")
		if !found {
			p.Fail("label", text, "must be name=value")
		}
		labels[name] = value
	}
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	g := GrantOf(r.Context())
	keys := keyring.Labelled(a.access.Keys.List(prefix, time.Now()), labels)
	body := struct {
		Keys []keyBody `json:"keys"`
	}{Keys: []keyBody{}}
	for _, k := range keys {
		if g.Governs(k.Tenant) && (wanted == "any" || wanted == string(k.State)) {
			body.Keys = append(body.Keys, newKeyBody(k))
		}
	}
	b, err := json.Marshal(body)
	a.sendJSON(w, r, b, err)
}

// getKey answers GET /v1/keys/{id}.
func (a *API) getKey(w http.ResponseWriter, r *http.Request) {
	k, err := a.governed(r)
	if err != nil {
		a.failKey(w, r, err)
		return
	}
	b, err := json.Marshal(newKeyBody(k))
	a.sendJSON(w, r, b, err)
}

// governed returns the key that a path names, if the sender governs its tenant: a
// key of another is as if it were not there.
func (a *API) governed(r *http.Request) (keyring.Key, error) {
	k, err := a.access.Keys.Get(r.PathValue("id"), time.Now())
	if err == nil && !GrantOf(r.Context()).Governs(k.Tenant) {
		err = keyring.ErrNoKey
	}
	return k, err
}

// createKey answers POST /v1/keys.
func (a *API) createKey(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	var spec keyring.Spec
	if err := readJSON(w, r, &spec); err != nil {
		a.fail(w, r, err)
		return
	}
	if g.Scope.Tenant != "" && spec.Tenant == "" {
		spec.Tenant = g.Scope.Tenant
	}
	if !g.Governs(spec.Tenant) {
		a.forbid(w, r, g, fmt.Sprintf("%s makes keys of tenant %q and no other", holder(g), g.Scope.Tenant))
		return
	}
	k, secret, err := a.access.Keys.Create(spec, g.Subject, time.Now(), func(k keyring.Key) error {
		return a.recordKey(r, g, "key.create", "create", k)
	})
	if err != nil {
		a.failKey(w, r, err)
		return
	}
	b, err := json.Marshal(madeKey{newKeyBody(k), secret})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusCreated)
	w.Write(append(b, '\n')) // who has gone made a key that nobody has; it can be revoked
}

// revokeKey answers POST /v1/keys/{id}/revoke.
func (a *API) revokeKey(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	k, err := a.governed(r)
	if err == nil {
		k, err = a.access.Keys.Revoke(k.ID, time.Now(), func(k keyring.Key) error {
			return a.recordRevocation(r, g, k)
		})
	}
	if err != nil {
		a.failKey(w, r, err)
		return
	}
	b, err := json.Marshal(newKeyBody(k))
	a.sendJSON(w, r, b, err)
}

// rotateKey answers POST /v1/keys/{id}/rotate.
func (a *API) rotateKey(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	var body struct {
		Overlap string `json:"overlap"`
	}
	if err := readJSON(w, r, &body); err != nil {
		a.fail(w, r, err)
		return
	}
	overlap, err := parseSpan("overlap", body.Overlap)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	k, err := a.governed(r)
	var secret string
	if err == nil {
		k, secret, err = a.access.Keys.Rotate(k.ID, overlap, time.Now(), func(k keyring.Key) error {
			return a.recordKey(r, g, "key.rotate", "update", k)
		})
	}
	if err != nil {
		a.failKey(w, r, err)
		return
	}
	b, err := json.Marshal(madeKey{newKeyBody(k), secret})
	a.sendJSON(w, r, b, err)
}

// recordKey records what is about to become of a key. The keyring calls it while no
// other key changes: whoever asked has not been revoked meanwhile, or is refused.
func (a *API) recordKey(r *http.Request, g *access.Grant, action, operation string, k keyring.Key) error {
	if !g.Alive(time.Now()) {
		return errEnded
	}
	return a.record(r, g, keyEntry(action, operation, k))
}

// recordRevocation records that a key is about to be revoked, and lets it be in any
// case: a key that leaked may be what fills the disk, and must be stopped all the same.
// What the log does not take now waits for it.
func (a *API) recordRevocation(r *http.Request, g *access.Grant, k keyring.Key) error {
	if !g.Alive(time.Now()) {
		return errEnded
	}
	if a.access.Log == nil {
		return nil
	}
	e := about(r, g, keyEntry("key.revoke", "delete", k))
	if err := a.access.Log.Record(r.Context(), e); err != nil {
		a.log.Error("a key is revoked and that is not recorded yet", "key", k.ID, "by", g.Subject, "err", err)
		a.access.Log.Note(e)
	}
	return nil
}

// keyEntry is what is recorded of what becomes of a key.
func keyEntry(action, operation string, k keyring.Key) audit.Entry {
	m := map[string]any{"name": k.Name, "rights": k.Rights.Names(), "tenant": k.Tenant}
	if k.Filter != "" {
		m["filter"] = k.Filter
	}
	if len(k.Hidden) > 0 {
		m["hidden"] = k.Hidden
	}
	if k.ExpiresAt != nil {
		m["expires_at"] = k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	if len(k.Labels) > 0 {
		m["labels"] = maps.Clone(k.Labels)
	}
	return audit.Entry{Action: action, Operation: operation, Resource: "key/" + k.ID, Metadata: m}
}

// createViewer answers POST /v1/viewer-tokens.
func (a *API) createViewer(w http.ResponseWriter, r *http.Request) {
	g := GrantOf(r.Context())
	if g.Kind != access.ByKey && g.Kind != access.Certificate {
		a.forbid(w, r, g, "an API key is needed to make a viewer token, which lasts no longer than the key that made it")
		return
	}
	var body struct {
		Subject   string   `json:"subject"`
		Tenant    string   `json:"tenant"`
		Filter    string   `json:"filter"`
		Hidden    []string `json:"hidden"`
		ExpiresIn string   `json:"expires_in"`
	}
	if err := readJSON(w, r, &body); err != nil {
		a.fail(w, r, err)
		return
	}
	lasts, err := parseSpan("expires_in", body.ExpiresIn)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	token, expires, err := a.access.Gate.IssueViewer(g, gate.Viewer{Subject: body.Subject, Tenant: body.Tenant, Filter: body.Filter, Hidden: body.Hidden, Lasts: lasts}, time.Now())
	if err != nil {
		a.failKey(w, r, err)
		return
	}
	m := map[string]any{"tenant": cmp.Or(body.Tenant, g.Scope.Tenant), "filter": shortened(body.Filter), "expires_at": expires.Format(time.RFC3339)}
	if len(body.Hidden) > 0 {
		m["hidden"] = shortened(strings.Join(body.Hidden, ","))
	}
	a.soon(r, g, audit.Entry{Action: "viewer_token.create", Operation: "create", Resource: "viewer/" + body.Subject, Metadata: m})
	b, err := json.Marshal(struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{token, expires})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusCreated)
	w.Write(append(b, '\n')) // a token that nobody got expires
}

// failKey answers with an error of the keyring.
func (a *API) failKey(w http.ResponseWriter, r *http.Request, err error) {
	if fault, ok := errors.AsType[*keyring.Error](err); ok {
		status, kind, title := http.StatusUnprocessableEntity, "invalid-key", "Not possible for a key"
		if fault.Field == "id" {
			status, kind = http.StatusConflict, "key-stands"
		}
		err = problem.Problem{Type: kind, Status: status, Title: title, Detail: fault.Error(),
			Errors: []problem.Error{{Field: fault.Field, Value: cutValue(fault.Value), Reason: fault.Reason}}}
	} else if errors.Is(err, keyring.ErrNoKey) {
		err = problem.Problem{Type: "no-such-key", Status: http.StatusNotFound, Title: "No such key",
			Detail: "there is no key with this id; GET /v1/keys lists those that there are"}
	}
	a.fail(w, r, err)
}

// cutValue shortens a value for an error message.
func cutValue(v string) string {
	if len(v) > 64 {
		return strings.ToValidUTF8(v[:64], "") + "…"
	}
	return v
}

// readJSON reads a request's body, one JSON object without members that are not
// known, or there twice. An empty body is an empty object.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if p, ok := errors.AsType[problem.Problem](err); ok {
		return p
	}
	if err == nil && len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err == nil {
		err = decodeStrictly(body, into)
	}
	if err != nil {
		return problem.Problem{Type: "invalid-body", Status: http.StatusBadRequest, Title: "Body cannot be read",
			Detail: fmt.Sprintf("the body must be one JSON object of at most %d KiB with the members that docs/http-api.md lists: %v", maxRequest>>10, err)}
	}
	return nil
}

// decodeStrictly decodes an object as whoever else looks at it would: encoding/json
// takes the last of two members, and "Tenant" for "tenant".
func decodeStrictly(body []byte, into any) error {
	if _, err := event.AppendCanonicalJSON(nil, body); err != nil { // refuses a name that is there twice
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return errors.New("it is no object")
	}
	for name := range members {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return fmt.Errorf("unknown field %q", cutValue(name))
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// parseSpan reads a length of time from a request's body; "" is 0.
func parseSpan(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, problem.Problem{Type: "invalid-body", Status: http.StatusBadRequest, Title: "Not a length of time", Detail: name + " must be a length of time, such as 15m or 24h",
			Errors: []problem.Error{{Field: name, Value: cutValue(text), Reason: "must be a length of time, such as 15m or 24h"}}}
	}
	return d, nil
}

// accessFigures counts what was refused.
func (a *API) accessFigures() []Figure {
	figures := []Figure{{Name: "daybook_access_denied_total", Counter: true, Value: float64(a.denied.Load()),
		Help: "Requests refused because of who sent them: without a key, or without the right."}}
	if a.access.Log != nil {
		s := a.access.Log.Stats()
		figures = append(figures,
			Figure{Name: "daybook_audit_recorded_total", Counter: true, Value: float64(s.Recorded), Help: "Events recorded about this server itself, in the tenant _daybook."},
			Figure{Name: "daybook_audit_failures_total", Counter: true, Value: float64(s.Failed), Help: "Attempts to record an event about this server that failed."},
			Figure{Name: "daybook_audit_dropped_total", Counter: true, Value: float64(s.Dropped), Help: "What could not be recorded about this server, each of what is counted together; the log names it."})
	}
	if a.access.Keys != nil {
		states := a.access.Keys.States(time.Now())
		for _, state := range slices.Sorted(maps.Keys(states)) {
			figures = append(figures, Figure{Name: "daybook_keys", Value: float64(states[state]), Labels: map[string]string{"state": string(state)}, Help: "API keys, by state."})
		}
	}
	return figures
}
