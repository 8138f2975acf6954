package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/internal/kafkatest"
)

// What cannot be served is said at once.
func TestOpen(t *testing.T) {
	p := ingest.NewPublisher(ingest.PublisherOptions{})
	keys := func(context.Context, string, string, net.Addr) (*Principal, error) { return nil, nil }
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		says string
		o    Options
	}{
		{"Publisher is missing", Options{Listen: "127.0.0.1:0"}},
		{"listen for Kafka clients on", Options{Publisher: p, Listen: taken.Addr().String()}},
		{`topic "a b"`, Options{Publisher: p, Listen: "127.0.0.1:0", Topics: []string{"a b"}}},
		{`topic ""`, Options{Publisher: p, Listen: "127.0.0.1:0", Topics: []string{""}}},
		{`advertised address "example.com"`, Options{Publisher: p, Listen: "127.0.0.1:0", Advertised: "example.com"}},
		{"MaxRequest is 10", Options{Publisher: p, Listen: "127.0.0.1:0", MaxRequest: 10}},
		{"MaxUnpacked is 200000000", Options{Publisher: p, Listen: "127.0.0.1:0", MaxUnpacked: 200_000_000}},
		{"keys would go over the network", Options{Publisher: p, Listen: "0.0.0.0:0", Authenticate: keys}},
	} {
		if s, err := Open(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.says, err)
			if s != nil {
				s.Close()
			}
		}
	}
}

// certificate returns a certificate for 127.0.0.1 and the file that clients
// trust it by.
func certificate(t testing.TB) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "daybook"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}

// keys lets alice log in, and lets her publish for the tenant acme only.
func keys(_ context.Context, user, password string, _ net.Addr) (*Principal, error) {
	if user != "alice" || password != "secret" {
		return nil, errors.New("no such key")
	}
	return &Principal{ID: user, Door: new(acmesDoor)}, nil
}

// acmesDoor lets events of the tenant acme in, as many as it likes.
type acmesDoor struct{}

func (*acmesDoor) Tenant() string      { return "acme" }
func (*acmesDoor) Wait() time.Duration { return 0 }
func (*acmesDoor) Charge(int)          {}
func (*acmesDoor) Admit(e *event.Event) error {
	if e.TenantID != "acme" {
		return event.Errors{{Field: "tenant_id", Value: e.TenantID, Reason: "is not the key's"}}
	}
	return nil
}

// Clients log in over TLS; one that cannot is told so.
func TestLogin(t *testing.T) {
	cert, ca := certificate(t)
	m := boot(t, Options{TLS: cert, Authenticate: keys})
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	trust := kgo.DialTLSConfig(&tls.Config{RootCAs: pool})
	login := func(password string) kgo.Opt {
		return kgo.SASL(plain.Auth{User: "alice", Pass: password}.AsMechanism())
	}
	publishOne := func(value string, opts ...kgo.Opt) error {
		cl := franz(t, m, append(opts, kgo.RecordRetries(2), kgo.RecordDeliveryTimeout(20*time.Second))...)
		return cl.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr()
	}
	if err := publishOne(eventOf("franz"), trust, login("secret")); err != nil {
		t.Error(err)
	}
	if err := publishOne(eventOf("franz"), trust, login("wrong")); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("with a wrong secret: %v", err)
	}
	if err := publishOne(eventOf("franz"), trust); !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Errorf("without a login: %v", err)
	}
	if err := publishOne(`{"user_id":"a","action":"a","resource":"r","tenant_id":"other"}`, trust, login("secret")); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("for another tenant: %v", err)
	}
	bare := m.raw(t) // without TLS
	bare.send(&kmsg.ApiVersionsRequest{})
	bare.closed()
	t.Run("kcat", func(t *testing.T) {
		cmd := kafkatest.Kcat(t, "-P", "-b", m.addr(), "-t", DefaultTopic, "-X", "security.protocol=SASL_SSL", "-X", "ssl.ca.location="+ca,
			"-X", "sasl.mechanisms=PLAIN", "-X", "sasl.username=alice", "-X", "sasl.password=secret")
		if _, stderr, err := run(t, eventOf("kcat"), cmd); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	})
	t.Run("kafkajs", func(t *testing.T) {
		cmd := kafkatest.Kafkajs(t, m.addr(), DefaultTopic, "none", "plain", "alice", "secret", ca)
		if _, stderr, err := run(t, eventOf("kafkajs"), cmd); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	})
	for _, e := range m.events(t) {
		if e.TenantID != "acme" {
			t.Errorf("stored for tenant %q", e.TenantID)
		}
	}
	if got := m.server.metrics.LoginsFailed.Load(); got == 0 {
		t.Error("a failed login was not counted")
	}
}

