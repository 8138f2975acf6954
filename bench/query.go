package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
)

// query is one thing to ask, in the terms of the events as they were sent.
type query struct {
	Kind     kind
	Where    []term    // all of them must be met
	From, To time.Time // From ≤ timestamp < To; zero: open
	Skip     int       // page: so many events before it
	Limit    int       // page, top: at most so many
	By       string    // counts, top: the field to group by
	Want     []string  // the answer, where the events that were sent tell it
}

// kind is the form of an answer.
type kind int

const (
	page   kind = iota // the newest events: their identities
	one                // the event with the identity in Where
	export             // all events, oldest first where the program can; how many there were
	total              // how many
	counts             // how many of each value
	top                // how many of the most frequent values
	hours              // how many in each hour
)

// term is met by an event whose field has the value; with no field, by one that
// has the value as a word or phrase in any field of text.
type term struct{ Field, Value string }

// question is what a row of the table is about. Where it has several queries,
// they are asked in turn, so that no cache of answers is measured.
type question struct {
	name    string
	queries []query
}

// many is how many different events or users are looked for.
const many = 20

// questions returns what is asked of n events, of which event i happened at(i);
// samples are some of them.
func questions(n int, at func(int) time.Time, samples []bench.Sample) []question {
	each := func(q func(i int) query) (out []query) {
		for i := range many {
			out = append(out, q(i))
		}
		return out
	}
	where := func(field string, value func(i int) string) []query {
		return each(func(i int) query {
			return query{Kind: page, Limit: 100, From: at(0), To: at(n), Where: []term{{field, value(i)}}}
		})
	}
	needle := func(k kind, field string, value func(s bench.Sample) string) []query {
		return each(func(i int) query {
			s := samples[(i*2+1)*len(samples)/(2*many)]
			return query{Kind: k, Limit: 100, From: at(0), To: at(n), Where: []term{{field, value(s)}}, Want: []string{s.EventID}}
		})
	}
	nothing := func(format string) []query {
		return each(func(i int) query {
			return query{Kind: page, Limit: 100, From: at(0), To: at(n), Where: []term{{"", fmt.Sprintf(format, 0x5bd1e995*(i+1))}}, Want: []string{}}
		})
	}
	user := func(rank int) func(int) string { return func(i int) string { return bench.User(rank + i) } }
	requestID := func(s bench.Sample) string { return s.RequestID }
	depth := min(n/2, 1_000_000)
	all := query{Kind: page, Limit: 100, From: at(0), To: at(n)}
	return []question{
		{"needle: one event by its event_id", needle(one, "event_id", func(s bench.Sample) string { return s.EventID })},
		{"needle: one event by its request_id", needle(page, "request_id", requestID)},
		{"needle: newest 100 of a rare user", where("user_id", user(9000))},
		{"newest 100 of a middling user", where("user_id", user(500))},
		{"newest 100 of everything", []query{all}},
		{"newest 100 of 1 % of the time", []query{{Kind: page, Limit: 100, From: at(n / 2), To: at(n/2 + n/100)}}},
		{"text: a word that one event has", needle(page, "", requestID)},
		{"text: a phrase that a few have", where("", func(i int) string { return fmt.Sprintf("document/%d", 42420+i) })},
		{"text: words that nothing has", nothing("no such words %d")},
		{"text: an identity that nothing has", nothing("%016x")},
		{"count: everything by action", []query{{Kind: counts, By: "action"}}},
		{"count: everything by hour", []query{{Kind: hours}}},
		{"count: denials by hour", []query{{Kind: hours, Where: []term{{"outcome", "denied"}}}}},
		{"count: top 10 users of denials", []query{{Kind: top, By: "user_id", Limit: 10, Where: []term{{"outcome", "denied"}}}}},
		{"count: top 10 users of everything", []query{{Kind: top, By: "user_id", Limit: 10}}},
		{fmt.Sprintf("deep page: 100 from a time %d events deep", depth), []query{{Kind: page, Limit: 100, From: at(0), To: at(n - depth)}}},
		{fmt.Sprintf("deep page: 100 after skipping %d", depth), []query{{Kind: page, Limit: 100, From: at(0), To: at(n), Skip: depth}}},
		{"export: all of one tenant", []query{{Kind: export, Where: []term{{"tenant_id", "tenant-7"}}}}},
	}
}

// eventIDs reads the identities of events, one JSON object a line. It sorts
// them: which events are on a page is the same everywhere, their order is not.
func eventIDs(body []byte) ([]string, error) {
	ids := []string{}
	for line := range bytes.Lines(body) {
		var ev struct {
			EventID string `json:"event_id"`
		}
		if err := json.Unmarshal(line, &ev); err != nil {
			return nil, fmt.Errorf("%w: %.200q", err, line)
		}
		if ev.EventID == "" {
			return nil, errors.New("an event came without its event_id")
		}
		ids = append(ids, ev.EventID)
	}
	slices.Sort(ids)
	return ids, nil
}

// group writes a value and how many have it.
func group(value string, n int64) string { return fmt.Sprintf("%s %d", value, n) }

// ordered puts the groups of an answer into an order that does not depend on the
// program. Which of equally frequent values are in the top is open, so there
// only the counts are kept.
func ordered(q query, groups []string) []string {
	if q.Kind == top {
		for i, g := range groups {
			groups[i] = g[strings.LastIndexByte(g, ' ')+1:]
		}
	}
	slices.Sort(groups)
	return groups
}
