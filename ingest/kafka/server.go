package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
)

// Defaults of [Options].
const (
	DefaultTopic          = "daybook.events"
	DefaultMaxRequest     = 16 << 20
	DefaultMaxUnpacked    = 16 << 20
	DefaultMaxInFlight    = 128 << 20
	DefaultMaxConnections = 1000
	DefaultStall          = 30 * time.Second
	DefaultIdle           = 10 * time.Minute
)

// grace is how long a stopping server waits for what it has read to be appended
// and answered.
const grace = 15 * time.Second

// Options are what a [Server] is made of; a zero field means its default.
type Options struct {
	Publisher *ingest.Publisher // required

	Listen string // host:port to listen on, required

	// Advertised is the host:port that clients are told to connect to, for
	// when there is something between them and the server, or a certificate's
	// name matters. "": the address that each client has connected to.
	Advertised string

	// Topics are the names under which events are published; every one is the
	// same log. nil: DefaultTopic.
	Topics []string

	// ClusterID is what clients are told of the cluster that they talk to: the
	// identity of the log.
	ClusterID string

	TLS *tls.Config // nil: connections are not encrypted

	// Authenticate returns who a client is that logs in with SASL PLAIN. Its
	// error is not shown to the client, but for ErrNoRight. It compares in
	// constant time. nil: nobody logs in. With Authenticate and without TLS only a
	// loopback address can be listened on.
	Authenticate func(ctx context.Context, user, password string, from net.Addr) (*Principal, error)

	// Anonymous returns who publishes over a connection without logging in; nil,
	// or its being nil: nobody does where there is Authenticate, and else anyone.
	Anonymous func() *Principal

	// Certificate returns who a client is by the certificate that it has shown in
	// the TLS handshake; nil, or its being nil: it has to log in.
	Certificate func(*tls.ConnectionState) *Principal

	MaxRequest     int           // bytes of a request; the connection of a larger one is closed
	MaxUnpacked    int           // bytes of a record batch after decompression, and of its events in canonical form; MESSAGE_TOO_LARGE
	MaxInFlight    int64         // bytes of requests being read over all connections, give or take one, and as much again of events being appended; more wait
	MaxConnections int           // connections at a time; further ones are closed at once
	Stall          time.Duration // how long a client may take to log in, to send a request once begun, and to take an answer
	Idle           time.Duration // how long a connection may be silent between requests

	Logger  *slog.Logger // nil: nothing is logged
	Metrics *Metrics     // nil: not counted
}

// Principal is who publishes over a connection.
type Principal struct {
	// ID is the identity of the key. Producers of different principals have
	// nothing to do with one another, whatever producer id they claim.
	ID string

	Door  ingest.Door     // what it may publish; nil: whatever it likes
	Ended <-chan struct{} // closed when it may no longer; nil: it always may
}

// ended reports whether p may no longer publish.
func (p *Principal) ended() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// ErrNoRight is what Authenticate returns for a key that may do other things.
var ErrNoRight = errors.New("the key has not the right to write")

// anonymous is who publishes when nobody has to log in.
var anonymous = &Principal{}

func (o *Options) setDefaults() {
	if o.Topics == nil {
		o.Topics = []string{DefaultTopic}
	}
	o.MaxRequest = cmp.Or(o.MaxRequest, DefaultMaxRequest)
	o.MaxUnpacked = cmp.Or(o.MaxUnpacked, DefaultMaxUnpacked)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.Stall = cmp.Or(o.Stall, DefaultStall)
	o.Idle = cmp.Or(o.Idle, DefaultIdle)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = new(Metrics)
	}
}

// check returns what is wrong with o.
func (o *Options) check() error {
	switch {
	case o.Publisher == nil:
		return errors.New("kafka: option Publisher is missing")
	case o.MaxRequest < maxPlain || int64(o.MaxRequest) > o.MaxInFlight:
		return fmt.Errorf("kafka: option MaxRequest is %d: it must be between %d and MaxInFlight, %d", o.MaxRequest, maxPlain, o.MaxInFlight)
	case o.MaxUnpacked < event.MaxSize || int64(o.MaxUnpacked) > o.MaxInFlight:
		return fmt.Errorf("kafka: option MaxUnpacked is %d: it must be between %d and MaxInFlight, %d", o.MaxUnpacked, event.MaxSize, o.MaxInFlight)
	}
	for _, name := range o.Topics {
		if !validTopic(name) {
			return fmt.Errorf("kafka: topic %q: a topic's name is 1 to 249 letters, digits, dots, hyphens and underscores", name)
		}
	}
	return nil
}

