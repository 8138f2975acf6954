package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/parquet"
)

// Defaults of Options.
const (
	DefaultHeadRows    = 256 << 10
	DefaultHeadBytes   = 96 << 20
	DefaultHeadAge     = 15 * time.Minute
	DefaultCacheBytes  = 64 << 20
	DefaultQueryMemory = 256 << 20
	DefaultFilterBytes = 64 << 20
)

// maxFrozen is how many full heads may wait to be written. More would only delay
// the moment at which a slow disk slows publishers down.
const maxFrozen = 2

// Options configure a store. The zero value of a field means its default.
type Options struct {
	// HeadRows is how many rows a head takes before it is frozen: the size of a
	// full segment. At most 256Ki. Up to three heads are in memory; one of
	// 410-byte events takes about 35 MB when full (BenchmarkAppend).
	HeadRows int
	// HeadBytes is how many bytes a head's columns take before it is frozen,
	// however few its rows: what bounds memory when events are large.
	HeadBytes int64
	// HeadAge is how long a head may hold rows before it is frozen, however few.
	// It bounds what a restart reads again from the stream, and how far the files
	// lag behind for other tools. Smaller values make more work for compaction.
	HeadAge time.Duration

	// CacheBytes bounds the cache of decompressed pages.
	CacheBytes int64
	// QueryMemory bounds what one query holds; beyond it, store.ErrMemory.
	QueryMemory int64
	// FilterBytes bounds the identity filters that Known builds for segments
	// whose range of identities does not tell (2.3 bytes per event).
	FilterBytes int64

	// RetainAge is how long after it was received an event is kept at least; a
	// segment goes when that has passed for all of its events. 0: for ever.
	RetainAge time.Duration
	// RetainBytes is the size of all segments above which the oldest go. 0: no
	// bound.
	RetainBytes int64
}

func (o *Options) setDefaults() error {
	if o.HeadRows < 0 || o.HeadRows > DefaultHeadRows {
		return fmt.Errorf("head rows are %d; they must be from 1 to %d", o.HeadRows, DefaultHeadRows)
	}
	for _, v := range []int64{o.HeadBytes, int64(o.HeadAge), o.CacheBytes, o.QueryMemory, o.FilterBytes, int64(o.RetainAge), o.RetainBytes} {
		if v < 0 {
			return fmt.Errorf("an option of the store is %d; it must not be negative", v)
		}
	}
	o.HeadRows = cmp.Or(o.HeadRows, DefaultHeadRows)
	o.HeadBytes = cmp.Or(o.HeadBytes, DefaultHeadBytes)
	o.HeadAge = cmp.Or(o.HeadAge, DefaultHeadAge)
	o.CacheBytes = cmp.Or(o.CacheBytes, DefaultCacheBytes)
	o.QueryMemory = cmp.Or(o.QueryMemory, DefaultQueryMemory)
	o.FilterBytes = cmp.Or(o.FilterBytes, DefaultFilterBytes)
	return nil
}

// Store implements store.Store.
type Store struct {
	fs    vfs.FS
	dir   string
	opts  Options
	log   *slog.Logger
	lock  io.Closer
	cache *parquet.Cache
	seed  maphash.Seed // of identity filters

	nextFile     atomic.Uint64
	filterBytes  atomic.Int64 // of all segments' identity filters
	compactions  atomic.Int64
	expired      atomic.Int64
	freezeErrors atomic.Int64

	appending vfs.Mutex // held by Append and by whoever else replaces the head

	committing vfs.Mutex // held while the manifest is replaced
	upkeep     vfs.Mutex // held while segments are merged, dropped, set aside or restored; before committing

	mu        sync.RWMutex
	manifest  *manifest               // guarded by mu; replaced under committing
	segments  []*segment              // guarded by mu: those of manifest, in its order
	frozen    []*head                 // guarded by mu: full heads to be written, oldest first
	head      *head                   // guarded by mu; replaced under appending
	visible   event.Positions         // guarded by mu; never changed in place
	committed event.Positions         // guarded by mu; never changed in place
	moved     chan struct{}           // guarded by mu: closed, and replaced, when visible, committed or frozen changes
	suspects  map[*segment]*suspicion // guarded by mu

	freezeKick chan struct{} // a head was frozen, or began to fill
	upkeepKick chan struct{} // a segment was added or is suspected
}

// Open opens the store in dir, which it makes if need be, and takes the folder's
// lock. It verifies the manifest and that every segment's file is there and has
// its size; what a file holds is verified when it is read. Files that the
// manifest does not name are what a crash left over, and are removed.
func Open(fsys vfs.FS, dir string, opts Options, log *slog.Logger) (*Store, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, err
	}
	s := &Store{
		fs: fsys, dir: dir, opts: opts, log: log, lock: lock, cache: parquet.NewCache(opts.CacheBytes),
		seed: maphash.MakeSeed(), moved: make(chan struct{}), suspects: make(map[*segment]*suspicion),
		appending: vfs.NewMutex(), committing: vfs.NewMutex(), upkeep: vfs.NewMutex(),
		freezeKick: make(chan struct{}, 1), upkeepKick: make(chan struct{}, 1),
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), lock.Close())
	}
	return s, nil
}

