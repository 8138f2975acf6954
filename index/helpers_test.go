package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// cellar is a store in memory that can fail, and that loses what it has not
// committed when it is reopened, as the embedded store's head does.
type cellar struct {
	mu        sync.Mutex
	log       event.LogID
	rows      []event.Event
	known     map[event.Identity]event.Position
	visible   event.Positions
	committed event.Positions
	kept      int // rows that are committed
	changed   chan struct{}
	fail      func(step string) error // nil: never
	appends   []int                   // rows of each
}

func newCellar() *cellar {
	return &cellar{known: make(map[event.Identity]event.Position), changed: make(chan struct{})}
}

func (c *cellar) failure(step string) error {
	if c.fail == nil {
		return nil
	}
	return c.fail(step)
}

func (c *cellar) Follow(log event.LogID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log != log && !c.log.IsZero() {
		return fmt.Errorf("%w: %s is not %s", store.ErrForeignLog, log, c.log)
	}
	c.log = log
	return nil
}

func (c *cellar) Append(ctx context.Context, rows []event.Event, reached event.Positions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure("append"); err != nil {
		return err
	}
	if !reached.Covers(c.visible) {
		return fmt.Errorf("position goes back from %v to %v", c.visible, reached)
	}
	for i := range rows {
		e := rows[i].Clone()
		if _, ok := c.known[e.Identity()]; ok {
			return fmt.Errorf("%s is appended twice", e.ID)
		}
		if !reached.Includes(e.Position()) || c.visible.Includes(e.Position()) {
			return fmt.Errorf("row at %v outside %v to %v", e.Position(), c.visible, reached)
		}
		c.known[e.Identity()] = e.Position()
		c.rows = append(c.rows, e)
	}
	c.visible = reached
	c.appends = append(c.appends, len(rows))
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *cellar) Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure("known"); err != nil {
		return err
	}
	for i, id := range ids {
		pos, ok := c.known[id]
		if ok {
			k := slices.IndexFunc(c.rows, func(e event.Event) bool { return e.Identity() == id })
			ok = c.rows[k].ReceivedAt >= since
		}
		if !ok {
			pos.Offset = -1
		}
		found[i] = pos
	}
	return nil
}

func (c *cellar) Visible() event.Positions {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.visible.Clone()
}
func (c *cellar) Committed() event.Positions {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.committed.Clone()
}

func (c *cellar) Wait(ctx context.Context, pos event.Positions) error {
	for {
		c.mu.Lock()
		ok, changed := c.visible.Covers(pos), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *cellar) commit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.committed, c.kept = c.visible.Clone(), len(c.rows)
}

// reopen returns what a crash leaves of c.
func (c *cellar) reopen() *cellar {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := newCellar()
	n.rows = slices.Clone(c.rows[:c.kept])
	n.log, n.kept, n.visible, n.committed = c.log, c.kept, c.committed.Clone(), c.committed.Clone()
	for _, e := range n.rows {
		n.known[e.Identity()] = e.Position()
	}
	return n
}

func (c *cellar) offsets() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var o []int64
	for _, e := range c.rows {
		o = append(o, e.Offset)
	}
	return o
}

func openLog(t testing.TB, o wal.Options) *wal.Log {
	t.Helper()
	log, err := wal.Open(vfs.NewMem(), "log", o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func openLetters(t testing.TB, s LetterStream) *DeadLetters {
	t.Helper()
	l, err := OpenDeadLetters(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// identityOf returns the n-th identity. One in four has the ID of the one before, of
// another tenant.
func identityOf(n int) event.Identity {
	tenant := "default"
	if n%4 == 0 {
		tenant, n = "acme", n-1
	}
	id, _ := event.ParseID(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n))
	return event.Identity{TenantID: tenant, ID: id}
}

// record returns the canonical bytes of an event with the n-th identity.
func record(n int) []byte {
	id := identityOf(n)
	e := event.Event{ID: id.ID, Timestamp: int64(n) * int64(time.Second), UserID: "alice", Action: "a", Resource: "r",
		TenantID: id.TenantID, Outcome: "unknown", Operation: "other", UserType: "user"}
	return event.AppendCanonical(nil, &e)
}

// put appends records in one batch.
func put(t testing.TB, s interface {
	Append(context.Context, *stream.Batch) error
}, records ...[]byte) {
	t.Helper()
	b := new(stream.Batch)
	for _, r := range records {
		b.Add(stream.Key{}, r)
	}
	if err := s.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// start runs an indexer until stop is called, which returns Run's error.
func start(t testing.TB, o Options) (x *Indexer, stop func() error) {
	t.Helper()
	x, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { stop() })
	return x, stop
}

func drain(t testing.TB, x *Indexer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.Drain(ctx); err != nil {
		t.Fatalf("drain: %v", err)
	}
}

var errAway = errors.New("store is away")

// syncBuffer is a buffer that many goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
