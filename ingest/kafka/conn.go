package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
)

// conn is one client's connection. Two goroutines serve it. The reader reads
// requests, one after the other, and puts what they publish, and their answers,
// into the open group. The publisher takes the open group, appends its events
// in one append, and sends its answers in one write; meanwhile the reader fills
// the next. So requests that a client sends without waiting for answers are
// decoded while earlier ones are written, share appends, stay in order, and are
// answered in order.
type conn struct {
	s   *Server
	net net.Conn
	r   *bufio.Reader

	// The reader's.
	small     []byte // memory for small requests
	requests  int
	principal *Principal // nil until the client has logged in; then the publisher's too, as it stays
	plain     bool       // the client has asked for SASL PLAIN
	decoder   event.Decoder
	event     event.Event

	mu       sync.Mutex
	changed  *sync.Cond // something below has changed
	open     *group     // guarded by mu, as everything below; nil: nothing to do
	over     bool       // the reader has ended
	stopping bool       // no further request is to be read
}

// group is what is appended by one append and answered by one write.
type group struct {
	batch   *ingest.Batch
	answers []answer
	weight  int64 // of Server.appending that it holds
	asked   int   // bytes of the requests that publish nothing, about as many as of their answers
}

// answer is the answer to one request.
type answer struct {
	correlation int32
	response    kmsg.Response // nil: the client wants none
	parts       []part        // of a request to publish
	acks0       bool
	settled     bool // what became of the parts is known, before the group's append
}

// A group takes another request as long as the events of all weigh no more than
// groupBytes, there are fewer than groupAnswers, and less than groupAsked was
// asked besides publishing.
const (
	groupBytes   = 4 << 20
	groupAnswers = 256
	groupAsked   = 4 * maxPlain
)

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, net: nc}
	c.changed = sync.NewCond(&c.mu)
	switch {
	case s.opts.Anonymous != nil:
		c.principal = s.opts.Anonymous()
	case s.opts.Authenticate == nil:
		c.principal = anonymous
	}
	return c
}

// serve serves the connection until it ends. ctx ends the reading of requests;
// appends ends the appending of what was read.
func (c *conn) serve(ctx, appends context.Context) {
	defer c.net.Close() // whatever it says: the client has gone or is done with
	if c.s.opts.TLS != nil {
		tc := tls.Server(c.net, c.s.opts.TLS)
		handshake, cancel := context.WithTimeout(ctx, c.s.opts.Stall)
		err := tc.HandshakeContext(handshake)
		cancel()
		if err != nil {
			c.s.metrics.HandshakesFailed.Add(1)
			c.s.log.Debug("Kafka client failed in the TLS handshake", "remote", c.net.RemoteAddr(), "err", err)
			return
		}
		c.mu.Lock()
		c.net = tc
		c.mu.Unlock()
		if state := tc.ConnectionState(); c.principal == nil && c.s.opts.Certificate != nil {
			c.principal = c.s.opts.Certificate(&state)
		}
	}
	c.r = bufio.NewReaderSize(c.net, 8<<10)
	published := make(chan struct{})
	go func() {
		defer close(published)
		c.publish(appends)
	}()
	err := c.read(ctx)
	c.mu.Lock()
	c.over = true
	stopping := c.stopping
	c.mu.Unlock()
	c.changed.Broadcast()
	<-published
	if err == io.EOF || stopping || errors.Is(err, net.ErrClosed) {
		return
	}
	if idle := errors.Is(err, os.ErrDeadlineExceeded) && c.requests > 0; !idle {
		c.s.metrics.Broken.Add(1)
	}
	c.s.log.Debug("closed a Kafka connection", "remote", c.net.RemoteAddr(), "err", err)
}

// stop makes the reader end before the next request.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	c.net.SetReadDeadline(time.Unix(1, 0)) // fails when the connection has ended
}

// cut ends the connection, whatever is under way on it.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net.Close() // whatever it says: its goroutines see that it has ended
}

// setReadDeadline gives what is read next so much time, unless c was stopped.
func (c *conn) setReadDeadline(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopping {
		c.net.SetReadDeadline(time.Now().Add(d)) // fails when the connection has ended, as reading will
	}
}

