package parquet

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
)

const (
	// indexBytes is how much of a text's minimum and maximum stands in the page
	// index. They bound the page's values and need not be among them.
	indexBytes = 32
	// statBytes is the longest minimum and maximum that a column chunk keeps.
	// They are exact, since other tools may answer min() and max() with them;
	// where one is longer, there are none.
	statBytes = 256
)

// stats is what is known of the values of a page or a column chunk: the number
// of absent ones, and the least and greatest of the others.
type stats struct {
	nulls    int
	has      bool   // some value is present
	lo, hi   int64  // integers
	min, max string // texts and identities: shares the rows' memory
}

func (s *stats) addText(v string) {
	if !s.has {
		s.has, s.min, s.max = true, v, v
		return
	}
	if v < s.min {
		s.min = v
	} else if v > s.max {
		s.max = v
	}
}

// merge adds what is known of another page.
func (s *stats) merge(o *stats) {
	s.nulls += o.nulls
	switch {
	case !o.has:
	case !s.has:
		nulls := s.nulls
		*s = *o
		s.nulls = nulls
	default:
		s.lo, s.hi = min(s.lo, o.lo), max(s.hi, o.hi)
		s.min, s.max = min(s.min, o.min), max(s.max, o.max)
	}
}

// bounds returns the least and greatest value in the plain encoding of f.
func (s *stats) bounds(f event.Field) (lo, hi []byte) {
	switch {
	case !s.has:
		return nil, nil
	case physicalType(f) == format.Int64:
		return binary.LittleEndian.AppendUint64(nil, uint64(s.lo)), binary.LittleEndian.AppendUint64(nil, uint64(s.hi))
	case physicalType(f) == format.Int32:
		return binary.LittleEndian.AppendUint32(nil, uint32(s.lo)), binary.LittleEndian.AppendUint32(nil, uint32(s.hi))
	}
	return bytesOf(s.min), bytesOf(s.max)
}

// compare orders the pages of a column by one end of their range.
func compare(f event.Field, a, b int64, s, t string) int {
	if f.IsText() || f == event.EventID {
		return strings.Compare(s, t)
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// order tells whether the ranges of the pages rise or fall; pages without a
// value do not count.
func order(f event.Field, pages []page) format.BoundaryOrder {
	rises, falls := true, true
	var last *stats
	for i := range pages {
		s := &pages[i].stats
		if !s.has {
			continue
		}
		if last != nil {
			lo := compare(f, last.lo, s.lo, last.min, s.min)
			hi := compare(f, last.hi, s.hi, last.max, s.max)
			rises = rises && lo <= 0 && hi <= 0
			falls = falls && lo >= 0 && hi >= 0
		}
		last = s
	}
	switch {
	case rises:
		return format.Ascending
	case falls:
		return format.Descending
	}
	return format.Unordered
}

// lowerBound returns v shortened to at most n bytes, at the end of a character.
// It is no greater than v.
func lowerBound(v string, n int) string {
	if len(v) <= n {
		return v
	}
	for n > 0 && !utf8.RuneStart(v[n]) {
		n--
	}
	return v[:n]
}

// upperBound returns a text no less than v, of at most n bytes if there is one
// that is UTF-8 too; otherwise v.
func upperBound(v string, n int) string {
	if len(v) <= n {
		return v
	}
	short := lowerBound(v, n)
	for len(short) > 0 {
		r, size := utf8.DecodeLastRuneInString(short)
		short = short[:len(short)-size]
		if r == utf8.RuneError {
			continue
		}
		next := r + 1
		if next == 0xd800 { // the surrogates are no characters
			next = 0xe000
		}
		if next <= utf8.MaxRune && utf8.RuneLen(next) <= size {
			return short + string(next)
		}
	}
	return v
}

// columnIndex returns the page index entry about values.
func columnIndex(f event.Field, pages []page) *format.ColumnIndex {
	n := len(pages)
	ci := &format.ColumnIndex{
		NullPages:     make([]bool, n),
		MinValues:     make([][]byte, n),
		MaxValues:     make([][]byte, n),
		NullCounts:    make([]int64, n),
		BoundaryOrder: order(f, pages),
	}
	for i := range pages {
		s := pages[i].stats
		ci.NullPages[i] = !s.has
		ci.NullCounts[i] = int64(s.nulls)
		if f.IsText() && s.has {
			s.min, s.max = lowerBound(s.min, indexBytes), upperBound(s.max, indexBytes)
		}
		ci.MinValues[i], ci.MaxValues[i] = s.bounds(f)
	}
	return ci
}

// chunkStatistics returns the statistics of a whole column chunk.
func chunkStatistics(f event.Field, s *stats) format.Statistics {
	out := format.Statistics{NullCount: int64(s.nulls)}
	if s.has && max(len(s.min), len(s.max)) <= statBytes {
		lo, hi := s.bounds(f)
		out.MinValue, out.MaxValue = slices.Clone(lo), slices.Clone(hi)
	}
	return out
}

// bytesOf returns the bytes of v, which must not be changed.
func bytesOf(v string) []byte { return unsafe.Slice(unsafe.StringData(v), len(v)) }

// stringOf returns b as a string, valid as long as b is unchanged.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
