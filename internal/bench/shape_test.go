package bench

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestEventsAreShapedAsStated(t *testing.T) {
	g := NewGenerator(1, false)
	var body []byte
	now := time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.UTC)
	const n = 5000
	ids := map[string]bool{}
	for i := range n {
		var id [16]byte
		body, id = g.Append(body, now.Add(time.Duration(i)*time.Microsecond))
		ids[string(id[:])] = true
	}
	if len(ids) != n {
		t.Errorf("%d distinct identities in %d events", len(ids), n)
	}
	if avg := len(body) / n; avg < 400 || avg > 420 {
		t.Errorf("an event is %d bytes on average; the shape says about 410", avg)
	}
	for line := range bytes.Lines(body) {
		var ev map[string]any
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if len(ev) != 13 {
			t.Fatalf("%d fields; the shape says 13: %s", len(ev), line)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	g := NewGenerator(1, false)
	var buf []byte
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = g.Append(buf[:0], now)
	}
	b.SetBytes(int64(len(buf)))
}
