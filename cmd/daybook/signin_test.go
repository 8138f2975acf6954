package main

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/access/oidc/oidctest"
)

// serveAt is serve on an address that is known beforehand.
func serveAt(t *testing.T, addr string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := launch(exec.Command(exe, append([]string{"serve", "--listen", addr, "--log-level", "warn"}, args...)...), addr, testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	return stopAtEnd(t, s)
}

// TestSignIn signs people in with a real provider: alice's group has a role, bob
// is in none.
func TestSignIn(t *testing.T) {
	p := oidctest.Start(t)
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config, secret := filepath.Join(dir, "daybook.yaml"), filepath.Join(dir, "client-secret")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, p.ClientSecret+"\n")
	write(config, `
public_url: http://`+addr+`
oidc: {issuer: "`+p.Issuer+`", client_id: "`+p.ClientID+`", client_secret_file: "`+secret+`", name: Example}
roles:
  - {name: security, groups: [security], tenant: acme, rights: [read], hide: [source_ip]}
`)
	data := filepath.Join(dir, "data")
	admin := mustRun(t, "", "keys", "create", "--admin", "--data", data)
	s := serveAt(t, addr, "--data", data, "--config", config)
	if err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DAYBOOK_SERVER", s.url)
	t.Setenv("DAYBOOK_KEY", admin)
	mustRun(t, `{"user_id":"u","action":"b","resource":"c/1","tenant_id":"acme","source_ip":"10.0.0.1"}
{"user_id":"gl0bex-user","action":"b","resource":"c/1","tenant_id":"globex"}`, "send")

	get := func(c *http.Client, path string, into any) int {
		t.Helper()
		resp, err := c.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode
	}
	browser := func() *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Jar: jar}
	}

	alice := browser()
	if resp := p.SignIn(t, alice, s.url+"/v1/sign-in/oidc?return_to=/%3Fq=outcome:denied", oidctest.Alice); resp.Request.URL.String() != s.url+"/?q=outcome:denied" {
		t.Errorf("alice came back to %s", resp.Request.URL)
	}
	var session struct {
		Subject, Name, Kind string
		Tenant              string
		Rights, Hidden      []string
	}
	if status := get(alice, "/v1/session", &session); status != 200 || session.Kind != "oidc" || session.Tenant != "acme" || strings.Join(session.Rights, ",") != "read" {
		t.Errorf("alice's session: %d %+v", status, session)
	}
	var page struct{ Events []map[string]any }
	if status := get(alice, "/v1/events", &page); status != 200 || len(page.Events) != 1 || page.Events[0]["source_ip"] != nil {
		t.Errorf("alice sees: %d %v", status, page.Events)
	}
	if status := get(alice, "/v1/keys", nil); status != http.StatusForbidden {
		t.Errorf("alice and the keys: %d", status)
	}

	bob := browser()
	if resp := p.SignIn(t, bob, s.url+"/v1/sign-in/oidc", oidctest.Bob); resp.Request.URL.Query().Get("sign_in") != "no-role" {
		t.Errorf("bob came to %s", resp.Request.URL)
	}
	if status := get(bob, "/v1/session", nil); status != http.StatusUnauthorized {
		t.Errorf("bob's session: %d", status)
	}

	out := mustRun(t, "", "tail", "--since", "beginning", "--limit", "2", "-o", "ndjson", "action:session.create") // waits for both
	if n := strings.Count(out, "\n") + 1; n != 2 || !strings.Contains(out, `"outcome":"denied"`) || !strings.Contains(out, session.Subject) {
		t.Errorf("recorded of signing in: %s", out)
	}
}
