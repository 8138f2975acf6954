package segment

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store"
)

// benchRows are n events of 410 bytes as a service would send them: rising
// UUIDv7, 10,000 users (a few of them busy, one with an event in 300,000), 40 actions, 100,000 resources, a
// unique request_id, a label and metadata of many values. first is the offset of
// the first; 300,000 come in a second, and one in a hundred is late.
func benchRows(first, n int) []event.Event {
	r := rand.New(rand.NewPCG(uint64(first), 1))
	rows := make([]event.Event, n)
	for i := range rows {
		at := int64(1_795_000_000_000_000_000) + int64(first+i)*3333
		e := &rows[i]
		binary.BigEndian.PutUint64(e.ID[:], uint64(at/1_000_000)<<16|0x7000|uint64(first+i)&0xfff)
		binary.BigEndian.PutUint64(e.ID[8:], r.Uint64()&^(3<<62)|1<<63)
		user := int(10_000 * r.Float64() * r.Float64() * r.Float64())
		action := r.IntN(40)
		e.Timestamp, e.ReceivedAt, e.Offset = at, at+1_000_000, int64(first+i)
		if r.IntN(100) == 0 {
			e.Timestamp -= r.Int64N(50_000_000)
		}
		name := strconv.Itoa(user)
		if (first+i)%300_000 == 777 {
			name = "spread"
		}
		e.UserID, e.Action = "user-"+name, "document.verb"+strconv.Itoa(action)
		e.Resource, e.TenantID = "document/"+strconv.Itoa(r.IntN(100_000)), "tenant-"+strconv.Itoa(user%50)
		e.Outcome, e.Operation, e.UserType = "success", "read", "user"
		e.Source, e.SourceIP = "service-"+strconv.Itoa(action%8), fmt.Sprintf("10.%d.%d.%d", user>>8, user&0xff, user%250)
		e.RequestID, e.Labels = fmt.Sprintf("%016x", r.Uint64()), `{"region":"eu-west-`+strconv.Itoa(user%5)+`"}`
		e.Metadata = fmt.Sprintf(`{"duration_ms":%d,"http":{"method":"GET","status":%d}}`, 1+r.IntN(200), 200+4*r.IntN(2))
	}
	return rows
}

