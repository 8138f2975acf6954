package segment

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/FastFilter/xorfilter"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
)

// Known implements store.Store.
//
// It is asked about every event that comes, so it must cost nothing where
// identities rise, as UUIDv7 do: heads answer from a hash table, and a segment is
// passed over when the batch lies outside the range of its UUIDv7 and has no
// identity of another kind. What is left asks a filter in memory (wrong once in
// 65,536), and only then the file.
func (s *Store) Known(ctx context.Context, ids []event.ID, since int64, found []event.Position) error {
	for i := range found {
		found[i] = event.Position{Offset: -1}
	}
	p := newProbe(ids, found)
	v, heads := s.acquireParts(func(x *extent) bool { return x.maxReceived >= since })
	defer v.release()
	for _, h := range slices.Backward(heads) {
		h.known(ids, since, found)
	}
	for _, seg := range slices.Backward(v.held) {
		if err := seg.known(ctx, p, since); err != nil {
			return fmt.Errorf("look identities up in %s: %w", seg.name(), err)
		}
	}
	return nil
}

// probe is a batch of identities on its way through the segments.
type probe struct {
	ids    []event.ID
	found  []event.Position
	lo, hi event.ID // of the UUIDv7 among ids
	others bool     // ids has others

	at   []int // indices of the candidates of one segment
	want []event.ID
	rows []int

	hashes []uint64 // of ids; made when the first filter asks
}

func newProbe(ids []event.ID, found []event.Position) *probe {
	p := &probe{ids: ids, found: found}
	first := true
	for _, id := range ids {
		if id.Version() != 7 {
			p.others = true
			continue
		}
		if first || less(id, p.lo) {
			p.lo = id
		}
		if first || less(p.hi, id) {
			p.hi = id
		}
		first = false
	}
	return p
}

// misses reports whether no identity of the batch can be in g.
func (p *probe) misses(g *segment) bool {
	return (!p.others || g.OtherIDs == 0) && (less(p.hi, event.ID(g.MinV7)) || less(event.ID(g.MaxV7), p.lo) || p.hi.IsZero())
}

// known looks up what of p is not found yet.
func (g *segment) known(ctx context.Context, p *probe, since int64) error {
	if p.misses(g) {
		return nil
	}
	p.at, p.want = p.at[:0], p.want[:0]
	for i, id := range p.ids {
		if p.found[i].Offset < 0 && g.mayHold(id) {
			p.at = append(p.at, i)
			p.want = append(p.want, id)
		}
	}
	if len(p.want) == 0 {
		return nil
	}
	if err := g.sift(ctx, p); err != nil || len(p.want) == 0 {
		return err
	}
	p.rows = slices.Grow(p.rows[:0], len(p.want))[:len(p.want)]
	if err := g.findIDs(ctx, p.want, p.rows); err != nil {
		return err
	}
	var hits []uint32
	var at []int
	for i, row := range p.rows {
		if row >= 0 {
			hits = append(hits, uint32(row))
			at = append(at, p.at[i])
		}
	}
	if len(hits) == 0 {
		return nil
	}
	cols, _, err := g.gather(ctx, hits, event.Fields(event.ReceivedAt))
	if err != nil {
		return err
	}
	for i, n := range at {
		if cols.ReceivedAt[i] >= since {
			p.found[n] = keyAt(cols, i).Position
		}
	}
	return nil
}

// dedupe is a segment's identity filter, made when it is first needed.
type dedupe struct {
	mu    vfs.Mutex
	tried bool                          // guarded by mu
	fuse  *xorfilter.BinaryFuse[uint16] // nil: not made, for want of room
}

// sift removes the candidates that g's identity filter knows not to be there.
func (g *segment) sift(ctx context.Context, p *probe) error {
	d, err := g.identities(ctx)
	if err != nil || d.fuse == nil {
		return err
	}
	if p.hashes == nil {
		p.hashes = make([]uint64, len(p.ids))
		for i := range p.ids {
			p.hashes[i] = maphash.Bytes(g.store.seed, p.ids[i][:])
		}
	}
	kept := 0
	for i, id := range p.want {
		if d.fuse.Contains(p.hashes[p.at[i]]) {
			p.want[kept], p.at[kept] = id, p.at[i]
			kept++
		}
	}
	p.want, p.at = p.want[:kept], p.at[:kept]
	return nil
}

// identities returns g's identity filter. It is not made when all of them would
// take more than FilterBytes: then the file's bloom filter has to do.
func (g *segment) identities(ctx context.Context) (*dedupe, error) {
	d := &g.filter
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tried {
		return d, nil
	}
	size := 9 * g.Parquet.Rows / 4
	if g.store.filterBytes.Add(size) > g.store.opts.FilterBytes {
		g.store.filterBytes.Add(-size)
		return d, nil
	}
	keep := false
	defer func() {
		if !keep {
			g.store.filterBytes.Add(-size)
		}
	}()
	ids, err := g.ids(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]uint64, len(ids))
	for i, id := range ids {
		keys[i] = maphash.Bytes(g.store.seed, id[:])
	}
	fuse, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return nil, err
	}
	d.tried, d.fuse, keep = true, fuse, true
	return d, nil
}

// dropFilter gives back the room of g's identity filter.
func (g *segment) dropFilter() {
	d := &g.filter
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fuse != nil {
		g.store.filterBytes.Add(-9 * g.Parquet.Rows / 4)
		d.fuse = nil
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id event.ID) (*event.Event, error) {
	v := s.acquire(nil)
	defer v.release()
	for _, src := range slices.Backward(v.sources) {
		if !src.mayHold(id) {
			continue
		}
		rows := []int{-1}
		if err := src.findIDs(ctx, []event.ID{id}, rows); err != nil {
			return nil, err
		}
		if rows[0] < 0 {
			continue
		}
		cols, at, err := src.gather(ctx, []uint32{uint32(rows[0])}, event.AllFields)
		if err != nil {
			return nil, err
		}
		i := 0
		if at != nil {
			i = int(at[0])
		}
		var e event.Event
		cols.Event(i, event.AllFields, &e)
		e = e.Clone() // a head's memory is not to be held by one event
		return &e, nil
	}
	return nil, fmt.Errorf("%s: %w", id, store.ErrNotFound)
}
