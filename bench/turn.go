package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/bench"
)

// comparison is all turns of all programs over the same events.
type comparison struct {
	*options
	size      int // events
	dir       string
	table     *table
	sum       uint32              // of the bytes that the first turn sent
	questions []question          // nil until the first turn has loaded
	answers   map[string][]string // by question and number of its query
}

// measure has the programs take turns over size events.
func (o *options) measure(ctx context.Context, dir string, size, rounds int) (*table, error) {
	c := &comparison{options: o, size: size, dir: dir, table: newTable(o, size, rounds), answers: map[string][]string{}}
	for r := range rounds {
		for i, p := range o.programs {
			fmt.Fprintf(o.log, "bench: %d events, round %d of %d, %s\n", size, r+1, rounds, p.Name())
			t := &turn{comparison: c, p: p, column: i, data: filepath.Join(dir, "data")}
			err := t.run(ctx)
			if err := errors.Join(err, os.RemoveAll(t.data), os.RemoveAll(t.data+".log")); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name(), err)
			}
		}
	}
	return c.table, nil
}

// at spreads the events evenly over the day.
func (c *comparison) at(n int) time.Time {
	return c.day.Add(time.Duration(n) * (24 * time.Hour / time.Duration(c.size)))
}

// turn is one program's turn, from an empty folder to a removed one.
type turn struct {
	*comparison
	p      program
	column int
	data   string // folder
}

func (t *turn) add(name, unit string, better direction, value float64) {
	t.table.add(t.column, name, unit, better, value)
}

// run gives each part of the turn a process of its own, so that its cost is told
// apart and nothing is answered from what an earlier part left in memory.
func (t *turn) run(ctx context.Context) error {
	for _, part := range []func(context.Context, *server) (func(usage), error){t.load, t.compact, t.ask, t.single} {
		s, err := start(ctx, t.p, t.data)
		if err != nil {
			return err
		}
		record, err := part(ctx, s)
		if err != nil {
			s.kill()
			return fmt.Errorf("%w\nthe server printed: %s", err, s.printed())
		}
		u, err := s.stop()
		if err != nil {
			return err
		}
		if record != nil {
			record(u)
		}
	}
	return nil
}

// load publishes the events in bulk.
func (t *turn) load(ctx context.Context, s *server) (func(usage), error) {
	n := float64(t.size)
	l := bench.Load{Addr: s.addr, Path: t.p.Publish(), Events: t.size, Connections: t.connections, Batch: t.batch, Seed: t.seed, At: t.at}
	start := time.Now()
	done, err := l.Run(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.await(ctx, s, t.size); err != nil {
		return nil, err
	}
	searchable := time.Since(start)
	if t.questions == nil {
		slices.SortFunc(done.Samples, func(a, b bench.Sample) int { return a.Timestamp.Compare(b.Timestamp) })
		t.sum, t.questions = done.Sum, questions(t.size, t.at, done.Samples)
	}
	if done.Sum != t.sum {
		return nil, errors.New("it was not sent the same bytes as the program before it")
	}
	if _, err := bench.Settle(ctx, s.url); err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d × %d", t.connections, t.batch)
	t.add("bulk, "+how+": acknowledged", "events/s", higher, n/done.Took.Seconds())
	t.add("bulk, "+how+": searchable", "events/s", higher, n/searchable.Seconds())
	return func(u usage) {
		t.add("bulk: CPU until all is on disk", "µs/event", lower, float64(u.cpu.Microseconds())/n)
		if u.memory > 0 {
			t.add("bulk: peak memory", "MB", lower, float64(u.memory)/1e6)
		}
	}, nil
}

// await asks how many events there are until all of them are.
func (t *turn) await(ctx context.Context, s *server, n int) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	for {
		_, got, err := t.time(ctx, s, query{Kind: total})
		if err != nil {
			return err
		}
		if got[0] == fmt.Sprint(n) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s of %d events can be searched", ctx.Err(), got[0], n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// compact leaves the folder as it is after some time of rest, and measures it.
func (t *turn) compact(ctx context.Context, s *server) (func(usage), error) {
	if err := t.p.Compact(ctx, s); err != nil {
		return nil, err
	}
	if _, err := bench.Settle(ctx, s.url); err != nil {
		return nil, err
	}
	all, err := folderSize(t.data)
	if err != nil {
		return nil, err
	}
	stream := int64(0)
	if t.p.Stream() != "" {
		if stream, err = folderSize(filepath.Join(t.data, t.p.Stream())); err != nil {
			return nil, err
		}
	}
	t.add("on disk: what stays", "bytes/event", lower, float64(all-stream)/float64(t.size))
	t.add("on disk: and the stream, while it is kept", "bytes/event", lower, float64(all)/float64(t.size))
	return nil, nil
}

// After its first run a question is asked once more, and then as often as goes into
// a time: up to minRuns times into enoughTime, up to maxRuns times into shortTime.
const (
	minRuns    = 3
	maxRuns    = 20
	shortTime  = 2 * time.Second
	enoughTime = 10 * time.Second
)

// ask asks the questions of a server that has just started, and then how long an
// event takes until it is found.
func (t *turn) ask(ctx context.Context, s *server) (func(usage), error) {
	if err := t.await(ctx, s, t.size); err != nil {
		return nil, err
	}
	t.add("restart: from start to a count of everything", "ms", lower, ms(time.Since(s.started)))
	for _, q := range t.questions {
		var warm []time.Duration
		first, spent := time.Duration(0), time.Duration(0)
		for run := 0; run < 2 || run <= minRuns && spent < enoughTime || run <= maxRuns && spent < shortTime; run++ {
			n := run % len(q.queries)
			took, got, err := t.time(ctx, s, q.queries[n])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.name, err)
			}
			if err := t.check(fmt.Sprintf("%s (query %d)", q.name, n), q.queries[n], got); err != nil {
				return nil, err
			}
			if run == 0 {
				first = took
			} else {
				warm, spent = append(warm, took), spent+took
			}
		}
		t.add(q.name, "ms", lower, ms(median(warm)))
		t.table.addFirst(t.column, q.name, "ms", lower, ms(first))
	}
	if err := t.visible(ctx, s); err != nil {
		return nil, err
	}
	return func(u usage) {
		if u.memory > 0 {
			t.add("peak memory of a server that was asked all this", "MB", lower, float64(u.memory)/1e6)
		}
	}, nil
}

