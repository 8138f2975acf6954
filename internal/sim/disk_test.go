package sim

import (
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/daybook-log/daybook/internal/vfs"
)

// opKind is a method of the file system.
type opKind uint8

const (
	noOp opKind = iota
	opCreate
	opOpen
	opOpenAppend
	opRename
	opRemove
	opMkdirAll
	opReadDir
	opStat
	opSyncDir
	opLock
	opWrite
	opWriteAt
	opReadAt
	opSync
	opTruncate
	opSize
	opClose
	numOps
)

var opNames = [numOps]string{"", "Create", "Open", "OpenAppend", "Rename", "Remove", "MkdirAll", "ReadDir", "Stat", "SyncDir", "Lock",
	"Write", "WriteAt", "ReadAt", "Sync", "Truncate", "Size", "Close"}

// reads reports whether the operation changes nothing.
func (k opKind) reads() bool {
	switch k {
	case opOpen, opReadDir, opStat, opReadAt, opSize:
		return true
	}
	return false
}

// fault is a way in which an operation fails.
type fault struct {
	name string
	of   func(k opKind) bool // which operations fail so
	err  error
}

// faults are all ways. Mem lets a Sync that failed lose what it was to sync.
var faults = []fault{
	{"EIO", func(k opKind) bool { return k != opSync && k != opSyncDir }, syscall.EIO},
	{"failed fsync", func(k opKind) bool { return k == opSync || k == opSyncDir }, syscall.EIO},
	{"ENOSPC", func(k opKind) bool { return k == opWrite || k == opCreate }, syscall.ENOSPC},
	{"ENOSPC after a short write", func(k opKind) bool { return k == opWrite }, &vfs.ShortWrite{N: 60, Err: syscall.ENOSPC}},
	{"EIO after a short write", func(k opKind) bool { return k == opWrite }, &vfs.ShortWrite{N: 700, Err: syscall.EIO}},
}

// disk is the file system of one process. Each operation waits for its turn.
type disk struct {
	p   *process
	mem *vfs.Mem
}

// begin waits for an operation's turn. In most runs what only reads has none.
func (d *disk) begin(k opKind, name, detail string) error {
	if k.reads() && !d.p.w.plan.readsWait {
		return nil
	}
	t := &turn{name: opNames[k] + " " + name + detail, op: k, of: d.p}
	if k.reads() && !d.p.w.calm.Load() {
		t.goroutine = goroutine() // several may read the same
	}
	err := d.p.w.turns.wait(t)
	if err != nil {
		return &fs.PathError{Op: opNames[k], Path: name, Err: err}
	}
	return nil
}

func (d *disk) open(k opKind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if err := d.begin(k, name, ""); err != nil {
		return nil, err
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, d: d}, nil
}

func (d *disk) Create(name string) (vfs.File, error) { return d.open(opCreate, name, d.mem.Create) }
func (d *disk) Open(name string) (vfs.File, error)   { return d.open(opOpen, name, d.mem.Open) }
func (d *disk) OpenAppend(name string) (vfs.File, error) {
	return d.open(opOpenAppend, name, d.mem.OpenAppend)
}

func (d *disk) Rename(oldname, newname string) error {
	if err := d.begin(opRename, oldname, ""); err != nil {
		return err
	}
	if err := d.mem.Rename(oldname, newname); err != nil {
		return err
	}
	if newname == manifestFile {
		d.p.w.model.replaced(d.p.manifest)
	}
	return nil
}

func (d *disk) Remove(name string) error {
	if err := d.begin(opRemove, name, ""); err != nil {
		return err
	}
	err := d.mem.Remove(name)
	if err == nil && filepath.Dir(name) == streamDir {
		d.p.w.stats.Add("stream segments dropped", 1)
	}
	return err
}

func (d *disk) MkdirAll(name string) error {
	if err := d.begin(opMkdirAll, name, ""); err != nil {
		return err
	}
	return d.mem.MkdirAll(name)
}

func (d *disk) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := d.begin(opReadDir, name, ""); err != nil {
		return nil, err
	}
	return d.mem.ReadDir(name)
}

func (d *disk) Stat(name string) (fs.FileInfo, error) {
	if err := d.begin(opStat, name, ""); err != nil {
		return nil, err
	}
	return d.mem.Stat(name)
}

func (d *disk) SyncDir(name string) error {
	if err := d.begin(opSyncDir, name, ""); err != nil {
		return err
	}
	err := d.mem.SyncDir(name)
	if err == nil && name == storeDir {
		d.p.w.model.synced()
	}
	return err
}

// Lock gives locks that end with the process.
func (d *disk) Lock(name string) (io.Closer, error) {
	if err := d.begin(opLock, name, ""); err != nil {
		return nil, err
	}
	l, err := d.mem.Lock(name)
	if err == nil {
		d.p.locks = append(d.p.locks, l)
	}
	return l, err
}

// file is an open file of a disk.
type file struct {
	vfs.File
	d *disk
}

func (f *file) begin(k opKind, detail string) error { return f.d.begin(k, f.Name(), detail) }

func (f *file) Write(b []byte) (int, error) {
	if err := f.begin(opWrite, "+"+strconv.Itoa(len(b))); err != nil {
		return 0, err
	}
	if f.Name() == manifestFile+".tmp" {
		f.d.p.manifest = append([]byte(nil), b...)
	}
	return f.File.Write(b)
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.begin(opWriteAt, "@"+strconv.FormatInt(off, 10)); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if err := f.begin(opReadAt, "@"+strconv.FormatInt(off, 10)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

func (f *file) Sync() error {
	if err := f.begin(opSync, ""); err != nil {
		return err
	}
	err := f.File.Sync()
	if err != nil && filepath.Dir(f.Name()) == streamDir {
		f.d.p.streamFailed()
	}
	return err
}

func (f *file) Truncate(size int64) error {
	if err := f.begin(opTruncate, "@"+strconv.FormatInt(size, 10)); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Size() (int64, error) {
	if err := f.begin(opSize, ""); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *file) Close() error {
	if err := f.begin(opClose, ""); err != nil {
		return err
	}
	return f.File.Close()
}
