package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/internal/saved"
	"github.com/daybook-log/daybook/query"
)

// Options says what an [API] serves.
type Options struct {
	Query  *query.Engine // nil: this server answers no searches
	Logger *slog.Logger  // required; contents of events are never logged

	// Ingest answers POST /v1/events; nil: this server takes no events.
	Ingest http.Handler

	// DeadLetters answers /v1/dead-letters, and Publisher takes what is replayed
	// from them; nil: this server has none.
	DeadLetters *index.DeadLetters
	Publisher   index.Publisher

	// Ready returns what must be in order before the server can do its work,
	// for /readyz; nil: nothing. It must answer at once.
	Ready func(context.Context) []Check

	// Page is the page for people, see package ui; nil: this server has none.
	Page http.Handler

	// System says how the server is, for /v1/system; nil: this server does not.
	// It must answer at once.
	System func(context.Context) System

	// Figures is where /metrics reads what the stages count, each function once
	// per scrape. The API's own and the queries' are there without it.
	Figures []func() []Figure

	// Access says how to tell who asks.
	Access Guarding

	// Searches is where saved searches are kept; nil: nowhere.
	Searches *saved.Searches

	// LocalOnly reports whether to refuse requests whose Host is not this machine,
	// as long as there are no keys: a page of a foreign site could otherwise reach
	// the server by a name that it lets point to 127.0.0.1 (DNS rebinding). nil: no.
	LocalOnly func() bool

	// MaxConnections is how many connections a [Server] has at once, besides a few
	// for whoever asks how it is; 0: 10000.
	MaxConnections int

	// StallTimeout is how long a client may take none of what it is sent before
	// it is given up; 0: 2 min. A slow client is not a stalled one.
	StallTimeout time.Duration
}

// API is the handler of every endpoint. It is safe for concurrent use.
type API struct {
	query       *query.Engine
	log         *slog.Logger
	ingest      http.Handler
	letters     *index.DeadLetters
	publisher   index.Publisher
	searches    *saved.Searches
	ready       func(context.Context) []Check
	people      http.Handler
	systemOf    func(context.Context) System
	guard       guard
	access      Guarding
	everyone    *access.Grant
	tails       *access.Slots // by tenant
	exports     *access.Slots // by tenant
	denied      atomic.Int64
	mux         *http.ServeMux
	routes      []route
	metrics     *metrics
	connections *connections
	buffers     sync.Pool // of *[]byte

	closing context.Context // ends when Close is called
	Close   func()          // ends the tails, so that a server can shut down
}

// route is one endpoint.
type route struct {
	pattern string // http.ServeMux's
	need    access.Rights
	handle  func(http.ResponseWriter, *http.Request)
	query   bool // it counts among the queries that a key may have at once
}

// New returns the handler.
func New(o Options) *API {
	a := &API{
		query: o.Query, log: o.Logger, ingest: o.Ingest, letters: o.DeadLetters, publisher: o.Publisher, ready: o.Ready,
		people: o.Page, systemOf: o.System, mux: http.NewServeMux(),
		access: o.Access, everyone: access.Everyone(), tails: access.NewSlots(o.Access.TailsPerTenant), exports: access.NewSlots(o.Access.ExportsPerTenant),
	}
	a.closing, a.Close = context.WithCancel(context.Background())
	a.buffers.New = func() any { return new([]byte) }
	a.routes = a.routesOf(&o)
	a.connections = newConnections(cmp.Or(o.MaxConnections, 10_000))
	a.metrics = newMetrics(append(slices.Clip(o.Figures), a.connections.figures, a.accessFigures))
	a.routes = append(a.routes, route{"GET /metrics", access.Metrics, a.metrics.handler().ServeHTTP, false})
	served := a.routes
	if o.Page != nil {
		served = append(slices.Clip(served), pageRoutes(o.Page)...)
	}
	for _, r := range served {
		a.mux.Handle(r.pattern, a.metrics.instrument(r.pattern, a.guarded(r)))
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 2 * time.Minute
	}
	a.guard = newGuard(a.closing, o.LocalOnly, o.Access.Secure, o.StallTimeout, o.Logger)
	return a
}

