package segment

import (
	"context"
	"slices"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// upkeepEvery is how often retention is looked at while nothing happens.
const upkeepEvery = time.Minute

// Merging. A run of neighbours is merged when it is at least minMerge segments
// that together make no more than one full segment, and the largest of them is
// at most half of the result: so a row is rewritten only when its segment at
// least doubles, log2(HeadRows) times at the very most, and a full segment never.
const (
	minMerge = 4
	maxMerge = 16
)

// upkeepLoop sets damaged segments aside, applies retention and merges small
// segments, until ctx ends.
func (s *Store) upkeepLoop(ctx context.Context) error {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := s.tidy(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Error("looking after the store failed; it will be tried again", "error", err)
		}
		select {
		case <-s.upkeepKick:
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// tidy does what upkeep there is to do.
func (s *Store) tidy(ctx context.Context, now time.Time) error {
	if err := s.setSuspectsAside(ctx, now); err != nil {
		return err
	}
	if err := s.expire(now); err != nil {
		return err
	}
	for {
		merged, err := s.mergeSome(ctx)
		if err != nil || !merged {
			return err
		}
	}
}

// expire drops the segments that retention no longer keeps.
func (s *Store) expire(now time.Time) error {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	drop := s.overdue(now)
	if len(drop) == 0 {
		return nil
	}
	// A piece that is missing and older than what goes would have gone too.
	last := drop[len(drop)-1]
	s.log.Debug("dropping segments", "segments", len(drop))
	forget := func(next *manifest) {
		next.Damaged = slices.DeleteFunc(next.Damaged, func(l lost) bool { return last.From.Covers(l.To) })
	}
	if _, err := s.swap(drop, nil, forget, remove); err != nil {
		return err
	}
	for _, seg := range drop {
		s.expired.Add(seg.Parquet.Rows)
		s.log.Info("dropped a segment, as retention says", "file", seg.name(), "events", seg.Parquet.Rows, "bytes", seg.Parquet.Size,
			"received_to", time.Unix(0, seg.MaxReceived).UTC(), "retain_age", s.opts.RetainAge, "retain_bytes", s.opts.RetainBytes)
	}
	return nil
}

// overdue returns the segments that are too old, and the oldest of what is too
// much.
func (s *Store) overdue(now time.Time) (drop []*segment) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	total := int64(0)
	for _, seg := range s.segments {
		total += seg.Parquet.Size
	}
	for _, seg := range s.segments {
		old := s.opts.RetainAge > 0 && seg.MaxReceived < now.Add(-s.opts.RetainAge).UnixNano()
		much := s.opts.RetainBytes > 0 && total > s.opts.RetainBytes
		if old || much {
			drop = append(drop, seg)
			total -= seg.Parquet.Size
		}
	}
	return drop
}

// swap takes segments out of the manifest, puts one in the place of the first of
// them if there is one, and edits the manifest further if there is need. fate is
// what becomes of the old files, sure is as in commit. The caller holds upkeep.
func (s *Store) swap(old []*segment, with *meta, edit func(*manifest), fate int32) (sure bool, err error) {
	var added *segment
	if with != nil {
		added = newSegment(s, *with)
	}
	isOld := func(file string) bool {
		return slices.ContainsFunc(old, func(g *segment) bool { return g.File == file })
	}
	sure, err = s.commit(func(next *manifest) {
		at := slices.IndexFunc(next.Segments, func(m meta) bool { return isOld(m.File) })
		next.Segments = slices.DeleteFunc(next.Segments, func(m meta) bool { return isOld(m.File) })
		if with != nil {
			next.Segments = slices.Insert(next.Segments, at, *with)
		}
		if edit != nil {
			edit(next)
		}
	}, func() {
		at := slices.Index(s.segments, old[0])
		s.segments = slices.DeleteFunc(slices.Clone(s.segments), func(g *segment) bool { return slices.Contains(old, g) })
		if added != nil {
			s.segments = slices.Insert(s.segments, at, added)
		}
	})
	if err != nil {
		return sure, err
	}
	for _, seg := range old {
		seg.fate.Store(fate)
		seg.release()
	}
	return true, nil
}

// mergeSome merges one run of small segments, if there is one.
func (s *Store) mergeSome(ctx context.Context) (bool, error) {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.mu.RLock()
	run := pickRun(s.segments, s.opts.HeadRows, s.opts.HeadBytes)
	s.mu.RUnlock()
	if len(run) == 0 {
		return false, nil
	}
	start := time.Now()
	s.log.Debug("merging segments", "segments", len(run))
	rows, err := mergeRows(ctx, run)
	if err != nil {
		return false, err
	}
	m, err := s.writeSegment(rows, run[0].From, run[len(run)-1].To)
	if err != nil {
		return false, err
	}
	swap := func() (bool, error) { return s.swap(run, &m, nil, remove) }
	sure, err := swap()
	if err != nil && sure {
		return false, s.discard(m, err)
	}
	if err != nil {
		// It is not known which manifest a crash would leave, so the files of both
		// are needed: try until it is known.
		err = s.retry(ctx, "committing a merged segment", func() error {
			_, err := swap()
			return err
		})
		if err != nil {
			return false, err
		}
	}
	s.compactions.Add(1)
	s.log.Debug("merged segments", "segments", len(run), "into", s.display(m.File), "events", m.Parquet.Rows, "took", time.Since(start))
	return true, nil
}

// pickRun returns the longest run of neighbours that is worth merging.
func pickRun(segments []*segment, maxRows int, maxBytes int64) (best []*segment) {
	for i := range segments {
		var rows, most, bytes, text int64
		for j := i; j < len(segments) && j < i+maxMerge; j++ {
			g := segments[j]
			if j > i && !isNext(segments[j-1], g) {
				break
			}
			rows += g.Parquet.Rows
			bytes += g.Memory
			text += g.Text
			most = max(most, g.Parquet.Rows)
			if rows > int64(maxRows) || bytes > maxBytes || text > maxWritten {
				break
			}
			if n := j + 1 - i; n >= minMerge && n > len(best) && 2*most <= rows {
				best = segments[i : j+1]
			}
		}
	}
	return best
}

// isNext reports whether b begins where a ends, with no lost piece in between.
func isNext(a, b *segment) bool { return a.To.Covers(b.From) && b.From.Covers(a.To) }

// mergeRows returns the rows of all of run, sorted. They fit in one segment, so
// they take as much memory as a full head, twice while they are put in order.
func mergeRows(ctx context.Context, run []*segment) (*column.Rows, error) {
	parts := make([]*column.Rows, len(run))
	out := &column.Rows{}
	partitioned := false
	for i, g := range run {
		rg, err := g.rowGroup()
		if err != nil {
			return nil, err
		}
		if parts[i], err = rg.All(ctx); err != nil {
			return nil, g.check(err)
		}
		out.N += parts[i].N
		partitioned = partitioned || parts[i].Partitions != nil
	}
	for _, p := range parts {
		out.IDs = append(out.IDs, p.IDs...)
		out.Timestamps = append(out.Timestamps, p.Timestamps...)
		out.ReceivedAt = append(out.ReceivedAt, p.ReceivedAt...)
		out.Offsets = append(out.Offsets, p.Offsets...)
		switch {
		case partitioned && p.Partitions == nil:
			out.Partitions = append(out.Partitions, make([]int32, p.N)...)
		case partitioned:
			out.Partitions = append(out.Partitions, p.Partitions...)
		}
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		texts := make([]*column.Text, len(parts))
		for i, p := range parts {
			t := p.Text[f]
			t.Rows = p.N // a column that no row has says 0
			texts[i] = &t
			p.Text[f] = column.Text{}
		}
		out.Text[f] = column.Concat(texts)
	}
	return sortRows(out), nil
}
