package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
)

// victoriaLogs is single-node VictoriaLogs, fed and asked as its documentation
// advises.
type victoriaLogs struct{ path, version string }

func (victoriaLogs) Name() string   { return "VictoriaLogs" }
func (v victoriaLogs) Path() string { return v.path }

func (v victoriaLogs) Version(ctx context.Context) string {
	if v.version != "" {
		return v.version
	}
	out, err := exec.CommandContext(ctx, v.path, "-version").Output()
	if version := strings.TrimSpace(string(out)); err == nil && version != "" {
		return version
	}
	return "unknown"
}

func (victoriaLogs) Notes() []string {
	return []string{
		"default settings, but a query may take 5 minutes; a request is answered when its events are in memory: they can be searched up to " +
			"a second later and are on disk up to 5 seconds later (`-inmemoryDataFlushInterval`), so a crash can lose what was acknowledged",
		"`timestamp` is its `_time`, `action` its `_msg` (every entry must have one), and `source`, the service that sent the event, its " +
			"stream: its documentation wants what stays the same for an instance of an application, and nothing of many values",
		"after the load and a restart it gets `/internal/force_merge`; the questions and the bytes on disk are of the merged state, CPU " +
			"and memory of the load without it",
		"pages are asked for with the parameter `limit`, which its documentation gives for the newest entries, and with `_time` bounds, which " +
			"it finds them by; skipping is `sort by (_time desc) offset … limit …`",
		"text is searched, case-sensitively, in each field of text by name, since it has no search over all fields; Daybook ignores case",
		"an export comes in any order, which is its fastest; Daybook's comes oldest first",
	}
}

func (victoriaLogs) Args(data, addr string) []string {
	return []string{"-storageDataPath=" + data, "-httpListenAddr=" + addr, "-loggerLevel=WARN", "-search.maxQueryDuration=5m"}
}

func (victoriaLogs) Ready() string  { return "/health" }
func (victoriaLogs) Stream() string { return "" }

func (victoriaLogs) Publish() string {
	return "/insert/jsonline?_time_field=timestamp&_msg_field=action&_stream_fields=source"
}

func (victoriaLogs) Compact(ctx context.Context, s *server) error {
	resp, err := s.get(ctx, "/internal/force_merge", nil, nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	for {
		m, err := bench.Settle(ctx, s.url)
		if err != nil || m["vl_active_force_merges"] == 0 {
			return err
		}
	}
}

// textFields are those of the generated events whose values Daybook's text
// search looks at.
var textFields = []string{"user_id", "_msg", "resource", "tenant_id", "outcome", "operation", "source", "source_ip", "request_id",
	"labels.region", "metadata.http.method"}

// fieldName returns what VictoriaLogs calls a field of the event.
func fieldName(field string) string {
	if field == "action" {
		return "_msg"
	}
	return field
}

func (victoriaLogs) Ask(ctx context.Context, s *server, q query) (*http.Response, error) {
	params := url.Values{}
	if q.Kind == page && q.Skip == 0 || q.Kind == one {
		params.Set("limit", strconv.Itoa(q.Limit))
	}
	params.Set("query", logsQL(q))
	return s.get(ctx, "/select/logsql/query", params, nil)
}

// logsQL writes the query in VictoriaLogs' language.
func logsQL(q query) string {
	var terms []string
	if !q.From.IsZero() {
		terms = append(terms, "_time:>="+q.From.Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		terms = append(terms, "_time:<"+q.To.Format(time.RFC3339Nano))
	}
	for _, t := range q.Where {
		if t.Field != "" {
			terms = append(terms, fmt.Sprintf("%s:=%q", fieldName(t.Field), t.Value))
			continue
		}
		var fields []string
		for _, f := range textFields {
			fields = append(fields, fmt.Sprintf("%s:%q", f, t.Value))
		}
		terms = append(terms, "("+strings.Join(fields, " or ")+")")
	}
	if len(terms) == 0 {
		terms = []string{"*"}
	}
	text := strings.Join(terms, " ")
	switch q.Kind {
	case page:
		if q.Skip > 0 {
			text += fmt.Sprintf(" | sort by (_time desc) offset %d limit %d", q.Skip, q.Limit)
		}
	case total:
		text += " | stats count() n"
	case counts:
		text += fmt.Sprintf(" | stats by (%s) count() n", fieldName(q.By))
	case hours:
		text += " | stats by (_time:1h) count() n"
	case top:
		text += fmt.Sprintf(" | top %d by (%s) hits as n", q.Limit, fieldName(q.By))
	}
	return text
}

func (victoriaLogs) Answer(q query, body []byte) ([]string, error) {
	if q.Kind == page || q.Kind == one {
		return eventIDs(body)
	}
	var out []string
	for line := range bytes.Lines(body) {
		var row map[string]string
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("%w: %.200q", err, line)
		}
		n, err := strconv.ParseInt(row["n"], 10, 64)
		if err != nil {
			return nil, err
		}
		switch q.Kind {
		case total:
			return []string{row["n"]}, nil
		case hours:
			out = append(out, group(row["_time"], n))
		default:
			out = append(out, group(row[fieldName(q.By)], n))
		}
	}
	return ordered(q, out), nil
}
