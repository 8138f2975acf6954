package api_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/saved"
	"github.com/daybook-log/daybook/internal/state"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// epoch is when the tests' events begin.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// numbered returns event n, one a second.
func numbered(n int) event.Event {
	var id event.ID
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	at := epoch.Add(time.Duration(n) * time.Second)
	return event.Event{
		ID: id, Timestamp: at.UnixNano(), ReceivedAt: at.UnixNano() + 1,
		UserID: fmt.Sprintf("user-%d", n%3), Action: "document.read", Resource: fmt.Sprintf("document/%d", n),
		TenantID: "default", Outcome: "success", Operation: "read", UserType: "user",
		SourceIP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", RequestID: fmt.Sprintf("req-%08d", n),
		Labels: `{"env":"prod"}`, Metadata: fmt.Sprintf(`{"bytes":%d,"path":"/a/\"b\""}`, n),
		Changes: `[{"new":2,"old":1,"path":"total"}]`,
	}
}

func run(from, to int) []event.Event {
	var events []event.Event
	for n := from; n < to; n++ {
		events = append(events, numbered(n))
	}
	return events
}

// system is how the tests' server says it is.
var system = api.System{
	Version: "v1.2.0", StartedAt: epoch, Now: epoch.Add(time.Minute), Log: "6c1f0e5b2d9a4873", Roles: []string{"ingest", "index", "query"},
	Ingest: &api.SystemIngest{Accepted: 4}, Stream: api.SystemStream{Kind: "embedded", End: map[string]int64{"0": 4}, Bytes: 300},
	Index:       &api.SystemIndex{Indexed: 4, Lag: -1, Failing: &api.SystemFailing{Step: "append", Since: epoch, Error: "the disk is full"}},
	Store:       &api.SystemStore{Events: 4, Segments: 1, Oldest: &epoch, Damaged: []api.SystemDamage{{File: "1.parquet", Reason: "checksum", Events: 2}}, Missing: 2},
	DeadLetters: &api.SystemLetters{Open: 1, Total: 2}, Memory: api.SystemMemory{Bytes: 1 << 20},
}

// server is an API over a store in memory, behind a real listener.
type server struct {
	*httptest.Server
	mem  *querytest.Mem
	api  *api.API
	keys *keyring.Keyring
	t    testing.TB
}

func newServer(t testing.TB, change ...func(*api.Options)) *server {
	mem := querytest.New()
	o := api.Options{
		Query:  query.New(query.Options{Store: mem, Stream: mem}),
		Logger: slog.New(slog.DiscardHandler),
		Ingest: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			fmt.Fprint(w, `{}`)
		}),
	}
	newLetterbox(t).serve(&o)
	o.Access, o.Searches = newGuarding(t)
	o.System = func(context.Context) api.System { return system }
	for _, c := range change {
		c(&o)
	}
	a := api.New(o)
	s := &server{httptest.NewServer(a), mem, a, o.Access.Keys, t}
	t.Cleanup(func() { a.Close(); s.Close() })
	return s
}

// newGuarding returns doors that are open, as long as nobody makes a key.
func newGuarding(t testing.TB) (api.Guarding, *saved.Searches) {
	t.Helper()
	db, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys, err := keyring.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Options{Keys: keys, Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	searches, err := saved.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	return api.Guarding{Gate: g, Keys: keys, Provider: noProvider{}}, searches
}

// noProvider is a provider that cannot be reached.
type noProvider struct{}

func (noProvider) Begin(http.ResponseWriter, *http.Request, string) error {
	return &api.SignInError{Kind: "unavailable", Err: errors.New("no provider here")}
}

func (noProvider) Finish(http.ResponseWriter, *http.Request) (gate.Person, string, error) {
	return gate.Person{}, "", &api.SignInError{Kind: "unavailable", Err: errors.New("no provider here")}
}

// do sends a request; headers are given as name, value pairs.
func (s *server) do(method, path string, headers ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// get returns the body of a path that answers 200.
func (s *server) get(path string, headers ...string) string {
	s.t.Helper()
	resp := s.do("GET", path, headers...)
	body := read(s.t, resp)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s answered %d: %s", path, resp.StatusCode, body)
	}
	return body
}

func read(t testing.TB, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// page is the answer of a search.
type page struct {
	Events []json.RawMessage `json:"events"`
	Next   *string           `json:"next_cursor"`
}

func (s *server) page(path string) page {
	s.t.Helper()
	var p page
	if err := json.Unmarshal([]byte(s.get(path)), &p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// lines splits NDJSON.
func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
