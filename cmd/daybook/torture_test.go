//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

// TestTorture runs publishers and a tail against the real program, lets one
// misfortune after the other befall it, and checks that every acknowledged event
// is there once, where its receipt says and as it was published, and that the
// tail had it once and in its place; and that there is nothing else.
//
// TORTURE_ROUNDS says how many misfortunes, at least one of each; TORTURE_SEED
// repeats a run's choices, though not its timing.
func TestTorture(t *testing.T) {
	rounds := envInt(t, "TORTURE_ROUNDS", 0)
	seed := uint64(envInt(t, "TORTURE_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("TORTURE_SEED=%d TORTURE_ROUNDS=%d", seed, rounds)
	sum := &tally{kills: map[string]int{}}
	t.Run("disk", func(t *testing.T) {
		newTorture(t, t.TempDir(), seed, sum).run(misfortunes, rounds-rounds/8)
	})
	t.Run("small disk", func(t *testing.T) {
		disk := t.TempDir()
		mount(t, disk, "-t", "tmpfs", "-o", "size=64m", "tmpfs")
		newTorture(t, disk, seed+1, sum).run(smallDisk, rounds/8)
	})
	t.Log(sum)
}

// torture is one data folder, the server on it, and those who talk to it.
type torture struct {
	t      *testing.T
	rnd    *rand.Rand // of the test's goroutine
	disk   string     // the folder that the data folder is in
	data   string
	url    string  // of every server, one after the other
	server *victim // the last
	truth  *ledger
	tally  *tally
	gate   sync.RWMutex // held by publishers while they talk to the server, and by a check

	mayErr   int  // receipts that may be wrong, as servers said
	retained bool // retention was asked to drop something
	stored   int  // events that the last check found
	dropped  int  // events that retention had dropped before
}

func newTorture(t *testing.T, disk string, seed uint64, sum *tally) *torture {
	return &torture{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), disk: disk, data: filepath.Join(disk, "data"), url: "http://" + quietAddr(t),
		truth: &ledger{seed: seed}, tally: sum,
	}
}

// quietAddr returns a loopback address whose port the system gives to nobody who
// does not ask for it. Of the ports that it hands out, a client that tries again
// and again while no server is there is sooner or later given the server's own.
func quietAddr(t *testing.T) string {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(15_000)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
	t.Fatal("no port was found free")
	return ""
}

// run lets rounds misfortunes befall the server: each at least once, and every
// one before any comes again.
func (w *torture) run(all []misfortune, rounds int) {
	defer w.publishAndFollow()()
	defer func() {
		if w.server == nil {
			return
		}
		w.server.cmd.Process.Kill() // no harm when it has ended
		if w.t.Failed() {
			w.t.Log(w.server.lastWords())
		}
	}()
	rounds = max(rounds, len(all))
	var deck []misfortune
	for round := range rounds {
		if len(deck) == 0 {
			deck = slices.Clone(all)
			w.rnd.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		m := deck[0]
		deck = deck[1:]
		m.strike(w)
		if round%20 == 19 || round == rounds-1 {
			w.check()
			w.t.Logf("after %d rounds: %d events are there once, after %d that retention dropped", round+1, w.stored, w.dropped)
		}
		if w.t.Failed() {
			w.t.Fatalf("this was in round %d: %s", round+1, m.name)
		}
	}
	w.tally.add(w)
}

// publishAndFollow starts publishers and a tail, which know of no misfortune but
// what they see of it. The result stops them.
func (w *torture) publishAndFollow() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.follow(ctx) })
	for n := range uint64(4) {
		pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			w.t.Fatal(err)
		}
		p := &publisher{torture: w, rnd: rand.New(rand.NewPCG(w.truth.seed, 10+n)), http: &http.Client{Transport: &http.Transport{}}, gzip: gzip.NewWriter(nil), zstd: pack}
		wg.Go(func() { p.run(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// check holds an export of everything, and the count, against the ledger.
func (w *torture) check() {
	w.t.Helper()
	w.gate.Lock()
	defer w.gate.Unlock()
	s := w.serve(w.heads()...)
	a := &comparison{ledger: w.truth, early: map[uint64]int64{}}
	if err := w.export(a.add); err != nil {
		w.t.Errorf("export: %v", err)
		return
	}
	w.until("the tail has come to where the export ends", a.reached)
	dropped, err := a.conclude(w.mayErr)
	if err != nil {
		w.t.Error(err)
	}
	if dropped > w.dropped && !w.retained {
		w.t.Errorf("%d events were dropped, and retention was not asked for", dropped-w.dropped)
	}
	w.retained, w.stored, w.dropped = false, a.exported, dropped
	if n := s.total(w.t); n != a.exported {
		w.t.Errorf("%d events are counted, %d are exported", n, a.exported)
	}
	if err := s.stop(); err != nil {
		w.t.Errorf("stopping: %v", err)
	}
	w.tally.stops.Add(1)
}

// export calls each for every event that the server has.
func (w *torture) export(each func(*event.Event) error) error {
	cl, err := client.New(w.url)
	if err != nil {
		return err
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(cl.Export(w.t.Context(), url.Values{"format": {"ndjson"}}, in)) }()
	defer out.Close()
	dec := event.Decoder{AllowSet: true}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4*event.MaxSize)
	for lines.Scan() {
		e, err := returned(&dec, lines.Bytes())
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// patience is how long anything that must come to pass may take. On a machine
// that has a dozen other things to do a few seconds' work takes a minute.
const patience = 5 * time.Minute

// until waits for something that must come to pass.
func (w *torture) until(what string, isSo func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !isSo(); time.Sleep(time.Millisecond) {
		if w.t.Failed() {
			w.t.FailNow()
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// load returns when some more events have been acknowledged, at most that many.
func (w *torture) load(most int) {
	w.t.Helper()
	_, before, _ := w.truth.totals()
	more := 1 + w.rnd.IntN(most)
	w.until(fmt.Sprintf("%d more events are acknowledged", more), func() bool {
		_, acked, _ := w.truth.totals()
		return acked >= before+more
	})
}

// leaveRoom resizes the small disk to what is on it and the given number of bytes.
// The server goes on writing meanwhile, so that may take a few attempts.
func (w *torture) leaveRoom(bytes int64) {
	w.t.Helper()
	w.until("the small disk is resized", func() bool {
		size := fmt.Sprintf("remount,size=%d", w.size()+bytes)
		out, err := exec.Command("mount", "-o", size, w.disk).CombinedOutput()
		if err != nil {
			w.t.Logf("mount -o %s: %v: %s", size, err, out)
		}
		return err == nil
	})
}

// size returns how many bytes the files on the disk take.
func (w *torture) size() (bytes int64) {
	const block = 4096
	err := filepath.WalkDir(w.disk, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				bytes += (info.Size() + block - 1) / block * block
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes
}

// segments are the store's segments, as its manifest names them.
type segments []struct {
	Parquet struct{ Size int64 }
	To      event.Positions
}

func (w *torture) segments() segments {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.data, storeDir, "MANIFEST"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\n")
	var m struct{ Segments segments }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		w.t.Fatalf("MANIFEST: %v", err)
	}
	return m.Segments
}

func (s segments) size() (bytes int64) {
	for _, seg := range s {
		bytes += seg.Parquet.Size
	}
	return bytes
}

// tally is what a run amounted to.
type tally struct {
	mu                                               sync.Mutex
	kills                                            map[string]int // guarded by mu: by what the server was doing
	starts, stops                                    atomic.Int64
	pauses, fullDisks, fewFiles                      atomic.Int64
	timeouts, brokenOff, noRoom, repeats, reconnects atomic.Int64
	made, acked, stored, dropped, tailed             int
}

// add adds what w knows in the end.
func (s *tally) add(w *torture) {
	made, acked, tailed := w.truth.totals()
	s.made += made
	s.acked += acked
	s.tailed += tailed
	s.stored += w.stored
	s.dropped += w.dropped
}

func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	var by []string
	for _, phase := range slices.Sorted(maps.Keys(s.kills)) {
		total += s.kills[phase]
		by = append(by, fmt.Sprintf("%s %d", phase, s.kills[phase]))
	}
	return fmt.Sprintf("%d kills (%s); %d starts, %d stops, %d pauses, %d full disks, %d times without descriptors; "+
		"%d events attempted, %d acknowledged, %d stored, %d of these dropped by retention, %d tailed over %d reconnects; "+
		"requests: %d timed out, %d broken off, %d refused for want of room; %d events repeated on purpose",
		total, strings.Join(by, ", "), s.starts.Load(), s.stops.Load(), s.pauses.Load(), s.fullDisks.Load(), s.fewFiles.Load(),
		s.made, s.acked, s.stored+s.dropped, s.dropped, s.tailed, s.reconnects.Load(),
		s.timeouts.Load(), s.brokenOff.Load(), s.noRoom.Load(), s.repeats.Load())
}

func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, v, err)
	}
	return n
}
