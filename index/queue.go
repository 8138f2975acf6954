package index

import (
	"context"
	"sync"

	"github.com/daybook-log/daybook/stream"
)

// chunk is what one call of the stream's reader returned, records or a gap; or
// a request to rebuild what the store misses.
type chunk struct {
	batch   *stream.Batch
	gap     *stream.GapError
	rebuild bool
}

// queue holds what was read and not indexed yet, bounded by bytes. Reading
// ahead lets the indexer take everything that is there without ever waiting
// for more: while the store is busy the queue fills and the next append is
// large, while it is idle every record is appended as it comes.
type queue struct {
	maxBytes int
	filled   chan struct{} // holds a token when there may be something to take
	drained  chan struct{} // holds a token when there may be room

	mu     sync.Mutex
	chunks []chunk // guarded by mu, as what follows
	bytes  int
	err    error // why nothing more will come
}

func newQueue(maxBytes int) *queue {
	return &queue{maxBytes: maxBytes, filled: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

// put adds c, waiting while the queue is full.
func (q *queue) put(ctx context.Context, c chunk) error {
	for {
		q.mu.Lock()
		if q.bytes < q.maxBytes {
			q.chunks = append(q.chunks, c)
			q.bytes += c.size()
			q.mu.Unlock()
			signal(q.filled)
			return nil
		}
		q.mu.Unlock()
		select {
		case <-q.drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// force adds c without waiting, unless it is the last one already.
func (q *queue) force(c chunk) {
	q.mu.Lock()
	if n := len(q.chunks); n == 0 || q.chunks[n-1] != c {
		q.chunks = append(q.chunks, c)
	}
	q.mu.Unlock()
	signal(q.filled)
}

// fail says that nothing more will come, and why.
func (q *queue) fail(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.filled)
}

// take moves everything that is there to into, waiting while there is nothing.
// What was put before fail is taken first.
func (q *queue) take(ctx context.Context, into []chunk) ([]chunk, error) {
	for {
		q.mu.Lock()
		if len(q.chunks) > 0 {
			into = append(into, q.chunks...)
			clear(q.chunks)
			q.chunks, q.bytes = q.chunks[:0], 0
			q.mu.Unlock()
			signal(q.drained)
			return into, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return into, err
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
			return into, ctx.Err()
		}
	}
}

func (c chunk) size() int {
	if c.batch == nil {
		return 0
	}
	return len(c.batch.Data) + 8*len(c.batch.Ends)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
