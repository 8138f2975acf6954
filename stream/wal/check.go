package wal

import (
	"errors"
	"fmt"

	"github.com/daybook-log/daybook/internal/vfs"
)

// Report is what Check found.
type Report struct {
	Start, End int64 // offsets of the first record and after the last
	Segments   int
	Bytes      int64
	Records    int64 // readable ones
	Findings   []Finding
}

// Finding is one thing that is wrong with a log.
type Finding struct {
	DamageError
	// Torn: it looks like the unfinished write of a crash, at the end of the
	// log, which Open cuts off.
	Torn bool
	// Resume is the byte at which the next readable group begins, or the file's
	// size. What lies between is not counted in Records.
	Resume int64
}

// Check reads all of a log that nobody has open, and verifies every byte. It
// changes no segment; damage is a finding and not an error, a folder that is not
// there is an error.
func Check(fsys vfs.FS, dir string) (report Report, err error) {
	if _, err := fsys.Stat(dir); err != nil {
		return report, fmt.Errorf("check log folder: %w", err)
	}
	lock, err := lockFolder(fsys, dir)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	segments, err := listSegments(fsys, dir)
	if err != nil || len(segments) == 0 {
		return report, err
	}
	report.Start, report.Segments = segments[0].base, len(segments)
	expect := continuity{next: segments[0].base}
	for i, seg := range segments {
		last := i == len(segments)-1
		if i > 0 && seg.base != expect.next {
			report.add(DamageError{seg.path, 0, fmt.Sprintf("the segment before it ends at offset %d", expect.next)}, false, 0)
		}
		expect.file, expect.next = seg.path, seg.base
		err := withWindow(fsys, seg.path, readChunk, func(w *window) error {
			if err := report.segment(w, seg, &expect, last); err != nil || last {
				return err
			}
			_, err := sealingMark(w, segments[i+1].base)
			return report.note(err, w.size)
		})
		if err != nil {
			return report, err
		}
	}
	report.End = expect.next
	return report, nil
}

func (r *Report) add(damage DamageError, torn bool, resume int64) {
	r.Findings = append(r.Findings, Finding{damage, torn, resume})
}

// note makes a finding of err if it is a *DamageError, and else returns it.
func (r *Report) note(err error, resume int64) error {
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	r.add(*damage, false, resume)
	return nil
}

// segment checks one segment; last says that no other follows it.
func (r *Report) segment(w *window, seg *segment, expect *continuity, last bool) error {
	r.Bytes += w.size
	pos := int64(segmentHeaderSize)
	err := checkSegmentHeader(w, seg.base)
	if err != nil {
		pos = 0
	}
	for {
		if err == nil {
			pos, err = w.scan(pos, true, func(h *frameHeader) error { return r.frame(w, h, expect) })
		}
		var damage *DamageError
		if !errors.As(err, &damage) {
			return err
		}
		later, found, searchErr := w.search(pos)
		if searchErr != nil {
			return searchErr
		}
		if !found {
			r.add(*damage, last, w.size)
			return nil
		}
		r.add(*damage, false, later.pos)
		pos, err = later.pos, nil
		expect.next = later.base
	}
}

// frame checks one frame whose checksums match.
func (r *Report) frame(w *window, h *frameHeader, expect *continuity) error {
	var misfit *contradiction
	if err := expect.check(h); errors.As(err, &misfit) {
		r.add(*misfit.damage, false, h.pos)
		expect.next, expect.received = h.end(), h.receivedAt
	}
	p, err := w.payload(h)
	if err != nil {
		return err
	}
	if _, _, err := decodePayload(h, p); err != nil {
		r.add(DamageError{w.f.Name(), h.pos, err.Error()}, false, h.next())
		return nil
	}
	r.Records += int64(h.count)
	return nil
}
