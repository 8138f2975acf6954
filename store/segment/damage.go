package segment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/parquet"
)

// unreadAfter is how often, a minute apart, a segment that cannot be read is tried
// before it is set aside. A cable or a server comes back, a bad sector does not.
const unreadAfter = 3

// suspicion is what is held against a segment. It does not change.
type suspicion struct {
	damage *parquet.DamageError // nil: it could not be read
	failed int                  // attempts to read all of it
	again  time.Time            // when to try next
}

// suspect notes that a read found g damaged or, without damage, failed. The query
// that met it fails, since an answer without g's rows would be wrong and not look
// it; upkeep sets g aside, and from then on queries answer without it and Stats
// says what is missing.
func (s *Store) suspect(g *segment, damage *parquet.DamageError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.suspects[g]; x != nil && (x.damage != nil || damage == nil) || !slices.Contains(s.segments, g) {
		return
	}
	s.suspects[g] = &suspicion{damage: damage}
	kick(s.upkeepKick)
}

// setSuspectsAside sets aside what reads found damaged, and what could not be read
// however often it was tried.
func (s *Store) setSuspectsAside(ctx context.Context, now time.Time) error {
	s.mu.RLock()
	suspects := maps.Clone(s.suspects)
	s.mu.RUnlock()
	for seg, x := range suspects {
		if x.damage == nil {
			if x = seg.examine(ctx, x, now); ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if x != nil && x.damage != nil {
			if err := s.setAside(seg, x.damage); err != nil {
				return err
			}
			x = nil
		}
		s.mu.Lock()
		if x == nil {
			delete(s.suspects, seg)
		} else {
			s.suspects[seg] = x
		}
		s.mu.Unlock()
	}
	return nil
}

// examine reads all of g, of which a read failed, if it is time to, and returns
// what is held against it then; nil when there is nothing wrong with it.
func (g *segment) examine(ctx context.Context, x *suspicion, now time.Time) *suspicion {
	if now.Before(x.again) {
		return x
	}
	err := g.verify(ctx)
	if err == nil {
		return nil
	}
	next := &suspicion{failed: x.failed + 1, again: now.Add(upkeepEvery - time.Second)}
	if !errors.As(err, &next.damage) && next.failed >= unreadAfter {
		next.damage = &parquet.DamageError{File: g.name(), Offset: -1, Reason: "it cannot be read: " + err.Error()}
	}
	g.store.log.Warn("a segment cannot be read", "file", g.name(), "error", err, "attempts", next.failed)
	return next
}

// setAside takes g out of the segments and notes in the manifest what is missing
// for it. Its file is renamed when the last query has let go of it.
func (s *Store) setAside(g *segment, damage *parquet.DamageError) error {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.mu.RLock()
	current := slices.Contains(s.segments, g)
	s.mu.RUnlock()
	if !current {
		return nil // retention was faster
	}
	l := lost{File: g.File, Reason: damage.Error(), Rows: g.Parquet.Rows, From: g.From, To: g.To}
	if _, err := s.swap([]*segment{g}, nil, func(next *manifest) { next.addLost(l) }, setAside); err != nil {
		return err
	}
	s.log.Error("a segment is damaged; it was set aside and its events are missing until they are restored from the stream",
		"file", g.name(), "reason", l.Reason, "events", l.Rows, "from", l.From, "to", l.To)
	return nil
}

// addLost puts l in its place in stream order.
func (m *manifest) addLost(l lost) {
	at := slices.IndexFunc(m.Damaged, func(o lost) bool { return o.From.Covers(l.To) })
	if at < 0 {
		at = len(m.Damaged)
	}
	m.Damaged = slices.Insert(m.Damaged, at, l)
}

// Missing returns the pieces of the stream whose events are missing because
// their segment was damaged, in stream order. What the stream still has of them
// can be put back with Restore.
func (s *Store) Missing() []store.Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []store.Damage
	for _, l := range s.manifest.Damaged {
		out = append(out, store.Damage{File: s.display(l.File), Reason: l.Reason, Events: l.Rows, From: l.From.Clone(), To: l.To.Clone()})
	}
	return out
}

