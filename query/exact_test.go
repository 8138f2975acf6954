package query_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/store/storetest"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

var (
	exactSeed  = flag.Uint64("exact.seed", 1, "the first seed of TestExact")
	exactSeeds = flag.Uint64("exact.seeds", 5, "how many seeds TestExact runs")
)

// TestExact runs the real stream, index, store and engine in virtual time, under
// publishers, freezes, merges, retention and restarts, all drawn from a seed, and
// reads along: tails whose connections are cut anywhere, searches page by page,
// exports. What each of them got is compared with what the log holds.
func TestExact(t *testing.T) {
	var total tally
	for seed := *exactSeed; seed < *exactSeed+*exactSeeds; seed++ {
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newPlant(t, seed).run(&total) })
		})
		if !ok {
			t.Fatalf("repeat it with: go test ./query -run TestExact -exact.seed %d -exact.seeds 1", seed)
		}
	}
	t.Logf("%d seeds from %d: %+v", *exactSeeds, *exactSeed, total)
}

// tally says how much happened.
type tally struct {
	Records, Events, Dropped, Merges, Restarts, Connections, Pages, Exports int
}

// plant is all of a server but HTTP, on a disk in memory, that can be restarted.
type plant struct {
	t    *testing.T
	fs   *vfs.Mem
	rng  *rand.Rand // of the goroutine that starts the server
	opts segment.Options

	tally   tally // Connections, Pages and Exports are guarded by mu
	mu      sync.Mutex
	server  *server                         // guarded by mu; nil while it is down
	up      chan struct{}                   // guarded by mu: closed, and replaced, when it is up
	recent  []sent                          // guarded by mu: what was published last
	ids     []string                        // guarded by mu: of tails, to go on from
	verdict []func(*querytest.Oracle) error // guarded by mu
}

// sent is an event that was published.
type sent struct {
	event []byte
	at    time.Time
}

// server is one life of the plant.
type server struct {
	ctx    context.Context // ends with it
	stop   func()
	log    *wal.Log
	dead   *wal.Log
	store  *segment.Store
	engine *query.View
	users  sync.WaitGroup // calls under way
	parts  sync.WaitGroup
}

func newPlant(t *testing.T, seed uint64) *plant {
	p := &plant{t: t, fs: vfs.NewMem(), rng: rand.New(rand.NewPCG(seed, 1)), up: make(chan struct{})}
	p.opts = segment.Options{HeadRows: 20 + p.rng.IntN(200), HeadAge: time.Duration(5+p.rng.IntN(25)) * time.Second}
	switch p.rng.IntN(3) { // a copy comes within a minute, when retention has not dropped the original
	case 0:
		p.opts.RetainAge = time.Duration(3+p.rng.IntN(5)) * time.Minute
	case 1:
		p.opts.RetainBytes = int64(50+p.rng.IntN(300)) << 10
	}
	return p
}

// random returns a generator for one more goroutine.
func (p *plant) random() *rand.Rand { return rand.New(rand.NewPCG(p.rng.Uint64(), p.rng.Uint64())) }