// load reads the manifest and brings the folder in line with it.
func (s *Store) load() error {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	m, err := readManifest(s.fs, s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		m, err = s.create(entries)
	}
	if err != nil {
		return err
	}
	// A process that was killed after the rename has left it to the kernel alone,
	// and the stream must not forget what a power cut could bring back.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	s.manifest = m
	s.committed = append(event.Positions{}, m.Reached...)
	s.visible = s.committed
	s.head = newHead(s.opts.HeadRows, s.visible)
	for _, x := range m.Segments {
		s.segments = append(s.segments, newSegment(s, x))
	}
	next := m.NextFile
	for _, e := range entries {
		if n, ok := fileNumber(e.Name()); ok {
			next = max(next, n+1)
		}
	}
	s.nextFile.Store(next)
	if err := s.clearAway(entries); err != nil {
		return err
	}
	return s.findMissing(entries)
}

// create makes the first manifest. A folder with segments and no manifest is not
// an empty store but one that lost it.
func (s *Store) create(entries []fs.DirEntry) (*manifest, error) {
	for _, e := range entries {
		if filepath.Ext(e.Name()) == fileSuffix {
			return nil, fmt.Errorf("there are segments (%s) but no %s; restore it from a backup, or move the folder away to rebuild the store from the stream", e.Name(), manifestName)
		}
	}
	m := &manifest{Generation: 1, NextFile: 1, Reached: event.Positions{}}
	_, err := writeManifest(s.fs, s.dir, m)
	return m, err
}

