package api_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
)

// late is a body of which nothing is sent before the server reads it, which is once
// it has looked at the key. then is called first.
type late struct {
	io.Reader
	then func()
}

func (b *late) Read(p []byte) (int, error) {
	if b.then != nil {
		b.then()
		b.then = nil
	}
	return b.Reader.Read(p)
}

// A key that is revoked while a request comes that it began does nothing any more: least
// of all does it leave another key behind.
func TestRevocationEndsRequestsThatAreComing(t *testing.T) {
	s, _ := secured(t)
	transport := s.Client().Transport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = time.Minute // the body is sent when the server asks for it
	defer transport.CloseIdleConnections()
	for path, body := range map[string]string{
		"/v1/keys":           `{"name":"left behind","rights":["admin"]}`,
		"/v1/viewer-tokens":  `{"tenant":"acme"}`,
		"/v1/saved-searches": `{"name":"left behind","state":"q=x"}`,
		"/v1/events":         `{"user_id":"u","action":"a","resource":"r/1"}`,
	} {
		key := s.key(t, keyring.Spec{Rights: access.Admin})
		revoke := func() {
			if _, err := s.keys.Revoke(idOf(key), time.Now(), nil); err != nil {
				t.Error(err)
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, &late{strings.NewReader(body), revoke})
		if err != nil {
			t.Fatal(err)
		}
		bearer(key)(req)
		req.Header.Set("Expect", "100-continue")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer := read(t, resp)
		if resp.StatusCode/100 == 2 || !strings.Contains(answer, "has ended") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
		if path != "/v1/events" && resp.StatusCode != http.StatusUnauthorized { // of events it is for package ingest to say
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for _, k := range s.keys.List("", time.Now()) {
		if k.Name == "left behind" {
			t.Error("a key was made")
		}
	}
}

// ending is a store that calls then while it is scanned, between two events, waits for
// the scan's end to be asked for, and counts how many events are taken after that.
type ending struct {
	*querytest.Mem
	then  func()
	after int
}

func (m *ending) Scan(ctx context.Context, q store.Scan, yield func(*event.Event) bool) error {
	n := 0
	return m.Mem.Scan(context.WithoutCancel(ctx), q, func(e *event.Event) bool { // as one that has the rows already
		if n++; n == 3 {
			m.then()
			<-ctx.Done()
		}
		more := yield(e)
		if n > 3 && more {
			m.after++
		}
		return more
	})
}

// An export that is revoked gives nothing more, though the store has rows in hand.
func TestRevocationEndsAnExportAtOnce(t *testing.T) {
	m := &ending{Mem: querytest.New()}
	s, _ := secured(t, func(o *api.Options) {
		o.Query = query.New(query.Options{Store: m, Stream: m.Mem})
	})
	m.Publish(tenantEvents(2000)...)
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		key := s.key(t, keyring.Spec{Rights: access.Read, Tenant: "acme"})
		m.after = 0
		m.then = func() {
			if _, err := s.keys.Revoke(idOf(key), time.Now(), nil); err != nil {
				t.Error(err)
			}
		}
		status, h, body := s.as(t, bearer(key), "GET", "/v1/export?format="+format, "")
		if status != http.StatusUnauthorized || !strings.Contains(body, "has ended") || h.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %s", format, status, body)
		}
		if m.after != 0 {
			t.Errorf("%s: %d more events were taken", format, m.after)
		}
	}
}

// Whoever else reads a request's body, such as a proxy that looks for rights, must
// not read another one.
func TestBodiesHaveOneMeaning(t *testing.T) {
	s, admin := secured(t)
	for body, want := range map[string]int{
		`{"name":"n","tenant":"acme","rights":["read"]}`:                           201,
		`{"name":"n","tenant":"acme","rights":["read"],"labels":{"a":"b"}}` + "\n": 201,
		`{"name":"n","tenant":"acme","rights":["read"],"rights":["admin"]}`:        400,
		`{"name":"n","tenant":"acme","rights":["read"],"tenant":""}`:               400,
		`{"name":"n","tenant":"acme","rights":["read"],"Tenant":"globex"}`:         400,
		`{"name":"n","TENANT":"acme","rights":["read"]}`:                           400,
		`{"name":"n","tenant":"acme","right` + "\u017f" + `":["read"]}`:            400, // folds to s
		`{"name":"n","rights":["read"],"labels":{"a":"b","a":"c"}}`:                400,
		`{"name":"n","rights":["read"]} }`:                                         400,
		`{"name":"n","rights":["read"]}{"name":"m"}`:                               400,
		`[{"name":"n","rights":["read"]}]`:                                         400,
		`null`:                                                                     400,
		`"n"`:                                                                      400,
	} {
		if status, _, answer := s.as(t, bearer(admin), "POST", "/v1/keys", body); status != want {
			t.Errorf("%s: %d, want %d: %s", body, status, want, answer)
		}
	}
}

// However a sender varies what it is refused, it does not fill the log.
func TestDenialsDoNotFillTheLog(t *testing.T) {
	var recorded collector
	log := audit.New(audit.Options{Publisher: &recorded, Logger: slog.New(slog.DiscardHandler)})
	s, admin := secured(t, func(o *api.Options) { o.Access.Log = log })
	reader := s.key(t, keyring.Spec{Rights: access.Read})
	for i := range 20 {
		s.as(t, bearer(reader), "GET", fmt.Sprintf("/v1/keys/k%d", i), "")
		s.as(t, bearer(fmt.Sprintf("dbk_k%d_x", i)), "GET", fmt.Sprintf("/v1/events/%d", i), "")
		s.as(t, bearer(viewerToken(t, s, bearer(reader), fmt.Sprintf(`{"tenant":"acme","subject":"v%d"}`, i))), "GET", "/v1/keys", "")
		s.as(t, bearer(admin), "GET", fmt.Sprintf("/v1/events?q=timestamp:now-1h..now&limit=%d", i+1), "")
	}
	running, stop := context.WithCancel(t.Context())
	stop()
	if err := log.Run(running); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, a := range recorded.actions() {
		counts[a]++
	}
	// Each at once, and the others of the minute as one: of the key, the viewers and
	// the stranger; and of the search.
	denied := 0
	for a, n := range counts {
		if strings.HasPrefix(a, "access.deny") {
			denied += n
		}
	}
	if searches := counts["search.across_tenants success key:"+idOf(admin)]; denied != 6 || searches != 2 {
		t.Errorf("recorded %v", counts)
	}
}

// That somebody still has a key which was revoked is to be seen in the log; that
// somebody says so is not.
func TestUseOfARevokedKeyIsRecorded(t *testing.T) {
	var recorded collector
	log := audit.New(audit.Options{Publisher: &recorded, Logger: slog.New(slog.DiscardHandler)})
	s, _ := secured(t, func(o *api.Options) { o.Access.Log = log })
	revoked, other := s.key(t, keyring.Spec{Rights: access.Read}), s.key(t, keyring.Spec{Rights: access.Read})
	if _, err := s.keys.Revoke(idOf(revoked), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"dbk_" + idOf(revoked) + "_guess", "dbk_" + idOf(other) + "_guess", revoked} {
		if status, _, answer := s.as(t, bearer(key), "GET", "/v1/events", ""); status != http.StatusUnauthorized {
			t.Errorf("%d %s", status, answer)
		}
	}
	running, stop := context.WithCancel(t.Context())
	stop()
	if err := log.Run(running); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, a := range recorded.actions() {
		counts[a]++
	}
	if len(counts) != 2 || counts["access.deny denied key:"+idOf(revoked)] != 1 || counts["access.deny denied unknown"] != 2 {
		t.Errorf("recorded %v", counts)
	}
}
