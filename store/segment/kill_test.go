package segment

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/daybook-log/daybook/internal/vfs"
)

// TestKilledBeforeSync: a process is killed after it has renamed a manifest and
// before it has synced the folder. What the next one says is committed, the stream
// forgets, so a power cut must not bring the older manifest back.
func TestKilledBeforeSync(t *testing.T) {
	for luck := range uint64(8) {
		fsys := vfs.NewMem()
		st := newStream(1, 8)
		s, err := Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), st.batches[0], st.reached[0]); err != nil {
			t.Fatal(err)
		}
		s.tryRotate()
		h := s.oldestFrozen()
		m, err := s.writeSegment(sortRows(&h.snapshot().cols), h.from, h.to)
		if err != nil {
			t.Fatal(err)
		}
		fsys.SetHook(func(op vfs.Op) error {
			if op.Kind == "SyncDir" {
				return syscall.EIO // it is not reached
			}
			return nil
		})
		if err := s.commitFrozen(h, m); !errors.Is(err, syscall.EIO) {
			t.Fatalf("commit: %v", err)
		}
		fsys.SetHook(nil)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}

		s, err = Open(fsys, crashDir, crashOptions, nil)
		if err != nil {
			t.Fatal(err)
		}
		said := s.Committed()
		s, err = Open(fsys.Crash(rand.New(rand.NewPCG(luck, 1))), crashDir, crashOptions, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Committed().Covers(said) {
			t.Fatalf("luck %d: the store said that it has committed %v, and after a power cut it has %v", luck, said, s.Committed())
		}
	}
}