// What is answered before a login, and to logins that are not as they should be.
func TestBeforeLogin(t *testing.T) {
	m := boot(t, Options{Authenticate: keys})
	handshake := func(version int16, mechanism string) *kmsg.SASLHandshakeRequest {
		return &kmsg.SASLHandshakeRequest{Version: version, Mechanism: mechanism}
	}
	login := func(text string) *kmsg.SASLAuthenticateRequest {
		return &kmsg.SASLAuthenticateRequest{Version: 2, SASLAuthBytes: []byte(text)}
	}
	r := m.raw(t)
	if p := r.produce(batchOf(eventOf("eve"))); p.ErrorCode != kerr.TopicAuthorizationFailed.Code {
		t.Errorf("produce: %s", code(p.ErrorCode))
	}
	init := kmsg.NewPtrInitProducerIDRequest()
	if a := r.ask(init).(*kmsg.InitProducerIDResponse); a.ErrorCode != kerr.ClusterAuthorizationFailed.Code {
		t.Errorf("init producer id: %s", code(a.ErrorCode))
	}
	meta := &kmsg.MetadataRequest{Version: 9}
	if a := r.ask(meta).(*kmsg.MetadataResponse); len(a.Topics) != 0 {
		t.Errorf("metadata names topics: %v", a.Topics)
	}
	create := &kmsg.CreateTopicsRequest{Version: 2, Topics: []kmsg.CreateTopicsRequestTopic{{Topic: DefaultTopic}}}
	if a := r.ask(create).(*kmsg.CreateTopicsResponse); a.Topics[0].ErrorCode != kerr.TopicAuthorizationFailed.Code {
		t.Errorf("create topics: %s", code(a.Topics[0].ErrorCode))
	}
	if a := r.ask(handshake(0, "PLAIN")).(*kmsg.SASLHandshakeResponse); a.ErrorCode != kerr.UnsupportedVersion.Code {
		t.Errorf("handshake 0: %s", code(a.ErrorCode))
	}
	if a := r.ask(handshake(1, "SCRAM-SHA-256")).(*kmsg.SASLHandshakeResponse); a.ErrorCode != kerr.UnsupportedSaslMechanism.Code || !slices.Equal(a.SupportedMechanisms, []string{"PLAIN"}) {
		t.Errorf("SCRAM: %s, %v", code(a.ErrorCode), a.SupportedMechanisms)
	}
	if a := r.ask(login("\x00alice\x00secret")).(*kmsg.SASLAuthenticateResponse); a.ErrorCode != kerr.IllegalSaslState.Code {
		t.Errorf("a login without a handshake: %s", code(a.ErrorCode))
	}
	r.closed()
	for text, want := range map[string]int16{
		"\x00alice\x00secret": 0, "alice\x00alice\x00secret": 0,
		"bob\x00alice\x00secret": kerr.SaslAuthenticationFailed.Code, "\x00alice\x00wrong": kerr.SaslAuthenticationFailed.Code,
		"": kerr.SaslAuthenticationFailed.Code, "alice\x00secret": kerr.SaslAuthenticationFailed.Code, "\x00alice\x00secret\x00": kerr.SaslAuthenticationFailed.Code,
	} {
		r := m.raw(t)
		r.ask(handshake(1, "PLAIN"))
		if a := r.ask(login(text)).(*kmsg.SASLAuthenticateResponse); a.ErrorCode != want {
			t.Errorf("login %q: %s", text, code(a.ErrorCode))
		}
		if want != 0 {
			r.closed()
		} else if p := r.produce(batchOf(eventOf("alice"))); p.ErrorCode != 0 {
			t.Errorf("after login %q: %s", text, code(p.ErrorCode))
		}
	}
	open := boot(t, Options{})
	if a := open.raw(t).ask(handshake(1, "PLAIN")).(*kmsg.SASLHandshakeResponse); a.ErrorCode != kerr.IllegalSaslState.Code {
		t.Errorf("a login where there are no keys: %s", code(a.ErrorCode))
	}
	big := m.raw(t)
	big.send(produceOf(-1, make([]byte, maxPlain)))
	big.closed()
}