func (p *plant) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) start() {
	quiet := slog.New(slog.DiscardHandler)
	s := new(server)
	s.ctx, s.stop = context.WithCancel(context.Background())
	var err error
	s.store, err = segment.Open(p.fs, "/data/store", p.opts, quiet)
	p.must(err)
	s.log, err = wal.Open(p.fs, "/data/stream", wal.Options{SegmentBytes: 20_000}, quiet)
	p.must(err)
	s.dead, err = wal.Open(p.fs, "/data/dead-letters", wal.Options{}, quiet)
	p.must(err)
	letters, err := index.OpenDeadLetters(s.ctx, s.dead)
	p.must(err)
	indexer, err := index.New(s.ctx, index.Options{Stream: s.log, Store: s.store, Restorer: s.store, DeadLetters: letters})
	p.must(err)
	late := pause(p.rng, 5*time.Second) // until then the store lacks what was in memory
	s.parts.Go(func() {
		time.Sleep(late)
		if err := indexer.Run(s.ctx); err != nil {
			p.t.Error(err)
		}
	})
	s.parts.Go(func() {
		if err := s.store.Run(s.ctx); err != nil {
			p.t.Error(err)
		}
	})
	s.engine = all(query.New(query.Options{Store: s.store, Stream: s.log}))
	s.engine.SetTailStep(int64(1 + p.rng.IntN(100)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = s
	close(p.up)
	p.up = make(chan struct{})
}

// down stops the server as a kill does: what was in memory is lost.
func (p *plant) down() {
	p.mu.Lock()
	s := p.server
	p.server = nil
	p.mu.Unlock()
	s.stop()
	s.users.Wait()
	s.parts.Wait()
	p.tally.Merges += int(s.store.Stats().Compactions)
	p.tally.Dropped += int(s.store.Stats().Expired)
	p.must(errors.Join(s.log.Close(), s.dead.Close(), s.store.Close()))
}

// use calls do with the server, waiting while it is down. ctx ends with its life;
// then do's error is none.
func (p *plant) use(do func(ctx context.Context, s *server) error) {
	for {
		p.mu.Lock()
		s, up := p.server, p.up
		if s != nil {
			s.users.Add(1)
		}
		p.mu.Unlock()
		if s == nil {
			<-up
			continue
		}
		err := do(s.ctx, s)
		ended := s.ctx.Err() != nil
		s.users.Done()
		if err == nil {
			return
		}
		if !ended {
			p.t.Fatal(err)
		}
	}
}

func (p *plant) floor(ctx context.Context, s *server) int64 {
	floor, err := querytest.Floor(ctx, s.store)
	if err != nil && ctx.Err() == nil {
		p.t.Error(err)
	}
	return floor
}

// judge keeps what an answer is to be judged by, once the log is known.
func (p *plant) judge(check func(*querytest.Oracle) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verdict = append(p.verdict, check)
}

func (p *plant) run(total *tally) {
	p.start()
	var publishers, readers, gardener sync.WaitGroup
	for range 3 {
		rng := p.random()
		publishers.Go(func() { p.publish(rng) })
	}
	done := make(chan struct{})
	for range 3 {
		rng := p.random()
		readers.Go(func() { p.follow(rng, done) })
	}
	for range 2 {
		wanders, pages := p.random(), p.random()
		readers.Go(func() { p.wander(wanders, done) })
		readers.Go(func() { p.page(pages, done) })
	}
	gardener.Go(func() { p.garden(done) }) // from here on p.rng is its own
	publishers.Wait()
	close(done)
	gardener.Wait()
	readers.Wait()
	p.use(func(ctx context.Context, s *server) error {
		oracle, err := querytest.ReadLog(ctx, s.log)
		if err != nil {
			return err
		}
		for _, check := range p.verdict {
			if err := check(oracle); err != nil {
				p.t.Error(err)
			}
		}
		p.tally.Records += int(s.log.Stats().End)
		p.tally.Events += oracle.Len()
		return nil
	})
	p.down()
	total.add(p.tally)
}

// publish appends batches to the log: events whose times tie and jump, copies of
// recent ones, and now and then a record that is no event.
func (p *plant) publish(rng *rand.Rand) {
	source := storetest.NewSource(rng, 1)
	grain := []int64{1, 5_000_000, 1_000_000_000}[rng.IntN(3)] // how many events share a time
	for range 120 {
		time.Sleep(pause(rng, 8*time.Second))
		var b stream.Batch
		for range 1 + rng.IntN(1+rng.IntN(30)) {
			events, _ := source.Next(1)
			events[0].Timestamp -= events[0].Timestamp % grain
			value := event.AppendCanonical(nil, &events[0])
			switch old := p.old(rng); {
			case rng.IntN(40) == 0:
				value = []byte(`{"no":"event"}`)
			case old != nil && rng.IntN(8) == 0:
				value = old
			default:
				p.mu.Lock()
				p.recent = append(p.recent[max(0, len(p.recent)-100):], sent{value, time.Now()})
				p.mu.Unlock()
			}
			b.Add(stream.Key{}, value)
		}
		p.use(func(ctx context.Context, s *server) error {
			again := stream.Batch{Data: b.Data, Ends: b.Ends, Keys: b.Keys} // the log keeps what it was given
			return s.log.Append(ctx, &again)
		})
	}
}

// old returns an event that was published within the last minute, if it may come
// again: not when retention by size may have dropped it.
func (p *plant) old(rng *rand.Rand) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) == 0 || p.opts.RetainBytes > 0 {
		return nil
	}
	if r := p.recent[rng.IntN(len(p.recent))]; time.Since(r.at) < time.Minute {
		return r.event
	}
	return nil
}

