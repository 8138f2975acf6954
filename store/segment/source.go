package segment

import (
	"context"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// source is a run of rows that a query evaluates as one: a head as it was at one
// moment, or a segment. A row is named by its number in the source.
type source interface {
	extent() *extent
	sorted() bool   // rows rise by (timestamp, partition, offset)
	rising() bool   // one partition, rows rise by offset
	resident() bool // columns are in memory anyway: reading them takes none

	// What can be told without reading columns.
	intRange(f event.Field) (lo, hi int64, err error)
	has(f event.Field) (bool, error)
	mayContain(f event.Field, v string) (bool, error)
	mayHold(id event.ID) bool
	// parts says where values that contain the piece, in any case, can lie: bit i
	// stands for the size rows from i*size on.
	parts(f event.Field, piece string) (mask uint64, size int, err error)
	dict(f event.Field) (*column.Strings, error)

	// eachCodes gives the codes of a coded column, page by page, as far as want
	// accepts them: see parquet.RowGroup.EachCodes. False: the column is to be
	// read as a whole.
	eachCodes(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, codes []uint32)) (bool, error)

	// eachStrings does the same for the strings of a plain column.
	eachStrings(ctx context.Context, f event.Field, want func(first, end int) bool, fn func(first int, values *column.Strings)) (bool, error)

	// Whole columns; what they return is shared and not to be changed.
	text(ctx context.Context, f event.Field) (*column.Text, error)
	ints(ctx context.Context, f event.Field) ([]int64, error)
	ids(ctx context.Context) ([]event.ID, error)

	// findIDs calls yield for every row that has one of ids, which are distinct,
	// until it returns false.
	findIDs(ctx context.Context, ids []event.ID, yield func(row uint32) bool) error

	// gather returns columns that hold the given rows with the given fields
	// (identity, timestamp, partition and offset always), and at which index
	// each of them lies; nil: row i at index i.
	gather(ctx context.Context, rows []uint32, fields event.FieldSet) (*column.Rows, []uint32, error)
}

// bounds are what a query asks for besides its filter.
type bounds struct {
	times        store.Range
	since, until event.Positions
	after        *store.Key
	newest       bool // after counts downwards
}

// touches reports whether events within x can lie within b.
func (b *bounds) touches(x *extent) bool {
	switch {
	case x.rows == 0, x.maxTime < b.times.From, x.minTime >= b.times.To && !b.times.Includes(x.minTime),
		b.since.Covers(x.to), b.until != nil && x.from.Covers(b.until):
		return false
	case b.after == nil:
		return true
	case b.newest:
		return x.minTime <= b.after.Timestamp
	}
	return x.maxTime >= b.after.Timestamp
}

// view is the sources of one moment, in stream order. It holds the segments'
// files until it is released.
type view struct {
	sources []source
	held    []*segment
}

// acquire returns the sources that want accepts; nil accepts all.
func (s *Store) acquire(want func(*extent) bool) *view {
	v, heads := s.acquireParts(want)
	for _, h := range heads {
		if hv := h.snapshot(); hv.cols.N > 0 && (want == nil || want(&hv.bounds)) {
			v.sources = append(v.sources, hv)
		}
	}
	return v
}

// acquireParts returns the segments that want accepts, and the heads, all of the
// same moment.
func (s *Store) acquireParts(want func(*extent) bool) (*view, []*head) {
	v := new(view)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, seg := range s.segments {
		if want == nil || want(&seg.bounds) {
			seg.retain()
			v.held = append(v.held, seg)
			v.sources = append(v.sources, seg)
		}
	}
	return v, s.heads()
}

func (v *view) release() {
	for _, seg := range v.held {
		seg.release()
	}
	v.held = nil
}
