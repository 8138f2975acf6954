package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
)

// counters count what happened, by name.
type counters struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *counters) Add(name string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name] += n
}

// addAll adds what o has counted.
func (c *counters) addAll(o *counters) {
	for name, n := range o.n {
		c.Add(name, n)
	}
}

// String lists the counts, the names in order.
func (c *counters) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "%12d  %s\n", c.n[name], name)
	}
	return b.String()
}

// misfortune is what a run is to meet at one operation of the file system.
type misfortune struct {
	at    int // number of the operation; -1: none
	fault *fault
	// fault nil: the power is cut, and luck decides what the disk keeps.
	luck uint64
}

// world is one run.
type world struct {
	plan    plan
	rng     *rand.Rand
	chosen  misfortune
	verbose func(string) // takes each line of the trace; nil: nobody does

	turns turns
	model *model
	stats counters
	mem   *vfs.Mem
	proc  *process
	fault error    // of the operation whose turn it is
	ops   []opKind // that got their turn

	burst    int // so many operations more fail
	calmFrom int // number of the first operation of the end

	clients []*client
	living  sync.WaitGroup // of clients
	calm    atomic.Bool    // nothing fails any more, and clients come to an end
	idle    int            // how often time was let pass, one after the other, for want of anything else

	hash   uint64 // of the trace
	failMu sync.Mutex
	fails  []string // guarded by failMu
}

func newWorld(seed uint64, plan func(*rand.Rand) plan) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &world{plan: plan(rng), rng: rng, chosen: misfortune{at: -1}, mem: vfs.NewMem(), hash: 14695981039346656037}
	w.model = newModel(w)
	return w
}

// failf takes note of a contradiction. The run ends after the turn.
func (w *world) failf(format string, args ...any) {
	w.failMu.Lock()
	defer w.failMu.Unlock()
	w.fails = append(w.fails, fmt.Sprintf(format, args...))
	if w.verbose != nil {
		w.verbose("FAILED: " + w.fails[len(w.fails)-1])
	}
}

func (w *world) failed() bool {
	w.failMu.Lock()
	defer w.failMu.Unlock()
	return len(w.fails) > 0
}

// trace takes a line into the trace.
func (w *world) trace(parts ...string) {
	for _, s := range parts {
		for i := range len(s) {
			w.hash = (w.hash ^ uint64(s[i])) * 1099511628211
		}
	}
	if w.verbose != nil {
		w.verbose(strings.Join(parts, ""))
	}
}

// run makes a whole run. It is called in a bubble of testing/synctest.
func (w *world) run() {
	w.enlist()
	w.useDisk(w.mem)
	w.start()
	for range w.plan.steps {
		if w.step(); w.failed() {
			break
		}
	}
	if !w.failed() {
		w.trace("calm")
		w.calmFrom = len(w.ops)
		w.finish()
	}
	w.abandon()
}

// enlist makes the clients.
func (w *world) enlist() {
	add := func(name string, n int, make func(*client) actor) {
		for i := range n {
			c := &client{w: w, name: fmt.Sprintf("%s %d", name, i), rng: rand.New(rand.NewPCG(w.rng.Uint64(), 2))}
			c.actor = make(c)
			w.clients = append(w.clients, c)
			w.living.Go(c.loop)
		}
	}
	add("publisher", w.plan.publishers, func(c *client) actor {
		return &publisher{client: c, fresh: w.plan.events / w.plan.publishers}
	})
	add("tail", w.plan.tailers, func(c *client) actor {
		return &tailer{client: c, what: oneOf(c.rng, criteria...), batch: 1 + c.rng.IntN(8)}
	})
	add("searcher", w.plan.searchers, func(c *client) actor { return &searcher{client: c} })
	add("reader", w.plan.readers, func(c *client) actor { return &reader{client: c} })
	add("consumer", w.plan.consumers, func(c *client) actor { return &consumer{client: c} })
	add("auditor", 1, func(c *client) actor { return &auditor{reader: reader{c}} })
}

