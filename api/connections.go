package api

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// spareConnections is how many connections are taken beyond the bound, so that a
// server that is full can say so, and answer who asks how it is.
const spareConnections = 64

// connections keeps a server's connections below a bound. When it is reached, a
// new connection takes the place of the one that has waited longest for a
// request: clients that keep connections open and ask nothing lock nobody out.
// When every connection has a request under way, a new one is spare: what is
// asked on it is answered with 503, unless it is /healthz, /readyz or /metrics.
type connections struct {
	most int

	mu      sync.Mutex
	open    map[net.Conn]*connection // guarded by mu
	waiting list.List                // guarded by mu: of net.Conn, without a request under way; the longest first
	spare   int                      // guarded by mu: of open, those beyond the bound
	shed    int64                    // guarded by mu: closed to make room
	refused int64                    // guarded by mu: turned away
}

// connection is what is known of an open connection.
type connection struct {
	spare   bool
	waiting *list.Element // nil: a request is under way
}

func newConnections(most int) *connections {
	return &connections{most: most, open: make(map[net.Conn]*connection)}
}

// spareKey marks the context of a spare connection's requests.
type spareKey struct{}

// isSpare reports whether a request came on a spare connection.
func isSpare(r *http.Request) bool { return r.Context().Value(spareKey{}) != nil }

// admit takes a new connection, for http.Server.ConnContext.
func (cs *connections) admit(ctx context.Context, c net.Conn) context.Context {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	spare := false
	if len(cs.open)-cs.spare >= cs.most && !cs.makeRoom(false) {
		spare = true
		ctx = context.WithValue(ctx, spareKey{}, true)
		if cs.spare >= spareConnections && !cs.makeRoom(true) {
			cs.refused++
			c.Close() // its server finds out at once
			return ctx
		}
		cs.spare++
	}
	cs.open[c] = &connection{spare: spare, waiting: cs.waiting.PushBack(c)}
	return ctx
}

// makeRoom closes the connection that has waited longest, of the spare ones or of
// the others, and reports whether there was one. mu is held.
func (cs *connections) makeRoom(spare bool) bool {
	for e := cs.waiting.Front(); e != nil; e = e.Next() {
		c := e.Value.(net.Conn)
		if cs.open[c].spare != spare {
			continue // spare ones are few
		}
		cs.forget(c)
		cs.shed++
		c.Close() // at worst a request is cut off that was arriving; it was not answered
		return true
	}
	return false
}

// forget takes a connection out. mu is held.
func (cs *connections) forget(c net.Conn) {
	known := cs.open[c]
	if known == nil {
		return
	}
	if known.waiting != nil {
		cs.waiting.Remove(known.waiting)
	}
	if known.spare {
		cs.spare--
	}
	delete(cs.open, c)
}

// track follows a connection, as http.Server.ConnState.
func (cs *connections) track(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	known := cs.open[c]
	switch {
	case known == nil: // it was closed to make room
	case state == http.StateActive && known.waiting != nil:
		cs.waiting.Remove(known.waiting)
		known.waiting = nil
	case state == http.StateIdle && known.waiting == nil:
		known.waiting = cs.waiting.PushBack(c)
	case state == http.StateClosed || state == http.StateHijacked:
		cs.forget(c)
	}
}

// refuse counts a request that is answered with 503 for want of a connection.
func (cs *connections) refuse() {
	cs.mu.Lock()
	cs.refused++
	cs.mu.Unlock()
}

// closeWaiting closes the connections without a request under way. Browsers open
// such in advance, and a shutdown would wait for each of them.
func (cs *connections) closeWaiting() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for e := cs.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close() // nothing was asked on it and nothing is lost
	}
}

func (cs *connections) figures() []Figure {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	open := func(state string, n int) Figure {
		return Figure{Name: "daybook_http_connections", Value: float64(n), Labels: map[string]string{"state": state},
			Help: "Connections, by state: waiting for a request or its header, or answering one. A tail is answering."}
	}
	return []Figure{
		open("waiting", cs.waiting.Len()),
		open("answering", len(cs.open)-cs.waiting.Len()),
		{Name: "daybook_http_connections_shed_total", Counter: true, Value: float64(cs.shed),
			Help: "Connections without a request under way, closed to make room for new ones."},
		{Name: "daybook_http_connections_refused_total", Counter: true, Value: float64(cs.refused),
			Help: "Connections turned away because every other one had a request under way."},
	}
}