// validTopic reports whether Kafka lets a topic have this name.
func validTopic(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 249 && name != "." && name != ".."
}

// Server listens on one address.
type Server struct {
	opts      Options
	log       *slog.Logger
	metrics   *Metrics
	listener  net.Listener
	host      string // that clients are told to connect to; "": the one they have
	port      int32
	producers producers

	reading   *semaphore.Weighted // bytes of large requests, MaxInFlight in all
	extra     *semaphore.Weighted // held by the one request that is read though there is no room
	appending *semaphore.Weighted // bytes of record batches from their unpacking to their append, MaxInFlight in all
	buffers   sync.Pool           // of *[]byte, for large requests
	unpackers sync.Pool           // of *unpacker

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
}

// Open listens and serves nothing yet: connections wait until Run.
func Open(ctx context.Context, o Options) (*Server, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, log: o.Logger, metrics: o.Metrics, conns: make(map[*conn]struct{}),
		reading: semaphore.NewWeighted(o.MaxInFlight), extra: semaphore.NewWeighted(1), appending: semaphore.NewWeighted(o.MaxInFlight),
	}
	if o.Advertised != "" {
		var ok bool
		if s.host, s.port, ok = splitAddress(o.Advertised); !ok {
			return nil, fmt.Errorf("kafka: advertised address %q: write it as host:port, such as log.example.com:9092", o.Advertised)
		}
	}
	s.producers.init()
	s.buffers.New = func() any { return new([]byte) }
	s.unpackers.New = func() any { return &unpacker{limit: o.MaxUnpacked} }
	var lc net.ListenConfig
	var err error
	if s.listener, err = lc.Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("listen for Kafka clients on %q: %w", o.Listen, err)
	}
	if a, ok := s.listener.Addr().(*net.TCPAddr); o.Authenticate != nil && o.TLS == nil && !(ok && a.IP.IsLoopback()) {
		err := fmt.Errorf("listen for Kafka clients on %q: keys would go over the network as they are; give a certificate, or listen on a loopback address", o.Listen)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, for a server that was opened and never ran. After Run
// it does nothing.
func (s *Server) Close() error {
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run serves until ctx ends. Then it reads no more requests, answers those that
// it has read, for grace at most, and closes the connections.
func (s *Server) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	appends, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stopped := context.AfterFunc(ctx, func() {
		s.listener.Close() // accept says so
		s.each((*conn).stop)
	})
	defer stopped()
	err := s.accept(ctx, appends, &serving)

	done := make(chan struct{})
	go func() { serving.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(grace):
		s.log.Warn("closing Kafka connections whose requests were not finished", "after", grace)
		cut()
		s.each((*conn).cut)
		<-done
	}
	return err
}

// accept serves connections until ctx ends or the listener fails.
func (s *Server) accept(ctx, appends context.Context, serving *sync.WaitGroup) error {
	for pause := time.Duration(0); ; {
		nc, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close() // nothing was asked on it
			}
			return nil
		}
		if err != nil && errors.Is(err, net.ErrClosed) {
			s.each((*conn).stop)
			return fmt.Errorf("serve Kafka clients on %s: %w", s.listener.Addr(), err)
		}
		if err != nil { // most likely out of file descriptors: it may pass
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept a Kafka connection", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		s.metrics.Connections.Add(1)
		c := newConn(s, nc)
		if !s.add(c) {
			s.metrics.Rejected.Add(1)
			s.log.Debug("closed a Kafka connection: too many are open", "remote", nc.RemoteAddr(), "limit", s.opts.MaxConnections)
			nc.Close() // nothing was asked on it
			continue
		}
		if ctx.Err() != nil {
			c.stop()
		}
		serving.Go(func() {
			defer s.remove(c)
			c.serve(ctx, appends)
		})
	}
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opts.MaxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	s.metrics.Open.Add(1)
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.metrics.Open.Add(-1)
}

func (s *Server) each(f func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// splitAddress returns the host and port of an address.
func splitAddress(addr string) (host string, port int32, ok bool) {
	host, text, err := net.SplitHostPort(addr)
	n, nerr := strconv.ParseUint(text, 10, 16)
	return host, int32(n), err == nil && nerr == nil && n > 0 && host != ""
}
