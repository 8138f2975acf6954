package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/internal/client"
)

// daybook is Daybook with its default settings.
type daybook struct{ path string }

func (daybook) Name() string   { return "Daybook" }
func (d daybook) Path() string { return d.path }

func (d daybook) Version(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, d.path, "version").Output()
	if err != nil {
		return "unknown"
	}
	if words := strings.Fields(string(out)); len(words) > 1 { // daybook VERSION …
		return words[1]
	}
	return "unknown"
}

func (daybook) Notes() []string {
	return []string{
		"default settings; every event is validated, made canonical and checked for a duplicate; a request is answered once its events are " +
			"written and **fsynced**, and every search after that finds them",
		"bytes on disk are given with and without the stream, which is dropped in time (`--stream-retain-age`, `--stream-retain-bytes`)",
		"skipping reads pages of 10,000 with a cursor until it is there",
	}
}

func (daybook) Args(data, addr string) []string {
	return []string{"serve", "--data", data, "--listen", addr, "--log-level", "warn"}
}

func (daybook) Ready() string   { return "/readyz" }
func (daybook) Publish() string { return "/v1/events" }
func (daybook) Stream() string  { return "stream" }

func (daybook) Compact(context.Context, *server) error { return nil }

// pageLimit is the largest page there is.
const pageLimit = 10_000

func (daybook) Ask(ctx context.Context, s *server, q query) (*http.Response, error) {
	params := url.Values{}
	var terms []string
	for _, t := range q.Where {
		if t.Field != "" {
			terms = append(terms, fmt.Sprintf("%s:%q", t.Field, t.Value))
		} else {
			terms = append(terms, fmt.Sprintf("%q", t.Value))
		}
	}
	if len(terms) > 0 {
		params.Set("q", strings.Join(terms, " "))
	}
	if !q.From.IsZero() {
		params.Set("from", q.From.Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		params.Set("to", q.To.Format(time.RFC3339Nano))
	}
	switch q.Kind {
	case one:
		return s.get(ctx, "/v1/events/"+q.Where[0].Value, nil, nil)
	case export:
		return s.get(ctx, "/v1/export", params, nil)
	case page:
		return searchPage(ctx, s, params, q)
	case hours:
		params.Set("interval", "1h")
	case counts:
		params.Set("by", q.By)
		params.Set("top", "1000")
	case top:
		params.Set("by", q.By)
		params.Set("top", strconv.Itoa(q.Limit))
	}
	return s.get(ctx, "/v1/counts", params, nil)
}

// searchPage walks to the page that q asks for and returns the response with it.
func searchPage(ctx context.Context, s *server, params url.Values, q query) (*http.Response, error) {
	ndjson := http.Header{"Accept": {"application/x-ndjson"}}
	for skip := q.Skip; skip > 0; skip -= pageLimit {
		params.Set("limit", strconv.Itoa(min(skip, pageLimit)))
		resp, err := s.get(ctx, "/v1/events", params, ndjson)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		params.Set("cursor", resp.Trailer.Get("Daybook-Next-Cursor"))
	}
	params.Set("limit", strconv.Itoa(q.Limit))
	return s.get(ctx, "/v1/events", params, ndjson)
}

func (daybook) Answer(q query, body []byte) (out []string, err error) {
	if q.Kind == page || q.Kind == one {
		return eventIDs(body)
	}
	var c client.Counts
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	if q.Kind == total {
		return []string{strconv.FormatInt(c.Total, 10)}, nil
	}
	for _, b := range c.Buckets {
		out = append(out, group(b.Start, b.Count))
	}
	for _, g := range c.Groups {
		out = append(out, group(g.Value, g.Count))
	}
	return ordered(q, out), nil
}
