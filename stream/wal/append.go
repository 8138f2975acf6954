package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

const (
	// mergeBelow is the size of data below which a batch is merged with its
	// neighbours: 100 events and more compress about as well as any number.
	mergeBelow = 64 << 10
	// mergeTo is the size of data from which on a merged frame takes no more.
	mergeTo = 512 << 10
	// keepBuffer is the largest buffer that is kept for the next group.
	keepBuffer = 16 << 20
)

// group is the appends that share one write and one fsync. What it holds is
// guarded by Log.mu until its leader has taken it off Log.next, and is the
// leader's from then on until done is closed.
type group struct {
	items []item
	bytes int64         // of data
	done  chan struct{} // closed when err and what items carry back are set
	err   error
}

// item is one append.
type item struct {
	batch   *stream.Batch
	encoded *[]byte // payload, when the publisher compressed it; else nil
	payload payload

	base       int64 // set by the leader
	receivedAt int64
}

// payloads recycles the buffers that publishers compress into.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

// Append implements [stream.Stream]. When ctx ends before the commit does, the
// batch may still become durable; the publisher that leads the commit stays until
// it has ended, for the others' sake. A batch of no records succeeds.
func (l *Log) Append(ctx context.Context, b *stream.Batch) error {
	if err := l.admit(ctx, b); err != nil {
		return err
	}
	it := item{batch: b}
	if len(b.Data) >= mergeBelow {
		it.encoded = payloads.Get().(*[]byte)
		*it.encoded, it.payload = appendPayload((*it.encoded)[:0], b.Data, b.Ends)
	}
	g, i, leads := l.join(it)
	if leads {
		l.lead(g)
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		select {
		case <-g.done: // both: the truth is better than a doubt
		default:
			return fmt.Errorf("append not waited for, it may succeed: %w", context.Cause(ctx))
		}
	}
	if g.err != nil {
		return g.err
	}
	b.Partition, b.Partitions, b.Offsets = 0, nil, nil
	b.Base, b.ReceivedAt = g.items[i].base, g.items[i].receivedAt
	return nil
}

// admit checks b and counts its bytes as waiting.
func (l *Log) admit(ctx context.Context, b *stream.Batch) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if len(b.Data) > l.opts.MaxBatchBytes {
		return fmt.Errorf("append: batch holds %d bytes, at most %d are taken", len(b.Data), l.opts.MaxBatchBytes)
	}
	if b.Len() > l.opts.MaxBatchBytes { // empty ones weigh something too
		return fmt.Errorf("append: batch holds %d records, at most %d are taken", b.Len(), l.opts.MaxBatchBytes)
	}
	if err := b.Check(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	size := int64(len(b.Data))
	if l.waiting > 0 && l.waiting+size > l.opts.MaxWaitingBytes {
		return fmt.Errorf("%w: %d bytes wait for the disk, the limit is %d", stream.ErrOverloaded, l.waiting, l.opts.MaxWaitingBytes)
	}
	l.waiting += size
	return nil
}

// usable returns why the log takes no appends, or nil. mu is held.
func (l *Log) usable() error {
	if l.closed {
		return stream.ErrClosed
	}
	return l.failure
}

// join adds an append to the open group and reports whether it opened it, and so
// must lead it.
func (l *Log) join(it item) (g *group, index int, leads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(it.batch.Data))
	if l.next == nil || l.next.bytes+size > int64(l.opts.MaxCommitBytes) {
		// A full group keeps waiting for its commit, with its own leader.
		l.next = &group{done: make(chan struct{})}
		leads = true
	}
	g = l.next
	g.items = append(g.items, it)
	g.bytes += size
	return g, len(g.items) - 1, leads
}

// lead commits g once the commits before it have ended.
func (l *Log) lead(g *group) {
	l.commit.Lock()
	before := l.head
	l.commitGroup(g)
	rolled := l.head != before
	l.commit.Unlock()
	if rolled {
		l.Retain() // at the leader's cost, while the next group is written
	}
}

// commitGroup takes no more appends into g, writes it, and tells its publishers.
// commit is held.
func (l *Log) commitGroup(g *group) {
	l.mu.Lock()
	if l.next == g {
		l.next = nil // what comes from now on goes into the next group
	}
	err := l.usable()
	l.mu.Unlock()

	var e *encoder
	if err == nil {
		e, err = l.write(g)
	}
	for _, it := range g.items {
		if it.encoded != nil {
			payloads.Put(it.encoded)
		}
	}

	l.mu.Lock()
	l.waiting -= g.bytes
	if err != nil {
		l.counts.errors++
	} else {
		l.publish(g, e)
	}
	l.mu.Unlock()
	g.err = err
	close(g.done)
}

// write makes g durable. commit is held.
func (l *Log) write(g *group) (*encoder, error) {
	now := max(l.opts.Now().UnixNano(), l.head.lastReceived)
	if l.full(now) {
		if err := l.roll(); err != nil {
			return nil, err
		}
	}
	e := &encoder{buf: l.buf[:0], start: l.head.size, offset: l.head.end, now: now}
	e.small(g.items)
	e.large(g.items)
	if cap(e.buf) <= keepBuffer {
		l.buf = e.buf
	}
	if len(e.buf) == 0 {
		return e, nil
	}
	if err := l.flush(e.buf); err != nil {
		return nil, err
	}
	l.marked = false
	return e, nil
}

