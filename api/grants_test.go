package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/segment"
)

// secured is a server with an admin's key.
func secured(t *testing.T, change ...func(*api.Options)) (s *server, admin string) {
	t.Helper()
	s = newServer(t, change...)
	return s, s.key(t, keyring.Spec{Rights: access.Admin})
}

// key makes a key.
func (s *server) key(t *testing.T, spec keyring.Spec) string {
	t.Helper()
	spec.Name = t.Name()
	if len(spec.Name) > keyring.MaxName {
		spec.Name = spec.Name[:keyring.MaxName]
	}
	_, secret, err := s.keys.Create(spec, "test", time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func idOf(key string) string { return key[len("dbk_"):][:16] }

// Whatever is open ends when the key does: by itself, and not at the next request.
func TestRevocationEndsWhatIsOpen(t *testing.T) {
	s, _ := secured(t)
	s.mem.Publish(tenantEvents(10)...)
	for name, show := range map[string]func(key string) string{
		"a key":          func(key string) string { return key },
		"a viewer token": func(key string) string { return viewerToken(t, s, bearer(key), `{}`) },
	} {
		key := s.key(t, keyring.Spec{Rights: access.Read, Tenant: "acme"})
		tail := s.tail("/v1/events/tail?since=beginning", "Authorization", "Bearer "+show(key))
		tail.events(5)
		if _, err := s.keys.Revoke(idOf(key), time.Now(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(tail.r); err != nil {
			t.Errorf("%s: the tail did not end whole: %v", name, err)
		}
		if resp := s.do("GET", "/v1/events/tail", "Authorization", "Bearer "+key); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: connecting again: %d", name, resp.StatusCode)
		}
	}
}

// The first key ends what was open to everybody.
func TestFirstKeyEndsWhatIsOpen(t *testing.T) {
	s := newServer(t)
	tail := s.tail("/v1/events/tail")
	s.key(t, keyring.Spec{Rights: access.Admin})
	if _, err := io.ReadAll(tail.r); err != nil {
		t.Error(err)
	}
	if resp := s.do("GET", "/v1/events"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %d", resp.StatusCode)
	}
}

// A cursor is of use to who it was given to, and a viewer token ends by itself.
func TestCursorOfAnotherKey(t *testing.T) {
	s, admin := secured(t)
	s.mem.Publish(tenantEvents(10)...)
	reader := s.key(t, keyring.Spec{Rights: access.Read, Tenant: "acme"})
	next := func(key, path string) (int, string) {
		status, _, body := s.as(t, bearer(key), "GET", path, "")
		var p page
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		if p.Next == nil {
			return status, ""
		}
		return status, *p.Next
	}
	_, cursor := next(admin, "/v1/events?limit=2")
	if status, _ := next(admin, "/v1/events?limit=2&cursor="+cursor); status != 200 {
		t.Errorf("its own cursor: %d", status)
	}
	if status, _ := next(reader, "/v1/events?limit=2&cursor="+cursor); status != 400 {
		t.Errorf("another's cursor: %d", status)
	}
}

func TestLimitsOfAKey(t *testing.T) {
	pipeline, _, _ := buildPipeline(t, segment.Options{}, query.Options{}, ingest.HTTPOptions{
		Door: func(r *http.Request) ingest.Door { return api.GrantOf(r.Context()) },
	})
	pipeline.key(t, keyring.Spec{Rights: access.Admin})
	writer := bearer(pipeline.key(t, keyring.Spec{Rights: access.Write, Tenant: "acme", EventsPerSecond: 3}))
	const line = `{"user_id":"a","action":"b","resource":"c/1"}` + "\n"
	if status, _, body := pipeline.as(t, writer, "POST", "/v1/events", strings.Repeat(line, 100)); status != 200 {
		t.Fatalf("a batch: %d %s", status, body)
	}
	status, h, body := pipeline.as(t, writer, "POST", "/v1/events", line)
	if status != http.StatusTooManyRequests || h.Get("Retry-After") == "" || !strings.Contains(body, "rate-limited") {
		t.Errorf("more than the key may: %d, Retry-After %s: %s", status, h.Get("Retry-After"), body)
	}

	s, _ := secured(t, func(o *api.Options) { o.Access.TailsPerTenant = 1 })
	reader := s.key(t, keyring.Spec{Rights: access.Read, Tenant: "acme"})
	tail := s.tail("/v1/events/tail", "Authorization", "Bearer "+reader)
	if status, _, body := s.as(t, bearer(reader), "GET", "/v1/events/tail", ""); status != http.StatusTooManyRequests || !strings.Contains(body, "too-many-tails") {
		t.Errorf("a second tail of the tenant: %d %s", status, body)
	}
	tail.body.Close()
}

// collector is where a test's audit log puts its events.
type collector struct {
	mu     sync.Mutex
	events []event.Event
}

func (c *collector) Publish(_ context.Context, e *event.Event) (event.Position, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e.Clone())
	return event.Position{}, nil
}

func (c *collector) actions() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		all = append(all, e.Action+" "+e.Outcome+" "+e.UserID)
	}
	return all
}

