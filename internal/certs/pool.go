package certs

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Pool returns the authorities whose certificates are in a PEM file, for a client
// that is to trust no others. An error begins with what names the file.
func Pool(what, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s holds no certificate in PEM form", what, file)
	}
	return pool, nil
}
