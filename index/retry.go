package index

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pauses between attempts double from the first to the longest. Each is
// shortened by up to a half at random, so that many indexers do not come back
// to a store that recovers at the same moment.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 15 * time.Second
)

// persist calls do until it succeeds or ctx ends, and reports what happens to
// the log and to Stats.
func (x *Indexer) persist(ctx context.Context, what string, do func(context.Context) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := do(ctx)
		if err == nil {
			if attempt > 1 {
				x.failing.Store(nil)
				x.log.Info("works again", "step", what, "attempts", attempt)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x.retries.Add(1)
		if attempt == 1 || pause == longestPause {
			x.log.Warn("failed; will be tried until it works", "step", what, "attempt", attempt, "error", err)
		}
		if was := x.failing.Load(); was == nil {
			x.failing.Store(&Failure{Since: time.Now(), Step: what, Err: err})
		} else {
			x.failing.Store(&Failure{Since: was.Since, Step: what, Err: err})
		}
		if err := sleep(ctx, pause-rand.N(pause/2)); err != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
