package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// sectorSize is the unit in which a crash keeps or loses written bytes.
const sectorSize = 512

// ErrCrashed is what every operation of a [Mem] returns once it has crashed.
// A hook that returns it makes the Mem crash before that operation.
var ErrCrashed = errors.New("file system has crashed")

// Op is one operation on a [Mem], as its hook sees it.
type Op struct {
	N    int    // how many operations came before it
	Kind string // the method: "Create", "Write", "Sync", "SyncDir", …
	Path string
}

// Changes reports whether the operation writes, syncs, or changes names: the
// moments before and after which a crash can make a difference.
func (op Op) Changes() bool {
	switch op.Kind {
	case "Create", "Rename", "Remove", "MkdirAll", "SyncDir", "Write", "WriteAt", "Sync", "Truncate":
		return true
	}
	return false
}

// ShortWrite, returned by a hook for a Write, lets its first N bytes be written
// before the write fails with Err. A nil Err makes the write
// short without an error, as a faulty file system might.
type ShortWrite struct {
	N   int
	Err error
}

func (e *ShortWrite) Error() string { return fmt.Sprintf("short write of %d bytes: %v", e.N, e.Err) }
func (e *ShortWrite) Unwrap() error { return e.Err }

// Mem is a file system in memory that knows what was synced, so that a test can
// crash it. It holds what it promises and no more: what was written but not
// synced is there to read until [Mem.Crash] keeps some of it and loses the rest.
//
// A Sync that fails behaves as Linux does: the pages count as clean from then
// on, so what they held is readable and yet no later Sync makes it durable.
type Mem struct {
	mu      sync.Mutex
	hook    func(Op) error
	ops     int
	crashed bool

	dirs    map[string]bool     // folders; durable once made, as MkdirAll promises
	current map[string]*memNode // files by path, as readers see them
	durable map[string]*memNode // files by path, as a crash leaves them
	renames []nameChange        // changes of names since, oldest first
	locks   map[string]bool
}

// nameChange is one change of names that no SyncDir has made durable yet.
type nameChange struct {
	node *memNode
	from string // "" for a create
	to   string // "" for a remove
}

func (c nameChange) apply(names map[string]*memNode) {
	if c.from != "" && names[c.from] == c.node {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

func (c nameChange) touches(dir string) bool {
	return c.from != "" && filepath.Dir(c.from) == dir || c.to != "" && filepath.Dir(c.to) == dir
}

// memNode is a file's content.
type memNode struct {
	current []byte
	durable []byte
	dirty   map[int]struct{} // sectors written or cut off since the last Sync
}

// NewMem returns an empty file system. Only the root exists.
func NewMem() *Mem {
	return &Mem{
		dirs:    map[string]bool{},
		current: map[string]*memNode{},
		durable: map[string]*memNode{},
		locks:   map[string]bool{},
	}
}

// SetHook has hook called before every operation. An error it returns is the
// operation's result, and nothing is done; see [ShortWrite] and [ErrCrashed].
// The hook must not use the Mem. nil removes it.
func (m *Mem) SetHook(hook func(Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// Ops returns how many operations there have been.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Crash ends m and returns what a power cut could have left of it. Synced bytes
// and names are there. Each sector with unsynced bytes is, as rng decides, kept,
// lost, or torn in the middle; a file whose size was not synced may end anywhere
// between the old and the new end; each unsynced change of names happened or not.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	after := NewMem()
	after.dirs = maps.Clone(m.dirs)
	names := maps.Clone(m.durable)
	for _, c := range m.renames {
		if rng.IntN(2) == 0 {
			c.apply(names)
		}
	}
	// In sorted order, so that one seed always gives one result.
	for _, name := range slices.Sorted(maps.Keys(names)) {
		left := names[name].crash(rng)
		after.durable[name] = &memNode{current: left, durable: slices.Clone(left)}
	}
	after.current = maps.Clone(after.durable)
	return after
}

func (n *memNode) crash(rng *rand.Rand) []byte {
	size := len(n.durable)
	if len(n.dirty) > 0 && len(n.current) != size {
		switch low, high := min(size, len(n.current)), max(size, len(n.current)); rng.IntN(4) {
		case 0: // the old size
		case 1:
			size = low + rng.IntN(high-low+1)
		default:
			size = len(n.current)
		}
	}
	left := make([]byte, size)
	copy(left, n.durable)
	for _, sector := range slices.Sorted(maps.Keys(n.dirty)) {
		start := min(sector*sectorSize, size)
		end := min(start+sectorSize, size)
		switch rng.IntN(5) {
		case 0, 1: // lost
			continue
		case 2: // torn
			end = start + rng.IntN(end-start+1)
		}
		if end > start && start < len(n.current) {
			clear(left[start:end])
			copy(left[start:end], n.current[start:])
		}
	}
	return left
}

// begin counts an operation and asks the hook about it. m.mu is held.
func (m *Mem) begin(kind, path string) error {
	if m.crashed {
		return ErrCrashed
	}
	op := Op{N: m.ops, Kind: kind, Path: path}
	m.ops++
	if m.hook == nil {
		return nil
	}
	err := m.hook(op)
	if errors.Is(err, ErrCrashed) {
		m.crashed = true
	}
	if err != nil {
		return &fs.PathError{Op: kind, Path: path, Err: err}
	}
	return nil
}

func (m *Mem) Create(name string) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Create", name); err != nil {
		return nil, err
	}
	if m.current[name] != nil || m.isDir(name) {
		return nil, &fs.PathError{Op: "Create", Path: name, Err: fs.ErrExist}
	}
	if !m.isDir(filepath.Dir(name)) {
		return nil, &fs.PathError{Op: "Create", Path: name, Err: fs.ErrNotExist}
	}
	node := &memNode{}
	m.change(nameChange{node: node, to: name})
	return &memFile{m: m, name: name, node: node, writable: true}, nil
}

// change makes a change of names that is not durable yet.
func (m *Mem) change(c nameChange) {
	c.apply(m.current)
	m.renames = append(m.renames, c)
}

func (m *Mem) Open(name string) (File, error)       { return m.open("Open", name, false) }
func (m *Mem) OpenAppend(name string) (File, error) { return m.open("OpenAppend", name, true) }

func (m *Mem) open(kind, name string, writable bool) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(kind, name); err != nil {
		return nil, err
	}
	node := m.current[name]
	if node == nil {
		return nil, &fs.PathError{Op: kind, Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m: m, name: name, node: node, writable: writable}, nil
}

func (m *Mem) Rename(oldname, newname string) error {
	oldname, newname = filepath.Clean(oldname), filepath.Clean(newname)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Rename", oldname); err != nil {
		return err
	}
	node := m.current[oldname]
	if node == nil || !m.isDir(filepath.Dir(newname)) {
		return &fs.PathError{Op: "Rename", Path: oldname, Err: fs.ErrNotExist}
	}
	if oldname != newname {
		m.change(nameChange{node: node, from: oldname, to: newname})
	}
	return nil
}

