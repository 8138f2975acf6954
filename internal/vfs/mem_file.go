package vfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
)

// memFile is an open file of a [Mem]. Its fields but node are fixed; node and
// closed are guarded by the Mem's lock.
type memFile struct {
	m        *Mem
	name     string
	writable bool
	node     *memNode
	closed   bool
}

// begin also checks that the file is open and, for a change, writable.
func (f *memFile) begin(kind string) error {
	if err := f.m.begin(kind, f.name); err != nil {
		return err
	}
	if f.closed {
		return &fs.PathError{Op: kind, Path: f.name, Err: fs.ErrClosed}
	}
	if !f.writable && (kind == "Write" || kind == "WriteAt" || kind == "Truncate") {
		return &fs.PathError{Op: kind, Path: f.name, Err: fs.ErrPermission}
	}
	return nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.begin("Write")
	var short *ShortWrite
	if errors.As(err, &short) {
		p = p[:min(short.N, len(p))]
		err = nil
		if short.Err != nil {
			err = &fs.PathError{Op: "Write", Path: f.name, Err: short.Err}
		}
	} else if err != nil {
		return 0, err
	}
	n := f.node
	start := len(n.current)
	n.current = append(n.current, p...)
	n.touch(start, len(n.current))
	return len(p), err
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.begin("WriteAt"); err != nil {
		return 0, err
	}
	n := f.node
	if off < 0 || off+int64(len(p)) > int64(len(n.current)) {
		return 0, &fs.PathError{Op: "WriteAt", Path: f.name, Err: fs.ErrInvalid}
	}
	copy(n.current[off:], p)
	n.touch(int(off), int(off)+len(p))
	return len(p), nil
}

// touch marks the sectors of bytes from ≤ i < to as changed.
func (n *memNode) touch(from, to int) {
	if n.dirty == nil {
		n.dirty = map[int]struct{}{}
	}
	for sector := from / sectorSize; sector*sectorSize < to; sector++ {
		n.dirty[sector] = struct{}{}
	}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.begin("ReadAt"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "ReadAt", Path: f.name, Err: fs.ErrInvalid}
	}
	if off >= int64(len(f.node.current)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.current[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.begin("Sync")
	n := f.node
	if err != nil {
		if !f.m.crashed {
			n.dirty = nil // see Mem: readable, and never durable
		}
		return err
	}
	if grow := len(n.current) - len(n.durable); grow > 0 {
		n.durable = append(n.durable, make([]byte, grow)...)
	}
	n.durable = n.durable[:len(n.current)]
	for sector := range n.dirty {
		start := min(sector*sectorSize, len(n.current))
		end := min(start+sectorSize, len(n.current))
		copy(n.durable[start:end], n.current[start:end])
	}
	n.dirty = nil
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.begin("Truncate"); err != nil {
		return err
	}
	if size < 0 {
		return &fs.PathError{Op: "Truncate", Path: f.name, Err: fs.ErrInvalid}
	}
	n := f.node
	old := len(n.current)
	if int(size) <= old {
		n.current = slices.Clip(n.current[:size])
	} else {
		n.current = append(n.current, make([]byte, int(size)-old)...)
	}
	n.touch(min(old, int(size)), max(old, int(size)))
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.begin("Size"); err != nil {
		return 0, err
	}
	return int64(len(f.node.current)), nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.begin("Close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}

func (f *memFile) Name() string { return f.name }