// read reads and handles requests until one cannot be.
func (c *conn) read(ctx context.Context) error {
	for ; ; c.requests++ {
		h, err := c.readPrefix()
		if err != nil {
			return err
		}
		body, done, err := c.readBody(ctx, h)
		if err != nil {
			return err
		}
		c.s.metrics.Requests.Add(1)
		c.s.metrics.RequestBytes.Add(int64(h.size + prefixSize))
		if c.principal != nil && c.principal.ended() {
			done()
			return errEnded
		}
		err = c.handle(ctx, h, body)
		done()
		if err != nil {
			return err
		}
		if err := c.slow(ctx); err != nil {
			return err
		}
	}
}

// errEnded says that who publishes over a connection may no longer.
var errEnded = errors.New("the key with which the client logged in has ended")

// slow waits while the client has published more than it may. Kafka's brokers
// hold a client back in the same way: they read no further request from it.
func (c *conn) slow(ctx context.Context) error {
	if c.principal == nil || c.principal.Door == nil {
		return nil
	}
	wait := min(c.principal.Door.Wait(), maxSlow)
	if wait == 0 {
		return nil
	}
	c.s.metrics.Slowed.Add(1)
	select {
	case <-time.After(wait):
		return nil
	case <-c.principal.Ended:
		return errEnded
	case <-ctx.Done():
		return nil
	}
}

// maxSlow is the longest that a client is held back at a time: well below what
// clients take for a broker that is gone.
const maxSlow = 10 * time.Second

// answer puts the answer to a request that publishes nothing behind those of
// the requests before it.
func (c *conn) answer(h header, r kmsg.Response) {
	r.SetVersion(h.version)
	c.mu.Lock()
	g := c.group(0)
	g.asked += h.size
	g.answers = append(g.answers, answer{correlation: h.correlation, response: r})
	c.mu.Unlock()
	c.changed.Broadcast()
}

// group returns the open group once it has room for a request of that weight,
// which it then holds. mu is held.
func (c *conn) group(weight int64) *group {
	for g := c.open; g != nil && (len(g.answers) >= groupAnswers || g.asked >= groupAsked || g.weight > 0 && g.weight+weight > groupBytes); g = c.open {
		c.changed.Wait()
	}
	if c.open == nil {
		c.open = &group{batch: c.s.opts.Publisher.NewBatch()}
	}
	c.open.weight += weight
	return c.open
}

// publish appends and answers what the reader puts into groups, until the
// reader has ended and nothing is left.
func (c *conn) publish(ctx context.Context) {
	var out []byte
	for {
		c.mu.Lock()
		for c.open == nil && !c.over {
			c.changed.Wait()
		}
		g := c.open
		c.open = nil
		c.mu.Unlock()
		c.changed.Broadcast()
		if g == nil {
			return
		}
		err := g.batch.Publish(ctx)
		if err == nil && g.batch.Len() > 0 && c.principal.Door != nil {
			c.principal.Door.Charge(g.batch.Len())
		}
		c.settle(g, err)
		out = g.append(out[:0])
		c.drop(g)
		if len(out) == 0 {
			continue
		}
		c.net.SetWriteDeadline(time.Now().Add(c.s.opts.Stall)) // fails when the connection has ended, as writing will
		if _, err := c.net.Write(out); err != nil {
			c.net.Close() // which ends the reader
		}
		if cap(out) > maxPlain {
			out = nil
		}
	}
}

// settle says in g's answers what became of its parts: err is that of the
// append. When it failed, what the reader has put into the open group meanwhile
// fails with it: it may continue the sequence of a producer whose earlier
// events are missing now.
func (c *conn) settle(g *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		g.acknowledge(c.s)
		return
	}
	c.s.logFailure(err)
	g.fail(c.s, err)
	if c.open != nil {
		c.open.fail(c.s, err)
		c.open.batch.Truncate(0)
	}
}

// append appends the group's answers as they go over the connection.
func (g *group) append(out []byte) []byte {
	for i := range g.answers {
		a := &g.answers[i]
		if p, ok := a.response.(*kmsg.ProduceResponse); ok {
			fillProduce(p, a.parts)
		}
		if a.response != nil {
			out = appendAnswer(out, a.correlation, a.response)
		}
	}
	return out
}

// drop gives back what the group holds.
func (c *conn) drop(g *group) {
	g.batch.Release()
	c.s.release(g.weight)
}

func (s *Server) release(weight int64) {
	s.appending.Release(weight)
	s.metrics.BytesInFlight.Add(-weight)
}