// tenants are those whose events publishers send.
var tenants = []string{"default", "acme"}

// event makes an event.
func (w *world) event(rng *rand.Rand) event.Event {
	now := time.Now()
	e := event.Event{
		Timestamp: now.Add(-time.Duration(rng.IntN(3)) * time.Duration(rng.IntN(3_600_000)) * time.Millisecond).UnixNano(),
		UserID:    fmt.Sprintf("user-%d", rng.IntN(4)), Action: oneOf(rng, "document.read", "document.delete", "login"),
		Resource: fmt.Sprintf("document/%d", len(w.model.events)), TenantID: oneOf(rng, tenants...), Outcome: oneOf(rng, "success", "failure", "denied"),
		Operation: "other", UserType: "user", Metadata: fmt.Sprintf(`{"n":%d}`, rng.IntN(10)),
	}
	binary.BigEndian.PutUint64(e.ID[:], uint64(now.UnixMilli())<<16|rng.Uint64()>>48)
	binary.BigEndian.PutUint64(e.ID[8:], rng.Uint64())
	e.ID[6] = e.ID[6]&0x0f | oneOf[byte](rng, 0x70, 0x70, 0x70, 0x40)
	e.ID[8] = e.ID[8]&0x3f | 0x80
	if n := len(w.model.events); n > 0 && rng.IntN(3) == 0 { // an ID that only another tenant has used
		other := event.Identity{TenantID: e.TenantID, ID: w.model.events[rng.IntN(n)].ID}
		if _, used := w.model.byID[other]; !used {
			e.ID = other.ID
			w.stats.Add("ids that two tenants use", 1)
		}
	}
	if rng.IntN(8) == 0 { // spans sectors
		e.Reason = fmt.Sprintf("%0*x", 300+rng.IntN(900), rng.Uint64())
	}
	return e
}

// useDisk puts mem under the next process.
func (w *world) useDisk(mem *vfs.Mem) {
	w.mem = mem
	mem.SetHook(func(vfs.Op) error {
		err := w.fault
		w.fault = nil
		return err
	})
}

// step lets the next thing happen.
func (w *world) step() {
	waiting := w.look()
	p := w.proc
	select {
	case <-p.gone:
		w.restart(false)
		return
	default:
	}
	if w.stumble(waiting) {
		return
	}
	inner, outer := w.eligible(waiting)
	pick := inner
	if len(outer) > 0 && (len(inner) == 0 || w.rng.Float64() < w.plan.hurry) {
		pick = outer
	}
	if len(pick) == 0 {
		w.pass()
		return
	}
	w.idle = 0
	t := pick[w.rng.IntN(len(pick))]
	if w.plan.slow != "" && !w.calm.Load() && strings.Contains(t.name, w.plan.slow) && w.rng.IntN(8) > 0 {
		t = pick[w.rng.IntN(len(pick))]
	}
	w.give(t)
}

// look waits until everybody waits, and takes who came into the trace.
func (w *world) look() []*turn {
	waiting, fresh := w.turns.settle()
	for _, t := range fresh {
		w.trace("+ ", t.name)
		if t.note != "" {
			w.trace("  ", t.name, ": ", t.note)
		}
	}
	return waiting
}

// eligible returns who may have a turn: of the process, and of the clients.
func (w *world) eligible(waiting []*turn) (inner, outer []*turn) {
	var last *turn
	for _, t := range waiting {
		switch {
		case t.last:
			last = t
		case t.who == nil:
			inner = append(inner, t)
		case !w.proc.serving.Load() || w.proc.stopped.Err() != nil:
		case w.calm.Load() && !t.who.wants():
		case !w.calm.Load() && strings.HasPrefix(t.name, "auditor"):
		default:
			outer = append(outer, t)
		}
	}
	if last != nil && len(inner) == 0 {
		inner = append(inner, last)
	}
	return inner, outer
}

