package bench

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Latencies gathers durations. It is safe for concurrent use.
type Latencies struct {
	mu sync.Mutex
	d  []time.Duration // guarded by mu
}

// Add records one duration.
func (l *Latencies) Add(d time.Duration) {
	l.mu.Lock()
	l.d = append(l.d, d)
	l.mu.Unlock()
}

// Summary is what is reported of a set of durations.
type Summary struct {
	Count               int
	P50, P99, P999, Max time.Duration
}

// Summary sums up what was recorded.
func (l *Latencies) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.d) == 0 {
		return Summary{}
	}
	d := slices.Clone(l.d)
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[min(int(q*float64(len(d))), len(d)-1)] }
	return Summary{Count: len(d), P50: at(0.50), P99: at(0.99), P999: at(0.999), Max: d[len(d)-1]}
}

// String writes the summary for people.
func (s Summary) String() string {
	if s.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s  (n=%d)", short(s.P50), short(s.P99), short(s.P999), short(s.Max), s.Count)
}

// MarshalJSON writes the summary with its unit in the names.
func (s Summary) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(map[string]any{"count": s.Count, "p50_ms": ms(s.P50), "p99_ms": ms(s.P99), "p99_9_ms": ms(s.P999), "max_ms": ms(s.Max)})
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
