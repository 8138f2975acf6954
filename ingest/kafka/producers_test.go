package kafka

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/event"
)

// What an idempotent producer's sequence numbers lead to. Each step is a batch:
// epoch, number of its first record, records; what is answered; and, unless it
// is refused, where the batch lies.
func TestSequences(t *testing.T) {
	type step struct {
		epoch    int16
		first, n int32
		refused  *kerr.Error // nil: accepted
		at       int64
		repeat   bool
	}
	again := kerr.NotEnoughReplicasAfterAppend
	for name, steps := range map[string][]step{
		"in order":                     {{0, 0, 2, nil, 0, false}, {0, 2, 1, nil, 2, false}, {0, 3, 5, nil, 3, false}},
		"sent again":                   {{0, 0, 2, nil, 0, false}, {0, 0, 2, nil, 0, true}, {0, 2, 1, nil, 2, false}, {0, 0, 2, nil, 0, true}, {0, 2, 1, nil, 2, true}},
		"one is missing":               {{0, 0, 2, nil, 0, false}, {0, 3, 1, kerr.OutOfOrderSequenceNumber, 0, false}, {0, 2, 1, nil, 2, false}, {0, 3, 1, nil, 3, false}},
		"overlaps what was appended":   {{0, 0, 2, nil, 0, false}, {0, 1, 2, kerr.OutOfOrderSequenceNumber, 0, false}},
		"five are remembered":          {{0, 0, 1, nil, 0, false}, {0, 1, 1, nil, 1, false}, {0, 2, 1, nil, 2, false}, {0, 3, 1, nil, 3, false}, {0, 4, 1, nil, 4, false}, {0, 0, 1, nil, 0, true}, {0, 5, 1, nil, 5, false}, {0, 1, 1, nil, 1, true}, {0, 0, 1, kerr.DuplicateSequenceNumber, 0, false}},
		"begun before it was known":    {{0, 100, 2, again, 0, false}, {0, 100, 2, nil, 0, false}, {0, 102, 1, nil, 2, false}, {0, 99, 1, kerr.OutOfOrderSequenceNumber, 0, false}},
		"several on the way":           {{0, 100, 2, again, 0, false}, {0, 102, 1, again, 0, false}, {0, 100, 2, nil, 0, false}, {0, 102, 1, nil, 2, false}},
		"a later one comes first":      {{0, 102, 1, again, 0, false}, {0, 100, 2, again, 0, false}, {0, 102, 1, again, 0, false}, {0, 100, 2, nil, 0, false}, {0, 102, 1, nil, 2, false}},
		"the oldest is given up":       {{0, 100, 2, again, 0, false}, {0, 102, 1, again, 0, false}, {0, 103, 1, again, 0, false}, {0, 102, 1, nil, 0, false}, {0, 103, 1, nil, 1, false}},
		"one by one, and given up":     {{0, 100, 2, again, 0, false}, {0, 102, 1, again, 0, false}, {0, 102, 1, nil, 0, false}},
		"a later one, numbers wrap":    {{0, 5, 1, again, 0, false}, {0, math.MaxInt32 - 1, 7, again, 0, false}, {0, 5, 1, again, 0, false}, {0, math.MaxInt32 - 1, 7, nil, 0, false}, {0, 5, 1, nil, 7, false}},
		"a later one, then the first":  {{0, 2, 1, again, 0, false}, {0, 0, 2, nil, 0, false}, {0, 2, 1, nil, 2, false}},
		"given up when asked":          {{0, 100, 2, again, 0, false}, {1, 0, 2, nil, 0, false}, {0, 100, 2, kerr.InvalidProducerEpoch, 0, false}},
		"a later epoch comes first":    {{1, 3, 1, again, 0, false}, {0, 100, 2, kerr.InvalidProducerEpoch, 0, false}, {1, 0, 3, nil, 0, false}, {1, 3, 1, nil, 3, false}},
		"a new epoch begins at 0":      {{0, 0, 2, nil, 0, false}, {1, 2, 1, kerr.OutOfOrderSequenceNumber, 0, false}, {1, 0, 1, nil, 2, false}, {1, 1, 1, nil, 3, false}},
		"an old epoch is over":         {{3, 0, 2, nil, 0, false}, {2, 2, 1, kerr.InvalidProducerEpoch, 0, false}, {3, 2, 1, nil, 2, false}},
		"a batch of an old epoch":      {{0, 0, 2, nil, 0, false}, {1, 0, 2, nil, 2, false}, {0, 0, 2, kerr.InvalidProducerEpoch, 0, false}, {1, 0, 2, nil, 2, true}},
		"numbers begin again":          {{0, math.MaxInt32 - 1, 3, again, 0, false}, {0, math.MaxInt32 - 1, 3, nil, 0, false}, {0, 1, 1, nil, 3, false}, {0, math.MaxInt32 - 1, 3, nil, 0, true}, {0, math.MaxInt32, 1, kerr.DuplicateSequenceNumber, 0, false}},
		"another length at that place": {{0, 0, 4, nil, 0, false}, {0, 0, 2, kerr.DuplicateSequenceNumber, 0, false}, {0, 0, 5, kerr.OutOfOrderSequenceNumber, 0, false}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &producer{}
			end := int64(0)
			for i, s := range steps {
				turn, repeat, refused := p.accept(s.epoch, s.first, s.n)
				if refused != s.refused || repeat != s.repeat {
					t.Fatalf("step %d: %v, repeat %v; want %v, %v", i, refused, repeat, s.refused, s.repeat)
				}
				if refused != nil {
					continue
				}
				if !repeat {
					p.land(turn, end)
					end += int64(s.n)
				}
				if turn.base != s.at || turn.state != appended {
					t.Errorf("step %d: at %d, state %d; want %d", i, turn.base, turn.state, s.at)
				}
			}
		})
	}
}