// What of the protocol is answered besides publishing.
func TestAnswers(t *testing.T) {
	m := boot(t, Options{Topics: []string{"one", "two"}, Advertised: "log.example.com:9999"})
	r := m.raw(t)
	for version := range int16(5) {
		a := r.ask(&kmsg.ApiVersionsRequest{Version: version, ClientSoftwareName: "test", ClientSoftwareVersion: "1"}).(*kmsg.ApiVersionsResponse)
		if a.ErrorCode != 0 || len(a.ApiKeys) != len(apis()) {
			t.Errorf("ApiVersions %d: %s, %d keys", version, code(a.ErrorCode), len(a.ApiKeys))
		}
	}
	// A version that is not known is answered in version 0.
	q := kmsg.NewRequestFormatter().AppendRequest(nil, &kmsg.ApiVersionsRequest{Version: 3}, r.next)
	binary.BigEndian.PutUint16(q[6:], 99)
	r.conn.Write(q)
	r.next++
	if a := r.receive(&kmsg.ApiVersionsRequest{}, r.next-1).(*kmsg.ApiVersionsResponse); a.ErrorCode != kerr.UnsupportedVersion.Code || len(a.ApiKeys) != len(apis()) {
		t.Errorf("ApiVersions 99: %s, %d keys", code(a.ErrorCode), len(a.ApiKeys))
	}
	for version := range int16(13) {
		q := &kmsg.MetadataRequest{Version: version}
		for _, name := range []string{"two", "three", "no topic"} {
			q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
		a := r.ask(q).(*kmsg.MetadataResponse)
		if b := a.Brokers[0]; b.NodeID != brokerID || b.Host != "log.example.com" || b.Port != 9999 {
			t.Errorf("Metadata %d: broker %d at %s:%d", version, b.NodeID, b.Host, b.Port)
		}
		for i, want := range []int16{0, kerr.UnknownTopicOrPartition.Code, kerr.InvalidTopicException.Code} {
			if a.Topics[i].ErrorCode != want {
				t.Errorf("Metadata %d: %s: %s", version, *a.Topics[i].Topic, code(a.Topics[i].ErrorCode))
			}
		}
		if p := a.Topics[0].Partitions; len(p) != 1 || p[0].Leader != brokerID || !slices.Equal(p[0].ISR, []int32{brokerID}) {
			t.Errorf("Metadata %d: %v", version, p)
		}
		if all := r.ask(&kmsg.MetadataRequest{Version: version}).(*kmsg.MetadataResponse); len(all.Topics) != 2 {
			t.Errorf("Metadata %d of all topics: %v", version, all.Topics)
		}
		if version > 0 {
			if none := r.ask(&kmsg.MetadataRequest{Version: version, Topics: []kmsg.MetadataRequestTopic{}}).(*kmsg.MetadataResponse); len(none.Topics) != 0 {
				t.Errorf("Metadata %d of no topics: %v", version, none.Topics)
			}
		}
	}
	ids := map[int64]bool{}
	for version := range int16(6) {
		a := r.ask(&kmsg.InitProducerIDRequest{Version: version, ProducerID: -1, ProducerEpoch: -1}).(*kmsg.InitProducerIDResponse)
		if a.ErrorCode != 0 || a.ProducerID < 0 || ids[a.ProducerID] || a.ProducerEpoch != 0 {
			t.Errorf("InitProducerID %d: %s, %d, %d", version, code(a.ErrorCode), a.ProducerID, a.ProducerEpoch)
		}
		ids[a.ProducerID] = true
	}
	if a := r.ask(&kmsg.InitProducerIDRequest{Version: 4, TransactionalID: kmsg.StringPtr("t")}).(*kmsg.InitProducerIDResponse); a.ErrorCode != kerr.TransactionalIDAuthorizationFailed.Code {
		t.Errorf("a transactional producer: %s", code(a.ErrorCode))
	}
	for version := int16(0); version < 8; version++ {
		q := &kmsg.CreateTopicsRequest{Version: version, Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "one"}, {Topic: "three"}}}
		a := r.ask(q).(*kmsg.CreateTopicsResponse)
		if a.Topics[0].ErrorCode != kerr.TopicAlreadyExists.Code || a.Topics[1].ErrorCode != kerr.PolicyViolation.Code {
			t.Errorf("CreateTopics %d: %s, %s", version, code(a.Topics[0].ErrorCode), code(a.Topics[1].ErrorCode))
		}
	}
}

