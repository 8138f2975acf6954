package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// Report is what Check found.
type Report struct {
	Log       event.LogID     // zero for none
	Committed event.Positions // see Store.Committed
	Manifest  bool            // there is one, and it can be read
	Segments  int             // that the manifest names, or, without one, that are there
	Events    int64           // in these, damaged ones included
	Bytes     int64
	Findings  []Finding
	Leftovers []string // files that the next start removes, unless they are being written
}

// Kind says how a finding is to be taken.
type Kind int

// The kinds of findings.
const (
	// Damaged: a file is not what was written, or is missing.
	Damaged Kind = iota
	// Missing: a piece that was set aside before and is not restored yet.
	Missing
	// Kept: a file that the manifest does not name and no start removes: a damaged
	// segment that was restored since, or one that was not known at a start.
	Kept
)

// Finding is one thing that is wrong with a store.
type Finding struct {
	File   string // its path
	Offset int64  // byte in File; -1 when it is the file as a whole
	Reason string
	Kind   Kind

	// What the file holds or held; zero when it is no segment.
	Events           int64
	From, To         event.Positions
	MinTime, MaxTime int64 // timestamps, ns since the Unix epoch; both 0 when they are not known
}

// CheckOptions of Check.
type CheckOptions struct {
	// Progress, if it is set, is told now and then what was read since it was told
	// before.
	Progress func(events, bytes int64)
}

// Check reads all of a store and verifies every byte, what the manifest, the
// statistics and the filters say of the events, and that no two events have the
// same place or, within [window] of each other, the same identity. It changes
// nothing and takes no lock, so that the store may be in use: what is frozen,
// merged or dropped meanwhile is no finding. Damage is a finding and not an error;
// a folder that is not there is an error.
//
// It needs some 150 MB of memory, most of it for comparing identities, and twice
// as much where most IDs are in use by several tenants. For that, IDs are read once
// more; unless they rise with time, once more for each idsPerPass events.
func Check(ctx context.Context, fsys vfs.FS, dir string, o CheckOptions) (*Report, error) {
	if _, err := fsys.Stat(dir); err != nil {
		return nil, fmt.Errorf("check store folder: %w", err)
	}
	c := &checker{ctx: ctx, fs: fsys, dir: dir, opts: o, cache: parquet.NewCache(0), done: make(map[string]bool)}
	m, err := readManifest(fsys, dir)
	if err != nil {
		return &c.report, c.withoutManifest(err)
	}
	c.report.Manifest = true
	if m, err = c.segments(m); err != nil {
		return nil, err
	}
	if err := c.identities(m); err != nil {
		return nil, err
	}
	c.conclude(m)
	return &c.report, c.otherFiles(m)
}

// Committed returns up to where the store in dir holds the stream, as
// [Store.Committed] does, of a store that nobody need have open.
func Committed(fsys vfs.FS, dir string) (event.Positions, error) {
	m, err := readManifest(fsys, dir)
	if err != nil {
		return nil, err
	}
	return m.Reached, nil
}

// checker is one check of a store.
type checker struct {
	ctx    context.Context
	fs     vfs.FS
	dir    string
	opts   CheckOptions
	cache  *parquet.Cache
	report Report
	done   map[string]bool // segments that were verified
	sample []event.ID      // of all IDs, every sampleEvery-th
}

func (c *checker) path(file string) string { return filepath.Join(c.dir, file) }

func (c *checker) progress(m *meta) {
	if c.opts.Progress != nil {
		c.opts.Progress(m.Parquet.Rows, m.Parquet.Size)
	}
}

// segments verifies what m names and what takes its place meanwhile, and returns
// the last manifest that it saw. What comes after m in the stream is left out.
func (c *checker) segments(m *manifest) (*manifest, error) {
	until := m.Reached
	for {
		found := false
		for i := range m.Segments {
			x := &m.Segments[i]
			if c.done[x.File] || x.From.Covers(until) {
				continue
			}
			found, c.done[x.File] = true, true
			f, err := c.segment(x)
			if err != nil {
				return nil, err
			}
			if f != nil {
				c.report.Findings = append(c.report.Findings, *f)
			}
			c.progress(x)
		}
		next, err := readManifest(c.fs, c.dir)
		if err != nil {
			return nil, err
		}
		if m = next; !found {
			return m, nil
		}
	}
}

