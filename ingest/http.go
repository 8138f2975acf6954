package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/stream"
)

// Defaults of [HTTPOptions].
const (
	DefaultMaxBody     = 64 << 20
	DefaultMaxDecoded  = 256 << 20
	DefaultMaxEvents   = 100_000
	DefaultMaxAtomic   = 16 << 20
	DefaultMaxInFlight = 128 << 20
	DefaultMaxWait     = time.Second
	DefaultStall       = 30 * time.Second
)

// What of a request is appended at once: when either is reached, the events in
// hand are appended before more is read.
const (
	batchEvents = 10_000
	batchBytes  = 4 << 20
)

// What a request takes of the bytes in flight when it begins, and by how much
// that grows.
const (
	minWeight     = 4 << 10
	unknownWeight = 64 << 10 // of a body that does not say how long it is
	maxWeight     = 1 << 20
	growWeight    = 256 << 10
)

// HTTPOptions are the limits of [Handler]; a zero field means its default.
type HTTPOptions struct {
	MaxBody     int64         // bytes of a body as sent; more is answered 413
	MaxDecoded  int64         // bytes of a body after decompression; 413
	MaxEvents   int           // events of a request; 413
	MaxAtomic   int           // canonical bytes of a request with atomic=true; 413
	MaxInFlight int64         // bytes of events, and of answers to them, held by all requests together; 429
	MaxWait     time.Duration // how long a request waits for others to give some of these back
	Stall       time.Duration // how long a publisher may send nothing in the midst of a body; 408

	// Door returns what a request's sender may publish; nil: whatever it likes.
	Door func(*http.Request) Door

	Logger *slog.Logger // nil: nothing is logged
}

