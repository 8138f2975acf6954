package segment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// segment is a source over a Parquet file of one row group. The file is opened
// and its tail verified when it is first needed, so that opening the store costs
// the same however much it holds.
type segment struct {
	meta
	bounds extent
	store  *Store

	refs atomic.Int64 // one for the store, one for each view
	fate atomic.Int32 // what becomes of the file with the last of refs

	group atomic.Pointer[parquet.RowGroup]
	mu    vfs.Mutex
	file  vfs.File // guarded by mu

	filter dedupe
}

// What becomes of a segment's file when nobody uses it any more.
const (
	keep int32 = iota
	remove
	setAside
)

func newSegment(s *Store, m meta) *segment {
	seg := &segment{meta: m, store: s, mu: vfs.NewMutex(), filter: dedupe{mu: vfs.NewMutex()}, bounds: extent{
		from: m.From, to: m.To, rows: int(m.Parquet.Rows),
		minTime: m.MinTime, maxTime: m.MaxTime, minReceived: m.MinReceived, maxReceived: m.MaxReceived,
	}}
	seg.refs.Store(1)
	return seg
}

// name returns the file's name below the data folder, for people.
func (g *segment) name() string { return g.store.display(g.File) }

func (g *segment) retain() { g.refs.Add(1) }

// release gives a reference back. The last one closes the file.
func (g *segment) release() {
	if g.refs.Add(-1) > 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.file != nil {
		if err := g.file.Close(); err != nil {
			g.store.log.Warn("closing a segment failed", "file", g.name(), "error", err)
		}
		g.file = nil
	}
	g.dropFilter()
	path := filepath.Join(g.store.dir, g.File)
	var err error
	switch g.fate.Load() {
	case remove:
		err = g.store.fs.Remove(path)
	case setAside:
		err = g.store.fs.Rename(path, path+damagedSuffix)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The manifest does not name it: it goes when the store is opened again.
		g.store.log.Warn("clearing away a segment's file failed", "file", g.name(), "error", err)
	}
}

// rowGroup returns the file's row group, opening the file when it is the first to
// ask.
func (g *segment) rowGroup() (*parquet.RowGroup, error) {
	if rg := g.group.Load(); rg != nil {
		return rg, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if rg := g.group.Load(); rg != nil {
		return rg, nil
	}
	f, err := g.store.fs.Open(filepath.Join(g.store.dir, g.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, g.check(&parquet.DamageError{File: g.name(), Offset: -1, Reason: "the file is missing"})
	}
	if err != nil {
		return nil, err
	}
	pf, err := parquet.Open(g.name(), f, g.Parquet, g.store.cache)
	if err == nil && len(pf.RowGroups()) != 1 {
		err = &parquet.DamageError{File: g.name(), Offset: -1, Reason: fmt.Sprintf("it has %d row groups, not one", len(pf.RowGroups()))}
	}
	if err != nil {
		return nil, g.check(errors.Join(err, f.Close()))
	}
	g.file = f
	g.group.Store(pf.RowGroups()[0])
	return pf.RowGroups()[0], nil
}

// check passes err on. Damage, and that the file cannot be read, is reported to the
// store, which sets the segment aside; the query that met it fails.
func (g *segment) check(err error) error {
	var damage *parquet.DamageError
	var unread *parquet.ReadError
	if errors.As(err, &damage) || errors.As(err, &unread) {
		g.store.suspect(g, damage)
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return err
}

// verify reads the whole file, past the cache.
func (g *segment) verify(ctx context.Context) (err error) {
	f, err := g.store.fs.Open(filepath.Join(g.store.dir, g.File))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	pf, err := parquet.Open(g.name(), f, g.Parquet, nil)
	if err != nil {
		return err
	}
	return pf.Verify(ctx)
}

func (g *segment) extent() *extent { return &g.bounds }
func (g *segment) sorted() bool    { return true }
func (g *segment) rising() bool    { return g.Rising }
func (g *segment) resident() bool  { return false }

func (g *segment) intRange(f event.Field) (lo, hi int64, err error) {
	switch f {
	case event.Timestamp:
		return g.MinTime, g.MaxTime, nil
	case event.ReceivedAt:
		return g.MinReceived, g.MaxReceived, nil
	}
	rg, err := g.rowGroup()
	if err != nil {
		return 0, 0, err
	}
	lo, hi = rg.IntRange(f)
	return lo, hi, nil
}

func (g *segment) has(f event.Field) (bool, error) {
	rg, err := g.rowGroup()
	return err == nil && rg.Has(f), err
}

func (g *segment) mayContain(f event.Field, v string) (bool, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return false, err
	}
	may, err := rg.MayContain(f, v)
	return may, g.check(err)
}

// mayHold reports whether id can be among the segment's, by their range.
func (g *segment) mayHold(id event.ID) bool {
	if id.Version() != 7 {
		return g.OtherIDs > 0
	}
	return !less(id, event.ID(g.MinV7)) && !less(event.ID(g.MaxV7), id)
}

func (g *segment) parts(f event.Field, piece string) (uint64, int, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return 0, 0, err
	}
	mask, err := rg.Parts(f, piece)
	return mask, rg.PartRows(), g.check(err)
}

func (g *segment) dict(f event.Field) (*column.Strings, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return nil, err
	}
	d, err := rg.Dict(f)
	return d, g.check(err)
}

func (g *segment) eachCodes(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, codes []uint32)) (bool, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return false, err
	}
	done, err := rg.EachCodes(ctx, f, want, fn)
	return done, g.check(err)
}

