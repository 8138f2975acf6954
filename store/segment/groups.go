package segment

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/daybook-log/daybook/store"
)

// groups are the values of one count and how often each was found. Several
// goroutines add at once: values are spread by their hash over shards, so that
// these seldom wait for one another, that a value is held once however many there
// are, and that the table that is looked into is small enough for a cache.
type groups struct {
	mem    *budget
	seed   maphash.Seed
	shards [groupShards]groupShard
}

// groupBatch is how many values are added to a shard at once. With 512, BenchmarkQueries
// counts by resource a tenth faster, by user a tenth or two slower, with more memory.
const (
	groupShards = 64
	groupBatch  = 64
)

// addition is n more of a value.
type addition struct {
	value string
	n     int64
}

type groupShard struct {
	mu     sync.Mutex
	index  map[string]int // guarded by mu: into counts
	counts []int64        // guarded by mu
}

func newGroups(mem *budget) *groups {
	g := &groups{mem: mem, seed: maphash.MakeSeed()}
	for i := range g.shards {
		g.shards[i].index = make(map[string]int)
	}
	return g
}

// add adds to what a shard has. It keeps none of the strings, which are parts of a
// column.
func (s *groupShard) add(batch []addition, mem *budget) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batch {
		i, known := s.index[b.value]
		if !known {
			if err := mem.take(int64(len(b.value)) + groupBytes); err != nil {
				return err
			}
			i = len(s.counts)
			s.index[strings.Clone(b.value)] = i
			s.counts = append(s.counts, 0)
		}
		s.counts[i] += b.n
	}
	return nil
}

// groupWriter collects what one goroutine adds to groups.
type groupWriter struct {
	to  *groups
	own [groupShards][]addition
	err error // the first
}

func (g *groups) writer() *groupWriter { return &groupWriter{to: g} }

// add adds n to a value's count, and reports whether more can be added.
func (w *groupWriter) add(value string, n int64) bool {
	i := maphash.String(w.to.seed, value) % groupShards
	if w.own[i] == nil {
		w.own[i] = make([]addition, 0, groupBatch)
	}
	w.own[i] = append(w.own[i], addition{value, n})
	if len(w.own[i]) == groupBatch {
		w.flush(i)
	}
	return w.err == nil
}

func (w *groupWriter) flush(shard uint64) {
	if err := w.to.shards[shard].add(w.own[shard], w.to.mem); err != nil && w.err == nil {
		w.err = err
	}
	w.own[shard] = w.own[shard][:0]
}

// close adds what is left.
func (w *groupWriter) close() error {
	for i := range w.own {
		w.flush(uint64(i))
	}
	return w.err
}

// largest returns the largest groups, top of them at most, and how many there are
// in all. It sorts no more than twice as many as are wanted at a time: there may be
// millions. It is called when nobody adds.
func (g *groups) largest(top int) (best []store.Group, all int) {
	order := func(a, b store.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	}
	best = []store.Group{}
	cut := func() {
		slices.SortFunc(best, order)
		best = best[:min(top, len(best))]
	}
	var last *store.Group // the last of those kept; what comes after it is none of the largest
	for i := range g.shards {
		s := &g.shards[i]
		all += len(s.counts)
		for v, at := range s.index {
			one := store.Group{Value: v, Count: s.counts[at]}
			if last != nil && order(one, *last) > 0 {
				continue
			}
			if best = append(best, one); len(best) >= 2*max(top, 512) {
				cut()
				kept := best[top-1]
				last = &kept
			}
		}
	}
	cut()
	return best, all
}