// garden freezes heads and restarts the server now and then.
func (p *plant) garden(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(pause(p.rng, 20*time.Second)):
		}
		if p.rng.IntN(5) == 0 {
			p.tally.Restarts++
			p.down()
			time.Sleep(pause(p.rng, 5*time.Second))
			p.start()
			continue
		}
		p.use(func(ctx context.Context, s *server) error { return s.store.Flush(ctx) })
	}
}

func pause(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}

// somehow draws a filter from what the log's last events hold, as a query string.
func (p *plant) somehow(rng *rand.Rand) url.Values {
	var events []event.Event
	p.mu.Lock()
	for _, r := range p.recent {
		var d event.Decoder
		var e event.Event
		p.must(d.Decode(r.event, &e))
		events = append(events, e)
	}
	p.mu.Unlock()
	values := url.Values{}
	if x := storetest.RandomFilter(rng, events); x != nil {
		values.Set("q", x.String())
	}
	return values
}

// connection is a sink whose connection is cut after some flushes, in the midst
// of what is sent, or when the tail has come to an end that it is to reach.
type connection struct {
	p       *plant
	s       *server
	rng     *rand.Rand
	flushes int             // that it lasts
	done    <-chan struct{} // closed when nothing is published any more; nil: it does not matter

	pending []querytest.Line
	pendIDs []string
	lines   []querytest.Line
	ids     []string
	id      string // last received whole
	at      int64  // of id
	began   int64  // position of the first id
	floor   int64  // at the last flush
	ended   bool   // at is the end of the log
}

var errCut = errors.New("the connection is cut")

func (c *connection) Add(e *event.Event, after event.Positions) bool {
	c.pending = append(c.pending, querytest.Line{Offset: e.Offset, JSON: string(event.AppendJSON(nil, e, event.AllFields))})
	c.pendIDs = append(c.pendIDs, string(query.AppendTailID(nil, c.s.engine.Log(), after)))
	return len(c.pending) > c.rng.IntN(20)
}

func (c *connection) Flush(at event.Positions) error {
	if c.rng.IntN(10) == 0 {
		time.Sleep(pause(c.rng, 30*time.Second)) // a slow reader
	}
	c.flushes--
	cut := c.flushes == 0
	received := len(c.pending)
	if cut {
		received = c.rng.IntN(received + 1)
	}
	c.floor = c.p.floor(context.Background(), c.s)
	for i, line := range c.pending[:received] {
		line.Floor = c.floor
		c.lines, c.ids = append(c.lines, line), append(c.ids, c.pendIDs[i])
		c.id, c.at = c.pendIDs[i], line.Offset+1
	}
	if len(c.pending) == 0 && !(cut && c.rng.IntN(2) == 0) { // a heartbeat, received or not
		if c.id == "" {
			c.began = at.At(0)
		}
		c.id, c.at = string(query.AppendTailID(nil, c.s.engine.Log(), at)), at.At(0)
		c.ids = append(c.ids, c.id)
	}
	c.pending, c.pendIDs = nil, nil
	select {
	case <-c.done:
		end, err := c.s.log.End(context.Background())
		c.p.must(err)
		c.ended = c.at >= end.At(0)
	default:
	}
	if cut || c.ended {
		return errCut
	}
	return nil
}

