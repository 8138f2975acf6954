package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
)

func TestCounts(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 120)...) // two minutes
	e := newEngine(mem)
	tests := []struct{ given, want string }{
		{"", "120"},
		{"user_id=user-0", "40"},
		{"user_id=nobody", "0"},
		{"by=action", "120 document.read=60 document.update=60 of 2"},
		{"by=user_id&top=1", "120 user-0=40 other=80 of 3"},
		{"by=labels.env", "120 =120 of 1"},
		{"interval=1m", "120 every 1m 00:00:00=60 00:01:00=60"},
		{"interval=1m&from=2026-11-01T00:00:30Z", "90 every 1m 00:00:00=30 00:01:00=60"},
		{"interval=auto&from=2026-11-01&to=2026-11-02", "120 every 15m 00:00:00=120"},
		{"interval=auto&user_id=user-0&to=2026-11-01T00:00:04Z", "2 every 100ms 00:00:00=1 00:00:03=1"},
		{"interval=auto&user_id=nobody", "0"},
		{"interval=1h&from=2026-11-02&q=timestamp:<2026-11-01", "0"}, // no time is in both
		{"interval=1m&by=action", "120 every 1m 00:00:00=60 00:01:00=60 document.read=60[30 30] document.update=60[30 30] of 2"},
		{"interval=1ms&from=2026-11-01&to=2026-11-01T00:00:09Z", "9 every 1ms 00:00:00=1 00:00:01=1 00:00:02=1 00:00:03=1 00:00:04=1 00:00:05=1 00:00:06=1 00:00:07=1 00:00:08=1"},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			p := params(t, tt.given)
			c := p.Counts(epoch)
			if err := p.Err(); err != nil {
				t.Fatal(err)
			}
			counts, err := e.Counts(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(counts); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func describe(c *query.CountsAnswer) string {
	words := []string{fmt.Sprint(c.Total)}
	if c.Interval > 0 {
		words = append(words, "every "+query.FormatInterval(c.Interval))
	}
	for _, b := range c.Buckets {
		words = append(words, fmt.Sprintf("%s=%d", time.Unix(0, b.Start).UTC().Format(time.TimeOnly), b.Count))
	}
	for _, g := range c.Groups {
		word := fmt.Sprintf("%s=%d", g.Value, g.Count)
		var counts []int64
		for _, b := range g.Buckets {
			counts = append(counts, b.Count)
		}
		if counts != nil {
			word += fmt.Sprint(counts)
		}
		words = append(words, word)
	}
	if c.Other > 0 {
		words = append(words, fmt.Sprintf("other=%d", c.Other))
	}
	if c.Groups != nil {
		words = append(words, fmt.Sprintf("of %d", c.Values))
	}
	return strings.Join(words, " ")
}

func TestTooManyBucketsAreRefused(t *testing.T) {
	mem := querytest.New()
	mem.Publish(run(0, 120)...)
	for given, param := range map[string]string{
		"interval=1ms": "interval", "interval=1ms&from=2026-11-01": "interval", "interval=1s&from=2020&to=2026": "interval",
		"interval=10ms&by=user_id&top=1000&from=2026-11-01&to=2026-11-01T00:00:10Z": "top",
		"interval=10ms&by=user_id&top=251&from=2026-11-01&to=2026-11-01T00:00:10Z":  "top",
		"interval=10ms&by=user_id&top=250&from=2026-11-01&to=2026-11-01T00:00:10Z":  "",
		"interval=10ms&top=1000&by=user_id&from=2026-11-01&to=2026-11-01T00:00:02Z": "",
	} {
		p := params(t, given)
		c := p.Counts(epoch)
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		_, err := newEngine(mem).Counts(t.Context(), c)
		var faults query.ParamErrors
		if refused := errors.As(err, &faults); refused != (param != "") || (refused && faults[0].Param != param) {
			t.Errorf("%s: got %v, want a fault of %q", given, err, param)
		}
	}
}

func TestAutoIntervalGivesFewBuckets(t *testing.T) {
	for _, span := range []time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour, 90 * 24 * time.Hour, 10 * 365 * 24 * time.Hour, 1<<63 - 1} {
		mem := querytest.New()
		first, last := numbered(0), numbered(1)
		first.Timestamp, last.Timestamp = 0, int64(span)-1
		if span == 1<<63-1 {
			first.Timestamp = -1 << 62
		}
		mem.Publish(first, last)
		p := params(t, "interval=auto")
		counts, err := newEngine(mem).Counts(t.Context(), p.Counts(epoch))
		if err != nil {
			t.Fatal(err)
		}
		r := counts.Range
		n := float64(r.To-r.From) / float64(counts.Interval)
		if r.To < r.From { // wider than an int64
			n = (float64(r.To) - float64(r.From)) / float64(counts.Interval)
		}
		if n > 100 || counts.Total != 2 {
			t.Errorf("%v: %v gives about %.0f buckets over %v", span, counts.Interval, n, store.Range(r))
		}
	}
}