func (o *HTTPOptions) setDefaults() {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.MaxDecoded = cmp.Or(o.MaxDecoded, DefaultMaxDecoded)
	o.MaxEvents = cmp.Or(o.MaxEvents, DefaultMaxEvents)
	o.MaxAtomic = cmp.Or(o.MaxAtomic, DefaultMaxAtomic)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.MaxWait = cmp.Or(o.MaxWait, DefaultMaxWait)
	o.Stall = cmp.Or(o.Stall, DefaultStall)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Handler answers POST /v1/events: one event, a JSON array of events, or NDJSON,
// as they are or compressed with gzip or zstd.
//
//	atomic=true     all or nothing: the events are appended only if none is
//	                refused, and in one append
//	receipts=false  answer refusals and counts, no receipts; so does the header
//	                Prefer: return=minimal
//
// The answer comes when every event it acknowledges is durable:
//
//	200  all events were accepted, or had been before
//	207  some were, some were refused: the results say which
//	422  none was: all were refused, or atomic=true and one was
//	400  the body cannot be read as events from some point on
//	408  the body stopped coming
//	413  a limit was reached; the detail names it
//	415  the type or coding of the body is not accepted
//	429  overload, or more than the key may publish; Retry-After
//	503  the stream takes no events: the disk is full or has failed, or the
//	     server is stopping; Retry-After
//
// Everything but 200 and 207 is a problem document. All carry the members that
// [answer] describes. A body that fails on its way has had its first events
// appended if it was long: these are the ones in the results, always the first
// so many of the body; nothing after them was accepted.
type Handler struct {
	publisher *Publisher
	opts      HTTPOptions
	metrics   *Metrics
	inFlight  *semaphore.Weighted // bytes, opts.MaxInFlight in all
	requests  sync.Pool           // of *request
	inflaters inflaters

	bodyTooLarge, decodedTooLarge problem.Problem
}

// NewHandler returns a handler that publishes through p.
func NewHandler(p *Publisher, o HTTPOptions) *Handler {
	o.setDefaults()
	h := &Handler{
		publisher: p, opts: o, metrics: p.metrics, inFlight: semaphore.NewWeighted(o.MaxInFlight),
		bodyTooLarge:    tooLarge("body", "the body is larger than the %d bytes that are accepted; send it in pieces", o.MaxBody),
		decodedTooLarge: tooLarge("body", "the body is larger than the %d bytes that are accepted after decompression; send it in pieces", o.MaxDecoded),
	}
	h.requests.New = func() any { return &request{h: h} }
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := &h.metrics.HTTP
	m.Requests.Add(1)
	m.InFlight.Add(1)
	defer m.InFlight.Add(-1)
	q := h.requests.Get().(*request)
	defer q.release()
	if err := q.run(w, r); err != nil {
		p := h.explain(r.Context(), err, q.coding)
		h.count(p.Status)
		switch p.Status {
		case http.StatusUnsupportedMediaType:
			w.Header().Set("Accept", acceptedTypes)
			w.Header().Set("Accept-Encoding", acceptedCodings)
		case http.StatusRequestTimeout:
			w.Header().Set("Connection", "close")
		}
		q.drain(r)
		q.head = q.answer.counts(q.head[:0])
		p.Members = q.head
		problem.Write(w, p, q.answer.list(), []byte{']'})
		return
	}
	q.write(w)
}

// count counts a request that ended with a problem.
func (h *Handler) count(status int) {
	m := &h.metrics.HTTP
	switch status {
	case http.StatusRequestEntityTooLarge:
		m.TooLarge.Add(1)
	case http.StatusUnprocessableEntity:
		m.AllRefused.Add(1)
	case http.StatusTooManyRequests:
		m.Overloaded.Add(1)
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		m.Unavailable.Add(1)
	default:
		m.Malformed.Add(1)
	}
}

// request is the state of one request. Its buffers are used again by later ones.
type request struct {
	h       *Handler
	split   splitter
	decoder event.Decoder
	event   event.Event
	door    Door // nil: everything is admitted
	answer  answer
	head    []byte
	batch   *Batch
	coding  coding
	body    *limited // nil until it is read
	weight  int64    // bytes in flight that it holds
	atomic  bool
}

func (q *request) release() {
	if q.batch != nil {
		q.batch.Release()
		q.batch = nil
	}
	if q.weight > 0 {
		q.h.inFlight.Release(q.weight)
		q.h.metrics.HTTP.InFlightBytes.Add(-q.weight)
		q.weight = 0
	}
	q.event = event.Event{}
	q.split.r, q.body, q.door, q.decoder.Tenant = nil, nil, nil, ""
	if cap(q.answer.results)+cap(q.answer.refused)+cap(q.head) > maxPooled {
		return
	}
	q.h.requests.Put(q)
}

// run reads the events of r and publishes them. What was published before an
// error is in q.answer.
func (q *request) run(w http.ResponseWriter, r *http.Request) error {
	h := q.h
	q.coding = identity
	q.answer.reset(false)
	if err := q.enter(r); err != nil {
		return err
	}
	if err := q.parameters(w, r); err != nil {
		return err
	}
	ndjson, err := contentType(r.Header)
	if err != nil {
		return err
	}
	if q.coding, err = contentCoding(r.Header); err != nil {
		return err
	}
	if r.ContentLength > h.opts.MaxBody {
		return h.bodyTooLarge
	}
	if err := q.admit(r); err != nil {
		return err
	}
	q.body = &limited{
		r:    &patient{r: r.Body, rc: http.NewResponseController(w), stall: h.opts.Stall},
		left: h.opts.MaxBody, over: &h.bodyTooLarge, counter: &h.metrics.HTTP.BodyBytes,
	}
	decoded := &limited{
		r: q.body, left: h.opts.MaxDecoded, over: &h.decodedTooLarge, counter: &h.metrics.HTTP.DecodedBytes,
	}
	if q.coding != identity {
		f := h.inflaters.get()
		defer h.inflaters.put(f)
		if decoded.r, err = f.reset(q.body, q.coding); err != nil {
			return err
		}
	}
	q.split.reset(decoded, ndjson)
	q.batch = h.publisher.NewBatch()
	if err := q.events(r.Context()); err != nil {
		return err
	}
	return q.verdict()
}

// enter asks the door.
func (q *request) enter(r *http.Request) error {
	if q.h.opts.Door == nil {
		return nil
	}
	q.door = q.h.opts.Door(r)
	q.decoder.Tenant = q.door.Tenant()
	if wait := q.door.Wait(); wait > 0 {
		return problem.Problem{Type: "rate-limited", Status: http.StatusTooManyRequests, RetryAfter: wait,
			Detail: "more events were published with this key than it may in a second; send again later"}
	}
	return nil
}

// drain reads a body that was refused to its end, as far as a body may go, and
// throws it away. Many programs send all of a body before they look for the
// answer; one that breaks off on them they take for a broken connection.
func (q *request) drain(r *http.Request) {
	switch {
	case q.body == nil && (r.ContentLength > q.h.opts.MaxBody || r.Header.Get("Expect") != ""):
		return // it is not sent yet, or more than would have been taken
	case q.body == nil:
		io.CopyN(io.Discard, r.Body, q.h.opts.MaxBody) // whatever fails has said so, or has gone
	case q.body.left >= 0:
		io.Copy(io.Discard, q.body)
	}
}

// events publishes the events of the body.
func (q *request) events(ctx context.Context) error {
	for index := 0; ; index++ {
		it, err := q.split.next()
		if err != nil {
			if err == io.EOF {
				break
			}
			return err
		}
		if index == q.h.opts.MaxEvents {
			return tooLarge("events", "the request has more than the %d events that are accepted; send it in pieces", int64(q.h.opts.MaxEvents))
		}
		if errs := q.add(it); errs != nil {
			q.refuse(index, it.line, errs)
		}
		if err := q.keepInBounds(ctx); err != nil {
			return err
		}
	}
	if q.atomic && len(q.answer.refusals) > 0 {
		q.answer.withdraw()
		return nil
	}
	return q.flush(ctx)
}

// add decodes an item and adds it to the batch.
func (q *request) add(it item) event.Errors {
	if it.tooLarge {
		return event.Errors{{Reason: fmt.Sprintf("the event is larger than the %d bytes that are accepted", event.MaxSize)}}
	}
	err := q.decoder.Decode(it.data, &q.event)
	if err != nil {
		if longer, ok := q.split.extend(it); ok {
			if longer.tooLarge {
				return q.add(longer)
			}
			err = q.decoder.Decode(longer.data, &q.event)
		}
	}
	if err == nil && q.door != nil {
		err = q.door.Admit(&q.event)
	}
	if err == nil {
		err = q.batch.Add(&q.event)
	}
	if err == nil {
		return nil
	}
	if errs, ok := errors.AsType[event.Errors](err); ok {
		return errs
	}
	return event.Errors{{Reason: err.Error()}}
}

func (q *request) refuse(index, line int, errs event.Errors) {
	q.answer.refuse(index, line, q.batch.Len(), errs)
	if !q.atomic && q.batch.Len() == 0 {
		q.answer.settle(nil)
	}
	q.h.publisher.Refused(errs)
}

// keepInBounds is called after each event. It appends what is in hand when
// that is enough, or when other requests need the memory for more. The answer
// counts, too: that to a small body of nonsense is many times its size.
func (q *request) keepInBounds(ctx context.Context) error {
	size, answer := int64(q.batch.Size()), int64(q.answer.size())
	full := q.batch.Len() >= batchEvents || size >= batchBytes
	if size+answer > q.weight && (q.atomic || !full || answer > q.weight) {
		switch {
		case q.h.inFlight.TryAcquire(growWeight):
			q.hold(growWeight)
		case q.atomic || answer > q.weight:
			return q.h.overloaded()
		default:
			full = true
		}
	}
	if q.atomic {
		if size > int64(q.h.opts.MaxAtomic) {
			return tooLarge("atomic", "the events are more than the %d bytes that atomic=true accepts; send them in pieces, or without it", int64(q.h.opts.MaxAtomic))
		}
		return nil
	}
	if full {
		return q.flush(ctx)
	}
	return nil
}

// publishError is an error of the stream, not of what was sent.
type publishError struct{ error }

func (e publishError) Unwrap() error { return e.error }

// flush appends the events in hand.
func (q *request) flush(ctx context.Context) error {
	if err := q.batch.Publish(ctx); err != nil {
		return publishError{err}
	}
	if q.door != nil {
		q.door.Charge(q.batch.Len())
	}
	q.answer.settle(q.batch.Receipts())
	q.batch.Reset()
	return nil
}

// admit takes a share of the bytes in flight, waiting for it shortly.
func (q *request) admit(r *http.Request) error {
	h := q.h
	n := r.ContentLength
	switch {
	case n < 0:
		n = unknownWeight
	case q.coding != identity:
		n *= 8
	}
	n = min(max(n, minWeight), maxWeight, h.opts.MaxInFlight)
	if !h.inFlight.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(r.Context(), h.opts.MaxWait)
		defer cancel()
		if h.inFlight.Acquire(ctx, n) != nil {
			return h.overloaded()
		}
	}
	q.hold(n)
	return nil
}

