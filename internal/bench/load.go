package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// publisher sends requests over one connection of its own. net/http's client
// costs more CPU a request than the server needs to answer it, and the two share
// the machine; so the request is written by hand.
type publisher struct {
	conn net.Conn
	in   *bufio.Reader
	line string // of the request, with the headers that are always the same
	head []byte
	body []byte
}

// Where Daybook takes events: with a receipt for each, or with counts only.
const (
	withReceipts    = "/v1/events"
	withoutReceipts = "/v1/events?receipts=false"
)

// dial connects to the server at addr, to publish at path.
func dial(ctx context.Context, addr, path string) (*publisher, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	line := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: ", path, addr)
	return &publisher{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), line: line}, nil
}

// publish sends p.body and waits for the answer, which must accept all of it.
func (p *publisher) publish() error {
	p.head = append(strconv.AppendInt(append(p.head[:0], p.line...), int64(len(p.body)), 10), "\r\n\r\n"...)
	bufs := net.Buffers{p.head, p.body}
	if _, err := bufs.WriteTo(p.conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("publish: %s: %s", resp.Status, body)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// Load is a bulk of generated events. With At, the same Load makes the same
// bytes every time, whoever takes them and however fast.
type Load struct {
	Addr        string // host:port of the server
	Path        string // that takes NDJSON, with its query
	Events      int
	Connections int
	Batch       int // events a request
	Seed        uint64
	RandomIDs   bool
	At          func(n int) time.Time // when event n happens; nil: when it is made
}

// Loaded is what became of a Load: all of it was acknowledged.
type Loaded struct {
	Took    time.Duration // until the last acknowledgement
	Publish Summary       // of a request
	Sum     uint32        // of all bytes sent: equal sums, equal events
	Samples []Sample      // events spread over the run, in no order
}

// Sample is an event that was published, as far as searches look for it.
type Sample struct {
	EventID   string    `json:"event_id"`
	Timestamp time.Time `json:"timestamp"`
	RequestID string    `json:"request_id"`
}

// maxSamples bounds what a Load keeps of what it published.
const maxSamples = 10_000

// Run publishes the events over the connections, each a batch after the other,
// as fast as they are acknowledged.
func (l Load) Run(ctx context.Context) (*Loaded, error) {
	conns := make([]*publisher, l.Connections)
	gens := make([]*Generator, l.Connections)
	for i := range conns {
		p, err := dial(ctx, l.Addr, l.Path)
		if err != nil {
			return nil, err
		}
		defer p.conn.Close()
		conns[i], gens[i] = p, NewGenerator(l.Seed+uint64(i), l.RandomIDs)
	}
	var (
		mu    sync.Mutex
		done  = &Loaded{}
		lines [][]byte // guarded by mu
		every = max(1, l.Events/maxSamples/l.Batch)
		lat   Latencies
	)
	start := time.Now()
	err := each(l.Connections, func(c int) error {
		p, g := conns[c], gens[c]
		for n := c * l.Batch; n < l.Events && ctx.Err() == nil; n += l.Connections * l.Batch {
			p.body = p.body[:0]
			last := 0
			for i := n; i < min(n+l.Batch, l.Events); i++ {
				at := time.Now()
				if l.At != nil {
					at = l.At(i)
				}
				last = len(p.body)
				p.body, _ = g.Append(p.body, at)
			}
			start := time.Now()
			if err := p.publish(); err != nil {
				return err
			}
			lat.Add(time.Since(start))
			sum := crc32.Checksum(p.body, castagnoli)
			mu.Lock()
			done.Sum += sum // a sum of sums does not depend on the order
			if n/l.Batch%every == 0 {
				lines = append(lines, bytes.Clone(p.body[last:]))
			}
			mu.Unlock()
		}
		return ctx.Err()
	})
	done.Took, done.Publish = time.Since(start), lat.Summary()
	if err != nil {
		return nil, err
	}
	done.Samples = make([]Sample, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal(line, &done.Samples[i]); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// singles publishes one event a request from many connections for a while and
// returns how many were acknowledged.
func singles(ctx context.Context, o Options, lat *Latencies) (int64, error) {
	var n atomic.Int64
	stop := time.Now().Add(o.SinglesFor)
	err := each(o.Publishers, func(i int) error {
		p, err := dial(ctx, o.addr, withReceipts)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		g := NewGenerator(o.Seed+1_000_000+uint64(i), o.RandomIDs)
		for ctx.Err() == nil && time.Now().Before(stop) {
			p.body, _ = g.Append(p.body[:0], time.Now())
			start := time.Now()
			if err := p.publish(); err != nil {
				return err
			}
			lat.Add(time.Since(start))
			n.Add(1)
		}
		return ctx.Err()
	})
	return n.Load(), err
}

// paced publishes rate events a second, every 10 ms as many as are due by then,
// until ctx ends.
func paced(ctx context.Context, o Options) error {
	p, err := dial(ctx, o.addr, withoutReceipts)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	g := NewGenerator(o.Seed+2_000_000, o.RandomIDs)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := int(time.Since(start).Seconds()*float64(o.Rate)) - sent
		if due == 0 {
			continue
		}
		p.body = p.body[:0]
		for range due {
			p.body, _ = g.Append(p.body, time.Now())
		}
		sent += due
		if err := p.publish(); err != nil {
			return err
		}
	}
}

// each runs f in n goroutines and returns their errors.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
