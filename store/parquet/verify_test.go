package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// liar writes a file of three rows, whose metadata lie changes before every
// checksum is made right.
func liar(t *testing.T, lie func(w *Writer, file []byte)) ([]byte, Info) {
	t.Helper()
	rows := &column.Rows{N: 3, IDs: []event.ID{{6: 0x70, 15: 1}, {6: 0x70, 15: 2}, {6: 0x70, 15: 3}},
		Timestamps: []int64{1, 2, 2}, ReceivedAt: []int64{5, 6, 7}, Offsets: []int64{0, 1, 2}}
	coded := column.NewBuilder(3)
	for _, v := range []string{"alice", "", "bob"} {
		coded.Append(v)
		rows.Text[event.Metadata].Plain.Append(v)
	}
	rows.Text[event.UserID] = coded.Snapshot()
	rows.Text[event.Metadata].Rows = 3
	var file bytes.Buffer
	w := NewWriter(&file)
	if err := w.WriteRowGroup(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.out.Flush(); err != nil {
		t.Fatal(err)
	}
	lie(w, file.Bytes())
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), info
}

// TestVerifyStatistics: metadata that would make a query pass over an event are
// damage, whatever their checksums say.
func TestVerifyStatistics(t *testing.T) {
	statistics := func(f event.Field, change func(s *format.Statistics)) func(*Writer, []byte) {
		return func(w *Writer, _ []byte) { change(&w.groups[0].Columns[f].MetaData.Statistics) }
	}
	pages := func(f event.Field, change func(ci *format.ColumnIndex)) func(*Writer, []byte) {
		return func(w *Writer, _ []byte) {
			var ci format.ColumnIndex
			if err := thrift.Unmarshal(new(thrift.CompactProtocol), w.columnIdx[f], &ci); err != nil {
				t.Fatal(err)
			}
			change(&ci)
			w.columnIdx[f] = w.marshal(&ci)
		}
	}
	emptyBloom := func(f event.Field) func(*Writer, []byte) {
		return func(w *Writer, file []byte) {
			md := &w.groups[0].Columns[f].MetaData
			filter := file[md.BloomFilterOffset:][:md.BloomFilterLength]
			_, head, err := bloomHeader(filter)
			if err != nil {
				t.Fatal(err)
			}
			clear(filter[head:])
			md.KeyValueMetadata[0].Value = strconv.FormatUint(uint64(crc32.Checksum(filter, castagnoli)), 10)
		}
	}
	tests := []struct {
		name string
		lie  func(w *Writer, file []byte)
		want string // "": sound
	}{
		{"nothing", func(*Writer, []byte) {}, ""},
		{"a shorter bound of a page", pages(event.UserID, func(ci *format.ColumnIndex) { ci.MinValues[0], ci.MaxValues[0] = []byte("al"), []byte("c") }), ""},
		{"no bounds of a column", statistics(event.UserID, func(s *format.Statistics) { s.MinValue, s.MaxValue = nil, nil }), ""},
		{"least time of a column", statistics(event.Timestamp, func(s *format.Statistics) { s.MinValue = []byte{2, 0, 0, 0, 0, 0, 0, 0} }), "statistics of column timestamp"},
		{"greatest text of a column", statistics(event.UserID, func(s *format.Statistics) { s.MaxValue = []byte("alice") }), "statistics of column user_id"},
		{"absent values of a column", statistics(event.Metadata, func(s *format.Statistics) { s.NullCount = 0 }), "statistics of column metadata"},
		{"greatest identity of a column", statistics(event.EventID, func(s *format.Statistics) { s.MaxValue = s.MinValue }), "statistics of column event_id"},
		{"least text of a page", pages(event.Metadata, func(ci *format.ColumnIndex) { ci.MinValues[0] = []byte("b") }), "page of column metadata"},
		{"greatest integer of a page", pages(event.Offset, func(ci *format.ColumnIndex) { ci.MaxValues[0][0]++ }), "page of column offset"},
		{"a page without a value", pages(event.UserID, func(ci *format.ColumnIndex) { ci.NullPages[0] = true }), "page of column user_id"},
		{"absent values of a page", pages(event.UserID, func(ci *format.ColumnIndex) { ci.NullCounts[0] = 0 }), "page of column user_id"},
		{"a page too few", pages(event.Action, func(ci *format.ColumnIndex) { ci.NullPages = nil }), "page index of column action"},
		{"an identity that the bloom filter lacks", emptyBloom(event.EventID), "bloom filter of column event_id"},
		{"a text that the bloom filter lacks", emptyBloom(event.UserID), "bloom filter of column user_id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, info := liar(t, test.lie)
			f, err := Open("x", bytes.NewReader(b), info, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Verify(t.Context())
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, new(*DamageError)) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Verify: %v, want %q", err, test.want)
			}
		})
	}
}

// TestInspect: a file says of itself what the manifest would, or that it is none.
func TestInspect(t *testing.T) {
	b, info := liar(t, func(*Writer, []byte) {})
	if got, err := Inspect("x", bytes.NewReader(b), int64(len(b))); got != info || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, info)
	}
	for size := range b {
		got, err := Inspect("x", bytes.NewReader(b[:size]), int64(size))
		if !errors.As(err, new(*DamageError)) {
			t.Fatalf("the first %d bytes: %+v, %v", size, got, err)
		}
	}
	for at := range b {
		b[at] ^= 0xff
		got, err := Inspect("x", bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.As(err, new(*DamageError)) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if _, err := Open("x", bytes.NewReader(b), got, nil); err != nil && !errors.As(err, new(*DamageError)) {
			t.Fatal(fmt.Sprint("byte ", at), err)
		}
		b[at] ^= 0xff
	}
}
