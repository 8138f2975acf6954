package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/kafkatest"
	"github.com/daybook-log/daybook/stream"
)

// three are brokers that miss one another sooner than they do by default.
var three = kafkatest.Shared{Options: kafkatest.Options{Nodes: 3, Properties: map[string]string{
	"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500",
}}}

func TestThreeBrokers(t *testing.T) {
	t.Parallel()
	c := three.Cluster(t)
	t.Run("contract", func(t *testing.T) { contract(t, c, 3) })
	t.Run("faults", func(t *testing.T) { faults(t, c) })
}

// faults publishes to three brokers and reads from them while they are killed,
// frozen, restarted and their partitions moved about: what was acknowledged is
// read, and nothing is read twice but what was published twice. KAFKA_ROUNDS says
// how often it goes through the faults.
func faults(t *testing.T, c *kafkatest.Cluster) {
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("KAFKA_ROUNDS")); err == nil {
		rounds = n
	}
	o := options(t, c, 4)
	o.Logger, o.DeliveryTimeout = nil, 20*time.Second
	s := mustOpen(t, o)
	if fs := s.Findings(); len(fs) != 0 {
		t.Errorf("a topic that Daybook made is not safe: %v", fs)
	}
	load := startLoad(t, s)
	for round := range rounds {
		load.progress("with all brokers")
		leader, follower, third := nodes(t, c, o.Topic)

		leader.Kill(t)
		load.progress("with a leader killed")

		third.Kill(t)
		refused(t, o)
		leader.Restart(t)
		load.progress("with one of two brought back")
		third.Restart(t)
		c.Ready(t)

		follower.Pause(t)
		load.progress("with a broker frozen")
		follower.Resume(t)
		c.Ready(t)

		electPreferred(t, c, o.Topic)
		load.progress("with leaders moved back")

		third.Stop(t)
		load.progress("with a broker stopped")
		third.Restart(t)
		if round+1 < rounds {
			c.Ready(t)
		}
	}
	load.stop()
	t.Logf("%d records acknowledged, %d appends refused; %+v", len(load.acked), load.refused, s.Stats())
}

// nodes returns the leader of partition 0 and the other two.
func nodes(t *testing.T, c *kafkatest.Cluster, topic string) (leader, a, b *kafkatest.Node) {
	t.Helper()
	meta, err := c.Admin().Metadata(waiting(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	var others []*kafkatest.Node
	for _, n := range c.Nodes {
		if n.ID == meta.Topics[topic].Partitions[0].Leader {
			leader = n
		} else {
			others = append(others, n)
		}
	}
	if leader == nil || len(others) != 2 {
		t.Fatalf("partition 0 is led by %d", meta.Topics[topic].Partitions[0].Leader)
	}
	return leader, others[0], others[1]
}

// electPreferred gives partitions back to the brokers they were made on.
func electPreferred(t *testing.T, c *kafkatest.Cluster, topic string) {
	t.Helper()
	set := kadm.TopicsSet{}
	set.Add(topic, 0, 1, 2, 3)
	if _, err := c.Admin().ElectLeaders(waiting(t), kadm.ElectPreferredReplica, set); err != nil {
		t.Fatal(err)
	}
}

// refused publishes where it cannot work, and is told so in time.
func refused(t *testing.T, o Options) {
	t.Helper()
	o.Create, o.DeliveryTimeout = nil, 3*time.Second
	s, err := Open(waiting(t), o)
	if err != nil {
		// A cluster without a quorum need not describe its topics.
		t.Logf("open: %v", err)
		return
	}
	defer s.Close()
	for user := range 3 {
		b := &stream.Batch{}
		b.Add(stream.Key{User: fmt.Sprint(user)}, []byte("refused"))
		err := s.Append(waiting(t), b)
		if !errors.Is(err, stream.ErrUnavailable) || !strings.Contains(err.Error(), "did not acknowledge within 3s") {
			t.Errorf("append to one broker of three: %v; want ErrUnavailable", err)
		}
		if user == 0 {
			t.Logf("refused: %v", err)
		}
	}
}

// load publishes and reads until it is stopped.
type load struct {
	t      *testing.T
	s      *Stream
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	acked   map[string]event.Position // values
	refused int
	read    map[string]bool
	at      event.Positions // past what was read
	moved   chan struct{}   // closed when acked or read has grown
}

const publishers = 3

func startLoad(t *testing.T, s *Stream) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, s: s, cancel: cancel, acked: map[string]event.Position{}, read: map[string]bool{}, moved: make(chan struct{})}
	for p := range publishers {
		l.wg.Go(func() { l.publish(ctx, p) })
	}
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.wg.Go(func() { l.follow(ctx, r) })
	t.Cleanup(func() {
		cancel()
		l.wg.Wait()
	})
	return l
}

