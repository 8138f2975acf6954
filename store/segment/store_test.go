package segment

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/storetest"
)

// tiny makes heads freeze and segments merge after a few dozen rows.
var tiny = Options{HeadRows: 200, HeadAge: time.Hour}

// openRunning opens a store and runs it until the test ends.
func openRunning(t *testing.T, fsys vfs.FS, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(fsys, dir, opts, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	setups := []struct {
		name string
		open func(t *testing.T) *Store
	}{
		{"full segments on disk", func(t *testing.T) *Store { return openRunning(t, vfs.OS(), t.TempDir(), tiny) }},
		{"merged segments in memory", func(t *testing.T) *Store {
			return openRunning(t, vfs.NewMem(), "/store", Options{HeadRows: 2000, CacheBytes: 1 << 20})
		}},
	}
	for _, setup := range setups {
		t.Run(setup.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Fixture {
				s := setup.open(t)
				return storetest.Fixture{Store: s, Settle: func() {
					if err := s.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}}
			})
		})
	}
}