func (q *request) hold(n int64) {
	q.weight += n
	q.h.metrics.HTTP.InFlightBytes.Add(n)
}

// verdict returns the problem that answers a request of which nothing was
// accepted because of what was in it.
func (q *request) verdict() error {
	a := &q.answer
	if a.rejected == 0 || a.accepted+a.duplicates > 0 {
		return nil
	}
	p := problem.Problem{Type: "events-refused", Status: http.StatusUnprocessableEntity}
	p.Detail = fmt.Sprintf("%d of the events were refused, and with atomic=true none is accepted then; see results", a.rejected)
	if !q.atomic {
		p.Detail = fmt.Sprintf("none of the %d events could be accepted; see results", a.rejected)
		if a.rejected == 1 {
			p.Detail = "the event could not be accepted; see results"
		}
	}
	return p
}

// write answers a request of which something was accepted.
func (q *request) write(w http.ResponseWriter) {
	const end = "]}\n"
	list := q.answer.list()
	q.head = q.answer.counts(append(q.head[:0], '{'))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(q.head)+len(list)+len(end)))
	status := http.StatusOK
	if q.answer.rejected > 0 {
		status = http.StatusMultiStatus
	}
	w.WriteHeader(status)
	// The publisher has gone when this fails; it will send again.
	w.Write(q.head)
	w.Write(list)
	io.WriteString(w, end)
}

