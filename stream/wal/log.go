package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// Log is an open log. All methods are safe for concurrent use.
type Log struct {
	fs   vfs.FS
	dir  string
	opts Options
	log  *slog.Logger
	lock io.Closer
	id   event.LogID

	// commit is held while a group is written, and guards what only its holder
	// needs. It is taken before mu.
	commit vfs.Mutex
	file   vfs.File // the active segment's
	buf    []byte   // the group as it is written
	marked bool     // the active segment ends with a mark, or holds nothing

	// retain is held while segments are dropped. It is taken before mu.
	retain vfs.Mutex

	// head is the active segment. It and its fields change only while commit and
	// mu are held, so that either is enough to read them.
	head *segment

	mu       sync.Mutex
	segments []*segment // oldest first, never empty; the last is head
	next     *group     // the group that appends join; nil: the next append opens one
	waiting  int64      // bytes of data of the groups that are not committed yet
	tail     tailCache
	changed  chan struct{} // closed when there is something new for readers; nil: none waits
	released int64         // retention may drop what lies before
	closed   bool
	failure  error // why the log has failed; wraps stream.ErrFailed
	counts   counts
}

// counts since Open.
type counts struct {
	groups, syncs, records, dataBytes, storedBytes, errors, dropped int64
}

// Open opens the log in dir, making the folder if need be, and repairs what a
// crash left behind; see Recovery in the package comment. It fails at once when
// the folder is in use, cannot be written, or the log is damaged.
func Open(fsys vfs.FS, dir string, opts Options, log *slog.Logger) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{commit: vfs.NewMutex(), retain: vfs.NewMutex(), fs: fsys, dir: dir, opts: opts, log: log}
	l.tail.limit = opts.TailCacheBytes
	if l.lock, err = lockFolder(fsys, dir); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, errors.Join(err, l.lock.Close())
	}
	return l, nil
}

func lockFolder(fsys vfs.FS, dir string) (io.Closer, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, "LOCK"))
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("log folder %s is in use by another process: %w", dir, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("log folder %s cannot be written: %w", dir, err)
	}
	return nil, fmt.Errorf("lock log folder %s: %w", dir, err)
}

// ID returns the identity of the log.
func (l *Log) ID() event.LogID { return l.id }

// Start returns the offset of the oldest record held, or of the next one.
func (l *Log) Start(context.Context) (event.Positions, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, stream.ErrClosed
	}
	return event.Positions{l.segments[0].base}, nil
}

// End returns the offset after the last durable record.
func (l *Log) End(context.Context) (event.Positions, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, stream.ErrClosed
	}
	return event.Positions{l.head.end}, nil
}

// Failed returns why nothing can be appended any more, or nil. What is in the log
// can still be read.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Stats says what the log holds and has done.
type Stats struct {
	Start, End   int64 // offsets of the oldest record held and after the newest
	Segments     int
	Bytes        int64 // of the segments on disk
	WaitingBytes int64 // data of appends that are not durable yet
	CachedBytes  int64 // of the newest records, in memory

	// Counted since Open.
	Groups      int64 // commits
	Syncs       int64 // fsyncs of segments
	Records     int64 // made durable
	DataBytes   int64 // of these records
	StoredBytes int64 // these records and their framing, as written
	Errors      int64 // groups that were not acknowledged, and segments that could not be dropped
	Dropped     int64 // segments that retention removed
}

// Stats returns what the log holds and has done.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	s := Stats{
		Start: l.segments[0].base, End: l.head.end, Segments: len(l.segments),
		WaitingBytes: l.waiting, CachedBytes: l.tail.bytes,
		Groups: c.groups, Syncs: c.syncs, Records: c.records, DataBytes: c.dataBytes, StoredBytes: c.storedBytes,
		Errors: c.errors, Dropped: c.dropped,
	}
	for _, seg := range l.segments {
		s.Bytes += seg.size
	}
	return s
}

// broadcast wakes the readers that wait. mu is held.
func (l *Log) broadcast() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Close waits for the commit that is under way, fails the appends behind it and
// all readers with stream.ErrClosed, and unlocks the folder.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.broadcast()
	l.mu.Unlock()

	l.commit.Lock()
	defer l.commit.Unlock()
	l.retain.Lock()
	defer l.retain.Unlock()
	var err error
	if l.Failed() == nil {
		if err = l.mark(); errors.Is(err, stream.ErrFull) {
			// The mark only guards the last group; every record is durable.
			l.log.Warn("no room to mark the log's end", "dir", l.dir, "err", err)
			err = nil
		}
	}
	return errors.Join(err, l.file.Close(), l.lock.Close())
}
