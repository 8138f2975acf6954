package query_test

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// epoch is when the tests' events begin.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// numbered returns event n: one a second, users and actions going round.
func numbered(n int) event.Event {
	var id event.ID
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	at := epoch.Add(time.Duration(n) * time.Second)
	return event.Event{
		ID: id, Timestamp: at.UnixNano(), ReceivedAt: at.UnixNano(),
		UserID: fmt.Sprintf("user-%d", n%3), Action: fmt.Sprintf("document.%s", []string{"read", "update"}[n%2]),
		Resource: fmt.Sprintf("document/%d", n), TenantID: "default", Outcome: "success", Operation: "other", UserType: "user",
	}
}

// run returns events from ≤ n < to.
func run(from, to int) []event.Event {
	var events []event.Event
	for n := from; n < to; n++ {
		events = append(events, numbered(n))
	}
	return events
}

// newEngine returns the view of who sees everything.
func newEngine(mem *querytest.Mem) *query.View {
	return all(query.New(query.Options{Store: mem, Stream: mem}))
}

func all(e *query.Engine) *query.View {
	v, err := e.View(access.Scope{}, epoch)
	if err != nil {
		panic(err) // the scope is empty
	}
	return v
}

// params reads a query string.
func params(t *testing.T, queryString string) *query.Params {
	t.Helper()
	values, err := url.ParseQuery(queryString)
	if err != nil {
		t.Fatal(err)
	}
	return query.NewParams(values)
}

func parseSearch(t *testing.T, queryString string) *query.Search {
	t.Helper()
	p := params(t, queryString)
	s := p.Search(epoch.Add(time.Hour))
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// page runs a search and returns its events' resources and the next cursor.
func page(t *testing.T, e *query.View, queryString string) (resources []string, next string) {
	t.Helper()
	resources, next, err := search(t, e, queryString)
	if err != nil {
		t.Fatal(err)
	}
	return resources, next
}

// search is page that may fail.
func search(t *testing.T, e *query.View, queryString string) (resources []string, next string, err error) {
	t.Helper()
	values, err := url.ParseQuery(queryString)
	if err != nil {
		t.Fatal(err)
	}
	p := e.Params(values)
	s := p.Search(epoch.Add(time.Hour))
	if err := p.Err(); err != nil {
		return nil, "", err
	}
	next, err = e.Search(t.Context(), s, func(ev *event.Event) bool {
		resources = append(resources, ev.Resource)
		return true
	})
	return resources, next, err
}

// pages follows the cursors to the end, calling between before each further page.
func pages(t *testing.T, e *query.View, queryString string, between func()) []string {
	t.Helper()
	all, next := page(t, e, queryString)
	for next != "" {
		between()
		var more []string
		more, next = page(t, e, queryString+"&cursor="+next)
		all = append(all, more...)
	}
	return all
}

func resourcesOf(events []event.Event) []string {
	var rs []string
	for i := range events {
		rs = append(rs, events[i].Resource)
	}
	return rs
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}
