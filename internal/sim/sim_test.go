package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Uint64("sim.seeds", 0, "run so many seeds, on all processors; 0: what a test has time for")
	from    = flag.Uint64("sim.from", 1, "first seed")
	only    = flag.Int64("sim.seed", -1, "run this seed alone, and show its trace")
	every   = flag.Uint64("sim.every", 1, "seeds whose every operation is made to fail in turn")
	repeats = flag.Uint64("sim.repeats", 30, "seeds that are run twice")
	share   = flag.Bool("sim.share", false, "run the seeds on one processor, and print the counts as JSON: what -sim.seeds starts")
)

// TestMain gives the tests one processor: see the package comment.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// simulate makes one run. The garbage collector, which would now and then take
// a goroutine its processor, runs between runs.
func simulate(t *testing.T, w *world) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	synctest.Test(t, func(*testing.T) { w.run() })
	return w.err()
}

// must are names of counts that show that the simulation is worth something.
var must = []string{
	"starts", "crashes", "kills", "clean restarts", "restarts after a failure",
	"faults: EIO", "faults: failed fsync", "faults: ENOSPC", "faults: ENOSPC after a short write", "faults: EIO after a short write",
	"events acknowledged", "events sent again", "duplicates acknowledged", "appends without room", "calls refused",
	"froze a head", "merged segments", "store segments dropped", "stream segments dropped",
	"log ends with an unfinished write, which is cut off", "removing a file that a crash left over",
	"searches of several pages", "exports", "counts", "lookups", "tail reconnects", "events tailed",
	"ids that two tenants use", "events dropped before a tail came", "gaps met in the stream", "times that time passed",
}

// rare are others, which come about once in a thousand seeds.
var rare = []string{"a segment cannot be read"}

func TestPipeline(t *testing.T) {
	n := *seeds
	switch {
	case *only >= 0:
		w := newWorld(uint64(*only), newPlan)
		w.verbose = func(line string) { fmt.Println(line) }
		if err := simulate(t, w); err != nil {
			t.Fatal(err)
		}
		t.Logf("trace %016x\n%s", w.hash, &w.stats)
		return
	case n > 0 && !*share:
		onAllProcessors(t, *from, n)
		return
	case n == 0 && raced:
		n = 60
	case n == 0:
		n = 1000 // about 20 s
	}
	began := time.Now()
	total := runSeeds(t, *from, n)
	if *share {
		if err := json.NewEncoder(os.Stdout).Encode(total.n); err != nil {
			t.Fatal(err)
		}
		return
	}
	report(t, n, time.Since(began), total)
}

// runSeeds runs n seeds, one after the other.
func runSeeds(t *testing.T, from, n uint64) *counters {
	total := new(counters)
	for seed := from; seed < from+n; seed++ {
		w := newWorld(seed, newPlan)
		if err := simulate(t, w); err != nil {
			t.Fatalf("seed %d: %v\nto see it again: go test ./internal/sim -run Pipeline -sim.seed %d -v", seed, err, seed)
		}
		total.Add("operations of the file system", int64(len(w.ops)))
		total.addAll(&w.stats)
		if seed%4 == 0 {
			runtime.GC()
		}
	}
	return total
}

func report(t *testing.T, n uint64, took time.Duration, total *counters) {
	t.Logf("%d seeds in %s, %.1f a second\n%s", n, took.Round(time.Second), float64(n)/took.Seconds(), total)
	var wanted []string
	if n >= 1000 {
		wanted = append(wanted, must...)
	}
	if n >= 3000 {
		wanted = append(wanted, rare...)
	}
	for _, name := range wanted {
		if total.n[name] == 0 {
			t.Errorf("in %d seeds there was nothing of this: %s", n, name)
		}
	}
}

