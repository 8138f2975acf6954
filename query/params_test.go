package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/query"
)

// What each endpoint refuses, and what it says about it.
func TestParamFaults(t *testing.T) {
	search := func(p *query.Params) { p.Search(epoch); p.Fields("fields") }
	counts := func(p *query.Params) { p.Counts(epoch) }
	tail := func(p *query.Params) { p.Tail(epoch, "") }
	tests := []struct {
		read   func(*query.Params)
		given  string
		param  string
		reason string // part of it
	}{
		{search, "limit=0", "limit", "whole number from 1 to 10000"},
		{search, "limit=-1", "limit", "whole number from 1 to 10000"},
		{search, "limit=10001", "limit", "whole number from 1 to 10000"},
		{search, "limit=99999999999999999999", "limit", "whole number from 1 to 10000"},
		{search, "limit=ten", "limit", "whole number from 1 to 10000"},
		{search, "limit=", "limit", "is empty"},
		{search, "limit=1&limit=2", "limit", "given 2 times"},
		{search, "user_id=a&user_id=b", "user_id", "q=user_id:(a or b)"},
		{search, "user_id=", "user_id", "is empty"},
		{search, "user_id=%ff", "user_id", "is not UTF-8"},
		{search, "order=%ff", "order", "is not UTF-8"},
		{search, "order=up", "order", "must be newest or oldest"},
		{search, "order=newst", "order", "did you mean newest?"},
		{search, "userid=alice", "userid", "did you mean user_id?"},
		{search, "userId=alice", "userId", "did you mean user_id?"},
		{search, "acton=x", "acton", "did you mean action?"},
		{search, "form=2026-11-01", "form", "did you mean from?"},
		{search, "banana=1", "banana", "no such parameter"},
		{search, "interval=1h", "interval", "no such parameter"},
		{search, "metadata=x", "metadata", "no such parameter"},
		{search, "nothing.env=prod", "nothing.env", "no such"},
		{search, "from=yesterday", "from", "a time is a date"},
		{search, `from=2026 or user_id:x`, "from", "a time is a date"},
		{search, "from=2026..2027", "from", "a time is a date"},
		{search, "from=2026-11-02&to=2026-11-01", "from", "must lie before to"},
		{search, "from=2026-11-02T10:00:00Z&to=2026-11-02T10:00:00Z", "from", "must lie before to"},
		{search, "from=2026-11-02&to=2026-11-02", "from", "the day after"},
		{search, "from=1000-01-01", "from", "outside the years"},
		{search, "source_ip=localhost", "source_ip", "takes an address"},
		{search, "from=2026 ", "from", "a time is a date"},
		{search, "event_id=42", "event_id", "UUID"},
		{search, "fields=user_id,usr", "fields", "no event field is called that"},
		{search, "fields=user_id,acton", "fields", "did you mean action?"},
		{search, "fields=labels.env", "fields", "whole: labels"},
		{search, "fields=", "fields", "is empty"},
		{search, "cursor=", "cursor", "is empty"},
		{search, "cursor=abc", "cursor", "is not a cursor"},
		{search, "after_position=7", "after_position", "partition:offset"},
		{search, "after_position=0:-1", "after_position", "partition:offset"},
		{search, "after_position=0:9223372036854775807", "after_position", "partition:offset"},
		{search, "after_position=2000000000:1", "after_position", "numbered 0 to 65535"},
		{search, "after_position=0:1,0:2", "after_position", "named twice"},
		{search, "wait=soon", "wait", "such as 5s"},
		{search, "wait=-5s", "wait", "such as 5s"},
		{counts, "interval=0s", "interval", "at least 1ms"},
		{counts, "interval=-1h", "interval", "at least 1ms"},
		{counts, "interval=often", "interval", "must be auto or a width"},
		{counts, "interval=9999999d", "interval", "must be auto or a width"},
		{counts, "by=acton", "by", "action"},
		{counts, "by=action&top=0", "top", "from 1 to 1000"},
		{counts, "top=5", "top", "needs by"},
		{counts, "limit=5", "limit", "no such parameter"},
		{tail, "since=yesterday", "since", "must be now, beginning or a time"},
		{tail, "from=2026", "from", "no such parameter"},
		{tail, "last_event_id=x", "last_event_id", "partition:offset"},
		{tail, "last_event_id=4000000000:1", "last_event_id", "numbered 0 to 65535"},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			p := params(t, strings.ReplaceAll(tt.given, " ", "+"))
			tt.read(p)
			var faults query.ParamErrors
			if !errors.As(p.Err(), &faults) {
				t.Fatalf("accepted")
			}
			if len(faults) != 1 {
				t.Errorf("%d faults: %v", len(faults), faults)
			}
			if strings.HasPrefix(faults[0].Reason, tt.param+": ") {
				t.Errorf("%s names the parameter twice", faults[0])
			}
			if f := faults[0]; f.Param != tt.param || !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("got %s: %s\nwant %s: … %s …", f.Param, f.Reason, tt.param, tt.reason)
			}
		})
	}
}

