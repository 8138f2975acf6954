package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, fsys FS, name, content string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	write(t, f, content)
	return f
}

func write(t *testing.T, f File, content string) {
	t.Helper()
	n, err := io.WriteString(f, content)
	if err != nil || n != len(content) {
		t.Fatalf("write: %d of %d bytes, %v", n, len(content), err)
	}
}

func content(t *testing.T, fsys FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	if n, err := f.ReadAt(p, 0); n != len(p) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read %s: %d of %d bytes, %v", name, n, size, err)
	}
	return string(p)
}

// TestFS holds both file systems to the same behaviour.
func TestFS(t *testing.T) {
	systems := map[string]func(t *testing.T) (FS, string){
		"OS":  func(t *testing.T) (FS, string) { return OS(), t.TempDir() },
		"Mem": func(t *testing.T) (FS, string) { return NewMem(), string(filepath.Separator) },
	}
	tests := map[string]func(t *testing.T, fsys FS, dir string){
		"files":   files,
		"names":   names,
		"folders": folders,
		"locks":   locks,
	}
	for system, open := range systems {
		for name, test := range tests {
			t.Run(system+"/"+name, func(t *testing.T) {
				fsys, dir := open(t)
				test(t, fsys, dir)
			})
		}
	}
}

func files(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "a")
	f := create(t, fsys, name, "hello")
	write(t, f, " world")
	if f.Name() != name {
		t.Errorf("Name is %q", f.Name())
	}
	p := make([]byte, 5)
	if n, err := f.ReadAt(p, 6); n != 5 || string(p) != "world" || err != nil {
		t.Errorf("ReadAt: %q, %v", p[:n], err)
	}
	if n, err := f.ReadAt(p, 9); n != 2 || err != io.EOF {
		t.Errorf("ReadAt over the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(p, 50); n != 0 || err != io.EOF {
		t.Errorf("ReadAt behind the end: %d, %v", n, err)
	}
	must(t, f.Truncate(2))
	write(t, f, "y")
	must(t, f.Sync())
	must(t, f.Close())
	if got := content(t, fsys, name); got != "hey" {
		t.Errorf("after truncating and writing: %q", got)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write to a closed file: %v", err)
	}

	f, err := fsys.OpenAppend(name)
	must(t, err)
	write(t, f, "!")
	must(t, f.Truncate(6))
	write(t, f, "?")
	if n, err := f.WriteAt([]byte("HE"), 0); n != 2 || err != nil {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
	write(t, f, "!")
	must(t, f.Close())
	if got := content(t, fsys, name); got != "HEy!\x00\x00?!" {
		t.Errorf("after appending and writing in place: %q", got)
	}
	f, err = fsys.Open(name)
	must(t, err)
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a file opened for reading was written")
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file opened for reading was written in place")
	}
	must(t, f.Close())
}

func names(t *testing.T, fsys FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, create(t, fsys, a, "1").Close())
	if _, err := fsys.Create(a); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a name that is there: %v", err)
	}
	must(t, create(t, fsys, b, "22").Close())
	must(t, fsys.Rename(a, b))
	must(t, fsys.SyncDir(dir))
	if got := content(t, fsys, b); got != "1" {
		t.Errorf("after the rename b holds %q", got)
	}
	info, err := fsys.Stat(b)
	if err != nil || info.Size() != 1 || info.IsDir() || info.Name() != "b" {
		t.Errorf("Stat: %v, %v", info, err)
	}
	for what, do := range map[string]func() error{
		"Open":       func() error { _, err := fsys.Open(a); return err },
		"OpenAppend": func() error { _, err := fsys.OpenAppend(a); return err },
		"Stat":       func() error { _, err := fsys.Stat(a); return err },
		"Remove":     func() error { return fsys.Remove(a) },
		"Rename":     func() error { return fsys.Rename(a, b) },
		"ReadDir":    func() error { _, err := fsys.ReadDir(a); return err },
		"Create":     func() error { _, err := fsys.Create(filepath.Join(a, "c")); return err },
	} {
		if err := do(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	must(t, fsys.Remove(b))
	if entries, err := fsys.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("after Remove: %v, %v", entries, err)
	}
}

func folders(t *testing.T, fsys FS, dir string) {
	deep := filepath.Join(dir, "x", "y", "z")
	must(t, fsys.MkdirAll(deep))
	must(t, fsys.MkdirAll(deep))
	must(t, create(t, fsys, filepath.Join(dir, "x", "file"), "").Close())
	must(t, fsys.MkdirAll(filepath.Join(dir, "x", "a")))
	entries, err := fsys.ReadDir(filepath.Join(dir, "x"))
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s %t", e.Name(), e.IsDir()))
	}
	if want := []string{"a true", "file false", "y true"}; !slices.Equal(got, want) {
		t.Errorf("ReadDir: %q, want %q", got, want)
	}
	if err := fsys.MkdirAll(filepath.Join(dir, "x", "file", "below")); err == nil {
		t.Error("a folder was made below a file")
	}
	if info, err := fsys.Stat(deep); err != nil || !info.IsDir() {
		t.Errorf("Stat of a folder: %v, %v", info, err)
	}
	must(t, fsys.SyncDir(deep))
}

