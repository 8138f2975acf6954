package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/api"
)

// The page is for browsers; programs get what they got before there was one.
func TestPage(t *testing.T) {
	s := newServer(t, func(o *api.Options) {
		o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "script-src 'self'")
			fmt.Fprint(w, "the page: ", r.URL.Path)
		})
	})
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tt := range []struct{ path, accept, want string }{
		{"/", browser, "the page: /"},
		{"/", "", "Daybook, a real-time audit log"},
		{"/", "*/*", "Daybook, a real-time audit log"},
		{"/", "text/plain", "Daybook, a real-time audit log"},
		{"/", "text/html;q=0.5,text/plain", "Daybook, a real-time audit log"},
		{"/ui/1/main.js", "*/*", "the page: /ui/1/main.js"},
		{"/embed", browser, "the page: /embed"},
	} {
		resp := s.do("GET", tt.path, "Accept", tt.accept)
		if body := read(t, resp); resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, tt.want) {
			t.Errorf("%s for %q: %s: %.60s", tt.path, tt.accept, resp.Status, body)
		}
		isPage := strings.HasPrefix(tt.want, "the page")
		if policy := resp.Header.Get("Content-Security-Policy"); isPage != (policy == "script-src 'self'") {
			t.Errorf("%s for %q: policy %q", tt.path, tt.accept, policy)
		}
	}
	if list := s.get("/"); strings.Contains(list, "/ui/") || strings.Contains(list, "/embed") {
		t.Errorf("the page is no part of the API, and is in the list of its endpoints:\n%s", list)
	}
	if resp := s.do("POST", "/embed"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /embed: %s", resp.Status)
	}
}

// A frame of another site may show the viewer and ask for nothing.
func TestForeignFrames(t *testing.T) {
	s := newServer(t, func(o *api.Options) {
		o.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page") })
	})
	for _, tt := range []struct {
		path, mode string
		status     int
	}{
		{"/embed", "navigate", http.StatusOK},
		{"/ui/1/main.js", "no-cors", http.StatusForbidden},
		{"/v1/events", "cors", http.StatusForbidden},
	} {
		resp := s.do("GET", tt.path, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", tt.mode, "Sec-Fetch-Dest", "iframe")
		if resp.StatusCode != tt.status {
			t.Errorf("%s, %s: %s, want %d", tt.path, tt.mode, resp.Status, tt.status)
		}
	}
}

func TestNoPage(t *testing.T) {
	s := newServer(t, func(o *api.Options) { o.System = nil })
	if body := s.get("/", "Accept", "text/html"); !strings.HasPrefix(body, "Daybook, ") {
		t.Errorf("%.60s", body)
	}
	for _, path := range []string{"/ui/1/main.js", "/embed", "/v1/system"} {
		if resp := s.do("GET", path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// What the server says of itself comes out as it is, with the queries that run.
func TestSystem(t *testing.T) {
	s := newServer(t)
	var got api.System
	if err := json.Unmarshal([]byte(s.get("/v1/system")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Query == nil || got.Query.Tails != 0 {
		t.Errorf("queries: %+v", got.Query)
	}
	got.Query = nil
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(system)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("%s\nwant %s (%v, %v)", a, b, errA, errB)
	}
}
