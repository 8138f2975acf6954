package api

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
)

// newCSV writes RFC 4180 CSV with a header: a column per field in the order of
// the event reference, lines end with CRLF. changes, labels and metadata are
// their JSON.
func newCSV(w io.Writer, fields event.FieldSet) encoder {
	l := &lines{w: w, fields: fields, line: appendCSV}
	for f := range event.NumFields {
		if fields.Has(f) {
			l.buf = append(append(l.buf, f.String()...), ',')
		}
	}
	l.buf = endRecord(l.buf, 0)
	return l
}

// appendCSV appends one record.
func appendCSV(dst []byte, e *event.Event, fields event.FieldSet) []byte {
	start := len(dst)
	for f := range event.NumFields {
		if !fields.Has(f) {
			continue
		}
		switch f {
		case event.EventID:
			dst = e.ID.Append(dst)
		case event.Timestamp:
			dst = event.AppendTime(dst, e.Timestamp)
		case event.ReceivedAt:
			dst = event.AppendTime(dst, e.ReceivedAt)
		case event.Partition:
			dst = strconv.AppendInt(dst, int64(e.Partition), 10)
		case event.Offset:
			dst = strconv.AppendInt(dst, e.Offset, 10)
		default:
			dst = appendCell(dst, e.Text(f))
		}
		dst = append(dst, ',')
	}
	return endRecord(dst, start)
}

// endRecord turns the comma after the last cell into the end of the line that
// begins at start. A record of one empty cell is quoted: readers skip empty lines,
// and would lose it.
func endRecord(dst []byte, start int) []byte {
	dst = dst[:len(dst)-1]
	if len(dst) == start {
		dst = append(dst, `""`...)
	}
	return append(dst, '\r', '\n')
}

// appendCell appends a publisher's text as one cell.
//
// A spreadsheet takes a cell that begins with one of = + - @ (also as full-width
// characters) TAB CR LF for a formula and runs it, and an audit log holds what
// strangers chose to send. Such a cell gets an apostrophe before it, which
// spreadsheets take for "this is text". Negative numbers get it too: what follows
// the digits can be a formula as well. Whoever needs the exact bytes exports
// NDJSON or Parquet.
func appendCell(dst []byte, v string) []byte {
	first, _ := utf8.DecodeRuneInString(v)
	formula := v != "" && strings.ContainsRune("=+-@＝＋－＠\t\r\n", first)
	if !formula && !strings.ContainsAny(v, "\",\r\n") {
		return append(dst, v...)
	}
	dst = append(dst, '"')
	if formula {
		dst = append(dst, '\'')
	}
	for {
		i := strings.IndexByte(v, '"')
		if i < 0 {
			return append(append(dst, v...), '"')
		}
		dst = append(append(dst, v[:i]...), `""`...)
		v = v[i+1:]
	}
}
