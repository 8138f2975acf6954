package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	listener "github.com/daybook-log/daybook/ingest/kafka"
	"github.com/daybook-log/daybook/ingest/redact"
	"github.com/daybook-log/daybook/internal/certs"
	"github.com/daybook-log/daybook/internal/saved"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/state"
)

// openAccess opens the keys and what else tells who may do what.
func (srv *server) openAccess() (err error) {
	s := srv.settings
	if srv.state, err = state.Open(filepath.Join(s.Data, stateFile)); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if srv.keys, err = keyring.Open(srv.state); err != nil {
		return err
	}
	if srv.searches, err = saved.Open(srv.state); err != nil {
		return err
	}
	secret, err := srv.secret()
	if err != nil {
		return err
	}
	srv.secretBytes = secret
	roles, err := rolesOf(s.Access.Roles)
	if err != nil {
		return &exitCode{exitUsage, err}
	}
	srv.gate, err = gate.New(gate.Options{
		Keys: srv.keys, Secret: secret, Roles: roles, Session: time.Duration(s.Access.SessionLifetime),
		EventsPerSecond: s.Access.EventsPerSecond, QueriesAtOnce: s.Access.QueriesAtOnce,
	})
	if err != nil {
		return &exitCode{exitUsage, err}
	}
	if srv.redactor, err = newRedactor(&s.Redact, secret); err != nil {
		return &exitCode{exitUsage, err}
	}
	if srv.provider, err = openProvider(&s.Access, secret, srv); err != nil {
		return err
	}
	if s.Access.TLSCert != "" {
		srv.certs, err = certs.Open(certs.Options{
			Cert: s.Access.TLSCert, Key: s.Access.TLSKey, ClientCA: s.Access.TLSClientCA, RequireClient: s.Access.TLSRequire, Logger: srv.log.With("stage", "tls"),
		})
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	return srv.checkAddresses()
}

// checkAddresses refuses to listen where others come by while everybody may do
// everything, and warns where keys would go over the network as they are.
func (srv *server) checkAddresses() error {
	s := srv.settings
	for _, addr := range []string{s.Listen, s.Kafka.Listen} {
		if addr == "" {
			continue
		}
		local, err := isLoopback(addr)
		switch {
		case err != nil:
			return &exitCode{exitUsage, err}
		case !local && srv.gate.Open():
			return &exitCode{exitUsage, fmt.Errorf("listen address %q is not a loopback address, and there are no keys yet: anyone who reached it could read and write everything; "+
				"make a key first: daybook keys create --admin --data %s", addr, s.Data)}
		case !local && srv.certs == nil && !srv.secure():
			srv.log.Warn("keys that are shown here go over the network as they are; give a certificate (tls.cert, tls.key), or public_url of a proxy that speaks TLS", "listen", addr)
		}
	}
	return nil
}

// secret returns what sessions, tokens and redactions are keyed from.
func (srv *server) secret() ([]byte, error) {
	file := srv.settings.Access.SecretFile
	if file == "" {
		return srv.state.Secret()
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if len(secret) < 32 {
		return nil, &exitCode{exitUsage, fmt.Errorf("secret_file: %s has %d bytes; at least 32 random ones are needed: openssl rand 32 > %[1]s", file, len(secret))}
	}
	return secret, nil
}

// newRedactor makes what takes secrets out of events. Its key is derived from the
// server's secret, as docs/redaction.md says.
func newRedactor(s *settings.Redact, secret []byte) (*redact.Redactor, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "daybook redaction", sha256.Size)
	if err != nil {
		return nil, err
	}
	method, err := redact.ParseMethod(s.Method)
	if err != nil {
		return nil, err
	}
	return redact.New(redact.Options{Defaults: s.Defaults, Keys: s.Keys, Fields: s.Fields, Patterns: s.Patterns, Method: method, Secret: key})
}

// rolesOf makes the gate's roles of settings.
func rolesOf(given []settings.Role) (roles []gate.Role, err error) {
	for _, r := range given {
		rights, err := access.ParseRights(r.Rights)
		if err != nil {
			return nil, fmt.Errorf("role %q: rights: %w", r.Name, err)
		}
		roles = append(roles, gate.Role{Name: r.Name, Groups: r.Groups, Tenant: r.Tenant, Rights: rights, Filter: r.Filter, Hidden: r.Hide})
	}
	return roles, nil
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(addr string) (bool, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false, fmt.Errorf("listen address %q: write it as host:port, such as 127.0.0.1:7575", addr)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback()), nil
}

// guarding is how the API tells who asks.
func (srv *server) guarding() api.Guarding {
	a := &srv.settings.Access
	g := api.Guarding{
		Gate: srv.gate, Keys: srv.keys, Log: srv.audit, Secure: srv.secure(), Provider: srv.provider, ProviderName: a.OIDC.Name,
		TailsPerTenant: a.TailsPerTenant, ExportsPerTenant: a.ExportsPerTenant,
	}
	if a.TLSClientCA != "" {
		g.Names = certs.ClientNames
	}
	return g
}

// secure reports whether browsers reach the server by https.
func (srv *server) secure() bool {
	if public := srv.settings.Access.PublicURL; public != "" {
		return strings.HasPrefix(public, "https://")
	}
	return srv.certs != nil
}

// tlsConfig returns how connections are encrypted; nil: they are not.
func (srv *server) tlsConfig() *tls.Config {
	if srv.certs == nil {
		return nil
	}
	return srv.certs.Config()
}

// byCertificate tells the Kafka listener whom a client certificate stands for.
func (srv *server) byCertificate(state *tls.ConnectionState) *listener.Principal {
	names := certs.ClientNames(state)
	if len(names) == 0 {
		return nil
	}
	g, err := srv.gate.Certificate(names, time.Now())
	if err != nil || !g.Rights.Has(access.Write) {
		return nil
	}
	return principal(g)
}

// logIn tells the Kafka listener who shows a key.
func (srv *server) logIn(_ context.Context, id, secret string, from net.Addr) (*listener.Principal, error) {
	g, err := srv.gate.Password(id, secret, time.Now())
	if err == nil && !g.Rights.Has(access.Write) {
		err = listener.ErrNoRight
	}
	if err == nil {
		return principal(g), nil
	}
	e := audit.Entry{Grant: g, Subject: "unknown", Action: "access.deny", Outcome: "denied", Resource: "kafka/" + srv.settings.Kafka.Topic, Reason: err.Error()}
	if host, _, splitErr := net.SplitHostPort(from.String()); splitErr == nil {
		e.SourceIP = host
	}
	who := e.SourceIP
	if g != nil {
		who = g.ID
	}
	srv.audit.Sample("kafka\x00"+who+"\x00"+err.Error(), e)
	return nil, err
}

// anonymous tells the Kafka listener who has not shown a key.
func (srv *server) anonymous() *listener.Principal {
	if !srv.gate.Open() {
		return nil
	}
	return principal(srv.gate.Everyone())
}

func principal(g *access.Grant) *listener.Principal {
	return &listener.Principal{ID: g.ID, Door: g, Ended: g.Ended}
}

// runAudit records what was done while there was no server to record it, and then
// what is done.
func (srv *server) runAudit(ctx context.Context) error {
	if err := srv.recordOffline(ctx); err != nil {
		srv.log.Error("what was done to keys while the server was down is not recorded yet; the next start tries again", "err", err)
	}
	return srv.audit.Run(ctx)
}

// offline is an entry about a change that was made to the data folder of a server
// that was not running.
type offline struct {
	ID        event.ID       `json:"event_id"`
	At        time.Time      `json:"at"`
	Subject   string         `json:"subject"`
	Action    string         `json:"action"`
	Operation string         `json:"operation"`
	Resource  string         `json:"resource"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

func offlineEntries(db *state.DB) state.Bucket[offline] {
	return state.NewBucket[offline](db, "unrecorded")
}

func (srv *server) recordOffline(ctx context.Context) error {
	bucket := offlineEntries(srv.state)
	entries, err := bucket.All()
	if err != nil {
		return err
	}
	var errs []error
	for name, e := range entries {
		err := srv.audit.Record(ctx, audit.Entry{
			ID: e.ID, At: e.At, Subject: e.Subject, UserType: "user", Action: e.Action, Operation: e.Operation, Resource: e.Resource, Metadata: e.Metadata,
		})
		if err == nil {
			_, err = bucket.Delete(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removalsEvery is how often it is looked whether retention removed events.
const removalsEvery = time.Minute

// recordRemovals records what retention removes from the store.
func (srv *server) recordRemovals(ctx context.Context) error {
	tick := time.NewTicker(removalsEvery)
	defer tick.Stop()
	var recorded int64
	note := func() {
		if n := srv.store.Stats().Expired; n > recorded {
			srv.audit.Note(audit.Entry{Action: "retention.drop", Operation: "delete", Resource: "store/segments", Metadata: map[string]any{"events": n - recorded}})
			recorded = n
		}
	}
	for {
		select {
		case <-ctx.Done():
			note()
			return nil
		case <-tick.C:
			note()
		}
	}
}
