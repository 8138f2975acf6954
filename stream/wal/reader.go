package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

const (
	readChunk  = 256 << 10 // of a reader behind the tail cache
	indexChunk = 16 << 10  // of a scan of headers: most payloads are skipped
)

// reader implements [stream.Reader]. While it keeps up with the log it is handed
// the batches of the tail cache; else it reads a segment through a file of its
// own, so that neither appending nor retention waits for it.
type reader struct {
	l      *Log
	next   int64 // offset of the next record
	closed bool

	seg *segment // the segment that w reads; nil: none is open
	w   window
	pos int64 // of the next frame in it
}

// Reader implements [stream.Stream]. A position after the log's end is an error:
// whoever has come there has read another log, or this one has lost records.
func (l *Log) Reader(from event.Positions) (stream.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, stream.ErrClosed
	}
	if end := l.head.end; from.At(0) > end {
		return nil, fmt.Errorf("read from offset %d: the log in %s ends before offset %d", from.At(0), l.dir, end)
	}
	return &reader{l: l, next: from.At(0)}, nil
}

func (r *reader) Next(ctx context.Context) (*stream.Batch, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		at, err := r.look()
		if err != nil {
			return nil, err
		}
		switch {
		case at.wait != nil:
			select {
			case <-at.wait:
			case <-ctx.Done():
			}
			continue
		case at.batch != nil:
			if err := r.closeFile(); err != nil {
				return nil, err
			}
			r.next += int64(at.batch.Len())
			return at.batch, nil
		}
		b, err := r.read(at)
		if errors.Is(err, fs.ErrNotExist) && r.dropped(at.seg) {
			continue
		}
		return b, err
	}
}

// place is where a reader's next record is: one of batch, seg and wait is set.
type place struct {
	batch *stream.Batch // in memory
	seg   *segment      // in the segment, of which size bytes are durable
	size  int64
	seek  int64           // where to begin reading seg; 0: its index is not built
	wait  <-chan struct{} // nowhere yet
}

func (r *reader) look() (place, error) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || r.closed {
		return place{}, stream.ErrClosed
	}
	if start := l.segments[0].base; r.next < start {
		gap := &stream.GapError{From: r.next, To: start}
		r.next = start
		return place{}, gap
	}
	if r.next >= l.head.end {
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		return place{wait: l.changed}, nil
	}
	if b := l.tail.find(r.next); b != nil {
		return place{batch: b}, nil
	}
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base > r.next })
	seg := l.segments[i-1]
	at := place{seg: seg, size: seg.size}
	if seg.indexed {
		at.seek = seg.seek(r.next)
	}
	return at, nil
}

// dropped reports whether retention has removed seg, waiting for it to say so.
func (r *reader) dropped(seg *segment) bool {
	r.l.retain.Lock()
	defer r.l.retain.Unlock()
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.l.segments[0].base > seg.base
}

// read returns the records of the next frame, read from at.seg.
func (r *reader) read(at place) (*stream.Batch, error) {
	if r.seg != at.seg {
		if err := r.openFile(at); err != nil {
			return nil, err
		}
	}
	r.w.size = at.size
	for r.pos < at.size {
		h, err := r.w.header(r.pos)
		if err != nil {
			return nil, err
		}
		if h.end() <= r.next {
			r.pos = h.next()
			continue
		}
		if h.base > r.next {
			break
		}
		p, err := r.w.payload(&h)
		if err != nil {
			return nil, err
		}
		data, ends, err := decodePayload(&h, p)
		if err != nil {
			return nil, &DamageError{at.seg.path, h.pos, err.Error()}
		}
		r.pos = h.next()
		b := from(&stream.Batch{Data: data, Ends: ends, Base: h.base, ReceivedAt: h.receivedAt}, r.next)
		r.next = h.end()
		return b, nil
	}
	return nil, &DamageError{at.seg.path, r.pos, fmt.Sprintf("the record with offset %d is missing", r.next)}
}

// openFile opens at.seg and finds where in it to begin.
func (r *reader) openFile(at place) error {
	if err := r.closeFile(); err != nil {
		return err
	}
	f, err := r.l.fs.Open(at.seg.path)
	if err != nil {
		return fmt.Errorf("open log segment: %w", err)
	}
	r.seg, r.w = at.seg, window{f: f, size: at.size, chunk: readChunk}
	switch {
	case at.seek > 0:
		r.pos = at.seek
	case r.next == at.seg.base:
		r.pos = segmentHeaderSize
	default:
		if r.pos, err = r.buildIndex(at); err != nil {
			return errors.Join(err, r.closeFile())
		}
	}
	return nil
}

// buildIndex reads the headers of a segment that was there before Open, and
// returns where in it to begin.
func (r *reader) buildIndex(at place) (int64, error) {
	scratch := segment{indexed: true}
	w := window{f: r.w.f, size: at.size, chunk: indexChunk}
	_, err := w.scan(segmentHeaderSize, false, func(h *frameHeader) error {
		scratch.extend(h, r.l.opts.IndexEvery)
		return nil
	})
	if err != nil {
		// Damage further on must not hide what lies before it.
		if pos := scratch.seek(r.next); scratch.end > r.next {
			return pos, nil
		}
		return 0, err
	}
	r.l.mu.Lock()
	at.seg.index, at.seg.indexed = scratch.index, true
	r.l.mu.Unlock()
	return scratch.seek(r.next), nil
}

func (r *reader) closeFile() error {
	if r.seg == nil {
		return nil
	}
	f := r.w.f
	r.seg, r.w = nil, window{}
	return f.Close()
}

// Close releases what the reader holds. It does not wake a Next that waits: a
// reader is used by one goroutine, whose ctx does.
func (r *reader) Close() error {
	r.closed = true
	return r.closeFile()
}
