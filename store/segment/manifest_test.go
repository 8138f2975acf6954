package segment

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/parquet"
)

var update = flag.Bool("update", false, "write golden files anew")

func exampleManifest() *manifest {
	v7 := uuid{0x01, 0x98, 0x0c, 0x5e, 0x7a, 0x10, 0x7c, 0xc3, 0x98, 0xd2, 0x4f, 0x6a, 0x1b, 0x2c, 0x3d, 0x4e}
	return &manifest{
		Generation: 7, NextFile: 9, Log: event.LogID{0x6c, 0x1f, 0x0e, 0x5b, 0x2d, 0x9a, 0x48, 0x73}, Reached: event.Positions{900, 30},
		Segments: []meta{
			{File: "000000000003.parquet", Parquet: parquet.Info{Size: 4096, Rows: 100, TailOff: 4000, TailCRC: 0xdeadbeef},
				From: event.Positions{0}, To: event.Positions{100}, MinTime: -5, MaxTime: 1_795_000_000_000_000_000,
				MinReceived: 1, MaxReceived: 2, MinV7: v7, MaxV7: v7, OtherIDs: 3, Memory: 50_000, Text: 40_000, Rising: true},
			{File: "000000000008.parquet", Parquet: parquet.Info{Size: 100, Rows: 1, TailOff: 50, TailCRC: 1},
				From: event.Positions{400}, To: event.Positions{900, 30}, OtherIDs: 1},
		},
		Damaged: []lost{{File: "000000000004.parquet", Reason: "store/000000000004.parquet is damaged: the file is missing", Rows: 300, From: event.Positions{100}, To: event.Positions{400}}},
	}
}

func TestManifestGolden(t *testing.T) {
	got, err := exampleManifest().encode()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "manifest.golden")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the format has changed; it needs a new version number:\n%s\nwant\n%s", got, want)
	}
	m, err := decodeManifest(want)
	if err != nil || !reflect.DeepEqual(m, exampleManifest()) {
		t.Errorf("decoded %+v, %v", m, err)
	}
}

// What an earlier version wrote can be read. Version 1 had no log.
func TestManifestOfVersion1(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "manifest-1.golden"))
	if err != nil {
		t.Fatal(err)
	}
	want := exampleManifest()
	want.Log = event.LogID{}
	if m, err := decodeManifest(data); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("decoded %+v, %v", m, err)
	}
}

func TestManifestRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *manifest)
		damage func(b []byte) []byte
		want   string
	}{
		{name: "nothing", damage: func([]byte) []byte { return nil }, want: "first line"},
		{name: "cut", damage: func(b []byte) []byte { return b[:len(b)-1] }, want: "bytes after the first line"},
		{name: "bit", damage: func(b []byte) []byte { b[100] ^= 1; return b }, want: "checksum"},
		{name: "version", damage: func(b []byte) []byte { return bytes.Replace(b, []byte(" 2 "), []byte(" 3 "), 1) }, want: "version 3"},
		{name: "path", change: func(m *manifest) { m.Segments[0].File = "../x.parquet" }, want: "file name"},
		{name: "order", change: func(m *manifest) { m.Segments[1].From = event.Positions{99} }, want: "stream order"},
		{name: "beyond", change: func(m *manifest) { m.Reached = event.Positions{800, 30} }, want: "stream order"},
		{name: "rows", change: func(m *manifest) { m.Segments[0].Parquet.Rows = 0 }, want: "0 rows"},
		{name: "damaged", change: func(m *manifest) { m.Damaged[0].File = "a/b" }, want: "damaged file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := exampleManifest()
			if test.change != nil {
				test.change(m)
			}
			b, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			if test.damage != nil {
				b = test.damage(b)
			}
			if _, err := decodeManifest(b); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// A store remembers the log that it follows, also one from before it did.
func TestFollowIsDurable(t *testing.T) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(crashDir); err != nil {
		t.Fatal(err)
	}
	version1 := []byte(`{"generation":1,"next_file":1,"reached":[7],"segments":[],"damaged":null}` + "\n")
	header := fmt.Appendf(nil, manifestHeader, 1, crc32.Checksum(version1, castagnoli), len(version1))
	if err := writeFile(fsys, filepath.Join(crashDir, manifestName), append(header, version1...)); err != nil {
		t.Fatal(err)
	}
	mine := event.LogID{1}
	for _, log := range []event.LogID{mine, mine, {2}} {
		s, err := Open(fsys, crashDir, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Follow(log); errors.Is(err, store.ErrForeignLog) != (log != mine) || err != nil && log == mine {
			t.Errorf("follow %s: %v", log, err)
		}
		if got := s.Committed().At(0); got != 7 {
			t.Errorf("the store has reached %d, not 7", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fsys = fsys.Crash(rand.New(rand.NewPCG(1, 1)))
	}
}

func FuzzManifest(f *testing.F) {
	b, err := exampleManifest().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("daybook-manifest 1 00000000 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := decodeManifest(again); err != nil || !reflect.DeepEqual(m, m2) {
			t.Errorf("%+v became %+v, %v", m, m2, err)
		}
	})
}

// TestOpenRefuses: what cannot be a store is left alone.
func TestOpenRefuses(t *testing.T) {
	put := func(t *testing.T, fsys vfs.FS, name, content string) {
		t.Helper()
		if err := fsys.MkdirAll(crashDir); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(fsys, filepath.Join(crashDir, name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		do   func(t *testing.T, fsys vfs.FS)
		opts Options
		want string
	}{
		{"segments without a manifest", func(t *testing.T, fsys vfs.FS) { put(t, fsys, "000000000001.parquet", "x") }, Options{}, "no MANIFEST"},
		{"a damaged manifest", func(t *testing.T, fsys vfs.FS) { put(t, fsys, manifestName, "x") }, Options{}, "MANIFEST is damaged"},
		{"a folder in use", func(t *testing.T, fsys vfs.FS) {
			s, err := Open(fsys, crashDir, Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
		}, Options{}, "lock"},
		{"too large heads", func(*testing.T, vfs.FS) {}, Options{HeadRows: 1 << 20}, "1048576"},
		{"a negative age", func(*testing.T, vfs.FS) {}, Options{RetainAge: -1}, "-1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			test.do(t, fsys)
			if s, err := Open(fsys, crashDir, test.opts, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("open: %v, %v, want an error with %q", s, err, test.want)
			}
			entries, err := fsys.ReadDir("/data")
			if err != nil && test.opts == (Options{}) {
				t.Errorf("%v %v", entries, err)
			}
		})
	}
}

// Somebody puts an older manifest back, and keeps a file of another program in the
// folder: what the manifest does not know is not served, and not destroyed.
func TestOlderManifest(t *testing.T) {
	fsys := vfs.NewMem()
	st := newStream(8, 30)
	s, err := Open(fsys, crashDir, crashOptions, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(crashDir, manifestName)
	old, err := readManifest(fsys, crashDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.feed(t.Context(), s), s.Close()); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, seg := range s.manifest.Segments {
		files = append(files, seg.File+orphanSuffix)
	}
	files = append(files, "other.parquet", "notes.tmp")
	for _, f := range files[len(files)-2:] {
		if err := writeFile(fsys, filepath.Join(crashDir, f), []byte("not ours")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writeManifest(fsys, crashDir, old); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if s, err = Open(fsys, crashDir, crashOptions, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.Stats().Events; n != 0 {
		t.Errorf("%d events are served; the manifest knows none", n)
	}
	for _, f := range files {
		if _, err := fsys.Stat(filepath.Join(crashDir, f)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