// give gives t its turn, and may make its operation fail.
func (w *world) give(t *turn) {
	w.trace(t.name)
	w.fault = nil
	if t.who != nil {
		w.proc.calls.Add(1)
	}
	if t.op != noOp {
		at := len(w.ops)
		w.ops = append(w.ops, t.op)
		switch f := w.chosen.fault; {
		case at == w.chosen.at && f == nil:
			w.stats.Add("crashes", 1)
			w.die(func() *vfs.Mem { return w.mem.Crash(rand.New(rand.NewPCG(w.chosen.luck, 3))) })
			return
		case at == w.chosen.at:
			w.hurt(f)
		case w.burst > 0 && !w.calm.Load() && !t.op.reads():
			w.burst--
			w.hurt(&faults[0])
		case !w.calm.Load() && w.rng.Float64() < w.plan.fault:
			w.burst = max(0, w.rng.IntN(5)-2)
			if f := oneOf(w.rng, faults...); f.of(t.op) && (!t.op.reads() || w.plan.readFaults > 0) {
				w.hurt(&f)
			}
			if t.op.reads() {
				w.plan.readFaults--
			}
		}
	}
	w.turns.give(t, nil)
}

// hurt makes the operation fail whose turn it is.
func (w *world) hurt(f *fault) {
	w.trace("  fails: ", f.name)
	w.stats.Add("faults: "+f.name, 1)
	w.fault, w.proc.faulty = f.err, true
}

// stumble lets one of the things happen that are nobody's turn, or none.
func (w *world) stumble(waiting []*turn) bool {
	p := w.proc
	if p.stream != nil && p.serving.Load() && p.stream.Failed() != nil && (w.calm.Load() || w.rng.IntN(30) == 0) {
		w.trace("restart: the stream has failed")
		w.stats.Add("restarts after a failure", 1)
		p.stop()
		return true
	}
	if w.calm.Load() {
		return false
	}
	r := w.rng.Float64()
	below := func(likely float64) bool {
		r -= likely
		return r < 0
	}
	switch {
	case below(w.plan.crash):
		w.trace("crash")
		w.stats.Add("crashes", 1)
		w.die(func() *vfs.Mem { return w.mem.Crash(w.rng) })
	case below(w.plan.kill):
		w.trace("kill")
		w.stats.Add("kills", 1)
		w.die(func() *vfs.Mem { return w.mem })
	case below(w.plan.restart):
		if p.stopped.Err() != nil || !p.serving.Load() {
			return false
		}
		w.trace("restart")
		w.stats.Add("clean restarts", 1)
		p.stop()
	case below(w.plan.time):
		return w.timePasses(waiting)
	case below(w.plan.disconnect):
		return w.disconnect(waiting)
	default:
		return false
	}
	return true
}

// timePasses lets time pass, if nobody waits for a turn but the disk: a stage that
// was called answers before long.
func (w *world) timePasses(waiting []*turn) bool {
	if slices.ContainsFunc(waiting, func(t *turn) bool { return t.who == nil && t.op == noOp }) {
		return false
	}
	d := oneOf(w.rng, 20*time.Second, 20*time.Second, time.Minute, 10*time.Minute)
	w.trace("time passes: ", d.String())
	w.stats.Add("times that time passed", 1)
	w.sleep(d)
	return true
}

// disconnect ends a client's call, when nothing else goes on.
func (w *world) disconnect(waiting []*turn) bool {
	if slices.ContainsFunc(waiting, func(t *turn) bool { return t.who == nil }) {
		return false
	}
	for _, c := range w.clients {
		if c.cancel != nil {
			w.trace("disconnect ", c.name)
			c.cancel()
			return true
		}
	}
	return false
}

// pass lets a little time pass, because there is nothing else to do.
func (w *world) pass() {
	if w.idle++; w.idle > 500 {
		w.failf("nothing goes on any more")
		return
	}
	w.trace("nothing to do")
	w.sleep(20 * time.Second)
}

