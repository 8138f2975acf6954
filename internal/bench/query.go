package bench

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/internal/client"
)

// queryCase is one query that is measured. ask is given the number of the run,
// so that runs can differ where one answer would only measure a cache.
type queryCase struct {
	name string
	ask  func(ctx context.Context, run int) error
}

func runQueries(ctx context.Context, o Options, cl *client.Client, samples []Sample) ([]Query, error) {
	o.Log("running each query %d times", o.Queries)
	var out []Query
	for _, c := range queryCases(cl, samples) {
		var lat Latencies
		var first time.Duration
		for run := range o.Queries + 1 {
			start := time.Now()
			if err := c.ask(ctx, run); err != nil {
				return nil, fmt.Errorf("query %q: %w", c.name, err)
			}
			if took := time.Since(start); run == 0 {
				first = took
			} else {
				lat.Add(took)
			}
		}
		out = append(out, Query{Name: c.name, First: float64(first.Microseconds()) / 1000, Latency: lat.Summary()})
	}
	return out, nil
}

func queryCases(cl *client.Client, samples []Sample) []queryCase {
	search := func(params url.Values, atLeast int) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			page, err := cl.Search(ctx, params)
			if err == nil && len(page.Events) < atLeast {
				err = fmt.Errorf("%d events came; at least %d should", len(page.Events), atLeast)
			}
			return err
		}
	}
	count := func(params url.Values) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			_, err := cl.Count(ctx, params)
			return err
		}
	}
	cases := []queryCase{
		{"page of 100, everything, newest first", search(url.Values{"limit": {"100"}}, 1)},
		{"page of 100 for one user of middling rank", search(url.Values{"q": {"user_id:" + User(500)}, "limit": {"100"}}, 1)},
		{"page of 100 for one rare user", search(url.Values{"q": {"user_id:" + User(9000)}, "limit": {"100"}}, 0)},
		{"text that one resource has", search(url.Values{"q": {`"invoice/4242"`}, "limit": {"50"}}, 0)},
		{"text that nothing has", search(url.Values{"q": {`"no such words"`}}, 0)},
		{"failures of one action", search(url.Values{"q": {"action:document.delete outcome:failure"}, "limit": {"100"}}, 0)},
		{"count by action over everything", count(url.Values{"by": {"action"}})},
		{"count over time, auto buckets", count(url.Values{"interval": {"auto"}})},
		{"count by user of denials, over time", count(url.Values{"q": {"outcome:denied"}, "by": {"user_id"}, "interval": {"auto"}})},
	}
	if len(samples) > 0 {
		at := samples[len(samples)/2].Timestamp
		cases = append(cases,
			queryCase{"one event by event_id", func(ctx context.Context, run int) error {
				_, err := cl.Get(ctx, samples[(run*7919)%len(samples)].EventID)
				return err
			}},
			queryCase{"page of 100 in a second of time", search(url.Values{
				"from": {at.Format(time.RFC3339Nano)}, "to": {at.Add(time.Second).Format(time.RFC3339Nano)}, "limit": {"100"}}, 1)})
	}
	return append(cases, deepPages(cl))
}

// deepPages turns one page of a thousand a run, each from where the last ended.
func deepPages(cl *client.Client) queryCase {
	params := url.Values{"limit": {strconv.Itoa(1000)}}
	return queryCase{"next page of 1,000, ever deeper", func(ctx context.Context, _ int) error {
		page, err := cl.Search(ctx, params)
		if err == nil {
			params.Set("cursor", page.NextCursor)
			if page.NextCursor == "" {
				params.Del("cursor")
			}
		}
		return err
	}}
}