// parameters reads the query and the Prefer header.
func (q *request) parameters(w http.ResponseWriter, r *http.Request) error {
	q.atomic = false
	if r.URL.RawQuery != "" {
		var errs []problem.Error
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil { // leaving the broken part out could lose an atomic=true
			return problem.Problem{Type: "invalid-parameter", Status: http.StatusBadRequest,
				Detail: fmt.Sprintf("the query string cannot be decoded: %v; parameters are separated by & and percent-encoded", err)}
		}
		for name, values := range query {
			v := values[0]
			on, err := strconv.ParseBool(v)
			switch {
			case name != "atomic" && name != "receipts":
				errs = append(errs, problem.Error{Field: shorten(name), Reason: "is not a parameter of this request; atomic and receipts are"})
			case len(values) > 1:
				errs = append(errs, problem.Error{Field: name, Reason: fmt.Sprintf("is given %d times; give it once", len(values))})
			case err != nil:
				errs = append(errs, problem.Error{Field: name, Value: shorten(v), Reason: "must be true or false"})
			case name == "atomic":
				q.atomic = on
			default:
				q.answer.minimal = !on
			}
		}
		if len(errs) > 0 {
			slices.SortFunc(errs, func(a, b problem.Error) int { return strings.Compare(a.Field, b.Field) })
			return problem.Problem{Type: "invalid-parameter", Status: http.StatusBadRequest, Detail: "the request has a parameter that is not accepted; see errors", Errors: errs}
		}
	}
	for _, v := range r.Header["Prefer"] {
		for preference := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(preference), "return=minimal") {
				q.answer.minimal = true
				w.Header().Set("Preference-Applied", "return=minimal")
			}
		}
	}
	return nil
}

func tooLarge(what, format string, limit int64) problem.Problem {
	return problem.Problem{Type: what + "-too-large", Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf(format, limit)}
}

func (h *Handler) overloaded() problem.Problem {
	return problem.Problem{
		Type: "overloaded", Status: http.StatusTooManyRequests, RetryAfter: time.Second,
		Detail: fmt.Sprintf("%d bytes of events are being taken in, which is as much as the server holds at a time; send again later", h.opts.MaxInFlight),
	}
}

// explain turns what ended a request into the problem that answers it.
func (h *Handler) explain(ctx context.Context, err error, c coding) problem.Problem {
	switch {
	case errors.Is(err, stream.ErrOverloaded):
		return problem.Problem{Type: "overloaded", Status: http.StatusTooManyRequests, RetryAfter: time.Second,
			Detail: "more events are waiting to be written than the disk keeps up with; send again later"}
	case errors.Is(err, stream.ErrFull):
		return problem.Problem{Type: "stream-full", Status: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second,
			Detail: "the events were not accepted, because there is no room for them: " + err.Error()}
	case errors.Is(err, stream.ErrFailed):
		return problem.Problem{Type: "stream-failed", Status: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second,
			Detail: "the events were not accepted, because the stream could not be written; the server must be restarted"}
	case errors.Is(err, stream.ErrClosed):
		return problem.Problem{Type: "stopping", Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
			Detail: "the events were not accepted, because the server is stopping"}
	}
	if _, ok := errors.AsType[publishError](err); !ok {
		return readProblem(err, c)
	}
	if ctx.Err() != nil { // the publisher has gone; this is for the log of a proxy
		return problem.Problem{Type: "cancelled", Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
			Detail: "the request was cancelled before its events were accepted"}
	}
	h.opts.Logger.ErrorContext(ctx, "append failed", "error", err)
	if errors.Is(err, stream.ErrUnavailable) {
		return problem.Problem{Type: "stream-unavailable", Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
			Detail: "the events were not accepted, because too little of the cluster that holds the stream can be reached to make them durable; send again later"}
	}
	return problem.Problem{Type: "append-failed", Status: http.StatusInternalServerError,
		Detail: "the events were not accepted, because the stream did not take them; the server's log says why"}
}
