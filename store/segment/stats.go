package segment

import (
	"math"
	"time"

	"github.com/daybook-log/daybook/store"
)

// Stats implements store.Store.
func (s *Store) Stats() store.Stats {
	s.mu.RLock()
	heads, segments := s.heads(), s.segments
	s.mu.RUnlock()
	st := store.Stats{
		Segments: len(segments), Compactions: s.compactions.Load(), Expired: s.expired.Load(), FreezeErrors: s.freezeErrors.Load(),
		Damaged: s.Missing(), MemoryBytes: s.cache.Bytes() + s.filterBytes.Load(),
	}
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for _, g := range segments {
		st.Events += g.Parquet.Rows
		st.Bytes += g.Parquet.Size
		oldest, newest = min(oldest, g.MinTime), max(newest, g.MaxTime)
	}
	for _, h := range heads {
		h.mu.RLock()
		x := h.extent
		h.mu.RUnlock()
		st.Events += int64(x.rows)
		st.HeadEvents += int64(x.rows)
		st.MemoryBytes += h.memory()
		oldest, newest = min(oldest, x.minTime), max(newest, x.maxTime)
	}
	if st.Events > 0 {
		st.Oldest, st.Newest = time.Unix(0, oldest).UTC(), time.Unix(0, newest).UTC()
	}
	return st
}