// What is not supported is refused with a code, and the connection goes on.
func TestUnsupported(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	for version := range int16(7) {
		for kind, want := range map[int8]int16{0: kerr.GroupAuthorizationFailed.Code, 1: kerr.TransactionalIDAuthorizationFailed.Code} {
			if kind == 1 && version == 0 {
				continue // which knows groups only
			}
			a := r.ask(&kmsg.FindCoordinatorRequest{Version: version, CoordinatorType: kind, CoordinatorKey: "g", CoordinatorKeys: []string{"g"}}).(*kmsg.FindCoordinatorResponse)
			got := a.ErrorCode
			if version >= 4 {
				got = a.Coordinators[0].ErrorCode
			}
			if got != want {
				t.Errorf("FindCoordinator %d of type %d: %s", version, kind, code(got))
			}
		}
	}
	fetch := &kmsg.FetchRequest{Version: 4, Topics: []kmsg.FetchRequestTopic{{Topic: DefaultTopic, Partitions: []kmsg.FetchRequestTopicPartition{{}}}}}
	if a := r.ask(fetch).(*kmsg.FetchResponse); a.Topics[0].Partitions[0].ErrorCode != kerr.UnsupportedVersion.Code {
		t.Errorf("Fetch: %v", a)
	}
	list := &kmsg.ListOffsetsRequest{Version: 1, Topics: []kmsg.ListOffsetsRequestTopic{{Topic: DefaultTopic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{}}}}}
	if a := r.ask(list).(*kmsg.ListOffsetsResponse); a.Topics[0].Partitions[0].ErrorCode != kerr.UnsupportedVersion.Code {
		t.Errorf("ListOffsets: %v", a)
	}
	if a := r.ask(&kmsg.ListGroupsRequest{Version: 3}).(*kmsg.ListGroupsResponse); a.ErrorCode != kerr.UnsupportedVersion.Code {
		t.Errorf("ListGroups: %s", code(a.ErrorCode))
	}
	if p := r.produce(batchOf(eventOf("alice"))); p.ErrorCode != 0 {
		t.Errorf("after all these: %s", code(p.ErrorCode))
	}
}

