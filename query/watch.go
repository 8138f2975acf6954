package query

import (
	"context"
	"sync"
	"time"

	"github.com/daybook-log/daybook/event"
)

// watch tells any number of tails that the store has moved on, for the price of
// one waiter per partition and one closed channel. It runs while a tail does.
type watch struct {
	store Store

	mu    sync.Mutex
	moved chan struct{} // guarded by mu: closed, and replaced, when the store has moved
	tails int           // guarded by mu
	stop  func()        // guarded by mu: ends the waiters
}

// spacing is the least time between two wake-ups, per tail. To be woken and to
// find nothing new among a few hundred rows costs a tail about 10 µs with the
// embedded store (2 to 3 µs of it here, BenchmarkTails), so however many tails
// there are and however often the store moves, following it takes a fifth of a
// core: measured, 0.16 with a thousand. A lone tail is woken at once.
const spacing = 50 * time.Microsecond

func newWatch(s Store) *watch { return &watch{store: s, moved: make(chan struct{})} }

// join makes the watch run; each call is paired with one of leave. partitions is
// how many the stream has.
func (w *watch) join(partitions int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tails++
	if w.tails > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for p := range max(1, partitions) {
		running.Go(func() { w.follow(ctx, int32(p)) })
	}
	w.stop = func() { cancel(); running.Wait() }
}

func (w *watch) leave() {
	w.mu.Lock()
	w.tails--
	var stop func()
	if w.tails == 0 {
		stop, w.stop = w.stop, nil
	}
	w.mu.Unlock()
	if stop != nil {
		stop() // without the lock, which the waiters take
	}
}

// next returns a channel that is closed when the store moves. A tail takes it
// before it looks at where the store stands, and so misses nothing.
func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}

// follow wakes the tails whenever the store has moved in one partition. Where it
// waits from is read before the tails are woken: a tail that looked earlier is
// woken now, and a move after that ends the wait.
func (w *watch) follow(ctx context.Context, partition int32) {
	for {
		at := w.store.Visible().At(partition)
		w.mu.Lock()
		close(w.moved)
		w.moved = make(chan struct{})
		pause := time.Duration(w.tails) * spacing
		w.mu.Unlock()
		if pause >= time.Millisecond { // less is below what a timer resolves; a few tails keep up by themselves
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
		if w.store.Wait(ctx, event.Positions(nil).Advance(partition, at+1)) != nil {
			return // the watch was stopped, or the store closed and every scan says so
		}
	}
}