// sleep lets d pass, and a little more: timers that are due at one instant fire in
// an order that is left to chance, and the scheduler's own is to be with none.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d + time.Duration(1+w.rng.IntN(1_000_000)))
}

// die ends the process in the middle of everything; left is the disk after it.
func (w *world) die(left func() *vfs.Mem) {
	p := w.proc
	w.turns.kill(p)
	p.kill()
	mem := left()
	w.look()
	for range 10 {
		select {
		case <-p.gone:
			cut := mem != w.mem
			w.useDisk(mem)
			w.restart(cut)
			return
		default: // something sleeps and does not see that it is over
			w.sleep(20 * time.Second)
			w.look()
		}
	}
	w.failf("a process that was killed does not end")
}

// restart starts a process after another has ended, by a power cut or else.
func (w *world) restart(cut bool) {
	p := w.proc
	<-p.gone
	if p.err != nil && !p.dead && !p.faulty {
		w.failf("the server ended, and nothing had failed: %v", p.err)
	}
	if p.err != nil {
		w.trace("ended with an error")
	}
	w.stats.Add("starts", 1)
	left, err := readFile(w.mem, manifestFile)
	if err != nil && w.model.committed.Generation > 0 {
		w.failf("after a crash: %v", err)
	}
	w.model.reopened(left, cut)
	w.start()
}

func readFile(mem *vfs.Mem, name string) ([]byte, error) {
	f, err := mem.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

// finish brings everything to an end, with a disk that works: twice, so that what
// a restart finds is audited, too.
func (w *world) finish() {
	w.calm.Store(true)
	for range 2 {
		w.proc.stop()
		w.until("the process has stopped", func() bool { return w.ended() })
		w.until("the process serves", func() bool { return w.proc.serving.Load() })
		w.until("everything is acknowledged, indexed and read", func() bool {
			return !slices.ContainsFunc(w.clients, func(c *client) bool { return c.wants() && !c.audits() }) && w.quiet() && w.caughtUp()
		})
		if w.failed() {
			return
		}
		w.model.settled()
		w.auditor().due = true
		w.until("the audit is done", func() bool { return !w.auditor().due })
	}
	w.proc.stop()
	w.until("the process has stopped", func() bool { return w.ended() })
	w.until("the process serves", func() bool { return w.proc.serving.Load() })
	w.until("nothing goes on", w.quiet)
	w.model.leftovers()
}

func (w *world) auditor() *auditor { return w.clients[len(w.clients)-1].actor.(*auditor) }
func (c *client) audits() bool     { _, ok := c.actor.(*auditor); return ok }

// ended reports whether the process that was to stop has given way to another.
func (w *world) ended() bool { return w.proc.stopped.Err() == nil }

// quiet reports whether nobody of the process waits for a turn.
func (w *world) quiet() bool {
	return !slices.ContainsFunc(w.look(), func(t *turn) bool { return t.who == nil })
}

func (w *world) caughtUp() bool {
	end, err := w.proc.stream.End(context.Background())
	return err == nil && w.proc.store.Visible().Covers(end)
}

// until makes steps until done.
func (w *world) until(what string, done func() bool) {
	for range 100_000 {
		if w.failed() {
			return
		}
		w.look()
		if done() {
			return
		}
		w.step()
	}
	w.failf("it never came to this: %s", what)
}

// abandon ends what is left of the process and the clients.
func (w *world) abandon() {
	w.verbose = nil
	p := w.proc
	w.turns.kill(p)
	p.kill()
	waiting := w.look()
	for i := 0; len(waiting) < len(w.clients) && i < 10; i++ {
		w.sleep(time.Minute)
		waiting = w.look()
	}
	for _, t := range slices.Clone(waiting) {
		w.turns.give(t, io.EOF)
	}
	w.living.Wait()
	<-p.gone
}

// err returns what was found, or nil.
func (w *world) err() error {
	w.failMu.Lock()
	defer w.failMu.Unlock()
	var errs []error
	for _, f := range w.fails[:min(len(w.fails), 5)] {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}
