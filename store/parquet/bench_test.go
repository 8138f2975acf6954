package parquet_test

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/parquet"
)

const benchRows = parquet.MaxRows

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// One operation is a row group of 256Ki rows.
func BenchmarkWrite(b *testing.B) {
	r := columns(realistic(benchRows, 1))
	w := parquet.NewWriter(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.WriteRowGroup(r); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchRows)
	info, err := w.Close()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size)/float64(info.Rows), "bytes/row")
}

func benchFile(b *testing.B, cache *parquet.Cache) (*parquet.RowGroup, []event.Event) {
	es := realistic(benchRows, 1)
	data, info := write(b, columns(es))
	return open(b, data, info, cache).RowGroups()[0], es
}

func BenchmarkText(b *testing.B) {
	g, _ := benchFile(b, parquet.NewCache(64<<20))
	for _, f := range []event.Field{event.Action, event.UserID, event.ErrorCode, event.RequestID, event.Metadata} {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Text(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, benchRows)
		})
	}
}

func BenchmarkInts(b *testing.B) {
	g, _ := benchFile(b, parquet.NewCache(64<<20))
	for _, f := range []event.Field{event.Timestamp, event.ReceivedAt, event.Offset} {
		b.Run(f.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := g.Ints(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, benchRows)
		})
	}
}

func BenchmarkAll(b *testing.B) {
	g, _ := benchFile(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.All(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchRows)
}

// One operation is a page of results: 100 rows anywhere, all fields.
func BenchmarkGather(b *testing.B) {
	for _, cache := range []struct {
		name string
		c    *parquet.Cache
	}{{"cold", nil}, {"warm", parquet.NewCache(1 << 30)}} {
		b.Run(cache.name, func(b *testing.B) {
			g, _ := benchFile(b, cache.c)
			r := rand.New(rand.NewPCG(1, 1))
			rows := make([]uint32, 100)
			for i := range rows {
				rows[i] = uint32(r.IntN(benchRows))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.Gather(b.Context(), rows, event.AllFields); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One operation is the lookup of one identity that is there, of 1,000, and of
// one that is not.
func BenchmarkFindIDs(b *testing.B) {
	g, es := benchFile(b, parquet.NewCache(64<<20))
	r := rand.New(rand.NewPCG(1, 1))
	ids := make([]event.ID, 1000)
	for i := range ids {
		ids[i] = es[r.IntN(len(es))].ID
	}
	other := es[5].ID
	other[15] ^= 1
	for _, c := range []struct {
		name string
		ids  []event.ID
	}{{"one", ids[:1]}, {"thousand", ids}, {"absent", []event.ID{other}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := g.FindIDs(b.Context(), c.ids, func(uint32) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// peerRow is an event for parquet-go's own writer, with the encodings that this
// package chooses for these rows.
type peerRow struct {
	EventID       [16]byte `parquet:"event_id,uuid"`
	Timestamp     int64    `parquet:"timestamp,timestamp(nanosecond),delta"`
	UserID        string   `parquet:"user_id,optional,dict"`
	Action        string   `parquet:"action,optional,dict"`
	Resource      string   `parquet:"resource,optional,delta"`
	TenantID      string   `parquet:"tenant_id,optional,dict"`
	Outcome       string   `parquet:"outcome,optional,dict"`
	Operation     string   `parquet:"operation,optional,dict"`
	Source        string   `parquet:"source,optional,dict"`
	UserType      string   `parquet:"user_type,optional,dict"`
	UserName      string   `parquet:"user_name,optional,dict"`
	OnBehalfOf    string   `parquet:"on_behalf_of,optional,dict"`
	ResourceName  string   `parquet:"resource_name,optional,dict"`
	SourceIP      string   `parquet:"source_ip,optional,dict"`
	UserAgent     string   `parquet:"user_agent,optional,dict"`
	SessionID     string   `parquet:"session_id,optional,dict"`
	RequestID     string   `parquet:"request_id,optional,delta"`
	TraceID       string   `parquet:"trace_id,optional,delta"`
	CorrelationID string   `parquet:"correlation_id,optional,dict"`
	ErrorCode     string   `parquet:"error_code,optional,dict"`
	Reason        string   `parquet:"reason,optional,dict"`
	Changes       string   `parquet:"changes,optional,dict"`
	Labels        string   `parquet:"labels,optional,dict"`
	Metadata      string   `parquet:"metadata,optional,delta"`
	ReceivedAt    int64    `parquet:"received_at,timestamp(nanosecond),delta"`
	Partition     int32    `parquet:"partition,delta"`
	Offset        int64    `parquet:"offset,delta"`
}

// The same rows by parquet-go's own writer, from values, as the comparison. One
// operation is a row group of 256Ki rows.
func BenchmarkWriteByParquetGo(b *testing.B) {
	rows := make([]peerRow, benchRows)
	for i, e := range realistic(benchRows, 1) {
		rows[i] = peerRow{
			e.ID, e.Timestamp, e.UserID, e.Action, e.Resource, e.TenantID, e.Outcome, e.Operation, e.Source, e.UserType,
			e.UserName, e.OnBehalfOf, e.ResourceName, e.SourceIP, e.UserAgent, e.SessionID, e.RequestID, e.TraceID,
			e.CorrelationID, e.ErrorCode, e.Reason, e.Changes, e.Labels, e.Metadata, e.ReceivedAt, e.Partition, e.Offset,
		}
	}
	var filters []pq.BloomFilterColumn
	for _, f := range []event.Field{event.EventID, event.UserID, event.Resource, event.SourceIP, event.SessionID, event.RequestID, event.TraceID} {
		filters = append(filters, pq.SplitBlockFilter(10, f.String()))
	}
	var size counter
	w := pq.NewGenericWriter[peerRow](&size, pq.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		pq.PageBufferSize(16<<10), pq.BloomFilters(filters...))
	b.ReportAllocs()
	for b.Loop() {
		for part := range slices.Chunk(rows, 1024) {
			if _, err := w.Write(part); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchRows)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/float64(b.N)/benchRows, "bytes/row")
}

// counter counts what is written.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
