package sim

import (
	"math/rand/v2"
	"time"

	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream/wal"
)

// plan is what a seed decides before a run.
type plan struct {
	steps                                              int
	events, batch                                      int // batch: the most new events of one request
	publishers, tailers, searchers, readers, consumers int

	store       segment.Options
	stream      wal.Options
	serveAtOnce bool // without waiting for the index
	readsWait   bool // for their turn, and fail

	hurry float64 // how often it is a client's turn
	slow  string  // what waits longer for its turn than others: a part of its name

	// How likely, each time that somebody gets a turn.
	crash, kill, restart, fault, time, disconnect float64
	readFaults                                    int // at most so many reads fail
}

// oneOf returns one of vs.
func oneOf[T any](rng *rand.Rand, vs ...T) T { return vs[rng.IntN(len(vs))] }

func newPlan(rng *rand.Rand) plan {
	p := plan{
		steps: 200 + rng.IntN(600), events: 20 + rng.IntN(50), batch: oneOf(rng, 1, 2, 5),
		publishers: 1 + rng.IntN(4), tailers: rng.IntN(3), searchers: rng.IntN(3), readers: rng.IntN(3), consumers: rng.IntN(2),
		store: segment.Options{
			HeadRows: oneOf(rng, 6, 16, 40), HeadAge: oneOf(rng, 10*time.Second, 10*time.Second, time.Minute, time.Hour),
			CacheBytes: oneOf(rng, int64(1), 64<<10, 8<<20), FilterBytes: oneOf(rng, int64(1), 1<<20),
			RetainAge: oneOf(rng, 0, 0, 5*time.Minute, time.Hour), RetainBytes: oneOf(rng, int64(0), 0, 30_000, 90_000),
		},
		stream: wal.Options{
			SegmentBytes: oneOf(rng, int64(400), 1500, 6000), TailCacheBytes: oneOf(rng, int64(1), 1000, 1<<20), IndexEvery: 300,
			RetainAge: oneOf(rng, 0, time.Minute), RetainBytes: oneOf(rng, int64(0), 1, 3000),
		},
		serveAtOnce: rng.IntN(6) == 0, readsWait: rng.IntN(5) == 0,
		hurry:      oneOf(rng, 0.02, 0.1, 0.4),
		slow:       oneOf(rng, "", "", "store/", "MANIFEST", "stream/", "index", "takes", "Sync", "parquet", "ingest", "query"),
		crash:      oneOf(rng, 0, 0, 0.002, 0.01),
		kill:       oneOf(rng, 0, 0, 0.002, 0.01),
		restart:    oneOf(rng, 0, 0.002, 0.01),
		fault:      oneOf(rng, 0, 0, 0.003, 0.03),
		time:       oneOf(rng, 0.001, 0.01, 0.03),
		disconnect: oneOf(rng, 0, 0.05),
		readFaults: 2, // a file that cannot be read three times is set aside as damaged
	}
	if rng.IntN(4) == 0 { // many small segments, to be merged
		p.store.HeadRows, p.store.HeadAge, p.store.RetainBytes, p.batch = 64, 10*time.Second, oneOf(rng, int64(0), 60_000), 2
		p.hurry, p.time = 0.05, 0.4
	}
	return p
}

// shortPlan is for runs that are repeated with something happening at each
// operation in turn: little of everything, and nothing by chance.
func shortPlan(rng *rand.Rand) plan {
	p := newPlan(rng)
	p.steps, p.events, p.batch = 700, 60, 1
	p.publishers, p.tailers, p.searchers, p.readers, p.consumers = 2, 1, 1, 1, 1
	p.store.HeadRows, p.store.HeadAge, p.store.CacheBytes = 40, 10*time.Second, 64<<10
	p.store.RetainBytes, p.store.RetainAge = 24_000, 0
	p.stream.SegmentBytes, p.stream.RetainBytes = 400, 1
	p.serveAtOnce = false
	p.slow, p.hurry = "", 0.1
	p.crash, p.kill, p.fault, p.disconnect = 0, 0, 0, 0
	p.restart, p.time = 0.01, 0.4
	return p
}
