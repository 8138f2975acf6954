package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// What may be wrong with a record batch, and what is answered. Nothing of such
// a batch is appended, and the connection goes on.
func TestRefusedBatches(t *testing.T) {
	good := eventOf("alice")
	cut := func(n int) []byte { b := batchOf(good); return b[:len(b)-n] }
	set := func(at int, c byte) []byte { b := batchOf(good); b[at] = c; return b }
	attributes := func(a int16) []byte { return edited(func(b *kmsg.RecordBatch) { b.Attributes = a }, good) }
	bomb := bytes.Repeat([]byte(good+" "), 1<<15)
	packed := func(codec int16, data []byte) []byte {
		return edited(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, data }, good)
	}
	m := boot(t, Options{MaxUnpacked: 1 << 20})
	r := m.raw(t)
	for _, c := range []struct {
		name  string
		batch []byte
		code  *kerr.Error
		says  string
	}{
		{"no batch", nil, kerr.InvalidRecord, "there is no record batch"},
		{"format 0", set(magicAt, 0), kerr.UnsupportedForMessageFormat, "the messages are of format 0"},
		{"format 1", set(magicAt, 1), kerr.UnsupportedForMessageFormat, "format 1"},
		{"a format to come", set(magicAt, 3), kerr.UnsupportedForMessageFormat, "format 3"},
		{"half a header", cut(len(batchOf(good)) - 40), kerr.CorruptMessage, "inside its header"},
		{"cut off", cut(3), kerr.CorruptMessage, "says that it is"},
		{"two batches", append(batchOf(good), batchOf(good)...), kerr.CorruptMessage, "one batch a partition"},
		{"a flipped bit", set(70, 'x'), kerr.CorruptMessage, "checksum"},
		{"control batch", attributes(controlBatchBit), kerr.InvalidRecord, "control batches"},
		{"transactional batch", attributes(transactionalBit), kerr.InvalidTxnState, "transactions"},
		{"time of append", attributes(logAppendTimeBit), kerr.InvalidTimestamp, "time of creation"},
		{"codec 5", attributes(5), kerr.UnsupportedCompressionType, "codec 5"},
		{"no gzip", attributes(gzipped), kerr.InvalidRecord, "cannot be decompressed (codec 1)"},
		{"no snappy", packed(snappyBlocks, []byte{9, 1, 2}), kerr.InvalidRecord, "codec 2"},
		{"half of Java's snappy", packed(snappyBlocks, []byte(xerial+"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x09x")), kerr.InvalidRecord, "9 bytes long"},
		{"no lz4", attributes(lz4Frame), kerr.InvalidRecord, "codec 3"},
		{"no zstd", attributes(zstandard), kerr.InvalidRecord, "codec 4"},
		{"gzip bomb", packed(gzipped, pack(t, gzipped, bomb)), kerr.MessageTooLarge, "larger than the 1048576 bytes"},
		{"snappy bomb", packed(snappyBlocks, pack(t, snappyBlocks, bomb)), kerr.MessageTooLarge, "larger than"},
		{"Java's snappy bomb", packed(snappyBlocks, xerialOf(t, bomb)), kerr.MessageTooLarge, "larger than"},
		{"lz4 bomb", packed(lz4Frame, pack(t, lz4Frame, bomb)), kerr.MessageTooLarge, "larger than"},
		{"zstd bomb", packed(zstandard, pack(t, zstandard, bomb)), kerr.MessageTooLarge, "larger than"},
		{"too large as it is", batchOf(slices.Repeat([]string{strings.Repeat(" ", 60_000) + good}, 20)...), kerr.MessageTooLarge, "larger than"},
		{"too many records", edited(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1<<30, 1<<30-1 }, good), kerr.MessageTooLarge, "1073741824 records"},
		{"no records", edited(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 0, -1 }), kerr.InvalidRecord, "0 records"},
		{"fewer records than it says", edited(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 }, good), kerr.InvalidRecord, "record 1 of the batch ends too early"},
		{"more records than it says", edited(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1, 0 }, good, good), kerr.InvalidRecord, "more than its 1 records"},
		{"records out of order", edited(func(b *kmsg.RecordBatch) {
			b.Records = appendRecord(nil, kmsg.Record{OffsetDelta: 7, Value: []byte(good)})
		}, good), kerr.InvalidRecord, "number 7"},
		{"a producer without a sequence", numbered(5, 0, -1, good), kerr.InvalidRecord, "sequence number -1"},
	} {
		p := r.produce(c.batch)
		if p.ErrorCode != c.code.Code || p.BaseOffset != -1 || p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, c.says) {
			t.Errorf("%s: %s at %d: %v; want %s, %q", c.name, code(p.ErrorCode), p.BaseOffset, deref(p.ErrorMessage), c.code.Message, c.says)
		}
	}
	if p := r.produce(batchOf(good)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("a good batch after all these: %s at %d: %s", code(p.ErrorCode), p.BaseOffset, deref(p.ErrorMessage))
	}
	if held := m.server.metrics.BytesInFlight.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

