package kafka

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

const (
	// openWithin bounds Open.
	openWithin = 20 * time.Second
	// watchEvery is how often the topic is looked at: partitions that were added
	// are read, and a topic that was made anew is noticed, within that time.
	watchEvery = 2 * time.Second
	// commitWithin bounds the commit of offsets for lag tools.
	commitWithin = 2 * time.Second
)

// Stream is a topic. All methods are safe for concurrent use. It implements
// [stream.Stream].
type Stream struct {
	opts   Options
	log    *slog.Logger
	client *kgo.Client // produces and administers; readers have their own
	admin  *kadm.Client
	health health

	// Set by Open.
	id       event.LogID
	topicID  kadm.TopicID
	findings []Finding
	maxBatch int32 // bytes of records in one request for one partition
	minISR   int
	replicas int // of the partition that has the fewest

	records, bytes, failures atomic.Int64 // appended; see Stats

	watching context.Context // ends with Close
	stop     context.CancelFunc
	watched  chan struct{} // closed when watch has returned

	mu          sync.Mutex
	closed      bool
	failure     error                  // why nothing works any more; wraps stream.ErrFailed
	waiting     int64                  // bytes of appends that were not answered by the client
	partitions  []kadm.PartitionDetail // by number
	leaderMoves int64
	changed     chan struct{} // closed when partitions were added, or closed or failure set
	released    event.Positions
	committed   event.Positions // what the group was told
}

// Open connects to the cluster, finds or makes the topic, and checks it. It fails
// within 20 s when no broker answers, the cluster does not let this client in, or
// the topic cannot take events. The settings that could lose any are logged as
// warnings.
func Open(ctx context.Context, o Options) (*Stream, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Stream{opts: o, log: o.Logger, maxBatch: maxMessage, minISR: 1, watched: make(chan struct{}), changed: make(chan struct{})}
	opts, err := o.client()
	if err != nil {
		return nil, err
	}
	s.client, err = kgo.NewClient(append(opts,
		kgo.WithHooks(&s.health),
		kgo.DefaultProduceTopic(o.Topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return s.maxBatch }),
		kgo.ProducerLinger(linger),
		kgo.ProduceRequestTimeout(5*time.Second),
		kgo.RecordDeliveryTimeout(o.DeliveryTimeout),
		// Append gives up in time, and the index drops what was written all the same.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.MaxBufferedRecords(1<<30), // what bounds it is MaxWaitingBytes
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	s.admin = kadm.NewClient(s.client)
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := s.open(ctx); err != nil {
		s.client.Close()
		return nil, err
	}
	for _, f := range s.findings {
		s.log.Warn("the topic is not safe", "topic", o.Topic, "setting", f.Setting, "value", f.Value, "risk", f.Risk)
	}
	s.watching, s.stop = context.WithCancel(context.Background())
	go s.watch()
	return s, nil
}

func (s *Stream) open(ctx context.Context) error {
	if err := s.client.Ping(ctx); err != nil {
		return fmt.Errorf("reach Kafka at %s: %w", strings.Join(s.opts.Brokers, ","), err)
	}
	return s.ensureTopic(ctx)
}

// Findings returns the settings of the topic with which acknowledged events could
// be lost, as Open found them.
func (s *Stream) Findings() []Finding { return s.findings }

// ID implements [stream.Stream]. It is made of the cluster's and the topic's
// identity.
func (s *Stream) ID() event.LogID { return s.id }

// adoptTopic takes over what Open was told of the topic.
func (s *Stream) adoptTopic(meta kadm.Metadata) {
	t := meta.Topics[s.opts.Topic]
	s.topicID = t.ID
	// Brokers before Kafka 2.8 give topics no identity; then the name must do.
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %x %s", meta.Cluster, t.ID, s.opts.Topic))
	copy(s.id[:], sum[:])
	s.partitions = t.Partitions.Sorted()
	s.replicas = len(s.partitions[0].Replicas)
	for _, p := range s.partitions {
		s.replicas = min(s.replicas, len(p.Replicas))
	}
}

// watch looks at the topic, and tells the group what was released, until Close.
func (s *Stream) watch() {
	defer close(s.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	blind := false
	for {
		select {
		case <-s.watching.Done():
			s.commit(context.Background())
			return
		case <-tick.C:
		}
		err := s.look(s.watching)
		switch {
		case s.watching.Err() != nil:
			continue
		case err != nil && !blind:
			s.log.Warn("the cluster does not say how the topic is; it is asked again and again", "topic", s.opts.Topic, "error", err)
		case err == nil && blind:
			s.log.Info("the cluster says again how the topic is", "topic", s.opts.Topic)
		}
		blind = err != nil
		s.commit(s.watching)
	}
}

// look notices what has become of the topic. The error is that it could not.
func (s *Stream) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*watchEvery)
	defer cancel()
	meta, err := s.describe(ctx)
	if err != nil {
		return err
	}
	t := meta.Topics[s.opts.Topic]
	if t.ID != s.topicID {
		s.fail(fmt.Errorf("%w: topic %s was deleted and made anew: what the store holds is of the old one", stream.ErrFailed, s.opts.Topic))
		return nil
	}
	now := t.Partitions.Sorted()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(now) < len(s.partitions) || s.closed {
		return nil // a broker that has not heard of the new ones yet
	}
	for i, p := range s.partitions {
		if now[i].Leader >= 0 && now[i].Leader != p.Leader {
			s.leaderMoves++
		}
	}
	grown := len(now) > len(s.partitions)
	s.partitions = now
	if grown {
		s.log.Info("the topic has more partitions", "topic", s.opts.Topic, "partitions", len(now))
		s.announce()
	}
	return nil
}

