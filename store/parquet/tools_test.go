package parquet_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet/parquettest"
)

var update = flag.Bool("update", false, "write the golden files")

// manyKinds returns row groups that have every encoding that there is.
func manyKinds() ([]event.Event, []*column.Rows) {
	var es []event.Event
	var groups []*column.Rows
	for seed := range uint64(9) {
		part := odd(400, seed)
		slices.SortStableFunc(part, byTime)
		es = append(es, part...)
		groups = append(groups, columns(part))
	}
	part := realistic(6000, 1)
	return append(es, part...), append(groups, columns(part))
}

// The schema is what other tools and later versions rely on.
func TestSchema(t *testing.T) {
	b, _ := write(t, columns(realistic(100, 1)))
	f, err := pq.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	pq.PrintSchema(&out, "event", f.Schema())
	fmt.Fprintf(&out, "\n\n%-16s id codec encodings\n", "column")
	for i, c := range f.Metadata().RowGroups[0].Columns {
		fmt.Fprintf(&out, "%-16s %2d %-5s %v\n", c.MetaData.PathInSchema[0], f.Metadata().Schema[i+1].FieldID, c.MetaData.Codec, c.MetaData.Encoding)
	}
	golden := filepath.Join("testdata", "schema.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the schema has changed:\n%s", out.String())
	}
}

// parquet-go's own reader reads the same rows.
func TestReadByParquetGo(t *testing.T) {
	want, groups := manyKinds()
	b, _ := write(t, groups...)
	f, err := pq.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	same(t, parquettest.ReadParquetGo(t, f), want)

	for _, g := range f.RowGroups() {
		checkIndexes(t, g)
	}
}

// checkIndexes compares the page index and bloom filters with the values that
// parquet-go finds in the pages.
func checkIndexes(t *testing.T, g pq.RowGroup) {
	t.Helper()
	for i, c := range g.ColumnChunks() {
		ci, err := c.ColumnIndex()
		if err != nil {
			t.Fatal(err)
		}
		oi, err := c.OffsetIndex()
		if err != nil {
			t.Fatal(err)
		}
		f, kind := event.Field(i), c.Type()
		pages := c.Pages()
		row := int64(0)
		for p := range ci.NumPages() {
			page, err := pages.ReadPage()
			if err != nil {
				t.Fatalf("%s: page %d of %d: %v", f, p, ci.NumPages(), err)
			}
			if oi.FirstRowIndex(p) != row || page.NumNulls() != ci.NullCount(p) || ci.NullPage(p) != (page.NumNulls() == page.NumValues()) {
				t.Fatalf("%s: page %d: first row %d, %d nulls of %d; the index says otherwise", f, p, row, page.NumNulls(), page.NumValues())
			}
			row += page.NumRows()
			values := make([]pq.Value, page.NumValues())
			if _, err := page.Values().ReadValues(values); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			for _, v := range values {
				if v.IsNull() {
					continue
				}
				if kind.Compare(v, ci.MinValue(p)) < 0 || kind.Compare(v, ci.MaxValue(p)) > 0 {
					t.Fatalf("%s: page %d: %v is not from %v to %v", f, p, v, ci.MinValue(p), ci.MaxValue(p))
				}
				if bloom := c.BloomFilter(); bloom != nil {
					if ok, err := bloom.Check(v); err != nil || !ok {
						t.Fatalf("%s: %v is not in the bloom filter: %v", f, v, err)
					}
				}
			}
			pq.Release(page)
		}
		if err := pages.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// pyarrow, which shares no code with the writer, reads the same rows.
func TestReadByPyArrow(t *testing.T) {
	want, groups := manyKinds()
	b, _ := write(t, groups...)
	path := filepath.Join(t.TempDir(), "events.parquet")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	same(t, parquettest.ReadPyArrow(t, filepath.Join("testdata", "read.py"), path), want)
}