// check compares an answer with what is known and with the answer of the
// programs before.
func (t *turn) check(name string, q query, got []string) error {
	want, who := q.Want, "the events"
	if want == nil {
		if t.answers[name] == nil {
			t.answers[name] = got
			return nil
		}
		want, who = t.answers[name], t.programs[0].Name()
	}
	if slices.Equal(got, want) {
		return nil
	}
	show := func(a []string) string { return fmt.Sprintf("%d: %.300s", len(a), strings.Join(a, ", ")) }
	return fmt.Errorf("%s: the answers differ: it has %s; %s have %s", name, show(got), who, show(want))
}

// time asks q and returns how long it took until all of the answer was there.
func (t *turn) time(ctx context.Context, s *server, q query) (time.Duration, []string, error) {
	start := time.Now()
	resp, err := t.p.Ask(ctx, s, q)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if q.Kind == export { // too large to be kept
		var n lineCounter
		_, err := io.Copy(&n, resp.Body)
		return time.Since(start), []string{fmt.Sprint(n)}, err
	}
	body, err := io.ReadAll(resp.Body)
	took := time.Since(start)
	if err != nil {
		return 0, nil, err
	}
	got, err := t.p.Answer(q, body)
	return took, got, err
}

// lineCounter counts the lines written to it.
type lineCounter int

func (n *lineCounter) Write(b []byte) (int, error) {
	*n += lineCounter(bytes.Count(b, []byte("\n")))
	return len(b), nil
}

// visible publishes events one at a time and asks for each until it is found.
func (t *turn) visible(ctx context.Context, s *server) error {
	var took []time.Duration
	var ids event.IDSource
	for i := range t.probes {
		now := time.Now()
		resource := fmt.Sprintf("probe/%d", i)
		body := fmt.Sprintf(`{"event_id":%q,"timestamp":%q,"user_id":"probe","action":"bench.probe","resource":%q,"source":"bench"}`+"\n",
			ids.New(now), now.UTC().Format(time.RFC3339Nano), resource)
		q := query{Kind: page, Limit: 1, From: now.Add(-time.Minute), Where: []term{{"resource", resource}}}
		start := time.Now()
		if err := s.post(ctx, t.p.Publish(), body); err != nil {
			return err
		}
		for {
			_, got, err := t.time(ctx, s, q)
			if err != nil {
				return err
			}
			if len(got) == 1 {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.add("visible: from publishing to found, median", "ms", lower, ms(median(took)))
	t.add(fmt.Sprintf("visible: the slowest of %d", t.probes), "ms", lower, ms(took[len(took)-1]))
	return nil
}

// eventsPerSingle is how many events each connection publishes one by one.
const eventsPerSingle = 100

// single publishes one event a request over many connections.
func (t *turn) single(ctx context.Context, s *server) (func(usage), error) {
	n := t.singles * eventsPerSingle
	l := bench.Load{Addr: s.addr, Path: t.p.Publish(), Events: n, Connections: t.singles, Batch: 1, Seed: t.seed + 1_000_000, At: t.at}
	done, err := l.Run(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.await(ctx, s, t.size+t.probes+n); err != nil {
		return nil, err
	}
	how := fmt.Sprintf("singles, %d × 1", t.singles)
	t.add(how+": acknowledged", "events/s", higher, float64(n)/done.Took.Seconds())
	return func(u usage) {
		t.add("singles: CPU", "µs/event", lower, float64(u.cpu.Microseconds())/float64(n))
	}, nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
