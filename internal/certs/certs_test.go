package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpen(t *testing.T) {
	ca := newAuthority(t, "ca")
	m, other := ca.make(nil), ca.make(nil)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	none := func(f folder, o *Options) {}
	write := func(name string, data []byte) func(folder, *Options) {
		return func(f folder, _ *Options) { f.write(name, data) }
	}
	clientCA := func(data []byte) func(folder, *Options) {
		return func(f folder, o *Options) { f.write("ca.crt", data); o.ClientCA = f.path("ca.crt") }
	}
	tests := []struct {
		name   string
		change func(folder, *Options)
		says   []string // nil: it opens
		logs   string
	}{
		{"a pair", none, nil, "loaded a TLS certificate"},
		{"a chain", write("tls.crt", append(bytes.Clone(m.pem), ca.pem...)), nil, ""},
		{"text between blocks", write("tls.crt", append([]byte("issued by hand\n"), m.pem...)), nil, ""},
		{"one file for both", func(f folder, o *Options) { f.write("tls.crt", append(bytes.Clone(m.key), m.pem...)); o.Key = o.Cert }, nil, ""},
		{"expired", func(f folder, _ *Options) { f.put(ca.make(expired)) }, nil, "has expired"},
		{"not valid yet", func(f folder, _ *Options) {
			f.put(ca.make(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
			}))
		}, nil, "not valid yet"},
		{"a client CA", clientCA(ca.pem), nil, ""},

		{"no certificate option", func(_ folder, o *Options) { o.Cert = "" }, []string{"option Cert is missing"}, ""},
		{"no key option", func(_ folder, o *Options) { o.Key = "" }, []string{"option Key is missing"}, ""},
		{"clients must and cannot", func(_ folder, o *Options) { o.RequireClient = true }, []string{"option RequireClient", "ClientCA"}, ""},
		{"a time before now", func(_ folder, o *Options) { o.Every = -1 }, []string{"option Every is -1ns"}, ""},
		{"no certificate file", func(_ folder, o *Options) { o.Cert += "x" }, []string{"certificate file", "tls.crtx"}, ""},
		{"no key file", func(_ folder, o *Options) { o.Key += "x" }, []string{"key file", "tls.keyx"}, ""},
		{"a folder", func(f folder, o *Options) { o.Key = f.dir }, []string{"key file"}, ""},
		{"no client CA file", func(f folder, o *Options) { o.ClientCA = f.path("ca.crt") }, []string{"client CA file", "ca.crt"}, ""},
		{"an empty certificate", write("tls.crt", nil), []string{"certificate file", "tls.crt", "no PEM block CERTIFICATE"}, ""},
		{"a key for a certificate", write("tls.crt", m.key), []string{"tls.crt", "no PEM block CERTIFICATE"}, ""},
		{"a certificate for a key", write("tls.key", m.pem), []string{"key file", "tls.key", "no PEM block PRIVATE KEY"}, ""},
		{"another's key", write("tls.key", other.key), []string{"tls.crt", "tls.key", "does not match"}, ""},
		{"an encrypted key", write("tls.key", encrypted), []string{"tls.key", "encrypted"}, ""},
		{"a key encrypted as in the old days", write("tls.key", old), []string{"tls.key", "encrypted"}, ""},
		{"half a certificate", write("tls.crt", m.pem[:len(m.pem)/2]), []string{"tls.crt", "cut off"}, ""},
		{"a chain that is cut off", write("tls.crt", append(bytes.Clone(m.pem), ca.pem[:len(ca.pem)-9]...)), []string{"tls.crt", "cut off"}, ""},
		{"half a key", write("tls.key", m.key[:len(m.key)/2]), []string{"tls.key", "cut off"}, ""},
		{"DER", write("tls.crt", m.cert.Raw), []string{"tls.crt", "no PEM block"}, ""},
		{"no certificate in the block", write("tls.crt", append(bytes.Clone(m.pem), broken...)), []string{"tls.crt", "certificate 2"}, ""},
		{"no certificate in the client CA", clientCA(broken), []string{"ca.crt", "certificate 1"}, ""},
		{"an empty client CA", clientCA(nil), []string{"client CA file", "ca.crt", "no PEM block"}, ""},
		{"without end", write("tls.crt", bytes.Repeat([]byte{' '}, maxFile+1)), []string{"tls.crt", "more than"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(t, m)
			o := f.options()
			tt.change(f, &o)
			if tt.says == nil {
				if s, log := open(t, o); !strings.Contains(log.String(), tt.logs) || s.Stats().NotAfter.IsZero() {
					t.Errorf("stats %+v, log:\n%s", s.Stats(), log)
				}
				return
			}
			_, err := Open(o)
			if err == nil {
				t.Fatal("it opens")
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q must say %q", err, part)
				}
			}
		})
	}
}

