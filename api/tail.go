package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/query"
)

// reconnect is what a client of a tail is told to wait before it connects again.
const reconnect = "retry: 2000\n"

var tenantTails = problem.Problem{Type: "too-many-tails", Status: http.StatusTooManyRequests, Title: "Too many tails of this tenant", RetryAfter: 5 * time.Second,
	Detail: "as many tails as a tenant may have are open (setting limits.tails_per_tenant); connect again after one has ended"}

// tail answers GET /v1/events/tail with server-sent events.
func (a *API) tail(w http.ResponseWriter, r *http.Request) {
	v, p, err := a.asked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	t := p.Tail(time.Now(), r.Header.Get("Last-Event-ID"))
	t.Fields = fieldsOf(p, v)
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	sink := &sseSink{a: a, view: v, w: w, control: http.NewResponseController(w), grant: GrantOf(r.Context()), fields: t.Fields}
	if r.Method == http.MethodHead { // a tail has no end to wait for
		sink.begin()
		return
	}
	if tenant := GrantOf(r.Context()).Scope.Tenant; tenant != "" {
		if !a.tails.Enter(tenant) {
			problem.Write(w, tenantTails)
			return
		}
		defer a.tails.Leave(tenant)
	}
	ctx, cancel := lasting(r)
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	a.noteSearch(r, t.Filter)
	err = v.Tail(ctx, t, sink)
	switch {
	case !sink.began:
		a.fail(w, r, err)
	case a.closing.Err() != nil, errors.Is(context.Cause(ctx), errEnded):
		// The answer ends here, whole; the client connects again where it was, and
		// is told if it may not.
	default:
		if r.Context().Err() == nil && sink.err == nil {
			a.log.Error("a tail was broken off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// sseSink writes a tail as server-sent events:
//
//	id: 0:124@6c1f0e5b2d9a4873
//	event: event
//	data: {"event_id":…}
//
// An id is the position after its event, in this log. A heartbeat is a comment with an id
// and no data: nothing is dispatched, but a client that connects again does not
// make the server go once more over what did not match.
type sseSink struct {
	a       *API
	view    *query.View
	w       http.ResponseWriter
	control *http.ResponseController
	grant   *access.Grant
	fields  event.FieldSet
	buf     []byte
	began   bool
	err     error
}

// begin sends the header.
func (s *sseSink) begin() {
	s.began = true
	s.a.admitMissing(s.w, s.grant)
	s.w.Header().Set("Content-Type", typeSSE)
	s.w.Header().Set("X-Accel-Buffering", "no") // a proxy that gathers answers would hold events back
	s.w.WriteHeader(http.StatusOK)
}

// Add implements query.TailSink.
func (s *sseSink) Add(e *event.Event, after event.Positions) (full bool) {
	s.buf = append(s.buf, "id: "...)
	s.buf = s.view.AppendTailID(s.buf, after)
	s.buf = append(s.buf, "\nevent: event\ndata: "...)
	s.buf = event.AppendJSON(s.buf, e, s.fields)
	s.buf = append(s.buf, "\n\n"...)
	return len(s.buf) >= sendSize
}

// Flush implements query.TailSink.
func (s *sseSink) Flush(at event.Positions) error {
	if !s.began { // nothing was added yet
		s.begin()
		s.buf = append(s.buf, reconnect...)
	}
	if len(s.buf) <= len(reconnect) { // no event is that short
		s.buf = append(s.buf, ": heartbeat\nid: "...)
		s.buf = s.view.AppendTailID(s.buf, at)
		s.buf = append(s.buf, "\n\n"...)
	}
	if _, s.err = s.w.Write(s.buf); s.err == nil {
		s.err = s.control.Flush()
	}
	if s.buf = s.buf[:0]; cap(s.buf) > idleBuffer {
		s.buf = nil // a thousand tails wait most of the time
	}
	return s.err
}

// idleBuffer is how much a tail that waits keeps of its buffer.
const idleBuffer = 4 << 10
