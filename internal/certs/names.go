package certs

import (
	"crypto/tls"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ClientNames returns the names that a client's certificate gives it and that a key
// can be bound to, each with its kind:
//
//	uri:spiffe://example.org/ingest  a subject alternative name that is a URI
//	dns:worker.example.org           … a host, in lower case
//	email:ops@example.org            … an address
//	cn:worker                        the subject's common name
//
// in this order, each once. They are literal: dns:*.example.org is one name and
// matches no other. A name with control characters is left out. Without a
// certificate that was verified, as by a [Source] with ClientCA, it is nil.
func ClientNames(state *tls.ConnectionState) []string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	leaf := state.VerifiedChains[0][0]
	var names []string
	add := func(kind, name string) {
		if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || slices.Contains(names, kind+name) {
			return
		}
		names = append(names, kind+name)
	}
	for _, uri := range leaf.URIs {
		add("uri:", uri.String())
	}
	for _, host := range leaf.DNSNames {
		add("dns:", strings.ToLower(host))
	}
	for _, address := range leaf.EmailAddresses {
		add("email:", address)
	}
	add("cn:", leaf.Subject.CommonName)
	return names
}
