package ingest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
)

// BenchmarkHTTP is the whole of ingest but the log: read, split, decode, check
// for duplicates, canonical bytes, batch, receipts. Each operation is a
// request of 1,000 events of about 410 bytes in NDJSON.
func BenchmarkHTTP(b *testing.B) {
	for _, bb := range []struct {
		name   string
		target string
		ids    bool
	}{
		{"assigned", "/", false},
		{"chosen", "/", true},
		{"chosen-minimal", "/?receipts=false", true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			const n = 1000
			rng := rand.New(rand.NewPCG(1, 1))
			var ids *event.IDSource
			if bb.ids {
				ids = new(event.IDSource)
			}
			bodies := make([][]byte, 200)
			for i := range bodies {
				bodies[i] = events410(rng, ids, n)
			}
			var log sink
			store := new(shelf)
			h := NewHandler(NewPublisher(PublisherOptions{Stream: &log, Store: store}), HTTPOptions{})
			w := &blackHole{header: http.Header{}}
			b.SetBytes(int64(len(bodies[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(bodies) { // the same identities must not come again
					i = 0
					h.publisher.flights.init()
				}
				body := bytes.NewReader(bodies[i])
				i++
				r := httptest.NewRequest("POST", bb.target, body)
				h.ServeHTTP(w, r)
				store.visible = event.Positions{log.end}
				if w.status != 200 {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

// BenchmarkFlights is the duplicate check alone, for rising identities.
func BenchmarkFlights(b *testing.B) {
	const n = 1000
	var log sink
	store := new(shelf)
	p := NewPublisher(PublisherOptions{Stream: &log, Store: store})
	var ids event.IDSource
	now := time.Now()
	batch := p.NewBatch()
	e := event.Event{UserID: "alice", Action: "a", Resource: "r"}
	for range n {
		e.ID = event.ID{15: 1}
		if err := batch.Add(&e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range batch.ids {
			batch.ids[i] = ids.New(now)
		}
		b.StartTimer()
		if err := batch.Publish(b.Context()); err != nil {
			b.Fatal(err)
		}
		store.visible = event.Positions{log.end}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
}

// BenchmarkHTTPSingle is one event per request.
func BenchmarkHTTPSingle(b *testing.B) {
	body := bytes.TrimSpace(events410(rand.New(rand.NewPCG(1, 1)), nil, 1))
	h := NewHandler(NewPublisher(PublisherOptions{Stream: new(sink), Store: new(shelf)}), HTTPOptions{})
	w := &blackHole{header: http.Header{}}
	r := httptest.NewRequest("POST", "/", nil)
	r.ContentLength = int64(len(body))
	reader := bytes.NewReader(body)
	r.Body = io.NopCloser(reader)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		h.ServeHTTP(w, r)
	}
	if w.status != 200 {
		b.Fatal(w.status)
	}
}

// blackHole is a response that nobody reads.
type blackHole struct {
	header http.Header
	status int
}

func (w *blackHole) Header() http.Header         { return w.header }
func (w *blackHole) WriteHeader(status int)      { w.status = status }
func (w *blackHole) Write(p []byte) (int, error) { return len(p), nil }
