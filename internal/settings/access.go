package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"go.yaml.in/yaml/v3"
)

// Access is what a server can be told about who reaches it, and how.
type Access struct {
	PublicURL  string
	SecretFile string

	TLSCert     string
	TLSKey      string
	TLSClientCA string
	TLSRequire  bool

	SessionLifetime  Duration
	TailsPerTenant   int
	ExportsPerTenant int
	EventsPerSecond  int // of each who signs in
	QueriesAtOnce    int // of each who signs in

	OIDC  OIDC
	Roles []Role // in the settings file alone
}

// OIDC is what a server can be told about where people sign in.
type OIDC struct {
	Issuer           string
	ClientID         string
	ClientSecretFile string
	CA               string
	Name             string
	Scopes           []string
	GroupsClaim      string
}

// Role is what members of some groups of the provider may do.
type Role struct {
	Name   string   `yaml:"name"`
	Groups []string `yaml:"groups"`
	Tenant string   `yaml:"tenant,omitempty"` // "": every tenant
	Rights []string `yaml:"rights"`
	Filter string   `yaml:"filter,omitempty"`
	Hide   []string `yaml:"hide,omitempty"`
}

// Redact is what a server can be told about secrets in events.
type Redact struct {
	Defaults bool
	Keys     []string
	Fields   []string
	Patterns []string
	Method   string
}

func defaultAccess() Access {
	return Access{
		SessionLifetime: Duration(12 * time.Hour), TailsPerTenant: 512, ExportsPerTenant: 4,
		OIDC: OIDC{Name: "single sign-on", Scopes: []string{"profile", "email"}, GroupsClaim: "groups"},
	}
}

// allAccess is the part of the table that is about who may do what.
func (s *Settings) allAccess() []setting {
	a, o, r := &s.Access, &s.Access.OIDC, &s.Redact
	return []setting{
		{"public_url", (*optional)(&a.PublicURL), "`URL` at which browsers reach the server; empty: the address that it listens on"},
		{"secret_file", (*optional)(&a.SecretFile), "`file` with at least 32 bytes from which sessions, tokens and redactions are keyed, to be shared by servers that stand for one another; empty: a secret of the server's own"},
		{"tls.cert", (*optional)(&a.TLSCert), "PEM `file` of the certificate to serve with, read again when it changes; empty: no TLS"},
		{"tls.key", (*optional)(&a.TLSKey), "PEM `file` of its key"},
		{"tls.client_ca", (*optional)(&a.TLSClientCA), "PEM `file` of the authorities whose client certificates stand for keys; empty: none do"},
		{"tls.require_client", (*boolean)(&a.TLSRequire), "refuse connections without such a certificate: `true` or false"},
		{"session.lifetime", &a.SessionLifetime, "`time` after which who signed in on the page must do so again"},
		{"limits.tails_per_tenant", (*count)(&a.TailsPerTenant), "`number` of live tails that keys of one tenant have open at once; 0: no bound"},
		{"limits.exports_per_tenant", (*count)(&a.ExportsPerTenant), "`number` of exports that keys of one tenant run at once; 0: no bound"},
		{"limits.events_per_second", (*count)(&a.EventsPerSecond), "`number` of events a second that each who signs in may publish; 0: no bound"},
		{"limits.queries_at_once", (*count)(&a.QueriesAtOnce), "`number` of queries at once of each who signs in; 0: no bound"},
		{"oidc.issuer", (*optional)(&o.Issuer), "`URL` of the OpenID Connect provider where people sign in; empty: none"},
		{"oidc.client_id", (*optional)(&o.ClientID), "`name` that the provider knows this server by"},
		{"oidc.client_secret_file", (*optional)(&o.ClientSecretFile), "`file` that holds the client's secret and nothing else; empty: a public client"},
		{"oidc.ca", (*optional)(&o.CA), "PEM `file` of the authorities to trust for the provider; empty: the system's"},
		{"oidc.name", (*text)(&o.Name), "`name` that the page shows for the provider"},
		{"oidc.scopes", (*list)(&o.Scopes), "`list` of scopes to ask for besides openid"},
		{"oidc.groups_claim", (*text)(&o.GroupsClaim), "`claim` that lists the groups of who signs in, with dots into objects: realm_access.roles"},
		{"redact.defaults", (*boolean)(&r.Defaults), "take out values under well-known secret keys, such as password: `true` or false"},
		{"redact.keys", (*list)(&r.Keys), "`list` of further keys whose values are taken out"},
		{"redact.fields", (*list)(&r.Fields), "`list` of fields whose values are taken out, such as metadata.card.number"},
		{"redact.patterns", (*list)(&r.Patterns), "`list` of what is taken out wherever it stands: card-number, jwt … or /a regular expression/"},
		{"redact.method", choice(&r.Method, "mask", "hmac"), "what takes its place: `mask`, or hmac, by which equal values can be told and not guessed"},
	}
}

