package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestClientCertificates(t *testing.T) {
	ca, theirs, stranger := newAuthority(t, "ca"), newAuthority(t, "clients"), newAuthority(t, "clients") // of the same name
	good := theirs.make(func(c *x509.Certificate) { c.Subject.CommonName = "worker"; c.DNSNames = nil })
	tests := []struct {
		name   string
		client *made // nil: it shows none
		optional, required,
		unasked string // what the handshake says with ClientCA, with RequireClient, without ClientCA; "": good
	}{
		{"none", nil, "", "didn't provide a certificate", ""},
		{"good", good, "", "", ""},
		{"of another authority", stranger.make(nil), "unknown authority", "unknown authority", ""},
		{"of the server's authority", ca.make(nil), "unknown authority", "unknown authority", ""},
		{"expired", theirs.make(expired), "has expired", "has expired", ""},
		{"for servers only", theirs.make(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "incompatible key usage", "incompatible key usage", ""},
	}
	f := newFolder(t, ca.make(nil))
	f.write("ca.crt", theirs.pem)
	server := func(change func(*Options)) *tls.Config {
		o := f.options()
		change(&o)
		s, _ := open(t, o)
		return s.Config()
	}
	unasked := server(func(*Options) {})
	optional := server(func(o *Options) { o.ClientCA = f.path("ca.crt") })
	required := server(func(o *Options) { o.ClientCA, o.RequireClient = f.path("ca.crt"), true })
	for _, tt := range tests {
		client := trust(ca)
		if tt.client != nil { // whatever authorities the server names
			pair := tt.client.pair()
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		for _, at := range []struct {
			name   string
			config *tls.Config
			says   string
		}{{"optional", optional, tt.optional}, {"required", required, tt.required}, {"unasked", unasked, tt.unasked}} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client.MaxVersion = version
				got, _, err := shake(t, at.config, client)
				if at.says == "" && err != nil || at.says != "" && (err == nil || !strings.Contains(err.Error(), at.says)) {
					t.Errorf("%s, %s, %s: %v; want %q", tt.name, at.name, tls.VersionName(version), err, at.says)
				}
				var want []string
				if tt.client == good && at.config != unasked {
					want = []string{"cn:worker"}
				}
				if names := ClientNames(&got); !slices.Equal(names, want) {
					t.Errorf("%s, %s: it is called %q, want %q", tt.name, at.name, names, want)
				}
			}
		}
	}
}

// An authority that is taken out of the file counts no more, also for who was here
// before and could resume.
func TestClientAuthoritiesChange(t *testing.T) {
	ca, old, next := newAuthority(t, "ca"), newAuthority(t, "old"), newAuthority(t, "next")
	f := newFolder(t, ca.make(nil))
	f.write("ca.crt", old.pem)
	o := f.options()
	o.ClientCA, o.RequireClient = f.path("ca.crt"), true
	s, _ := open(t, o)
	server := s.Config() // one for all, as of a listener: its tickets are good for its life

	client := func(m *made) *tls.Config {
		c := trust(ca)
		c.Certificates = []tls.Certificate{m.pair()}
		c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		return c
	}
	was, comes := client(old.make(nil)), client(next.make(nil))
	try := func(c *tls.Config, good bool) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := c.Clone()
			c.MaxVersion = version
			if _, _, err := shake(t, server, c); (err == nil) != good {
				t.Errorf("%s: %v; want good: %v", tls.VersionName(version), err, good)
			}
		}
	}
	change := func(pem []byte) {
		f.write("ca.crt", pem)
		s.look()
		s.look()
	}
	try(was, true)
	try(comes, false)
	change(append(bytes.Clone(old.pem), next.pem...))
	try(was, true)
	try(comes, true)
	change(next.pem)
	try(was, false)
	try(comes, true)
	change(next.pem[:50])
	try(comes, true)
	if got := s.Stats(); got.Reloads != 2 || got.Errors != 1 || !got.Failing {
		t.Errorf("stats are %+v", got)
	}
}

func TestClientNames(t *testing.T) {
	uri := func(s string) *url.URL { return parseURL(t, s) }
	chain := func(c *x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c, {Subject: pkix.Name{CommonName: "ca"}}}}}
	}
	all := &x509.Certificate{
		URIs: []*url.URL{uri("spiffe://example.org/ingest")}, DNSNames: []string{"Worker.Example.org", "*.example.org"},
		EmailAddresses: []string{"ops@example.org"}, Subject: pkix.Name{CommonName: "worker"},
	}
	tests := []struct {
		name  string
		state *tls.ConnectionState
		want  []string
	}{
		{"no TLS", nil, nil},
		{"no certificate", &tls.ConnectionState{}, nil},
		{"a certificate that was not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{all}}, nil},
		{"every kind", chain(all), []string{"uri:spiffe://example.org/ingest", "dns:worker.example.org", "dns:*.example.org", "email:ops@example.org", "cn:worker"}},
		{"no names", chain(&x509.Certificate{}), nil},
		{"twice", chain(&x509.Certificate{DNSNames: []string{"a", "A", "a"}}), []string{"dns:a"}},
		{"a name of two kinds", chain(&x509.Certificate{DNSNames: []string{"a"}, Subject: pkix.Name{CommonName: "a"}}), []string{"dns:a", "cn:a"}},
		{"a common name that looks like a host of another kind", chain(&x509.Certificate{Subject: pkix.Name{CommonName: "dns:a"}}), []string{"cn:dns:a"}},
		{"line ends", chain(&x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}), nil},
		{"no UTF-8", chain(&x509.Certificate{Subject: pkix.Name{CommonName: "a\xff"}}), nil},
	}
	for _, tt := range tests {
		if got := ClientNames(tt.state); !slices.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
