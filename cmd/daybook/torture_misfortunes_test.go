//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// misfortune is something that befalls a server. strike begins and ends without
// one.
type misfortune struct {
	name   string
	strike func(*torture)
}

// misfortunes are those that can happen on any disk.
var misfortunes = []misfortune{
	{"killed at work", killedAtWork},
	{"killed while it starts", killedStarting},
	{"killed while it freezes a head", killedFreezing},
	{"killed while it merges segments", killedMerging},
	{"killed while it drops segments", killedDropping},
	{"killed while it drops segments of the stream", killedDroppingStream},
	{"killed while it stops", killedStopping},
	{"paused", paused},
	{"killed while it is paused", killedPaused},
	{"without descriptors", withoutDescriptors},
	{"without memory", withoutMemory},
}

// smallDisk are those of a server whose disk can be filled.
var smallDisk = []misfortune{
	{"full disk", fullDisk},
	{"killed on a full disk", killedOnFullDisk},
	{"killed while it freezes a head", killedFreezing},
}

// Heads: small ones are frozen all the time, and a large one is much to replay.
var (
	smallHeads = []string{"--store-head-rows", "1024"}
	largeHeads = []string{"--store-head-rows", "8192"}
	shortHeads = []string{"--store-head-rows", "8192", "--store-head-age", "20ms"} // much to merge
)

// heads draws one of these.
func (w *torture) heads() []string {
	return [][]string{smallHeads, largeHeads, shortHeads}[w.rnd.IntN(3)]
}

// doze sleeps for a random time, which is the time of the kill that follows.
func (w *torture) doze(most time.Duration) { time.Sleep(draw(w.rnd, most)) }

func killedAtWork(w *torture) {
	s := w.serve(w.heads()...)
	w.load(8000)
	s.kill()
}

func killedStarting(w *torture) {
	s := w.serve(largeHeads...)
	w.load(8000)
	s.kill()
	for range 3 {
		s = w.start(w.heads()...)
		if w.rnd.IntN(2) == 0 {
			s.await("replay")
			w.doze(20 * time.Millisecond)
		} else {
			w.doze(30 * time.Millisecond)
		}
		s.kill()
	}
}

func killedFreezing(w *torture) {
	s := w.serve(smallHeads...)
	w.load(5000)
	s.await("freeze")
	w.doze(5 * time.Millisecond)
	s.kill()
}

func killedMerging(w *torture) {
	s := w.serve(shortHeads...)
	w.load(2000)
	s.await("compaction")
	w.doze(10 * time.Millisecond)
	s.kill()
}

// killedDropping lets retention drop the oldest segment, which the tail has had.
func killedDropping(w *torture) {
	s := w.serve(smallHeads...)
	w.until("there are 8 segments, and the tail has had the oldest", func() bool {
		segs := w.segments()
		return len(segs) >= 8 && w.truth.tailedTo() >= segs[0].To.At(0)
	})
	s.kill()
	before := w.segments()
	largest := int64(0)
	for _, seg := range before {
		largest = max(largest, seg.Parquet.Size)
	}
	keep := before.size() - before[0].Parquet.Size
	w.retained = true
	s = w.start(append([]string{"--store-retain-bytes", strconv.FormatInt(keep, 10)}, smallHeads...)...)
	s.await("retention")
	w.doze(15 * time.Millisecond)
	s.kill()
	if left := w.segments().size(); left < keep-largest {
		w.t.Errorf("retention was to keep %d bytes and kept %d", keep, left)
	}
}

func killedDroppingStream(w *torture) {
	s := w.serve(smallHeads...)
	w.load(5000)
	s.await("stream retention")
	w.doze(time.Millisecond)
	s.kill()
}

func killedStopping(w *torture) {
	s := w.serve(w.heads()...)
	w.load(8000)
	s.enter("shutdown")
	s.signal(syscall.SIGTERM)
	w.doze(40 * time.Millisecond)
	s.kill()
}

func (w *torture) pause(s *victim) {
	w.load(2000)
	w.tally.pauses.Add(1)
	s.enter("paused")
	s.signal(syscall.SIGSTOP)
	w.doze(1200 * time.Millisecond) // some requests time out in that and some do not
}

func paused(w *torture) {
	s := w.serve(w.heads()...)
	w.pause(s)
	s.signal(syscall.SIGCONT)
	s.leave("paused")
	w.load(5000)
	s.kill()
}

func killedPaused(w *torture) {
	s := w.serve(w.heads()...)
	w.pause(s)
	s.kill()
}

// withoutDescriptors takes from a server, by idle connections, what descriptors
// it is allowed. Given more it must go on by itself.
func withoutDescriptors(w *torture) {
	s := w.serve(smallHeads...)
	w.load(2000)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		notTested(w.t, "a server without descriptors: %v", err)
	} else if s.limit("nofile", len(open)+w.rnd.IntN(8)) {
		var idle []net.Conn
		for range 16 {
			idle = append(idle, s.dial(w.t, ""))
		}
		s.await("no descriptors")
		w.tally.fewFiles.Add(1)
		w.doze(time.Second)
		for _, conn := range idle {
			conn.Close()
		}
		s.limit("nofile", 10_000)
		s.leave("no descriptors")
		_, acked, _ := w.truth.totals()
		w.until("publishing and the tail go on with descriptors", func() bool {
			_, _, tailed := w.truth.totals()
			return tailed > acked
		})
		w.mayErr += s.figure("daybook_ingest_duplicate_checks_skipped_total")
	}
	s.kill()
}

// withoutMemory lets a server have hardly more memory than it has. That ends it
// as soon as it wants more, in the middle of whatever it does: no Go program
// survives that. The limit is one of the process and not of a control group,
// whose end would be another kill -9.
func withoutMemory(w *torture) {
	s := w.serve(append([]string{"--memory-limit", "32MiB"}, w.heads()...)...)
	w.load(5000)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, data, found := strings.Cut(string(status), "VmData:")
	if err != nil || !found {
		notTested(w.t, "a server without memory: its size is not in /proc: %v", err)
		s.kill()
		return
	}
	kb, err := strconv.Atoi(strings.Fields(data)[0])
	if err != nil {
		w.t.Fatal(err)
	}
	s.enter("little memory")
	if s.limit("data", kb<<10) {
		s.ended(draw(w.rnd, 2*time.Second))
	}
	s.kill()
}

// fill leaves a server's disk a little room, which the publishers fill.
func (w *torture) fill(s *victim) {
	w.t.Helper()
	w.load(5000)
	s.enter("full disk")
	w.leaveRoom(256<<10 + w.rnd.Int64N(1<<20))
	w.untilRefused()
	w.tally.fullDisks.Add(1)
}

func (w *torture) untilRefused() {
	w.t.Helper()
	before := w.tally.noRoom.Load()
	w.until("publishing is refused for want of room", func() bool { return w.tally.noRoom.Load() > before })
}

// empty makes room again, whereupon the server must go on by itself.
func (w *torture) empty(s *victim) {
	w.t.Helper()
	w.leaveRoom(64 << 20)
	s.leave("full disk")
	w.load(5000)
}

func fullDisk(w *torture) {
	s := w.serve(w.heads()...)
	w.fill(s)
	w.empty(s)
	s.kill()
}

func killedOnFullDisk(w *torture) {
	s := w.serve(w.heads()...)
	w.fill(s)
	s.kill()
	s = w.serve(w.heads()...)
	s.enter("full disk")
	w.untilRefused()
	w.empty(s)
	s.kill()
}
