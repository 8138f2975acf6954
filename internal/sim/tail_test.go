package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/stream"
)

// tailer follows the tail, loses its connection and comes back with the last id
// that it has seen, or now and then an earlier one.
type tailer struct {
	*client
	what  criterion
	batch int      // events that it takes at once
	next  int64    // every event before this offset was delivered
	ids   []string // that it was given, with what each stands for
	at    []int64

	proc  *process
	added []int64 // not taken yet
}

var errDisconnected = errors.New("disconnected")

func (a *tailer) wants() bool {
	m := a.w.model
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.offset >= a.next && r.offset >= m.dropped && a.what.match(&m.events[r.event]) {
			return true
		}
	}
	return false
}

func (a *tailer) act(ctx context.Context, p *process) string {
	values := map[string][]string{"since": {"beginning"}}
	if a.what.q != "" {
		values["q"] = []string{a.what.q}
	}
	id := ""
	if len(a.ids) > 0 {
		i := len(a.ids) - 1
		if a.rng.IntN(5) == 0 {
			i = a.rng.IntN(len(a.ids))
		}
		id, a.next = a.ids[i], a.at[i]
		a.w.stats.Add("tail reconnects", 1)
	}
	params := query.NewParams(values)
	t := params.Tail(time.Now(), id)
	if err := params.Err(); err != nil {
		a.w.failf("%s: %v", a.name, err)
		return ""
	}
	a.proc, a.added = p, nil
	err := p.engine.Tail(ctx, t, a)
	if errors.Is(err, errDisconnected) || errors.Is(err, context.Canceled) {
		return fmt.Sprint("disconnected at ", a.next)
	}
	return fmt.Sprint(a.refused(p, err), " at ", a.next)
}

// Add implements query.TailSink.
func (a *tailer) Add(e *event.Event, after event.Positions) bool {
	a.added = append(a.added, a.w.model.see(e, a.name))
	if after.At(0) != e.Offset+1 {
		a.w.failf("%s: after offset %d it is said to be at %v", a.name, e.Offset, after)
	}
	return len(a.added) >= a.batch
}

// Flush implements query.TailSink.
func (a *tailer) Flush(at event.Positions) error {
	if err := a.proc.turn(a.name + " takes " + fmt.Sprint(a.added)); err != nil {
		return err
	}
	if !a.w.calm.Load() && a.rng.IntN(10) == 0 {
		return errDisconnected // what was added is lost on its way
	}
	m := a.w.model
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range a.added {
		if o < a.next {
			m.w.failf("%s: offset %d comes after %d", a.name, o, a.next-1)
		}
		if !a.what.match(&m.events[m.log[o]]) {
			m.w.failf("%s: offset %d does not match", a.name, o)
		}
		a.passed(o)
		a.next = o + 1
	}
	a.w.stats.Add("events tailed", int64(len(a.added)))
	a.added = a.added[:0]
	a.passed(at.At(0))
	a.next = at.At(0)
	a.ids, a.at = append(a.ids, string(query.AppendTailID(nil, a.proc.stream.ID(), at))), append(a.at, a.next)
	return nil
}

// passed finds out whether a tail may come to an offset. m.mu is held.
func (a *tailer) passed(to int64) {
	m := a.w.model
	for _, r := range m.rows {
		if r.offset < a.next || r.offset >= to || !a.what.match(&m.events[r.event]) {
			continue
		}
		if r.offset >= m.dropped && !r.copied {
			m.w.failf("%s: offset %d was left out on the way from %d to %d", a.name, r.offset, a.next, to)
		}
		a.w.stats.Add("events dropped before a tail came", 1)
	}
}

// consumer reads the stream itself, at its own pace.
type consumer struct {
	*client
	next int64
}

func (a *consumer) wants() bool { return false }

func (a *consumer) act(ctx context.Context, p *process) string {
	if a.rng.IntN(8) == 0 {
		a.next = 0
	}
	s := streamSeam{p.stream, p, "consumer"}
	end, err := s.End(ctx)
	if err != nil {
		return a.refused(p, err)
	}
	if a.next > end.At(0) {
		a.w.failf("the stream has shrunk from %d to %v", a.next, end)
		return ""
	}
	r, err := s.Reader(event.Positions{a.next})
	if err != nil {
		return a.refused(p, err)
	}
	defer func() { _ = r.Close() }() // of a file that was read
	for n := 1 + a.rng.IntN(5); n > 0 && a.next < end.At(0); n-- {
		b, err := r.Next(ctx)
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			if gap.From != a.next {
				a.w.failf("consumer: %v, and it is at %d", gap, a.next)
			}
			a.w.model.released(gap.To)
			a.w.stats.Add("gaps met in the stream", 1)
			a.next = gap.To
			continue
		case err != nil:
			return a.refused(p, err)
		case b.Base != a.next:
			a.w.failf("consumer: offset %d comes after %d", b.Base, a.next-1)
		}
		a.next += int64(b.Len())
	}
	return fmt.Sprint("read up to ", a.next)
}