func (g *segment) eachStrings(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, values *column.Strings)) (bool, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return false, err
	}
	done, err := rg.EachStrings(ctx, f, want, fn)
	return done, g.check(err)
}

func (g *segment) text(ctx context.Context, f event.Field) (*column.Text, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return nil, err
	}
	t, err := rg.Text(ctx, f)
	return t, g.check(err)
}

func (g *segment) ints(ctx context.Context, f event.Field) ([]int64, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return nil, err
	}
	vs, err := rg.Ints(ctx, f)
	return vs, g.check(err)
}

func (g *segment) ids(ctx context.Context) ([]event.ID, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return nil, err
	}
	ids, err := rg.IDs(ctx)
	return ids, g.check(err)
}

func (g *segment) findIDs(ctx context.Context, ids []event.ID, yield func(row uint32) bool) error {
	rg, err := g.rowGroup()
	if err != nil {
		return err
	}
	return g.check(rg.FindIDs(ctx, ids, yield))
}

func (g *segment) gather(ctx context.Context, rows []uint32, fields event.FieldSet) (*column.Rows, []uint32, error) {
	rg, err := g.rowGroup()
	if err != nil {
		return nil, nil, err
	}
	cols, err := rg.Gather(ctx, rows, fields)
	return cols, nil, g.check(err)
}

// less orders identities bytewise.
func less(a, b event.ID) bool { return string(a[:]) < string(b[:]) }

// writeSegment writes rows, which are sorted, to a file of its own and returns
// what the manifest is to know of it. Nothing refers to the file until then.
func (s *Store) writeSegment(rows *column.Rows, from, to event.Positions) (m meta, err error) {
	name := fmt.Sprintf("%012d%s", s.nextFile.Add(1)-1, fileSuffix)
	path := filepath.Join(s.dir, name)
	temp := path + tempSuffix
	f, err := s.fs.Create(temp)
	if err != nil {
		return meta{}, err
	}
	info, err := writeParquet(f, rows)
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(temp, path)
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return meta{}, errors.Join(err, removeIfExists(s.fs, temp), removeIfExists(s.fs, path))
	}
	m = describe(rows)
	m.File, m.Parquet, m.From, m.To = name, info, from, to
	return m, nil
}

// writeParquet writes rows as one row group and syncs f.
func writeParquet(f vfs.File, rows *column.Rows) (parquet.Info, error) {
	buf := bufio.NewWriterSize(f, 256<<10)
	w := parquet.NewWriter(buf)
	if err := w.WriteRowGroup(rows); err != nil {
		return parquet.Info{}, err
	}
	info, err := w.Close()
	if err != nil {
		return parquet.Info{}, err
	}
	if err := buf.Flush(); err != nil {
		return parquet.Info{}, err
	}
	return info, f.Sync()
}

// describe returns the part of the metadata that rows, which are sorted, tell.
func describe(rows *column.Rows) meta {
	m := meta{
		MinTime: rows.Timestamps[0], MaxTime: rows.Timestamps[rows.N-1],
		MinReceived: slices.Min(rows.ReceivedAt), MaxReceived: slices.Max(rows.ReceivedAt),
		Memory: rowsBytes(rows), Rising: true,
	}
	lo, hi := event.ID{}, event.ID{}
	for i := range lo {
		lo[i] = math.MaxUint8
	}
	for _, id := range rows.IDs {
		if id.Version() != 7 {
			m.OtherIDs++
			continue
		}
		if less(id, lo) {
			lo = id
		}
		if less(hi, id) {
			hi = id
		}
	}
	if m.OtherIDs < int64(rows.N) {
		m.MinV7, m.MaxV7 = uuid(lo), uuid(hi)
	}
	for f := range rows.Text {
		m.Text += rows.Text[f].Written()
	}
	for _, p := range rows.Partitions {
		m.Rising = m.Rising && p == 0
	}
	for i := 1; i < rows.N && m.Rising; i++ {
		m.Rising = rows.Offsets[i-1] < rows.Offsets[i]
	}
	return m
}

// sortRows returns rows by (timestamp, partition, offset): rows itself when they
// are so already.
func sortRows(rows *column.Rows) *column.Rows {
	type placed struct {
		time int64
		row  uint32
	}
	list := make([]placed, rows.N)
	inOrder := true
	for i, t := range rows.Timestamps {
		list[i] = placed{t, uint32(i)}
		inOrder = inOrder && (i == 0 || compareKeys(keyAt(rows, i-1), keyAt(rows, i)) < 0)
	}
	if inOrder {
		return rows
	}
	slices.SortFunc(list, func(a, b placed) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return compareKeys(keyAt(rows, int(a.row)), keyAt(rows, int(b.row)))
	})
	order := make([]uint32, rows.N)
	for i, p := range list {
		order[i] = p.row
	}
	out := &column.Rows{
		N: rows.N, IDs: gather(rows.IDs, order), Timestamps: gather(rows.Timestamps, order),
		ReceivedAt: gather(rows.ReceivedAt, order), Partitions: gather(rows.Partitions, order), Offsets: gather(rows.Offsets, order),
	}
	for f := range rows.Text {
		if rows.Text[f].Rows > 0 {
			out.Text[f] = column.Gather(&rows.Text[f], order)
		}
	}
	return out
}

// gather returns the values at the given indices; nil of nil.
func gather[T any](vs []T, at []uint32) []T {
	if vs == nil {
		return nil
	}
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = vs[j]
	}
	return out
}

var (
	_ source      = (*segment)(nil)
	_ source      = (*headView)(nil)
	_ store.Store = (*Store)(nil)
)
