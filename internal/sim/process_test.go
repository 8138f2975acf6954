package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream/wal"
)

// Folders and files of the data folder, as in cmd/daybook.
const (
	dataDir      = "/data"
	storeDir     = dataDir + "/store"
	streamDir    = dataDir + "/stream"
	deadDir      = dataDir + "/dead-letters"
	manifestFile = storeDir + "/MANIFEST"
)

// process is one life of the server: what cmd/daybook wires, on a disk of its own.
type process struct {
	w    *world
	disk *disk
	log  *slog.Logger

	dead     bool // guarded by turns.mu
	locks    []io.Closer
	manifest []byte // as it is being written
	faulty   bool   // an operation of this process was made to fail
	failedAt int64  // the stream's end when an fsync of it failed; -1

	ctx     context.Context // ends with the process
	kill    context.CancelFunc
	stopped context.Context // ends when the process is to stop
	stop    context.CancelFunc
	calls   sync.WaitGroup // of clients, under way
	gone    chan struct{}  // closed when nothing of it is left
	err     error          // why it ended; set before gone is closed

	store   *segment.Store
	stream  *wal.Log
	letters *wal.Log
	index   *index.Indexer
	publish *ingest.Publisher
	metrics ingest.Metrics
	engine  *query.View
	replay  event.Positions

	serving  atomic.Bool // calls of clients are taken
	caughtUp bool        // and were not before the index had caught up
}

// start starts a process on w's disk.
func (w *world) start() {
	p := &process{w: w, disk: &disk{mem: w.mem}, log: slog.New(&logHandler{w}), failedAt: -1, gone: make(chan struct{})}
	p.disk.p = p
	p.ctx, p.kill = context.WithCancel(context.Background())
	p.stopped, p.stop = context.WithCancel(p.ctx)
	w.proc = p
	go p.main()
}

func (p *process) turn(name string) error { return p.w.turns.wait(&turn{name: name, of: p}) }

func (p *process) streamFailed() {
	if p.stream != nil && p.failedAt < 0 {
		end, err := p.stream.End(context.Background())
		if err == nil {
			p.failedAt = end.At(0)
		}
	}
}

func (p *process) main() {
	defer close(p.gone)
	if p.err = p.open(); p.err == nil {
		p.err = p.run()
	}
	p.err = errors.Join(p.err, p.close())
}

// open is openServer of cmd/daybook.
func (p *process) open() (err error) {
	o := &p.w.plan
	if err := p.disk.MkdirAll(dataDir); err != nil {
		return err
	}
	if _, err := p.disk.Lock(filepath.Join(dataDir, "LOCK")); err != nil {
		return err
	}
	if p.store, err = segment.Open(p.disk, storeDir, o.store, p.log); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if p.stream, err = wal.Open(p.disk, streamDir, o.stream, p.log); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if p.letters, err = wal.Open(p.disk, deadDir, wal.Options{SegmentBytes: 8 << 20}, p.log); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	letters, err := index.OpenDeadLetters(p.ctx, p.letters)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	if p.replay, err = p.stream.End(p.ctx); err != nil {
		return err
	}
	indexed := storeSeam{p.store, p, "index"}
	p.index, err = index.New(p.ctx, index.Options{
		Stream: streamSeam{p.stream, p, "index"}, Store: indexed, Restorer: indexed, DeadLetters: letters, Logger: p.log,
	})
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	p.publish = ingest.NewPublisher(ingest.PublisherOptions{
		Stream: streamSeam{p.stream, p, "ingest"}, Store: storeSeam{p.store, p, "ingest"}, Metrics: &p.metrics,
	})
	engine := query.New(query.Options{
		Store: storeSeam{p.store, p, "query"}, Stream: streamSeam{p.stream, p, "query"}, Heartbeat: never,
	})
	p.engine, err = engine.View(access.Scope{}, time.Now())
	return err
}

// never is longer than any run: a tail's heartbeat says nothing of the events.
const never = 10_000 * time.Hour

// Times of cmd/daybook.
const (
	catchUp  = 10 * time.Second
	drainFor = 5 * time.Second
)

// run is server.Run of cmd/daybook.
func (p *process) run() error {
	store, retention, indexer := p.startPart("store", p.store.Run), p.startPart("retention", p.retain), p.startPart("index", p.index.Run)
	if !p.w.plan.serveAtOnce {
		wait, cancel := context.WithTimeout(p.stopped, catchUp)
		p.caughtUp = storeSeam{p.store, p, "start"}.Wait(wait, p.replay) == nil
		cancel()
	}
	p.serving.Store(true)
	<-p.stopped.Done()
	p.serving.Store(false)
	p.hangUp()
	p.calls.Wait()
	p.w.model.stopping(p)

	final, cancel := context.WithTimeout(p.ctx, drainFor)
	_ = p.index.Drain(final) // what is not done is replayed
	cancel()
	err := errors.Join(indexer.end(), retention.end())
	if p.turn("stop: flush") == nil {
		final, cancel := context.WithTimeout(p.ctx, drainFor)
		_ = p.store.Flush(final)
		cancel()
	}
	return errors.Join(err, store.end())
}

// hangUp ends the tails, one after the other and each when it waits for events:
// which of two is the last and so waits for the engine, and which of two reasons
// to go on a tail sees first, would be left to chance.
func (p *process) hangUp() {
	for _, c := range p.w.clients {
		if _, ok := c.actor.(*tailer); ok && p.w.turns.wait(&turn{name: "stop: hang up " + c.name, of: p, last: true}) == nil && c.cancel != nil {
			c.cancel()
		}
	}
}

// part is a component that runs.
type part struct {
	p      *process
	name   string
	cancel context.CancelFunc
	done   chan error
}

// startPart runs a component. When it ends by itself, the process stops.
func (p *process) startPart(name string, run func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(p.ctx)
	t := &part{p, name, cancel, make(chan error, 1)}
	go func() {
		err := run(ctx)
		p.stop()
		t.done <- err
	}()
	return t
}

// end ends t, once nobody of the process waits for a turn: of several reasons to
// go on, a loop that is busy would see any first.
func (t *part) end() error {
	_ = t.p.w.turns.wait(&turn{name: "stop: end of " + t.name, of: t.p, last: true})
	t.cancel()
	return <-t.done
}

func (p *process) retain(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if p.turn("retention: tick") == nil {
				p.stream.Retain()
			}
		}
	}
}

func (p *process) close() error {
	var errs []error
	for _, l := range []*wal.Log{p.stream, p.letters} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	for _, l := range p.locks { // a kernel does so for a process that has died
		errs = append(errs, l.Close())
	}
	p.kill()
	return errors.Join(errs...)
}

// logHandler counts what is logged, and shows it in the trace.
type logHandler struct{ w *world }

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *logHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *logHandler) WithGroup(string) slog.Handler            { return h }

// impossible are messages of what neither a crash nor a fault may bring about.
var impossible = map[string]bool{
	"events are missing: the stream dropped them before they were indexed":                                      true,
	"keeping a segment that the manifest does not know, which seems to be an old copy":                          true,
	"a segment is damaged; it was set aside and its events are missing until they are restored from the stream": true,
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	h.w.stats.Add(r.Message, 1)
	if h.w.verbose == nil && !impossible[r.Message] {
		return nil
	}
	line := "log: " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	if h.w.verbose != nil {
		h.w.verbose(line)
	}
	if impossible[r.Message] {
		h.w.failf("%s", line)
	}
	return nil
}
