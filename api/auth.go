package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/query"
)

// Rights that are no right of a key: what a route needs besides.
const (
	public access.Rights = 0      // nothing is asked
	anyone access.Rights = 1 << 7 // any grant will do
)

// Guarding is what an API needs to tell who asks and what he may do. The zero
// Guarding lets everyone do everything, as a server without keys does.
type Guarding struct {
	Gate *gate.Gate
	Keys *keyring.Keyring

	// Names returns the names of a verified client certificate, in the form in
	// which keys are bound to them; nil: certificates say nothing.
	Names func(*tls.ConnectionState) []string

	// Secure says that browsers reach the server by https, so that cookies are
	// for https alone.
	Secure bool

	// Limits of a tenant; 0: none.
	TailsPerTenant, ExportsPerTenant int

	// Log records what is done with the server itself; nil: nothing is.
	Log *audit.Log

	// Provider is where people sign in; nil: nowhere. ProviderName is what they
	// know it by.
	Provider     Provider
	ProviderName string
}

// grantKey is of the grant in a request's context.
type grantKey struct{}

// GrantOf returns what the sender of a request may do, for a handler behind the
// API's doors.
func GrantOf(ctx context.Context) *access.Grant {
	g, _ := ctx.Value(grantKey{}).(*access.Grant)
	return g
}

// guarded lets through to a route who may use it.
func (a *API) guarded(rt route) http.HandlerFunc {
	if rt.need == public {
		return rt.handle
	}
	return func(w http.ResponseWriter, r *http.Request) {
		g, err := a.authenticate(r)
		switch {
		case err != nil:
			a.unauthenticated(w, r, err)
			return
		case rt.need != anyone && !g.May(rt.need):
			a.forbid(w, r, g, "the right "+rt.need.String()+" is needed, and "+holder(g)+" has "+g.Rights.String())
			return
		}
		if rt.query {
			if !g.Limits.EnterQuery() {
				problem.Write(w, queriesProblem)
				return
			}
			defer g.Limits.LeaveQuery()
		}
		r = r.WithContext(context.WithValue(r.Context(), grantKey{}, g))
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &heldBody{r.Body, g}
		}
		rt.handle(w, r)
	}
}

// heldBody is the body of a request, of which nothing is read that comes after what
// its sender may do has ended. Whoever has a key that leaked could else begin to make
// another one with it, and finish once it is revoked.
type heldBody struct {
	io.ReadCloser
	grant *access.Grant
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.grant.Alive(time.Now()) {
		return 0, endedProblem
	}
	return n, err
}

var queriesProblem = problem.Problem{Type: "too-many-queries", Status: http.StatusTooManyRequests, Title: "Too many queries of this key", RetryAfter: time.Second,
	Detail: "as many queries as this key may have at once are running; ask again after one has ended"}

// holder names what a grant was had by, for a message.
func holder(g *access.Grant) string {
	switch g.Kind {
	case access.ByKey:
		return "this key"
	case access.Certificate:
		return "the key of this certificate"
	case access.Viewer:
		return "a viewer token"
	}
	return "this session"
}

// authenticate tells who sent a request: by the Authorization header, else by the
// client certificate, else by the cookie. Whoever shows a key that is none is
// refused, whatever else he shows.
func (a *API) authenticate(r *http.Request) (*access.Grant, error) {
	gt := a.access.Gate
	if gt == nil {
		return a.everyone, nil
	}
	now := time.Now()
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, errScheme
		}
		return gt.Bearer(strings.TrimSpace(token), now)
	}
	if a.access.Names != nil && r.TLS != nil {
		if names := a.access.Names(r.TLS); len(names) > 0 {
			if g, err := gt.Certificate(names, now); !errors.Is(err, keyring.ErrUnknown) {
				return g, err
			}
		}
	}
	if c, err := r.Cookie(a.cookieName()); err == nil {
		return gt.Session(c.Value, now)
	}
	if gt.Open() {
		return gt.Everyone(), nil
	}
	return nil, gate.ErrNone
}

var errScheme = errors.New("the header Authorization has a scheme that is not Bearer")

// unauthenticated answers who has shown nothing that this server knows.
func (a *API) unauthenticated(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Type: "unauthenticated", Status: http.StatusUnauthorized, Title: "A key is needed",
		Detail: "send an API key: Authorization: Bearer dbk_…"}
	switch {
	case errors.Is(err, keyring.ErrRevoked), errors.Is(err, keyring.ErrExpired):
		p.Title, p.Detail = "The key has ended", err.Error()+"; send another one"
	case errors.Is(err, errScheme):
		p.Detail = err.Error() + "; " + p.Detail
	case r.Header.Get("Authorization") != "":
		p.Title, p.Detail = "No such key", "there is no such key or token here; send an API key as it was shown when it was made: Authorization: Bearer dbk_…"
	}
	a.denied.Add(1)
	entry := audit.Entry{Action: "access.deny", Outcome: "denied", Reason: p.Title, Resource: resourceOf(r)}
	if id := endedKey(r, err); id != "" {
		entry.Subject, entry.UserType = "key:"+id, "api_key"
	}
	a.note(r, nil, entry, "unauthenticated "+entry.Subject)
	w.Header().Set("WWW-Authenticate", `Bearer realm="daybook"`)
	problem.Write(w, p)
}

