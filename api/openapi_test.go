package api_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/daybook-log/daybook/event"
)

func loadOpenAPI(t *testing.T, s *server) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.get("/openapi.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every endpoint is in the document and everything in the document is served.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	s := newServer(t)
	doc := loadOpenAPI(t, s)
	var documented, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	served = append(served, lines(s.get("/"))[2:]...)
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented %v\nserved     %v", documented, served)
	}
}

// The guard stands before every endpoint, and what reads the store may fail.
func TestOpenAPIHasTheRefusals(t *testing.T) {
	for path, item := range loadOpenAPI(t, newServer(t)).Paths.Map() {
		statuses := []string{"403"}
		if strings.HasPrefix(path, "/v1/") {
			statuses = append(statuses, "400", "431", "500", "503")
		}
		for method, op := range item.Operations() {
			for _, status := range statuses {
				if op.Responses.Value(status) == nil {
					t.Errorf("%s %s does not say that it may answer %s", method, path, status)
				}
			}
		}
	}
}

// Every text field of an event is a parameter of whatever names a set of events,
// and every field is in the schema of an event.
func TestOpenAPIHasEveryField(t *testing.T) {
	doc := loadOpenAPI(t, newServer(t))
	for _, path := range []string{"/v1/events", "/v1/events/tail", "/v1/counts", "/v1/export"} {
		for f := range event.NumFields {
			if f.IsText() && f.Info().Kind != event.KindJSON && doc.Paths.Value(path).Get.Parameters.GetByInAndName("query", f.String()) == nil {
				t.Errorf("%s: no parameter %s", path, f)
			}
		}
	}
	schemas := doc.Components.Schemas
	for f := range event.NumFields {
		if schemas["EventFields"].Value.Properties[f.String()] == nil && schemas["Event"].Value.Properties[f.String()] == nil {
			t.Errorf("no property %s", f)
		}
	}
}

// openAPICheck holds answers to the document.
type openAPICheck struct {
	s      *server
	router routers.Router
}

func newOpenAPICheck(t *testing.T, s *server) *openAPICheck {
	t.Helper()
	doc := loadOpenAPI(t, s)
	doc.Servers = openapi3.Servers{{URL: s.URL}}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	})
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &openAPICheck{s, router}
}

// send sends a request and checks that the document allows its answer, and the
// request too where the server takes it.
func (c *openAPICheck) send(t *testing.T, method, path, contentType, body string) (status int) {
	t.Helper()
	request := func() *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), method, c.s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		return req
	}
	resp, err := c.s.Client().Do(request())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	req := request()
	route, pathParams, err := c.router.FindRoute(req)
	if err != nil {
		t.Fatal(err)
	}
	in := &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: pathParams,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if resp.StatusCode == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("request: %v", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(answer)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("answer %d: %v\n%s", resp.StatusCode, err, answer[:min(len(answer), 500)])
	}
	return resp.StatusCode
}

// What the running server answers is what the document says.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 5)...)
	check := newOpenAPICheck(t, s)
	for _, path := range []string{
		"/", "/healthz", "/readyz", "/metrics", "/openapi.yaml",
		"/v1/events", "/v1/events?limit=2", "/v1/events?fields=user_id,labels&order=oldest&wait=1s&after_position=0:4",
		"/v1/events?limit=0", "/v1/events?q=(", "/v1/events?user_id=nobody",
		"/v1/events/" + numbered(3).ID.String(), "/v1/events/" + numbered(999).ID.String(), "/v1/events/42",
		"/v1/counts", "/v1/counts?interval=auto", "/v1/counts?interval=2s&by=user_id&top=2", "/v1/counts?by=labels.env", "/v1/counts?top=0",
		"/v1/system", "/v1/system?x=1", "/v1/export", "/v1/export?format=csv", "/v1/export?format=tar", "/v1/events/tail?since=never",
		"/v1/events/tail?last_event_id=0:1@0100000000000000",
	} {
		t.Run(path, func(t *testing.T) { check.send(t, "GET", path, "", "") })
	}
}

// The same for publishing, with what really takes the events.
func TestOpenAPIDescribesPublishing(t *testing.T) {
	const good, bad = `{"user_id":"a","action":"b","resource":"c/1","timestamp":1793491200000,"labels":{"x":"y"}}`, `{"user_id":"a","colour":"red"}`
	check := newOpenAPICheck(t, newPipeline(t, 0))
	for _, tt := range []struct {
		path, contentType, body string
		status                  int
	}{
		{"/v1/events", "application/json", good, 200},
		{"/v1/events?receipts=false", "application/json", "[" + good + "," + good + "]", 200},
		{"/v1/events", "application/x-ndjson", good + "\n" + good, 200},
		{"/v1/events", "application/x-ndjson", good + "\n" + bad, 207},
		{"/v1/events", "application/json", bad, 422},
		{"/v1/events?atomic=true", "application/json", "[" + good + "," + bad + "]", 422},
		{"/v1/events", "application/json", "[" + good, 400},
		{"/v1/events?atomic=maybe", "application/json", good, 400},
		{"/v1/events", "text/html", good, 415},
	} {
		if status := check.send(t, "POST", tt.path, tt.contentType, tt.body); status != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.path, tt.body, status, tt.status)
		}
	}
}

// The check above can fail: an answer that differs from the schema is found.
func TestOpenAPISchemasAreStrict(t *testing.T) {
	doc := loadOpenAPI(t, newServer(t))
	for name, bad := range map[string]any{
		"Page":    map[string]any{"events": []any{map[string]any{"user_id": "a", "surprise": 1.0}}, "next_cursor": nil},
		"Event":   map[string]any{"outcome": "maybe"},
		"Counts":  map[string]any{"total": "many"},
		"Problem": map[string]any{"type": "x", "title": "y"},
	} {
		err := doc.Components.Schemas[name].Value.VisitJSON(bad, openapi3.EnableJSONSchema2020())
		if err == nil {
			t.Errorf("%s accepts %v", name, bad)
		} else if strings.Contains(err.Error(), "compile") {
			t.Error(err)
		}
	}
}