func locks(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "LOCK")
	l, err := fsys.Lock(name)
	must(t, err)
	if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("a second Lock: %v", err)
	}
	must(t, l.Close())
	l, err = fsys.Lock(name)
	must(t, err)
	must(t, l.Close())
}

// outcomes crashes what build makes with many seeds and returns what was left
// each time: the file named f, or "-" when there is none.
func outcomes(t *testing.T, build func(m *Mem)) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for seed := range uint64(300) {
		m := NewMem()
		build(m)
		after := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		left := "-"
		if _, err := after.Stat("/f"); err == nil {
			left = content(t, after, "/f")
		}
		seen[left] = true
	}
	return seen
}

// TestCrashKeepsWhatWasSynced says which files a crash can leave.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	file := func(m *Mem, s string) File { return create(t, m, "/f", s) }
	tests := []struct {
		name  string
		build func(m *Mem)
		want  []string
	}{
		{"file and name synced", func(m *Mem) { must(t, file(m, "ab").Sync()); must(t, m.SyncDir("/")) }, []string{"ab"}},
		{"name not synced", func(m *Mem) { must(t, file(m, "ab").Sync()) }, []string{"-", "ab"}},
		{"file not synced", func(m *Mem) { file(m, "ab"); must(t, m.SyncDir("/")) },
			[]string{"", "\x00", "\x00\x00", "a", "a\x00", "ab"}},
		{"synced, then written", func(m *Mem) {
			f := file(m, "a")
			must(t, f.Sync())
			must(t, m.SyncDir("/"))
			write(t, f, "b")
		}, []string{"a", "ab", "a\x00"}},
		{"synced, then cut", func(m *Mem) {
			f := file(m, "ab")
			must(t, f.Sync())
			must(t, m.SyncDir("/"))
			must(t, f.Truncate(1))
		}, []string{"a", "ab", "a\x00"}},
		{"removed", func(m *Mem) {
			must(t, file(m, "a").Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Remove("/f"))
		}, []string{"-", "a"}},
		{"removed and synced", func(m *Mem) { file(m, "a"); must(t, m.Remove("/f")); must(t, m.SyncDir("/")) }, []string{"-"}},
		{"renamed", func(m *Mem) {
			must(t, file(m, "old").Sync())
			g := create(t, m, "/g", "new")
			must(t, g.Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Rename("/g", "/f"))
		}, []string{"old", "new"}},
		{"renamed and synced", func(m *Mem) {
			must(t, file(m, "old").Sync())
			must(t, create(t, m, "/g", "new").Sync())
			must(t, m.Rename("/g", "/f"))
			must(t, m.SyncDir("/"))
		}, []string{"new"}},
		{"renamed before the content was synced", func(m *Mem) {
			create(t, m, "/g", "n")
			must(t, m.Rename("/g", "/f"))
			must(t, m.SyncDir("/"))
		}, []string{"", "\x00", "n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := slices.Sorted(maps.Keys(outcomes(t, test.build)))
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("a crash leaves %q, want %q", got, test.want)
			}
		})
	}
}

// TestCrashLosesAnySector: of three sectors written at once, each combination can
// be left, and a torn one.
func TestCrashLosesAnySector(t *testing.T) {
	sectors := []string{strings.Repeat("a", sectorSize), strings.Repeat("b", sectorSize), strings.Repeat("c", sectorSize)}
	seen := map[string]bool{}
	for left := range outcomes(t, func(m *Mem) {
		create(t, m, "/f", strings.Join(sectors, ""))
		must(t, m.SyncDir("/"))
	}) {
		if len(left) != 3*sectorSize {
			seen["short"] = true
			continue
		}
		combination := ""
		for i, s := range sectors {
			switch got := left[i*sectorSize : (i+1)*sectorSize]; {
			case got == s:
				combination += "k"
			case strings.Trim(got, "\x00") == "":
				combination += "l"
			case strings.HasPrefix(s, strings.TrimRight(got, "\x00")):
				seen["torn"] = true
			default:
				t.Fatalf("sector %d holds %q", i, got)
			}
		}
		seen[combination] = true
	}
	for _, want := range []string{"short", "torn", "kkk", "kkl", "klk", "lkk", "llk", "lkl", "kll", "lll"} {
		if !seen[want] {
			t.Errorf("300 crashes never left %q", want)
		}
	}
}

