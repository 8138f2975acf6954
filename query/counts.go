package query

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// Limits of a count's groups.
const (
	DefaultTop = 10
	MaxTop     = 1000

	// MaxCells bounds what a count by time and by value may return, buckets times
	// top. Each takes about 200 bytes on its way from the store to the client.
	MaxCells = 250_000
)

// autoBuckets is the most buckets that interval=auto gives: as many bars as a
// chart of a page's width shows well.
const autoBuckets = 100

// Counts asks how many events match, by time, by value, or both.
type Counts struct {
	Criteria
	Interval time.Duration    // width of the time buckets; 0: none, unless Auto
	Auto     bool             // choose the width
	By       *filter.Selector // what to group by; nil: nothing
	Top      int              // how many groups
}

// Counts reads the parameters of a count: those of [Params.Criteria], interval,
// by and top.
func (p *Params) Counts(now time.Time) *Counts {
	c := &Counts{Criteria: p.Criteria(now)}
	switch v, ok := p.Text("interval"); {
	case !ok:
	case v == "auto":
		c.Auto = true
	default:
		d, err := parseDuration(v)
		if err != nil || d < time.Millisecond {
			p.Fail("interval", v, "must be auto or a width of at least 1ms, such as 30s, 5m, 1h, 1d or 1w")
		}
		c.Interval = d
	}
	if v, ok := p.Text("by"); ok {
		sel, err := filter.ParseSelector(v)
		if err != nil {
			p.Fail("by", v, "%v", err)
		}
		c.By = &sel
	}
	c.Top = p.Int("top", DefaultTop, 1, MaxTop)
	if _, ok := p.values["top"]; ok && c.By == nil {
		p.Fail("top", first(p.values["top"]), "says how many groups to return and needs by, such as by=action")
	}
	return c
}

// CountsAnswer answers a [Counts].
type CountsAnswer struct {
	*store.Counts
	// Interval is the width of the buckets; 0: none were asked for.
	Interval time.Duration
	// Range is what the buckets span: the range asked for, and where that is
	// open, the range of the events that matched. Zero without buckets and
	// where nothing can match.
	Range store.Range
}

// Counts counts.
func (v *View) Counts(ctx context.Context, c *Counts) (*CountsAnswer, error) {
	seen, err := v.events.see(c.Filter)
	if err == nil {
		err = v.events.seesBy(c.By) // before anything is looked for: the answer does not hang on what there is
	}
	if err != nil {
		return nil, err
	}
	answer := new(CountsAnswer)
	err = v.run(ctx, c.Fresh, func(ctx context.Context) (err error) {
		q := store.Count{Range: c.tight(), Until: v.store.Visible().Clone(), By: c.By, Top: c.Top}
		if c.Auto || c.Interval > 0 {
			answer.Range, err = v.extent(ctx, seen, q)
			if err != nil {
				return err
			}
			if answer.Range == (store.Range{}) {
				answer.Counts = new(store.Counts)
				return nil
			}
			if q.Bucket, err = c.width(answer.Range); err != nil {
				return err
			}
			answer.Interval = q.Bucket
		}
		answer.Counts, err = v.events.count(ctx, seen, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// extent returns the range that q's buckets will span. An open end is taken from
// the oldest or newest event that matches; the zero Range says that none does.
func (v *View) extent(ctx context.Context, seen restricted, q store.Count) (store.Range, error) {
	r := q.Range
	switch {
	case r.From >= r.To:
		return store.Range{}, nil
	case bounded(r):
		return r, nil
	}
	edge := func(order store.Order) (at int64, found bool, err error) {
		scan := store.Scan{Range: q.Range, Until: q.Until, Order: order, Limit: 1, Fields: event.Fields(event.Timestamp)}
		err = v.events.scan(ctx, seen, scan, func(ev *event.Event) bool {
			at, found = ev.Timestamp, true
			return false
		})
		return at, found, err
	}
	if r.From == math.MinInt64 {
		oldest, found, err := edge(store.OldestFirst)
		if err != nil || !found {
			return store.Range{}, err
		}
		r.From = oldest
	}
	if r.To == math.MaxInt64 {
		newest, found, err := edge(store.NewestFirst)
		if err != nil || !found {
			return store.Range{}, err
		}
		r.To = newest + 1
	}
	return r, nil
}

// width returns the width of the buckets over r.
func (c *Counts) width(r store.Range) (time.Duration, error) {
	if c.Auto {
		return autoWidth(r), nil // autoBuckets × MaxTop is less than MaxCells
	}
	n := buckets(r, c.Interval)
	if n > store.MaxBuckets {
		return 0, ParamErrors{{Param: "interval", Value: c.Interval.String(), Reason: fmt.Sprintf(
			"gives %d buckets from %s to %s, at most %d are returned; take a wider interval (auto would be %s) or a shorter range",
			n, stamp(r.From), stamp(r.To), store.MaxBuckets, FormatInterval(autoWidth(r)))}}
	}
	if c.By != nil && n*int64(c.Top) > MaxCells {
		return 0, ParamErrors{{Param: "top", Value: strconv.Itoa(c.Top), Reason: fmt.Sprintf(
			"gives %d groups of %d buckets, together at most %d buckets are returned; take at most top=%d or a wider interval",
			c.Top, n, MaxCells, MaxCells/n)}}
	}
	return c.Interval, nil
}

// buckets returns how many buckets of a width, aligned to the Unix epoch, r touches.
func buckets(r store.Range, width time.Duration) int64 {
	if r.From >= r.To {
		return 0
	}
	return floorDiv(r.To-1, int64(width)) - floorDiv(r.From, int64(width)) + 1
}

// floorDiv divides rounding down, also before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

const day = 24 * time.Hour

// widths are what interval=auto chooses from: what people read times by.
var widths = []time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day, 10 * 365 * day,
}

// autoWidth returns the narrowest of widths that gives at most autoBuckets. The
// widest, 10 years, does so for every range: ns since the epoch in 64 bits reach
// from 1677 to 2262.
func autoWidth(r store.Range) time.Duration {
	for _, w := range widths {
		if buckets(r, w) <= autoBuckets {
			return w
		}
	}
	return widths[len(widths)-1]
}

// FormatInterval writes a width the way the interval parameter reads it, in the
// largest unit that divides it: 90s, 5m, 1h, 7d.
func FormatInterval(d time.Duration) string {
	units := []struct {
		suffix string
		length time.Duration
	}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
	for _, u := range units {
		if d >= u.length && d%u.length == 0 {
			return fmt.Sprintf("%d%s", d/u.length, u.suffix)
		}
	}
	return d.String()
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