// onAllProcessors runs n seeds in as many processes as there are processors, by
// shares of a thousand, and says after each how far it has come.
func onAllProcessors(t *testing.T, from, n uint64) {
	const most = 1000
	began, end := time.Now(), from+n
	total, done := new(counters), uint64(0)
	type result struct {
		n   uint64
		out []byte
		err error
	}
	results, running := make(chan result), 0
	for next := from; next < end || running > 0; {
		for ; running < runtime.NumCPU() && next < end; running++ {
			first, count := next, min(most, end-next)
			next += count
			go func() {
				out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestPipeline$", "-test.timeout", "0", "-sim.share",
					"-sim.from", strconv.FormatUint(first, 10), "-sim.seeds", strconv.FormatUint(count, 10)).Output()
				results <- result{count, out, err}
			}()
		}
		r := <-results
		running--
		var counts counters
		line, _, _ := bytes.Cut(r.out, []byte("\n"))
		if err := errors.Join(r.err, json.Unmarshal(line, &counts.n)); err != nil {
			t.Fatalf("%v\n%s", err, r.out)
		}
		total.addAll(&counts)
		done += r.n
		fmt.Printf("%d seeds of %d, %.1f a second\n", done, n, float64(done)/time.Since(began).Seconds())
	}
	report(t, n, time.Since(began), total)
}

// TestEveryOperation repeats a short run, and each time something else goes wrong:
// before each operation of the file system in turn the power is cut, and each
// operation in turn fails in each way that it can.
func TestEveryOperation(t *testing.T) {
	var total counters
	runs := 0
	for seed := range *every {
		clean := newWorld(seed, shortPlan)
		if err := simulate(t, clean); err != nil {
			t.Fatalf("seed %d, nothing went wrong: %v", seed, err)
		}
		total.addAll(&clean.stats)
		for at, k := range clean.ops[:clean.calmFrom] {
			if raced && at%40 > 0 {
				continue
			}
			for _, m := range misfortunes(at, k) {
				w := newWorld(seed, shortPlan)
				w.chosen = m
				if err := simulate(t, w); err != nil {
					t.Fatalf("seed %d, operation %d (%s), %s: %v", seed, at, opNames[k], m, err)
				}
				total.addAll(&w.stats)
				if runs++; runs%4 == 0 {
					runtime.GC()
				}
			}
		}
		t.Logf("seed %d has %d operations", seed, clean.calmFrom)
	}
	t.Logf("%d runs\n%s", runs, &total)
	for _, name := range []string{"crashes", "froze a head", "merged segments", "store segments dropped", "stream segments dropped", "clean restarts"} {
		if total.n[name] == 0 {
			t.Errorf("there was nothing of this: %s", name)
		}
	}
}

// misfortunes returns what can go wrong at an operation.
func misfortunes(at int, k opKind) (ms []misfortune) {
	if !k.reads() {
		ms = append(ms, misfortune{at: at, luck: uint64(at)})
	}
	for i := range faults {
		if faults[i].of(k) {
			ms = append(ms, misfortune{at: at, fault: &faults[i]})
		}
	}
	return ms
}

func (m misfortune) String() string {
	if m.fault == nil {
		return "power cut"
	}
	return m.fault.name
}

// TestRepeats: a seed gives the same run each time.
func TestRepeats(t *testing.T) {
	if raced {
		t.Skip("the race detector shuffles goroutines that are woken together")
	}
	for seed := *from; seed < *from+*repeats; seed++ {
		var lines [2][]string
		for i := range lines {
			w := newWorld(seed, newPlan)
			w.verbose = func(line string) {
				if !strings.HasPrefix(line, "log: ") {
					lines[i] = append(lines[i], line)
				}
			}
			if err := simulate(t, w); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			lines[i] = append(lines[i], fmt.Sprintf("trace %016x", w.hash))
		}
		runtime.GC()
		for i := range lines[0] {
			if i >= len(lines[1]) || lines[0][i] != lines[1][i] {
				show := func(l []string) string { return strings.Join(l[min(len(l), max(0, i-10)):min(len(l), i+2)], "\n") }
				t.Fatalf("seed %d goes two ways at line %d:\n%s\n\n%s", seed, i, show(lines[0]), show(lines[1]))
			}
		}
	}
}
