package wal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/daybook-log/daybook/internal/vfs"
)

const segmentSuffix = ".wal"

// segment is one file of the log. base and path are fixed; the rest is guarded
// by Log.mu, of the active segment as Log.head says.
type segment struct {
	base int64 // offset of the first record
	path string

	end           int64 // offset after the last durable record
	size          int64 // durable bytes
	firstReceived int64 // received_at of the first and last record; 0 when unknown or none
	lastReceived  int64
	indexed       bool // index covers the segment up to size
	index         []indexEntry
}

// indexEntry says that the record at offset lies in the frame at pos or later.
type indexEntry struct{ offset, pos int64 }

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, segmentSuffix))
}

// parseSegmentName returns the base offset in a segment's file name.
func parseSegmentName(name string) (base int64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63) // takes no sign
	return int64(n), err == nil
}

// extend takes note of a durable frame at the segment's end.
func (s *segment) extend(h *frameHeader, indexEvery int64) {
	if s.indexed && (len(s.index) == 0 || h.pos-s.index[len(s.index)-1].pos >= indexEvery) {
		s.index = append(s.index, indexEntry{h.base, h.pos})
	}
	if s.firstReceived == 0 && h.count > 0 {
		s.firstReceived = h.receivedAt
	}
	s.lastReceived = h.receivedAt
	s.end = h.end()
	s.size = h.next()
}

// seek returns the position of a frame at or before the record at offset.
func (s *segment) seek(offset int64) int64 {
	i, found := slices.BinarySearchFunc(s.index, offset, func(e indexEntry, offset int64) int {
		return cmp.Compare(e.offset, offset)
	})
	if !found {
		i--
	}
	if i < 0 {
		return segmentHeaderSize
	}
	return s.index[i].pos
}

// DamageError says that a file of the log holds bytes which the log did not write
// there.
type DamageError struct {
	File   string
	Offset int64 // byte in File
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("log file %s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// window reads a file forward through a buffer.
type window struct {
	f     vfs.File
	size  int64 // bytes after it are not looked at
	chunk int   // how much to read at a time
	start int64 // position of buf in the file
	buf   []byte
}

// at returns n bytes at pos, or as many as there are before size. They are valid
// until the next call.
func (w *window) at(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(w.size-pos, 0)))
	if off := pos - w.start; off >= 0 && off+int64(n) <= int64(len(w.buf)) {
		return w.buf[off : off+int64(n)], nil
	}
	keep := 0 // what the buffer holds of it already
	if off := pos - w.start; off >= 0 && off < int64(len(w.buf)) {
		keep = copy(w.buf, w.buf[off:])
	}
	want := int(min(int64(max(n, w.chunk)), w.size-pos))
	w.buf = slices.Grow(w.buf[:keep], want-keep)[:want]
	w.start = pos
	got, err := w.f.ReadAt(w.buf[keep:], pos+int64(keep))
	got += keep
	w.buf = w.buf[:got]
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, &DamageError{w.f.Name(), pos + int64(got), "the file ends here, before what was written to it"}
		}
		return nil, fmt.Errorf("read log segment %s at byte %d: %w", w.f.Name(), pos+int64(got), err)
	}
	return w.buf[:n], nil
}

// header reads the frame header at pos. An error that is a *DamageError says
// that there is none.
func (w *window) header(pos int64) (h frameHeader, err error) {
	p, err := w.at(pos, frameHeaderSize)
	if err != nil {
		return h, err
	}
	if h, err = parseFrameHeader(p, pos); err == nil && h.next() > w.size {
		err = errors.New("the frame reaches past the end of the file")
	}
	if err != nil {
		return h, &DamageError{w.f.Name(), pos, err.Error()}
	}
	return h, nil
}

// payload reads the payload of h, unchecked.
func (w *window) payload(h *frameHeader) ([]byte, error) {
	return w.at(h.pos+frameHeaderSize, h.size())
}

// scan calls visit for every frame from pos on, until the end or what is no
// frame, of which it returns the position with a *DamageError. Without deep only
// the headers are read.
func (w *window) scan(pos int64, deep bool, visit func(*frameHeader) error) (int64, error) {
	for pos < w.size {
		h, err := w.header(pos)
		if err != nil {
			return pos, err
		}
		if deep {
			p, err := w.payload(&h)
			if err != nil {
				return pos, err
			}
			if checksum(p) != h.crc {
				return pos, &DamageError{w.f.Name(), pos, "the frame's checksum does not match"}
			}
		}
		if err := visit(&h); err != nil {
			return pos, err
		}
		pos = h.next()
	}
	return pos, nil
}

// search returns the first frame header after pos whose group began after pos;
// see Recovery in the package comment.
func (w *window) search(pos int64) (h frameHeader, found bool, err error) {
	for from := pos + 1; from+frameHeaderSize <= w.size; {
		p, err := w.at(from, searchChunk)
		if err != nil {
			return h, false, err
		}
		i := bytes.Index(p, []byte(frameMagic))
		if i < 0 {
			from += int64(len(p)) - int64(len(frameMagic)) + 1
			continue
		}
		if i+frameHeaderSize > len(p) && from+int64(len(p)) < w.size {
			from += int64(i) // the header goes on in what is read next
			continue
		}
		if h, err := parseFrameHeader(p[i:], from+int64(i)); err == nil && h.group > pos {
			return h, true, nil
		}
		from += int64(i) + 1
	}
	return h, false, nil
}

const searchChunk = 1 << 20