// Restore puts back rows from the piece [from, to) of the stream, which must lie
// within one that Missing names: all that belong into the store, and so none
// that Known finds. When it returns they are durable and visible, and Missing
// names the piece no longer. A large piece is best restored in several, each as
// large as memory allows; rows are at most as many as a segment holds.
func (s *Store) Restore(ctx context.Context, rows []event.Event, from, to event.Positions) error {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.mu.RLock()
	at := slices.IndexFunc(s.manifest.Damaged, func(l lost) bool { return from.Covers(l.From) && to.Covers(from) && l.To.Covers(to) })
	var l lost
	if at >= 0 {
		l = s.manifest.Damaged[at]
	}
	s.mu.RUnlock()
	if at < 0 {
		return fmt.Errorf("restore from %v to %v: nothing is missing there", from, to)
	}
	if len(rows) > DefaultHeadRows {
		return fmt.Errorf("restore %d rows: they must be at most %d", len(rows), DefaultHeadRows)
	}
	for i := range rows {
		if pos := rows[i].Position(); from.Includes(pos) || !to.Includes(pos) {
			return fmt.Errorf("restore from %v to %v: event %s lies at %v", from, to, rows[i].ID, pos)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var m meta
	if len(rows) > 0 {
		h := newHead(len(rows), from)
		h.append(rows, to)
		var err error
		if m, err = s.writeSegment(sortRows(&h.snapshot().cols), from, to); err != nil {
			return err
		}
	}
	return s.commitRestored(l, m, from, to, int64(len(rows)))
}

// commitRestored puts segment m, of the given number of rows, into the place of
// the piece [from, to) of l.
func (s *Store) commitRestored(l lost, m meta, from, to event.Positions, rows int64) error {
	rest := l.without(from, to, rows)
	var seg *segment
	sure, err := s.commit(func(next *manifest) {
		next.Damaged = slices.DeleteFunc(next.Damaged, func(o lost) bool {
			return o.File == l.File && slices.Equal(o.From, l.From) && slices.Equal(o.To, l.To)
		})
		for _, r := range rest {
			next.addLost(r)
		}
		if m.File != "" {
			next.Segments = slices.Insert(next.Segments, placeOf(next.Segments, to), m)
			seg = newSegment(s, m)
		}
	}, func() {
		if seg == nil {
			return
		}
		for i, x := range s.manifest.Segments {
			if x.File == m.File {
				s.segments = slices.Insert(slices.Clone(s.segments), i, seg)
			}
		}
	})
	if err != nil {
		if sure && m.File != "" {
			return s.discard(m, err)
		}
		return err
	}
	s.log.Info("restored events from the stream", "file", s.display(l.File), "events", rows, "from", from, "to", to)
	kick(s.upkeepKick)
	return nil
}

// placeOf returns where among segments one that reaches to belongs.
func placeOf(segments []meta, to event.Positions) int {
	for i := range segments {
		if segments[i].From.Covers(to) {
			return i
		}
	}
	return len(segments)
}

// without returns what is left of l when [from, to), with the given number of
// rows, is taken out. How the rows still missing are spread is a guess, by the
// number of stream positions.
func (l lost) without(from, to event.Positions, rows int64) []lost {
	left := max(0, l.Rows-rows)
	before, after := l, l
	before.To, after.From = from, to
	a, b := distance(before.From, before.To), distance(after.From, after.To)
	if a+b > 0 {
		before.Rows = int64(float64(left) * float64(a) / float64(a+b))
		after.Rows = left - before.Rows
	}
	var rest []lost
	if a > 0 {
		rest = append(rest, before)
	}
	if b > 0 {
		rest = append(rest, after)
	}
	return rest
}

// distance returns how many stream positions lie between two.
func distance(from, to event.Positions) int64 {
	n := int64(0)
	for p, offset := range to {
		n += offset - from.At(int32(p))
	}
	return n
}

// discard removes the file of a segment that was not committed, because of err.
func (s *Store) discard(m meta, err error) error {
	return errors.Join(err, removeIfExists(s.fs, filepath.Join(s.dir, m.File)))
}
