package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
)

var identityPath = filepath.Join(crashDir, identityName)

// onDisk returns the bytes of a file.
func onDisk(t *testing.T, fsys vfs.FS, path string) string {
	t.Helper()
	content := ""
	err := withWindow(fsys, path, readChunk, func(w *window) error {
		p, err := w.at(0, int(w.size))
		content = string(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The format is a promise: a person may have to write the file.
func TestIdentityGolden(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll(crashDir); err != nil {
		t.Fatal(err)
	}
	id := event.LogID{0x6c, 0x1f, 0x0e, 0x5b, 0x2d, 0x9a, 0x48, 0x73}
	if err := writeIdentity(mem, crashDir, id); err != nil {
		t.Fatal(err)
	}
	const want = "daybook-log 1 6c1f0e5b2d9a4873 6c1f0e5b2d9a4873\n"
	if got := onDisk(t, mem, identityPath); got != want {
		t.Errorf("written %q, want %q", got, want)
	}
	if got, err := readIdentity(mem, crashDir); got != id || err != nil {
		t.Errorf("read %s, %v", got, err)
	}
}

// A log keeps its identity for as long as it has a segment; one from before there
// were identities gets one.
func TestIdentityOfALog(t *testing.T) {
	tests := []struct {
		name   string
		remove []string
		same   bool
	}{
		{"reopened", nil, true},
		{"whose identity was removed", []string{identityPath}, false},
		{"whose segments were removed", []string{segmentPath(crashDir, 0)}, false},
		{"wiped", []string{identityPath, segmentPath(crashDir, 0)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := mustOpen(t, mem, crashDir, Options{})
			before := l.ID()
			if err := errors.Join(l.Append(t.Context(), newEventGen(1).batch(3)), l.Close()); err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.remove {
				if err := mem.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			l = mustOpen(t, mem, crashDir, Options{})
			after := l.ID()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if after.IsZero() || (after == before) != tt.same {
				t.Errorf("%s has become %s", before, after)
			}
			l = mustOpen(t, mem, crashDir, Options{})
			defer l.Close()
			if l.ID() != after {
				t.Errorf("%s has become %s at the next opening", after, l.ID())
			}
			if _, err := mem.Stat(filepath.Join(crashDir, identityTemp)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the temporary file is left: %v", err)
			}
		})
	}
}

// Every change of every byte is noticed, and so is every other length.
func TestDamagedIdentity(t *testing.T) {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files := dump(t, mem, crashDir)
	whole := onDisk(t, mem, identityPath)
	refused := func(content string) {
		t.Helper()
		files[identityPath] = nil
		l, err := Open(load(t, files, identityPath, []byte(content)), crashDir, Options{}, quiet)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.File != identityPath {
			t.Errorf("%q: opened as %v, %v", content, l, err)
		}
	}
	for i := range whole {
		for bit := range 8 {
			b := []byte(whole)
			b[i] ^= 1 << bit
			refused(string(b))
		}
		refused(whole[:i])
	}
	refused(whole + "\n")
	refused("daybook-log 1 0000000000000000 0000000000000000\n")
}

// Bytes are refused, or are what is written for the identity that they are read as.
func FuzzIdentity(f *testing.F) {
	f.Add([]byte("daybook-log 1 6c1f0e5b2d9a4873 6c1f0e5b2d9a4873\n"))
	f.Add([]byte("daybook-log 1 6c1f0e5b2d9a4873 6c1f0e5b2d9a4874\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		if id, err := parseIdentity(p); err == nil && fmt.Sprintf(identityFormat, id, id) != string(p) {
			t.Errorf("%q is taken for %s", p, id)
		}
	})
}