// TestFailedSync: bytes of a failed Sync can be read, and are not there after a
// crash though a later Sync succeeded.
func TestFailedSync(t *testing.T) {
	m := NewMem()
	f := create(t, m, "/f", strings.Repeat("a", sectorSize))
	must(t, m.SyncDir("/"))
	m.SetHook(func(op Op) error {
		if op.Kind == "Sync" {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync: %v", err)
	}
	m.SetHook(nil)
	write(t, f, "b")
	must(t, f.Sync())
	if got := content(t, m, "/f"); got[0] != 'a' {
		t.Errorf("before the crash: %q", got)
	}
	got := content(t, m.Crash(rand.New(rand.NewPCG(1, 1))), "/f")
	if want := strings.Repeat("\x00", sectorSize) + "b"; got != want {
		t.Errorf("after the crash: %q", got)
	}
}

// TestRewriteAfterFailedSync: what was written anew is durable.
func TestRewriteAfterFailedSync(t *testing.T) {
	m := NewMem()
	want := strings.Repeat("a", 3*sectorSize)
	f := create(t, m, "/f", want)
	must(t, m.SyncDir("/"))
	m.SetHook(func(op Op) error {
		if op.Kind == "Sync" {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync: %v", err)
	}
	m.SetHook(nil)
	if _, err := f.WriteAt([]byte(want[10:]), 10); err != nil {
		t.Fatal(err)
	}
	must(t, f.Sync())
	if got := content(t, m.Crash(rand.New(rand.NewPCG(1, 1))), "/f"); got != want {
		t.Errorf("after the crash: %q", got)
	}
}

// TestHook: faults come where they are asked for, and a crash ends everything.
func TestHook(t *testing.T) {
	m := NewMem()
	var ops []string
	m.SetHook(func(op Op) error {
		if op.N != len(ops) {
			t.Errorf("operation %d is numbered %d", len(ops), op.N)
		}
		ops = append(ops, op.Kind)
		switch len(ops) {
		case 2:
			return &ShortWrite{N: 2, Err: syscall.ENOSPC}
		case 3:
			return &ShortWrite{N: 1}
		case 5:
			return ErrCrashed
		}
		return nil
	})
	f, err := m.Create("/f")
	must(t, err)
	if n, err := f.Write([]byte("abc")); n != 2 || !IsNoSpace(err) {
		t.Errorf("a short write: %d, %v", n, err)
	}
	if n, err := f.Write([]byte("xyz")); n != 1 || err != nil {
		t.Errorf("a short write without an error: %d, %v", n, err)
	}
	must(t, f.Sync())
	if err := m.SyncDir("/"); !errors.Is(err, ErrCrashed) {
		t.Errorf("the crash: %v", err)
	}
	if _, err := f.Write([]byte("more")); !errors.Is(err, ErrCrashed) {
		t.Errorf("after the crash: %v", err)
	}
	if want := []string{"Create", "Write", "Write", "Sync", "SyncDir"}; !slices.Equal(ops, want) || m.Ops() != len(want) {
		t.Errorf("%d operations: %v", m.Ops(), ops)
	}
	for seed := range uint64(20) {
		after := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if _, err := after.Stat("/f"); err == nil {
			if got := content(t, after, "/f"); got != "abx" {
				t.Errorf("after the crash: %q", got)
			}
			return
		}
	}
	t.Error("20 crashes never kept the name")
}

// TestCrashIsRepeatable: the same seed leaves the same files.
func TestCrashIsRepeatable(t *testing.T) {
	build := func() *Mem {
		m := NewMem()
		for i := range 20 {
			create(t, m, fmt.Sprintf("/%d", i), strings.Repeat("x", 700))
		}
		return m
	}
	var first []byte
	for range 5 {
		after := build().Crash(rand.New(rand.NewPCG(7, 7)))
		entries, err := after.ReadDir("/")
		must(t, err)
		var all []byte
		for _, e := range entries {
			all = append(all, e.Name()+"="+content(t, after, "/"+e.Name())...)
		}
		if first == nil {
			first = all
		} else if !bytes.Equal(all, first) {
			t.Fatal("the same seed left something else")
		}
	}
}

// TestLockEndsWithTheProcess: a crash releases locks.
func TestLockEndsWithTheProcess(t *testing.T) {
	m := NewMem()
	_, err := m.Lock("/LOCK")
	must(t, err)
	_, err = m.Crash(rand.New(rand.NewPCG(1, 1))).Lock("/LOCK")
	must(t, err)
}

func TestIsNoSpace(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ENOSPC: true,
		&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}: true,
		syscall.EIO: false,
		io.EOF:      false,
	} {
		if IsNoSpace(err) != want {
			t.Errorf("IsNoSpace(%v) = %t", err, !want)
		}
	}
	if IsNoSpace(nil) {
		t.Error("IsNoSpace(nil) is true")
	}
}