// What is done with the server is recorded: by whom, and never with a secret.
func TestWhatIsDoneIsRecorded(t *testing.T) {
	var recorded collector
	log := audit.New(audit.Options{Publisher: &recorded, Logger: slog.New(slog.DiscardHandler)})
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(running) }()
	s, admin := secured(t, func(o *api.Options) { o.Access.Log = log })
	s.mem.Publish(tenantEvents(4)...)

	secrets := []string{admin}
	ask := func(key, method, path, body string, want int) string {
		t.Helper()
		status, _, answer := s.as(t, bearer(key), method, path, body)
		if status != want {
			t.Errorf("%s %s: %d %s", method, path, status, answer)
		}
		return answer
	}
	var made struct {
		Key    struct{ ID string }
		Secret string
	}
	if err := json.Unmarshal([]byte(ask(admin, "POST", "/v1/keys", `{"name":"n","tenant":"acme","rights":["read"]}`, 201)), &made); err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, made.Secret)
	ask(made.Secret, "GET", "/v1/export?q=user_id:user-0", "", 200)
	ask(made.Secret, "GET", "/v1/events", "", 200) // of one tenant: not recorded
	ask(made.Secret, "GET", "/v1/keys", "", 403)
	ask(made.Secret, "GET", "/v1/keys", "", 403) // the same again: counted
	ask("dbk_stranger_secret", "GET", "/v1/events", "", 401)
	ask(admin, "GET", "/v1/counts", "", 200)
	ask(admin, "GET", "/v1/events?tenant_id=acme", "", 200) // names its tenant: not recorded
	ask(admin, "POST", "/v1/session", "", 204)
	ask(admin, "POST", "/v1/keys/"+made.Key.ID+"/rotate", `{"overlap":"1h"}`, 200)
	ask(admin, "POST", "/v1/keys/"+made.Key.ID+"/revoke", "", 200)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	by, reader := "key:"+idOf(admin), "key:"+made.Key.ID
	want := map[string]int{
		"key.create success " + by: 1, "export.begin success " + reader: 1, "export.end success " + reader: 1,
		"access.deny denied " + reader: 2, // one at once, and one for the rest of the minute
		"access.deny denied unknown":   1, "search.across_tenants success " + by: 1, "session.create success " + by: 1,
		"key.rotate success " + by: 1, "key.revoke success " + by: 1,
	}
	got := map[string]int{}
	for _, a := range recorded.actions() {
		got[a]++
	}
	for a, n := range want {
		if got[a] != n {
			t.Errorf("%s: recorded %d times, want %d", a, got[a], n)
		}
		delete(got, a)
	}
	if len(got) > 0 {
		t.Errorf("recorded besides: %v", got)
	}
	for _, e := range recorded.events {
		text := string(event.AppendCanonical(nil, &e))
		for _, secret := range secrets {
			if _, part, _ := strings.Cut(secret[4:], "_"); strings.Contains(text, part) {
				t.Errorf("a secret is recorded: %s", text)
			}
		}
		if e.TenantID != access.SelfTenant || e.SourceIP != "127.0.0.1" {
			t.Errorf("recorded %s", text)
		}
	}
}

// What cannot be recorded is not done to a key, but for taking it back.
func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	s, admin := secured(t, func(o *api.Options) {
		o.Access.Log = audit.New(audit.Options{Publisher: fullDisk{}, Logger: slog.New(slog.DiscardHandler)})
	})
	status, h, body := s.as(t, bearer(admin), "POST", "/v1/keys", `{"name":"n","rights":["read"]}`)
	if status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" || !strings.Contains(body, "not-recorded") {
		t.Errorf("%d %s", status, body)
	}
	if keys := s.keys.List("", time.Now()); len(keys) != 1 {
		t.Errorf("there are %d keys", len(keys))
	}
	if status, _, _ := s.as(t, bearer(admin), "POST", "/v1/keys/"+idOf(admin)+"/rotate", ""); status != http.StatusServiceUnavailable {
		t.Errorf("rotating: %d", status)
	}
	if status, _, _ := s.as(t, bearer(admin), "GET", "/v1/keys", ""); status != 200 {
		t.Errorf("the key that was not rotated: %d", status)
	}
	leaked := s.key(t, keyring.Spec{Rights: access.Write}) // it may be what filled the disk
	if status, _, body := s.as(t, bearer(admin), "POST", "/v1/keys/"+idOf(leaked)+"/revoke", ""); status != 200 {
		t.Errorf("revoking: %d %s", status, body)
	}
	if status, _, _ := s.as(t, bearer(leaked), "POST", "/v1/events", "{}"); status != http.StatusUnauthorized {
		t.Errorf("the key that was revoked: %d", status)
	}
}

type fullDisk struct{}

func (fullDisk) Publish(context.Context, *event.Event) (event.Position, error) {
	return event.Position{}, io.ErrShortWrite
}

// A page of another site can do nothing with a session, whatever it tries.
func TestSessionsAreNotForOtherSites(t *testing.T) {
	s, admin := secured(t)
	session := cookie(t, s, bearer(admin))
	for name, headers := range map[string][]string{
		"a form of another site":        {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"},
		"a script of another site":      {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"},
		"a sibling of the site":         {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"},
		"an old browser's other origin": {"Origin", "https://evil.example"},
	} {
		show := func(r *http.Request) {
			session(r)
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
		}
		if status, _, body := s.as(t, show, "POST", "/v1/keys", `{"name":"evil","rights":["admin"]}`); status != 403 || !strings.Contains(body, "foreign-origin") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if len(s.keys.List("", time.Now())) != 1 {
		t.Error("a key was made")
	}
	if status, _, _ := s.as(t, session, "POST", "/v1/keys", `{"name":"good","rights":["read"]}`); status != 201 {
		t.Errorf("the page itself: %d", status)
	}
}
