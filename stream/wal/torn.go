package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
)

// cutSuffix, after the name of a segment and a position, names a file with what
// Open has cut off there.
const cutSuffix = ".cut"

const (
	// sectorSize is the least that a disk writes in one piece.
	sectorSize = 512
	// zeroRun is how many zeros are not taken for a frame's own.
	zeroRun = 8
)

// unfinished reports whether the bytes from pos to the end, of which the first
// are no whole frame, look like a write that was broken off. Then the file ends
// inside a frame; or a sector did not reach the disk and reads as zeros, as what
// a file grew by does: a sector's share of these bytes begins or ends with zeros.
func (w *window) unfinished(pos int64) (bool, error) {
	p, err := w.at(pos, frameHeaderSize)
	if err != nil {
		return false, err
	}
	if len(p) < frameHeaderSize {
		return true, nil
	}
	if h, err := parseFrameHeader(p, pos); err == nil && h.next() > w.size {
		return true, nil
	}
	for pos < w.size {
		share := min(pos/sectorSize*sectorSize+sectorSize, w.size) - pos
		p, err := w.at(pos, int(share))
		if err != nil {
			return false, err
		}
		n := min(len(p), zeroRun)
		if zeros := make([]byte, n); bytes.HasPrefix(p, zeros) || bytes.HasSuffix(p, zeros) {
			return true, nil
		}
		pos += share
	}
	return false, nil
}

// keepCut copies what lies in w from pos on into a file beside it. It is called
// before that is cut off because it looks damaged rather than unfinished: should
// it have been acknowledged, it is not lost with nothing to show for it.
func (l *Log) keepCut(w *window, pos int64) (name string, err error) {
	name = fmt.Sprintf("%s.%d%s", w.f.Name(), pos, cutSuffix)
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	f, err := l.fs.Create(name)
	if err != nil {
		return name, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for pos < w.size {
		p, err := w.at(pos, searchChunk)
		if err != nil {
			return name, err
		}
		if _, err := f.Write(p); err != nil {
			return name, err
		}
		pos += int64(len(p))
	}
	if err := f.Sync(); err != nil {
		return name, err
	}
	return name, l.fs.SyncDir(l.dir)
}
