package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
)

// Figure is one value for /metrics. The name is the whole one, daybook_ included;
// a counter's ends in _total. Labels never come from an event.
type Figure struct {
	Name    string
	Help    string
	Counter bool // it only rises; else a gauge
	Value   float64
	Labels  map[string]string
}

// metrics counts requests and gathers what the stages count.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec   // by route and code
	seconds  *prometheus.HistogramVec // by route
	inFlight *prometheus.GaugeVec     // by route
}

// latencyBuckets reach from an answer out of memory to one at the query timeout.
// A tail's latency is how long it was open and counts towards the last.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(figures []func() []Figure) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_http_requests_total",
			Help: "HTTP requests answered, by route and status code; code aborted: broken off."}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daybook_http_request_duration_seconds",
			Help: "Time from a request's header to the end of its answer, by route.", Buckets: latencyBuckets}, []string{"route"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daybook_http_requests_in_flight",
			Help: "HTTP requests being answered, by route; for the tail, clients connected."}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, read := range figures {
		m.registry.MustRegister(figureCollector(read))
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// unrouted counts an answer to a path or method that no route has.
func (m *metrics) unrouted(status int) {
	m.requests.WithLabelValues("none", strconv.Itoa(status)).Inc()
}

// instrument counts the requests of a route. What it needs for each is looked up
// once, because small publishes come by the ten thousand per second.
func (m *metrics) instrument(route string, next http.HandlerFunc) http.Handler {
	seconds, inFlight := m.seconds.WithLabelValues(route), m.inFlight.WithLabelValues(route)
	ok := m.requests.WithLabelValues(route, "200")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		inFlight.Inc()
		code := "aborted"
		defer func() {
			inFlight.Dec()
			seconds.Observe(time.Since(began).Seconds())
			if code == "200" {
				ok.Inc()
				return
			}
			m.requests.WithLabelValues(route, code).Inc()
		}()
		next(w, r)
		code = "200"
		if resp, _ := w.(*response); resp != nil && resp.status > 0 && resp.status != http.StatusOK {
			code = strconv.Itoa(resp.status)
		}
	})
}

// figureCollector hands figures to Prometheus. It describes none beforehand, so
// a stage may add to them as it runs.
type figureCollector func() []Figure

// Describe implements prometheus.Collector.
func (figureCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (read figureCollector) Collect(out chan<- prometheus.Metric) {
	for _, f := range read() {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(f.Name, f.Help, nil, f.Labels), kind, f.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewDesc(f.Name, f.Help, nil, f.Labels), err)
		}
		out <- m
	}
}

func queryFigures(s query.Stats) []Figure {
	refused := func(cause string, n int64) Figure {
		return Figure{Name: "daybook_query_refused_total", Counter: true, Value: float64(n), Labels: map[string]string{"cause": cause},
			Help: "Queries that were not answered, by cause: no slot was free, all tails were taken, the index was behind, or the time limit."}
	}
	return []Figure{
		{Name: "daybook_query_running", Help: "Searches, counts and gets that run.", Value: float64(s.Queries)},
		{Name: "daybook_query_exports_running", Help: "Exports that run.", Value: float64(s.Exports)},
		{Name: "daybook_query_tails", Help: "Live tails that are open.", Value: float64(s.Tails)},
		refused("busy", s.Busy),
		refused("tails", s.TailsRefused),
		refused("behind", s.Behind),
		refused("timeout", s.Timeouts),
	}
}

// StoreFigures returns what to give as [Options].Figures for a store.
func StoreFigures(read func() store.Stats) func() []Figure {
	return func() []Figure {
		s := read()
		var missing int64
		for _, d := range s.Damaged {
			missing += d.Events
		}
		return []Figure{
			{Name: "daybook_store_events", Help: "Events that can be searched.", Value: float64(s.Events)},
			{Name: "daybook_store_head_events", Help: "Events held in memory and in no segment yet.", Value: float64(s.HeadEvents)},
			{Name: "daybook_store_bytes", Help: "Bytes of segments on disk.", Value: float64(s.Bytes)},
			{Name: "daybook_store_segments", Help: "Segment files.", Value: float64(s.Segments)},
			{Name: "daybook_store_memory_bytes", Help: "Memory held by head and caches, estimated.", Value: float64(s.MemoryBytes)},
			{Name: "daybook_store_expired_events_total", Help: "Events that retention dropped since the start.", Counter: true, Value: float64(s.Expired)},
			{Name: "daybook_store_compactions_total", Help: "Compactions since the start.", Counter: true, Value: float64(s.Compactions)},
			{Name: "daybook_store_freeze_errors_total", Help: "Failed attempts to freeze the head since the start.", Counter: true, Value: float64(s.FreezeErrors)},
			{Name: "daybook_store_damaged_segments", Help: "Segments that could not be read and were set aside.", Value: float64(len(s.Damaged))},
			{Name: "daybook_store_missing_events", Help: "Events that cannot be read because of damage.", Value: float64(missing)},
		}
	}
}
