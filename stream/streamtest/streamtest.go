// Package streamtest is the contract that every [stream.Stream] answers to, as a
// test suite.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// Harness says how to test an implementation.
type Harness struct {
	// Open opens a new, empty stream; the suite closes it.
	Open func(t *testing.T) stream.Stream

	// Partitions is how many the streams have. 0: one.
	Partitions int

	// Reopen closes s and opens what it held. nil: the test is skipped.
	Reopen func(t *testing.T, s stream.Stream) stream.Stream

	// Drop makes the stream drop some of its oldest records, which were all
	// released, and appends more if it must to do so. nil: the test is skipped.
	Drop func(t *testing.T, s stream.Stream)
}

// wait bounds how long a test waits for what must come.
const wait = 20 * time.Second

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"a stream has an identity of its own", identity},
		{"an append sets positions that a reader finds", positions},
		{"records come in order and whole", order},
		{"a batch of many keys is spread, and each key keeps its order", spread},
		{"records without keys keep their order", keyless},
		{"records of any size and number come back", shapes},
		{"concurrent appends each come once and in their own order", concurrent},
		{"a reader waits for what is appended later", follow},
		{"a reader begins at any record", middle},
		{"the end covers what was acknowledged", endCovers},
		{"received_at never falls within a partition", receivedAt},
		{"a malformed batch is refused", malformed},
		{"a context ends a waiting reader, which can go on", cancelNext},
		{"a context that has ended appends nothing", cancelAppend},
		{"close ends readers and appends", closing},
		{"what was acknowledged is there after reopening", reopen},
		{"a reader is told of a gap and goes on behind it", gap},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, h) })
	}
}

func open(t *testing.T, h Harness) stream.Stream {
	t.Helper()
	s := h.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func identity(t *testing.T, h Harness) {
	a, b := open(t, h), open(t, h)
	if a.ID() == b.ID() || a.ID().IsZero() {
		t.Errorf("two streams are %s and %s", a.ID(), b.ID())
	}
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	t.Cleanup(cancel)
	return ctx
}

// key keeps all records of a test's publisher in one partition.
func key(publisher int) stream.Key {
	return stream.Key{Tenant: "default", User: fmt.Sprintf("user-%d", publisher)}
}

func batch(k stream.Key, values ...string) *stream.Batch {
	b := &stream.Batch{}
	for _, v := range values {
		b.Add(k, []byte(v))
	}
	return b
}

func mustAppend(t *testing.T, s stream.Stream, b *stream.Batch) {
	t.Helper()
	if err := s.Append(timeout(t), b); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func reader(t *testing.T, s stream.Stream, from event.Positions) stream.Reader {
	t.Helper()
	r, err := s.Reader(from)
	if err != nil {
		t.Fatalf("Reader(%v): %v", from, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Reader.Close: %v", err)
		}
	})
	return r
}

// record is what a reader was handed.
type record struct {
	pos      event.Position
	value    string
	received int64
}

// read reads n records or more, until its batch ends.
func read(t *testing.T, r stream.Reader, n int) []record {
	t.Helper()
	ctx := timeout(t)
	var records []record
	for len(records) < n {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d records: %v", len(records), n, err)
		}
		if b.Partitions != nil || b.Offsets != nil {
			t.Fatalf("Next returned a batch that does not say where it lies by its Base: %v %v", b.Partitions, b.Offsets)
		}
		for i := range b.Len() {
			records = append(records, record{b.Position(i), string(b.Value(i)), b.ReceivedAt})
		}
	}
	return records
}

func positions(t *testing.T, h Harness) {
	s := open(t, h)
	b := batch(key(1), "a", "b", "c")
	mustAppend(t, s, b)
	want := map[event.Position]string{}
	for i := range b.Len() {
		want[b.Position(i)] = string(b.Value(i))
	}
	if len(want) != 3 {
		t.Fatalf("three records have the positions %v", want)
	}
	for _, rec := range read(t, reader(t, s, nil), 3) {
		if want[rec.pos] != rec.value {
			t.Errorf("at %v: read %q, appended %q", rec.pos, rec.value, want[rec.pos])
		}
		delete(want, rec.pos)
		if rec.received == 0 {
			t.Errorf("at %v: Next did not say when it was received", rec.pos)
		}
	}
	if len(want) != 0 {
		t.Errorf("not read: %v", want)
	}
}