// A client that speaks nonsense costs its own connection, and no memory.
func TestNonsense(t *testing.T) {
	m := boot(t, Options{Stall: 200 * time.Millisecond})
	frame := func(size uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, size), rest...)
	}
	produce := []byte{0, 0, 0, 12, 0, 0, 0, 1}
	parts := binary.AppendUvarint([]byte{0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 1<<30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, sent := range map[string][]byte{
		"HTTP":                         []byte("GET / HTTP/1.1\r\nHost: daybook\r\n\r\n"),
		"TLS":                          {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"2 GB":                         frame(2<<30, produce...),
		"-1 bytes":                     frame(1<<32-1, produce...),
		"no room for a header":         frame(3, 0, 0, 0),
		"an unknown API":               frame(10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"a negative version":           frame(10, 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff),
		"a large request for metadata": frame(1<<20, 0, 3, 0, 1, 0, 0, 0, 1),
		"a client id past the end":     frame(10, 0, 3, 0, 1, 0, 0, 0, 1, 0, 9),
		"a list past the end":          frame(14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff),
		"a billion topics":             frame(uint32(len(produce)+len(parts)), append(slices.Clone(produce), parts...)...),
		"16 MB that do not come":       frame(16<<20, produce...),
		"half a length":                {0, 0},
		"nothing":                      nil,
	} {
		c := m.raw(t)
		if _, err := c.conn.Write(sent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.closed()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("all this took %d bytes", took)
	}
	r := m.raw(t)
	if p := r.produce(batchOf(eventOf("alice"))); p.ErrorCode != 0 {
		t.Errorf("another client: %s", code(p.ErrorCode))
	}
	if got := m.server.metrics.BytesInFlight.Load(); got != 0 {
		t.Errorf("%d bytes are still held", got)
	}
	if got := m.server.metrics.Broken.Load(); got < 13 {
		t.Errorf("%d connections counted as broken", got)
	}
}

// Past the limit a connection is closed, and the others go on.
func TestTooManyConnections(t *testing.T) {
	m := boot(t, Options{MaxConnections: 2})
	a, b := m.raw(t), m.raw(t)
	a.ask(&kmsg.ApiVersionsRequest{})
	b.ask(&kmsg.ApiVersionsRequest{})
	m.raw(t).closed()
	a.ask(&kmsg.ApiVersionsRequest{})
	b.conn.Close()
	until(t, func() bool { return m.server.metrics.Open.Load() == 1 })
	m.raw(t).ask(&kmsg.ApiVersionsRequest{})
	if got := m.server.metrics.Rejected.Load(); got != 1 {
		t.Errorf("%d connections rejected", got)
	}
}

// Large requests wait for one another where together they take more than there
// is, and all are answered.
func TestBytesInFlight(t *testing.T) {
	m := boot(t, Options{MaxRequest: 1 << 20, MaxUnpacked: 1 << 20, MaxInFlight: 1 << 20})
	big := batchOf(slices.Repeat([]string{`{"user_id":"alice","action":"a","resource":"r","reason":"` + strings.Repeat("x", 1000) + `"}`}, 700)...)
	var peak int64
	m.stream.do(func() error { peak = max(peak, m.server.metrics.BytesInFlight.Load()); return nil })
	const n = 20
	var clients []*raw
	for range n {
		r := m.raw(t)
		clients = append(clients, r)
		go r.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, produceOf(-1, big), 0))
	}
	for i, r := range clients {
		if p := r.receive(produceOf(-1, nil), 0).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Errorf("client %d: %s", i, deref(p.ErrorMessage))
		}
	}
	if got := len(m.events(t)); got != n*700 {
		t.Errorf("%d events", got)
	}
	if peak > 3<<20 {
		t.Errorf("%d bytes in flight; twice 1048576, and one request, are allowed", peak)
	}
}

// A server that stops answers what it has appended, and closes connections on
// which nothing is asked.
func TestStop(t *testing.T) {
	m := boot(t, Options{})
	entered, proceed := make(chan struct{}), make(chan struct{})
	m.stream.do(func() error { entered <- struct{}{}; <-proceed; return nil })
	idle, busy := m.raw(t), m.raw(t)
	idle.ask(&kmsg.ApiVersionsRequest{})
	q := produceOf(-1, batchOf(eventOf("alice")))
	busy.send(q)
	<-entered
	stopped := make(chan struct{})
	go func() { m.stop(); close(stopped) }()
	idle.closed()
	close(proceed)
	if p := busy.receive(q, 0).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("%s at %d", code(p.ErrorCode), p.BaseOffset)
	}
	busy.closed()
	<-stopped
	if c, err := net.Dial("tcp", m.addr()); err == nil {
		c.Close()
		t.Error("a stopped server still listens")
	}
}

// A client that takes no answers costs a bounded memory, and is closed.
func TestClientThatTakesNoAnswers(t *testing.T) {
	m := boot(t, Options{Stall: time.Second})
	deaf := m.raw(t)
	deaf.conn.(*net.TCPConn).SetReadBuffer(1 << 10)
	q := &kmsg.MetadataRequest{Version: 1}
	for range 500 {
		name := strings.Repeat("x", 100)
		q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	request := kmsg.NewRequestFormatter().AppendRequest(nil, q, 0)
	deaf.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	for {
		if _, err := deaf.conn.Write(request); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Fatal("the connection of a client that takes no answers is still open")
			}
			break
		}
	}
	// What was read before the answers were waited for: one group that is being
	// written, one that is open, and what the kernel holds of the answers.
	if got := m.server.metrics.Requests.Load(); got > 2*groupAsked/50_000+500 {
		t.Errorf("%d requests were read of a client that takes no answers", got)
	}
	if p := m.raw(t).produce(batchOf(eventOf("alice"))); p.ErrorCode != 0 {
		t.Error(code(p.ErrorCode))
	}
}
