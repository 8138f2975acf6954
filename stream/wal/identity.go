package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
)

const (
	identityName   = "ID"
	identityTemp   = "ID.tmp"
	identityFormat = "daybook-log 1 %s %s\n" // the identity, twice
	identitySize   = 48
)

// parseIdentity reads what identityFormat writes.
func parseIdentity(p []byte) (id event.LogID, err error) {
	if len(p) == identitySize {
		err = id.UnmarshalText(p[14:30])
	}
	if err != nil || fmt.Sprintf(identityFormat, id, id) != string(p) || id.IsZero() {
		return event.LogID{}, fmt.Errorf("it reads %.*q and not \"daybook-log 1 \", the identity of the log, a space, and the identity again; "+
			"take the file from any backup of this log, or write it with the identity that the store's MANIFEST names as its log", identitySize+1, p)
	}
	return id, nil
}

// identify finds the identity of the log in dir, or makes it: for a log without
// any segment, which is a new one whatever else the folder holds, and for one
// that was made before logs had identities.
func identify(fsys vfs.FS, dir string, isNew bool) (event.LogID, error) {
	if !isNew {
		id, err := readIdentity(fsys, dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return id, err
		}
	}
	id := event.NewLogID()
	if err := writeIdentity(fsys, dir, id); err != nil {
		return event.LogID{}, fmt.Errorf("give the log in %s an identity: %w", dir, err)
	}
	return id, nil
}

// readIdentity returns the identity in dir; an error that wraps fs.ErrNotExist
// when there is none.
func readIdentity(fsys vfs.FS, dir string) (id event.LogID, err error) {
	path := filepath.Join(dir, identityName)
	err = withWindow(fsys, path, identitySize+1, func(w *window) error {
		p, err := w.at(0, identitySize+1)
		if err != nil {
			return err
		}
		if id, err = parseIdentity(p); err != nil {
			return &DamageError{path, 0, err.Error()}
		}
		return nil
	})
	return id, err
}

// writeIdentity makes id durable as the identity of the log in dir.
func writeIdentity(fsys vfs.FS, dir string, id event.LogID) error {
	temp := filepath.Join(dir, identityTemp)
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	n, err := fmt.Fprintf(file, identityFormat, id, id)
	if err == nil && n < identitySize {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, filepath.Join(dir, identityName)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
