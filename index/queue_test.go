package index

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/daybook-log/daybook/stream"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		one := chunk{batch: &stream.Batch{Data: make([]byte, 52), Ends: []uint32{52}}} // 60 bytes
		put := make(chan int, 10)
		go func() {
			for i := range 3 {
				if err := q.put(t.Context(), one); err != nil {
					t.Error(err)
				}
				put <- i
			}
			q.fail(errors.New("end"))
		}()
		synctest.Wait()
		if len(put) != 2 {
			t.Errorf("%d chunks of 60 bytes put into a queue of 100, want 2", len(put))
		}
		got, err := q.take(t.Context(), nil)
		if len(got) != 2 || err != nil {
			t.Errorf("took %d, %v", len(got), err)
		}
		synctest.Wait()
		if got, err = q.take(t.Context(), nil); len(got) != 1 || err != nil {
			t.Errorf("took %d, %v: what was put before the end comes first", len(got), err)
		}
		if _, err = q.take(t.Context(), nil); err == nil || err.Error() != "end" {
			t.Errorf("at the end: %v", err)
		}
	})
}

func TestQueueCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := newQueue(0)
	cancel()
	if _, err := q.take(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("take: %v", err)
	}
	if err := q.put(ctx, chunk{}); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
}
