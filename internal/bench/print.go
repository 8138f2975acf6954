package bench

import (
	"fmt"
	"io"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	p := &printer{w: w}
	p.line("events        %s", r.Shape)
	if r.RandomIDs {
		p.line("              but with random event_ids (UUIDv4)")
	}
	if b := r.Bulk; b != nil {
		p.line("bulk          %d events, %d connections × batches of %d, receipts %v", b.Events, r.Connections, r.Batch, r.Receipts)
		p.line("  durable     %.0f events/s", b.DurablePerSec)
		p.line("  searchable  %.0f events/s", b.SearchPerSec)
		p.line("  server CPU  %.2f µs/event, socket to Parquet", b.CPUPerEvent)
		p.line("  stream      %.1f bytes/event", b.StreamPerEvent)
		p.line("  store       %.1f bytes/event", b.StorePerEvent)
		p.line("  publish     %s", b.Publish)
		p.line("  memory      %.0f MB at the peak", float64(b.PeakMemory)/1e6)
	}
	if s := r.Singles; s != nil {
		p.line("singles       %d publishers, one event a request", s.Publishers)
		p.line("  durable     %.0f events/s", s.DurablePerSec)
		p.line("  publish     %s", s.Publish)
	}
	if v := r.Visible; v != nil {
		p.line("visible       publish → live tail while %d events/s arrive", v.Rate)
		p.line("  latency     %s", v.Latency)
	}
	if len(r.Queries) > 0 {
		p.line("queries       over %d events (the first run, then the others)", r.Total)
		for _, q := range r.Queries {
			p.line("  %-42s first %7.2f ms  %s", q.Name, q.First, q.Latency)
		}
	}
	p.line("memory        %.0f MB at the end", float64(r.Memory)/1e6)
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
