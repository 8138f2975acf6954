package event

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestIDText(t *testing.T) {
	const text = "0198c0de-7a51-7000-8000-0123456789ab"
	id, ok := ParseID(text)
	if !ok || id.String() != text || id.Version() != 7 {
		t.Errorf("got %v, %t, version %d", id, ok, id.Version())
	}
	if upper, ok := ParseID([]byte("0198C0DE-7A51-7000-8000-0123456789AB")); !ok || upper != id {
		t.Errorf("upper case: got %v, %t", upper, ok)
	}
	for _, bad := range []string{
		"", "00000000-0000-0000-0000-000000000000", text[:35], text + "0", "{" + text[:34] + "}",
		"0198c0de07a51-7000-8000-0123456789ab", "0198c0de-7a51-7000-8000-0123456789ag", "0198c0de-7a51-7000-8000-012345678-ab",
	} {
		if id, ok := ParseID(bad); ok {
			t.Errorf("%q is accepted as %v", bad, id)
		}
	}
}

func TestIDSourceRises(t *testing.T) {
	var ids IDSource
	now := time.UnixMilli(1_764_000_000_123)
	last := ids.New(now)
	if got := int64(last[0])<<40 | int64(last[1])<<32 | int64(last[2])<<24 | int64(last[3])<<16 | int64(last[4])<<8 | int64(last[5]); got != now.UnixMilli() {
		t.Errorf("the identity says %d ms, want %d", got, now.UnixMilli())
	}
	for i := range 10_000 { // more than 4096 in a millisecond, and a clock that steps back
		id := ids.New(now.Add(-time.Duration(i%3) * time.Second))
		if bytes.Compare(id[:], last[:]) <= 0 {
			t.Fatalf("%v does not follow %v", id, last)
		}
		if id.Version() != 7 || id[8]>>6 != 2 {
			t.Fatalf("%v has version %d, variant %b", id, id.Version(), id[8]>>6)
		}
		last = id
	}
	if id := ids.New(now.Add(time.Minute)); bytes.Compare(id[:], last[:]) <= 0 {
		t.Errorf("%v does not follow %v", id, last)
	}
}

func TestIDSourceConcurrently(t *testing.T) {
	const workers, each = 8, 2000
	var ids IDSource
	made := make([][]ID, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				made[w] = append(made[w], ids.New(time.Now()))
			}
		})
	}
	wg.Wait()
	seen := make(map[ID]bool)
	for _, list := range made {
		if !slices.IsSortedFunc(list, func(a, b ID) int { return bytes.Compare(a[:], b[:]) }) {
			t.Error("the identities of one goroutine do not rise")
		}
		for _, id := range list {
			seen[id] = true
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d different identities, want %d", len(seen), workers*each)
	}
}