// announce wakes the readers. mu is held.
func (s *Stream) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// fail makes everything return err from now on.
func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil && !s.closed {
		s.failure = err
		s.log.Error("the stream has failed", "error", err)
		s.announce()
	}
}

// Failed returns why nothing can be appended or read any more, or nil.
func (s *Stream) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// usable returns why nothing works any more, or nil. mu is held.
func (s *Stream) usable() error {
	if s.closed {
		return stream.ErrClosed
	}
	return s.failure
}

// state returns how many partitions there are, and what is closed when that is no
// longer so.
func (s *Stream) state() (partitions int, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.partitions), s.changed, s.usable()
}

// Start implements [stream.Stream].
func (s *Stream) Start(ctx context.Context) (event.Positions, error) {
	return s.offsets(ctx, "start", s.admin.ListStartOffsets)
}

// End implements [stream.Stream]. It asks the leaders of all partitions.
func (s *Stream) End(ctx context.Context) (event.Positions, error) {
	return s.offsets(ctx, "end", s.admin.ListEndOffsets)
}

func (s *Stream) offsets(ctx context.Context, which string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (event.Positions, error) {
	partitions, _, err := s.state()
	if err != nil {
		return nil, err
	}
	listed, err := list(ctx, s.opts.Topic)
	if err == nil {
		err = listed.Error()
	}
	offsets := listed[s.opts.Topic]
	if err == nil && len(offsets) < partitions {
		err = fmt.Errorf("the brokers answer for %d of %d partitions", len(offsets), partitions)
	}
	if err != nil {
		if _, _, gone := s.state(); gone != nil {
			return nil, gone
		}
		return nil, fmt.Errorf("%w: it does not tell the %s of topic %s: %w%s", stream.ErrUnavailable, which, s.opts.Topic, err, s.reason())
	}
	positions := make(event.Positions, len(offsets))
	for p, o := range offsets {
		if int(p) >= len(positions) {
			return nil, fmt.Errorf("%w: it tells the %s of partition %d of topic %s, and not of all before it", stream.ErrUnavailable, which, p, s.opts.Topic)
		}
		positions[p] = o.Offset
	}
	return positions, nil
}

// Release implements [stream.Stream]. The topic's retention knows nothing of it
// and goes by its own settings; what is released is told to lag tools as the
// offsets of the group, every two seconds.
func (s *Stream) Release(upTo event.Positions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, offset := range upTo {
		s.released = s.released.Advance(int32(p), offset)
	}
}

func (s *Stream) commit(ctx context.Context) {
	s.mu.Lock()
	due := s.released.Clone()
	known := s.committed.Covers(due)
	s.mu.Unlock()
	if known || s.opts.Group == "" {
		return
	}
	var offsets kadm.Offsets
	for p, offset := range due {
		offsets.AddOffset(s.opts.Topic, int32(p), offset, -1)
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	if err := s.admin.CommitAllOffsets(ctx, s.opts.Group, offsets); err != nil {
		s.log.Debug("cannot tell the group what was released", "group", s.opts.Group, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = due
}

// Close implements [stream.Stream].
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.announce()
	s.mu.Unlock()
	s.stop()
	<-s.watched
	s.client.Close()
	return nil
}

// Stats says what the stream holds and has done.
type Stats struct {
	Partitions   int
	Leaderless   int   // partitions that nobody leads at the moment
	WaitingBytes int64 // data of appends that were not answered

	// Counted since Open.
	Records        int64 // acknowledged
	DataBytes      int64 // of these records
	Failed         int64 // records that were not acknowledged
	Requests       int64 // sent to produce
	FailedRequests int64 // of these, those that got no answer; the client sends them again
	LeaderMoves    int64 // of partitions, as far as they were seen
}

// Stats returns what the stream holds and has done.
func (s *Stream) Stats() Stats {
	st := Stats{
		Records: s.records.Load(), DataBytes: s.bytes.Load(), Failed: s.failures.Load(),
		Requests: s.health.requests.Load(), FailedRequests: s.health.failed.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Partitions, st.WaitingBytes, st.LeaderMoves = len(s.partitions), s.waiting, s.leaderMoves
	for _, p := range s.partitions {
		if p.Leader < 0 {
			st.Leaderless++
		}
	}
	return st
}
