package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/event"
)

// foreign stands in every text of the events of the tenant globex: whoever may not
// see that tenant must never be sent it.
const foreign = "gl0bex"

// tenantEvents returns events of the tenants acme and globex, in turns.
func tenantEvents(n int) []event.Event {
	var events []event.Event
	for i := range n {
		e := numbered(i)
		e.TenantID = "acme"
		if i%2 == 1 {
			e.TenantID = "globex"
			e.UserID, e.Action, e.Resource, e.RequestID = foreign+"-user", foreign+".act", foreign+"/1", foreign
			e.Labels, e.Metadata, e.Changes = `{"env":"`+foreign+`"}`, `{"k":"`+foreign+`"}`, `[{"new":"`+foreign+`","path":"p"}]`
		}
		events = append(events, e)
	}
	return events
}

// holders are the keys, tokens and sessions of the matrix: what each shows.
type holders map[string]func(*http.Request)

// newHolders makes a key of every kind.
func newHolders(t *testing.T, s *server) holders {
	t.Helper()
	h := holders{"nobody": func(*http.Request) {}, "stranger": bearer("dbk_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52))}
	soon := time.Now().Add(time.Hour)
	for _, k := range []struct {
		holder string
		spec   keyring.Spec
	}{
		{"admin", keyring.Spec{Rights: access.Admin}},
		{"acme-admin", keyring.Spec{Rights: access.Admin, Tenant: "acme"}},
		{"acme-writer", keyring.Spec{Rights: access.Write, Tenant: "acme"}},
		{"acme-reader", keyring.Spec{Rights: access.Read, Tenant: "acme", ExpiresAt: &soon}},
		{"acme-narrow", keyring.Spec{Rights: access.Read, Tenant: "acme", Filter: "user_id:user-0", Hidden: []string{"source_ip", "metadata"}}},
		{"reader", keyring.Spec{Rights: access.Read}},
		{"writer", keyring.Spec{Rights: access.Write}},
		{"metrics", keyring.Spec{Rights: access.Metrics}},
		{"revoked", keyring.Spec{Rights: access.Write | access.Read}},
		{"expired", keyring.Spec{Rights: access.Write | access.Read, ExpiresAt: &soon}},
	} {
		k.spec.Name = k.holder
		now := time.Now()
		if k.holder == "expired" {
			now = soon.Add(-2 * time.Hour)
			at := now.Add(time.Minute)
			k.spec.ExpiresAt = &at
		}
		key, secret, err := s.keys.Create(k.spec, "test", now, nil)
		if err != nil {
			t.Fatal(err)
		}
		if k.holder == "revoked" {
			if _, err := s.keys.Revoke(key.ID, now, nil); err != nil {
				t.Fatal(err)
			}
		}
		h[k.holder] = bearer(secret)
	}
	h["viewer"] = bearer(viewerToken(t, s, h["reader"], `{"tenant":"acme","subject":"ada"}`))
	h["session"] = cookie(t, s, h["acme-reader"])
	h["forged"] = func(r *http.Request) { r.Header.Set("Cookie", "daybook=dbs_eyJrIjoiYSJ9.AAAA") }
	return h
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// as sends a request with what a holder shows.
func (s *server) as(t testing.TB, show func(*http.Request), method, path, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	show(req)
	client := *s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := io.Reader(resp.Body)
	if resp.Header.Get("Content-Type") == "text/event-stream" { // which has no end
		read = io.LimitReader(resp.Body, 1)
	}
	b, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func viewerToken(t *testing.T, s *server, show func(*http.Request), body string) string {
	t.Helper()
	status, _, answer := s.as(t, show, "POST", "/v1/viewer-tokens", body)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("viewer token: %d %s", status, answer)
	}
	return made.Token
}

// cookie begins a session and returns what shows it.
func cookie(t *testing.T, s *server, show func(*http.Request)) func(*http.Request) {
	t.Helper()
	status, h, answer := s.as(t, show, "POST", "/v1/session", "")
	if status != http.StatusNoContent {
		t.Fatalf("session: %d %s", status, answer)
	}
	c, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Fatalf("cookie %+v, %v", c, err)
	}
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value}) }
}

