package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
)

// countsBody is the answer of GET /v1/counts. What was not asked for is left out.
type countsBody struct {
	Total    int64         `json:"total"`
	Interval string        `json:"interval,omitempty"` // width of the buckets
	From     string        `json:"from,omitempty"`     // what the buckets span
	To       string        `json:"to,omitempty"`
	Buckets  *[]bucketBody `json:"buckets,omitempty"`
	By       string        `json:"by,omitempty"`
	Groups   *[]groupBody  `json:"groups,omitempty"`
	Other    *int64        `json:"other,omitempty"`  // events in groups beyond top
	Values   *int64        `json:"values,omitempty"` // groups there are
}

type bucketBody struct {
	Start string `json:"start"`
	Count int64  `json:"count"`
}

type groupBody struct {
	Value   string        `json:"value"`
	Count   int64         `json:"count"`
	Buckets *[]bucketBody `json:"buckets,omitempty"`
}

// counts answers GET /v1/counts.
func (a *API) counts(w http.ResponseWriter, r *http.Request) {
	v, p, err := a.asked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	c := p.Counts(time.Now())
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	a.noteSearch(r, c.Filter)
	counts, err := v.Counts(r.Context(), c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body, err := json.Marshal(newCountsBody(c, counts))
	a.sendJSON(w, r, body, err)
}

func newCountsBody(c *query.Counts, counts *query.CountsAnswer) countsBody {
	body := countsBody{Total: counts.Total}
	timed := c.Auto || c.Interval > 0
	if timed {
		body.Buckets = bucketBodies(counts.Buckets)
	}
	if counts.Interval > 0 {
		body.Interval = query.FormatInterval(counts.Interval)
		body.From, body.To = timestamp(counts.Range.From), timestamp(counts.Range.To)
	}
	if c.By == nil {
		return body
	}
	groups := make([]groupBody, len(counts.Groups))
	for i, g := range counts.Groups {
		groups[i] = groupBody{Value: g.Value, Count: g.Count}
		if timed {
			groups[i].Buckets = bucketBodies(g.Buckets)
		}
	}
	body.By, body.Groups, body.Other, body.Values = c.By.String(), &groups, &counts.Other, &counts.Values
	return body
}

func bucketBodies(buckets []store.Bucket) *[]bucketBody {
	bodies := make([]bucketBody, len(buckets))
	for i, b := range buckets {
		bodies[i] = bucketBody{timestamp(b.Start), b.Count}
	}
	return &bodies
}

// timestamp writes ns since the epoch as an event's timestamp is written.
func timestamp(ns int64) string { return string(event.AppendTime(nil, ns)) }
