// Package vfs is the file system as the durable parts of Daybook use it: few
// operations, each with the promise it makes about a crash. [OS] is the real
// one; [Mem] keeps only what was synced, so that tests can lose the rest.
//
// The promises are POSIX's and no more: bytes written are durable after
// File.Sync; a name created, renamed or removed is durable after SyncDir of its
// folder. Until then a crash may keep or lose each of them, in any combination.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Paths are slash- or OS-separated as path/filepath makes
// them.
type FS interface {
	// Create makes a new file for writing and reading; it is an error if the
	// name exists.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenAppend opens an existing file for reading and for writing at its end.
	OpenAppend(name string) (File, error)
	// Rename replaces newname by oldname in one step.
	Rename(oldname, newname string) error
	Remove(name string) error
	// MkdirAll makes a folder and its parents, and syncs each parent in which
	// it made one.
	MkdirAll(name string) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on the file name, which it makes if need be,
	// or fails at once with an error that wraps ErrLocked. Closing releases it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.Writer   // at the end
	io.WriterAt // in place; not to be used past the end
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Name() string
}