// Who may use what. "all" is everyone, those who show nothing included. A route of
// the OpenAPI document that is not here fails the test.
var matrix = []struct {
	route, path, body string
	may               string
}{
	{"GET /v1/events", "/v1/events?limit=100", "", "admin acme-admin acme-reader acme-narrow reader viewer session"},
	{"POST /v1/events", "/v1/events", `{"user_id":"a","action":"b","resource":"c/1"}`, "admin acme-admin acme-writer writer"},
	{"GET /v1/events/{event_id}", "/v1/events/" + numberedID(0), "", "admin acme-admin acme-reader acme-narrow reader viewer session"},
	{"GET /v1/events/tail", "/v1/events/tail?since=beginning", "", "admin acme-admin acme-reader acme-narrow reader viewer session"},
	{"GET /v1/counts", "/v1/counts?by=user_id&interval=auto", "", "admin acme-admin acme-reader acme-narrow reader viewer session"},
	{"GET /v1/export", "/v1/export", "", "admin acme-admin acme-reader acme-narrow reader viewer session"},
	{"GET /v1/dead-letters", "/v1/dead-letters", "", "admin acme-admin"},
	{"GET /v1/dead-letters/{id}", "/v1/dead-letters/0-9999", "", "admin acme-admin"},
	{"POST /v1/dead-letters/{id}/replay", "/v1/dead-letters/0-9999/replay", "", "admin acme-admin"},
	{"POST /v1/dead-letters/{id}/discard", "/v1/dead-letters/0-9999/discard", "", "admin acme-admin"},
	{"GET /v1/keys", "/v1/keys", "", "admin acme-admin"},
	{"GET /v1/keys/{id}", "/v1/keys/nosuchkey", "", "admin acme-admin"},
	{"POST /v1/keys", "/v1/keys", `{"name":"made","rights":["read"],"tenant":"acme"}`, "admin acme-admin"},
	{"POST /v1/keys/{id}/revoke", "/v1/keys/nosuchkey/revoke", "", "admin acme-admin"},
	{"POST /v1/keys/{id}/rotate", "/v1/keys/nosuchkey/rotate", "{}", "admin acme-admin"},
	{"POST /v1/viewer-tokens", "/v1/viewer-tokens", `{"tenant":"acme"}`, "admin acme-admin acme-reader acme-narrow reader session"},
	{"GET /v1/saved-searches", "/v1/saved-searches", "", "admin acme-admin acme-reader acme-narrow reader session"},
	{"POST /v1/saved-searches", "/v1/saved-searches", `{"name":"n","state":"q=1"}`, "admin acme-admin acme-reader acme-narrow reader session"},
	{"DELETE /v1/saved-searches/{id}", "/v1/saved-searches/nosuchsearch", "", "admin acme-admin acme-reader acme-narrow reader session"},
	{"GET /v1/session", "/v1/session", "", "admin acme-admin acme-writer acme-reader acme-narrow reader writer metrics viewer session"},
	{"POST /v1/session", "/v1/session", "", "admin acme-admin acme-writer acme-reader acme-narrow reader writer metrics"},
	{"DELETE /v1/session", "/v1/session", "", "all"},
	{"GET /v1/sign-in", "/v1/sign-in", "", "all"},
	{"GET /v1/sign-in/oidc", "/v1/sign-in/oidc", "", "all"},
	{"GET /v1/sign-in/oidc/callback", "/v1/sign-in/oidc/callback?code=x&state=y", "", "all"},
	{"GET /v1/system", "/v1/system", "", "admin metrics"},
	{"GET /metrics", "/metrics", "", "admin metrics"},
	{"GET /healthz", "/healthz", "", "all"},
	{"GET /readyz", "/readyz", "", "all"},
	{"GET /openapi.yaml", "/openapi.yaml", "", "all"},
	{"GET /", "/", "", "all"},
}

func numberedID(n int) string { return numbered(n).ID.String() }

// TestMatrix sends every request of the matrix with every holder. What is not
// allowed is answered 401 to who shows nothing that is known, and 403 to others;
// and whoever is of the tenant acme is never sent anything of globex.
func TestMatrix(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(tenantEvents(20)...)
	show := newHolders(t, s)
	unknown := []string{"nobody", "stranger", "revoked", "expired", "forged"}
	foreignID := numberedID(1)
	for _, row := range matrix {
		method, _, _ := strings.Cut(row.route, " ")
		for holder, shown := range show {
			status, h, body := s.as(t, shown, method, row.path, row.body)
			may := row.may == "all" || slices.Contains(strings.Fields(row.may), holder)
			switch {
			case may && (status == http.StatusUnauthorized || status == http.StatusForbidden):
				t.Errorf("%s as %s: %d, and should be allowed: %s", row.route, holder, status, body)
			case !may && slices.Contains(unknown, holder) && status != http.StatusUnauthorized:
				t.Errorf("%s as %s: %d, want 401", row.route, holder, status)
			case !may && !slices.Contains(unknown, holder) && status != http.StatusForbidden:
				t.Errorf("%s as %s: %d, want 403", row.route, holder, status)
			case status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "":
				t.Errorf("%s as %s: 401 without WWW-Authenticate", row.route, holder)
			}
			if holder != "admin" && holder != "reader" && (strings.Contains(body, foreign) || strings.Contains(body, foreignID) || strings.Contains(body, "globex")) {
				t.Errorf("%s as %s answers with what is of another tenant: %s", row.route, holder, body)
			}
		}
	}
}

// TestMatrixHasEveryRoute holds the matrix to the OpenAPI document.
func TestMatrixHasEveryRoute(t *testing.T) {
	var documented, rows []string
	for path, item := range loadOpenAPI(t, newServer(t)).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	for _, row := range matrix {
		rows = append(rows, row.route)
		pattern := regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(strings.SplitN(row.route, " ", 2)[1], "[^/]+")
		if path, _, _ := strings.Cut(row.path, "?"); !regexp.MustCompile("^" + pattern + "$").MatchString(path) {
			t.Errorf("%s is asked by %s", row.route, row.path)
		}
	}
	slices.Sort(documented)
	slices.Sort(rows)
	if !slices.Equal(documented, rows) {
		t.Errorf("documented %v\nin the matrix %v", documented, rows)
	}
}
