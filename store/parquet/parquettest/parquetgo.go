package parquettest

import (
	"errors"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/daybook-log/daybook/event"
)

// ReadParquetGo returns the events of f as parquet-go's own reader reads them.
func ReadParquetGo(t testing.TB, f *parquet.File) (events []event.Event) {
	t.Helper()
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		for buf := make([]parquet.Row, 512); ; {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				events = append(events, eventOf(row))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

// eventOf returns the event of a row, whose columns are the fields in order.
func eventOf(row parquet.Row) (e event.Event) {
	for _, v := range row {
		switch f := event.Field(v.Column()); f {
		case event.EventID:
			e.ID = event.ID(v.ByteArray())
		case event.Timestamp:
			e.Timestamp = v.Int64()
		case event.ReceivedAt:
			e.ReceivedAt = v.Int64()
		case event.Partition:
			e.Partition = v.Int32()
		case event.Offset:
			e.Offset = v.Int64()
		default:
			if !v.IsNull() {
				e.SetText(f, string(v.ByteArray()))
			}
		}
	}
	return e
}
