package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-log/daybook/internal/client"
)

// Options says what to measure and how hard.
type Options struct {
	Server      string // URL of the server under test
	Events      int    // published in bulk
	Connections int    // for the bulk
	Batch       int    // events a request
	Receipts    bool   // ask for a receipt per event in bulk, too
	Publishers  int    // concurrent publishers of single events; 0: skip
	SinglesFor  time.Duration
	Rate        int // events/s that arrive while visibility is measured; 0: skip
	VisibleFor  time.Duration
	Queries     int // times each query runs; 0: skip
	Seed        uint64
	RandomIDs   bool                             // UUIDv4 identities, which do not rise with time
	Log         func(format string, args ...any) // tells what is going on

	addr string // host:port of Server
}

// Report is what was measured.
type Report struct {
	Shape       string   `json:"shape"`
	Connections int      `json:"connections"`
	Batch       int      `json:"batch"`
	Receipts    bool     `json:"receipts"`
	RandomIDs   bool     `json:"random_ids"`
	Bulk        *Bulk    `json:"bulk,omitempty"`
	Singles     *Singles `json:"singles,omitempty"`
	Visible     *Visible `json:"visible,omitempty"`
	Queries     []Query  `json:"queries,omitempty"`
	Memory      int64    `json:"resident_memory_bytes"`
	Total       int64    `json:"events_stored"`
}

// Bulk is the measurement of batches.
type Bulk struct {
	Events         int     `json:"events"`
	DurablePerSec  float64 `json:"durable_events_per_second"`    // until the last acknowledgement
	SearchPerSec   float64 `json:"searchable_events_per_second"` // until a count sees the last event
	CPUPerEvent    float64 `json:"server_cpu_us_per_event"`      // until everything is frozen to disk
	StreamPerEvent float64 `json:"stream_bytes_per_event"`
	StorePerEvent  float64 `json:"store_bytes_per_event"` // of events frozen so far
	Publish        Summary `json:"publish_latency"`       // of a request of Batch events
	PeakMemory     int64   `json:"resident_memory_peak_bytes"`
}

// Singles is the measurement of single events.
type Singles struct {
	Publishers    int     `json:"publishers"`
	DurablePerSec float64 `json:"durable_events_per_second"`
	Publish       Summary `json:"publish_latency"`
}

// Visible is how long an event takes from the start of its publishing to the
// live tail.
type Visible struct {
	Rate    int     `json:"events_per_second"`
	Latency Summary `json:"publish_to_visible_latency"`
}

// Query is the measurement of one query.
type Query struct {
	Name    string  `json:"name"`
	First   float64 `json:"first_ms"` // the first run, not among the others
	Latency Summary `json:"latency"`
}

// Run measures everything that o asks for.
func Run(ctx context.Context, o Options) (*Report, error) {
	u, err := url.Parse(o.Server)
	if err != nil {
		return nil, err
	}
	o.addr = u.Host
	if u.Scheme != "http" {
		return nil, fmt.Errorf("bench speaks plain HTTP to a server on this machine, not %s", o.Server)
	}
	cl, err := client.New(o.Server)
	if err != nil {
		return nil, err
	}
	r := &Report{Shape: Shape, Connections: o.Connections, Batch: o.Batch, Receipts: o.Receipts, RandomIDs: o.RandomIDs}
	var samples []Sample
	steps := []struct {
		on  bool
		run func() error
	}{
		{o.Events > 0, func() (err error) { r.Bulk, samples, err = runBulk(ctx, o, cl); return }},
		{o.Publishers > 0, func() (err error) { r.Singles, err = runSingles(ctx, o); return }},
		{o.Rate > 0, func() (err error) { r.Visible, err = runVisible(ctx, o, cl); return }},
		{o.Queries > 0, func() (err error) { r.Queries, err = runQueries(ctx, o, cl, samples); return }},
	}
	for _, s := range steps {
		if s.on {
			if err := s.run(); err != nil {
				return nil, err
			}
		}
	}
	m, err := scrape(ctx, o.Server)
	if err != nil {
		return nil, err
	}
	r.Memory = int64(m["process_resident_memory_bytes"])
	total, err := cl.Count(ctx, nil)
	if err != nil {
		return nil, err
	}
	r.Total = total.Total
	return r, nil
}

