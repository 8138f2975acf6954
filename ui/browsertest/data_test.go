package browsertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/demo"
)

// company starts a server that has three days of the demonstration's company.
func company(t testing.TB, args ...string) *server {
	t.Helper()
	s := serve(t, args...)
	s.company()
	return s
}

func (s *server) company() {
	s.t.Helper()
	if err := demo.Past(s.t.Context(), s.Client, demo.NewCompany(1), time.Now(), 3); err != nil {
		s.t.Fatal(err)
	}
}

// many publishes n events, a minute apart, the newest at a time; the i-th newest is
// about item/i.
func (s *server) many(n int, newest time.Time) {
	s.t.Helper()
	var b strings.Builder
	for i := range n {
		outcome := []string{"success", "success", "success", "denied", "failure"}[i%5]
		fmt.Fprintf(&b, `{"user_id":"user-%d","action":"item.read","resource":"item/%d","outcome":%q,"timestamp":%q}`+"\n",
			i%97, i, outcome, newest.Add(-time.Duration(i)*time.Minute).UTC().Format(time.RFC3339))
		if i%20_000 == 19_999 || i == n-1 {
			s.publish(b.String())
			b.Reset()
		}
	}
}

// newest returns the identities of the newest events of a search.
func (s *server) newest(params url.Values) []string {
	s.t.Helper()
	page, err := s.Search(s.t.Context(), params)
	if err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, e := range page.Events {
		ids = append(ids, field(s.t, e, "event_id"))
	}
	return ids
}

// total returns how many events a search has.
func (s *server) total(params url.Values) int64 {
	s.t.Helper()
	counts, err := s.Count(s.t.Context(), params)
	if err != nil {
		s.t.Fatal(err)
	}
	return counts.Total
}

// shows waits until the rows in sight are the newest of a search.
func (p *tab) shows(s *server, params url.Values) {
	p.t.Helper()
	want := s.newest(params)
	await(p.t, fmt.Sprintf("the rows are the newest of %v", params), func() error {
		got := p.ids()
		if len(got) == 0 || len(want) < len(got) || !slices.Equal(got, want[:len(got)]) {
			return fmt.Errorf("they are %q, not %q", got, want)
		}
		return nil
	})
}

// field returns a text of an event.
func field(t testing.TB, event json.RawMessage, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(event, &fields); err != nil {
		t.Fatal(err)
	}
	text, _ := fields[name].(string)
	return text
}

// number writes a number as the page does.
func number[T ~int | ~int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
