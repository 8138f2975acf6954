// Package certs serves TLS with certificates from PEM files, and loads them anew
// when they change, so that renewing one takes no restart and breaks no connection.
//
// What is served is always whole: a pair, and with it the authorities that client
// certificates must come from. When the files have changed and then stayed the same
// for a second, all of them are loaded; if that fails, what was loaded before goes on
// being served, and the failure is logged once and counted. Connections keep what they
// began with.
//
// Files are compared by their contents, not their times: they are small, and a copy
// that keeps times, or the symbolic links that Kubernetes swaps, would be missed.
package certs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultEvery is how often files are looked at.
	DefaultEvery = 10 * time.Second

	// settle is how long files must stay as they are before they are loaded:
	// the pair is not written at once, and neither is a file.
	settle = time.Second

	maxFile = 4 << 20 // bytes
)

// Options are what a [Source] is made of.
type Options struct {
	// Cert is a PEM file with the server's certificate and after it those of
	// the intermediate authorities, Key one with its private key, not
	// encrypted. They may be the same file. Required.
	Cert, Key string

	// ClientCA is a PEM file with the certificates of authorities whose client
	// certificates are accepted. "": clients are not asked for any.
	ClientCA string

	// RequireClient refuses clients without a certificate. It needs ClientCA.
	// A client that shows one that does not verify is refused in any case.
	RequireClient bool

	Every  time.Duration // how often files are looked at; 0: DefaultEvery
	Logger *slog.Logger  // nil: nothing is logged
}

// Source serves what the files hold. Its methods may be called concurrently, but
// for Run, which is called once at most.
type Source struct {
	opts Options
	log  *slog.Logger

	serving atomic.Pointer[loaded]

	// Of Run alone.
	taken, changed [sha256.Size]byte // contents that were last loaded or failed to; contents that may settle
	warned         *loaded           // whose end was logged

	mu    sync.Mutex
	stats Stats // guarded by mu
}

// Stats is what a [Source] has come to.
type Stats struct {
	Loaded   time.Time // when what is served was loaded
	NotAfter time.Time // when the server's certificate ends
	Reloads  int64     // changes that were loaded
	Errors   int64     // changes that could not be
	Failing  bool      // the files as they are now cannot be loaded; what was before is served
}

// Open loads the files. It fails when they do not make a server, and only logs a
// warning when the certificate has expired: a log that cannot be reached is worse.
func Open(o Options) (*Source, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Every = cmp.Or(o.Every, DefaultEvery)
	switch {
	case o.Cert == "":
		return nil, errors.New("certs: option Cert is missing")
	case o.Key == "":
		return nil, errors.New("certs: option Key is missing")
	case o.RequireClient && o.ClientCA == "":
		return nil, errors.New("certs: option RequireClient is true; it needs ClientCA, the authorities of client certificates")
	case o.Every < 0:
		return nil, fmt.Errorf("certs: option Every is %v: it must be more than 0", o.Every)
	}
	s := &Source{opts: o, log: o.Logger}
	files, err := s.read()
	if err != nil {
		return nil, err
	}
	l, err := load(&o, files)
	if err != nil {
		return nil, err
	}
	s.taken = files.sum()
	s.serve(l)
	return s, nil
}

// Config returns what a TLS server is made of: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1 for
// clients that offer protocols, and for each connection what is loaded when it comes.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols(),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.serving.Load().config, nil
		},
	}
}

func protocols() []string { return []string{"h2", "http/1.1"} }

// Stats returns what the source has come to.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run looks at the files until ctx ends, and then returns nil.
func (s *Source) Run(ctx context.Context) error {
	timer := time.NewTimer(s.opts.Every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			timer.Reset(s.look())
		}
	}
}

// look looks at the files once, and returns when to do so again.
func (s *Source) look() time.Duration {
	files, err := s.read()
	sum := files.sum()
	if err != nil {
		sum = sha256.Sum256([]byte(err.Error()))
	}
	if sum != s.taken && sum != s.changed {
		s.changed = sum
		return min(settle, s.opts.Every)
	}
	if sum != s.taken {
		s.taken = sum
		s.take(files, err)
	}
	s.changed = s.taken
	if l := s.serving.Load(); l != s.warned && l.expired() {
		s.warned = l
		s.log.Warn("the TLS certificate has expired; clients will refuse it", "file", s.opts.Cert, "not_after", l.notAfter())
	}
	return s.opts.Every
}

// take loads files that have changed, or says why it cannot.
func (s *Source) take(files contents, err error) {
	var l *loaded
	if err == nil {
		l, err = load(&s.opts, files)
	}
	if err != nil {
		s.log.Error("cannot load changed TLS files; what was loaded before is served on", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Errors++
		s.stats.Failing = true
		return
	}
	s.serve(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Reloads++
}

// serve makes l what new connections get.
func (s *Source) serve(l *loaded) {
	s.serving.Store(l)
	s.log.Info("loaded a TLS certificate", "file", s.opts.Cert, "serial", l.leaf().SerialNumber.Text(16), "not_after", l.notAfter())
	switch now := time.Now(); {
	case l.expired():
		s.warned = l
		s.log.Warn("the TLS certificate has expired; clients will refuse it", "file", s.opts.Cert, "not_after", l.notAfter())
	case now.Before(l.leaf().NotBefore):
		s.log.Warn("the TLS certificate is not valid yet; clients will refuse it", "file", s.opts.Cert, "not_before", l.leaf().NotBefore)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Loaded, s.stats.NotAfter, s.stats.Failing = time.Now(), l.notAfter(), false
}

// contents are the files' bytes.
type contents struct{ cert, key, clientCA []byte }

// sum tells contents from others.
func (c contents) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, b := range [][]byte{c.cert, c.key, c.clientCA} {
		one := sha256.Sum256(b)
		h.Write(one[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (s *Source) read() (c contents, err error) {
	if c.cert, err = readFile("certificate", s.opts.Cert); err != nil {
		return contents{}, err
	}
	if c.key, err = readFile("key", s.opts.Key); err != nil {
		return contents{}, err
	}
	if s.opts.ClientCA != "" {
		if c.clientCA, err = readFile("client CA", s.opts.ClientCA); err != nil {
			return contents{}, err
		}
	}
	return c, nil
}

// readFile reads a file that may be anything.
func readFile(what, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("certs: %s file: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("certs: %s file: %w", what, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("certs: %s file %s has more than %d bytes", what, name, maxFile)
	}
	return data, nil
}
