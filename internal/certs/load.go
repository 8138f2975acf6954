package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// loaded is one state of the files, as connections get it.
type loaded struct{ config *tls.Config }

func (l *loaded) leaf() *x509.Certificate { return l.config.Certificates[0].Leaf }
func (l *loaded) notAfter() time.Time     { return l.leaf().NotAfter }
func (l *loaded) expired() bool           { return time.Now().After(l.notAfter()) }

// load makes of files what serves connections.
func load(o *Options, files contents) (*loaded, error) {
	if _, err := certificates("certificate", o.Cert, files.cert); err != nil {
		return nil, err
	}
	if err := checkKey(o.Key, files.key); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(files.cert, files.key)
	if err != nil {
		return nil, fmt.Errorf("certs: certificate file %s with key file %s: %w", o.Cert, o.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols(), Certificates: []tls.Certificate{pair}}
	if o.ClientCA == "" {
		return &loaded{config}, nil
	}
	authorities, err := certificates("client CA", o.ClientCA, files.clientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	for _, c := range authorities {
		config.ClientCAs.AddCert(c)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if o.RequireClient {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return &loaded{config}, nil
}

// certificates returns those that a PEM file holds, at least one.
func certificates(what, name string, data []byte) (found []*x509.Certificate, err error) {
	err = blocks(what, name, data, func(b *pem.Block) error {
		if b.Type != "CERTIFICATE" {
			return nil
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return fmt.Errorf("certs: %s file %s: certificate %d: %w", what, name, len(found)+1, err)
		}
		found = append(found, c)
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("certs: %s file %s has no PEM block CERTIFICATE", what, name)
	}
	return found, err
}

// checkKey says of a key file what tls.X509KeyPair would say less well.
func checkKey(name string, data []byte) error {
	found := false
	err := blocks("key", name, data, func(b *pem.Block) error {
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return fmt.Errorf("certs: key file %s has an encrypted key; it must have one without a password", name)
		}
		found = found || b.Type == "PRIVATE KEY" || strings.HasSuffix(b.Type, " PRIVATE KEY")
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("certs: key file %s has no PEM block PRIVATE KEY", name)
	}
	return err
}

// blocks calls do for each PEM block of a file. A block that is cut off is an
// error: the file is being written.
func blocks(what, name string, data []byte, do func(*pem.Block) error) error {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN ")) {
				return fmt.Errorf("certs: %s file %s has a PEM block that is cut off or malformed", what, name)
			}
			return nil
		}
		if err := do(block); err != nil {
			return err
		}
		data = rest
	}
}
