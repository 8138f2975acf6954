package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/stream"
)

// maxParts is how many partitions a request to publish may name. There is one a
// topic.
const maxParts = 100

// produceRequest is a request to publish. It is read here and not by kmsg, which
// would make memory ready for as many partitions as a client says to send.
type produceRequest struct {
	transactional bool
	acks          int16
	parts         []part
}

// part is what a request publishes to one partition, and what became of it.
type part struct {
	topic     string
	partition int32
	records   []byte // in the request's memory

	refusal  *refusal // nil: none so far
	refused  []kmsg.ProduceResponseTopicPartitionErrorRecord
	throttle time.Duration
	base     int64 // the offset of the first record; -1: the offsets are not in a row

	// On the way.
	batch    kmsg.RecordBatch
	unpacker *unpacker
	unpacked []byte
	producer *producer // entered; nil: none
	turn     *turn     // nil: the producer is not idempotent
	repeat   bool      // turn is that of an earlier batch
	first, n int       // its events in the group's batch
}

// readProduce reads a request to publish.
func readProduce(version int16, body []byte) (q produceRequest, err error) {
	r := kbin.Reader{Src: body}
	flexible := version >= 9
	text, list, data := r.UnsafeString, r.ArrayLen, r.NullableBytes
	id := r.UnsafeNullableString
	tags := func() {}
	if flexible {
		text, list, data = r.UnsafeCompactString, r.CompactArrayLen, r.CompactNullableBytes
		id = r.UnsafeCompactNullableString
		tags = func() { kmsg.SkipTags(&r) }
	}
	if version >= 3 {
		q.transactional = id() != nil
	}
	q.acks = r.Int16()
	r.Int32() // the timeout: an append is not given up
	for topics := list(); topics > 0 && r.Ok(); topics-- {
		name := text()
		for partitions := list(); partitions > 0 && r.Ok(); partitions-- {
			p := part{topic: name, partition: r.Int32(), records: data()}
			tags()
			if q.parts = append(q.parts, p); len(q.parts) > maxParts {
				return q, malformed(fmt.Sprintf("a request publishes to more than %d partitions", maxParts))
			}
		}
		tags()
	}
	tags()
	if err := r.Complete(); err != nil || len(r.Src) > 0 {
		return q, malformed("a request to publish has another length than its parts")
	}
	return q, nil
}

// produce puts what a request publishes into the open group.
func (c *conn) produce(ctx context.Context, h header, body []byte) error {
	q, err := readProduce(h.version, body)
	if err != nil {
		return err
	}
	a := answer{correlation: h.correlation, parts: q.parts, acks0: q.acks == 0}
	if a.acks0 {
		c.s.metrics.ProduceAcks0.Add(1)
	} else {
		c.s.metrics.Produce.Add(1)
		p := kmsg.NewPtrProduceResponse()
		p.SetVersion(h.version)
		a.response = p
	}
	whole := c.refuseRequest(&q)
	for i := range q.parts {
		p := &q.parts[i]
		if p.refusal = whole; whole == nil {
			c.check(p)
		}
		if p.refusal != nil {
			p.topic = strings.Clone(p.topic) // the rest is the server's own
		}
	}
	weight, err := c.unpackAll(ctx, q.parts)
	if err != nil {
		return err
	}
	if q.acks != 0 { // else nobody hears that a batch is to be sent again
		for i := range q.parts {
			c.enter(ctx, &q.parts[i])
		}
	}
	c.join(a, weight)
	return nil
}

// join puts a request's events and its answer into the open group.
func (c *conn) join(a answer, weight int64) {
	defer c.changed.Broadcast()
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.group(weight)
	start := g.batch.Size()
	for i := range a.parts {
		p := &a.parts[i]
		c.add(g, p, start)
		p.letGo(c.s)
	}
	c.event = event.Event{} // which refers to the records
	g.answers = append(g.answers, a)
}

