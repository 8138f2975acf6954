package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// made is a certificate with its key.
type made struct {
	cert      *x509.Certificate
	pem, key  []byte
	authority *authority
}

// serials are never given twice, also not by authorities of one name.
var serials = struct {
	sync.Mutex
	last int64
}{}

func serial() *big.Int {
	serials.Lock()
	defer serials.Unlock()
	serials.last++
	return big.NewInt(serials.last)
}

func newKey(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, _ := newKey(t)
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// make makes a certificate of 127.0.0.1 and localhost, for servers and clients,
// good for an hour.
func (a *authority) make(change func(*x509.Certificate)) *made {
	a.t.Helper()
	key, keyPEM := newKey(a.t)
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "log"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return &made{cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: keyPEM, authority: a}
}

// expired makes a certificate's life end a second ago.
func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }

// pair is m for a client or a server.
func (m *made) pair() tls.Certificate {
	m.authority.t.Helper()
	pair, err := tls.X509KeyPair(m.pem, m.key)
	if err != nil {
		m.authority.t.Fatal(err)
	}
	return pair
}

// trust is a client's configuration that trusts the authorities.
func trust(authorities ...*authority) *tls.Config {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.cert)
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2"}}
}

// folder holds the files of a server.
type folder struct {
	t   testing.TB
	dir string
}

func newFolder(t testing.TB, m *made) folder {
	f := folder{t, t.TempDir()}
	f.put(m)
	return f
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) write(name string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// put writes a pair where options has it.
func (f folder) put(m *made) {
	f.t.Helper()
	f.write("tls.crt", m.pem)
	f.write("tls.key", m.key)
}

func (f folder) options() Options { return Options{Cert: f.path("tls.crt"), Key: f.path("tls.key")} }

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func open(t testing.TB, o Options) (*Source, *lines) {
	t.Helper()
	log := &lines{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

// shake makes a handshake over a real connection and sends the client a byte, and
// returns what each side knows of the other.
func shake(t testing.TB, server, client *tls.Config) (atServer, atClient tls.ConnectionState, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, c := tls.Server(far, server), tls.Client(near, client)
	done := make(chan error, 1)
	go func() {
		defer far.Close()
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1}) // with TLS 1.3 a client learns only now that it was refused
		}
		done <- err
	}()
	err = c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	near.Close()
	return s.ConnectionState(), c.ConnectionState(), errors.Join(<-done, err)
}

func parseURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
