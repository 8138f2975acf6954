package segment

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/FastFilter/xorfilter"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
)

// Known implements store.Store.
//
// It is asked about every event that comes, so it must cost nothing where IDs
// rise, as UUIDv7 do: heads answer from a hash table, and a segment is passed over
// when the batch lies outside the range of its UUIDv7 and has no ID of another
// kind. What is left asks a filter in memory (wrong once in 65,536), and only then
// the file. Ranges, filters and hash tables know IDs only; the tenant is compared
// where one is there.
func (s *Store) Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error {
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
	ids    []event.Identity
	found  []event.Position
	lo, hi event.ID // of the UUIDv7 among ids
	others bool     // ids has others

	at   []int      // indices of the candidates of one segment
	want []event.ID // theirs

	hashes []uint64 // of ids; made when the first filter asks
}

func newProbe(ids []event.Identity, found []event.Position) *probe {
	p := &probe{ids: ids, found: found}
	first := true
	for i := range ids {
		id := ids[i].ID
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
	for i := range p.ids {
		if id := p.ids[i].ID; p.found[i].Offset < 0 && g.mayHold(id) {
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
	var hits []uint32
	err := g.findIDs(ctx, p.want, func(row uint32) bool {
		hits = append(hits, row)
		return true
	})
	if err != nil || len(hits) == 0 {
		return err
	}
	cols, _, err := g.gather(ctx, hits, event.Fields(event.TenantID, event.ReceivedAt))
	if err != nil {
		return err
	}
	there := make(map[event.Identity]int, len(hits)) // by identity, the row of cols
	for i := range cols.N {
		id := event.Identity{TenantID: cols.Text[event.TenantID].At(i), ID: cols.IDs[i]}
		if before, ok := there[id]; cols.ReceivedAt[i] >= since && (!ok || cols.ReceivedAt[before] < cols.ReceivedAt[i]) {
			there[id] = i
		}
	}
	for _, i := range p.at {
		if row, ok := there[p.ids[i]]; ok {
			p.found[i] = keyAt(cols, row).Position
		}
	}
	return nil
}

// dedupe is the filter of a segment's IDs, made when it is first needed.
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
			p.hashes[i] = maphash.Bytes(g.store.seed, p.ids[i].ID[:])
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
func (s *Store) Get(ctx context.Context, id event.ID, x filter.Expr) (*event.Event, error) {
	v := s.acquire(nil)
	defer v.release()
	for _, src := range slices.Backward(v.sources) {
		if !src.mayHold(id) {
			continue
		}
		e, err := getFrom(ctx, src, id, x)
		if e != nil || err != nil {
			return e, err
		}
	}
	return nil, fmt.Errorf("%s: %w", id, store.ErrNotFound)
}

// getFrom returns an event of src with the ID that matches x, or nil.
func getFrom(ctx context.Context, src source, id event.ID, x filter.Expr) (found *event.Event, err error) {
	var failed error
	err = src.findIDs(ctx, []event.ID{id}, func(row uint32) bool {
		cols, at, err := src.gather(ctx, []uint32{row}, event.AllFields)
		if err != nil {
			failed = err
			return false
		}
		i := 0
		if at != nil {
			i = int(at[0])
		}
		var e event.Event
		if cols.Event(i, event.AllFields, &e); !filter.Match(x, &e) {
			return true
		}
		e = e.Clone() // a head's memory is not to be held by one event
		found = &e
		return false
	})
	return found, cmp.Or(err, failed)
}