// refuseRequest returns why everything of a request is refused, or nil.
func (c *conn) refuseRequest(q *produceRequest) *refusal {
	switch {
	case c.principal == nil:
		return refuse(kerr.TopicAuthorizationFailed, "log in with SASL PLAIN first")
	case q.transactional:
		return refuse(kerr.TransactionalIDAuthorizationFailed, "transactions are not supported")
	case q.acks < -1 || q.acks > 1:
		return refuse(kerr.InvalidRequiredAcks, "acks is %d; -1, 0 and 1 are accepted", q.acks)
	}
	return nil
}

// check finds a part's topic and opens its record batch.
func (c *conn) check(p *part) {
	i := slices.Index(c.s.opts.Topics, p.topic)
	if i < 0 || p.partition != 0 {
		p.refusal = refuse(kerr.UnknownTopicOrPartition, "publish to partition 0 of %s", strings.Join(c.s.opts.Topics, " or "))
		return
	}
	p.topic = c.s.opts.Topics[i]
	if p.batch, p.refusal = openBatch(p.records, c.s.opts.MaxUnpacked/minRecord); p.refusal != nil {
		c.s.metrics.BatchesRefused.Add(1)
	}
}

// unpackAll decompresses the record batches of a request. It first waits until
// there is room for them, and returns what they take of it.
func (c *conn) unpackAll(ctx context.Context, parts []part) (weight int64, err error) {
	s := c.s
	room := int64(0)
	for i := range parts {
		if p := &parts[i]; p.refusal == nil {
			room += int64(p.batch.NumRecords) * overheadPerRecord
			if p.batch.Attributes&codecBits == uncompressed {
				room += int64(len(p.batch.Records))
			} else {
				room += int64(s.opts.MaxUnpacked)
			}
		}
	}
	room = min(room, s.opts.MaxInFlight)
	if err := s.appending.Acquire(ctx, room); err != nil {
		return 0, err
	}
	left := s.opts.MaxUnpacked
	for i := range parts {
		p := &parts[i]
		if p.refusal != nil {
			continue
		}
		p.unpacker = s.unpackers.Get().(*unpacker)
		p.unpacked, p.refusal = p.unpacker.unpack(p.batch.Attributes&codecBits, p.batch.Records)
		if p.refusal == nil && len(p.unpacked) > left {
			p.refusal = refuse(kerr.MessageTooLarge, "the record batches of the request are together larger than the %d bytes that are accepted; send smaller ones", s.opts.MaxUnpacked)
		}
		if p.refusal != nil {
			s.metrics.BatchesRefused.Add(1)
			p.letGo(s)
			continue
		}
		left -= len(p.unpacked)
		s.metrics.UnpackedBytes.Add(int64(len(p.unpacked)))
		weight += int64(len(p.unpacked)) + int64(p.batch.NumRecords)*overheadPerRecord
	}
	weight = min(weight, room)
	s.appending.Release(room - weight)
	s.metrics.BytesInFlight.Add(weight)
	return weight, nil
}

// letGo gives back the memory that the part's records lie in.
func (p *part) letGo(s *Server) {
	p.records, p.unpacked, p.batch.Records = nil, nil, nil
	if p.unpacker != nil {
		s.releaseUnpacker(p.unpacker)
		p.unpacker = nil
	}
}

// enter finds the producer of a part.
func (c *conn) enter(ctx context.Context, p *part) {
	if p.refusal != nil || p.batch.ProducerID == noProducer {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.s.opts.Stall)
	defer cancel()
	key := producerKey{principal: c.principal.ID, topic: p.topic, id: p.batch.ProducerID}
	var err error
	if p.producer, err = c.s.producers.enter(ctx, key, c); err != nil {
		p.refusal = refuse(kerr.RequestTimedOut, "batches of producer %d that came over another connection are not finished yet", key.id)
		c.s.metrics.BatchesFailed.Add(1)
	}
}

