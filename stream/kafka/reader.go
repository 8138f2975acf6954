package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

const (
	// maxFetch and maxPartFetch bound what a broker sends at a time, compressed.
	maxFetch     = 16 << 20
	maxPartFetch = 2 << 20
	// fetchWait is how long a broker waits for a record before it says that there
	// is none.
	fetchWait = 2 * time.Second
	// listWithin bounds asking where a partition begins and ends.
	listWithin = 10 * time.Second
)

// reader implements [stream.Reader].
//
// Its client is opened by Next, and again wherever partitions are to be read from
// other places than the client stands at: when there are new ones, and behind a
// gap. That is rare, and leaves one way to begin reading.
type reader struct {
	s      *Stream
	next   event.Positions // of each partition that is read: behind what is in ready, and handed out
	client *kgo.Client     // nil: Next opens it
	ready  []found         // oldest first
	closed bool
}

// found is what Next returns: one of the two is set.
type found struct {
	batch *stream.Batch
	gap   *stream.GapError
}

// Reader implements [stream.Stream].
func (s *Stream) Reader(from event.Positions) (stream.Reader, error) {
	partitions, _, err := s.state()
	if err != nil {
		return nil, err
	}
	if len(from) > partitions {
		return nil, fmt.Errorf("read topic %s from positions in %d partitions: it has %d", s.opts.Topic, len(from), partitions)
	}
	return &reader{s: s, next: from.Clone()}, nil
}

// Next implements [stream.Reader].
func (r *reader) Next(ctx context.Context) (*stream.Batch, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		partitions, changed, err := r.s.state()
		if err == nil && r.closed {
			err = stream.ErrClosed
		}
		if err != nil {
			return nil, err
		}
		if len(r.ready) > 0 {
			f := r.ready[0]
			r.ready = r.ready[1:]
			if f.gap != nil {
				return nil, f.gap
			}
			return f.batch, nil
		}
		if err := r.connect(partitions); err != nil {
			return nil, err
		}
		if err := r.fetch(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// connect opens the client, if it must.
func (r *reader) connect(partitions int) error {
	if r.client != nil && len(r.next) == partitions {
		return nil
	}
	r.disconnect()
	for len(r.next) < partitions {
		r.next = append(r.next, 0)
	}
	from := make(map[int32]kgo.Offset)
	for p, offset := range r.next {
		from[int32(p)] = kgo.NewOffset().At(offset)
	}
	opts, err := r.s.opts.client()
	if err != nil {
		return err
	}
	r.client, err = kgo.NewClient(append(opts,
		kgo.WithHooks(&r.s.health),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.s.opts.Topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // never go on elsewhere in silence
		kgo.KeepControlRecords(),                    // they take offsets: see take
		kgo.FetchMaxBytes(maxFetch),
		kgo.FetchMaxPartitionBytes(maxPartFetch),
		kgo.FetchMaxWait(fetchWait),
	)...)
	if err != nil {
		r.client = nil
		return fmt.Errorf("read topic %s: %w", r.s.opts.Topic, err)
	}
	return nil
}

func (r *reader) disconnect() {
	if r.client != nil {
		r.client.Close()
		r.client = nil
	}
}

// fetch waits for records, and makes them ready. It returns with none when
// something has changed.
func (r *reader) fetch(ctx context.Context, changed <-chan struct{}) error {
	poll, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-poll.Done():
		}
	}()
	var err error
	r.client.PollFetches(poll).EachPartition(func(p kgo.FetchTopicPartition) {
		switch {
		case p.Partition < 0: // not of the brokers: poll has ended
			return
		case int(p.Partition) < len(r.next):
			r.take(p.Partition, p.Records)
		}
		if p.Err != nil && err == nil {
			err = r.explain(ctx, p.Partition, p.Err)
		}
	})
	if err != nil { // if Next is called again, it is to find the same
		r.disconnect()
	}
	return err
}

// take makes the records of a partition ready: a batch for each run of them that
// the broker took at one time.
func (r *reader) take(partition int32, records []*kgo.Record) {
	marked := false // the last was a transaction marker
	for len(records) > 0 {
		first := records[0].Offset
		if next := r.next[partition]; first > next { // compaction leaves holes
			r.ready = append(r.ready, found{gap: &stream.GapError{Partition: partition, From: next, To: first}})
		}
		n := 1
		if marked = records[0].Attrs.IsControl(); !marked {
			n = run(records)
			r.ready = append(r.ready, found{batch: newBatch(records[:n])})
		}
		r.next[partition] = first + int64(n)
		records = records[n:]
	}
	if marked {
		r.ready = append(r.ready, found{batch: &stream.Batch{Partition: partition, Base: r.next[partition]}})
	}
}