// connect runs one connection of a tail, from id on, or without one as since says.
func (p *plant) connect(rng *rand.Rand, values url.Values, since, id string, flushes int, done <-chan struct{}) *connection {
	c := &connection{p: p, rng: rng, flushes: flushes, done: done}
	p.use(func(ctx context.Context, s *server) error {
		c.s = s
		given, header := url.Values{}, ""
		for name, v := range values {
			given[name] = v
		}
		switch {
		case id == "":
			given.Set("since", since)
		case rng.IntN(2) == 0:
			given.Set("last_event_id", id)
		default:
			header = id
		}
		params := query.NewParams(given)
		tail := params.Tail(time.Now(), header)
		tail.Fields = event.AllFields
		if err := params.Err(); err != nil {
			return err
		}
		if err := s.engine.Tail(ctx, tail, c); !errors.Is(err, errCut) && ctx.Err() == nil {
			return fmt.Errorf("tail from %q: %w", id, err)
		}
		return nil // a restart cuts the connection too
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, c.ids...)
	p.tally.Connections++
	return c
}

// follow tails the log from one moment to its end, over as many connections as it
// takes, each going on where the one before was cut.
func (p *plant) follow(rng *rand.Rand, done <-chan struct{}) {
	time.Sleep(pause(rng, 2*time.Minute))
	values := p.somehow(rng)
	var lines []querytest.Line
	from, id := int64(-1), ""
	since := []string{"beginning", "now", "-30s"}[rng.IntN(3)]
	for {
		c := p.connect(rng, values, since, id, 1+rng.IntN(12), done)
		lines = append(lines, c.lines...)
		if c.id != "" {
			if from < 0 {
				from = c.began
			}
			id = c.id
		}
		if c.ended {
			p.judge(func(o *querytest.Oracle) error {
				if err := o.CheckTail(p.filter(values), from, c.at, lines, c.floor); err != nil {
					return fmt.Errorf("tail of %v from %d to %d: %w", values, from, c.at, err)
				}
				return nil
			})
			return
		}
		time.Sleep(pause(rng, 20*time.Second))
	}
}

func (p *plant) filter(values url.Values) filter.Expr {
	params := query.NewParams(values)
	x := params.Criteria(time.Now()).Filter
	p.must(params.Err())
	return x
}

// wander tails from ids that some tail was given at some time.
func (p *plant) wander(rng *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(pause(rng, time.Minute)):
		}
		p.mu.Lock()
		id := ""
		if len(p.ids) > 0 {
			id = p.ids[rng.IntN(len(p.ids))]
		}
		p.mu.Unlock()
		if id == "" {
			continue
		}
		positions, _, err := query.ParseTailID(id)
		p.must(err)
		values, from := p.somehow(rng), positions.At(0)
		c := p.connect(rng, values, "", id, 1+rng.IntN(30), nil)
		if len(c.lines) == 0 {
			continue
		}
		last := c.lines[len(c.lines)-1]
		p.judge(func(o *querytest.Oracle) error {
			if err := o.CheckTail(p.filter(values), from, last.Offset+1, c.lines, last.Floor); err != nil {
				return fmt.Errorf("tail of %v that went on at %d: %w", values, from, err)
			}
			return nil
		})
	}
}

// page searches page by page, some of them twice, and exports.
func (p *plant) page(rng *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(pause(rng, 10*time.Second)):
		}
		values := p.somehow(rng)
		if rng.IntN(2) == 0 {
			values.Set("order", "oldest")
		}
		p.mu.Lock()
		if len(p.recent) > 0 && rng.IntN(2) == 0 { // a range that begins or ends at an event's time, which others share
			var d event.Decoder
			var e event.Event
			p.must(d.Decode(p.recent[rng.IntN(len(p.recent))].event, &e))
			values.Set([]string{"from", "to"}[rng.IntN(2)], string(event.AppendTime(nil, e.Timestamp)))
		}
		p.mu.Unlock()
		if rng.IntN(2) == 0 {
			p.export(values)
		} else {
			p.turn(rng, values)
		}
	}
}