func TestProtocol(t *testing.T) {
	ca := newAuthority(t, "ca")
	s, _ := open(t, newFolder(t, ca.make(nil)).options())
	tests := []struct {
		name    string
		change  func(*tls.Config)
		version uint16 // 0: refused
		alpn    string
	}{
		{"what is newest", func(*tls.Config) {}, tls.VersionTLS13, "h2"},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, tls.VersionTLS12, "h2"},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, 0, ""},
		{"HTTP/1.1", func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, tls.VersionTLS13, "http/1.1"},
		{"no protocol offered", func(c *tls.Config) { c.NextProtos = nil }, tls.VersionTLS13, ""},
	}
	for _, tt := range tests {
		client := trust(ca)
		tt.change(client)
		_, got, err := shake(t, s.Config(), client)
		if (err == nil) != (tt.version != 0) || err == nil && (got.Version != tt.version || got.NegotiatedProtocol != tt.alpn) {
			t.Errorf("%s: %s with %q, %v", tt.name, tls.VersionName(got.Version), got.NegotiatedProtocol, err)
		}
	}
}

// Certificates are renewed under load: no request fails, connections live on, and
// new ones get the new certificate.
func TestRotate(t *testing.T) {
	ca := newAuthority(t, "ca")
	m := ca.make(nil)
	f := newFolder(t, m)
	s, _ := open(t, f.options())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: s.Config(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })}
	go server.ServeTLS(listener, "", "")
	defer server.Close()

	// get makes a request and returns the serial number of who answered.
	get := func(c *http.Client) (string, error) {
		resp, err := c.Get("https://" + listener.Addr().String())
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return "", err
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.String(), nil
	}
	client := func(keep bool) *http.Client {
		config := trust(ca)
		config.NextProtos = nil // the transport's to say
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: !keep, ForceAttemptHTTP2: keep}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	kept := client(true)
	first := m.cert.SerialNumber.String()
	if got, err := get(kept); err != nil || got != first {
		t.Fatalf("%s answers, %v; want %s", got, err, first)
	}

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for range 4 {
		c := client(false)
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := get(c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		m = ca.make(nil)
		f.write("tls.crt", m.pem)
		s.look() // in between there is no pair
		f.write("tls.key", m.key)
		s.look()
		s.look()
		if got, err := get(client(false)); err != nil || got != m.cert.SerialNumber.String() {
			t.Fatalf("%s answers a new connection, %v; want %v", got, err, m.cert.SerialNumber)
		}
		if got, err := get(kept); err != nil || got != first {
			t.Fatalf("%s answers an old connection, %v; want %s", got, err, first)
		}
	}
	if got := s.Stats(); got.Reloads != 10 || got.Errors != 0 || got.Failing {
		t.Errorf("stats are %+v", got)
	}
}