// run returns how many of records follow one another without a hole and were taken
// at the same time.
func run(records []*kgo.Record) int {
	first, n, size := records[0], 1, len(records[0].Value)
	for ; n < len(records); n++ {
		r := records[n]
		size += len(r.Value)
		if r.Offset != first.Offset+int64(n) || !r.Timestamp.Equal(first.Timestamp) || r.Attrs.IsControl() || size > maxRun {
			break
		}
	}
	return n
}

// maxRun is the most bytes of records in a batch of several.
const maxRun = 64 << 20

// newBatch copies a run of records into a batch, so that what the client fetched,
// which is more, is not held for as long as the batch is.
func newBatch(records []*kgo.Record) *stream.Batch {
	size, headers := 0, false
	for _, r := range records {
		size += len(r.Value)
		headers = headers || len(r.Headers) > 0
	}
	b := &stream.Batch{
		Data: make([]byte, 0, size), Ends: make([]uint32, 0, len(records)),
		Partition: records[0].Partition, Base: records[0].Offset, ReceivedAt: nanoseconds(records[0].Timestamp),
	}
	for _, r := range records {
		b.Data = append(b.Data, r.Value...)
		b.Ends = append(b.Ends, uint32(len(b.Data)))
	}
	if headers {
		b.Headers = make([][]stream.Header, len(records))
		for i, r := range records {
			for _, h := range r.Headers {
				b.Headers[i] = append(b.Headers[i], stream.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
			}
		}
	}
	return b
}

// nanoseconds returns t since the Unix epoch. A publisher that sets timestamps
// itself can set any; those that do not fit are bent to what does.
func nanoseconds(t time.Time) int64 {
	ms := t.UnixMilli()
	return min(max(ms, 0), math.MaxInt64/int64(time.Millisecond)) * int64(time.Millisecond)
}

// explain deals with an error of a partition. It returns nil where reading goes on,
// be it behind a gap.
func (r *reader) explain(ctx context.Context, partition int32, err error) error {
	topic := r.s.opts.Topic
	loss, truncated := errors.AsType[*kgo.ErrDataLoss](err)
	switch {
	case truncated:
		return truncation(topic, partition, loss.ConsumedTo, loss.ResetTo)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return r.outOfRange(ctx, partition)
	case errors.Is(err, kerr.UnknownTopicID):
		// Either the topic was made anew, which look finds out, or a broker has
		// not heard of it yet.
		if err := r.s.look(ctx); err != nil {
			r.s.log.Debug("cannot look at the topic; will try again", "topic", topic, "error", err)
		}
		return nil
	case kerr.IsRetriable(err):
		return nil
	}
	return fmt.Errorf("read topic %s, partition %d at offset %d: %w", topic, partition, r.next[partition], err)
}

// outOfRange is called when a partition does not hold the offset that is next.
func (r *reader) outOfRange(ctx context.Context, partition int32) error {
	r.disconnect()
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	start, err := r.s.Start(ctx)
	var end event.Positions
	if err == nil {
		end, err = r.s.End(ctx)
	}
	next := r.next[partition]
	switch {
	case err != nil:
		r.s.log.Warn("cannot find where a partition begins; will try again", "topic", r.s.opts.Topic, "partition", partition, "error", err)
		return nil
	case start.At(partition) <= next:
		return truncation(r.s.opts.Topic, partition, next, end.At(partition))
	}
	to := start.At(partition)
	r.ready = append(r.ready, found{gap: &stream.GapError{Partition: partition, From: next, To: to}})
	r.next[partition] = to
	return nil
}

// truncation says that a log was cut off below what was read of it. New records
// take the offsets of those that were lost, so nobody can go on from there.
func truncation(topic string, partition int32, read, end int64) error {
	return fmt.Errorf("topic %s has lost records: partition %d was read up to offset %d, and was then cut off before it (it ends at offset %d now), "+
		"as an unclean leader election does", topic, partition, read, end)
}

// Close implements [stream.Reader].
func (r *reader) Close() error {
	r.closed = true
	r.disconnect()
	return nil
}