// BenchmarkAppend measures ns/event of Known and Append in batches of 1,000, with
// nothing behind them.
func BenchmarkAppend(b *testing.B) {
	const batch = 1000
	batches := make([][]event.Event, DefaultHeadRows/batch)
	for i := range batches {
		batches[i] = benchRows(i*batch, batch)
	}
	ids := make([]event.Identity, batch)
	found := make([]event.Position, batch)
	s, err := Open(vfs.NewMem(), "/store", Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%len(batches) == 0 {
			s.head = newHead(DefaultHeadRows, event.Positions{})
			s.frozen = nil
		}
		rows := batches[i%len(batches)]
		for j := range rows {
			ids[j] = rows[j].Identity()
		}
		if err := s.Known(b.Context(), ids, 0, found); err != nil {
			b.Fatal(err)
		}
		if err := s.Append(b.Context(), rows, event.Positions{int64(i+1) * batch}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/event")
	b.ReportMetric(float64(s.head.memory()), "head-bytes")
}

// BenchmarkFreeze measures sorting and writing a full head.
func BenchmarkFreeze(b *testing.B) {
	h := newHead(DefaultHeadRows, nil)
	h.append(benchRows(0, DefaultHeadRows), event.Positions{DefaultHeadRows})
	s, err := Open(vfs.OS(), b.TempDir(), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	size := int64(0)
	for b.Loop() {
		m, err := s.writeSegment(sortRows(&h.snapshot().cols), nil, event.Positions{DefaultHeadRows})
		if err != nil {
			b.Fatal(err)
		}
		size = m.Parquet.Size
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/DefaultHeadRows, "ns/event")
	b.ReportMetric(float64(size)/DefaultHeadRows, "bytes/event")
}

// BenchmarkMerge measures merging eight segments to a full one.
func BenchmarkMerge(b *testing.B) {
	s, err := Open(vfs.OS(), b.TempDir(), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	const part = DefaultHeadRows / 8
	var run []*segment
	for i := range 8 {
		h := newHead(part, event.Positions{int64(i * part)})
		h.append(benchRows(i*part, part), event.Positions{int64(i+1) * part})
		m, err := s.writeSegment(sortRows(&h.snapshot().cols), h.from, h.to)
		if err != nil {
			b.Fatal(err)
		}
		run = append(run, newSegment(s, m))
	}
	b.ReportAllocs()
	for b.Loop() {
		rows, err := mergeRows(b.Context(), run)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.writeSegment(rows, nil, event.Positions{DefaultHeadRows}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/DefaultHeadRows, "ns/event")
}

// BenchmarkQueries measures queries over DAYBOOK_BENCH_SEGMENTS full segments
// (4 unless set; 77 hold 20 million events) and a part-filled head.
func BenchmarkQueries(b *testing.B) {
	segments := 4
	if v, err := strconv.Atoi(os.Getenv("DAYBOOK_BENCH_SEGMENTS")); err == nil {
		segments = v
	}
	s, end := benchStore(b, segments)
	parse := func(text string) filter.Expr {
		x, err := filter.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		return x
	}
	old := benchRows(DefaultHeadRows/2, 1)[0]
	scans := []struct {
		name string
		q    store.Scan
	}{
		{"newest", store.Scan{}},
		{"user busy", store.Scan{Filter: parse("user_id:user-0")}},
		{"user rare", store.Scan{Filter: parse("user_id:user-9990")}},
		{"user spread", store.Scan{Filter: parse("user_id:user-spread")}},
		{"user unknown", store.Scan{Filter: parse("user_id:nobody")}},
		{"request_id old", store.Scan{Filter: parse("request_id:" + old.RequestID)}},
		{"deep page", store.Scan{Filter: parse("action:document.verb1"), After: &store.Key{Timestamp: old.Timestamp}}},
		{"text nowhere", store.Scan{Filter: parse(`"no such text"`)}},
		{"text identity nowhere", store.Scan{Filter: parse(`"0123456789abcdef"`)}},
		{"text of one", store.Scan{Filter: parse(`"` + old.RequestID + `"`)}},
		{"text of a few", store.Scan{Filter: parse(`"document/42424"`)}},
		{"metadata", store.Scan{Filter: parse("metadata.duration_ms:>199 metadata.http.status:204")}},
		{"tail", store.Scan{Order: store.ByPosition, Since: event.Positions{end - 100}, Filter: parse("user_id:user-0")}},
	}
	for _, x := range scans {
		x.q.Range, x.q.Limit = store.AllTime, 50
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = 0
				if err := s.Scan(b.Context(), x.q, func(*event.Event) bool { n++; return true }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n), "events")
		})
	}
	action, user, resource := filter.Selector{Field: event.Action}, filter.Selector{Field: event.UserID}, filter.Selector{Field: event.Resource}
	counts := []struct {
		name string
		q    store.Count
	}{
		{"everything", store.Count{}},
		{"by action", store.Count{By: &action}},
		{"by user", store.Count{By: &user}},
		{"by resource", store.Count{By: &resource}},
		{"over time", store.Count{Bucket: time.Second}},
		{"by action over time", store.Count{By: &action, Bucket: time.Second}},
		{"failures by user", store.Count{By: &user, Filter: parse("action:document.verb7")}},
		{"failures by user over time", store.Count{By: &user, Filter: parse("action:document.verb7"), Bucket: time.Second}},
	}
	for _, x := range counts {
		x.q.Range = store.AllTime
		b.Run("count "+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Count(b.Context(), x.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(b.Context(), old.ID, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	// New UUIDv7 that fall into the ranges of old segments: the worst case, each
	// asks a filter. The first round makes the filters.
	b.Run("known among old", func(b *testing.B) {
		r := rand.New(rand.NewPCG(1, 1))
		ids, found := make([]event.Identity, 1000), make([]event.Position, 1000)
		for i := range ids {
			ids[i] = benchRows(r.IntN(int(end)), 1)[0].Identity()
			ids[i].ID[15] ^= 1
		}
		if err := s.Known(b.Context(), ids, 0, found); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := s.Known(b.Context(), ids, 0, found); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
	})
	b.Run("open", func(b *testing.B) {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			s2, err := Open(s.fs, s.dir, Options{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := s2.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkKnownRandom measures Known of new UUIDv4 among DAYBOOK_BENCH_SEGMENTS
// full segments of UUIDv4 (4 unless set): the ranges of identities say nothing,
// so each asks the filter of each segment.
func BenchmarkKnownRandom(b *testing.B) {
	segments := 4
	if v, err := strconv.Atoi(os.Getenv("DAYBOOK_BENCH_SEGMENTS")); err == nil {
		segments = v
	}
	s, err := Open(vfs.OS(), b.TempDir(), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	random := func(id *event.ID) {
		binary.BigEndian.PutUint64(id[:], r.Uint64()&^0xf000|0x4000)
		binary.BigEndian.PutUint64(id[8:], r.Uint64()&^(3<<62)|1<<63)
	}
	for i := range segments {
		rows := benchRows(i*DefaultHeadRows, DefaultHeadRows)
		for j := range rows {
			random(&rows[j].ID)
		}
		if err := s.Append(b.Context(), rows, event.Positions{int64(i+1) * DefaultHeadRows}); err != nil {
			b.Fatal(err)
		}
		s.tryRotate()
		if err := s.freeze(b.Context(), s.oldestFrozen()); err != nil {
			b.Fatal(err)
		}
	}
	ids, found := make([]event.Identity, 1000), make([]event.Position, 1000)
	start := time.Now()
	if err := s.Known(b.Context(), ids, 0, found); err != nil { // makes the filters
		b.Fatal(err)
	}
	first := time.Since(start)
	b.ReportAllocs()
	for b.Loop() {
		for i := range ids {
			random(&ids[i].ID)
		}
		if err := s.Known(b.Context(), ids, 0, found); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
	b.ReportMetric(float64(s.filterBytes.Load())/float64(segments*DefaultHeadRows), "filter-bytes/event")
	b.ReportMetric(float64(first.Milliseconds())/float64(segments), "first-ms/segment")
}

// benchStore returns a store with full segments and a head of 100,000 rows.
func benchStore(b *testing.B, segments int) (*Store, int64) {
	b.Helper()
	s, err := Open(vfs.OS(), b.TempDir(), Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	at := 0
	add := func(n int) {
		rows := benchRows(at, n)
		at += n
		if err := s.Append(context.Background(), rows, event.Positions{int64(at)}); err != nil {
			b.Fatal(err)
		}
	}
	for range segments {
		for range DefaultHeadRows >> 15 {
			add(1 << 15)
		}
		s.tryRotate()
		if err := s.freeze(context.Background(), s.oldestFrozen()); err != nil {
			b.Fatal(err)
		}
	}
	for range 100 {
		add(1000)
	}
	return s, int64(at)
}
