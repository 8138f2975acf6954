package kafka

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw is a client that sends what a test says.
type raw struct {
	t    testing.TB
	conn net.Conn
	next int32 // correlation id
}

func (m *machine) raw(t testing.TB) *raw { return &raw{t: t, conn: m.dial(t)} }

// send sends a request and does not wait for the answer.
func (r *raw) send(q kmsg.Request) {
	r.t.Helper()
	if _, err := r.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, q, r.next)); err != nil {
		r.t.Fatal(err)
	}
	r.next++
}

// receive reads the answer to a request of q's kind and version, which must be
// the one with the given correlation id.
func (r *raw) receive(q kmsg.Request, correlation int32) kmsg.Response {
	r.t.Helper()
	body := r.frame()
	if got := int32(binary.BigEndian.Uint32(body)); got != correlation {
		r.t.Fatalf("the answer to request %d, where %d's is due", got, correlation)
	}
	body = body[4:]
	if q.IsFlexible() && q.Key() != apiVersionsKey {
		body = body[1:]
	}
	a := q.ResponseKind()
	if err := a.ReadFrom(body); err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *raw) frame() []byte {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		r.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r.conn, body); err != nil {
		r.t.Fatal(err)
	}
	return body
}

func (r *raw) ask(q kmsg.Request) kmsg.Response {
	r.t.Helper()
	r.send(q)
	return r.receive(q, r.next-1)
}

// closed waits until the server has closed the connection.
func (r *raw) closed() {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, err := io.Copy(io.Discard, r.conn)
	if ne, ok := errors.AsType[net.Error](err); n > 0 || ok && ne.Timeout() {
		r.t.Fatalf("the connection is not closed: %d bytes, %v", n, err)
	}
}

// produce publishes a record batch, or what a test sends for one.
func (r *raw) produce(batch []byte) kmsg.ProduceResponseTopicPartition {
	r.t.Helper()
	return r.ask(produceOf(-1, batch)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// produces publishes a record batch and wants this answer.
func (r *raw) produces(batch []byte, want string, at int64) {
	r.t.Helper()
	if p := r.produce(batch); code(p.ErrorCode) != want || p.BaseOffset != at {
		r.t.Errorf("%s at %d, %s; want %s at %d", code(p.ErrorCode), p.BaseOffset, deref(p.ErrorMessage), want, at)
	}
}

func produceOf(acks int16, batch []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Version, q.Acks = 12, acks
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: DefaultTopic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	return q
}

// someTime is the timestamp of records that say no other: 2026-11-24T10:00:00Z.
const someTime = 1_795_514_400_000

// batchOf returns a record batch of a producer that is not idempotent.
func batchOf(values ...string) []byte { return numbered(noProducer, -1, -1, values...) }

// numbered returns a record batch of an idempotent producer.
func numbered(id int64, epoch int16, first int32, values ...string) []byte {
	return edited(func(b *kmsg.RecordBatch) {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = id, epoch, first
	}, values...)
}

// edited returns a record batch that a test has changed before its length and
// checksum were set.
func edited(edit func(*kmsg.RecordBatch), values ...string) []byte {
	var records []byte
	for i, v := range values {
		records = appendRecord(records, kmsg.Record{OffsetDelta: int32(i), Value: []byte(v)})
	}
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: someTime, MaxTimestamp: someTime,
		ProducerID: noProducer, ProducerEpoch: -1, FirstSequence: -1,
		LastOffsetDelta: int32(len(values)) - 1, NumRecords: int32(len(values)), Records: records,
	}
	edit(&b)
	b.Length = int32(len(b.Records)) + 49
	data := b.AppendTo(nil)
	binary.BigEndian.PutUint32(data[crcAt:], crc32.Checksum(data[crcFrom:], castagnoli))
	return data
}

func appendRecord(dst []byte, r kmsg.Record) []byte {
	r.Length = int32(len(r.AppendTo(nil))) - 1 // the length of 0 is one byte
	return r.AppendTo(dst)
}

// code returns an error code's name.
func code(c int16) string {
	if err := kerr.TypedErrorForCode(c); err != nil {
		return err.Message
	}
	return "NONE"
}
