// Package client speaks Daybook's HTTP API for the command line. Every call
// returns a [*Problem] for an answer that is not a success, so that a command
// can print what the server said about it.
package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/certs"
)

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	key  string // API key or viewer token; "": none is shown

	// OnMissing, if set, is told when an answer lacks events because segments
	// that held them are damaged: how many these held.
	OnMissing func(events string)

	// TailPause is how long a tail that broke off waits before it connects again.
	TailPause time.Duration
}

// Options are what a client may need besides the server's address.
type Options struct {
	Key string // API key or viewer token to show; "": none
	CA  string // PEM file of the authorities to trust; "": the system's
}

// New returns a client of the server at base, such as http://127.0.0.1:7575.
func New(base string) (*Client, error) { return NewWith(base, Options{}) }

// NewWith is New with options.
func NewWith(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server %q: not an http or https URL, such as http://127.0.0.1:7575", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	if o.CA != "" {
		pool, err := certs.Pool("authorities to trust", o.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &Client{base: strings.TrimSuffix(base, "/"), http: &http.Client{Transport: transport}, key: o.Key, TailPause: time.Second}, nil
}

// request makes a request that shows the key. A redirect to another host does not
// carry it on.
func (c *Client) request(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err == nil && c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, err
}

// Problem is a server's answer that is not a success (RFC 9457).
type Problem struct {
	Status     int           `json:"status"`
	Title      string        `json:"title"`
	Detail     string        `json:"detail"`
	Errors     []Fault       `json:"errors,omitempty"`
	RetryAfter time.Duration `json:"-"`
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	event.FieldError
	Column int `json:"column,omitempty"` // of a filter, from 1, in characters
}

// Error returns the title and every fault on lines of their own, a filter's with
// a mark under the column in question; or what else the server said.
func (p *Problem) Error() string {
	var b strings.Builder
	for _, e := range p.Errors {
		if e.Column > 0 && e.Value != "" && !strings.ContainsAny(e.Value, "\n\t") {
			fmt.Fprintf(&b, "\n  %s\n  %s^ %s", e.Value, strings.Repeat(" ", e.Column-1), e.Reason)
		} else {
			b.WriteString("\n  " + e.Error())
		}
	}
	switch {
	case b.Len() > 0:
		return p.Title + b.String()
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	}
	return http.StatusText(p.Status)
}

// Result answers a publish.
type Result struct {
	Accepted   int           `json:"accepted"`
	Duplicates int           `json:"duplicates"`
	Rejected   int           `json:"rejected"`
	Results    []EventResult `json:"results"`
}

// EventResult is the receipt of one event, or what was wrong with it.
type EventResult struct {
	Index     int          `json:"index"` // which event of the request; only with Errors
	EventID   string       `json:"event_id"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Duplicate bool         `json:"duplicate"`
	Errors    event.Errors `json:"errors"`
}

// Publish sends NDJSON and returns what became of each event.
//
// A busy or absent server is tried again, with what Retry-After says or a
// growing pause, until ctx ends; an answer that is no server's of this kind is
// an error at once. Publishing is safe to repeat because an event
// with an event_id is stored once, so give every event one ([WithIDs]).
func (c *Client) Publish(ctx context.Context, ndjson []byte, onRetry func(error, time.Duration)) (*Result, error) {
	for attempt := 0; ; attempt++ {
		res, err := c.publishOnce(ctx, ndjson)
		if err == nil || ctx.Err() != nil {
			return res, err
		}
		pause := min(100*time.Millisecond<<min(attempt, 7), 10*time.Second)
		pause = pause/2 + rand.N(pause/2+1)
		var p *Problem
		if errors.As(err, &p) {
			if p.Status != http.StatusTooManyRequests && p.Status != http.StatusRequestTimeout && p.Status < 500 {
				return nil, err
			}
			pause = max(pause, p.RetryAfter)
		}
		if errors.Is(err, errAnswer) {
			return nil, err
		}
		if onRetry != nil {
			onRetry(err, pause)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// errAnswer says that whoever answered does not speak Daybook's API.
var errAnswer = errors.New("the answer is not one of a Daybook server")

func (c *Client) publishOnce(ctx context.Context, ndjson []byte) (*Result, error) {
	req, err := c.request(ctx, http.MethodPost, c.base+"/v1/events", bytes.NewReader(ndjson))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	// 422 is a problem that lists its events when every one of them was refused:
	// for the caller an outcome like any other.
	res := new(Result)
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusUnprocessableEntity {
		return nil, problemOf(resp, body)
	}
	if err := json.Unmarshal(body, res); err != nil {
		return nil, fmt.Errorf("publish: %w: %w", errAnswer, err)
	}
	if resp.StatusCode/100 != 2 && len(res.Results) == 0 {
		return nil, problemOf(resp, body)
	}
	return res, nil
}

// Page is one page of a search.
type Page struct {
	Events     []json.RawMessage `json:"events"`
	NextCursor string            `json:"next_cursor"`
}

// Search returns one page.
func (c *Client) Search(ctx context.Context, params url.Values) (*Page, error) {
	page := new(Page)
	return page, c.getJSON(ctx, "/v1/events", params, page)
}

// Get returns one event.
func (c *Client) Get(ctx context.Context, id string) (json.RawMessage, error) {
	var ev json.RawMessage
	err := c.getJSON(ctx, "/v1/events/"+url.PathEscape(id), nil, &ev)
	return ev, err
}

// Counts answers a count; Raw is the answer as the server wrote it.
type Counts struct {
	Total   int64           `json:"total"`
	Buckets []Bucket        `json:"buckets"`
	Groups  []Group         `json:"groups"`
	Other   int64           `json:"other"`
	Raw     json.RawMessage `json:"-"`
}

// Bucket is the count of one span of time.
type Bucket struct {
	Start string `json:"start"`
	Count int64  `json:"count"`
}

// Group is the count of one value.
type Group struct {
	Value   string   `json:"value"`
	Count   int64    `json:"count"`
	Buckets []Bucket `json:"buckets"`
}

// Count returns counts.
func (c *Client) Count(ctx context.Context, params url.Values) (*Counts, error) {
	out := new(Counts)
	if err := c.getJSON(ctx, "/v1/counts", params, &out.Raw); err != nil {
		return nil, err
	}
	return out, json.Unmarshal(out.Raw, out)
}

// Export copies an export to w. An export that the server broke off is an error.
func (c *Client) Export(ctx context.Context, params url.Values, w io.Writer) error {
	resp, err := c.get(ctx, "/v1/export", params, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// Tail calls each for every event of the live tail, from lastID on, until ctx
// ends or each fails. It reconnects where it left off when the connection
// breaks or falls silent, telling onRetry.
func (c *Client) Tail(ctx context.Context, params url.Values, lastID string, each func(ev []byte) error, onRetry func(error)) error {
	for {
		var stop *stopError
		err := c.tailOnce(ctx, params, &lastID, each)
		var p *Problem
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.err
		case errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests:
			return err
		}
		if onRetry != nil {
			onRetry(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.TailPause):
		}
	}
}

// stopError carries the error of Tail's callback through the reconnecting.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// silence is how long a tail waits for anything to come, three of the server's
// heartbeats: a peer that is gone without a word would be waited for for ever.
const silence = 3 * 15 * time.Second

var errSilent = fmt.Errorf("nothing came from the server for %v, not even a heartbeat", silence)

// listener reads an answer, and calls off one that falls silent. The time that
// its reader takes for what came does not count.
type listener struct {
	io.Reader
	alarm *time.Timer
}

func (l *listener) Read(p []byte) (int, error) {
	l.alarm.Reset(silence)
	defer l.alarm.Stop()
	return l.Reader.Read(p)
}

func (c *Client) tailOnce(ctx context.Context, params url.Values, lastID *string, each func([]byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	resp, err := c.get(ctx, "/v1/events/tail", params, *lastID)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	alarm.Stop()
	lines := bufio.NewScanner(&listener{resp.Body, alarm})
	lines.Buffer(make([]byte, 64<<10), 4*event.MaxSize)
	id, data := "", []byte(nil)
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case len(line) == 0:
			if data != nil {
				if err := each(data); err != nil {
					return &stopError{err}
				}
			}
			if id != "" {
				*lastID = id
			}
			data = nil
		case bytes.HasPrefix(line, []byte("id:")):
			id = string(bytes.TrimSpace(line[3:]))
		case bytes.HasPrefix(line, []byte("data:")):
			data = append(data, bytes.TrimSpace(line[5:])...)
		}
	}
	return cmp.Or(context.Cause(ctx), lines.Err(), io.ErrUnexpectedEOF)
}

func (c *Client) getJSON(ctx context.Context, path string, params url.Values, into any) error {
	resp, err := c.get(ctx, path, params, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, params url.Values, lastID string) (*http.Response, error) {
	target := c.base + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := c.request(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return nil, err
		}
		return nil, problemOf(resp, body)
	}
	if n := resp.Header.Get("Daybook-Missing-Events"); n != "" && c.OnMissing != nil {
		c.OnMissing(n)
	}
	return resp, nil
}

func problemOf(resp *http.Response, body []byte) error {
	p := &Problem{Status: resp.StatusCode}
	if err := json.Unmarshal(body, p); err != nil {
		p.Detail = strings.TrimSpace(string(body))
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}