// segment verifies one segment, and returns what is wrong with it, or nil.
func (c *checker) segment(m *meta) (*Finding, error) {
	err := c.verify(m)
	if c.ctx.Err() != nil {
		return nil, c.ctx.Err()
	}
	if err == nil {
		return nil, nil
	}
	f := &Finding{File: c.path(m.File), Offset: -1, Reason: err.Error(),
		Events: m.Parquet.Rows, From: m.From, To: m.To, MinTime: m.MinTime, MaxTime: m.MaxTime}
	var damage *parquet.DamageError
	var unread *parquet.ReadError
	switch {
	case errors.As(err, &damage):
		f.Offset, f.Reason = damage.Offset, damage.Reason
	case errors.As(err, &unread):
		f.Offset, f.Reason = unread.Offset, "it cannot be read: "+unread.Err.Error()
	case errors.Is(err, fs.ErrNotExist):
		f.Reason = "the file is missing"
	}
	return f, nil
}

// verify reads all of a segment.
func (c *checker) verify(m *meta) error {
	return c.open(m, func(g *parquet.RowGroup) error {
		rows, err := g.Verify(c.ctx)
		if err != nil {
			return err
		}
		for i := sampleEvery - 1; i < rows.N; i += sampleEvery {
			c.sample = append(c.sample, rows.IDs[i])
		}
		if reason := m.contradiction(rows); reason != "" {
			return &parquet.DamageError{File: m.File, Offset: -1, Reason: reason}
		}
		return nil
	})
}

// open calls do with the row group of a segment.
func (c *checker) open(m *meta, do func(g *parquet.RowGroup) error) (err error) {
	f, err := c.fs.Open(c.path(m.File))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size != m.Parquet.Size {
		return &parquet.DamageError{File: m.File, Offset: -1, Reason: fmt.Sprintf("the file has %d bytes, not %d", size, m.Parquet.Size)}
	}
	pf, err := parquet.Open(path.Join(filepath.Base(c.dir), m.File), f, m.Parquet, c.cache)
	if err != nil {
		return err
	}
	if n := len(pf.RowGroups()); n != 1 {
		return &parquet.DamageError{File: m.File, Offset: -1, Reason: fmt.Sprintf("it has %d row groups, not one", n)}
	}
	return do(pf.RowGroups()[0])
}

// contradiction returns what of m is not so of its rows, or "".
func (m *meta) contradiction(rows *column.Rows) string {
	is := describe(rows)
	switch {
	case is.MinTime != m.MinTime || is.MaxTime != m.MaxTime:
		return "the manifest says another time of its events"
	case is.MinReceived != m.MinReceived || is.MaxReceived != m.MaxReceived:
		return "the manifest says another time at which its events were received"
	case is.MinV7 != m.MinV7 || is.MaxV7 != m.MaxV7 || is.OtherIDs != m.OtherIDs:
		return "the manifest says another range of its identities"
	case is.Rising != m.Rising:
		return "the manifest says another order of its events"
	}
	positions := make([]event.Position, rows.N)
	for i := range positions {
		key := keyAt(rows, i)
		positions[i] = key.Position
		if i > 0 && compareKeys(keyAt(rows, i-1), key) >= 0 {
			return fmt.Sprintf("row %d is not in order", i)
		}
		if m.From.Includes(key.Position) || !m.To.Includes(key.Position) {
			return fmt.Sprintf("row %d lies at offset %d of partition %d, outside of the segment's piece of the stream", i, key.Position.Offset, key.Position.Partition)
		}
	}
	slices.SortFunc(positions, comparePositions)
	for i := 1; i < len(positions); i++ {
		if positions[i] == positions[i-1] {
			return fmt.Sprintf("offset %d of partition %d is there twice", positions[i].Offset, positions[i].Partition)
		}
	}
	return ""
}

func comparePositions(a, b event.Position) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// conclude drops the findings about what m, the last manifest, no longer names,
// and adds what m says itself.
func (c *checker) conclude(m *manifest) {
	r := &c.report
	r.Log, r.Committed, r.Segments = m.Log, m.Reached, len(m.Segments)
	named := make(map[string]bool)
	for i := range m.Segments {
		x := &m.Segments[i]
		named[c.path(x.File)] = true
		r.Events += x.Parquet.Rows
		r.Bytes += x.Parquet.Size
		for _, d := range m.Damaged {
			if !d.From.Covers(x.To) && !x.From.Covers(d.To) {
				r.Findings = append(r.Findings, Finding{File: c.path(manifestName), Offset: -1,
					Reason: fmt.Sprintf("segment %s and the missing piece from %v to %v overlap", x.File, d.From, d.To)})
				named[c.path(manifestName)] = true
			}
		}
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return !named[f.File] })
	for _, d := range m.Damaged {
		r.Findings = append(r.Findings, Finding{File: c.path(d.File), Offset: -1, Reason: "it was set aside: " + d.Reason,
			Kind: Missing, Events: d.Rows, From: d.From, To: d.To})
	}
}