// checkAccess finds settings that contradict one another.
func (s *Settings) checkAccess() (errs []error) {
	a := &s.Access
	if (a.TLSCert == "") != (a.TLSKey == "") {
		errs = append(errs, fmt.Errorf("tls.cert is %q and tls.key %q; give both or neither", a.TLSCert, a.TLSKey))
	}
	if a.TLSClientCA != "" && a.TLSCert == "" {
		errs = append(errs, fmt.Errorf("tls.client_ca is %q; it goes with tls.cert and tls.key", a.TLSClientCA))
	}
	if a.TLSRequire && a.TLSClientCA == "" {
		errs = append(errs, errors.New("tls.require_client is true; it goes with tls.client_ca"))
	}
	if u, err := url.Parse(a.PublicURL); a.PublicURL != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "") {
		errs = append(errs, fmt.Errorf("public_url is %q; it must be http or https, a host, and nothing behind, such as https://audit.example.com", a.PublicURL))
	}
	o := &a.OIDC
	switch {
	case o.Issuer == "" && o.ClientID+o.ClientSecretFile != "":
		errs = append(errs, errors.New("oidc.client_id and oidc.client_secret_file go with oidc.issuer"))
	case o.Issuer != "" && o.ClientID == "":
		errs = append(errs, errors.New("oidc.client_id is empty; it goes with oidc.issuer"))
	case o.Issuer != "" && a.PublicURL == "":
		errs = append(errs, errors.New("public_url is empty; with oidc.issuer it must be given, because the provider sends browsers back to it"))
	case o.Issuer != "" && len(a.Roles) == 0:
		errs = append(errs, errors.New("roles are missing in the settings file; without one, nobody who signs in with oidc.issuer may do anything"))
	case o.Issuer == "" && len(a.Roles) > 0:
		errs = append(errs, errors.New("roles are those of people who sign in; they go with oidc.issuer"))
	}
	if a.SessionLifetime < Duration(time.Minute) {
		errs = append(errs, fmt.Errorf("session.lifetime is %v; it must be at least 1m", a.SessionLifetime))
	}
	return errs
}

// takeRoles takes the list of roles out of a settings file.
func takeRoles(doc *yaml.Node) ([]Role, error) {
	if doc.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if doc.Content[i].Value != "roles" {
			continue
		}
		text, err := yaml.Marshal(doc.Content[i+1])
		if err != nil {
			return nil, err
		}
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		var roles []Role
		if err := d.Decode(&roles); err != nil {
			return nil, fmt.Errorf("roles, from line %d on: %w", doc.Content[i].Line, err)
		}
		doc.Content = append(doc.Content[:i:i], doc.Content[i+2:]...)
		return roles, nil
	}
	return nil, nil
}

func printRoles(w io.Writer, roles []Role) error {
	if len(roles) == 0 {
		return nil
	}
	text, err := yaml.Marshal(map[string][]Role{"roles": roles})
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
