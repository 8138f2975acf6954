package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/daybook-log/daybook/internal/vfs"
)

// recover finds the identity and the segments, repairs the last, and leaves it
// open for writing.
func (l *Log) recover() error {
	segments, err := listSegments(l.fs, l.dir)
	if err != nil {
		return err
	}
	if l.id, err = identify(l.fs, l.dir, len(segments) == 0); err != nil {
		return err
	}
	if len(segments) == 0 {
		seg := &segment{path: segmentPath(l.dir, 0), size: segmentHeaderSize, indexed: true}
		if l.file, err = l.createSegment(seg); err != nil {
			return err
		}
		l.segments, l.head, l.marked = []*segment{seg}, seg, true
		return nil
	}
	for i, seg := range segments[:len(segments)-1] {
		if err := l.openSealed(seg, segments[i+1].base); err != nil {
			return err
		}
	}
	l.segments, l.head = segments, segments[len(segments)-1]
	if len(segments) > 1 {
		l.head.lastReceived = segments[len(segments)-2].lastReceived
	}
	return l.openActive(l.head)
}

// listSegments returns the segments in dir, oldest first.
func listSegments(fsys vfs.FS, dir string) ([]*segment, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log folder: %w", err)
	}
	var segments []*segment
	for _, e := range entries { // sorted by name, and so by base
		if base, ok := parseSegmentName(e.Name()); ok {
			segments = append(segments, &segment{base: base, end: base, path: segmentPath(dir, base)})
		}
	}
	return segments, nil
}

// openSealed checks the ends of a segment that another follows: its header, and
// the mark that says where it ends.
func (l *Log) openSealed(seg *segment, nextBase int64) error {
	return withWindow(l.fs, seg.path, frameHeaderSize, func(w *window) error {
		if err := checkSegmentHeader(w, seg.base); err != nil {
			return err
		}
		h, err := sealingMark(w, nextBase)
		if err != nil {
			return err
		}
		seg.end, seg.size, seg.lastReceived = nextBase, w.size, h.receivedAt
		return nil
	})
}

// withWindow opens a file and calls do with a window over all of it.
func withWindow(fsys vfs.FS, path string, chunk int, do func(*window) error) error {
	f, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	size, err := f.Size()
	if err == nil {
		err = do(&window{f: f, size: size, chunk: chunk})
	}
	return errors.Join(err, f.Close())
}

// checkSegmentHeader returns a *DamageError when w is not the segment of base.
func checkSegmentHeader(w *window, base int64) error {
	p, err := w.at(0, segmentHeaderSize)
	if err != nil {
		return err
	}
	got, err := parseSegmentHeader(p)
	if err == nil && got != base {
		err = fmt.Errorf("the header says that the segment begins at offset %d", got)
	}
	if err != nil {
		return &DamageError{w.f.Name(), 0, err.Error()}
	}
	return nil
}

// sealingMark returns the mark at the end of w, before a segment that begins at
// offset nextBase.
func sealingMark(w *window, nextBase int64) (h frameHeader, err error) {
	pos := max(w.size-frameHeaderSize, 0)
	h, err = w.header(pos)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		damage.Reason = "the mark that ends the segment is missing: " + damage.Reason
	case err == nil && (h.count != 0 || h.base != nextBase):
		err = &DamageError{w.f.Name(), pos, fmt.Sprintf("the segment ends before offset %d, the next begins at %d", h.base, nextBase)}
	}
	return h, err
}

// openActive repairs the last segment and makes all of it durable: after a
// process was killed, or an fsync failed it, what it wrote last may be only in
// the kernel's memory.
func (l *Log) openActive(seg *segment) error {
	file, err := l.fs.OpenAppend(seg.path)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("log segment %s cannot be written: %w", seg.path, err)
	}
	if err != nil {
		return fmt.Errorf("open log segment: %w", err)
	}
	l.file = file
	lastGroup, err := l.repair(seg)
	if err != nil {
		return err
	}
	if err := l.rewrite(seg, lastGroup); err != nil {
		return err
	}
	if err := l.sync(file); err != nil {
		return fmt.Errorf("sync log segment %s: %w", seg.path, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync log folder: %w", err)
	}
	return nil
}