// fileNumber returns the number of a segment file, in whatever state it is.
func fileNumber(name string) (uint64, bool) {
	digits, _, found := strings.Cut(name, fileSuffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, found && err == nil
}

// uncommitted is how many finished segments a crash can leave that no manifest
// names yet: one of a freeze and one of a merge.
const uncommitted = 2

// clearAway finishes what a crash interrupted: it removes what the manifest has
// outlived and renames what was set aside.
//
// Segments that the manifest does not name and whose numbers come after its own
// are, when there are one or two, what a crash leaves: a freeze and a merge that
// were not committed, whose rows the stream still has. When there are more, the
// manifest is older than the folder, because somebody put a copy of it back, and
// the files may be all that is left of their rows: they are renamed and kept.
// Files with other names are not ours to touch.
func (s *Store) clearAway(entries []fs.DirEntry) error {
	named := make(map[string]int32)
	for _, x := range s.manifest.Segments {
		named[x.File] = keep
	}
	for _, d := range s.manifest.Damaged {
		named[d.File] = setAside
	}
	var later []string
	for _, e := range entries {
		n, ours := fileNumber(e.Name())
		if _, ok := named[e.Name()]; ours && !ok && n >= s.manifest.NextFile && filepath.Ext(e.Name()) == fileSuffix {
			later = append(later, e.Name())
		}
	}
	for _, e := range entries {
		name := e.Name()
		_, ours := fileNumber(strings.TrimSuffix(name, tempSuffix))
		if ext := filepath.Ext(name); name != manifestName+tempSuffix && !(ours && (ext == fileSuffix || ext == tempSuffix)) {
			continue
		}
		fate, ok := named[name]
		path := filepath.Join(s.dir, name)
		var err error
		switch {
		case len(later) > uncommitted && slices.Contains(later, name):
			s.log.Warn("keeping a segment that the manifest does not know, which seems to be an old copy", "file", s.display(name+orphanSuffix))
			err = s.fs.Rename(path, path+orphanSuffix)
		case !ok:
			s.log.Info("removing a file that a crash left over", "file", s.display(name))
			err = removeIfExists(s.fs, path)
		case fate == setAside:
			err = s.fs.Rename(path, path+damagedSuffix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findMissing suspects segments whose file is not there or not of its size.
func (s *Store) findMissing(entries []fs.DirEntry) error {
	sizes := make(map[string]int64)
	for _, e := range entries {
		if filepath.Ext(e.Name()) != fileSuffix {
			continue
		}
		info, err := s.fs.Stat(filepath.Join(s.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed above
		}
		if err != nil {
			return err
		}
		sizes[e.Name()] = info.Size()
	}
	for _, seg := range slices.Clone(s.segments) {
		size, there := sizes[seg.File]
		if there && size == seg.Parquet.Size {
			continue
		}
		reason := "the file is missing"
		if there {
			reason = fmt.Sprintf("the file has %d bytes, not %d", size, seg.Parquet.Size)
		}
		if err := s.setAside(seg, &parquet.DamageError{File: seg.name(), Offset: -1, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// display returns a file's name below the data folder.
func (s *Store) display(file string) string { return path.Join(filepath.Base(s.dir), file) }

// Run writes full heads to segments, merges small segments, applies retention and
// sets damaged segments aside, until ctx ends; it then returns nil. A disk that
// fails is tried again for ever: Append waits meanwhile, and the stream keeps
// what comes.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.freezeLoop(ctx) })
	g.Go(func() error { return s.upkeepLoop(ctx) })
	return g.Wait()
}

// Close releases the files. Nothing may use the store any more. Rows that are
// not committed are in the stream, from where the next start reads them again;
// call Flush before to spare it that.
func (s *Store) Close() error {
	s.mu.Lock()
	segments := s.segments
	s.segments = nil
	s.mu.Unlock()
	for _, seg := range segments {
		seg.release()
	}
	return s.lock.Close()
}

// Follow implements store.Store.
func (s *Store) Follow(log event.LogID) error {
	s.mu.RLock()
	followed := s.manifest.Log
	s.mu.RUnlock()
	switch {
	case followed == log:
		return nil
	case !followed.IsZero():
		return fmt.Errorf("%w: it follows log %s, and this is log %s", store.ErrForeignLog, followed, log)
	}
	_, err := s.commit(func(next *manifest) { next.Log = log }, func() {})
	return err
}

// Append implements store.Store. A batch goes into one head whole, so that a
// segment begins and ends where a batch does.
func (s *Store) Append(ctx context.Context, rows []event.Event, reached event.Positions) error {
	if len(rows) > parquet.MaxRows {
		return fmt.Errorf("append %d rows: they must be at most %d", len(rows), parquet.MaxRows)
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	h := s.currentHead()
	if !h.room(len(rows), s.opts.HeadRows, s.opts.HeadBytes) || s.isOld(h) {
		if err := s.rotate(ctx); err != nil {
			return err
		}
		h = s.currentHead()
	}
	first := h.since().IsZero()
	s.mu.RLock()
	visible := s.visible.Clone()
	s.mu.RUnlock()
	for p, offset := range reached {
		visible = visible.Advance(int32(p), offset)
	}
	h.append(rows, visible)
	s.mu.Lock()
	s.visible = visible
	s.broadcast()
	s.mu.Unlock()
	if first {
		kick(s.freezeKick)
	}
	return nil
}

func (s *Store) currentHead() *head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head
}

// isOld reports whether h is to be frozen for its age.
func (s *Store) isOld(h *head) bool {
	since := h.since()
	return !since.IsZero() && time.Since(since) >= s.opts.HeadAge
}

// rotate freezes the head and begins a new one, as soon as there is room for
// another frozen one. The caller holds appending.
func (s *Store) rotate(ctx context.Context) error {
	for {
		s.mu.RLock()
		moved := s.moved
		s.mu.RUnlock()
		if s.tryRotate() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryRotate is rotate that reports false instead of waiting.
func (s *Store) tryRotate() bool {
	s.mu.RLock()
	full, visible := len(s.frozen) >= maxFrozen, s.visible
	s.mu.RUnlock()
	if full {
		return false
	}
	next := newHead(s.opts.HeadRows, visible)
	s.mu.Lock()
	s.frozen = append(s.frozen, s.head)
	s.head = next
	s.mu.Unlock()
	kick(s.freezeKick)
	return true
}

// heads returns the heads in stream order. The caller holds mu.
func (s *Store) heads() []*head { return append(slices.Clone(s.frozen), s.head) }

// broadcast wakes everybody who waits for a move. The caller holds mu.
func (s *Store) broadcast() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// kick wakes the receiver of ch, once however often it is kicked.
func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Visible implements store.Store. The result is not to be changed.
func (s *Store) Visible() event.Positions {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.visible
}

// Committed implements store.Store. The result is not to be changed.
func (s *Store) Committed() event.Positions {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.committed
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, pos event.Positions) error {
	return s.waitFor(ctx, func() bool { return s.visible.Covers(pos) })
}

// Flush freezes the head and returns when everything that was visible at the
// call is committed, or with ctx's error. Run must be running.
func (s *Store) Flush(ctx context.Context) error {
	s.appending.Lock()
	visible, h := s.Visible(), s.currentHead()
	var err error
	if !h.since().IsZero() {
		err = s.rotate(ctx)
	}
	s.appending.Unlock()
	if err != nil {
		return err
	}
	return s.waitFor(ctx, func() bool { return s.committed.Covers(visible) })
}

// waitFor returns when done, which is called with mu held, is true, or with
// ctx's error.
func (s *Store) waitFor(ctx context.Context, done func() bool) error {
	for {
		s.mu.RLock()
		is, moved := done(), s.moved
		s.mu.RUnlock()
		if is {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
