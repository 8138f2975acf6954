package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// machine is an embedded Daybook: log, index and store over one file system,
// and the listener before them.
type machine struct {
	fsys    vfs.FS
	dir     string
	log     *wal.Log
	store   *segment.Store
	stream  *tap
	metrics *ingest.Metrics
	server  *Server
	stop    func()
}

// tap is the stream as ingest sees it; a test may make its appends wait or fail.
type tap struct {
	ingest.Stream
	mu     sync.Mutex
	before func() error // of an append; nil: nothing
}

func (s *tap) Append(ctx context.Context, b *stream.Batch) error {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return s.Stream.Append(ctx, b)
}

// fail makes every append fail with err; nil: no more.
func (s *tap) fail(err error) {
	if err == nil {
		s.do(nil)
		return
	}
	s.do(func() error { return fmt.Errorf("append: %w", err) })
}

func (s *tap) do(before func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// boot starts a Daybook in memory.
func boot(t testing.TB, o Options) *machine {
	t.Helper()
	return start(t, vfs.NewMem(), "", o)
}

// start starts a Daybook over a file system, which may hold one already.
func start(t testing.TB, fsys vfs.FS, dir string, o Options) *machine {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{fsys: fsys, dir: dir, metrics: new(ingest.Metrics)}
	var err error
	m.log, err = wal.Open(fsys, filepath.Join(dir, "log"), wal.Options{}, quiet)
	must(err)
	dead, err := wal.Open(fsys, filepath.Join(dir, "dead"), wal.Options{}, quiet)
	must(err)
	letters, err := index.OpenDeadLetters(t.Context(), dead)
	must(err)
	m.store, err = segment.Open(fsys, filepath.Join(dir, "store"), segment.Options{}, quiet)
	must(err)
	x, err := index.New(t.Context(), index.Options{Stream: m.log, Store: m.store, Restorer: m.store, DeadLetters: letters, Logger: quiet})
	must(err)
	m.stream = &tap{Stream: m.log}
	o.Publisher = ingest.NewPublisher(ingest.PublisherOptions{Stream: m.stream, Store: m.store, Metrics: m.metrics})
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	o.ClusterID = m.log.ID().String()
	m.server, err = Open(t.Context(), o)
	must(err)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.store.Run(ctx) }) // which end with ctx
	running.Go(func() { _ = x.Run(ctx) })
	end, err := m.log.End(ctx)
	must(err)
	must(m.store.Wait(t.Context(), end)) // until then a duplicate is not seen
	serving, unplug := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.server.Run(serving) }()
	m.stop = sync.OnceFunc(func() {
		unplug()
		if err := <-served; err != nil {
			t.Errorf("listener: %v", err)
		}
		cancel()
		running.Wait()
		_ = m.log.Close() // which a test may have made fail
		_ = dead.Close()
		_ = m.store.Close()
	})
	t.Cleanup(m.stop)
	return m
}

// restart stops the Daybook, with nothing frozen, as after a crash, but for what
// the listener has read, which it answers; and starts another over what is on the
// disk.
func (m *machine) restart(t testing.TB, o Options) *machine {
	t.Helper()
	m.stop()
	o.Listen = m.addr()
	return start(t, m.fsys, m.dir, o)
}

func (m *machine) addr() string { return m.server.Addr().String() }

// events returns what the store holds once the index has come to the stream's
// end, in the order of the stream.
func (m *machine) events(t testing.TB) []event.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	end, err := m.log.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.store.Wait(ctx, end); err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	err = m.store.Scan(ctx, store.Scan{Range: store.AllTime, Order: store.ByPosition}, func(e *event.Event) bool {
		events = append(events, e.Clone())
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// users returns the user_id of each event, in the order of the stream.
func (m *machine) users(t testing.TB) []string {
	t.Helper()
	var users []string
	for _, e := range m.events(t) {
		users = append(users, e.UserID)
	}
	return users
}

// await returns when n events have been accepted.
func (m *machine) await(t testing.TB, n int64) {
	t.Helper()
	until(t, func() bool { return m.metrics.Accepted.Load() >= n })
}

// until waits for what another goroutine brings about.
func until(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was waited for has not come")
		}
	}
}

// dial opens a connection to the listener.
func (m *machine) dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", m.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// eventOf returns an event's JSON.
func eventOf(user string) string {
	return fmt.Sprintf(`{"user_id":%q,"action":"document.read","resource":"document/1"}`, user)
}