func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Remove", name); err != nil {
		return err
	}
	node := m.current[name]
	if node == nil {
		return &fs.PathError{Op: "Remove", Path: name, Err: fs.ErrNotExist}
	}
	m.change(nameChange{node: node, from: name})
	return nil
}

func (m *Mem) MkdirAll(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("MkdirAll", name); err != nil {
		return err
	}
	for dir := name; !m.isDir(dir); dir = filepath.Dir(dir) {
		if m.current[dir] != nil {
			return &fs.PathError{Op: "MkdirAll", Path: dir, Err: errors.New("is a file, not a folder")}
		}
		m.dirs[dir] = true
	}
	return nil
}

// isDir reports whether name is a folder; the root and "." always are.
func (m *Mem) isDir(name string) bool { return m.dirs[name] || filepath.Dir(name) == name }

func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("ReadDir", name); err != nil {
		return nil, err
	}
	if !m.isDir(name) {
		return nil, &fs.PathError{Op: "ReadDir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []fs.DirEntry
	for path, node := range m.current {
		if filepath.Dir(path) == name {
			entries = append(entries, fs.FileInfoToDirEntry(node.info(path)))
		}
	}
	for path := range m.dirs {
		if filepath.Dir(path) == name && path != name {
			entries = append(entries, fs.FileInfoToDirEntry(memInfo{name: filepath.Base(path), dir: true}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return entries, nil
}

func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Stat", name); err != nil {
		return nil, err
	}
	if node := m.current[name]; node != nil {
		return node.info(name), nil
	}
	if m.isDir(name) {
		return memInfo{name: filepath.Base(name), dir: true}, nil
	}
	return nil, &fs.PathError{Op: "Stat", Path: name, Err: fs.ErrNotExist}
}

// SyncDir makes durable every change of names that touches the folder. A rename
// across two folders is one step, so syncing either makes it durable.
func (m *Mem) SyncDir(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("SyncDir", name); err != nil {
		return err
	}
	if !m.isDir(name) {
		return &fs.PathError{Op: "SyncDir", Path: name, Err: fs.ErrNotExist}
	}
	m.renames = slices.DeleteFunc(m.renames, func(c nameChange) bool {
		if !c.touches(name) {
			return false
		}
		c.apply(m.durable)
		return true
	})
	return nil
}

func (m *Mem) Lock(name string) (io.Closer, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Lock", name); err != nil {
		return nil, err
	}
	if m.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	if m.current[name] == nil {
		m.change(nameChange{node: &memNode{}, to: name})
	}
	m.locks[name] = true
	return &memLock{m: m, name: name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (n *memNode) info(path string) memInfo {
	return memInfo{name: filepath.Base(path), size: int64(len(n.current))}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirMode
	}
	return fileMode
}