// publish appends batches, each until it is acknowledged, as a publisher does that
// wants its events in the log.
func (l *load) publish(ctx context.Context, publisher int) {
	for i := 0; ctx.Err() == nil; i++ {
		b := &stream.Batch{}
		for j := range 10 {
			b.Add(stream.Key{Tenant: "t", User: fmt.Sprint(publisher, j)}, fmt.Appendf(nil, "%d/%d/%d", publisher, i, j))
		}
		for ctx.Err() == nil {
			err := l.s.Append(context.WithoutCancel(ctx), b)
			if err != nil {
				if !errors.Is(err, stream.ErrUnavailable) {
					l.t.Errorf("Append: %v", err)
				}
				l.mu.Lock()
				l.refused++
				l.mu.Unlock()
				continue
			}
			l.mu.Lock()
			for j := range b.Len() {
				l.acked[string(b.Value(j))] = b.Position(j)
			}
			l.announce()
			l.mu.Unlock()
			break
		}
		time.Sleep(time.Millisecond) // the brokers, not the load, are what is tested
	}
}

// announce wakes whoever waits. mu is held.
func (l *load) announce() {
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *load) follow(ctx context.Context, r stream.Reader) {
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				l.t.Errorf("Next: %v", err)
			}
			return
		}
		l.mu.Lock()
		if want := l.at.At(b.Partition); b.Base != want {
			l.t.Errorf("read offset %d of partition %d, want %d", b.Base, b.Partition, want)
		}
		for i := range b.Len() {
			l.read[string(b.Value(i))] = true
		}
		l.at = l.at.Advance(b.Partition, b.Base+int64(b.Len()))
		l.announce()
		l.mu.Unlock()
	}
}

// until waits for what must come to be.
func (l *load) until(what string, done func() bool) {
	l.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		l.mu.Lock()
		ok, moved := done(), l.moved
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-moved:
		case <-deadline:
			l.t.Fatalf("%s: nothing moves; %+v", what, l.s.Stats())
		}
	}
}

// progress waits until records that are published from now on were acknowledged,
// in every partition, and read.
func (l *load) progress(when string) {
	l.t.Helper()
	begin := time.Now()
	l.mu.Lock()
	before := len(l.acked)
	l.mu.Unlock()
	l.until(when+": publishing", func() bool { return len(l.acked) >= before+publishers*10*5 })
	end, err := l.s.End(waiting(l.t))
	if err != nil {
		l.t.Fatalf("%s: %v", when, err)
	}
	l.until(when+": reading", func() bool { return l.at.Covers(end) })
	l.t.Logf("%s: goes on after %s", when, time.Since(begin).Round(10*time.Millisecond))
}

// stop ends the load and holds what was read against what was acknowledged.
func (l *load) stop() {
	l.t.Helper()
	end, err := l.s.End(waiting(l.t))
	if err != nil {
		l.t.Fatal(err)
	}
	l.until("at the end", func() bool { return l.at.Covers(end) })
	l.cancel()
	l.wg.Wait()
	r, err := l.s.Reader(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	again := map[event.Position]string{}
	for _, b := range until(l.t, l.s, r, nil) {
		for i := range b.Len() {
			again[b.Position(i)] = string(b.Value(i))
		}
	}
	for value, pos := range l.acked {
		if again[pos] != value {
			l.t.Errorf("%q was acknowledged at %v; there lies %q", value, pos, again[pos])
		}
		if !l.read[value] && end.Includes(pos) {
			l.t.Errorf("%q at %v was acknowledged and never read", value, pos)
		}
	}
}