func order(t *testing.T, h Harness) {
	s := open(t, h)
	const batches, size = 40, 25
	for i := range batches {
		b := &stream.Batch{}
		for j := range size {
			b.Add(key(1), fmt.Appendf(nil, "%d", i*size+j))
		}
		mustAppend(t, s, b)
	}
	records := read(t, reader(t, s, nil), batches*size)
	for i, rec := range records {
		if rec.value != fmt.Sprint(i) {
			t.Fatalf("record %d is %q", i, rec.value)
		}
		if i > 0 && rec.pos.Offset <= records[i-1].pos.Offset {
			t.Fatalf("record %d has offset %d after %d", i, rec.pos.Offset, records[i-1].pos.Offset)
		}
	}
}

func spread(t *testing.T, h Harness) {
	s := open(t, h)
	const batches, keys = 6, 50
	want := map[event.Position]string{}
	var half, end event.Positions
	for i := range batches {
		b := &stream.Batch{}
		for k := range keys {
			b.Add(key(k), fmt.Appendf(nil, "%d %d", k, i))
		}
		mustAppend(t, s, b)
		for j := range b.Len() {
			pos := b.Position(j)
			want[pos] = string(b.Value(j))
			end = end.Advance(pos.Partition, pos.Offset+1)
		}
		if i == batches/2-1 {
			half = end.Clone()
		}
	}
	if len(want) != batches*keys || len(end) != max(1, h.Partitions) {
		t.Fatalf("%d records in %d partitions; want %d in %d", len(want), len(end), batches*keys, max(1, h.Partitions))
	}
	if got, err := s.End(timeout(t)); err != nil || !got.Covers(end) || !end.Covers(got) {
		t.Errorf("the end is %v, %v; want %v", got, err, end)
	}
	for _, from := range []event.Positions{nil, half} {
		total := 0
		for p, to := range end {
			total += int(to - from.At(int32(p)))
		}
		at, round := from.Clone(), map[int]int{}
		for _, rec := range read(t, reader(t, s, from), total) {
			if rec.pos.Offset != at.At(rec.pos.Partition) || rec.value != want[rec.pos] {
				t.Fatalf("from %v: read %q at %v; want %q at offset %d", from, rec.value, rec.pos, want[rec.pos], at.At(rec.pos.Partition))
			}
			at = at.Advance(rec.pos.Partition, rec.pos.Offset+1)
			var k, i int
			fmt.Sscan(rec.value, &k, &i)
			if i < round[k] {
				t.Fatalf("from %v: key %d: round %d came after %d", from, k, i, round[k])
			}
			round[k] = i
		}
	}
}

func keyless(t *testing.T, h Harness) {
	s := open(t, h)
	for i := range 3 {
		b := batch(key(1), fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
		b.Keys = nil
		mustAppend(t, s, b)
	}
	for i, rec := range read(t, reader(t, s, nil), 6) {
		if want := fmt.Sprint(i/2, string("ab"[i%2])); rec.value != want {
			t.Fatalf("record %d is %q, want %q", i, rec.value, want)
		}
	}
}

func shapes(t *testing.T, h Harness) {
	s := open(t, h)
	long := make([]byte, 64<<10)
	for i := range long {
		long[i] = byte(i * i >> 3)
	}
	many := &stream.Batch{}
	for i := range 5000 {
		many.Add(key(1), fmt.Appendf(nil, `{"n":%d,"same":"text, again and again"}`, i))
	}
	batches := []*stream.Batch{
		batch(key(1), "x"),
		batch(key(1), "", "between two empty ones", ""),
		batch(key(1), string(long), "short", string(long[:1000])),
		many,
	}
	mustAppend(t, s, &stream.Batch{}) // no records: nothing to do, and no error
	var want []string
	for _, b := range batches {
		for i := range b.Len() {
			want = append(want, string(b.Value(i)))
		}
		mustAppend(t, s, b)
	}
	for i, rec := range read(t, reader(t, s, nil), len(want)) {
		if rec.value != want[i] {
			t.Fatalf("record %d is %.40q (%d bytes), appended was %.40q (%d bytes)", i, rec.value, len(rec.value), want[i], len(want[i]))
		}
	}
}

func concurrent(t *testing.T, h Harness) {
	s := open(t, h)
	const publishers, each = 20, 30
	var wg sync.WaitGroup
	ctx := timeout(t)
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				b := batch(key(p), fmt.Sprintf("%d %d", p, i))
				if err := s.Append(ctx, b); err != nil {
					t.Errorf("Append: %v", err)
					return
				}
			}
		})
	}
	r := reader(t, s, nil)
	records := read(t, r, publishers*each) // reads while they publish
	wg.Wait()
	if len(records) != publishers*each {
		t.Fatalf("read %d records, appended %d", len(records), publishers*each)
	}
	next := make([]int, publishers)
	for _, rec := range records {
		var p, i int
		if _, err := fmt.Sscan(rec.value, &p, &i); err != nil {
			t.Fatalf("record %q: %v", rec.value, err)
		}
		if i != next[p] {
			t.Fatalf("publisher %d: read its record %d where %d is next", p, i, next[p])
		}
		next[p]++
	}
}

