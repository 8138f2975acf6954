package ingest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest/redact"
	"github.com/daybook-log/daybook/stream"
)

// recorder is a stream that keeps what it was given.
type recorder struct {
	Stream
	mu   sync.Mutex
	data []byte
	keys []stream.Key
}

func (r *recorder) Append(ctx context.Context, b *stream.Batch) error {
	r.mu.Lock()
	r.data = append(r.data, b.Data...)
	r.keys = append(r.keys, b.Keys...)
	r.mu.Unlock()
	return r.Stream.Append(ctx, b)
}

func newRedactor(t *testing.T, o redact.Options) *redact.Redactor {
	t.Helper()
	r, err := redact.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRedaction publishes secrets over HTTP: none is in what the stream gets, the
// rest is, and what was published is counted.
func TestRedaction(t *testing.T) {
	log := openLog(t)
	rec := &recorder{Stream: log}
	m := new(Metrics)
	h := NewHandler(NewPublisher(PublisherOptions{Stream: rec, Store: new(shelf), Metrics: m, Keyed: true, Redactor: newRedactor(t, redact.Options{
		Defaults: true, Fields: []string{"user_id"}, Patterns: []string{"card-number"}, Method: redact.HMAC, Secret: bytes.Repeat([]byte("k"), 32)})}),
		HTTPOptions{Logger: discard()})
	body := fmt.Sprintf(`{"event_id":"%s","user_id":"alice","action":"user.update","resource":"user/1","metadata":{"ip":"10.0.0.1","password":"hunter2"},`+
		`"changes":[{"path":"password","old":"hunter1","new":"hunter2"}],"labels":{"api_key":"hunter3"},"reason":"paid with 4111 1111 1111 1111, ok"}`, idOf(1))
	if got := post(t, h, "/", strings.NewReader(body)); got.status != 200 || got.results != "0" {
		t.Fatalf("%+v", got)
	}
	for _, secret := range []string{"hunter", "4111", "1111", "alice"} {
		if bytes.Contains(rec.data, []byte(secret)) {
			t.Errorf("the stream holds %q: %s", secret, rec.data)
		}
	}
	e := contents(t, log)[0]
	if !strings.HasPrefix(e.Metadata, `{"ip":"10.0.0.1","password":"[redacted:`) || !strings.HasPrefix(e.Reason, "paid with [redacted:") || !strings.HasSuffix(e.Reason, "], ok") {
		t.Errorf("%+v", e)
	}
	if rec.keys[0].User != e.UserID || !strings.HasPrefix(e.UserID, "[redacted:") {
		t.Errorf("the record's key is %+v, the event's user_id %s", rec.keys[0], e.UserID)
	}
	if v, n := m.RedactedValues.Load(), m.RedactedEvents.Load(); v != 6 || n != 1 {
		t.Errorf("%d values in %d events are counted, want 6 in 1", v, n)
	}

	// A retry has the same bytes, and so has an event that is sent as it was stored.
	first := bytes.Clone(rec.data)
	rec.data = nil
	stored := event.AppendCanonical(nil, &e)
	for _, body := range []string{body, string(stored)} {
		if got := post(t, h, "/", strings.NewReader(body)); got.status != 200 || got.results != "0 dup" {
			t.Errorf("%+v", got)
		}
	}
	if len(rec.data) != 0 || !bytes.Equal(first, stored) {
		t.Errorf("the stream got %s, then %s; stored is %s", first, rec.data, stored)
	}
	if got := post(t, h, "/", strings.NewReader(anonymous)); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if v, n := m.RedactedValues.Load(), m.RedactedEvents.Load(); v != 13 || n != 3 {
		t.Errorf("%d values in %d events are counted, want 13 in 3", v, n)
	}
}

// TestRedactionMakesTooLarge says that an event which outgrows the limit by its
// markers is refused, with the reason, and not counted as redacted.
func TestRedactionMakesTooLarge(t *testing.T) {
	m := new(Metrics)
	p := NewPublisher(PublisherOptions{Stream: new(sink), Store: new(shelf), Metrics: m, Redactor: newRedactor(t, redact.Options{Defaults: true})})
	h := NewHandler(p, HTTPOptions{Logger: discard()})
	pins := strings.TrimSuffix(strings.Repeat(`1,`, 30000), ",")
	got := post(t, h, "/", strings.NewReader(`{"user_id":"alice","action":"a","resource":"r","metadata":{"pin":[`+pins+`]}}`))
	if got.status != 422 || !strings.Contains(got.results, "after 30000 values in it were redacted") {
		t.Errorf("%+v", got)
	}
	if v, n := m.RedactedValues.Load(), m.RedactedEvents.Load(); v != 0 || n != 0 {
		t.Errorf("%d values in %d events are counted, want none", v, n)
	}
}
