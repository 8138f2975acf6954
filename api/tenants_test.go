package api_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/event"
)

// twoLogs are two servers that a reader of acme must not be able to tell apart:
// the log of one has events of globex between acme's, that of the other has not.
type twoLogs struct {
	shared, alone       *server
	readShared, readOwn func(*http.Request)
}

func newTwoLogs(t testing.TB, spec keyring.Spec) *twoLogs {
	l := &twoLogs{shared: newServer(t), alone: newServer(t)}
	events := tenantEvents(40)
	l.shared.mem.Publish(events...)
	var own []event.Event
	for _, e := range events {
		if e.TenantID == "acme" {
			own = append(own, e)
		}
	}
	l.alone.mem.Publish(own...)
	spec.Name, spec.Tenant, spec.Rights = "reader", "acme", access.Read
	for _, s := range []*server{l.shared, l.alone} {
		if _, _, err := s.keys.Create(keyring.Spec{Name: "admin", Rights: access.Admin}, "test", epoch, nil); err != nil {
			t.Fatal(err)
		}
		_, secret, err := s.keys.Create(spec, "test", epoch, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s == l.shared {
			l.readShared = bearer(secret)
		} else {
			l.readOwn = bearer(secret)
		}
	}
	return l
}

// Cursors are encrypted, and so never the same twice. Everything else must be.
var cursors = regexp.MustCompile(`"next_cursor":"[^"]*"`)

// passing finds what names a time that passes between two requests.
var passing = regexp.MustCompile(`now|-[0-9]+[a-z]`)

// same asks both servers and returns how their answers differ.
func (l *twoLogs) same(t testing.TB, path string) string {
	t.Helper()
	s1, _, b1 := l.shared.as(t, l.readShared, "GET", path, "")
	s2, _, b2 := l.alone.as(t, l.readOwn, "GET", path, "")
	b1, b2 = cursors.ReplaceAllString(b1, ""), cursors.ReplaceAllString(b2, "")
	switch {
	case strings.Contains(b1, foreign) && !strings.Contains(path, foreign): // an error repeats what was asked
		return "the answer holds what is globex's: " + b1
	case s1 != s2:
		return fmt.Sprintf("%d beside globex and %d alone: %s / %s", s1, s2, b1, b2)
	case b1 != b2:
		return fmt.Sprintf("beside globex %s\nalone         %s", b1, b2)
	}
	return ""
}

// probes are what somebody tries who wants to know of others' events.
var tenantProbes = []string{
	"/v1/events?limit=100", "/v1/events?limit=3", "/v1/events?tenant_id=globex", "/v1/events?q=tenant_id:globex", "/v1/events?q=-tenant_id:acme",
	"/v1/events?q=not+tenant_id:acme+or+tenant_id:globex", "/v1/events?q=" + foreign, "/v1/events?q=%22" + foreign + "-user%22", "/v1/events?q=-user_id:user-0",
	"/v1/events?user_id=" + foreign + "-user", "/v1/events?metadata.k=" + foreign, "/v1/events?labels.env=" + foreign,
	"/v1/events/" + numberedID(1), "/v1/events/" + numberedID(0), "/v1/events/" + numberedID(999), "/v1/events?event_id=" + numberedID(1),
	"/v1/counts", "/v1/counts?by=tenant_id", "/v1/counts?by=user_id&top=1", "/v1/counts?by=metadata.k", "/v1/counts?interval=auto", "/v1/counts?interval=1s&by=outcome",
	"/v1/counts?q=tenant_id:globex", "/v1/counts?q=*+or+tenant_id:globex",
	"/v1/export", "/v1/export?q=tenant_id:*", "/v1/export?order=newest",
	"/v1/events?from=2026-11-01T00:00:01Z&to=2026-11-01T00:00:02Z", "/v1/events?q=offset:>0", "/v1/events?fields=offset", "/v1/counts?by=offset", "/v1/export?format=csv", "/v1/events?q=(tenant_id:acme+or+tenant_id:globex)+-user_id:user-1",
}

// TestTenantsApart asks what gives least away if all is well.
func TestTenantsApart(t *testing.T) {
	for name, spec := range map[string]keyring.Spec{
		"a tenant": {}, "a role": {Filter: "user_id:user-0 or user_id:" + foreign + "-user"}, "hidden fields": {Hidden: []string{"user_id", "metadata"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTwoLogs(t, spec)
			for _, path := range tenantProbes {
				if diff := l.same(t, path); diff != "" {
					t.Errorf("%s: %s", path, diff)
				}
			}
		})
	}
}

// FuzzTenantsApart asks anything but what waits.
func FuzzTenantsApart(f *testing.F) {
	for _, p := range tenantProbes {
		f.Add(p)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(randomRequest(r))
	}
	l := newTwoLogs(f, keyring.Spec{})
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.Parse(path)
		if err != nil || u.Host != "" || !strings.HasPrefix(path, "/v1/") || strings.ContainsAny(path, " \t\r\n#") || len(path) > 4096 {
			t.Skip()
		}
		for _, c := range []byte(path) {
			if c < ' ' || c > '~' {
				t.Skip()
			}
		}
		values, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			t.Skip()
		}
		for _, name := range []string{"wait", "after_position", "cursor", "last_event_id", "since"} {
			if values.Has(name) || strings.Contains(u.Path, "tail") {
				t.Skip() // they wait, or come of an earlier answer
			}
		}
		for _, vs := range values {
			for _, v := range vs {
				if passing.MatchString(v) {
					t.Skip()
				}
			}
		}
		if strings.Contains(path, "format=parquet") || strings.Contains(u.Path, "session") {
			t.Skip() // made with the time, and other keys
		}
		if diff := l.same(t, path); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	})
}

// randomRequest returns a request that is mostly sensible.
func randomRequest(r *rand.Rand) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	v := url.Values{}
	term := func() string {
		field := pick("tenant_id", "user_id", "action", "resource", "outcome", "labels.env", "metadata.k", "metadata.bytes", "changes.path", "event_id", "timestamp", "source_ip", "resource_type")
		value := pick("acme", "globex", "user-0", foreign+"*", "*", "document.*", "success", "prod", ">3", "2026-11-01", "192.0.2.0/24", "p", numberedID(3))
		return pick("", "-", "not ") + field + ":" + value
	}
	q := term()
	for range r.IntN(4) {
		q = pick("("+q+")", q) + pick(" ", " or ", " and ") + term()
	}
	v.Set("q", q)
	path := pick("/v1/events", "/v1/counts", "/v1/export")
	if path == "/v1/counts" {
		v.Set("by", pick("tenant_id", "user_id", "labels.env", "metadata.k", "resource_type"))
		if r.IntN(2) == 0 {
			v.Set("interval", pick("auto", "1s", "5s"))
		}
	}
	if path == "/v1/events" {
		v.Set("limit", fmt.Sprint(1+r.IntN(50)))
	}
	return path + "?" + v.Encode()
}