func follow(t *testing.T, h Harness) {
	s := open(t, h)
	r := reader(t, s, nil)
	for i := range 5 {
		appended := make(chan error, 1)
		go func() {
			time.Sleep(2 * time.Millisecond) // most likely, the reader waits by now
			appended <- s.Append(t.Context(), batch(key(1), fmt.Sprint(i)))
		}()
		if got := read(t, r, 1); len(got) != 1 || got[0].value != fmt.Sprint(i) {
			t.Fatalf("read %v, appended was %d", got, i)
		}
		if err := <-appended; err != nil { // which may come after the record was read
			t.Fatalf("Append: %v", err)
		}
	}
}

func middle(t *testing.T, h Harness) {
	s := open(t, h)
	var all []record
	for i := range 6 {
		b := batch(key(1), fmt.Sprint(i, "a"), fmt.Sprint(i, "b"), fmt.Sprint(i, "c"))
		mustAppend(t, s, b)
		for j := range b.Len() {
			all = append(all, record{pos: b.Position(j), value: string(b.Value(j))})
		}
	}
	for i, want := range all {
		var from event.Positions
		from = from.Advance(want.pos.Partition, want.pos.Offset)
		got := read(t, reader(t, s, from), len(all)-i)
		for j, rec := range got {
			if rec.pos != all[i+j].pos || rec.value != all[i+j].value {
				t.Fatalf("from record %d: record %d is %q at %v, want %q at %v", i, i+j, rec.value, rec.pos, all[i+j].value, all[i+j].pos)
			}
		}
	}
}

func endCovers(t *testing.T, h Harness) {
	s := open(t, h)
	ctx := timeout(t)
	start, err := s.Start(ctx)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	if end, err := s.End(ctx); err != nil || !start.Covers(end) {
		t.Fatalf("an empty stream starts at %v and ends at %v, %v", start, end, err)
	}
	for range 10 {
		b := batch(key(1), "a", "b")
		mustAppend(t, s, b)
		end, err := s.End(ctx)
		if err != nil {
			t.Fatalf("End: %v", err)
		}
		if last := b.Position(1); !end.Includes(last) {
			t.Fatalf("record at %v was acknowledged, but the end is %v", last, end)
		}
	}
	// Nothing lies at or after the end yet: a reader from there sees what comes.
	end, _ := s.End(ctx)
	r := reader(t, s, end)
	mustAppend(t, s, batch(key(1), "new"))
	if got := read(t, r, 1); got[0].value != "new" {
		t.Errorf("a reader from the end was handed %q", got[0].value)
	}
}

func receivedAt(t *testing.T, h Harness) {
	s := open(t, h)
	appended := map[event.Position]int64{}
	for range 20 {
		b := batch(key(1), "x")
		mustAppend(t, s, b)
		appended[b.Position(0)] = b.ReceivedAt
	}
	last := map[int32]int64{}
	for _, rec := range read(t, reader(t, s, nil), 20) {
		if at := appended[rec.pos]; at != 0 && rec.received != at {
			t.Errorf("at %v: read received_at %d, Append set %d", rec.pos, rec.received, appended[rec.pos])
		}
		if rec.received < last[rec.pos.Partition] {
			t.Errorf("at %v: received_at falls from %d to %d", rec.pos, last[rec.pos.Partition], rec.received)
		}
		last[rec.pos.Partition] = rec.received
	}
}

