package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// Report is what Check found.
type Report struct {
	ID         event.LogID // zero when it cannot be read
	Start, End int64       // offsets of the first record and after the last
	Segments   int
	Bytes      int64
	Records    int64 // readable ones
	Findings   []Finding
}

// Kind says how a finding is to be taken.
type Kind int

// The kinds of findings.
const (
	// Damaged: bytes, or whole files, are not what the log wrote.
	Damaged Kind = iota
	// Unfinished: the log ends with a part of a write. One is under way, or a
	// crash broke it off before it was acknowledged; Open then cuts it off.
	Unfinished
	// Doubtful: what the log ends with is damaged, and yet nothing shows that it
	// was acknowledged; see Recovery in the package comment. Open cuts it off
	// and keeps it beside the segment.
	Doubtful
	// Cut: a file with what an earlier Open has cut off for being Doubtful.
	Cut
)

// Finding is one thing that is wrong with a log.
type Finding struct {
	DamageError
	Kind Kind
	// Resume is the byte at which the next readable group begins, or the file's
	// size. What lies between is not counted in Records.
	Resume int64
	// From and To bound the offsets of the records that cannot be read for it;
	// To is -1 when nobody knows, since nothing readable follows.
	From, To int64
	// Next is the offset at which the segment after this one begins; -1 when this
	// is the last, 0 when the file is no segment.
	Next int64
	// Refused: Open does not open a log with this finding.
	Refused bool
	// After and Before are when the readable records on both sides of it were
	// received, ns since the Unix epoch; 0 where there is none.
	After, Before int64
}

// CheckOptions of Check.
type CheckOptions struct {
	// Visit, if it is set, is handed all readable records, in order.
	Visit func(*stream.Batch)
	// Progress, if it is set, is told now and then what was read since it was told
	// before.
	Progress func(records, bytes int64)
}

// Check reads all of a log and verifies every byte. It changes nothing and takes
// no lock, so that the log may be in use: what is written or dropped meanwhile is
// no finding. Damage is a finding and not an error; a folder that is not there is
// an error.
func Check(ctx context.Context, fsys vfs.FS, dir string, o CheckOptions) (*Report, error) {
	visited := int64(-1)
	look := func() (*Report, error) {
		for {
			c := &checker{ctx: ctx, fs: fsys, dir: dir, opts: o, visited: visited}
			err := c.run()
			visited = c.visited
			if !errors.Is(err, errAllDropped) {
				return &c.report, err
			}
		}
	}
	first, err := look()
	if err != nil {
		return nil, err
	}
	if len(first.Findings) == 0 {
		return first, nil
	}
	// What a writer was about, between one read and the next, is whole at the
	// second look, or gone.
	second, err := look()
	if err != nil {
		return nil, err
	}
	second.Findings = slices.DeleteFunc(second.Findings, func(f Finding) bool {
		return !slices.ContainsFunc(first.Findings, func(o Finding) bool { return o.File == f.File && o.Offset == f.Offset })
	})
	return second, nil
}

// errAllDropped: since they were listed, all segments were dropped, and others made.
var errAllDropped = errors.New("all segments were dropped")

// checker is one look at a log.
type checker struct {
	ctx     context.Context
	fs      vfs.FS
	dir     string
	opts    CheckOptions
	report  Report
	expect  continuity
	next    int64 // offset at which the segment after this one begins; -1: there is none
	marked  bool  // the frame before was a mark
	visited int64 // offset after the last record that was handed to Visit
}

func (c *checker) run() error {
	if _, err := c.fs.Stat(c.dir); err != nil {
		return fmt.Errorf("check log folder: %w", err)
	}
	segments, err := listSegments(c.fs, c.dir)
	if err != nil {
		return err
	}
	if err := c.otherFiles(); err != nil {
		return err
	}
	if err := c.identity(); err != nil {
		return err
	}
	if len(segments) == 0 {
		if !c.report.ID.IsZero() {
			c.add(Finding{DamageError: DamageError{filepath.Join(c.dir, identityName), 0, "the log was made, and has no segment"}})
		}
		return nil
	}
	c.report.Start, c.expect.next = segments[0].base, segments[0].base
	for i, seg := range segments {
		c.next = -1
		if i+1 < len(segments) {
			c.next = segments[i+1].base
		}
		if seg.base != c.expect.next {
			c.add(Finding{DamageError: DamageError{seg.path, 0, fmt.Sprintf("the segment before it ends at offset %d", c.expect.next)}, To: seg.base, Refused: true})
		}
		c.expect.file, c.expect.next = seg.path, seg.base
		err := withWindow(c.fs, seg.path, readChunk, func(w *window) error { return c.segment(w, seg) })
		switch {
		case errors.Is(err, fs.ErrNotExist) && c.next < 0:
			return errAllDropped
		case errors.Is(err, fs.ErrNotExist): // retention dropped it since it was listed
			c.expect.next = c.next
			if c.report.Segments == 0 {
				c.report.Start = c.expect.next
			}
			continue
		case err != nil:
			return err
		}
		c.report.Segments++
	}
	c.report.End = c.expect.next
	return nil
}

