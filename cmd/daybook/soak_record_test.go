//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
)

// series are what a soak watches, and by how much each may rise while the load
// stays the same: by a part of itself, or by an amount in its own unit where that
// is more. What retention bounds and what the garbage collector leaves for later
// goes up and down within that.
var series = []struct {
	name         string
	part, amount float64
}{
	{"resident MiB", 0.10, 32},
	{"heap MiB", 0.10, 24},
	{"goroutines", 0.05, 30},
	{"threads", 0.10, 5},
	{"sockets", 0.05, 20},
	{"open files", 0.10, 5},
	{"store MiB", 0.10, 8},
	{"stream MiB", 0.10, 8},
	{"index lag", 0, 50_000},
}

// recorder samples a soak.
type recorder struct {
	t       *testing.T
	s       *soak
	data    string
	began   time.Time
	every   time.Duration
	csv     *csv.Writer
	columns []string
	phases  []*phase
}

// phase is a part of a soak.
type phase struct {
	name   string
	values map[string][]float64 // by series
	ops    map[string]bench.Summary
}

func newRecorder(t *testing.T, s *soak, data string) *recorder {
	r := &recorder{t: t, s: s, data: data, began: time.Now(), every: min(5*time.Second, s.duration/20)}
	var to io.Writer = io.Discard
	if path := os.Getenv("SOAK_CSV"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
		to = f
	}
	r.csv = csv.NewWriter(to)
	r.columns = []string{"seconds", "phase"}
	for _, x := range series {
		r.columns = append(r.columns, x.name)
	}
	r.columns = append(r.columns, "events")
	for _, l := range s.loads() {
		if l.timed {
			r.columns = append(r.columns, l.name+" p50 ms", l.name+" p99 ms")
		}
	}
	r.write(r.columns)
	return r
}

func (r *recorder) write(row []string) {
	r.csv.Write(row)
	r.csv.Flush()
	if err := r.csv.Error(); err != nil {
		r.t.Fatal(err)
	}
}

// watch samples for a while.
func (r *recorder) watch(ctx context.Context, name string, length time.Duration) {
	p := &phase{name: name, values: map[string][]float64{}, ops: map[string]bench.Summary{}}
	r.phases = append(r.phases, p)
	for end := time.Now().Add(length); ; {
		pause(ctx, min(r.every, time.Until(end)))
		r.sample(p)
		if !time.Now().Before(end) || r.t.Failed() && r.s.duration < judgeFrom {
			break
		}
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for op, lat := range r.s.all {
		p.ops[op] = lat.Summary()
	}
	clear(r.s.all)
}

// sample takes one sample.
func (r *recorder) sample(p *phase) {
	r.t.Helper()
	v, err := r.read()
	if err != nil {
		r.t.Fatal(err)
	}
	r.s.mu.Lock()
	v["events"] = float64(r.s.acked)
	for op, lat := range r.s.ops {
		sum := lat.Summary()
		v[op+" p50 ms"], v[op+" p99 ms"] = float64(sum.P50.Microseconds())/1000, float64(sum.P99.Microseconds())/1000
	}
	clear(r.s.ops)
	r.s.mu.Unlock()
	for name, x := range v {
		p.values[name] = append(p.values[name], x)
	}
	row := []string{fmt.Sprintf("%.1f", time.Since(r.began).Seconds()), p.name}
	for _, name := range r.columns[2:] {
		if x, there := v[name]; there {
			row = append(row, strconv.FormatFloat(x, 'f', -1, 64))
		} else {
			row = append(row, "")
		}
	}
	r.write(row)
}

// read reads the series.
func (r *recorder) read() (map[string]float64, error) {
	m, err := r.s.scrape()
	if err != nil {
		return nil, err
	}
	v := map[string]float64{"heap MiB": m["go_memstats_heap_inuse_bytes"] / (1 << 20), "goroutines": m["go_goroutines"], "index lag": m["daybook_index_lag_records"]}
	proc := fmt.Sprintf("/proc/%d/", r.s.server.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		if name == "VmRSS" || name == "Threads" {
			n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return nil, err
			}
			v[map[string]string{"VmRSS": "resident MiB", "Threads": "threads"}[name]] = n
		}
	}
	v["resident MiB"] /= 1024
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		switch target, err := os.Readlink(proc + "fd/" + fd.Name()); {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(target, "socket:"):
			v["sockets"]++
		default:
			v["open files"]++
		}
	}
	for name, dir := range map[string]string{"store MiB": storeDir, "stream MiB": streamDir} {
		bytes, err := diskBytes(filepath.Join(r.data, dir))
		if err != nil {
			return nil, err
		}
		v[name] = float64(bytes) / (1 << 20)
	}
	return v, nil
}