// turn turns the pages of one search.
func (p *plant) turn(rng *rand.Rand, values url.Values) {
	type place struct {
		cursor string
		after  int64
	}
	places := []place{{"", -1}}
	var pages []querytest.Page
	end := int64(0)
	for next := 0; next < len(places); {
		at := places[next]
		if again := rng.IntN(4) == 0 && next > 0; again {
			at = places[1+rng.IntN(next)]
		} else {
			next++
		}
		given := url.Values{"limit": {strconv.Itoa(1 + rng.IntN(200))}}
		for name, v := range values {
			given[name] = v
		}
		if at.cursor != "" {
			given.Set("cursor", at.cursor)
			if rng.IntN(2) == 0 {
				given.Set("wait", "0s") // for its snapshot it waits all the same
			}
		}
		page, cursor := p.search(given, &end)
		page.After = at.after
		pages = append(pages, page)
		if last := len(page.Lines) - 1; cursor != "" && next == len(places) {
			places = append(places, place{cursor, page.Lines[last].Offset})
		}
		time.Sleep(pause(rng, 20*time.Second))
	}
	p.check(values, end, pages)
}

// search asks for one page. The first sets end to where the stream ends.
func (p *plant) search(given url.Values, end *int64) (page querytest.Page, cursor string) {
	params := query.NewParams(given)
	search := params.Search(time.Now())
	search.Fields = event.AllFields
	p.must(params.Err())
	p.use(func(ctx context.Context, s *server) (err error) {
		page = querytest.Page{Limit: search.Limit}
		page.Floors[0] = p.floor(ctx, s)
		if given.Get("cursor") == "" {
			at, err := s.log.End(ctx)
			if err != nil {
				return err
			}
			*end = at.At(0)
		}
		cursor, err = s.engine.Search(ctx, search, func(e *event.Event) bool {
			page.Lines = append(page.Lines, querytest.Line{Offset: e.Offset, JSON: string(event.AppendJSON(nil, e, event.AllFields))})
			return true
		})
		page.More = cursor != ""
		page.Floors[1] = p.floor(context.Background(), s)
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.Pages++
	return page, cursor
}

func (p *plant) export(values url.Values) {
	params := query.NewParams(values)
	x := &query.Export{Criteria: params.Criteria(time.Now()), Order: order(params), Fields: event.AllFields}
	p.must(params.Err())
	var page querytest.Page
	end := int64(0)
	p.use(func(ctx context.Context, s *server) error {
		page = querytest.Page{After: -1}
		page.Floors[0] = p.floor(ctx, s)
		at, err := s.log.End(ctx)
		if err != nil {
			return err
		}
		end = at.At(0)
		err = s.engine.Export(ctx, x, func(e *event.Event) bool {
			page.Lines = append(page.Lines, querytest.Line{Offset: e.Offset, JSON: string(event.AppendJSON(nil, e, event.AllFields))})
			if len(page.Lines)%100 == 0 {
				time.Sleep(10 * time.Second) // it takes its time
			}
			return true
		})
		page.Floors[1] = p.floor(context.Background(), s)
		return err
	})
	p.mu.Lock()
	p.tally.Exports++
	p.mu.Unlock()
	p.check(values, end, []querytest.Page{page})
}

// check has pages judged.
func (p *plant) check(values url.Values, end int64, pages []querytest.Page) {
	params := query.NewParams(values)
	criteria, order := params.Criteria(time.Now()), order(params)
	p.must(params.Err())
	p.judge(func(o *querytest.Oracle) error {
		if err := o.CheckPages(criteria.Filter, criteria.Range, order, end, pages); err != nil {
			return fmt.Errorf("pages of %v: %w", values, err)
		}
		return nil
	})
}

func order(params *query.Params) store.Order {
	if params.Choice("order", "newest", "oldest") == "oldest" {
		return store.OldestFirst
	}
	return store.NewestFirst
}

func (t *tally) add(o tally) {
	t.Records += o.Records
	t.Events += o.Events
	t.Dropped += o.Dropped
	t.Merges += o.Merges
	t.Restarts += o.Restarts
	t.Connections += o.Connections
	t.Pages += o.Pages
	t.Exports += o.Exports
}