// What was not appended is owed: however often it fails, and whatever was known
// of the producer, what comes after it is to be sent again and not out of order;
// until the producer gives it up.
func TestSequencesOwed(t *testing.T) {
	for name, c := range map[string]struct {
		before []place // batches of 2 that come first
		at     place
	}{
		"from number 0":      {nil, place{0, 0}},
		"nothing is known":   {[]place{{0, 100}}, place{0, 100}},
		"numbers are large":  {[]place{{0, 1_500_000_000}}, place{0, 1_500_000_000}},
		"goes on":            {[]place{{0, 0}}, place{0, 2}},
		"a new epoch begins": {[]place{{0, 0}}, place{1, 0}},
	} {
		for _, onTheWay := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the next on the way: %v", name, onTheWay), func(t *testing.T) {
				p := &producer{}
				for _, at := range c.before {
					if turn, _, _ := p.accept(at.epoch, at.next, 2); turn != nil {
						p.land(turn, 0)
					}
				}
				testOwed(t, p, c.at, onTheWay)
			})
		}
	}
}

func testOwed(t *testing.T, p *producer, first place, onTheWay bool) {
	again := kerr.NotEnoughReplicas
	refused := func(at place, n int32, want *kerr.Error) {
		t.Helper()
		if turn, repeat, refusal := p.accept(at.epoch, at.next, n); turn != nil || repeat || refusal != want {
			t.Fatalf("%v: %v, want %v", at, refusal, want)
		}
	}
	accepted := func(at place, n int32) *turn {
		t.Helper()
		turn, repeat, refusal := p.accept(at.epoch, at.next, n)
		if turn == nil || repeat {
			t.Fatalf("%v: repeat %v, %v", at, repeat, refusal)
		}
		return turn
	}
	second, third := first.plus(2), first.plus(3)
	for range 20 {
		accepted(first, 2)
		if onTheWay {
			accepted(second, 1)
			p.fail()
		} else {
			p.fail()
			refused(second, 1, again)
		}
		refused(third, 4, again)
	}
	p.land(accepted(first, 2), 10)
	refused(third, 4, again) // until the second has come
	p.land(accepted(second, 1), 12)
	p.land(accepted(third, 4), 13)
	end := third.plus(4)
	refused(end.plus(1), 1, kerr.OutOfOrderSequenceNumber) // nothing is owed
	p.withdraw(accepted(end, 1))
	refused(end.plus(1), 1, kerr.OutOfOrderSequenceNumber)

	accepted(end, 1)
	p.fail()
	refused(end.plus(1), 1, again)
	accepted(end, 1)
	refused(end.plus(2), 1, again)
	p.fail()
	refused(end.plus(1), 1, again) // it has heard of the first failure only
	refused(end.plus(2), 1, again)
	refused(end.plus(1), 1, kerr.OutOfOrderSequenceNumber) // it has heard, and begins with another
	accepted(place{end.epoch + 1, 0}, 1)
}