func deref(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}

// What of a request is refused before its batches are looked at.
func TestRefusedRequests(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	for _, c := range []struct {
		name string
		edit func(*kmsg.ProduceRequest)
		code *kerr.Error
	}{
		{"another topic", func(q *kmsg.ProduceRequest) { q.Topics[0].Topic = "orders" }, kerr.UnknownTopicOrPartition},
		{"another partition", func(q *kmsg.ProduceRequest) { q.Topics[0].Partitions[0].Partition = 1 }, kerr.UnknownTopicOrPartition},
		{"a transaction", func(q *kmsg.ProduceRequest) { q.TransactionID = kmsg.StringPtr("t") }, kerr.TransactionalIDAuthorizationFailed},
		{"acks=2", func(q *kmsg.ProduceRequest) { q.Acks = 2 }, kerr.InvalidRequiredAcks},
		{"version 2", func(q *kmsg.ProduceRequest) {
			q.Version = 2
			q.Topics[0].Partitions[0].Records = make([]byte, 40)
		}, kerr.UnsupportedForMessageFormat},
	} {
		q := produceOf(-1, batchOf(eventOf("alice")))
		c.edit(q)
		a := r.ask(q).(*kmsg.ProduceResponse)
		if p := a.Topics[0].Partitions[0]; p.ErrorCode != c.code.Code || a.Topics[0].Topic != q.Topics[0].Topic || p.Partition != q.Topics[0].Partitions[0].Partition {
			t.Errorf("%s: %s for %s-%d; want %s", c.name, code(p.ErrorCode), a.Topics[0].Topic, p.Partition, c.code.Message)
		}
	}
}

// An event that is not valid is refused with its reason, and none of its batch
// is appended; other batches of the request are.
func TestRefusedRecords(t *testing.T) {
	m := boot(t, Options{Topics: []string{DefaultTopic, "other"}})
	r := m.raw(t)
	q := produceOf(-1, batchOf(eventOf("alice"), `{"user_id":"bob"}`, eventOf("carol"), "nonsense", `{"user_id":"dave","action":"a","resource":"r","usr":1}`))
	other := kmsg.NewProduceRequestTopicPartition()
	other.Records = batchOf(eventOf("erin"))
	q.Topics = append(q.Topics, kmsg.ProduceRequestTopic{Topic: "other", Partitions: []kmsg.ProduceRequestTopicPartition{other}})
	a := r.ask(q).(*kmsg.ProduceResponse)

	p := a.Topics[0].Partitions[0]
	var got []string
	for _, e := range p.ErrorRecords {
		got = append(got, fmt.Sprintf("%d: %s", e.RelativeOffset, deref(e.ErrorMessage)))
	}
	want := []string{
		"1: action: is required: a string of 1 to 256 bytes; resource: is required",
		"3: ",
		"4: usr",
	}
	if p.ErrorCode != kerr.InvalidRecord.Code || !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("%s\n%s", code(p.ErrorCode), strings.Join(got, "\n"))
	}
	if says := deref(p.ErrorMessage); !strings.HasPrefix(says, "3 of the 5 records are no valid events, so that none is accepted; record 1: action: is required") {
		t.Error(says)
	}
	if p := a.Topics[1].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("the other batch: %s at %d", code(p.ErrorCode), p.BaseOffset)
	}
	if got := m.users(t); !slices.Equal(got, []string{"erin"}) {
		t.Errorf("stored: %v", got)
	}
	if x := m.server.metrics; m.metrics.RefusedField.Load() != 2 || m.metrics.RefusedSyntax.Load() != 1 || x.Withdrawn.Load() != 2 || x.BatchesRefused.Load() != 1 {
		t.Errorf("refused %d and %d, withdrawn %d, batches %d", m.metrics.RefusedField.Load(), m.metrics.RefusedSyntax.Load(), x.Withdrawn.Load(), x.BatchesRefused.Load())
	}
}

