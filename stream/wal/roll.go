package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// full reports whether the active segment takes no more records. commit is held.
func (l *Log) full(now int64) bool {
	seg := l.head
	if seg.end == seg.base {
		return false
	}
	return seg.size >= l.opts.SegmentBytes ||
		l.opts.RetainAge > 0 && now-seg.firstReceived > int64(l.opts.RetainAge)
}

// roll ends the active segment and begins another. commit is held.
func (l *Log) roll() error {
	if err := l.mark(); err != nil {
		return err
	}
	old := l.head
	seg := &segment{
		base: old.end, end: old.end, size: segmentHeaderSize,
		path: segmentPath(l.dir, old.end), lastReceived: old.lastReceived, indexed: true,
	}
	file, err := l.createSegment(seg)
	if err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return l.fail(errors.Join(fmt.Errorf("close log segment %s: %w", old.path, err), file.Close()))
	}
	l.file, l.marked = file, true
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.head = seg
	l.mu.Unlock()
	return nil
}

// mark ends the active segment with a mark, unless it has one or holds nothing.
// commit is held.
func (l *Log) mark() error {
	if l.marked {
		return nil
	}
	seg := l.head
	h := frameHeader{pos: seg.size, group: seg.size, base: seg.end, receivedAt: seg.lastReceived}
	h.crc = checksum(nil)
	var p [frameHeaderSize]byte
	h.put(p[:])
	if err := l.flush(p[:]); err != nil {
		return err
	}
	l.mu.Lock()
	seg.extend(&h, l.opts.IndexEvery)
	l.mu.Unlock()
	l.marked = true
	return nil
}

// createSegment makes the file of seg durable, header and name. When there is no
// room for it, or no file descriptor, nothing is left of it and the log goes on
// as before.
func (l *Log) createSegment(seg *segment) (vfs.File, error) {
	file, err := l.fs.Create(seg.path)
	if err != nil {
		if vfs.IsNoSpace(err) || vfs.IsNoFiles(err) {
			return nil, fmt.Errorf("%w: %w", stream.ErrFull, err)
		}
		return nil, l.fail(err)
	}
	header := appendSegmentHeader(nil, seg.base)
	n, err := file.Write(header)
	if err == nil && n < len(header) {
		err = io.ErrShortWrite
	}
	noRoom := vfs.IsNoSpace(err)
	if err == nil {
		err = l.sync(file)
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
		noRoom = vfs.IsNoFiles(err) // to open the folder: no fsync has failed
	}
	if noRoom {
		// Synced, or the file could come back after a crash, when the segment
		// before it may have gone on: it is full by a clock that can go back.
		cleanup := errors.Join(file.Close(), l.fs.Remove(seg.path), l.fs.SyncDir(l.dir))
		if cleanup == nil {
			return nil, fmt.Errorf("%w: %w", stream.ErrFull, err)
		}
		return nil, l.fail(errors.Join(err, cleanup))
	}
	if err != nil {
		return nil, l.fail(errors.Join(fmt.Errorf("begin log segment %s: %w", seg.path, err), file.Close()))
	}
	return file, nil
}

// Release implements [stream.Stream], and drops what retention was waiting to.
func (l *Log) Release(upTo event.Positions) {
	l.mu.Lock()
	l.released = max(l.released, upTo.At(0))
	l.mu.Unlock()
	l.Retain()
}

// Retain drops the segments that the options and Release let it, oldest first.
// The log does so itself when a segment is full and on Release; a program may
// call it from time to time for the sake of RetainAge.
func (l *Log) Retain() {
	l.retain.Lock()
	defer l.retain.Unlock()
	for seg := l.droppable(); seg != nil; seg = l.droppable() {
		l.log.Debug("dropping a log segment", "file", seg.path)
		// One at a time and each synced: a hole can never appear.
		err := l.fs.Remove(seg.path)
		if err == nil || errors.Is(err, fs.ErrNotExist) { // removed before, but not synced
			err = l.fs.SyncDir(l.dir)
		}
		l.mu.Lock()
		if err != nil {
			l.counts.errors++
		} else {
			l.segments = l.segments[1:]
			l.counts.dropped++
		}
		l.mu.Unlock()
		if err != nil {
			l.log.Warn("log segment could not be dropped; it is tried again later", "file", seg.path, "err", err)
			return
		}
		l.log.Info("log segment dropped", "file", seg.path, "from", seg.base, "to", seg.end)
	}
}

// droppable returns the oldest segment if retention wants it gone.
func (l *Log) droppable() *segment {
	now := l.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.segments) == 1 {
		return nil
	}
	oldest := l.segments[0]
	if oldest.end > l.released {
		return nil
	}
	total := int64(0)
	for _, seg := range l.segments {
		total += seg.size
	}
	old := l.opts.RetainAge > 0 && now.Sub(time.Unix(0, oldest.lastReceived)) > l.opts.RetainAge
	large := l.opts.RetainBytes > 0 && total > l.opts.RetainBytes
	if !old && !large {
		return nil
	}
	return oldest
}