// add puts the events of a part into the group, all or none; start is where
// the request's begin. mu is held.
func (c *conn) add(g *group, p *part, start int) {
	if p.refusal != nil {
		return
	}
	m := c.s.metrics
	if p.producer != nil {
		b := &p.batch
		var code *kerr.Error
		if p.turn, p.repeat, code = p.producer.accept(b.ProducerEpoch, b.FirstSequence, b.NumRecords); code != nil {
			p.refusal = c.outOfSequence(p.producer, b, code)
			c.leave(p)
			return
		}
		if p.repeat {
			m.BatchesRepeat.Add(1)
			return
		}
	}
	p.first = g.batch.Len()
	p.refusal = c.decodeAll(g, p)
	if size := g.batch.Size() - start; p.refusal == nil && size > c.s.opts.MaxUnpacked {
		p.refusal = refuse(kerr.MessageTooLarge, "the events of the request take %d bytes in canonical form; at most %d are accepted; send smaller batches", size, c.s.opts.MaxUnpacked)
	}
	p.n = g.batch.Len() - p.first
	if p.refusal == nil {
		return
	}
	m.BatchesRefused.Add(1)
	m.Withdrawn.Add(int64(p.n))
	g.batch.Truncate(p.first)
	if p.turn != nil {
		p.producer.withdraw(p.turn)
	}
	c.leave(p)
}

// outOfSequence says why a batch has no turn.
func (c *conn) outOfSequence(p *producer, b *kmsg.RecordBatch, code *kerr.Error) *refusal {
	next := p.taken.place
	if !again(code) {
		c.s.metrics.BatchesOutside.Add(1)
		return refuse(code, "the record batch has epoch %d and sequence number %d; next is epoch %d, number %d", b.ProducerEpoch, b.FirstSequence, next.epoch, next.next)
	}
	c.s.metrics.BatchesAsked.Add(1)
	if !p.taken.known {
		return refuse(code, "nothing is known of producer %d, which has come to number %d: send the oldest batch that was not answered again", b.ProducerID, b.FirstSequence)
	}
	return refuse(code, "record batches from epoch %d, number %d on were not appended: send them again, and then this one of number %d", next.epoch, next.next, b.FirstSequence)
}

func (c *conn) leave(p *part) {
	if p.producer != nil {
		c.s.producers.leave(p.producer)
		p.producer = nil
	}
}

// maxMessages is how many bytes of reasons an answer gives for refused records,
// about. Further ones are counted and not named.
const maxMessages = 64 << 10

// decodeAll decodes the records of a part and adds their events to the group.
// It goes on after one that is refused, so that the producer is told of all.
func (c *conn) decodeAll(g *group, p *part) *refusal {
	rs := records{data: p.unpacked, base: p.batch.FirstTimestamp}
	refused, said := 0, 0
	for i := range int(p.batch.NumRecords) {
		rec, err := rs.next()
		if err != nil {
			return refuse(kerr.InvalidRecord, "record %d of the batch %v", i, err)
		}
		if err = c.decode(rec, p.turn, i); err == nil {
			err = g.batch.Add(&c.event)
		}
		if err == nil {
			continue
		}
		c.s.opts.Publisher.Refused(fieldErrors(err))
		if refused++; said < maxMessages {
			r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			text := err.Error()
			r.RelativeOffset, r.ErrorMessage = int32(i), &text
			p.refused = append(p.refused, r)
			said += len(text)
		}
	}
	if len(rs.data) > 0 {
		return refuse(kerr.InvalidRecord, "the record batch holds more than its %d records", p.batch.NumRecords)
	}
	if refused > 0 {
		first := &p.refused[0]
		return refuse(kerr.InvalidRecord, "%d of the %d records are no valid events, so that none is accepted; record %d: %s",
			refused, p.batch.NumRecords, first.RelativeOffset, *first.ErrorMessage)
	}
	return nil
}

// fieldErrors returns err as what is wrong with an event.
func fieldErrors(err error) event.Errors {
	if errs, ok := errors.AsType[event.Errors](err); ok {
		return errs
	}
	return event.Errors{{Reason: err.Error()}}
}