// repair reads all of the last segment, whose file is open, and cuts off what a
// crash tore. It returns where the last group that is left begins: 0, the header,
// when there is none.
func (l *Log) repair(seg *segment) (lastGroup int64, err error) {
	size, err := l.file.Size()
	if err != nil {
		return 0, err
	}
	w := &window{f: l.file, size: size, chunk: searchChunk}
	seg.indexed = true
	seg.size = segmentHeaderSize
	l.marked = true

	var damage *DamageError
	if err := checkSegmentHeader(w, seg.base); errors.As(err, &damage) {
		return 0, l.rebuildHeader(w, seg, damage)
	} else if err != nil {
		return 0, err
	}
	expect := continuity{file: seg.path, next: seg.base, received: seg.lastReceived}
	pos, err := w.scan(segmentHeaderSize, true, func(h *frameHeader) error {
		if err := expect.check(h); err != nil {
			return err
		}
		seg.extend(h, l.opts.IndexEvery)
		l.marked = h.count == 0
		lastGroup = h.group
		return nil
	})
	var misfit *contradiction
	if errors.As(err, &misfit) {
		return 0, misfit.damage
	}
	if errors.As(err, &damage) {
		err = l.cutTail(w, pos, damage)
	}
	return lastGroup, err
}

// rewrite writes the active segment from its last group on once more, in place
// and with the bytes it has: see Recovery in the package comment. The caller
// syncs it.
func (l *Log) rewrite(seg *segment, lastGroup int64) error {
	w := &window{f: l.file, size: seg.size, chunk: searchChunk}
	for pos := lastGroup; pos < seg.size; {
		p, err := w.at(pos, searchChunk)
		if err != nil {
			return err
		}
		if _, err := l.file.WriteAt(p, pos); err != nil {
			return fmt.Errorf("rewrite log segment %s at byte %d: %w", seg.path, pos, err)
		}
		pos += int64(len(p))
	}
	return nil
}

// continuity checks that frames follow each other as they were written.
type continuity struct {
	file     string
	next     int64 // offset of the next record
	received int64
}

// contradiction is what no crash leaves behind: whole frames that do not fit
// together. It is no *DamageError while a tail could be cut off for one.
type contradiction struct{ damage *DamageError }

func (e *contradiction) Error() string { return e.damage.Error() }

func (c *continuity) check(h *frameHeader) error {
	if h.base != c.next || h.receivedAt < c.received {
		return &contradiction{&DamageError{c.file, h.pos, fmt.Sprintf(
			"the frame begins at offset %d, received at %d; expected are offset %d and a time from %d on",
			h.base, h.receivedAt, c.next, c.received)}}
	}
	c.next, c.received = h.end(), h.receivedAt
	return nil
}

// cutTail cuts the file off at pos, where damage was met, if the bytes there
// were never acknowledged; else it returns the damage.
func (l *Log) cutTail(w *window, pos int64, damage *DamageError) error {
	later, found, err := w.search(pos)
	if err != nil {
		return err
	}
	if found {
		damage.Reason += fmt.Sprintf("; records written after it follow at byte %d", later.pos)
		return damage
	}
	unfinished, err := w.unfinished(pos)
	if err != nil {
		return err
	}
	if unfinished {
		l.log.Warn("log ends with an unfinished write, which is cut off",
			"file", damage.File, "at", pos, "bytes", w.size-pos, "reason", damage.Reason)
	} else {
		kept, err := l.keepCut(w, pos)
		if err != nil {
			return fmt.Errorf("keep what is to be cut off: %w", err)
		}
		l.log.Error("log ends with a write that looks damaged rather than unfinished, and may have been acknowledged; it is cut off and kept",
			"file", damage.File, "at", pos, "bytes", w.size-pos, "reason", damage.Reason, "kept", kept)
	}
	if err := w.f.Truncate(pos); err != nil {
		return fmt.Errorf("cut log segment %s at byte %d: %w", damage.File, pos, err)
	}
	return nil
}

// rebuildHeader makes the last segment anew when a crash came before its header
// was synced, and so before anything was written to it.
func (l *Log) rebuildHeader(w *window, seg *segment, damage *DamageError) error {
	p, err := w.at(0, segmentHeaderSize)
	if err != nil {
		return err
	}
	if _, err := parseSegmentHeader(p); !errors.Is(err, errNoHeader) {
		return damage // a whole header, of another version or another segment
	}
	if err := l.cutTail(w, 0, damage); err != nil {
		return err
	}
	if _, err := w.f.Write(appendSegmentHeader(nil, seg.base)); err != nil {
		return fmt.Errorf("begin log segment %s: %w", seg.path, err)
	}
	return nil
}
