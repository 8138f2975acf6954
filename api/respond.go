package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
)

// Media types of answers.
const (
	typeJSON    = "application/json"
	typeNDJSON  = "application/x-ndjson"
	typeCSV     = "text/csv"
	typeParquet = "application/vnd.apache.parquet"
	typeSSE     = "text/event-stream"
)

var internalProblem = problem.Problem{Type: "internal", Status: http.StatusInternalServerError, Title: "Internal error",
	Detail: "the server failed to answer this; its log says why"}

// params reads the query string. One that cannot be decoded is refused whole,
// because leaving the broken part out could widen a search.
func params(r *http.Request) (*query.Params, error) {
	values, err := queryOf(r)
	return query.NewParams(values), err
}

func queryOf(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem.Problem{Type: "invalid-parameter", Status: http.StatusBadRequest, Title: "Invalid query string",
			Detail: fmt.Sprintf("the query string cannot be decoded: %v; parameters are separated by & and percent-encoded", err)}
	}
	return values, nil
}

// fail answers a request that failed before anything of the answer was sent.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone; there is nobody to tell
	}
	problem.Write(w, a.problemOf(r, err))
}

// problemOf says an error as a problem document.
func (a *API) problemOf(r *http.Request, err error) problem.Problem {
	var p problem.Problem
	var faults query.ParamErrors
	var gone *query.GoneError
	var behind *query.BehindError
	var hidden *filter.HiddenError
	switch {
	case errors.As(err, &hidden):
		return problem.Problem{Type: "hidden-field", Status: http.StatusForbidden, Title: "Hidden field", Detail: hidden.Error()}
	case errors.As(err, &p):
		return p
	case errors.As(err, &faults):
		return paramProblem(faults)
	case errors.As(err, &gone) && !seesPlaces(r):
		return problem.Problem{Type: "not-in-this-log", Status: http.StatusGone, Title: "Not in this log", Detail: gone.Param + ": " + goneWithoutPlaces,
			Errors: []problem.Error{{Field: gone.Param, Value: cutValue(gone.Value), Reason: goneWithoutPlaces}}}
	case errors.As(err, &gone): // any status but 200 makes a browser's EventSource give up
		return problem.Problem{Type: "not-in-this-log", Status: http.StatusGone, Title: "Not in this log", Detail: gone.Error(),
			Errors: []problem.Error{{Field: gone.Param, Value: gone.Value, Reason: gone.Reason}}}
	case errors.As(err, &behind) && !seesPlaces(r):
		return problem.Problem{Type: "behind", Status: http.StatusServiceUnavailable, Title: "Index is behind", RetryAfter: time.Second,
			Detail: "the store has not come in time to what the query must see; ask again, or add wait=0s to take what is there"}
	case errors.As(err, &behind):
		return problem.Problem{Type: "behind", Status: http.StatusServiceUnavailable, Title: "Index is behind", RetryAfter: time.Second,
			Detail: behind.Error() + "; ask again, or add wait=0s to take what is there"}
	case errors.Is(err, query.ErrStream):
		a.log.Warn("a query could not ask the stream where it ends", "path", r.URL.Path, "error", err)
		return problem.Problem{Type: "stream-unavailable", Status: http.StatusServiceUnavailable, Title: "Stream is unavailable", RetryAfter: time.Second,
			Detail: "the stream cannot be asked for its newest events; ask again, or add wait=0s to take what is there"}
	case errors.Is(err, query.ErrBusy):
		return problem.Problem{Type: "busy", Status: http.StatusServiceUnavailable, Title: "Too many queries", RetryAfter: time.Second,
			Detail: "as many queries as may run at once are running (setting query.concurrency); ask again after a second"}
	case errors.Is(err, query.ErrTails):
		return problem.Problem{Type: "too-many-tails", Status: http.StatusServiceUnavailable, Title: "Too many tails", RetryAfter: 5 * time.Second,
			Detail: "as many tails as may be open are open (setting query.max_tails); connect again after a few seconds"}
	case errors.Is(err, query.ErrTimeout):
		return problem.Problem{Type: "query-timeout", Status: http.StatusUnprocessableEntity, Title: "Query took too long",
			Detail: "the query took longer than it may (setting query.timeout); narrow it with from and to or by a field, or export, which has no time limit"}
	case errors.Is(err, store.ErrMemory):
		return problem.Problem{Type: "query-memory", Status: http.StatusUnprocessableEntity, Title: "Query needs too much memory",
			Detail: "the query needs more memory than it may take (setting query.memory); narrow it with from and to, take a wider interval, or group by a field with fewer values"}
	case errors.Is(err, store.ErrDamaged):
		a.log.Error("a request met damage", "method", r.Method, "path", r.URL.Path, "error", err)
		return problem.Problem{Type: "damaged", Status: http.StatusServiceUnavailable, Title: "A part of the store is damaged", RetryAfter: time.Second,
			Detail: "the query met a damaged segment, which the server's log names and which is being set aside; ask again: the answer will say what is missing"}
	case errors.Is(err, store.ErrNotFound):
		return problem.Problem{Type: "no-such-event", Status: http.StatusNotFound, Title: "No such event",
			Detail: "no event has this event_id; it was never published here, or retention has removed it"}
	case errors.Is(err, errEnded), errors.Is(err, gate.ErrNone): // ErrNone: it ended between two looks
		return endedProblem
	case errors.Is(err, context.Canceled):
		return problem.Problem{Type: "shutting-down", Status: http.StatusServiceUnavailable, Title: "Shutting down", RetryAfter: time.Second,
			Detail: "the server is shutting down; ask again"}
	}
	a.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return internalProblem
}

