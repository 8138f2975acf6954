package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/event"
)

// Sizes and places in a record batch.
const (
	batchHeader = 61 // bytes before the records
	lengthAt    = 8
	magicAt     = 16
	crcAt       = 17
	crcFrom     = 21 // the checksum is of what follows it
	minRecord   = 7  // bytes of the smallest record
)

// Bits of a record batch's attributes.
const (
	codecBits         = 7
	logAppendTimeBit  = 1 << 3
	transactionalBit  = 1 << 4
	controlBatchBit   = 1 << 5
	knownCodecs       = zstandard
	noProducer        = -1
	maxMilli          = math.MaxInt64 / int64(time.Millisecond)
	overheadPerRecord = 256 // bytes that the canonical form of an event may be longer than what was sent
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// refusal is why a record batch, or everything of a request, is refused.
type refusal struct {
	code    *kerr.Error
	message string
}

func refuse(code *kerr.Error, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// openBatch reads the header of the record batch that data is to be, and checks
// everything that can be checked before its records are unpacked.
func openBatch(data []byte, maxRecords int) (b kmsg.RecordBatch, r *refusal) {
	switch {
	case len(data) <= magicAt:
		return b, refuse(kerr.InvalidRecord, "there is no record batch: %d bytes were sent", len(data))
	case data[magicAt] != 2:
		return b, refuse(kerr.UnsupportedForMessageFormat, "the messages are of format %d; only record batches of format 2 are accepted, which clients send since Kafka 0.11", int8(data[magicAt]))
	case len(data) < batchHeader:
		return b, refuse(kerr.CorruptMessage, "the record batch ends inside its header")
	}
	length := int64(int32(binary.BigEndian.Uint32(data[lengthAt:])))
	if have := int64(len(data)) - magicAt + 4; length != have {
		return b, refuse(kerr.CorruptMessage, "the record batch says that it is %d bytes long and is %d; one batch a partition is accepted", length, have)
	}
	if got, want := crc32.Checksum(data[crcFrom:], castagnoli), binary.BigEndian.Uint32(data[crcAt:]); got != want {
		return b, refuse(kerr.CorruptMessage, "the record batch's checksum is %08x and should be %08x", want, got)
	}
	if err := b.ReadFrom(data); err != nil {
		return b, refuse(kerr.CorruptMessage, "the record batch cannot be read: %v", err)
	}
	switch n := b.NumRecords; {
	case b.Attributes&controlBatchBit != 0:
		return b, refuse(kerr.InvalidRecord, "control batches are written by brokers only")
	case b.Attributes&transactionalBit != 0:
		return b, refuse(kerr.InvalidTxnState, "transactions are not supported")
	case b.Attributes&logAppendTimeBit != 0:
		return b, refuse(kerr.InvalidTimestamp, "the record batch's timestamps are those of an append; a producer sends the time of creation")
	case b.Attributes&codecBits > knownCodecs:
		return b, refuse(kerr.UnsupportedCompressionType, "compression codec %d is not known; 0 to %d are", b.Attributes&codecBits, knownCodecs)
	case n < 1 || b.LastOffsetDelta != n-1:
		return b, refuse(kerr.InvalidRecord, "the record batch says that it has %d records and that the last is number %d", n, b.LastOffsetDelta)
	case int(n) > maxRecords:
		return b, refuse(kerr.MessageTooLarge, "the record batch has %d records; at most %d are accepted", n, maxRecords)
	case b.ProducerID != noProducer && (b.ProducerID < 0 || b.ProducerEpoch < 0 || b.FirstSequence < 0):
		return b, refuse(kerr.InvalidRecord, "the record batch of producer %d has epoch %d and sequence number %d", b.ProducerID, b.ProducerEpoch, b.FirstSequence)
	}
	return b, nil
}

// record is one record: its time, and its value in the batch's memory.
type record struct {
	milli int64 // since the Unix epoch; -1 when the producer gave none that an event can have
	value []byte
	null  bool // there is no value, not even an empty one
}

// records reads the records of a batch.
type records struct {
	data []byte
	base int64 // timestamp of the batch
	read int32
}

var errRecord = errors.New("ends too early, or holds more than it says")

// next reads the next record. Its key and its headers are passed over.
func (r *records) next() (rec record, err error) {
	data, ok := r.span(r.varint())
	if !ok || len(data) == 0 {
		return rec, errRecord
	}
	in := records{data: data[1:]} // after the attributes, which say nothing
	delta := in.varint()
	if number := in.varint(); number != int64(r.read) {
		return rec, fmt.Errorf("says that it is number %d", number)
	}
	r.read++
	rec.milli = -1
	if r.base >= 0 && r.base <= maxMilli && delta >= -r.base && delta <= maxMilli-r.base {
		rec.milli = r.base + delta
	}
	if n := in.varint(); n != -1 {
		in.span(n) // the key
	}
	n := in.varint()
	if rec.null = n == -1; !rec.null {
		rec.value, _ = in.span(n)
	}
	headers := in.varint()
	if headers < 0 {
		return rec, errRecord
	}
	for ; headers > 0 && in.data != nil; headers-- {
		in.span(in.varint())
		if n := in.varint(); n != -1 {
			in.span(n)
		}
	}
	if in.data == nil || len(in.data) > 0 {
		return rec, errRecord
	}
	return rec, nil
}

// varint reads a number. When there is none, data becomes nil and stays so.
func (r *records) varint() int64 {
	if len(r.data) > 0 && r.data[0] < 0x80 {
		x := r.data[0]
		r.data = r.data[1:]
		return int64(x>>1) ^ -int64(x&1)
	}
	x, n := binary.Varint(r.data)
	if n <= 0 {
		r.data = nil
		return 0
	}
	r.data = r.data[n:]
	return x
}

// span reads n bytes. When there are not so many, data becomes nil.
func (r *records) span(n int64) ([]byte, bool) {
	if r.data == nil || n < 0 || n > int64(len(r.data)) {
		r.data = nil
		return nil, false
	}
	s := r.data[:n:n]
	r.data = r.data[n:]
	return s, true
}

// decode makes an event of a record. An event without an identity gets that of
// its turn, if there is one, and one without a timestamp the record's.
func (c *conn) decode(rec record, t *turn, i int) error {
	if rec.null {
		return event.Errors{{Reason: "the record has no value; an event's JSON is expected"}}
	}
	e := &c.event
	if c.decoder.Tenant = ""; c.principal.Door != nil {
		c.decoder.Tenant = c.principal.Door.Tenant()
	}
	if err := c.decoder.Decode(rec.value, e); err != nil {
		return err
	}
	if e.ID.IsZero() && t != nil {
		e.ID = t.identify(i, rec.milli)
	}
	if e.Timestamp == event.NoTime && rec.milli >= 0 {
		e.Timestamp = rec.milli * int64(time.Millisecond)
	}
	if c.principal.Door != nil {
		return c.principal.Door.Admit(e)
	}
	return nil
}