// The answer about a batch of nonsense stays small, and counts every record.
func TestManyRefusedRecords(t *testing.T) {
	m := boot(t, Options{})
	p := m.raw(t).produce(batchOf(slices.Repeat([]string{`{"this_is_no_field_of_an_event":1}`}, 20_000)...))
	said := 0
	for i, e := range p.ErrorRecords {
		if e.RelativeOffset != int32(i) {
			t.Fatalf("record %d is said to be %d", i, e.RelativeOffset)
		}
		said += len(*e.ErrorMessage)
	}
	if says := deref(p.ErrorMessage); said < maxMessages || said > maxMessages+1000 || !strings.HasPrefix(says, "20000 of the 20000 records") {
		t.Errorf("%d bytes of reasons; %s", said, says)
	}
}

// What an event is given that has no identity or no time of its own.
func TestCompletion(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	id := event.ID{6: 0x70, 8: 0x80, 15: 1}
	own := fmt.Sprintf(`{"event_id":%q,"timestamp":"2026-01-02T03:04:05Z","user_id":"own","action":"a","resource":"r"}`, id)
	r.produce(numbered(77, 0, 0, own, eventOf("none")))
	r.produce(batchOf(eventOf("plain")))
	r.produce(edited(func(b *kmsg.RecordBatch) { b.FirstTimestamp = -1 }, eventOf("timeless")))
	before := time.Now().Add(-time.Minute).UnixNano()
	events := m.events(t)
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	if e := events[0]; e.ID != id || e.Timestamp != time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano() {
		t.Errorf("its own: %v at %d", e.ID, e.Timestamp)
	}
	if e := events[1]; e.ID.Version() != 8 || e.Timestamp != someTime*1e6 {
		t.Errorf("idempotent: %v at %d", e.ID, e.Timestamp)
	}
	if e := events[2]; e.ID.Version() != 7 || e.Timestamp != someTime*1e6 {
		t.Errorf("not idempotent: %v at %d", e.ID, e.Timestamp)
	}
	if e := events[3]; e.ID.Version() != 7 || e.Timestamp < before {
		t.Errorf("without a time: %v at %d", e.ID, e.Timestamp)
	}
}

// Key and headers of a record are passed over.
func TestKeysAndHeaders(t *testing.T) {
	m := boot(t, Options{})
	b := edited(func(b *kmsg.RecordBatch) {
		b.Records = appendRecord(nil, kmsg.Record{Key: []byte("k"), Value: []byte(eventOf("alice")), Headers: []kmsg.Header{{Key: "a", Value: []byte("b")}, {Key: "nil"}}})
	}, "")
	if p := m.raw(t).produce(b); p.ErrorCode != 0 {
		t.Fatal(deref(p.ErrorMessage))
	}
	if got := m.users(t); !slices.Equal(got, []string{"alice"}) {
		t.Error(got)
	}
	null := edited(func(b *kmsg.RecordBatch) { b.Records = appendRecord(nil, kmsg.Record{Key: []byte("k")}) }, "")
	if p := m.raw(t).produce(null); p.ErrorCode != kerr.InvalidRecord.Code || !strings.Contains(deref(p.ErrorMessage), "no value") {
		t.Errorf("a tombstone: %s", deref(p.ErrorMessage))
	}
}

