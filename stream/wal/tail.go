package wal

import (
	"cmp"
	"slices"

	"github.com/daybook-log/daybook/stream"
)

// tailCache holds the newest batches, without a gap up to the log's end.
type tailCache struct {
	limit   int64
	bytes   int64
	batches []*stream.Batch // by offset; those before first are dropped
	first   int
}

// batchBytes is about what a batch takes in memory.
func batchBytes(b *stream.Batch) int64 {
	const itself = 192
	return int64(cap(b.Data)) + 4*int64(cap(b.Ends)) + itself
}

// add appends a batch and drops the oldest while there is too much. The newest
// stays in any case: readers that wait for it are about to ask.
func (t *tailCache) add(b *stream.Batch) {
	t.batches = append(t.batches, b)
	t.bytes += batchBytes(b)
	for t.bytes > t.limit && t.first < len(t.batches)-1 {
		t.bytes -= batchBytes(t.batches[t.first])
		t.batches[t.first] = nil
		t.first++
	}
	if t.first > len(t.batches)/2 {
		n := copy(t.batches, t.batches[t.first:])
		clear(t.batches[n:])
		t.batches = t.batches[:n]
		t.first = 0
	}
}

// find returns the records of one batch from offset on, or nil.
func (t *tailCache) find(offset int64) *stream.Batch {
	held := t.batches[t.first:]
	i, found := slices.BinarySearchFunc(held, offset, func(b *stream.Batch, offset int64) int {
		return cmp.Compare(b.Base, offset)
	})
	if !found {
		i--
	}
	if i < 0 || offset >= held[i].Base+int64(held[i].Len()) {
		return nil
	}
	return from(held[i], offset)
}

// from returns the records of b, which holds offset, from there on.
func from(b *stream.Batch, offset int64) *stream.Batch {
	skip := int(offset - b.Base)
	if skip == 0 {
		return b
	}
	cut := b.Ends[skip-1]
	rest := &stream.Batch{
		Data: b.Data[cut:], Ends: make([]uint32, len(b.Ends)-skip), Base: offset, ReceivedAt: b.ReceivedAt,
	}
	for i := range rest.Ends {
		rest.Ends[i] = b.Ends[skip+i] - cut
	}
	return rest
}
