package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/event"
)

// publisher sends requests over one connection of its own. net/http's client
// costs more CPU a request than the server needs to answer it, and the two share
// the machine; so the request is written by hand.
type publisher struct {
	conn net.Conn
	in   *bufio.Reader
	addr string
	head []byte
	body []byte
}

func dial(ctx context.Context, addr string) (*publisher, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &publisher{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), addr: addr}, nil
}

// publish sends p.body and waits for the answer, which must accept all of it.
func (p *publisher) publish(receipts bool) error {
	path := "/v1/events"
	if !receipts {
		path += "?receipts=false"
	}
	p.head = fmt.Appendf(p.head[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", path, p.addr, len(p.body))
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

// sample keeps identities of events that were published, spread over the run.
type sample struct {
	mu  sync.Mutex
	ids []event.ID // guarded by mu
}

func (s *sample) add(id event.ID) {
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.mu.Unlock()
}

// bulk publishes events in batches over connections, as fast as they are
// acknowledged.
func bulk(ctx context.Context, o Options, lat *Latencies, ids *sample) error {
	var left atomic.Int64
	left.Store(int64(o.Events))
	return each(o.Connections, func(n int) error {
		p, err := dial(ctx, o.addr)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		g := NewGenerator(o.Seed+uint64(n), o.RandomIDs)
		for ctx.Err() == nil {
			take := min(int64(o.Batch), left.Add(-int64(o.Batch))+int64(o.Batch))
			if take <= 0 {
				return nil
			}
			p.body = p.body[:0]
			var id event.ID
			for range take {
				p.body, id = g.Append(p.body, time.Now())
			}
			start := time.Now()
			if err := p.publish(o.Receipts); err != nil {
				return err
			}
			lat.Add(time.Since(start))
			ids.add(id)
		}
		return ctx.Err()
	})
}

// singles publishes one event a request from many connections for a while and
// returns how many were acknowledged.
func singles(ctx context.Context, o Options, lat *Latencies) (int64, error) {
	var n atomic.Int64
	stop := time.Now().Add(o.SinglesFor)
	err := each(o.Publishers, func(i int) error {
		p, err := dial(ctx, o.addr)
		if err != nil {
			return err
		}
		defer p.conn.Close()
		g := NewGenerator(o.Seed+1_000_000+uint64(i), o.RandomIDs)
		for ctx.Err() == nil && time.Now().Before(stop) {
			p.body, _ = g.Append(p.body[:0], time.Now())
			start := time.Now()
			if err := p.publish(true); err != nil {
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
	p, err := dial(ctx, o.addr)
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
		if err := p.publish(false); err != nil {
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