// An event sent with the event_id of another is acknowledged, not appended. The
// offsets of its batch are then not in a row, and none is claimed.
func TestDuplicateEvents(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	first := `{"event_id":"01932b1c-0000-7000-8000-000000000001","user_id":"alice","action":"a","resource":"r"}`
	if p := r.produce(batchOf(first, eventOf("bob"))); p.BaseOffset != 0 {
		t.Errorf("at %d", p.BaseOffset)
	}
	if p := r.produce(batchOf(eventOf("carol"), first)); p.ErrorCode != 0 || p.BaseOffset != -1 {
		t.Errorf("with a duplicate: %s at %d", code(p.ErrorCode), p.BaseOffset)
	}
	if p := r.produce(batchOf(first)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("nothing but a duplicate: %s at %d", code(p.ErrorCode), p.BaseOffset)
	}
	if got := m.users(t); !slices.Equal(got, []string{"alice", "bob", "carol"}) {
		t.Error(got)
	}
}

// Requests that are sent without waiting are appended in order and answered in
// order, and share appends.
func TestPipelining(t *testing.T) {
	m := boot(t, Options{})
	entered, proceed := make(chan struct{}, 100), make(chan struct{})
	appends := 0
	m.stream.do(func() error { appends++; entered <- struct{}{}; <-proceed; return nil })
	r := m.raw(t)
	const n = 30
	var want []string
	var sent []kmsg.Request
	for i := range n {
		user := fmt.Sprint("user-", i)
		want = append(want, user)
		sent = append(sent, produceOf(-1, numbered(9, 0, int32(i), eventOf(user))))
		r.send(sent[i])
		if i == 0 {
			<-entered // the first append has begun; what follows meets it
		}
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 12
	r.send(meta)
	until(t, func() bool { return m.server.metrics.Requests.Load() == n+1 })
	close(proceed)
	for i, q := range sent {
		if p := r.receive(q, int32(i)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Errorf("request %d: %s at %d", i, code(p.ErrorCode), p.BaseOffset)
		}
	}
	r.receive(meta, n)
	if got := m.users(t); !slices.Equal(got, want) {
		t.Error(got)
	}
	if appends != 2 {
		t.Errorf("%d appends for %d requests, all but the first of which met one", appends, n)
	}
}

// What a failed append is answered with: codes that clients take as temporary.
// When it succeeds again, the same batches do.
func TestFailedAppends(t *testing.T) {
	for _, c := range []struct {
		err      error
		code     *kerr.Error
		throttle int32
	}{
		{stream.ErrFull, kerr.NotEnoughReplicas, 1000},
		{stream.ErrOverloaded, kerr.NotEnoughReplicas, 1000},
		{stream.ErrClosed, kerr.NotLeaderForPartition, 0},
		{stream.ErrFailed, kerr.NotEnoughReplicasAfterAppend, 1000},
		{errors.New("nobody knows"), kerr.NotEnoughReplicasAfterAppend, 1000},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			m := boot(t, Options{})
			r := m.raw(t)
			first, second := numbered(9, 0, 0, eventOf("alice")), numbered(9, 0, 1, eventOf("bob"))
			entered, proceed := make(chan struct{}), make(chan struct{})
			m.stream.do(func() error { entered <- struct{}{}; <-proceed; return fmt.Errorf("append: %w", c.err) })
			a, b := produceOf(-1, first), produceOf(-1, second)
			r.send(a)
			<-entered
			r.send(b)
			until(t, func() bool { return m.server.metrics.Requests.Load() == 2 })
			close(proceed)
			for i, q := range []kmsg.Request{a, b} {
				a := r.receive(q, int32(i)).(*kmsg.ProduceResponse)
				if p := a.Topics[0].Partitions[0]; p.ErrorCode != c.code.Code || a.ThrottleMillis != c.throttle || !kerr.IsRetriable(kerr.ErrorForCode(p.ErrorCode)) {
					t.Errorf("batch %d: %s, throttled %d ms: %s", i, code(p.ErrorCode), a.ThrottleMillis, deref(p.ErrorMessage))
				}
			}
			m.stream.fail(nil)
			for i, batch := range [][]byte{first, second} {
				if p := r.produce(batch); p.ErrorCode != 0 || p.BaseOffset != int64(i) {
					t.Errorf("batch %d again: %s at %d", i, code(p.ErrorCode), p.BaseOffset)
				}
			}
			if got := m.users(t); !slices.Equal(got, []string{"alice", "bob"}) {
				t.Error(got)
			}
		})
	}
}
