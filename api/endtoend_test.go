package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/parquet/parquettest"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream/wal"
)

// newPipeline returns a server over the embedded stream and store on a real
// disk. Heads are small, so that segments are frozen and compacted while the test
// runs.
func newPipeline(t testing.TB, headRows int) *server {
	t.Helper()
	s, _, _ := openPipeline(t, segment.Options{HeadRows: headRows}, query.Options{})
	return s
}

// openPipeline is newPipeline that also returns the parts.
func openPipeline(t testing.TB, so segment.Options, qo query.Options) (*server, *wal.Log, *segment.Store) {
	t.Helper()
	return buildPipeline(t, so, qo, ingest.HTTPOptions{})
}

func buildPipeline(t testing.TB, so segment.Options, qo query.Options, ho ingest.HTTPOptions) (*server, *wal.Log, *segment.Store) {
	t.Helper()
	dir, log, ctx := t.TempDir(), slog.New(slog.DiscardHandler), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stored, err := segment.Open(vfs.OS(), filepath.Join(dir, "store"), so, log)
	must(err)
	stream, err := wal.Open(vfs.OS(), filepath.Join(dir, "stream"), wal.Options{}, log)
	must(err)
	dead, err := wal.Open(vfs.OS(), filepath.Join(dir, "dead"), wal.Options{}, log)
	must(err)
	letters, err := index.OpenDeadLetters(ctx, dead)
	must(err)
	indexer, err := index.New(ctx, index.Options{Stream: stream, Store: stored, DeadLetters: letters})
	must(err)
	running, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{indexer.Run, stored.Run} {
		parts.Go(func() {
			if err := run(running); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		parts.Wait()
		for _, close := range []func() error{stream.Close, dead.Close, stored.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	})
	qo.Store, qo.Stream = stored, stream
	return newServer(t, func(o *api.Options) {
		o.Query = query.New(qo)
		o.Ingest = ingest.NewHandler(ingest.NewPublisher(ingest.PublisherOptions{Stream: stream, Store: stored, Metrics: new(ingest.Metrics)}), ho)
	}), stream, stored
}

// publish sends NDJSON and returns the receipts.
func (s *server) publish(ndjson []byte) (receipts []event.Position) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.URL+"/v1/events", bytes.NewReader(ndjson))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Results []event.Position }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("publish: %d, %v", resp.StatusCode, err)
	}
	return answer.Results
}

// batch returns events from ≤ n < to as a publisher would send them, their times
// not in the order in which they are sent.
func batch(from, to int) []byte {
	var b []byte
	for n := from; n < to; n++ {
		e := numbered(n)
		e.Timestamp = epoch.Add(time.Duration(n*7919%100_003) * time.Second).UnixNano()
		b = append(event.AppendCanonical(b, &e), '\n')
	}
	return b
}

// The whole way: what is acknowledged is found at once, pages are the export of
// their first page's moment while events arrive and segments are frozen, and the
// tail has everything once, in order.
func TestPipeline(t *testing.T) {
	s := newPipeline(t, 500)
	tail := s.tail("/v1/events/tail?fields=offset")
	const batches, size = 20, 250
	for i := range batches / 2 {
		receipts := s.publish(batch(i*size, (i+1)*size))
		last := fmt.Sprintf("%d:%d", receipts[size-1].Partition, receipts[size-1].Offset)
		var counts struct{ Total int }
		if err := json.Unmarshal([]byte(s.get("/v1/counts?after_position="+last)), &counts); err != nil || counts.Total != (i+1)*size {
			t.Fatalf("after %d events were acknowledged, a count finds %d (%v)", (i+1)*size, counts.Total, err)
		}
	}
	filter := "?q=-user_id:user-2&from=2026-11-01T00:10:00Z"
	want := lines(s.get("/v1/export" + filter + "&order=newest"))
	var got []string
	page := s.page("/v1/events" + filter + "&limit=100")
	for i := batches / 2; ; i++ {
		for _, e := range page.Events {
			got = append(got, string(e))
		}
		if page.Next == nil {
			break
		}
		if i < batches {
			s.publish(batch(i*size, (i+1)*size))
		}
		page = s.page("/v1/events" + filter + "&limit=100&cursor=" + *page.Next)
	}
	if len(want) < 1000 || !slices.Equal(got, want) {
		t.Errorf("pages have %d events, the export %d", len(got), len(want))
	}
	data, ids := tail.events(batches * size)
	for i := range data {
		if data[i] != fmt.Sprintf(`{"offset":%d}`, i) || !strings.HasPrefix(ids[i], fmt.Sprintf("0:%d@", i+1)) {
			t.Fatalf("event %d of the tail is %s, id %s", i, data[i], ids[i])
		}
	}
	for _, cut := range []int{0, 1, 499, 500, 501, 2345, batches*size - 5} {
		tail := s.tail("/v1/events/tail?fields=offset&user_id=user-0", "Last-Event-ID", ids[cut])
		data, _ := tail.events(1)
		next := cut + 1
		for next%3 != 0 {
			next++
		}
		if data[0] != fmt.Sprintf(`{"offset":%d}`, next) {
			t.Errorf("resumed after %s: %s, want offset %d", ids[cut], data[0], next)
		}
		tail.body.Close()
	}
	if again := s.publish(batch(0, 100)); again[99].Offset != 99 {
		t.Errorf("sent again, event 99 has offset %d", again[99].Offset)
	}
	var one struct {
		Offset   int             `json:"offset"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(s.get("/v1/events/"+numbered(1234).ID.String())), &one); err != nil || one.Offset != 1234 || string(one.Metadata) != numbered(1234).Metadata {
		t.Errorf("by identity: %+v, %v", one, err)
	}
}

// Parquet holds exactly what NDJSON does.
func TestExportParquet(t *testing.T) {
	s := newPipeline(t, 0)
	s.publish(batch(0, 70_000)) // more than a row group
	s.publish([]byte(`{"user_id":"bare","action":"a","resource":"r","timestamp":"2026-11-01T00:00:00.000000001Z"}`))
	for given, groups := range map[string]int{"": 2, "user_id=user-1": 1, "user_id=nobody": 0} {
		want := s.get("/v1/export?" + given)
		resp := s.do("GET", "/v1/export?format=parquet&"+given)
		file := []byte(read(t, resp))
		if resp.Trailer.Get("Daybook-Events") != fmt.Sprint(len(lines(want))) || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v %v", given, resp.Header, resp.Trailer)
		}
		got := readParquet(t, file, groups)
		if got != want {
			t.Errorf("%s: Parquet has %d bytes as NDJSON, the NDJSON export %d", given, len(got), len(want))
		}
	}
}

// readParquet reads a file with another implementation of the format than that
// which wrote it and returns it as NDJSON.
func readParquet(t *testing.T, file []byte, groups int) string {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.RowGroups()) != groups {
		t.Errorf("%d row groups, want %d", len(f.RowGroups()), groups)
	}
	var out []byte
	for _, e := range parquettest.ReadParquetGo(t, f) {
		out = append(event.AppendJSON(out, &e, event.AllFields), '\n')
	}
	return string(out)
}
