package api

import (
	"io"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// A row group of an export is written when it has grown to one of these. They
// bound what an export holds in memory.
const (
	groupRows  = 64 << 10
	groupBytes = 32 << 20
)

// parquetEncoder gathers rows in columns and writes them a row group at a time.
// Events must come oldest first, as row groups are sorted.
type parquetEncoder struct {
	w     *parquet.Writer
	rows  column.Rows
	text  [event.NumFields]*column.Builder
	bytes int
}

// newParquet writes the schema of the store's own files. All columns are always
// there; fields that were not asked for are null in every row.
func newParquet(w io.Writer, _ event.FieldSet) encoder {
	p := &parquetEncoder{w: parquet.NewWriter(w)}
	p.reset()
	return p
}

func (p *parquetEncoder) reset() {
	for f := range event.NumFields {
		if f.IsText() {
			p.text[f] = column.NewBuilder(groupRows)
		}
	}
	r := &p.rows
	p.rows = column.Rows{IDs: r.IDs[:0], Timestamps: r.Timestamps[:0], ReceivedAt: r.ReceivedAt[:0], Partitions: r.Partitions[:0], Offsets: r.Offsets[:0]}
	p.bytes = 0
}

func (p *parquetEncoder) add(e *event.Event) error {
	r := &p.rows
	r.N++
	r.IDs = append(r.IDs, e.ID)
	r.Timestamps = append(r.Timestamps, e.Timestamp)
	r.ReceivedAt = append(r.ReceivedAt, e.ReceivedAt)
	r.Partitions = append(r.Partitions, e.Partition)
	r.Offsets = append(r.Offsets, e.Offset)
	for f, b := range p.text {
		if b != nil {
			v := e.Text(event.Field(f))
			p.bytes += len(v)
			b.Append(v)
		}
	}
	if r.N < groupRows && p.bytes < groupBytes {
		return nil
	}
	return p.flush()
}

func (p *parquetEncoder) flush() error {
	if p.rows.N == 0 {
		return nil
	}
	for f, b := range p.text {
		if b != nil {
			p.rows.Text[f] = b.Snapshot()
		}
	}
	if err := p.w.WriteRowGroup(&p.rows); err != nil {
		return err
	}
	p.reset()
	return nil
}

func (p *parquetEncoder) finish() error {
	if err := p.flush(); err != nil {
		return err
	}
	_, err := p.w.Close()
	return err
}