// otherFiles looks at the files that m does not name.
func (c *checker) otherFiles(m *manifest) error {
	entries, err := c.fs.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list store folder: %w", err)
	}
	pending := make(map[string]bool) // set aside, and renamed with the last query
	for _, x := range m.Segments {
		pending[x.File] = true
	}
	for _, d := range m.Damaged {
		pending[d.File], pending[d.File+damagedSuffix] = true, true
	}
	for _, e := range entries {
		name := e.Name()
		_, ours := fileNumber(name)
		switch ext := filepath.Ext(name); {
		case pending[name] || !ours && name != manifestName+tempSuffix:
		case ext == tempSuffix || ext == fileSuffix:
			c.report.Leftovers = append(c.report.Leftovers, name)
		case ext == damagedSuffix:
			c.keep(name, "it was set aside, and its events were restored since; it may be removed")
		case ext == orphanSuffix:
			c.keep(name, "the manifest did not know it at a start; its events may be missing")
		}
	}
	return nil
}

// keep adds the finding that a file is kept.
func (c *checker) keep(name, reason string) {
	f := Finding{File: c.path(name), Offset: -1, Reason: reason, Kind: Kept}
	if m, err := c.inspect(name); err == nil {
		f.Events, f.From, f.To, f.MinTime, f.MaxTime = m.Parquet.Rows, m.From, m.To, m.MinTime, m.MaxTime
	}
	c.report.Findings = append(c.report.Findings, f)
}

// inspect verifies a segment of which there is no manifest, and says what it
// holds.
func (c *checker) inspect(name string) (*meta, error) {
	m := &meta{File: name}
	f, err := c.fs.Open(c.path(name))
	if err != nil {
		return m, err
	}
	size, err := f.Size()
	if err == nil {
		m.Parquet, err = parquet.Inspect(path.Join(filepath.Base(c.dir), name), f, size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	return m, c.open(m, func(g *parquet.RowGroup) error {
		rows, err := g.Verify(c.ctx)
		if err != nil {
			return err
		}
		parquetInfo := m.Parquet
		*m = describe(rows)
		m.File, m.Parquet = name, parquetInfo
		for i := range rows.N {
			p := keyAt(rows, i).Position
			for int(p.Partition) >= len(m.From) {
				m.From = append(m.From, -1)
			}
			if at := m.From[p.Partition]; at < 0 || p.Offset < at {
				m.From[p.Partition] = p.Offset
			}
			m.To = m.To.Advance(p.Partition, p.Offset+1)
		}
		for p := range m.From {
			m.From[p] = max(m.From[p], 0)
		}
		return nil
	})
}

// withoutManifest reports that the manifest cannot be read, which cause says, and
// what can be read without it.
func (c *checker) withoutManifest(cause error) error {
	entries, err := c.fs.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list store folder: %w", err)
	}
	of := Finding{File: c.path(manifestName), Offset: -1}
	for _, e := range entries {
		if _, ours := fileNumber(e.Name()); !ours || !strings.HasSuffix(e.Name(), fileSuffix) {
			continue
		}
		c.report.Segments++
		m, err := c.inspect(e.Name())
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.progress(m)
		if err != nil {
			f := Finding{File: c.path(e.Name()), Offset: -1, Reason: err.Error(), Events: m.Parquet.Rows}
			if damage := (*parquet.DamageError)(nil); errors.As(err, &damage) {
				f.Offset, f.Reason = damage.Offset, damage.Reason
			}
			c.report.Findings = append(c.report.Findings, f)
			continue
		}
		of.include(m)
		c.report.Events += m.Parquet.Rows
		c.report.Bytes += m.Parquet.Size
	}
	if errors.Is(cause, fs.ErrNotExist) {
		if c.report.Segments == 0 {
			return nil // a new store
		}
		cause = errors.New("the file is missing")
	}
	of.Reason = cause.Error()
	c.report.Findings = append(c.report.Findings, of)
	return nil
}

// include widens f, of a manifest that cannot be read, by what a segment holds.
func (f *Finding) include(m *meta) {
	if f.Events == 0 {
		f.From, f.MinTime, f.MaxTime = m.From.Clone(), m.MinTime, m.MaxTime
	}
	f.Events += m.Parquet.Rows
	f.MinTime, f.MaxTime = min(f.MinTime, m.MinTime), max(f.MaxTime, m.MaxTime)
	for p, offset := range m.From {
		if p < len(f.From) {
			f.From[p] = min(f.From[p], offset)
		}
	}
	for p, offset := range m.To {
		f.To = f.To.Advance(int32(p), offset)
	}
}
