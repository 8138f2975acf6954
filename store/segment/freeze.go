package segment

import (
	"context"
	"math/rand/v2"
	"time"
)

// How long to wait before a failed write is tried again: doubling, with jitter.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
)

// freezeLoop writes frozen heads, oldest first, and freezes a head that has
// become old, until ctx ends.
func (s *Store) freezeLoop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for h := s.oldestFrozen(); h != nil; h = s.oldestFrozen() {
			if err := s.freeze(ctx, h); err != nil {
				return nil // ctx ended
			}
		}
		if wait := s.freezeOld(); wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-s.freezeKick:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) oldestFrozen() *head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.frozen) == 0 {
		return nil
	}
	return s.frozen[0]
}

// freezeOld freezes the head if it is old, and returns after how long to look
// again; 0 when there is nothing to wait for.
func (s *Store) freezeOld() time.Duration {
	if !s.appending.TryLock() {
		return time.Second // Append looks too, unless it was the last one
	}
	defer s.appending.Unlock()
	since := s.currentHead().since()
	if since.IsZero() {
		return 0
	}
	if left := s.opts.HeadAge - time.Since(since); left > 0 {
		return left
	}
	s.tryRotate() // if there is no room, heads are to be written, and this comes again
	return 0
}

// freeze makes the oldest frozen head a segment. It fails only when ctx ends.
func (s *Store) freeze(ctx context.Context, h *head) error {
	v := h.snapshot()
	start := time.Now()
	s.log.Debug("freezing a head", "events", v.cols.N)
	var m meta
	if v.cols.N > 0 {
		rows := sortRows(&v.cols)
		err := s.retry(ctx, "writing a segment", func() (err error) {
			m, err = s.writeSegment(rows, h.from, h.to)
			return err
		})
		if err != nil {
			return err
		}
	}
	// From here on the manifest may name the file, even if writing it fails: the
	// same file is tried with again.
	err := s.retry(ctx, "committing a segment", func() error { return s.commitFrozen(h, m) })
	if err == nil {
		s.log.Debug("froze a head", "into", s.display(m.File), "events", v.cols.N, "took", time.Since(start))
	}
	return err
}

// commitFrozen puts the oldest frozen head's segment m into the manifest; without
// rows it only moves the position.
func (s *Store) commitFrozen(h *head, m meta) error {
	var seg *segment
	_, err := s.commit(func(next *manifest) {
		next.Reached = h.to
		if m.File != "" {
			next.Segments = append(next.Segments, m)
			seg = newSegment(s, m)
		}
	}, func() {
		if seg != nil {
			s.segments = append(s.segments[:len(s.segments):len(s.segments)], seg)
		}
		s.frozen = s.frozen[1:]
		s.committed = h.to
	})
	if err == nil {
		kick(s.upkeepKick)
	}
	return err
}

// commit replaces the manifest: edit makes the next one, and once that is durable
// apply makes the same change in memory, with mu held. sure reports whether, on
// an error, the old manifest is certainly still the durable one; files that edit
// added may be removed only then.
func (s *Store) commit(edit func(next *manifest), apply func()) (sure bool, err error) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.mu.RLock()
	next := s.manifest.clone()
	s.mu.RUnlock()
	edit(next)
	next.Generation++
	next.NextFile = s.nextFile.Load()
	if sure, err = writeManifest(s.fs, s.dir, next); err != nil {
		return sure, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifest = next
	apply()
	s.broadcast()
	return true, nil
}

// retry calls try until it succeeds; it fails only when ctx ends.
func (s *Store) retry(ctx context.Context, what string, try func() error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := try()
		if err == nil {
			return nil
		}
		s.freezeErrors.Add(1)
		s.log.Error(what+" failed; it will be tried again, and nothing is lost: the stream holds the events", "error", err, "wait", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}