// A request full of faults does not get an answer many times its size, and one
// fault is reported once, however often the parameter is read.
func TestFaultsAreBounded(t *testing.T) {
	var unknown, paths, fields strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&unknown, "unknown%d=1&", n)
		fmt.Fprintf(&paths, "nothing.at%d=1&", n)
		fmt.Fprintf(&fields, "unknown%d,", n)
	}
	tests := []struct {
		name, given string
		faults      int
	}{
		{"unknown parameters", unknown.String(), 32},
		{"unknown paths", paths.String(), 32},
		{"unknown fields", "fields=" + fields.String(), 32},
		{"a name of 60 KB", strings.Repeat("a", 60_000) + "=1", 1},
		{"asked for twice", "order=", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := params(t, strings.TrimSuffix(tt.given, "&"))
			p.Search(epoch)
			p.Fields("fields")
			p.Text("order")
			var faults query.ParamErrors
			if !errors.As(p.Err(), &faults) || len(faults) != tt.faults {
				t.Fatalf("%d faults, want %d", len(faults), tt.faults)
			}
			if n := len(faults.Error()); n > tt.faults*1000 {
				t.Errorf("they take %d bytes", n)
			}
		})
	}
}

func TestFilterFaultPointsAtColumn(t *testing.T) {
	p := params(t, "q=user_id:alice+and+(action:x")
	p.Search(epoch)
	var faults query.ParamErrors
	if !errors.As(p.Err(), &faults) || len(faults) != 1 {
		t.Fatal("accepted")
	}
	if f := faults[0]; f.Param != "q" || f.Column != 19 || f.Token != "(" {
		t.Errorf("got column %d, token %q: %s", f.Column, f.Token, f.Reason)
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	p := params(t, "limit=0&order=up&acton=x&q=(")
	p.Search(epoch)
	var faults query.ParamErrors
	if !errors.As(p.Err(), &faults) || len(faults) != 4 {
		t.Errorf("got %v, want four faults", p.Err())
	}
}

func TestPlainParameters(t *testing.T) {
	tests := []struct{ given, filter, from, to string }{
		{"", "*", "", ""},
		{"q=", "*", "", ""},
		{"user_id=alice", "user_id:alice", "", ""},
		{"user_id=a+b&q=outcome:denied", `outcome:denied user_id:"a b"`, "", ""},
		{"q=action:login+or+action:logout&user_id=alice", "action:(login or logout) user_id:alice", "", ""},
		{"action=document.*", `action:"document.*"`, "", ""}, // plain parameters are literal
		{"resource_type=document", "resource_type:document", "", ""},
		{"labels.env=prod&metadata.order.id=7", "labels.env:prod metadata.order.id:7", "", ""},
		{"source_ip=10.0.0.0/8", "source_ip:10.0.0.0/8", "", ""},
		{"from=2026-11-01&to=2026-12-01", "*", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"from=2026-11&to=2027", "*", "2026-11-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"from=2026-11-01T10:00:00Z&to=2026-11-01T11:00:00Z", "*", "2026-11-01T10:00:00Z", "2026-11-01T11:00:00Z"},
		{"from=-1h&to=now", "*", "2026-10-31T23:00:00Z", "2026-11-01T00:00:00Z"},
		{"from=1793491200000", "*", "2026-11-01T00:00:00Z", ""},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			p := params(t, tt.given)
			c := p.Criteria(epoch)
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			if got := c.Filter.String(); got != tt.filter {
				t.Errorf("filter %s, want %s", got, tt.filter)
			}
			stamp := func(ns int64) string {
				if ns == -1<<63 || ns == 1<<63-1 {
					return ""
				}
				return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
			}
			if from, to := stamp(c.Range.From), stamp(c.Range.To); from != tt.from || to != tt.to {
				t.Errorf("range %s to %s, want %s to %s", from, to, tt.from, tt.to)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	for _, text := range []string{"0:0", "0:124", "2:7", "0:124,2:7"} {
		ps, err := query.ParsePositions(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := query.FormatPositions(ps); got != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
}