// acknowledge fills in what became of the group's parts when its append
// succeeded. mu of the connection is held.
func (g *group) acknowledge(s *Server) {
	receipts := g.batch.Receipts()
	for i := range g.answers {
		a := &g.answers[i]
		if a.settled {
			continue
		}
		for k := range a.parts {
			p := &a.parts[k]
			if p.refusal != nil {
				continue
			}
			if p.repeat {
				p.base = p.turn.base
			} else {
				p.base = firstOffset(receipts[p.first : p.first+p.n])
				s.metrics.Batches.Add(1)
				if a.acks0 {
					s.metrics.EventsAcks0.Add(int64(p.n))
				}
				if p.turn != nil {
					p.producer.land(p.turn, p.base)
				}
			}
			if p.producer != nil {
				s.producers.leave(p.producer)
			}
		}
	}
}

// firstOffset returns the offset of the first of some events when the others
// follow it, and else -1: some were published before, and lie elsewhere.
func firstOffset(receipts []ingest.Receipt) int64 {
	base := receipts[0].Position.Offset
	for i := range receipts {
		if receipts[i].Position.Offset != base+int64(i) {
			return -1
		}
	}
	return base
}

// fail fills in that nothing of the group was acknowledged. mu of the
// connection is held.
func (g *group) fail(s *Server, err error) {
	refusal, throttle := explain(err)
	for i := range g.answers {
		a := &g.answers[i]
		if a.settled {
			continue
		}
		a.settled = true
		for k := range a.parts {
			p := &a.parts[k]
			if p.refusal != nil {
				continue
			}
			if p.repeat && p.turn.state == appended {
				p.base = p.turn.base
			} else {
				p.refusal, p.throttle = refusal, throttle
				s.metrics.BatchesFailed.Add(1)
			}
			if p.producer != nil {
				p.producer.fail()
				s.producers.leave(p.producer)
			}
		}
	}
}

// Clients take the codes for failures of the append as temporary, and send the
// batch again for as long as they are set to.
func explain(err error) (*refusal, time.Duration) {
	switch {
	case errors.Is(err, stream.ErrOverloaded):
		return refuse(kerr.NotEnoughReplicas, "more events are waiting to be written than the disk keeps up with"), time.Second
	case errors.Is(err, stream.ErrFull):
		return refuse(kerr.NotEnoughReplicas, "there is no room for the events: %v", err), time.Second
	case errors.Is(err, stream.ErrClosed), errors.Is(err, context.Canceled):
		return refuse(kerr.NotLeaderForPartition, "the server is stopping"), 0
	}
	// What the disk holds is unknown, which this code says.
	return refuse(kerr.NotEnoughReplicasAfterAppend, "the stream did not take the events; the server's log says why"), time.Second
}

// logFailure logs what explain does not.
func (s *Server) logFailure(err error) {
	for _, known := range []error{stream.ErrOverloaded, stream.ErrFull, stream.ErrFailed, stream.ErrClosed, context.Canceled} {
		if errors.Is(err, known) {
			return
		}
	}
	s.log.Error("append failed", "err", err)
}

// fillProduce writes into r what became of the parts of a request.
func fillProduce(r *kmsg.ProduceResponse, parts []part) {
	for i := range parts {
		p := &parts[i]
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != p.topic {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = p.topic
			r.Topics = append(r.Topics, t)
		}
		t := &r.Topics[len(r.Topics)-1]
		out := kmsg.NewProduceResponseTopicPartition()
		out.Partition, out.BaseOffset = p.partition, p.base
		out.LogAppendTime, out.LogStartOffset = -1, -1
		if p.refusal != nil {
			out.ErrorCode, out.ErrorMessage, out.ErrorRecords = p.refusal.code.Code, &p.refusal.message, p.refused
			out.BaseOffset = -1
		}
		r.ThrottleMillis = max(r.ThrottleMillis, int32(p.throttle.Milliseconds()))
		t.Partitions = append(t.Partitions, out)
	}
}
