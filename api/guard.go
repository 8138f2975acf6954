package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/daybook-log/daybook/internal/problem"
)

// Pace that is asked of a request body: it may take bodyGrace, and a second more
// for every bodyRate bytes that have come. A client that sends a byte now and
// then to hold a connection falls behind it; a slow line does not. How long a
// body may pause is for its reader to say.
const (
	bodyGrace = 30 * time.Second
	bodyRate  = 4 << 10 // bytes per second
)

// stallAtEnd is how long a client may take none of its answer once the server is
// to stop: one that reads gets the time that there is, one that does not keeps
// nobody waiting.
const stallAtEnd = 5 * time.Second

// guard stands before every endpoint.
type guard struct {
	localOnly func() bool
	secure    bool // browsers reach the server by https
	stall     time.Duration
	closing   context.Context // ends when the server is to stop
	origins   *http.CrossOriginProtection
	log       *slog.Logger
}

func newGuard(closing context.Context, localOnly func() bool, secure bool, stall time.Duration, log *slog.Logger) guard {
	return guard{closing: closing, localOnly: localOnly, secure: secure, stall: stall, origins: http.NewCrossOriginProtection(), log: log}
}

func (g *guard) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	if g.secure { // browsers come back by https only
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}

	resp := &response{ResponseWriter: w, control: http.NewResponseController(w), stall: g.stall}
	now := time.Now()
	resp.extend(now)
	defer context.AfterFunc(g.closing, resp.hurry)()
	if r.Body != nil && r.Body != http.NoBody {
		// The deadline is for a body that nobody reads: the server does, before
		// the next request, and must not wait for it for ever.
		resp.control.SetReadDeadline(now.Add(bodyGrace))
		r.Body = &pacedBody{ReadCloser: r.Body, began: now}
	}
	defer g.recover(resp, r)
	switch {
	case g.localOnly != nil && !isLocal(r.Host) && g.localOnly():
		problem.Write(resp, problem.Problem{Type: "foreign-host", Status: http.StatusForbidden, Title: "Foreign host",
			Detail: "this server has no keys and answers to this machine only: ask for it as localhost, 127.0.0.1 or [::1], not as another host"})
	case g.origins.Check(r) != nil || embedded(r):
		problem.Write(resp, problem.Problem{Type: "foreign-origin", Status: http.StatusForbidden, Title: "Foreign origin",
			Detail: "a page of another site may link to this server and nothing else"})
	default:
		next.ServeHTTP(resp, r)
	}
}

// recover answers a request whose handler panicked, and lets an abort through.
func (g *guard) recover(resp *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		g.log.Error("a request made the server panic", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
		if resp.status == 0 {
			forget(resp.Header())
			problem.Write(resp, internalProblem)
			return
		}
	}
	panic(http.ErrAbortHandler) // breaks the connection off
}

// embedded reports whether a browser asks for a page of another site, other than
// to show the answer as a page of its own. The answer could not be read there, but
// its delay could, and a few images or frames that are exports would take every slot.
// One page is made to be framed.
func embedded(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
		return false
	}
	dest := r.Header.Get("Sec-Fetch-Dest")
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || dest != "" && dest != "document" && r.URL.Path != "/embed"
}

// isLocal reports whether a Host header names this machine. Without one (only
// HTTP/1.0 leaves it out) it was not sent by a browser.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// response gives up a client that takes nothing of what it is sent, and knows
// what was answered.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int // 0: nothing was answered yet

	mu       sync.Mutex    // hurry is called while a write may wait
	stall    time.Duration // guarded by mu
	extended time.Time     // guarded by mu
	latest   time.Time     // guarded by mu: no write lasts beyond; zero: no such bound
}

// Unwrap lets http.ResponseController reach the connection.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// extend gives the client its time anew. A deadline that cannot be set belongs to
// a connection that is gone, which writing will tell.
func (r *response) extend(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.extended) >= r.stall/4 { // not for every write: it costs a system timer
		r.extended = now
		deadline := now.Add(r.stall)
		if !r.latest.IsZero() && r.latest.Before(deadline) {
			deadline = r.latest
		}
		r.control.SetWriteDeadline(deadline)
	}
}

// bound lets no write last beyond t. The zero time lifts the bound.
func (r *response) bound(t time.Time) {
	r.mu.Lock()
	r.latest, r.extended = t, time.Time{}
	r.mu.Unlock()
	r.extend(time.Now())
}

// hurry gives the client stallAtEnd from now on, also for a write under way.
func (r *response) hurry() {
	r.mu.Lock()
	r.stall, r.extended = min(r.stall, stallAtEnd), time.Time{}
	r.mu.Unlock()
	r.extend(time.Now())
}

func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.extend(time.Now())
	return r.ResponseWriter.Write(p)
}

// pacedBody is a request body that must come at a pace.
type pacedBody struct {
	io.ReadCloser
	began time.Time
	n     int64 // bytes read
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if time.Since(b.began) > bodyGrace+time.Duration(b.n/bodyRate)*time.Second {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}