// Batches on the way: a copy shares the outcome; a failure takes all of them
// back; a refused one only itself.
func TestSequencesOnTheWay(t *testing.T) {
	must := func(p *producer, epoch int16, first, n int32) *turn {
		t.Helper()
		turn, repeat, refused := p.accept(epoch, first, n)
		if repeat || refused != nil {
			t.Fatal(repeat, refused)
		}
		return turn
	}
	p := &producer{}
	a := must(p, 0, 0, 2)
	b := must(p, 0, 2, 1)
	if again, repeat, _ := p.accept(0, 0, 2); !repeat || again != a {
		t.Error("a copy of a batch on the way is no repeat of it")
	}
	if _, _, refused := p.accept(0, 0, 1); refused != kerr.OutOfOrderSequenceNumber {
		t.Errorf("a part of a batch on the way: %v", refused)
	}
	c := must(p, 0, 3, 1)
	p.withdraw(c)
	must(p, 0, 3, 7)
	p.land(a, 0)
	p.fail()
	if b.state != failed || p.taken != p.appended || p.taken.next != 2 {
		t.Errorf("after a failure: %+v", p.taken)
	}
	must(p, 0, 2, 1)
	must(p, 1, 0, 1)
	p.fail()
	must(p, 0, 2, 1)
}

// A retry over another connection waits for the outcome of the first attempt,
// and shares it when that succeeds.
func TestRetryOverAnotherConnection(t *testing.T) {
	for _, outcome := range []error{nil, fmt.Errorf("append: %w", context.DeadlineExceeded)} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			m := boot(t, Options{})
			entered, proceed := make(chan struct{}, 10), make(chan error, 10)
			m.stream.do(func() error { entered <- struct{}{}; return <-proceed })
			batch := numbered(9, 0, 0, eventOf("alice"), eventOf("bob"))
			first, second := m.raw(t), m.raw(t)
			first.send(produceOf(-1, batch))
			<-entered
			first.conn.Close()
			q := produceOf(-1, batch)
			second.send(q)
			until(t, func() bool { return m.server.metrics.Requests.Load() == 2 })
			proceed <- outcome
			proceed <- nil // of the second append, if there is one
			if p := second.receive(q, 0).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Errorf("%s at %d: %s", code(p.ErrorCode), p.BaseOffset, deref(p.ErrorMessage))
			}
			if got := m.users(t); !slices.Equal(got, []string{"alice", "bob"}) {
				t.Error(got)
			}
			if again := m.server.metrics.BatchesRepeat.Load(); (again == 1) != (outcome == nil) {
				t.Errorf("%d batches taken for repeats", again)
			}
		})
	}
}

// A retry after the server was restarted is the same events again, and in the
// same order, though the server knows nothing of the producer any more.
func TestRetryAfterRestart(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	batches := [][]byte{
		numbered(9, 0, 0, eventOf("alice"), eventOf("bob")),
		numbered(9, 0, 2, eventOf("carol")),
		numbered(9, 0, 3, eventOf("dave")),
	}
	r.produces(batches[0], "NONE", 0)
	r.produces(batches[1], "NONE", 2)
	m = m.restart(t, Options{})
	// The first was answered, as far as the producer is concerned. The connection
	// of the second was refused, that of the third was not.
	const again = "NOT_ENOUGH_REPLICAS_AFTER_APPEND"
	m.raw(t).produces(batches[2], again, -1)
	r = m.raw(t)
	r.produces(batches[1], again, -1)
	r.produces(batches[2], again, -1)
	if got := m.users(t); !slices.Equal(got, []string{"alice", "bob", "carol"}) {
		t.Error(got)
	}
	r.produces(batches[1], "NONE", 2)
	r.produces(batches[2], "NONE", 3)
	if got := m.users(t); !slices.Equal(got, []string{"alice", "bob", "carol", "dave"}) {
		t.Error(got)
	}
	if got := m.server.metrics.BatchesAsked.Load(); got != 3 {
		t.Errorf("%d batches were asked for again", got)
	}
}

// Who hears no answer is not told to send again: what comes is appended.
func TestSequenceWithoutAnswers(t *testing.T) {
	m := boot(t, Options{})
	r := m.raw(t)
	for _, first := range []int32{7, 9} {
		r.send(produceOf(0, numbered(9, 0, first, eventOf("alice"))))
	}
	m.await(t, 2)
	if got := m.users(t); !slices.Equal(got, []string{"alice", "alice"}) {
		t.Error(got)
	}
}

// stubborn returns a franz-go client of m that sends again at once, for ever.
func stubborn(t testing.TB, m *machine, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return franz(t, m, append(opts, kgo.RecordRetries(math.MaxInt32), kgo.RequestRetries(math.MaxInt32), kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }))...)
}

// produce publishes an event, and wants it to be acknowledged in time.
func produce(t testing.TB, cl *kgo.Client, user string) {
	cl.Produce(t.Context(), kgo.StringRecord(eventOf(user)), func(_ *kgo.Record, err error) {
		if err != nil {
			t.Errorf("%s: %v", user, err)
		}
	})
}