// endedKey returns the id of a key that was shown and opens nothing any more; "" for
// what may be made up. Whoever still has one is worth knowing.
func endedKey(r *http.Request, err error) string {
	if !errors.Is(err, keyring.ErrRevoked) && !errors.Is(err, keyring.ErrExpired) {
		return ""
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	id, _, _ := keyring.Split(strings.TrimSpace(token))
	return id
}

// forbid answers who may not do what was asked.
func (a *API) forbid(w http.ResponseWriter, r *http.Request, g *access.Grant, detail string) {
	a.denied.Add(1)
	a.note(r, g, audit.Entry{Action: "access.deny", Outcome: "denied", Reason: detail, Resource: resourceOf(r)}, "forbidden "+r.Pattern)
	problem.Write(w, problem.Problem{Type: "forbidden", Status: http.StatusForbidden, Title: "Not allowed", Detail: detail})
}

// resourceOf names what a request was for, without what it asked.
func resourceOf(r *http.Request) string {
	path := r.URL.Path
	if len(path) > 200 {
		path = path[:200]
	}
	return "api" + path
}

// note samples an entry about a request: the same of the same sender count as one.
// Neither may be what the sender can make up, such as a path or a viewer's name.
func (a *API) note(r *http.Request, g *access.Grant, e audit.Entry, sample string) {
	if a.access.Log == nil {
		return
	}
	e = about(r, g, e)
	who := e.SourceIP
	if g != nil {
		who = string(g.Kind) + " " + g.ID
	}
	a.access.Log.Sample(who+"\x00"+sample, e)
}

// about fills in whose request it was.
func about(r *http.Request, g *access.Grant, e audit.Entry) audit.Entry {
	e.Grant, e.UserAgent = g, r.UserAgent()
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil {
			e.SourceIP = addr.Unmap().WithZone("").String()
		}
	}
	if g == nil && e.Subject == "" {
		e.Subject = "unknown"
	}
	return e
}

// record makes an entry about a request durable.
func (a *API) record(r *http.Request, g *access.Grant, e audit.Entry) error {
	if a.access.Log == nil {
		return nil
	}
	if err := a.access.Log.Record(r.Context(), about(r, g, e)); err != nil {
		a.log.Error("what was asked could not be recorded, and was not done", "action", e.Action, "err", err)
		return problem.Problem{Type: "not-recorded", Status: http.StatusServiceUnavailable, Title: "Cannot be recorded", RetryAfter: 5 * time.Second,
			Detail: "this is recorded in the log before it is done, and the log takes nothing now; nothing was changed; try again"}
	}
	return nil
}

// soon records an entry about a request without making it wait.
func (a *API) soon(r *http.Request, g *access.Grant, e audit.Entry) {
	if a.access.Log != nil {
		a.access.Log.Note(about(r, g, e))
	}
}

// asked returns the engine as the sender of a request may use it, and the
// request's parameters.
func (a *API) asked(r *http.Request) (*query.View, *query.Params, error) {
	values, err := queryOf(r)
	if err != nil {
		return nil, nil, err
	}
	v, err := a.query.View(GrantOf(r.Context()).Scope, time.Now())
	if err != nil {
		return nil, nil, err
	}
	return v, v.Params(values), nil
}

// fieldsOf returns which fields of an event a request gets.
func fieldsOf(p *query.Params, v *query.View) event.FieldSet {
	if set := p.Fields("fields") &^ v.Withheld(); set != 0 {
		return set
	}
	return event.Fields(event.EventID) // it asked for nothing but what it is not given
}

// lasting returns a context that ends when the request's does, and when what its
// sender may do is taken back or ends: for answers that take long.
func lasting(r *http.Request) (context.Context, context.CancelFunc) {
	g := GrantOf(r.Context())
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := func() { cancel(nil) }
	if g.Ended == nil && g.Expires.IsZero() {
		return ctx, stop
	}
	var expired <-chan time.Time
	if !g.Expires.IsZero() {
		timer := time.NewTimer(time.Until(g.Expires))
		expired = timer.C
		stop = func() { timer.Stop(); cancel(nil) }
	}
	go func() {
		select {
		case <-g.Ended:
			cancel(errEnded)
		case <-expired:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}

// errEnded is why an answer ends in its midst when its reader may read no more.
var errEnded = errors.New("the key, token or session has ended")

var endedProblem = problem.Problem{Type: "unauthenticated", Status: http.StatusUnauthorized, Title: "The key has ended", Detail: errEnded.Error() + "; send another one"}
