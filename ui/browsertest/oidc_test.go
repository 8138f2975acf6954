package browsertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/access/oidc/oidctest"
)

// People sign in with a real provider and come back to what they asked for; those
// without a role are told why they do not.
func TestSignInWithProvider(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	s := newServer(t)
	dir := filepath.Dir(s.data)
	config, secret := filepath.Join(dir, "daybook.yaml"), filepath.Join(dir, "client-secret")
	for file, text := range map[string]string{secret: provider.ClientSecret, config: `
public_url: ` + s.url + `
oidc: {issuer: "` + provider.Issuer + `", client_id: "` + provider.ClientID + `", client_secret_file: "` + secret + `", name: "Example <b>ID</b>"}
roles:
  - {name: security, groups: [security], tenant: harbour-finch, rights: [read], hide: [source_ip]}
`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.args = []string{"--config", config}
	s.startWithKeys()
	s.company()
	visit := func(user, answer string) *tab {
		t.Helper()
		p := blank(t, s)
		p.expect(401)
		p.hosts = append(p.hosts, strings.TrimPrefix(provider.Issuer, "http://"))
		p.goTo("/?from=all&q=outcome:denied")
		p.sees("sign-in-oidc", "Sign in with Example <b>ID</b>")
		p.click("sign-in-oidc")
		p.fill("[name=username]", user)
		p.fill("[name=password]", oidctest.Password)
		p.keys("\r")
		p.click(`button[value="` + answer + `"]`)
		return p
	}
	p := visit(oidctest.Alice, "allow")
	p.settled()
	if p.address() != "/?from=all&q=outcome:denied" {
		t.Errorf("address: %s", p.address())
	}
	p.sees("row", "denied")
	p.wait(`!document.body.innerText.includes("10.20.")`) // hidden from the role
	p.click("account")
	p.sees(".account", "Until")
	p.click("sign-out")
	p.sees("sign-in-view", "Sign in to Daybook")

	p = visit(oidctest.Bob, "allow")
	p.sees("sign-in-error", "no role here is of one of your groups")
	if p.address() != "/" {
		t.Errorf("address: %s", p.address())
	}
	p = visit(oidctest.Alice, "deny")
	p.sees("sign-in-error", "called off")
}