// identity reads the file that names the log. A log from before there were
// identities has none.
func (c *checker) identity() (err error) {
	c.report.ID, err = readIdentity(c.fs, c.dir)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		c.add(Finding{DamageError: *damage, Refused: true})
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// otherFiles looks for files beside the segments that tell of damage.
func (c *checker) otherFiles() error {
	entries, err := c.fs.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list log folder: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		_, ours := parseSegmentName(e.Name())
		switch {
		case strings.HasSuffix(e.Name(), segmentSuffix) && !ours:
			c.add(Finding{DamageError: DamageError{path, 0, "no segment has such a name; the log does not read it"}})
		case strings.HasSuffix(e.Name(), cutSuffix):
			c.add(Finding{DamageError: DamageError{path, 0, "it was cut off the end of the log, which looked damaged rather than unfinished"}, Kind: Cut})
		}
	}
	return nil
}

// add adds a finding about records from the one expected on.
func (c *checker) add(f Finding) {
	f.From, f.After, f.Next = c.expect.next, c.expect.received, c.next
	c.report.Findings = append(c.report.Findings, f)
}

// segment checks one segment.
func (c *checker) segment(w *window, seg *segment) error {
	c.marked = false
	pos := int64(segmentHeaderSize)
	err := checkSegmentHeader(w, seg.base)
	if err != nil {
		pos = 0
	}
	for {
		if err == nil {
			pos, err = w.scan(pos, true, func(h *frameHeader) error { return c.frame(w, h) })
		}
		var damage *DamageError
		if err != nil && !errors.As(err, &damage) {
			return err
		}
		if damage == nil {
			break
		}
		later, found, searchErr := w.search(pos)
		if searchErr != nil {
			return searchErr
		}
		if !found {
			return c.toTheEnd(w, damage, pos)
		}
		c.add(Finding{DamageError: *damage, Resume: later.pos, To: later.base, Before: later.receivedAt, Refused: c.next < 0 || pos == 0})
		pos, err = later.pos, nil
		c.expect.next = later.base
	}
	reason := ""
	switch {
	case c.next < 0:
	case !c.marked:
		reason = "the mark that ends the segment is missing"
	case c.expect.next != c.next:
		reason = fmt.Sprintf("the segment ends before offset %d, the next begins at %d", c.expect.next, c.next)
	}
	if reason != "" {
		c.add(Finding{DamageError: DamageError{seg.path, w.size, reason}, Resume: w.size, To: c.next, Refused: true})
		c.expect.next = c.next
	}
	return nil
}

// toTheEnd adds the finding that from pos on no group of a segment is readable.
func (c *checker) toTheEnd(w *window, damage *DamageError, pos int64) error {
	f := Finding{DamageError: *damage, Resume: w.size, To: c.next, Refused: true}
	if c.next < 0 && (pos > 0 || noHeader(w)) {
		f.Kind, f.Refused = Doubtful, false
		if unfinished, err := w.unfinished(pos); err != nil {
			return err
		} else if unfinished {
			f.Kind = Unfinished
		}
	}
	c.add(f)
	c.expect.next = max(c.expect.next, c.next)
	return nil
}

// noHeader reports whether w has no segment header at all, as opposed to one of
// another version or segment.
func noHeader(w *window) bool {
	p, err := w.at(0, segmentHeaderSize)
	if err == nil {
		_, err = parseSegmentHeader(p)
	}
	return errors.Is(err, errNoHeader)
}

// frame checks one frame whose checksums match.
func (c *checker) frame(w *window, h *frameHeader) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if c.opts.Progress != nil {
		c.opts.Progress(int64(h.count), frameHeaderSize+int64(h.size()))
	}
	c.report.Bytes += frameHeaderSize + int64(h.size())
	var misfit *contradiction
	if expected := c.expect.next; errors.As(c.expect.check(h), &misfit) {
		c.add(Finding{DamageError: *misfit.damage, Resume: h.pos, To: max(expected, h.base), Before: h.receivedAt, Refused: c.next < 0})
		c.expect.next, c.expect.received = h.end(), h.receivedAt
	}
	c.marked = h.count == 0
	p, err := w.payload(h)
	if err != nil {
		return err
	}
	data, ends, err := decodePayload(h, p)
	if err != nil {
		c.expect.next = h.base
		c.add(Finding{DamageError: DamageError{w.f.Name(), h.pos, err.Error()}, Resume: h.next(), To: h.end(), Refused: c.next < 0})
		c.expect.next = h.end()
		return nil
	}
	c.report.Records += int64(h.count)
	if c.opts.Visit != nil && h.base >= c.visited && h.count > 0 {
		c.opts.Visit(&stream.Batch{Data: data, Ends: ends, Base: h.base, ReceivedAt: h.receivedAt})
		c.visited = h.end()
	}
	return nil
}