// diskBytes returns how large the files in a folder are that is being written to.
func diskBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		return err
	})
	return total, err
}

// scrape returns the values of /metrics that have no labels.
func (s *soak) scrape() (map[string]float64, error) {
	resp, err := s.open(context.Background(), "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.ContainsAny(name, "#{") {
			continue
		}
		if m[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("/metrics: %s", line)
		}
	}
	return m, nil
}

// settle waits until a server without load has no more goroutines and sockets
// than before the load, and fails the test if that does not happen.
func (r *recorder) settle() {
	r.t.Helper()
	p := &phase{name: "after the load", values: map[string][]float64{}}
	before := r.phases[0].values
	const few = 5 // that come and go by themselves
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		r.sample(p)
		high := ""
		for _, name := range []string{"goroutines", "sockets"} {
			if now, most := last(p.values[name]), slices.Max(before[name])+few; now > most {
				high += fmt.Sprintf("%v %s, before it at most %v; ", now, name, most-few)
			}
		}
		if high == "" {
			break
		}
		if time.Now().After(deadline) {
			r.t.Errorf("after the load: %s", high)
			break
		}
	}
	r.phases = append(r.phases, p)
}

func last(xs []float64) float64 { return xs[len(xs)-1] }

// print prints a table per phase.
func (r *recorder) print() {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, p := range r.phases {
		fmt.Fprintf(w, "\n%s\tmin\tmedian\tmax\tlast\t\n", p.name)
		for _, x := range series {
			v := p.values[x.name]
			fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t\n", x.name, slices.Min(v), median(v), slices.Max(v), last(v))
		}
		if len(p.ops) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: latency\tn\tp50\tp99\tmax\t\n", p.name)
		for _, l := range r.s.loads() {
			if sum := p.ops[l.name]; sum.Count > 0 {
				fmt.Fprintf(w, "%s\t%d\t%v\t%v\t%v\t\n", l.name, sum.Count, sum.P50.Round(10*time.Microsecond), sum.P99.Round(10*time.Microsecond), sum.Max.Round(10*time.Microsecond))
			}
		}
	}
	w.Flush()
	r.t.Logf("%s, a sample every %v; answered 429 or 503: %v\n%s", r.s, r.every, r.s.refused, b.String())
}

// judge fails the test if a series rose in a phase.
func (r *recorder) judge(name string) {
	p := r.phases[slices.IndexFunc(r.phases, func(p *phase) bool { return p.name == name })]
	for _, x := range series {
		v := p.values[x.name]
		line, step := trend(v)
		first := median(v[:len(v)/3])
		allowed := max(x.part*first, x.amount)
		r.t.Logf("%-13s rose by %.1f (line), %.1f (medians) from %.1f; at most %.1f is allowed", x.name, line, step, first, allowed)
		if min(line, step) > allowed {
			r.t.Errorf("%s rises: from %.1f by %.1f (line), %.1f (medians); at most %.1f is allowed", x.name, first, line, step, allowed)
		}
	}
}

// trend returns by how much a series rose from its beginning to its end, said in
// two ways: the rise of the line of least squares, and the difference between the
// medians of the last and the first third. A leak shows in both. A single peak
// shows in the line alone, and a wave that the ends cut in the medians alone.
func trend(v []float64) (line, step float64) {
	n := float64(len(v))
	var sumX, sumY, sumXY, sumXX float64
	for i, y := range v {
		x := float64(i)
		sumX, sumY, sumXY, sumXX = sumX+x, sumY+y, sumXY+x*y, sumXX+x*x
	}
	slope := (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
	third := len(v) / 3
	return slope * (n - 1), median(v[len(v)-third:]) - median(v[:third])
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}