// publish makes a durable group visible. mu and commit are held.
func (l *Log) publish(g *group, e *encoder) {
	for i := range e.frames {
		l.head.extend(&e.frames[i], l.opts.IndexEvery)
		l.tail.add(e.batches[i])
		l.counts.records += int64(e.frames[i].count)
	}
	l.counts.groups++
	l.counts.dataBytes += g.bytes
	l.counts.storedBytes += int64(len(e.buf))
	l.broadcast()
}

// encoder lays a group out as it is written.
type encoder struct {
	buf     []byte
	start   int64 // position of the group in its file
	offset  int64 // of the next record
	now     int64
	frames  []frameHeader
	batches []*stream.Batch // what readers are handed, one per frame
}

// place gives the records of it their offsets.
func (e *encoder) place(it *item) {
	it.base, it.receivedAt = e.offset, e.now
	e.offset += int64(it.batch.Len())
}

// frame appends a frame of the records of b, of which fill appends the payload.
func (e *encoder) frame(b *stream.Batch, base int64, fill func(dst []byte) ([]byte, payload)) {
	b.Base, b.ReceivedAt = base, e.now
	at := len(e.buf)
	h := frameHeader{pos: e.start + int64(at), group: e.start, count: b.Len(), base: base, receivedAt: e.now}
	e.buf = append(e.buf, make([]byte, frameHeaderSize)...)
	e.buf, h.payload = fill(e.buf)
	h.put(e.buf[at:])
	e.frames = append(e.frames, h)
	e.batches = append(e.batches, b)
}

// small appends the batches that their publishers left to be merged.
func (e *encoder) small(items []item) {
	var run []*stream.Batch
	base, size := e.offset, 0
	flush := func() {
		if len(run) > 0 {
			b := merge(run, size)
			e.frame(b, base, func(dst []byte) ([]byte, payload) { return appendPayload(dst, b.Data, b.Ends) })
		}
		run, base, size = run[:0], e.offset, 0
	}
	for i := range items {
		it := &items[i]
		if it.encoded != nil {
			continue
		}
		e.place(it)
		if it.batch.Len() == 0 {
			continue
		}
		run = append(run, it.batch)
		if size += len(it.batch.Data); size >= mergeTo {
			flush()
		}
	}
	flush()
}

// large appends the batches that their publishers compressed, a frame each.
func (e *encoder) large(items []item) {
	for i := range items {
		it := &items[i]
		if it.encoded == nil {
			continue
		}
		e.place(it)
		b := &stream.Batch{Data: it.batch.Data, Ends: it.batch.Ends}
		e.frame(b, it.base, func(dst []byte) ([]byte, payload) { return append(dst, *it.encoded...), it.payload })
	}
}

// merge returns one batch of the records of all, for readers to be handed. It is
// a Batch of its own even of one: the publisher's is filled in when Append returns.
func merge(batches []*stream.Batch, bytes int) *stream.Batch {
	if len(batches) == 1 {
		return &stream.Batch{Data: batches[0].Data, Ends: batches[0].Ends}
	}
	records := 0
	for _, b := range batches {
		records += b.Len()
	}
	m := &stream.Batch{Data: make([]byte, 0, bytes), Ends: make([]uint32, 0, records)}
	for _, b := range batches {
		start := uint32(len(m.Data))
		m.Data = append(m.Data, b.Data...)
		for _, end := range b.Ends {
			m.Ends = append(m.Ends, start+end)
		}
	}
	return m
}

// flush writes p at the end of the active segment and syncs it. commit is held.
func (l *Log) flush(p []byte) error {
	n, err := l.file.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return l.takeBack(err, vfs.IsNoSpace(err))
	}
	if err := l.sync(l.file); err != nil {
		return l.takeBack(err, false)
	}
	return nil
}

func (l *Log) sync(f vfs.File) error {
	l.mu.Lock()
	l.counts.syncs++
	l.mu.Unlock()
	return f.Sync()
}

// takeBack cuts off what a failed write or fsync may have left at the end of the
// active segment. When only room was missing and the cut is durable, the log is
// as it was before. In any other case it has failed: after a failed fsync the
// kernel may show bytes that the disk does not hold, and an fsync that succeeds
// later says nothing about them. The cut is tried all the same: publishers were
// told of an error, so the next Open had better not find their records.
func (l *Log) takeBack(cause error, noRoom bool) error {
	err := l.file.Truncate(l.head.size)
	if err == nil {
		err = l.sync(l.file)
	}
	if err == nil && noRoom {
		return fmt.Errorf("%w: %w", stream.ErrFull, cause)
	}
	return l.fail(errors.Join(cause, err))
}

// fail ends all appending, for good.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.failure = fmt.Errorf("%w: %w", stream.ErrFailed, cause)
		l.log.Error("log has failed; nothing more is acknowledged until it is opened anew", "dir", l.dir, "err", cause)
	}
	return l.failure
}
