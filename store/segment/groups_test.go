package segment

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"unsafe"

	"github.com/daybook-log/daybook/store"
)

// TestGroups: what several goroutines add comes together, each value once, and
// nothing of what was added from is kept.
func TestGroups(t *testing.T) {
	const writers, values = 4, 5000
	g := newGroups(&budget{limit: 1 << 30})
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			w := g.writer()
			column := make([]byte, 0, 16*values)
			for i := range values {
				start := len(column)
				column = append(column, "value-"+strconv.Itoa(i)...)
				for range 3 {
					w.add(unsafe.String(&column[start], len(column)-start), int64(i))
				}
			}
			w.add("", 1)
			if err := w.close(); err != nil {
				t.Error(err)
			}
			clear(column)
		})
	}
	wg.Wait()
	best, all := g.largest(values + 1)
	if all != values+1 || len(best) != values+1 {
		t.Fatalf("%d values, %d returned", all, len(best))
	}
	for i, b := range best[:values-1] {
		if want := values - 1 - i; b.Value != "value-"+strconv.Itoa(want) || b.Count != int64(3*writers*want) {
			t.Fatalf("group %d: %q, %d", i, b.Value, b.Count)
		}
	}
	if rest := fmt.Sprint(best[values-1:]); rest != fmt.Sprint([]store.Group{{Value: "", Count: writers}, {Value: "value-0"}}) {
		t.Errorf("the last: %s", rest)
	}
}

// TestGroupsMemory: groups take memory once for each value, and say when there is
// no more.
func TestGroupsMemory(t *testing.T) {
	mem := &budget{limit: 10 * (groupBytes + 1)}
	g := newGroups(mem)
	w := g.writer()
	for i := range 10_000 {
		w.add(strconv.Itoa(i%10), 1)
	}
	if err := w.close(); err != nil || mem.used.Load() != mem.limit {
		t.Errorf("ten values: %v, %d bytes of %d", err, mem.used.Load(), mem.limit)
	}
	w = g.writer()
	n := 0
	for w.add("another-"+strconv.Itoa(n), 1) {
		n++
	}
	if err := w.close(); !errors.Is(err, store.ErrMemory) {
		t.Errorf("%d values more: %v", n, err)
	}
}