func malformed(t *testing.T, h Harness) {
	s := open(t, h)
	for _, b := range []*stream.Batch{
		{Data: []byte("abc"), Ends: []uint32{2}, Keys: make([]stream.Key, 1)},
		{Data: []byte("abc"), Ends: []uint32{4}, Keys: make([]stream.Key, 1)},
		{Data: []byte("abc"), Ends: []uint32{3, 2, 3}, Keys: make([]stream.Key, 3)},
		{Data: []byte("abc")},
	} {
		if err := s.Append(timeout(t), b); err == nil {
			t.Errorf("a batch of %d bytes with ends %v was taken", len(b.Data), b.Ends)
		}
	}
	mustAppend(t, s, batch(key(1), "well formed"))
	if got := read(t, reader(t, s, nil), 1); len(got) != 1 || got[0].value != "well formed" {
		t.Errorf("read %v", got)
	}
}

func cancelNext(t *testing.T, h Harness) {
	s := open(t, h)
	r := reader(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(2*time.Millisecond, cancel)
	if b, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next = %v, %v; want context.Canceled", b, err)
	}
	mustAppend(t, s, batch(key(1), "later"))
	if got := read(t, r, 1); got[0].value != "later" {
		t.Errorf("read %q", got[0].value)
	}
}

func cancelAppend(t *testing.T, h Harness) {
	s := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, batch(key(1), "never")); !errors.Is(err, context.Canceled) {
		t.Fatalf("Append = %v; want context.Canceled", err)
	}
	mustAppend(t, s, batch(key(1), "first"))
	if got := read(t, reader(t, s, nil), 1); got[0].value != "first" {
		t.Errorf("read %q", got[0].value)
	}
}

func closing(t *testing.T, h Harness) {
	s := h.Open(t)
	mustAppend(t, s, batch(key(1), "x"))
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatalf("Reader: %v", err)
	}
	read(t, r, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := r.Next(t.Context())
		ended <- err
	}()
	time.Sleep(2 * time.Millisecond) // most likely, the reader waits by now
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, stream.ErrClosed) {
			t.Errorf("a waiting Next returned %v; want ErrClosed", err)
		}
	case <-time.After(wait):
		t.Fatal("Close left a reader waiting")
	}
	if err := r.Close(); err != nil {
		t.Errorf("Reader.Close: %v", err)
	}
	if err := s.Append(t.Context(), batch(key(1), "x")); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Append = %v; want ErrClosed", err)
	}
	if _, err := s.Reader(nil); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Reader: %v; want ErrClosed", err)
	}
	if _, err := s.End(t.Context()); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("End: %v; want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func reopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("the stream does not reopen")
	}
	s := h.Open(t)
	t.Cleanup(func() { s.Close() })
	var want []record
	for round := range 3 {
		for i := range 4 {
			b := batch(key(1), fmt.Sprint(round, i))
			mustAppend(t, s, b)
			want = append(want, record{b.Position(0), string(b.Value(0)), b.ReceivedAt})
		}
		id := s.ID()
		s = h.Reopen(t, s)
		if s.ID() != id {
			t.Errorf("stream %s is %s after reopening", id, s.ID())
		}
		got := read(t, reader(t, s, nil), len(want))
		for i, rec := range got {
			if i < len(want) && want[i].received == 0 { // the append did not know it
				want[i].received = rec.received
			}
			if i >= len(want) || rec != want[i] {
				t.Fatalf("after reopening, record %d is %v; appended were %v", i, rec, want)
			}
		}
	}
}

func gap(t *testing.T, h Harness) {
	if h.Drop == nil {
		t.Skip("the stream does not drop")
	}
	s := open(t, h)
	for range 20 {
		mustAppend(t, s, batch(key(1), "to be dropped"))
	}
	ctx := timeout(t)
	end, err := s.End(ctx)
	if err != nil {
		t.Fatalf("End: %v", err)
	}
	r := reader(t, s, nil)
	s.Release(end)
	h.Drop(t, s)
	start, err := s.Start(ctx)
	if err != nil || len(start) == 0 {
		t.Fatalf("Start: %v, %v", start, err)
	}
	b, err := r.Next(ctx)
	var missing *stream.GapError
	if !errors.As(err, &missing) {
		t.Fatalf("Next = %v, %v; want a GapError", b, err)
	}
	if missing.From != 0 || missing.To != start.At(missing.Partition) {
		t.Errorf("gap is %+v; the stream starts at %v", missing, start)
	}
	mustAppend(t, s, batch(key(1), "behind the gap"))
	if got := read(t, r, 1); got[0].pos.Offset < missing.To {
		t.Errorf("after the gap up to %d, record %d was read", missing.To, got[0].pos.Offset)
	}
}