// When Run looks, what it takes in, and what it says.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "ca")
		m := ca.make(nil)
		f := newFolder(t, m)
		s, log := open(t, f.options())
		began := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()

		// after sleeps until a time after the beginning, and says what is wrong
		// with what is served then.
		after := func(at time.Duration, want *made, reloads, failures int64, failing bool) {
			t.Helper()
			time.Sleep(time.Until(began.Add(at)))
			synctest.Wait()
			_, got, err := shake(t, s.Config(), trust(ca))
			if err != nil {
				t.Fatal(err)
			}
			if !got.PeerCertificates[0].Equal(want.cert) {
				t.Errorf("after %v serial %v is served, want %v", at, got.PeerCertificates[0].SerialNumber, want.cert.SerialNumber)
			}
			stats := s.Stats()
			if stats.Reloads != reloads || stats.Errors != failures || stats.Failing != failing || !stats.NotAfter.Equal(want.cert.NotAfter) {
				t.Errorf("after %v stats are %+v, want %d reloads, %d errors, failing %v", at, stats, reloads, failures, failing)
			}
			if got := int64(strings.Count(log.String(), "level=ERROR")); got != failures {
				t.Errorf("after %v %d errors were logged, want %d:\n%s", at, got, failures, log)
			}
		}
		after(15*time.Second, m, 0, 0, false)

		// A change is seen at 20 s and taken in at 21 s.
		renewed := ca.make(func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) })
		f.put(renewed)
		after(20*time.Second, m, 0, 0, false)
		after(21*time.Second, renewed, 1, 0, false)
		if got := s.Stats().Loaded; !got.Equal(began.Add(21 * time.Second)) {
			t.Errorf("loaded %v after the beginning, want 21s", got.Sub(began))
		}

		// A pair that is being written is not: the key comes when the
		// certificate was seen.
		third := ca.make(nil)
		f.write("tls.crt", third.pem[:100])
		after(31*time.Second+500*time.Millisecond, renewed, 1, 0, false)
		f.put(third)
		after(32*time.Second, renewed, 1, 0, false)
		after(33*time.Second, third, 2, 0, false)

		// What stays broken is said once, and served is what was before.
		f.write("tls.crt", third.pem[:100])
		after(44*time.Second, third, 2, 1, true)
		after(10*time.Minute, third, 2, 1, true)
		if err := os.Remove(f.path("tls.crt")); err != nil {
			t.Fatal(err)
		}
		after(11*time.Minute, third, 2, 2, true)
		after(20*time.Minute, third, 2, 2, true)

		// It heals, also by going back to what is served.
		f.put(third)
		after(21*time.Minute, third, 3, 2, false)

		// A file that is only touched is not loaded.
		if err := os.Chtimes(f.path("tls.crt"), began.Add(time.Hour), began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		after(22*time.Minute, third, 3, 2, false)

		// It expires, which is said once.
		if got := strings.Count(log.String(), "expired"); got != 0 {
			t.Errorf("it has not expired:\n%s", log)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := strings.Count(log.String(), "expired"); got != 1 {
			t.Errorf("that it has expired was said %d times:\n%s", got, log)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Kubernetes puts a secret's files into a new folder and swaps a link to it.
func TestKubernetes(t *testing.T) {
	ca := newAuthority(t, "ca")
	m := ca.make(nil)
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	version := func(n int, m *made) {
		t.Helper()
		name := fmt.Sprintf("..v%d", n)
		if err := os.Mkdir(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		folder{t, dir + "/" + name}.put(m)
		link(name, "..data_tmp")
		if err := os.Rename(dir+"/..data_tmp", dir+"/..data"); err != nil {
			t.Fatal(err)
		}
	}
	version(1, m)
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	s, _ := open(t, Options{Cert: dir + "/tls.crt", Key: dir + "/tls.key"})
	renewed := ca.make(nil)
	version(2, renewed)
	if got := s.look(); got != settle {
		t.Errorf("a change is looked at again after %v, want %v", got, settle)
	}
	if got := s.look(); got != DefaultEvery {
		t.Errorf("what was loaded is looked at after %v, want %v", got, DefaultEvery)
	}
	_, got, err := shake(t, s.Config(), trust(ca))
	if err != nil || !got.PeerCertificates[0].Equal(renewed.cert) {
		t.Errorf("the old certificate is served, %v", err)
	}
}
