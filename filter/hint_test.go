package filter

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
)

func TestTimeRange(t *testing.T) {
	day := func(s string) int64 { return at(s + "T00:00:00Z") }
	const lowest, highest = math.MinInt64 + 1, math.MaxInt64
	for _, tt := range []struct {
		query    string
		from, to int64
	}{
		{``, math.MinInt64, highest},
		{`user_id:alice`, math.MinInt64, highest},
		{`timestamp:*`, lowest, highest},
		{`timestamp:2026-11-01`, day("2026-11-01"), day("2026-11-02")},
		{`timestamp:2026-11-01..2026-11-30`, day("2026-11-01"), day("2026-12-01")},
		{`timestamp:>=2026-11-01 timestamp:<2026-11-03 user_id:alice`, day("2026-11-01"), day("2026-11-03")},
		{`timestamp:2026-11-01 or timestamp:2026-11-05`, day("2026-11-01"), day("2026-11-06")},
		{`timestamp:2026-11-01 user_id:a or timestamp:2026-11-05 user_id:b`, day("2026-11-01"), day("2026-11-06")},
		{`timestamp:2026-11-01 or user_id:alice`, math.MinInt64, highest},
		{`timestamp:2026-11-01 timestamp:2026-11-05`, 0, 0},
		{`timestamp:2026-11-01 timestamp:2026-11-05 or timestamp:2026-11-07`, day("2026-11-07"), day("2026-11-08")},
		{`-timestamp:<2026-11-01`, day("2026-11-01"), highest},
		{`-timestamp:>=2026-11-01`, math.MinInt64, day("2026-11-01")},
		{`-timestamp:2026-11-01`, math.MinInt64, highest},
		{`-*`, 0, 0},
		{`received_at:2026-11-01`, math.MinInt64, highest},
	} {
		x, err := Parse(tt.query)
		if err != nil {
			t.Fatal(tt.query, err)
		}
		if from, to := TimeRange(x); from != tt.from || to != tt.to {
			t.Errorf("%s: %d to %d, want %d to %d", tt.query, from, to, tt.from, tt.to)
		}
	}
}

func TestSpan(t *testing.T) {
	now := time.Unix(0, at("2026-11-24T12:00:00Z"))
	for _, tt := range []struct{ text, from, to string }{
		{"2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-11-24", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"2026-11-24T10:30+01:00", "2026-11-24T09:30:00Z", "2026-11-24T09:31:00Z"},
		{"1795514400000", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00.001Z"},
		{"-1h", "2026-11-24T11:00:00Z", "2026-11-24T11:00:00.000000001Z"},
		{"now", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000000001Z"},
	} {
		if from, to, err := Span(tt.text, now); err != nil || from != at(tt.from) || to != at(tt.to) {
			t.Errorf("%s: %d to %d (%v), want %d to %d", tt.text, from, to, err, at(tt.from), at(tt.to))
		}
	}
	for _, text := range []string{"", "*", "yesterday", "2026-11-01..2026-11-02", ">=2026", "2026-13", "1600", `"2026"`, "2026 or *"} {
		if from, to, err := Span(text, now); err == nil {
			t.Errorf("%q is taken for %d to %d", text, from, to)
		}
	}
}

func TestTermHints(t *testing.T) {
	for _, tt := range []struct {
		query, exact, prefix, contains string
	}{
		{`user_id:alice`, `[alice]`, "alice", "alice"},
		{`user_id:(alice or alina or alice)`, `[alice alina]`, "ali", "ali"},
		{`user_id:(alice or bob)`, `[alice bob]`, "", ""},
		{`user_id:(alice or al*)`, ``, "al", "al"},
		{`user_id:a*lexander`, ``, "a", "lexander"},
		{`user_id:*`, ``, "", ""},
		{`user_id:alice..alina`, ``, "ali", ""},
		{`user_id:>alice`, ``, "", ""},
		{`resource_type:document`, ``, "document", "document"},
		{`source_ip:10.1.0.0/16`, ``, "", "10.1."},
		{`source_ip:10.0.0.0/12`, ``, "", "10."},
		{`source_ip:10.0.0.1/32`, `[10.0.0.1 ::ffff:10.0.0.1]`, "", "10.0.0.1"},
		{`source_ip:2001:db8::/32`, ``, "", ""},
		{`event_id:0198*`, ``, "0198", "0198"},
		{`event_id:0199AAAA-0000-4000-8000-000000000005`, `[0199aaaa-0000-4000-8000-000000000005]`, "0199aaaa-0000-4000-8000-000000000005", "0199aaaa-0000-4000-8000-000000000005"},
		{`timestamp:2026`, ``, "", ""},
		{`labels.env:prod`, ``, "", `"env":"prod"`},
		{`labels.env:(prod or dev)`, ``, "", `"env":`},
		{`labels.env:true`, ``, "", `"env":`},
		{`metadata.order.customer:bob`, ``, "", `"bob"`},
		{`metadata.order.customer:x`, ``, "", `customer":`},
		{`metadata.order.total:100`, ``, "", `total":`},
		{`metadata.order."to\"tal":100`, ``, "", `"to\"tal":`},
		{`metadata.m:"a\nb"`, ``, "", `"a\nb"`},
		{`metadata.m:x*needle*y`, ``, "", `needle`},
		{`metadata:*`, ``, "", ``},
	} {
		x, err := Parse(tt.query)
		if err != nil {
			t.Fatal(tt.query, err)
		}
		term := x.(*Term)
		exact := ""
		if e, ok := term.Exact(); ok {
			exact = fmt.Sprint(e)
		}
		if exact != tt.exact || term.Prefix() != tt.prefix || term.Contains() != tt.contains {
			t.Errorf("%s: Exact %s Prefix %q Contains %q, want %s %q %q", tt.query,
				exact, term.Prefix(), term.Contains(), tt.exact, tt.prefix, tt.contains)
		}
	}
}

// TestMayMatch: a piece made of several texts may match if one of them does.
func TestMayMatch(t *testing.T) {
	for _, tt := range []struct {
		query, piece string
		field        event.Field
		want         bool
	}{
		{`"needle"`, "haystackNEEDLEhay", event.Reason, true},
		{`"needle"`, "haystacknedlehay", event.Reason, false},
		{`"a\"b"`, `{"k":"xa\"b"}{"k":1}`, event.Metadata, true},
		{`"a\"b"`, `{"k":"xa"}{"k":"b"}`, event.Metadata, false},
		{`"größe"`, "GRÖSSEGRÖßE", event.Reason, true},
		{`"x"`, "", event.Reason, false},
	} {
		x, err := Parse(tt.query)
		if err != nil {
			t.Fatal(tt.query, err)
		}
		if got := x.(*Text).MayMatch(tt.field, tt.piece); got != tt.want {
			t.Errorf("%s in %s: %t, want %t", tt.query, tt.piece, got, tt.want)
		}
	}
}
