package segment

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/storetest"
)

const crashDir = "/data/store"

// crashOptions make much happen with few rows.
var crashOptions = Options{HeadRows: 64, HeadAge: time.Hour}

// stream is a fixed stream: batches with the position that each reaches.
type stream struct {
	batches [][]event.Event
	reached []event.Positions
	all     []event.Event
}

func newStream(batches, rows int) *stream {
	st := &stream{}
	src := storetest.NewSource(rand.New(rand.NewPCG(11, 11)), 1)
	for range batches {
		b, reached := src.Next(rows)
		st.batches = append(st.batches, b)
		st.reached = append(st.reached, reached)
		st.all = append(st.all, b...)
	}
	return st
}

// before returns the events before pos.
func (st *stream) before(pos event.Positions) *storetest.Model {
	m := &storetest.Model{}
	for _, e := range st.all {
		if pos.Includes(e.Position()) {
			m.Events = append(m.Events, e)
		}
	}
	return m
}

// outside returns the events that lie in none of the pieces.
func (st *stream) outside(pieces []store.Damage) *storetest.Model {
	m := &storetest.Model{}
	for _, e := range st.all {
		if !slices.ContainsFunc(pieces, func(d store.Damage) bool { return !d.From.Includes(e.Position()) && d.To.Includes(e.Position()) }) {
			m.Events = append(m.Events, e)
		}
	}
	return m
}

// feed gives s the rest of the stream, doing in the foreground what Run does.
func (st *stream) feed(ctx context.Context, s *Store) error {
	for i, rows := range st.batches {
		if s.Visible().Covers(st.reached[i]) {
			continue
		}
		if err := s.Append(ctx, rows, st.reached[i]); err != nil {
			return err
		}
		if i%4 > 0 { // small segments, for merging
			s.tryRotate()
		}
		for h := s.oldestFrozen(); h != nil; h = s.oldestFrozen() {
			if err := s.freeze(ctx, h); err != nil {
				return err
			}
		}
		if err := s.tidy(ctx, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// crashEverywhere runs script on what setup returns, once for each operation that
// changes the file system, with a crash before it, and then runs verify on what
// that left.
func crashEverywhere(t *testing.T, setup func() *vfs.Mem, script func(ctx context.Context, fsys *vfs.Mem) error, verify func(fsys *vfs.Mem)) {
	t.Helper()
	for crashAt := 0; ; crashAt++ {
		fsys := setup()
		ctx, cancel := context.WithCancel(t.Context())
		changes := 0
		fsys.SetHook(func(op vfs.Op) error {
			if !op.Changes() {
				return nil
			}
			if changes++; changes > crashAt {
				cancel() // so that nothing tries again
				return vfs.ErrCrashed
			}
			return nil
		})
		err := script(ctx, fsys)
		cancel()
		if err == nil {
			if crashAt < 30 {
				t.Fatalf("the script has %d operations only", crashAt)
			}
			t.Logf("%d crashes", crashAt)
			return
		}
		verify(fsys.Crash(rand.New(rand.NewPCG(uint64(crashAt), 1))))
		if t.Failed() {
			t.Fatalf("after a crash before operation %d, where the script saw: %v", crashAt, err)
		}
	}
}

// TestCrash: after a crash the store holds the stream up to Committed, which is
// no less than it said before, and nothing else; fed the rest, it holds all of it.
func TestCrash(t *testing.T) {
	st := newStream(9, 8)
	var said event.Positions
	script := func(ctx context.Context, fsys *vfs.Mem) error {
		said = nil
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			return err
		}
		err = st.feed(ctx, s)
		said = s.Committed()
		if st := s.Stats(); err == nil && (st.Compactions < 1 || st.Segments > 8) {
			t.Errorf("hardly anything was merged: %d compactions, %d segments", st.Compactions, st.Segments)
		}
		return errors.Join(err, s.Close())
	}
	crashEverywhere(t, vfs.NewMem, script, func(fsys *vfs.Mem) {
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		if !s.Committed().Covers(said) {
			t.Errorf("committed %v, before the crash it was %v", s.Committed(), said)
		}
		if missing := s.Missing(); missing != nil {
			t.Errorf("missing %v", missing)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		storetest.Check(t, s, st.before(s.Committed()), rng, 2)
		if err := st.feed(t.Context(), s); err != nil {
			t.Errorf("feed: %v", err)
		}
		storetest.Check(t, s, &storetest.Model{Events: st.all}, rng, 2)
		checkFolder(t, fsys, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// checkFolder checks that nothing lies in the folder but what belongs there.
func checkFolder(t *testing.T, fsys vfs.FS, s *Store) {
	t.Helper()
	want := []string{"LOCK", manifestName}
	for _, seg := range s.segments {
		want = append(want, seg.File)
	}
	entries, err := fsys.ReadDir(s.dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) && filepath.Ext(e.Name()) != damagedSuffix {
			t.Errorf("%s was left over", e.Name())
		}
	}
}

// TestCrashWhileRestoring: a segment lost its end. Whenever the setting aside and
// the restoring are interrupted, the store knows what is missing.
func TestCrashWhileRestoring(t *testing.T) {
	st := newStream(8, 30)
	setup := func() *vfs.Mem {
		fsys := vfs.NewMem()
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(st.feed(t.Context(), s), s.Close()); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.OpenAppend(filepath.Join(crashDir, s.manifest.Segments[2].File))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(100), f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		return fsys
	}
	restore := func(ctx context.Context, s *Store) error {
		for len(s.Missing()) > 0 {
			d := s.Missing()[0]
			to := event.Positions{min(d.From[0]+10, d.To[0])}
			rows := st.before(to).Events[d.From[0]:]
			if err := s.Restore(ctx, rows, d.From, to); err != nil {
				return err
			}
		}
		return nil
	}
	script := func(ctx context.Context, fsys *vfs.Mem) error {
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			return err
		}
		return errors.Join(restore(ctx, s), s.tidy(ctx, time.Now()), s.Close())
	}
	crashEverywhere(t, setup, script, func(fsys *vfs.Mem) {
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		if err := st.feed(t.Context(), s); err != nil {
			t.Error(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		storetest.Check(t, s, st.outside(s.Missing()), rng, 2)
		if err := restore(t.Context(), s); err != nil {
			t.Errorf("restore: %v", err)
		}
		storetest.Check(t, s, &storetest.Model{Events: st.all}, rng, 2)
		checkFolder(t, fsys, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
