package segment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/parquet"
)

// Names in the store's folder.
const (
	manifestName  = "MANIFEST"
	tempSuffix    = ".tmp"
	fileSuffix    = ".parquet"
	damagedSuffix = ".damaged"
	orphanSuffix  = ".orphan"
)

const (
	manifestVersion = 2                               // 1 had no log
	manifestHeader  = "daybook-manifest %d %08x %d\n" // version, CRC32C, length of what follows
	maxManifest     = 1 << 30
)

// manifest says what the store holds. Once made it does not change: a change is
// a new one.
type manifest struct {
	Generation uint64          `json:"generation"` // one more with every change
	NextFile   uint64          `json:"next_file"`  // number of the next segment file
	Log        event.LogID     `json:"log"`        // the log that positions count in; zero before the first Follow
	Reached    event.Positions `json:"reached"`    // everything before is in Segments, was in Damaged, or expired
	Segments   []meta          `json:"segments"`   // in stream order
	Damaged    []lost          `json:"damaged"`    // what was set aside and not restored, in stream order
}

// meta is what the manifest knows of a segment.
type meta struct {
	File        string          `json:"file"`
	Parquet     parquet.Info    `json:"parquet"`
	From        event.Positions `json:"from"` // it holds what the stream has from here
	To          event.Positions `json:"to"`   // to before here
	MinTime     int64           `json:"min_time"`
	MaxTime     int64           `json:"max_time"`
	MinReceived int64           `json:"min_received"`
	MaxReceived int64           `json:"max_received"`
	MinV7       uuid            `json:"min_v7"`       // least UUIDv7 among the identities
	MaxV7       uuid            `json:"max_v7"`       // greatest; zero when there is none
	OtherIDs    int64           `json:"other_ids"`    // how many are no UUIDv7
	Memory      int64           `json:"memory_bytes"` // of its rows, decoded, without dictionaries
	Text        int64           `json:"text_bytes"`   // of its texts, each written out: see maxWritten
	Rising      bool            `json:"rising"`       // one partition, rows rise by offset as well as by time
}

// lost is a piece of the stream whose rows were in a damaged segment.
type lost struct {
	File   string          `json:"file"` // now called File + ".damaged", unless it was missing
	Reason string          `json:"reason"`
	Rows   int64           `json:"rows"` // not restored yet
	From   event.Positions `json:"from"`
	To     event.Positions `json:"to"`
}

// uuid is an identity that is written as its 36-character form, "" when zero.
type uuid event.ID

// MarshalText implements encoding.TextMarshaler.
func (u uuid) MarshalText() ([]byte, error) {
	if event.ID(u).IsZero() {
		return nil, nil
	}
	return event.ID(u).Append(nil), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *uuid) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = uuid{}
		return nil
	}
	id, ok := event.ParseID(text)
	if !ok {
		return fmt.Errorf("%q is no UUID", text)
	}
	*u = uuid(id)
	return nil
}

// clone returns a copy of m whose slices may be changed.
func (m *manifest) clone() *manifest {
	c := *m
	c.Reached = m.Reached.Clone()
	c.Segments = slices.Clone(m.Segments)
	c.Damaged = slices.Clone(m.Damaged)
	return &c
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns m as it stands in the file.
func (m *manifest) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	return append(fmt.Appendf(nil, manifestHeader, manifestVersion, crc32.Checksum(body, castagnoli), len(body)), body...), nil
}

// decodeManifest reads what encode wrote.
func decodeManifest(data []byte) (*manifest, error) {
	var version, size int
	var crc uint32
	head, body, _ := bytes.Cut(data, []byte("\n"))
	if _, err := fmt.Sscanf(string(head), manifestHeader, &version, &crc, &size); err != nil {
		return nil, errors.New("its first line is not that of a manifest")
	}
	if version < 1 || version > manifestVersion {
		return nil, fmt.Errorf("it has version %d, this program reads versions 1 to %d", version, manifestVersion)
	}
	if len(body) != size {
		return nil, fmt.Errorf("it has %d bytes after the first line, not %d", len(body), size)
	}
	if sum := crc32.Checksum(body, castagnoli); sum != crc {
		return nil, fmt.Errorf("it has checksum %08x, not %08x", sum, crc)
	}
	m := new(manifest)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

// check refuses what no store writes, so that the rest may rely on it.
func (m *manifest) check() error {
	var end event.Positions
	for i := range m.Segments {
		x := &m.Segments[i]
		switch {
		case filepath.Base(x.File) != x.File || filepath.Ext(x.File) != fileSuffix:
			return fmt.Errorf("segment %d has the file name %q", i, x.File)
		case !x.From.Covers(end) || !x.To.Covers(x.From) || !m.Reached.Covers(x.To):
			return fmt.Errorf("segment %s, from %v to %v, is not in stream order", x.File, x.From, x.To)
		case x.Parquet.Rows < 1 || x.Parquet.Size < 1:
			return fmt.Errorf("segment %s has %d rows in %d bytes", x.File, x.Parquet.Rows, x.Parquet.Size)
		}
		end = x.To
	}
	for _, d := range m.Damaged {
		if filepath.Base(d.File) != d.File || !d.To.Covers(d.From) {
			return fmt.Errorf("damaged file %q from %v to %v", d.File, d.From, d.To)
		}
	}
	return nil
}

// readManifest returns the manifest in dir; an error that wraps fs.ErrNotExist
// when there is none.
func readManifest(fsys vfs.FS, dir string) (m *manifest, err error) {
	name := filepath.Join(dir, manifestName)
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxManifest {
		return nil, fmt.Errorf("%s has %d bytes; a manifest has at most %d", name, size, maxManifest)
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if m, err = decodeManifest(data); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; restore it from a backup, or move the folder away to rebuild the store from the stream", name, err)
	}
	return m, nil
}

// writeManifest puts m in the place of dir's manifest. sure reports whether, on
// an error, the old one is certainly still there: once the rename was tried, a
// crash may leave either.
func writeManifest(fsys vfs.FS, dir string, m *manifest) (sure bool, err error) {
	data, err := m.encode()
	if err != nil {
		return true, err
	}
	name := filepath.Join(dir, manifestName)
	temp := name + tempSuffix
	if err := removeIfExists(fsys, temp); err != nil {
		return true, err
	}
	if err := writeFile(fsys, temp, data); err != nil {
		return true, err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return false, err
	}
	return false, fsys.SyncDir(dir)
}

// writeFile makes a file with the given content, and syncs it.
func writeFile(fsys vfs.FS, name string, data []byte) (err error) {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfExists(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