// goneWithoutPlaces is what is said of a query.GoneError to who is told no places.
const goneWithoutPlaces = "comes from another log, or from a part of this one that is no more; leave it out to start again"

// seesPlaces reports whether the sender of a request may be told where in the log
// of everybody something lies.
func seesPlaces(r *http.Request) bool {
	g := GrantOf(r.Context())
	return g == nil || g.Scope.Whole()
}

// paramProblem lists the faults. Where a filter is at fault, its column and
// token stand in the document itself too, for whoever wants to point at it.
func paramProblem(faults query.ParamErrors) problem.Problem {
	p := problem.Problem{Type: "invalid-parameter", Status: http.StatusBadRequest, Title: "Invalid parameter", Detail: faults.Error()}
	for _, f := range faults {
		p.Errors = append(p.Errors, problem.Error{Field: f.Param, Value: f.Value, Column: f.Column, Reason: f.Reason})
		if f.Column > 0 && p.Members == nil {
			p.Type, p.Title = "invalid-filter", "Invalid filter"
			token, err := json.Marshal(f.Token)
			if err != nil {
				continue // a string always marshals
			}
			p.Members = fmt.Appendf(nil, `"column":%d,"token":%s`, f.Column, token)
		}
	}
	return p
}

// An answer is held until it has grown to held bytes, so that an error until
// then can be answered as such, and sent in pieces of sendSize from there on.
const (
	held     = 1 << 20
	sendSize = 64 << 10
)

// answer gathers the bytes of an answer and sends them.
type answer struct {
	a     *API
	w     http.ResponseWriter
	grant *access.Grant // of who asked; nil: nobody was asked who he is
	buf   []byte
	pool  *[]byte
	sent  bool
	err   error // of writing; the client has gone
}

func (a *API) newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	pooled := a.buffers.Get().(*[]byte)
	return &answer{a: a, w: w, grant: GrantOf(r.Context()), buf: (*pooled)[:0], pool: pooled}
}

// release gives the buffer back.
func (b *answer) release() {
	if cap(b.buf) <= 2*held {
		*b.pool = b.buf
		b.a.buffers.Put(b.pool)
	}
	b.buf = nil
}

// spill sends what was gathered when it is much, and reports whether the client
// still takes it.
func (b *answer) spill() bool {
	if len(b.buf) < sendSize || (!b.sent && len(b.buf) < held) {
		return b.err == nil
	}
	return b.send()
}

func (b *answer) send() bool {
	if !b.sent {
		b.a.admitMissing(b.w, b.grant)
	}
	b.sent = true
	if b.err == nil {
		_, b.err = b.w.Write(b.buf)
	}
	b.buf = b.buf[:0]
	return b.err == nil
}

// missingHeader carries how many events an answer may lack for damage.
const missingHeader = "Daybook-Missing-Events"

// admitMissing says so in the header when events are missing from the store: an
// answer without them must not look complete. How many they are is not for who
// does not see everything: they may be others'.
func (a *API) admitMissing(w http.ResponseWriter, grant *access.Grant) {
	if a.query == nil || grant == nil {
		return
	}
	n := a.query.Missing()
	if n == 0 {
		return
	}
	count := strconv.FormatInt(n, 10)
	if !grant.Scope.Whole() {
		count = "unknown"
	}
	w.Header().Set(missingHeader, count)
}

// Write gathers p, for encoders that write.
func (b *answer) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	if !b.spill() {
		return 0, b.err
	}
	return len(p), nil
}

// finish sends the rest of a complete answer, with its length where nothing of
// it was sent before.
func (b *answer) finish() {
	if !b.sent && b.w.Header().Get("Trailer") == "" {
		b.w.Header().Set("Content-Length", strconv.Itoa(len(b.buf)))
	}
	b.send()
	if b.err != nil {
		panic(http.ErrAbortHandler)
	}
}

// fail answers with the error, or breaks off what has begun.
func (b *answer) fail(r *http.Request, err error) {
	if b.sent {
		if r.Context().Err() == nil {
			b.a.log.Error("an answer was broken off", "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	forget(b.w.Header())
	b.a.fail(b.w, r, err)
}

// sendJSON answers with a body that is complete, or with the error of making it.
func (a *API) sendJSON(w http.ResponseWriter, r *http.Request, body []byte, err error) {
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	out := a.newAnswer(w, r)
	defer out.release()
	out.buf = append(append(out.buf, body...), '\n')
	out.finish()
}

// forget takes back what was said of an answer that is not sent.
func forget(h http.Header) {
	for _, name := range []string{"Content-Disposition", "Content-Encoding", "Content-Length", "Content-Type", "Trailer"} {
		h.Del(name)
	}
}

// needChunks refuses HTTP/1.0 to answers that may be broken off and look whole:
// its answers end with the connection, whether whole or not.
func needChunks(r *http.Request) error {
	if r.ProtoAtLeast(1, 1) {
		return nil
	}
	return problem.Problem{Type: "http-version", Status: http.StatusHTTPVersionNotSupported, Title: "HTTP version not supported",
		Detail: "an export, and a search that gives NDJSON, need HTTP/1.1, because HTTP/1.0 cannot tell an answer that was broken off from a whole one; a proxy in between may have to be told (nginx: proxy_http_version 1.1)"}
}
