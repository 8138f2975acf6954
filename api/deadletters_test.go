package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream/wal"
)

// letterbox is dead letters for a server, and what was replayed from them.
type letterbox struct {
	letters   *index.DeadLetters
	published []event.Event
	fail      error
}

// Publish implements index.Publisher.
func (b *letterbox) Publish(_ context.Context, e *event.Event) (event.Position, error) {
	if b.fail != nil {
		return event.Position{}, b.fail
	}
	b.published = append(b.published, e.Clone())
	return event.Position{Offset: int64(len(b.published))}, nil
}

// serve has a server answer with b's letters.
func (b *letterbox) serve(o *api.Options) { o.DeadLetters, o.Publisher = b.letters, b }

func newLetterbox(t testing.TB, records ...string) *letterbox {
	t.Helper()
	log, err := wal.Open(vfs.NewMem(), "dead", wal.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	letters, err := index.OpenDeadLetters(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		d := index.DeadLetter{Position: event.Position{Offset: int64(i)}, Class: index.ClassField, Errors: event.Errors{{Field: "user_id", Reason: "is required"}}, Record: []byte(r)}
		if err := letters.Append(t.Context(), []index.DeadLetter{d}); err != nil {
			t.Fatal(err)
		}
	}
	return &letterbox{letters: letters}
}

func TestDeadLetters(t *testing.T) {
	const good = `{"user_id":"u","action":"a","resource":"r"}`
	box := newLetterbox(t, "{}", good, "\xff", "x")
	s := newServer(t, box.serve)
	check := newOpenAPICheck(t, s)
	broken := errors.New("disk is gone")
	tests := []struct {
		method, path, body string
		fail               error
		status             int
		want               string // in the answer
	}{
		{"GET", "/v1/dead-letters/0-0", "", nil, 200, `{"id":"0-0","state":"open","partition":0,"offset":0,`},
		{"GET", "/v1/dead-letters/0-2", "", nil, 200, `"record_base64":"/w=="`},
		{"GET", "/v1/dead-letters/0-9", "", nil, 404, "no record at this position"},
		{"GET", "/v1/dead-letters/9", "", nil, 400, "partition and offset, such as 0-42"},
		{"GET", "/v1/dead-letters/0-0?x=1", "", nil, 400, `"field":"x"`},
		{"POST", "/v1/dead-letters/0-0/replay", "", nil, 422, `"field":"user_id"`},
		{"POST", "/v1/dead-letters/0-0/replay", strings.Repeat("x", event.MaxSize+1), nil, 400, "at most 64 KiB"},
		{"POST", "/v1/dead-letters/0-0/replay", good, broken, 503, "disk is gone"},
		{"POST", "/v1/dead-letters/0-0/replay", good, nil, 200, `"replayed_to":{"partition":0,"offset":1}`},
		{"POST", "/v1/dead-letters/0-0/replay", good, nil, 200, `"replayed_to":{"partition":0,"offset":1}`},
		{"POST", "/v1/dead-letters/0-0/discard", "", nil, 409, "was replayed at"},
		{"POST", "/v1/dead-letters/0-1/replay", "", nil, 200, `"state":"replayed"`},
		{"POST", "/v1/dead-letters/0-2/discard", "", nil, 200, `"state":"discarded"`},
		{"POST", "/v1/dead-letters/0-2/replay", good, nil, 409, "was discarded at"},
		{"POST", "/v1/dead-letters/0-9/discard", "", nil, 404, ""},
		{"GET", "/v1/dead-letters", "", nil, 200, `"id":"0-3"`},
		{"GET", "/v1/dead-letters?state=lost", "", nil, 400, "open, replayed, discarded or any"},
		{"GET", "/v1/dead-letters?cursor=xyz", "", nil, 400, "next_cursor of a page"},
		{"GET", "/v1/dead-letters?limit=201", "", nil, 400, "from 1 to 200"},
	}
	for _, tt := range tests {
		box.fail = tt.fail
		status, body := s.send(tt.method, tt.path, tt.body)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", tt.method, tt.path, status, body, tt.status, tt.want)
		}
		contentType := ""
		if tt.body != "" {
			contentType = "application/json"
		}
		check.send(t, tt.method, tt.path, contentType, tt.body)
	}
	if len(box.published) != 2 {
		t.Errorf("%d events were published, want 2", len(box.published))
	}
}

// send sends a request with a body and returns the answer.
func (s *server) send(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, read(s.t, resp)
}

func TestDeadLetterPages(t *testing.T) {
	var records []string
	for n := range 25 {
		records = append(records, fmt.Sprint(n))
	}
	s := newServer(t, newLetterbox(t, records...).serve)
	for _, limit := range []int{1, 7, 25, 200} {
		var got []string
		for next := ""; ; {
			path := fmt.Sprintf("/v1/dead-letters?limit=%d", limit)
			if next != "" {
				path += "&cursor=" + next
			}
			var page struct {
				Letters []struct{ Record string } `json:"dead_letters"`
				Next    *string                   `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(s.get(path)), &page); err != nil {
				t.Fatal(err)
			}
			for _, d := range page.Letters {
				got = append(got, d.Record)
			}
			if page.Next == nil {
				break
			}
			next = *page.Next
		}
		if strings.Join(got, " ") != strings.Join(records, " ") {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
}
