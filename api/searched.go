package api

import (
	"net/http"

	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// noteSearch records that somebody who sees every tenant looked for events without
// naming one.
func (a *API) noteSearch(r *http.Request, x filter.Expr) {
	g := GrantOf(r.Context())
	if a.access.Log == nil || g.Scope.Tenant != "" || namesTenant(x) {
		return
	}
	a.note(r, g, audit.Entry{Action: "search.across_tenants", Operation: "read", Resource: "api" + r.URL.Path, Metadata: searched(r, x)}, "search "+askedFor(r))
}

// askedFor returns which events a request asks for, as it was asked: the filter
// itself has another time in it whenever it says now-1h.
func askedFor(r *http.Request) string {
	v := r.URL.Query()
	for _, name := range []string{"from", "to", "since", "last_event_id", "after_position", "wait", "cursor", "limit", "order", "fields", "interval", "by", "top"} {
		v.Del(name)
	}
	return v.Encode()
}

// searched says what a request looked for.
func searched(r *http.Request, x filter.Expr) map[string]any {
	m := map[string]any{"filter": shortened(x.String())}
	for _, name := range []string{"from", "to", "since"} {
		if v := r.URL.Query().Get(name); v != "" {
			m[name] = shortened(v)
		}
	}
	return m
}

// shortened bounds what an entry repeats of a request.
func shortened(s string) string {
	const most = 2048
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// namesTenant reports whether x finds events of one tenant alone.
func namesTenant(x filter.Expr) bool {
	switch x := x.(type) {
	case filter.And:
		for _, n := range x {
			if namesTenant(n) {
				return true
			}
		}
	case *filter.Term:
		values, ok := x.Exact()
		return x.Selector.Field == event.TenantID && ok && len(values) == 1
	}
	return false
}