// A real producer through failed appends, cut connections and restarts: every
// event is stored once and in order, although none has an identity of its own.
func TestFranzThroughFaults(t *testing.T) {
	m := boot(t, Options{})
	cl := stubborn(t, m, kgo.MaxBufferedRecords(1000))
	const n = 6000
	var want []string
	for i := range n {
		switch i {
		case 1000, 3000:
			lost := 0
			m.stream.do(func() error { // the third append succeeds, but its answer never comes
				if lost++; lost < 3 {
					return context.DeadlineExceeded
				}
				if lost == 3 {
					m.server.each((*conn).cut)
				}
				return nil
			})
		case 2000, 4000:
			m = m.restart(t, Options{})
		}
		user := fmt.Sprintf("user-%d", i)
		want = append(want, user)
		produce(t, cl, user)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.users(t); !slices.Equal(got, want) {
		t.Errorf("%d events stored, %d published", len(got), n)
	}
}

// A producer whose request is lost after a restart, while the next arrives over
// another connection: once, and twice. franz-go opens one for each request.
func TestFranzRequestsLost(t *testing.T) {
	for lost := range int32(3) {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			m := boot(t, Options{})
			var losing atomic.Int32
			cl := stubborn(t, m,
				kgo.ProducerBatchMaxBytes(1000), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(10*time.Millisecond),
				kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, host)
					return &losingConn{Conn: nc, marker: []byte("user-50"), left: &losing}, err
				}))
			var want []string
			publish := func(n int) {
				t.Helper()
				for range n {
					user := fmt.Sprintf("user-%d", len(want))
					want = append(want, user)
					produce(t, cl, user)
				}
				if err := cl.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			publish(50)
			m = m.restart(t, Options{})
			losing.Store(lost)
			publish(200)
			if got := m.users(t); !slices.Equal(got, want) {
				t.Errorf("%d events stored, %d published: %v", len(got), len(want), got)
			}
			if left, asked := losing.Load(), m.server.metrics.BatchesAsked.Load(); left > 0 || asked == 0 {
				t.Errorf("%d requests were not lost, %d batches were asked for again", left, asked)
			}
		})
	}
}

// losingConn is a client's connection that breaks in the midst of a request that
// holds marker, as long as left is above 0.
type losingConn struct {
	net.Conn
	marker []byte
	left   *atomic.Int32
}

func (c *losingConn) Write(b []byte) (int, error) {
	if !bytes.Contains(b, c.marker) || c.left.Load() <= 0 {
		return c.Conn.Write(b)
	}
	time.Sleep(20 * time.Millisecond) // in which the client makes the next ready
	c.left.Add(-1)
	_, _ = c.Conn.Write(b[:10])
	_ = c.Conn.Close()
	return 10, net.ErrClosed
}

// Identities are those of the place in the sequence, and sort by time.
func TestIdentify(t *testing.T) {
	seen := map[event.ID]string{}
	for _, key := range []producerKey{{"", "a", 1}, {"", "b", 1}, {"", "a", 2}, {"k", "a", 1}} {
		for epoch := range int16(3) {
			p := &producer{key: key}
			for i := range 50 {
				x := &turn{producer: p, at: place{epoch, math.MaxInt32 - 20}}
				id := x.identify(i, someTime)
				same := &turn{producer: p, at: x.at.plus(int32(i))}
				if id != same.identify(0, someTime) {
					t.Fatalf("%v: record %d has another identity in another batch", key, i)
				}
				name := fmt.Sprint(key, epoch, i)
				if other, ok := seen[id]; ok {
					t.Fatalf("%s and %s have one identity", name, other)
				}
				seen[id] = name
				if id.Version() != 8 || id[8]>>6 != 2 || !strings.HasPrefix(id.String(), "01a20cff-7d00-8") {
					t.Fatalf("%s is no UUIDv8 of its time", id)
				}
			}
		}
	}
}

// Producers are forgotten when they were silent for a day, and when there are
// too many; never one whose batches are on their way.
func TestForgetProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ps producers
		ps.init()
		c := new(conn)
		enter := func(id int64) *producer {
			p, err := ps.enter(t.Context(), producerKey{id: id}, c)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		busy := enter(-1)
		for id := range int64(maxProducers + 10) {
			ps.leave(enter(id))
		}
		if n := len(ps.byKey); n > maxProducers || n != ps.bySilence.Len() || ps.byKey[busy.key] != busy {
			t.Errorf("%d producers are remembered, the busy one: %v", n, ps.byKey[busy.key] == busy)
		}
		if ps.byKey[producerKey{id: 0}] != nil || ps.byKey[producerKey{id: maxProducers + 9}] == nil {
			t.Error("not the one that was silent for longest is forgotten")
		}
		ps.leave(busy)
		time.Sleep(forgetAfter)
		ps.leave(enter(1 << 40))
		if n := len(ps.byKey); n != 1 {
			t.Errorf("%d producers are remembered after a day", n)
		}
	})
}
