package wal

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/vfs"
)

// clockAt returns a clock that stands still.
func clockAt(ns int64) func() time.Time { return func() time.Time { return time.Unix(0, ns) } }

// dump returns the segments in dir by path.
func dump(t testing.TB, fsys vfs.FS, dir string) map[string][]byte {
	t.Helper()
	segments, err := listSegments(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, seg := range segments {
		err := withWindow(fsys, seg.path, readChunk, func(w *window) error {
			p, err := w.at(0, int(w.size))
			files[seg.path] = slices.Clone(p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// load makes a file system of files, with content in place of the one at name.
func load(t testing.TB, files map[string][]byte, name string, content []byte) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	for path, p := range files {
		if path == name {
			p = content
		}
		if err := mem.MkdirAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		f, err := mem.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

func lastOf(files map[string][]byte) string {
	return slices.Max(slices.Collect(maps.Keys(files)))
}
