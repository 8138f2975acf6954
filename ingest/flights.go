package ingest

import (
	"context"
	"sync"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// flights is the table of identities that were claimed for an append and that
// the store may not show yet. It answers, for an identity, "being appended
// right now: wait" or "appended, at this position".
//
// It is two generations of a map. Identities are added to the younger one; when
// that is large enough and the store shows everything in the older one, the
// older is emptied and becomes the younger. While the index keeps up, both stay
// small enough for the processor's cache. When it does not, or an append hangs,
// a generation is forgotten at maxGeneration, so that memory stays bounded.
//
// An identity that has left the table because the store shows it is found by
// asking the store; so whoever misses here asks there, in this order.
//
// Of the tenant the table has a hash of 64 bits, under a seed that nobody knows and
// that is another in each process. So two tenants that use one event_id are taken
// for one with a chance of 2⁻⁶⁴, and nobody can choose names or ids to better it.
type flights struct {
	forgetAt int // maxGeneration

	mu      sync.Mutex
	younger *generation // guarded by mu, as everything below it
	older   *generation
}

const (
	// turnGeneration is the size from which a generation may be turned: about
	// 600 kB of map, 30 ms of events at 300,000 a second.
	turnGeneration = 8 << 10
	// maxGeneration is the size at which it is turned whatever the store shows
	// and whatever is pending: about 42 MB, two seconds of events at 300,000 a
	// second.
	maxGeneration = 512 << 10
)

// claimed is an identity as the table has it.
type claimed struct {
	id     event.ID
	tenant uint64 // hash of its name, see [chosen]
}

// generation is one map of identities. It holds no pointer per identity, so
// the garbage collector need not look into the map.
type generation struct {
	refs    map[claimed]ref
	flights []*flight
	held    int             // flights, and the positions that they hold
	pending int             // flights whose outcome is open
	reach   event.Positions // past every record that its flights appended
}

// ref is a claimed identity: an event of a flight.
type ref struct{ flight, index uint32 }

// flight is the append of one batch.
type flight struct {
	gen    *generation // nil: it claims nothing, so nobody will ask for it
	number uint32      // index in gen.flights

	// Guarded by flights.mu.
	over    bool          // the outcome is known
	waiters chan struct{} // made by the first to wait; closed when it is over

	// Where the events lie, once it is over and did not fail: event i is at
	// at[i], or where at is nil at base.Offset+i.
	base event.Position
	at   []event.Position
}

func (f *flight) position(i uint32) event.Position {
	if f.at != nil {
		return f.at[i]
	}
	return event.Position{Partition: f.base.Partition, Offset: f.base.Offset + int64(i)}
}

func (t *flights) init() {
	t.forgetAt = maxGeneration
	t.younger = &generation{refs: make(map[claimed]ref)}
	t.older = &generation{refs: make(map[claimed]ref)}
}

// claim claims the chosen identities of b that nobody published yet, fills in
// the receipts of those that are in the stream already, and notes which repeat
// another one of b. The caller lands or abandons the flight.
//
// While one of the identities is being appended by another request it waits
// for the outcome. It holds no claim while it waits, so that two requests can
// not wait for one another.
func (t *flights) claim(ctx context.Context, b *Batch, visible event.Positions) (*flight, error) {
	f := new(flight)
	for {
		wait := t.tryClaim(f, b, visible)
		if wait == nil {
			return f, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryClaim claims all or nothing; then it returns what to wait for.
func (t *flights) tryClaim(f *flight, b *Batch, visible event.Positions) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(visible, b.p.metrics)
	g := t.younger
	f.gen, f.number = nil, uint32(len(g.flights))
	claims := false
	for k := range b.sent {
		i := b.sent[k].event
		id := claimed{b.ids[i], b.sent[k].tenant}
		r, ok := g.refs[id]
		from := g
		if !ok {
			if r, ok = t.older.refs[id]; !ok {
				b.fate[i] = toAppend
				g.refs[id] = ref{f.number, uint32(i)}
				claims = true
				continue
			}
			from = t.older
		}
		if from == g && r.flight == f.number {
			b.fate[i] = int32(r.index)
			continue
		}
		first := from.flights[r.flight]
		if !first.over {
			b.unclaim(g, b.sent[:k])
			if first.waiters == nil {
				first.waiters = make(chan struct{})
			}
			return first.waiters
		}
		b.fate[i] = elsewhere
		b.receipts[i].Position, b.receipts[i].Duplicate = first.position(r.index), true
	}
	if claims {
		f.gen = g
		g.flights = append(g.flights, f)
		g.held++
		g.pending++
	}
	return nil
}

// unclaim takes the claims of the given events back.
func (b *Batch) unclaim(g *generation, sent []chosen) {
	for _, c := range sent {
		i := c.event
		if b.fate[i] == toAppend {
			delete(g.refs, claimed{b.ids[i], c.tenant})
		}
		b.fate[i] = toAppend
		b.receipts[i] = Receipt{ID: b.ids[i]}
	}
}

// turn makes room when the younger generation is large enough and nothing in
// the older is needed any more.
func (t *flights) turn(visible event.Positions, m *Metrics) {
	// Flights count, too: those that fail leave no identity behind.
	n := max(len(t.younger.refs), t.younger.held)
	if n < turnGeneration {
		return
	}
	if t.older.pending > 0 || !visible.Covers(t.older.reach) {
		if n < t.forgetAt {
			return
		}
		m.DuplicateChecksSkipped.Add(int64(len(t.older.refs)))
	}
	empty := t.older
	if empty.pending > 0 || len(empty.refs) > 4*turnGeneration {
		// Pending flights keep theirs to themselves, and a map never shrinks.
		empty = &generation{refs: make(map[claimed]ref)}
	}
	clear(empty.refs)
	clear(empty.flights)
	clear(empty.reach)
	empty.flights, empty.held = empty.flights[:0], 0
	t.older, t.younger = t.younger, empty
}

// land says that f's append succeeded: sb is what was appended. With mixed,
// some of b's events were published earlier and are not in it.
func (t *flights) land(f *flight, b *Batch, sb *stream.Batch, mixed bool) {
	if f.gen == nil {
		return
	}
	if mixed || sb.Offsets != nil || sb.Partitions != nil {
		f.at = make([]event.Position, len(b.receipts))
		for i := range b.receipts {
			f.at[i] = b.receipts[i].Position
		}
	} else {
		f.base = sb.Position(0)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range sb.Len() {
		pos := sb.Position(i)
		f.gen.reach = f.gen.reach.Advance(pos.Partition, pos.Offset+1)
	}
	f.gen.held += len(f.at)
	t.end(f)
}

// abandon says that f's append failed or never came. It does nothing when f is
// over.
func (t *flights) abandon(f *flight, b *Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.over || f.gen == nil {
		return
	}
	for _, c := range b.sent {
		id := claimed{b.ids[c.event], c.tenant}
		if r, ok := f.gen.refs[id]; ok && r == (ref{f.number, uint32(c.event)}) {
			delete(f.gen.refs, id)
		}
	}
	t.end(f)
}

func (t *flights) end(f *flight) {
	f.over = true
	f.gen.pending--
	if f.waiters != nil {
		close(f.waiters)
	}
}
