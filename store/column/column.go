// Package column holds the values of one field for a run of rows, the way both
// the head in memory and a row group read from a Parquet file hold them, so that
// one evaluator, one counter and one writer serve both.
//
// A text column is either coded (a dictionary and a code per row; code 0 is the
// absent value) or plain (the strings one after the other). Nothing in a column
// holds a pointer per row, so the garbage collector has nothing to walk.
package column

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/daybook-log/daybook/event"
)

// MaxData is how many bytes one Strings can hold: its ends are 32 bits wide.
const MaxData = math.MaxUint32

// Strings is a list of strings in one piece of memory. String i is
// Data[Ends[i-1]:Ends[i]].
type Strings struct {
	Data []byte
	Ends []uint32
}

// Len returns the number of strings.
func (s *Strings) Len() int { return len(s.Ends) }

// At returns string i without copying it: it is valid as long as s's memory is
// unchanged.
func (s *Strings) At(i int) string {
	end := s.Ends[i]
	start := uint32(0)
	if i > 0 {
		start = s.Ends[i-1]
	}
	b := s.Data[start:end]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Joined returns strings from to to-1 in one piece, without anything between them.
func (s *Strings) Joined(from, to int) string {
	if from >= to {
		return ""
	}
	start := uint32(0)
	if from > 0 {
		start = s.Ends[from-1]
	}
	b := s.Data[start:s.Ends[to-1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Append adds a string. It panics if the strings would be more than [MaxData]
// bytes together: whoever gathers rows stops long before (see [Builder.Bytes]).
func (s *Strings) Append(v string) {
	s.mustFit(len(v))
	s.Data = append(s.Data, v...)
	s.Ends = append(s.Ends, uint32(len(s.Data)))
}

func (s *Strings) mustFit(n int) {
	if uint64(len(s.Data))+uint64(n) > MaxData {
		panic(fmt.Sprintf("column: %d more bytes on top of %d are over the limit of %d", n, len(s.Data), uint32(MaxData)))
	}
}

// share returns s as it is now, in a form that later appends to s do not change
// and that cannot append into s's memory.
func (s *Strings) share() Strings {
	return Strings{s.Data[:len(s.Data):len(s.Data)], s.Ends[:len(s.Ends):len(s.Ends)]}
}

func (s *Strings) bytes() int64 { return int64(cap(s.Data)) + 4*int64(cap(s.Ends)) }

// Text is a text column of Rows rows.
//
//	Dict != nil   coded: row i is absent if Codes[i] == 0, else Dict.At(Codes[i]-1);
//	              Codes == nil with a Dict of one string: every row is that string
//	Dict == nil   plain: row i is Plain.At(i), absent if that is "";
//	              an empty Plain with Rows > 0: every row is absent
type Text struct {
	Rows  int
	Dict  *Strings
	Codes []uint32
	Plain Strings
}

// At returns the value of row i, "" when absent.
func (t *Text) At(i int) string {
	switch {
	case t.Codes != nil:
		if c := t.Codes[i]; c != 0 {
			return t.Dict.At(int(c - 1))
		}
		return ""
	case t.Dict != nil:
		return t.Dict.At(0)
	case len(t.Plain.Ends) == 0:
		return ""
	}
	return t.Plain.At(i)
}

// Absent reports whether t is known to have no value in any row.
func (t *Text) Absent() bool { return t.Dict == nil && len(t.Plain.Ends) == 0 }

// Bytes returns how much memory t holds, a shared dictionary included.
func (t *Text) Bytes() int64 {
	n := t.Plain.bytes() + 4*int64(cap(t.Codes))
	if t.Dict != nil {
		n += t.Dict.bytes()
	}
	return n
}

// Written returns how many bytes the values of all rows take, each written out.
func (t *Text) Written() int64 {
	if t.Dict == nil {
		return int64(len(t.Plain.Data))
	}
	if t.Codes == nil {
		return int64(t.Rows) * int64(len(t.Dict.Data))
	}
	n, start := int64(0), uint32(0)
	uses := make([]int64, t.Dict.Len()+1)
	for _, c := range t.Codes {
		uses[c]++
	}
	for c, end := range t.Dict.Ends {
		n += uses[c+1] * int64(end-start)
		start = end
	}
	return n
}

// Rows is a run of rows in columns. A column that was not asked for, or that no
// row has, has length 0 and Rows 0.
type Rows struct {
	N          int
	IDs        []event.ID
	Timestamps []int64
	ReceivedAt []int64
	Partitions []int32 // nil: every row is in partition 0
	Offsets    []int64
	Text       [event.NumFields]Text // for fields with IsText
}

// Event fills e with the given fields of row i and leaves its other fields as
// they are. A field whose column r does not have becomes zero. The strings share
// memory with r.
func (r *Rows) Event(i int, fields event.FieldSet, e *event.Event) {
	if fields.Has(event.EventID) {
		e.ID = at(r.IDs, i)
	}
	if fields.Has(event.Timestamp) {
		e.Timestamp = at(r.Timestamps, i)
	}
	if fields.Has(event.ReceivedAt) {
		e.ReceivedAt = at(r.ReceivedAt, i)
	}
	if fields.Has(event.Partition) {
		e.Partition = at(r.Partitions, i)
	}
	if fields.Has(event.Offset) {
		e.Offset = at(r.Offsets, i)
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		if !fields.Has(f) {
			continue
		}
		v := ""
		if t := &r.Text[f]; t.Rows > 0 {
			v = t.At(i)
		}
		e.SetText(f, v)
	}
}

// at returns s[i], or the zero value when the column is not there.
func at[T any](s []T, i int) (v T) {
	if len(s) == 0 {
		return v
	}
	return s[i]
}
