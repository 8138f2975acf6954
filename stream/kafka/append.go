package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/stream"
)

// linger is how long a record waits for others to share a request with. Appends
// that come while a request is on its way share the next one in any case.
const linger = 2 * time.Millisecond

// overhead is more than what a record and its batch take besides key and value.
const overhead = 128

// delivery is an append on its way.
type delivery struct {
	records []kgo.Record
	pending atomic.Int64
	err     atomic.Pointer[error] // the first
	done    chan struct{}         // closed when the client has answered for every record
}

// Append implements [stream.Stream]. Where the cluster does not acknowledge within
// Options.DeliveryTimeout the error wraps stream.ErrUnavailable and says what is
// known of the reason. A batch of no records succeeds. It leaves b.ReceivedAt 0: the
// broker does not say when it took a record.
func (s *Stream) Append(ctx context.Context, b *stream.Batch) error {
	if err := s.admit(ctx, b); err != nil || b.Len() == 0 {
		return err
	}
	err := s.deliver(ctx, b)
	if err != nil {
		s.failures.Add(int64(b.Len()))
		return err
	}
	s.records.Add(int64(b.Len()))
	s.bytes.Add(int64(len(b.Data)))
	return nil
}

// admit checks b and counts its bytes as waiting.
func (s *Stream) admit(ctx context.Context, b *stream.Batch) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := b.Check(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if len(b.Data) > s.opts.MaxBatchBytes {
		return fmt.Errorf("append: batch holds %d bytes, at most %d are taken", len(b.Data), s.opts.MaxBatchBytes)
	}
	for i := range b.Len() {
		if n := len(b.Value(i)) + len(b.Key(i).Tenant) + len(b.Key(i).User) + overhead; n > int(s.maxBatch) {
			return fmt.Errorf("append: record %d takes %d bytes with its key, topic %s takes at most %d (max.message.bytes)", i, n, s.opts.Topic, s.maxBatch)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	size := int64(len(b.Data))
	if s.waiting > 0 && s.waiting+size > s.opts.MaxWaitingBytes {
		return fmt.Errorf("%w: %d bytes wait for the brokers, the limit is %d", stream.ErrOverloaded, s.waiting, s.opts.MaxWaitingBytes)
	}
	s.waiting += size
	return nil
}

// deliver hands b to the client and waits for its answer.
func (s *Stream) deliver(ctx context.Context, b *stream.Batch) error {
	d := &delivery{records: records(b), done: make(chan struct{})}
	d.pending.Store(int64(len(d.records)))
	size := int64(len(b.Data))
	answer := func(_ *kgo.Record, err error) {
		if err != nil {
			d.err.CompareAndSwap(nil, &err)
		}
		if d.pending.Add(-1) == 0 {
			s.mu.Lock()
			s.waiting -= size
			s.mu.Unlock()
			close(d.done)
		}
	}
	for i := range d.records {
		s.client.Produce(context.Background(), &d.records[i], answer)
	}
	expired := time.NewTimer(s.opts.DeliveryTimeout)
	defer expired.Stop()
	select {
	case <-d.done:
	case <-expired.C: // a request that hangs is not given up by the client yet
		return s.explain(kgo.ErrRecordTimeout)
	case <-ctx.Done():
		select {
		case <-d.done: // both: the truth is better than a doubt
		default:
			return fmt.Errorf("append not waited for, it may succeed: %w", context.Cause(ctx))
		}
	}
	if err := d.err.Load(); err != nil {
		return s.explain(*err)
	}
	b.Partition, b.Base, b.ReceivedAt = 0, 0, 0
	b.Partitions, b.Offsets = make([]int32, len(d.records)), make([]int64, len(d.records))
	for i := range d.records {
		b.Partitions[i], b.Offsets[i] = d.records[i].Partition, d.records[i].Offset
	}
	return nil
}

// records returns b as records of the topic. Their values are b's bytes.
func records(b *stream.Batch) []kgo.Record {
	size := 0
	for i := range b.Len() {
		key := b.Key(i)
		size += len(key.Tenant) + len("/") + len(key.User)
	}
	keys, rs := make([]byte, 0, size), make([]kgo.Record, b.Len())
	for i := range rs {
		start := len(keys)
		keys = appendKey(keys, b.Key(i))
		rs[i].Key = keys[start:len(keys):len(keys)]
		if rs[i].Value = b.Value(i); rs[i].Value == nil {
			rs[i].Value = []byte{} // nil is Kafka's null
		}
	}
	return rs
}

// appendKey appends a record's key; see the package comment.
func appendKey(dst []byte, key stream.Key) []byte {
	dst = append(dst, key.Tenant...)
	dst = append(dst, '/')
	return append(dst, key.User...)
}

// explain says what an error of the client means to a publisher.
func (s *Stream) explain(err error) error {
	if _, _, gone := s.state(); gone != nil {
		return gone
	}
	topic := s.opts.Topic
	switch {
	case errors.Is(err, kgo.ErrClientClosed):
		return stream.ErrClosed
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("append: topic %s takes no batch of %d bytes, though its max.message.bytes allowed it when it was opened: %w", topic, s.maxBatch, err)
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp), errors.Is(err, kerr.PolicyViolation):
		return fmt.Errorf("append: topic %s refuses the records: %w", topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("%w: the cluster does not let this client write to topic %s: %w", stream.ErrUnavailable, topic, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("%w: topic %s is gone: %w", stream.ErrUnavailable, topic, err)
	}
	return fmt.Errorf("%w: topic %s did not acknowledge within %s: %w%s", stream.ErrUnavailable, topic, s.opts.DeliveryTimeout, err, s.reason())
}
