package event

import (
	"encoding/json"
	"testing"
	"time"
)

// benchCanonical is an event of 14 fields and 425 bytes as the stream stores it;
// benchSent is the same event as a client that does not sort keys sends it.
const (
	benchCanonical = `{"action":"document.update","event_id":"0198c0de-7a51-7000-8000-0000000000aa","labels":{"env":"prod","team":"billing"},` +
		`"metadata":{"bytes":18234,"order":{"total":99.5}},"operation":"update","outcome":"success","request_id":"req-7f3a9c21",` +
		`"resource":"document/48213","source":"billing-api","source_ip":"192.0.2.147","tenant_id":"acme","timestamp":"2026-11-24T02:10:37.123456Z",` +
		`"user_id":"alice@example.com","user_type":"user"}`
	benchSent = `{"event_id": "0198c0de-7a51-7000-8000-0000000000aa", "timestamp": "2026-11-24T02:10:37.123456Z", ` +
		`"user_id": "alice@example.com", "action": "document.update", "resource": "document/48213", "tenant_id": "acme", ` +
		`"outcome": "success", "operation": "update", "source": "billing-api", "user_type": "user", "source_ip": "192.0.2.147", ` +
		`"request_id": "req-7f3a9c21", "labels": {"team": "billing", "env": "prod"}, ` +
		`"metadata": {"order": {"total": 99.50}, "bytes": 18234}}`
)

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, json string }{{"canonical", benchCanonical}, {"sent", benchSent}} {
		b.Run(c.name, func(b *testing.B) {
			data := []byte(c.json)
			var d Decoder
			var e Event
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(data, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodingJSON is what the standard library needs to decode the same
// events into a plain struct, without any check that Decode makes.
func BenchmarkEncodingJSON(b *testing.B) {
	type plain struct {
		EventID    string            `json:"event_id"`
		Timestamp  time.Time         `json:"timestamp"`
		UserID     string            `json:"user_id"`
		Action     string            `json:"action"`
		Resource   string            `json:"resource"`
		TenantID   string            `json:"tenant_id"`
		Outcome    string            `json:"outcome"`
		Operation  string            `json:"operation"`
		Source     string            `json:"source"`
		UserType   string            `json:"user_type"`
		SourceIP   string            `json:"source_ip"`
		RequestID  string            `json:"request_id"`
		Labels     map[string]string `json:"labels"`
		Metadata   json.RawMessage   `json:"metadata"`
		ResourceNm string            `json:"resource_name"`
	}
	for _, c := range []struct{ name, json string }{{"canonical", benchCanonical}, {"sent", benchSent}} {
		b.Run(c.name, func(b *testing.B) {
			data := []byte(c.json)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var e plain
				if err := json.Unmarshal(data, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchEvent(b *testing.B) *Event {
	var d Decoder
	e := new(Event)
	if err := d.Decode([]byte(benchCanonical), e); err != nil {
		b.Fatal(err)
	}
	return e
}

func BenchmarkAppendCanonical(b *testing.B) {
	e, buf := benchEvent(b), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCanonical(buf[:0], e)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkAppendJSON(b *testing.B) {
	e, buf := benchEvent(b), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], e, AllFields)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkClone(b *testing.B) {
	e := benchEvent(b)
	var c Event
	b.ReportAllocs()
	for b.Loop() {
		c = e.Clone()
	}
	_ = c
}

func BenchmarkNewID(b *testing.B) {
	var ids IDSource
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		ids.New(now)
	}
}

func BenchmarkEachString(b *testing.B) {
	const metadata = `{"bytes":18234,"order":{"items":["apple","pear"],"total":99.5},"user":{"groups":["system:masters","system:authenticated"]}}`
	n := 0
	b.SetBytes(int64(len(metadata)))
	b.ReportAllocs()
	for b.Loop() {
		EachString(metadata, func(s string) bool { n += len(s); return true })
	}
}
