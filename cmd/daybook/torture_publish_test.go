//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

// publisher publishes for as long as the torture lasts, whether there is a server
// or not. What was not acknowledged it sends again, as a careful publisher would.
type publisher struct {
	*torture
	rnd    *rand.Rand
	http   *http.Client
	gzip   *gzip.Writer
	zstd   *zstd.Encoder
	batch  []uint64 // not acknowledged yet
	recent []uint64 // the last that were acknowledged
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for ctx.Err() == nil && !p.t.Failed() {
		p.gate.RLock()
		pause := 5 * time.Millisecond // kills count here, not events: every check reads all of them
		if err := p.attempt(ctx); err != nil {
			pause = 20 * time.Millisecond
		}
		p.gate.RUnlock()
		time.Sleep(draw(p.rnd, pause))
	}
}

// attempt sends the batch in hand, or a new one. The error says that it was not
// acknowledged; whether it is stored is then unknown.
func (p *publisher) attempt(ctx context.Context) error {
	if len(p.batch) == 0 {
		p.batch = p.truth.publish(p.size())
	}
	ns := p.batch
	if p.rnd.IntN(8) == 0 { // among them some that were acknowledged
		for range min(len(p.recent), 5) {
			ns = slices.Insert(slices.Clone(ns), p.rnd.IntN(len(ns)+1), p.recent[p.rnd.IntN(len(p.recent))])
		}
	}
	req, err := p.request(ns)
	if err != nil {
		return err
	}
	if p.rnd.IntN(32) == 0 {
		return p.breakOff(req)
	}
	limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond+draw(p.rnd, time.Second))
	defer cancel()
	receipts, err := p.publish(req.WithContext(limited))
	if errors.Is(err, context.DeadlineExceeded) {
		p.tally.timeouts.Add(1)
	}
	if err != nil {
		return err
	}
	if err := p.truth.acknowledge(ns, receipts); err != nil {
		p.t.Error(err)
	}
	p.tally.repeats.Add(int64(len(ns) - len(p.batch)))
	p.recent = append(p.recent, p.batch...)
	p.recent = slices.Clone(p.recent[max(0, len(p.recent)-200):])
	p.batch = nil
	return nil
}

// size draws how many events the next batch has.
func (p *publisher) size() int {
	switch x := p.rnd.IntN(20); {
	case x < 6:
		return 1
	case x < 19:
		return 1 + p.rnd.IntN(60)
	}
	return 1 + p.rnd.IntN(1000)
}

// request makes a request of events in one of the forms that are accepted.
func (p *publisher) request(ns []uint64) (*http.Request, error) {
	form, open, between, end := "application/x-ndjson", "", "\n", "\n"
	if p.rnd.IntN(2) == 0 {
		form = "application/json"
		if open, between, end = "[", ",", "]"; len(ns) == 1 {
			open, end = "", ""
		}
	}
	body := []byte(open)
	for i, n := range ns {
		if i > 0 {
			body = append(body, between...)
		}
		body = p.truth.append(body, n)
	}
	body = append(body, end...)
	coding := [...]string{"identity", "gzip", "zstd"}[p.rnd.IntN(3)]
	switch coding {
	case "gzip":
		var b bytes.Buffer
		p.gzip.Reset(&b)
		if _, err := p.gzip.Write(body); err != nil {
			return nil, err
		}
		if err := p.gzip.Close(); err != nil {
			return nil, err
		}
		body = b.Bytes()
	case "zstd":
		body = p.zstd.EncodeAll(body, nil)
	}
	req, err := http.NewRequest(http.MethodPost, p.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", form)
	req.Header.Set("Content-Encoding", coding)
	return req, nil
}

// breakOff hangs up in the middle of a body.
func (p *publisher) breakOff(req *http.Request) error {
	u, err := url.Parse(p.url)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	p.tally.brokenOff.Add(1)
	var raw bytes.Buffer
	if err := req.Write(&raw); err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = conn.Write(raw.Bytes()[:raw.Len()-1-p.rnd.IntN(int(req.ContentLength))])
	return errors.Join(err, conn.Close(), errors.New("broken off"))
}

// publish sends req and returns the receipts. What a server must never answer
// fails the test.
func (p *publisher) publish(req *http.Request) ([]client.EventResult, error) {
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		var res client.Result
		if err := json.Unmarshal(body, &res); err != nil {
			p.t.Errorf("%v: %s", err, body)
		}
		return res.Results, nil
	}
	answer := fmt.Sprintf("%d %.300s", resp.StatusCode, body)
	switch resp.StatusCode {
	case http.StatusServiceUnavailable:
		if strings.Contains(answer, "no space left") {
			p.tally.noRoom.Add(1)
		}
		if resp.Header.Get("Retry-After") == "" || strings.Contains(answer, "must be restarted") {
			p.t.Errorf("publishing: %s", answer)
		}
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
	default:
		p.t.Errorf("publishing: %s", answer)
	}
	return nil, errors.New(answer)
}

// follow is a tail over all servers, which the client connects again where the
// last one broke off.
func (w *torture) follow(ctx context.Context) {
	cl, err := client.New(w.url)
	if err != nil {
		w.t.Error(err)
		return
	}
	cl.TailPause = 5 * time.Millisecond // or it would rarely be there when a server is killed
	dec := event.Decoder{AllowSet: true}
	broken := false // and nothing has come since
	err = cl.Tail(ctx, url.Values{"since": {"beginning"}}, "", func(data []byte) error {
		e, err := returned(&dec, data)
		if err != nil {
			return err
		}
		if broken {
			w.tally.reconnects.Add(1)
		}
		broken = false
		return w.truth.follow(e)
	}, func(error) { broken = true })
	if !errors.Is(err, context.Canceled) {
		w.t.Errorf("tail: %v", err)
	}
}
