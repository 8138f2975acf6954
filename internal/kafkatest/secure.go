package kafkatest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Secure is a cluster's listener with TLS and SASL: PLAIN, SCRAM-SHA-256 and
// SCRAM-SHA-512, all with one user.
type Secure struct {
	Brokers        []string
	CA             *x509.CertPool
	CAFile         []byte // the same, PEM
	User, Password string

	cert, key string // PEM
}

// newSecure makes a certificate for 127.0.0.1 that is its own authority.
func newSecure() (*Secure, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafkatest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	s := &Secure{User: "daybook", Password: "correct horse", CA: x509.NewCertPool()}
	s.CAFile = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.cert, s.key = string(s.CAFile), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	if !s.CA.AppendCertsFromPEM(s.CAFile) {
		return nil, fmt.Errorf("the certificate made for tests does not parse")
	}
	return s, nil
}

func (s *Secure) properties() map[string]string {
	const listener = "listener.name.secure."
	return map[string]string{
		listener + "ssl.keystore.type":              "PEM",
		listener + "ssl.keystore.certificate.chain": s.cert,
		listener + "ssl.keystore.key":               s.key,
		listener + "sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		listener + "plain.sasl.jaas.config": fmt.Sprintf(
			`org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";`, s.User, s.Password),
		listener + "scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		listener + "scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}
}

// addUsers makes the user known for SCRAM; for PLAIN it is in the settings.
func (s *Secure) addUsers(ctx context.Context, admin *kadm.Client) error {
	var users []kadm.UpsertSCRAM
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		users = append(users, kadm.UpsertSCRAM{User: s.User, Password: s.Password, Mechanism: m, Iterations: 4096})
	}
	for _, u := range users { // one user twice in a request is refused
		altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{u})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			return fmt.Errorf("make the SCRAM user: %w", err)
		}
	}
	return nil
}