// routesOf returns the endpoints that what o has makes possible, but for /metrics.
// It is the one list of them, with the right that each needs.
func (a *API) routesOf(o *Options) []route {
	routes := []route{
		{"GET /healthz", public, a.healthz, false},
		{"GET /readyz", public, a.readyz, false},
		{"GET /openapi.yaml", public, a.openAPI, false},
		{"GET /{$}", public, a.root, false},
	}
	if o.Query != nil {
		routes = append(routes,
			route{"GET /v1/events", access.Read, a.search, true},
			route{"GET /v1/events/{event_id}", access.Read, a.get, true},
			route{"GET /v1/events/tail", access.Read, a.tail, false},
			route{"GET /v1/counts", access.Read, a.counts, true},
			route{"GET /v1/export", access.Read, a.export, true})
		o.Figures = append(slices.Clip(o.Figures), func() []Figure { return queryFigures(o.Query.Stats()) })
	}
	if o.Ingest != nil {
		routes = append(routes, route{"POST /v1/events", access.Write, o.Ingest.ServeHTTP, false})
	}
	if o.DeadLetters != nil {
		routes = append(routes,
			route{"GET /v1/dead-letters", access.Admin, a.deadLetters, false},
			route{"GET /v1/dead-letters/{id}", access.Admin, a.deadLetter, false},
			route{"POST /v1/dead-letters/{id}/replay", access.Admin, a.replayDeadLetter, false},
			route{"POST /v1/dead-letters/{id}/discard", access.Admin, a.discardDeadLetter, false})
	}
	if o.System != nil {
		routes = append(routes, route{"GET /v1/system", access.Metrics, a.system, false})
	}
	if o.Searches != nil {
		a.searches = o.Searches
		routes = append(routes,
			route{"GET /v1/saved-searches", access.Read, a.listSearches, false},
			route{"POST /v1/saved-searches", access.Read, a.saveSearch, false},
			route{"DELETE /v1/saved-searches/{id}", access.Read, a.deleteSearch, false})
	}
	if o.Access.Gate != nil {
		routes = append(routes, a.accessRoutes()...)
	}
	return routes
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.guard.serve(w, r, http.HandlerFunc(a.dispatch))
}

// dispatch finds the endpoint, or says in a problem that there is none.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	handler, pattern := a.mux.Handler(r)
	if isSpare(r) {
		w.Header().Set("Connection", "close")
		if !slices.Contains(probes, pattern) {
			a.connections.refuse()
			a.metrics.unrouted(fullProblem.Status)
			problem.Write(w, fullProblem)
			return
		}
	}
	if pattern != "" {
		a.mux.ServeHTTP(w, r) // again, because only this sets the path's values
		return
	}
	// The mux answers by itself, in plain text: with 405 where the path is known.
	probe := probe{header: make(http.Header)}
	handler.ServeHTTP(&probe, r)
	p := problem.Problem{Type: "no-such-path", Status: http.StatusNotFound, Title: "No such path",
		Detail: "nothing is served at this path; GET / lists what is"}
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		p = problem.Problem{Type: "method-not-allowed", Status: http.StatusMethodNotAllowed, Title: "Method not allowed",
			Detail: r.Method + " is not served here; try " + strings.ReplaceAll(allow, ", ", " or ")}
	}
	a.metrics.unrouted(p.Status)
	problem.Write(w, p)
}

// probes are the routes that a full server answers all the same: whoever watches
// it must be able to tell a full server from a dead one.
var probes = []string{"GET /healthz", "GET /readyz", "GET /metrics"}

var fullProblem = problem.Problem{Type: "too-many-connections", Status: http.StatusServiceUnavailable, Title: "Too many connections", RetryAfter: time.Second,
	Detail: "every connection that this server may have is answering a request (setting api.max_connections); ask again after a second"}

// probe is a response that is thrown away once its status and header are known.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

// index names the endpoints, for whoever opens the server's address.
func (a *API) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b strings.Builder
	b.WriteString("Daybook, a real-time audit log. The API is described in /openapi.yaml.\n\n")
	for _, r := range a.routes {
		b.WriteString(strings.TrimSuffix(r.pattern, "{$}") + "\n")
	}
	w.Write([]byte(b.String()))
}
