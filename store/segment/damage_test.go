package segment

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/parquet"
	"github.com/daybook-log/daybook/store/storetest"
)

// TestDamage: a byte of a segment is wrong. The query that reads it fails and
// names the file; then the segment is set aside, queries carry on, the store
// says what is missing, and takes it back.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := openRunning(t, vfs.OS(), dir, Options{HeadRows: 128})
	st := newStream(12, 100)
	for i, rows := range st.batches {
		if err := s.Append(t.Context(), rows, st.reached[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.RLock()
	victim := s.segments[5]
	s.mu.RUnlock()
	path := filepath.Join(dir, victim.File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[victim.Parquet.TailOff/4] ^= 0x10 // in a page: filters and indexes follow them
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *parquet.DamageError
	err = s.Scan(t.Context(), store.Scan{Range: store.AllTime}, func(*event.Event) bool { return true })
	if !errors.As(err, &damage) || !strings.Contains(err.Error(), victim.name()) {
		t.Fatalf("a scan over damage: %v", err)
	}
	if err := s.waitFor(t.Context(), func() bool { return len(s.manifest.Damaged) > 0 }); err != nil {
		t.Fatal(err)
	}
	missing := s.Missing()
	if len(missing) != 1 || missing[0].Events != 100 || missing[0].File != victim.name() || missing[0].From[0] != 500 || missing[0].To[0] != 600 {
		t.Errorf("missing %+v", missing)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	storetest.Check(t, s, st.outside(missing), rng, 20)
	if _, err := os.Stat(path + damagedSuffix); err != nil {
		t.Error(err)
	}

	pieces := []struct {
		from, to int64
		left     []int64 // events of what is then missing
	}{{520, 540, []int64{20, 60}}, {500, 520, []int64{60}}, {540, 600, nil}}
	for _, p := range pieces {
		if err := s.Restore(t.Context(), st.all[p.from:p.to], event.Positions{p.from}, event.Positions{p.to}); err != nil {
			t.Fatal(err)
		}
		missing = s.Missing()
		var left []int64
		for _, d := range missing {
			left = append(left, d.Events)
		}
		if len(left) != len(p.left) || len(left) > 0 && left[0] != p.left[0] {
			t.Errorf("after restoring %d to %d, %d are missing, want %d", p.from, p.to, left, p.left)
		}
		storetest.Check(t, s, st.outside(missing), rng, 5)
	}
	if err := s.Restore(t.Context(), nil, event.Positions{540}, event.Positions{600}); err == nil {
		t.Error("what is there was restored again")
	}
}

// TestMissingFile: a segment that is gone when the store is opened is known to be.
func TestMissingFile(t *testing.T) {
	fsys := vfs.NewMem()
	st := newStream(4, 64)
	s, err := Open(fsys, crashDir, crashOptions, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.feed(t.Context(), s), s.Close()); err != nil {
		t.Fatal(err)
	}
	lost := s.manifest.Segments[1]
	if err := fsys.Remove(filepath.Join(crashDir, lost.File)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is in the manifest
		if s, err = Open(fsys, crashDir, crashOptions, nil); err != nil {
			t.Fatal(err)
		}
		d := s.Stats().Damaged
		if len(d) != 1 || d[0].Events != 64 || !strings.Contains(d[0].Reason, "missing") {
			t.Errorf("damaged %+v", d)
		}
		if err := st.feed(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		storetest.Check(t, s, st.outside(d), rand.New(rand.NewPCG(1, 1)), 5)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
