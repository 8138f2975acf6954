package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate and writes <name>.pem and <name>.key.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	must := func(err error) {
		a.t.Helper()
		if err != nil {
			a.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	must(os.WriteFile(a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// client returns an HTTP client that trusts a, and shows the certificate name if
// that is not "".
func (a *authority) client(name string) (*http.Client, *tls.Config) {
	a.t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(a.cert)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}}, c
}

// TestTLS serves over TLS, HTTP/2, with keys in headers and in certificates, to
// HTTP and Kafka clients.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, name := range []string{"billing", "unbound"} {
		a.issue(name, &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "prod", Path: "/" + name}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	data := t.TempDir()
	admin := mustRun(t, "", "keys", "create", "--admin", "--data", data)
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := serveAt(t, addr, "--data", data, "--tls-cert", a.file("server.pem"), "--tls-key", a.file("server.key"), "--tls-client-ca", a.file("ca.pem"), "--kafka-listen", kafka)
	s.url = "https://" + addr
	plainClient, trust := a.client("")
	for {
		resp, err := plainClient.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			break
		}
		select {
		case err := <-s.done:
			s.done <- err
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Setenv("DAYBOOK_SERVER", s.url)
	t.Setenv("DAYBOOK_CA", a.file("ca.pem"))
	t.Setenv("DAYBOOK_KEY", admin)
	bound := mustRun(t, "", "keys", "create", "--name", "billing", "--tenant", "acme", "--rights", "write,read", "--certificate", "uri:spiffe://prod/billing")

	ask := func(c *http.Client, key string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/session", nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := ask(plainClient, admin); resp.StatusCode != 200 || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("with a key: %d over HTTP/%d, %v", resp.StatusCode, resp.ProtoMajor, resp.Header)
	}
	if resp := ask(plainClient, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with nothing: %d", resp.StatusCode)
	}
	billing, billingTLS := a.client("billing")
	if resp := ask(billing, ""); resp.StatusCode != 200 {
		t.Errorf("with the certificate of a key: %d", resp.StatusCode)
	}
	unbound, _ := a.client("unbound")
	if resp := ask(unbound, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a certificate of no key: %d", resp.StatusCode)
	}

	publish := func(opts ...kgo.Opt) error {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(kafka), kgo.DefaultProduceTopic("daybook.events"), kgo.RecordRetries(2), kgo.RecordDeliveryTimeout(20*time.Second))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		return cl.ProduceSync(t.Context(), kgo.StringRecord(`{"user_id":"kafka","action":"a","resource":"r/1"}`)).FirstErr()
	}
	id, secret, _ := strings.Cut(strings.TrimPrefix(bound, "dbk_"), "_")
	if err := publish(kgo.DialTLSConfig(trust), kgo.SASL(plain.Auth{User: id, Pass: secret}.AsMechanism())); err != nil {
		t.Errorf("Kafka with the key: %v", err)
	}
	if err := publish(kgo.DialTLSConfig(trust), kgo.SASL(plain.Auth{User: id, Pass: "wrong"}.AsMechanism())); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("Kafka with a wrong secret: %v", err)
	}
	if err := publish(kgo.DialTLSConfig(trust)); err == nil {
		t.Error("Kafka with nothing: published")
	}
	if err := publish(kgo.DialTLSConfig(billingTLS)); err != nil {
		t.Errorf("Kafka with the certificate: %v", err)
	}
	if out := mustRun(t, "", "query", "-o", "ndjson", "user_id:kafka"); strings.Count(out, `"tenant_id":"acme"`) != 2 {
		t.Errorf("published over Kafka: %s", out)
	}
	mustRun(t, "", "keys", "revoke", id)
	if resp := ask(billing, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with the certificate of a revoked key: %d", resp.StatusCode)
	}
	if err := publish(kgo.DialTLSConfig(trust), kgo.SASL(plain.Auth{User: id, Pass: secret}.AsMechanism())); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("Kafka with a revoked key: %v", err)
	}
}
