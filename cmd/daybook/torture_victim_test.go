//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// victim is a server that something will happen to. What it is doing is read
// from what it logs.
type victim struct {
	*child
	w     *torture
	acked int // events acknowledged before its time

	mu    sync.Mutex
	doing map[string]bool // guarded by mu: phases
	moved chan struct{}   // guarded by mu: closed and replaced when a phase begins or ends
	said  []string        // guarded by mu: the last lines
	late  bool            // guarded by mu: it served before it had replayed everything
}

// signs are the lines that show where a phase begins or ends.
var signs = []struct {
	says, phase string
	begins      bool
}{
	{"daybook: serving on", "start", false},
	{"daybook: serving on", "replay", true},
	{`msg="the index has caught up`, "replay", false},
	{`msg="serving before the index has caught up`, "replay", false},
	{`msg="freezing a head"`, "freeze", true},
	{`msg="froze a head"`, "freeze", false},
	{`msg="merging segments"`, "compaction", true},
	{`msg="merged segments"`, "compaction", false},
	{`msg="dropping segments"`, "retention", true},
	{`msg="dropped a segment`, "retention", false},
	{`msg="dropping a log segment"`, "stream retention", true},
	{`msg="log segment dropped"`, "stream retention", false},
	{`msg="looking after the store failed`, "compaction", false},
	{`msg="looking after the store failed`, "retention", false},
	{"Accept error: accept tcp", "no descriptors", true},
}

// Write takes one line.
func (v *victim) Write(b []byte) (int, error) {
	line := strings.TrimSuffix(string(b), "\n")
	v.mu.Lock()
	defer v.mu.Unlock()
	v.said = append(v.said[max(0, len(v.said)-100):], line)
	if !v.doing["little memory"] && (strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE")) {
		v.w.t.Errorf("the server printed: %s", line)
	}
	v.late = v.late || strings.Contains(line, `msg="serving before the index`)
	for _, s := range signs {
		if strings.Contains(line, s.says) {
			v.set(s.phase, s.begins)
		}
	}
	return len(b), nil
}

// set begins or ends a phase. mu is held.
func (v *victim) set(phase string, on bool) {
	if v.doing[phase] == on {
		return
	}
	delete(v.doing, phase)
	if on {
		v.doing[phase] = true
	}
	close(v.moved)
	v.moved = make(chan struct{})
}

// enter begins a phase that is brought about from outside.
func (v *victim) enter(phase string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set(phase, true)
}

func (v *victim) leave(phase string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set(phase, false)
}

// await returns when v is in phase, or after some seconds: where a kill landed
// is counted, not where it was to land.
func (v *victim) await(phase string) {
	enough := time.After(5 * time.Second)
	for {
		v.mu.Lock()
		there, moved := v.doing[phase], v.moved
		v.mu.Unlock()
		if there {
			return
		}
		select {
		case <-moved:
		case <-enough:
			return
		}
	}
}

// start starts a server and does not wait for it. Small stream segments are
// dropped as soon as they can be.
func (w *torture) start(args ...string) *victim {
	w.t.Helper()
	addr := strings.TrimPrefix(w.url, "http://")
	v := &victim{w: w, doing: map[string]bool{"start": true}, moved: make(chan struct{})}
	_, v.acked, _ = w.truth.totals()
	cmd := program(append([]string{"serve", "--listen", addr, "--data", w.data, "--log-level", "debug",
		"--stream-segment-bytes", "1MiB", "--stream-retain-bytes", "2MiB"}, args...)...)
	var err error
	if v.child, err = launch(cmd, addr, v); err != nil {
		w.t.Fatal(err)
	}
	w.tally.starts.Add(1)
	w.server = v
	return v
}

// serve starts a server and waits until it is ready.
func (w *torture) serve(args ...string) *victim {
	w.t.Helper()
	v := w.start(args...)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := v.ready(ctx); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// signal sends v a signal.
func (v *victim) signal(s syscall.Signal) {
	v.w.t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		v.w.t.Fatal(err)
	}
}

// kill kills v, unless it has ended, and takes down what it was doing.
func (v *victim) kill() {
	v.w.t.Helper()
	v.signal(syscall.SIGKILL)
	err := <-v.done
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.late { // its receipts could not tell duplicates
		_, acked, _ := v.w.truth.totals()
		v.w.mayErr += acked - v.acked
	}
	phase := strings.Join(slices.Sorted(maps.Keys(v.doing)), "+")
	if phase == "" {
		phase = "serving"
	}
	state := v.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case state.Signaled() && state.Signal() == syscall.SIGKILL:
	case v.doing["shutdown"] && err == nil:
		v.w.tally.stops.Add(1)
		return
	case v.doing["little memory"] && err != nil:
		phase = "out of memory"
	default:
		v.w.t.Errorf("the server ended by itself: %v", err)
	}
	v.w.tally.mu.Lock()
	defer v.w.tally.mu.Unlock()
	v.w.tally.kills[phase]++
}

// lastWords returns the last lines that v printed.
func (v *victim) lastWords() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return "the last server printed\n" + strings.Join(v.said, "\n")
}

// ended waits for v to end by itself, for a while at most.
func (v *victim) ended(most time.Duration) {
	select {
	case err := <-v.done:
		v.done <- err
	case <-time.After(most):
	}
}

// limit sets a soft resource limit of a running server, and reports whether this
// system can do so.
func (v *victim) limit(resource string, to int) bool {
	v.w.t.Helper()
	out, err := exec.Command("prlimit", "--pid", strconv.Itoa(v.cmd.Process.Pid), fmt.Sprintf("--%s=%d:", resource, to)).CombinedOutput()
	if err != nil {
		notTested(v.w.t, "setting limits of a process: %v: %s", err, out)
	}
	return err == nil
}

// figure returns a value of /metrics.
func (v *victim) figure(name string) int {
	v.w.t.Helper()
	_, text := v.get(v.w.t, "/metrics")
	_, rest, _ := strings.Cut(text, "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		v.w.t.Fatalf("%s is not in /metrics", name)
	}
	return int(n)
}