func runBulk(ctx context.Context, o Options, cl *client.Client) (*Bulk, []Sample, error) {
	o.Log("publishing %d events: %d connections, batches of %d", o.Events, o.Connections, o.Batch)
	before, err := scrape(ctx, o.Server)
	if err != nil {
		return nil, nil, err
	}
	base, err := cl.Count(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	watch, stop := context.WithCancel(ctx)
	peak := make(chan int64)
	go func() { peak <- watchMemory(watch, o.Server) }()
	load := Load{Addr: o.addr, Path: withoutReceipts, Events: o.Events, Connections: o.Connections, Batch: o.Batch,
		Seed: o.Seed, RandomIDs: o.RandomIDs}
	if o.Receipts {
		load.Path = withReceipts
	}
	start := time.Now()
	done, err := load.Run(ctx)
	stop()
	top := <-peak
	if err != nil {
		return nil, nil, err
	}
	after, err := cl.Count(ctx, nil)
	searchable := time.Since(start)
	if err != nil {
		return nil, nil, err
	}
	if got := after.Total - base.Total; got != int64(o.Events) {
		return nil, nil, fmt.Errorf("%d events were acknowledged, %d are searchable", o.Events, got)
	}
	settled, err := Settle(ctx, o.Server)
	if err != nil {
		return nil, nil, err
	}
	n := float64(o.Events)
	b := &Bulk{
		Events:         o.Events,
		DurablePerSec:  n / done.Took.Seconds(),
		SearchPerSec:   n / searchable.Seconds(),
		CPUPerEvent:    (settled["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) * 1e6 / n,
		StreamPerEvent: (settled["daybook_stream_appended_bytes_total"] - before["daybook_stream_appended_bytes_total"]) / n,
		Publish:        done.Publish,
		PeakMemory:     top,
	}
	if frozen := settled["daybook_store_events"] - settled["daybook_store_head_events"]; frozen > 0 {
		b.StorePerEvent = settled["daybook_store_bytes"] / frozen
	}
	return b, done.Samples, nil
}

// Settle waits until the server has finished what it does behind the
// acknowledgement, freezing and compaction, by watching its CPU time come to
// rest, and returns its metrics.
func Settle(ctx context.Context, server string) (map[string]float64, error) {
	last, quiet := -1.0, 0
	for {
		m, err := scrape(ctx, server)
		if err != nil {
			return nil, err
		}
		cpu := m["process_cpu_seconds_total"]
		if cpu-last < 0.01 {
			quiet++
		} else {
			quiet = 0
		}
		if last = cpu; quiet >= 4 {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func watchMemory(ctx context.Context, server string) (peak int64) {
	for {
		select {
		case <-ctx.Done():
			return peak
		case <-time.After(500 * time.Millisecond):
		}
		if m, err := scrape(ctx, server); err == nil {
			peak = max(peak, int64(m["process_resident_memory_bytes"]))
		}
	}
}

func runSingles(ctx context.Context, o Options) (*Singles, error) {
	o.Log("publishing single events from %d connections for %v", o.Publishers, o.SinglesFor)
	var lat Latencies
	start := time.Now()
	n, err := singles(ctx, o, &lat)
	if err != nil {
		return nil, err
	}
	return &Singles{Publishers: o.Publishers, DurablePerSec: float64(n) / time.Since(start).Seconds(), Publish: lat.Summary()}, nil
}

// runVisible publishes probe events one at a time, a hundred a second, while
// others arrive, and takes the time until the live tail shows each.
func runVisible(ctx context.Context, o Options, cl *client.Client) (*Visible, error) {
	o.Log("measuring publish→visible at %d events/s for %v", o.Rate, o.VisibleFor)
	ctx, stop := context.WithTimeout(ctx, o.VisibleFor+5*time.Second)
	defer stop()
	loadCtx, stopLoad := context.WithCancel(ctx)
	load := make(chan error, 1)
	go func() { load <- paced(loadCtx, o) }()

	seen := make(chan int, 1024)
	go cl.Tail(ctx, url.Values{"q": {"user_id:bench-probe"}}, "", func(ev []byte) error {
		var p struct {
			Resource string `json:"resource"`
		}
		if err := json.Unmarshal(ev, &p); err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(p.Resource, "probe/"))
		if err == nil {
			seen <- n
		}
		return err
	}, nil)
	time.Sleep(500 * time.Millisecond) // the tail connects

	p, err := dial(ctx, o.addr, withReceipts)
	if err != nil {
		stopLoad()
		return nil, errors.Join(err, <-load)
	}
	defer p.conn.Close()
	var lat Latencies
	probes := int(o.VisibleFor / (10 * time.Millisecond))
	for i := range probes {
		p.body = fmt.Appendf(p.body[:0], `{"user_id":"bench-probe","action":"bench.probe","resource":"probe/%d"}`, i)
		start := time.Now()
		if err = p.publish(); err != nil {
			break
		}
		select {
		case n := <-seen:
			if n != i {
				err = fmt.Errorf("the tail showed probe %d when %d was due", n, i)
			}
		case <-ctx.Done():
			err = fmt.Errorf("probe %d never came to the tail", i)
		}
		if err != nil {
			break
		}
		took := time.Since(start)
		lat.Add(took)
		time.Sleep(max(0, 10*time.Millisecond-took))
		if time.Duration(i)*10*time.Millisecond > o.VisibleFor {
			break
		}
	}
	stopLoad()
	if err := errors.Join(err, <-load); err != nil {
		return nil, err
	}
	return &Visible{Rate: o.Rate, Latency: lat.Summary()}, nil
}

// scrape reads the server's metrics that carry no labels.
func scrape(ctx context.Context, server string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", resp.Status)
	}
	m := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 4<<20))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			m[name] = v
		}
	}
	return m, lines.Err()
}
