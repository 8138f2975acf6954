package index

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// Stats is what the indexer did since it was made.
type Stats struct {
	Indexed     int64            // events appended to the store
	Duplicates  int64            // records dropped as copies of an event that is stored
	DeadLetters map[string]int64 // records put into the dead-letter stream, by class of reason
	Appends     int64            // to the store
	Retries     int64            // attempts that failed
	Failing     *Failure         // what is being tried again now; nil: nothing
	Restored    int64            // events put back into the store from the stream after damage
	Missing     int64            // records that the stream had dropped before they were indexed
	Gaps        []stream.GapError
	Visible     event.Positions // what searches see everything before
	Newest      time.Time       // received_at of the last event appended; zero: none yet
}

// Failure is a step that does not succeed at the moment.
type Failure struct {
	Since time.Time
	Step  string
	Err   error // of the last attempt
}

// slowAppend is after how long an append that has not returned counts as failing.
// A store takes rows at once, unless it has to write first and cannot.
const slowAppend = 5 * time.Second

var errSlowAppend = errors.New("the store takes no rows; its own log says what it waits for")

// stuck returns the append that does not return, or nil.
func (c *counters) stuck() *Failure {
	began := c.appending.Load()
	if began == 0 || time.Since(time.Unix(0, began)) < slowAppend {
		return nil
	}
	return &Failure{Since: time.Unix(0, began), Step: stepAppend, Err: errSlowAppend}
}

// maxGaps is how many gaps Stats lists. Missing counts them all.
const maxGaps = 100

type counters struct {
	indexed, duplicates, appends, retries, restored, newest atomic.Int64
	failing                                                 atomic.Pointer[Failure]
	appending                                               atomic.Int64 // when the append that runs began; 0: none runs

	mu          sync.Mutex
	deadLetters map[string]int64 // guarded by mu, as what follows
	missing     int64
	gaps        []stream.GapError
}

func (c *counters) addGap(g stream.GapError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing += g.To - g.From
	if len(c.gaps) < maxGaps {
		c.gaps = append(c.gaps, g)
	}
}

func (c *counters) addDeadLetter(d *DeadLetter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadLetters == nil {
		c.deadLetters = make(map[string]int64)
	}
	c.deadLetters[d.Class]++
}

// Stats returns what the indexer did so far.
func (x *Indexer) Stats() Stats {
	s := Stats{
		Indexed: x.indexed.Load(), Duplicates: x.duplicates.Load(), Appends: x.appends.Load(), Retries: x.retries.Load(),
		Restored: x.restored.Load(),
		Failing:  x.failing.Load(), Visible: x.store.Visible().Clone(),
	}
	if s.Failing == nil {
		s.Failing = x.stuck()
	}
	if ns := x.newest.Load(); ns != 0 {
		s.Newest = time.Unix(0, ns)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s.DeadLetters = maps.Clone(x.deadLetters)
	s.Missing = x.missing
	s.Gaps = append(s.Gaps, x.gaps...)
	return s
}

// askWithin bounds how long Lag waits for a stream that does not answer: those
// who ask are probes, and give up soon.
const askWithin = 2 * time.Second

// Lag returns how many records the stream holds that cannot be searched yet. It
// fails when the stream does not say within two seconds where it ends.
func (x *Indexer) Lag(ctx context.Context) (records int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	end, err := x.stream.End(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the stream's end: %w", err)
	}
	visible := x.store.Visible()
	for p, offset := range end {
		records += max(0, offset-visible.At(int32(p)))
	}
	return records, nil
}
