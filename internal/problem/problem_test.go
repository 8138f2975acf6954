package problem

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	tests := []struct {
		name       string
		problem    Problem
		body       string
		retryAfter string
	}{
		{"the status alone", Problem{Status: 404},
			`{"type":"about:blank","title":"Not Found","status":404}`, ""},
		{"with a type, a title and a detail", Problem{Type: "disk-full", Status: 503, Title: "Disk full", Detail: `"/data" has no room`},
			`{"type":"urn:problem-type:daybook:disk-full","title":"Disk full","status":503,"detail":"\"/data\" has no room"}`, ""},
		{"with errors", Problem{Status: 400, Errors: []Error{{Field: "limit", Value: "-1", Reason: "must be 1 to 10000"}, {Field: "q", Column: 7, Reason: "unclosed parenthesis"}}},
			`{"type":"about:blank","title":"Bad Request","status":400,"errors":[{"field":"limit","value":"-1","reason":"must be 1 to 10000"},{"field":"q","column":7,"reason":"unclosed parenthesis"}]}`, ""},
		{"with further members", Problem{Status: 400, Members: []byte(`"accepted":3`)},
			`{"type":"about:blank","title":"Bad Request","status":400,"accepted":3}`, ""},
		{"part of a second is a second", Problem{Status: 429, RetryAfter: 200 * time.Millisecond},
			`{"type":"about:blank","title":"Too Many Requests","status":429}`, "1"},
		{"what is not UTF-8 becomes it", Problem{Status: 400, Detail: "\xff\x00"},
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"\ufffd\u0000"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, tt.problem)
			if got := w.Body.String(); got != tt.body+"\n" {
				t.Errorf("body\n got %s\nwant %s", got, tt.body)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Error("body is not JSON")
			}
			if w.Code != tt.problem.Status {
				t.Errorf("status %d, want %d", w.Code, tt.problem.Status)
			}
			if got := w.Header().Get("Content-Type"); got != ContentType {
				t.Errorf("Content-Type %q", got)
			}
			if got := w.Header().Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, tt.retryAfter)
			}
		})
	}
}

func TestWriteTail(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, Problem{Status: 400, Members: []byte(`"results":[`)}, []byte("1,2"), []byte("]"))
	want := `{"type":"about:blank","title":"Bad Request","status":400,"results":[1,2]}` + "\n"
	if got := w.Body.String(); got != want || w.Header().Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("Content-Length %s\n got %s\nwant %s", w.Header().Get("Content-Length"), got, want)
	}
}

func TestError(t *testing.T) {
	if got := (Problem{Status: 404}).Error(); got != "Not Found" {
		t.Errorf("without detail: %q", got)
	}
	if got := (Problem{Status: 404, Detail: "no such event"}).Error(); got != "no such event" {
		t.Errorf("with detail: %q", got)
	}
}
