package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/internal/kafkatest"
	"github.com/daybook-log/daybook/stream"
)

// run runs a client with input on its standard input.
func run(t testing.TB, input string, cmd *exec.Cmd) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// publish runs a client that publishes n events, and checks that they are
// stored, once each and in order.
func publish(t *testing.T, m *machine, n int, cmd *exec.Cmd) {
	t.Helper()
	c := begin(t, cmd)
	c.publish(n)
	c.end()
	m.await(t, int64(n)) // with acks=0 the client has not waited
	c.stored(m)
}

func TestFranz(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			m := boot(t, Options{})
			cl := franz(t, m, kgo.ProducerBatchCompression(codec))
			const n = 5000
			var want []string
			for i := range n {
				user := fmt.Sprintf("user-%d", i)
				want = append(want, user)
				cl.Produce(t.Context(), kgo.StringRecord(eventOf(user)), func(r *kgo.Record, err error) {
					if err != nil || r.Offset != int64(i) {
						t.Errorf("record %d: offset %d, %v", i, r.Offset, err)
					}
				})
			}
			if err := cl.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := m.users(t); !slices.Equal(got, want) {
				t.Errorf("%d events stored, %d published", len(got), n)
			}
		})
	}
}

// franz returns a franz-go client of m.
func franz(t testing.TB, m *machine, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(m.addr()), kgo.DefaultProduceTopic(DefaultTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestKcat publishes with kcat, which is librdkafka.
func TestKcat(t *testing.T) {
	for _, settings := range []string{
		"compression.codec=none,acks=0", "compression.codec=none,acks=1", "compression.codec=none,enable.idempotence=true", "compression.codec=gzip",
		"compression.codec=snappy,enable.idempotence=true", "compression.codec=lz4", "compression.codec=zstd,enable.idempotence=true",
	} {
		t.Run(settings, func(t *testing.T) {
			m := boot(t, Options{})
			publish(t, m, 1000, kcat(t, m, strings.Split(settings, ",")...))
			if got := m.server.metrics.EventsAcks0.Load(); (got > 0) != strings.Contains(settings, "acks=0") {
				t.Errorf("%d events with acks=0", got)
			}
		})
	}
	t.Run("metadata", func(t *testing.T) {
		m := boot(t, Options{Topics: []string{"one", "two"}})
		stdout, stderr, err := run(t, "", kafkatest.Kcat(t, "-L", "-b", m.addr()))
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		for _, want := range []string{"broker 1 at " + m.addr(), `topic "one" with 1 partitions`, `topic "two" with 1 partitions`} {
			if !strings.Contains(stdout, want) {
				t.Errorf("kcat -L prints no %q:\n%s", want, stdout)
			}
		}
	})
	t.Run("a refused event", func(t *testing.T) {
		m := boot(t, Options{})
		_, stderr, err := run(t, `{"user_id":"alice"}`+"\n", kcat(t, m))
		if err == nil || !strings.Contains(stderr, "Delivery failed") {
			t.Errorf("kcat says %v:\n%s", err, stderr)
		}
	})
}

// TestJava publishes with the console producer of Apache Kafka.
func TestJava(t *testing.T) {
	for _, settings := range []string{"compression.type=snappy", "compression.type=lz4,enable.idempotence=false", "compression.type=zstd,acks=1"} {
		t.Run(settings, func(t *testing.T) {
			m := boot(t, Options{})
			publish(t, m, 1000, java(t, m, strings.Split(settings, ",")...))
		})
	}
}

// Idempotent producers that are not franz-go, while the server is restarted twice
// with an answer on its way: every event is stored once, and in order.
func TestClientsThroughRestarts(t *testing.T) {
	for name, command := range map[string]func(*machine) *exec.Cmd{
		"kcat": func(m *machine) *exec.Cmd { return kcat(t, m, "enable.idempotence=true", "linger.ms=1") },
		"Java": func(m *machine) *exec.Cmd { return java(t, m, "linger.ms=1", "retries=2147483647") },
	} {
		t.Run(name, func(t *testing.T) {
			m := boot(t, Options{})
			c := begin(t, command(m))
			asked := int64(0)
			for range 2 {
				c.publish(500)
				m.await(t, 1)
				var lost atomic.Bool
				m.stream.do(func() error {
					m.server.each((*conn).cut)
					lost.Store(true)
					return nil
				})
				c.publish(500)
				until(t, lost.Load)
				m = m.restart(t, Options{})
				c.publish(500)
				m.await(t, 1)
				asked += m.server.metrics.BatchesAsked.Load()
			}
			c.end()
			c.stored(m)
			if asked == 0 {
				t.Error("no batch was asked for again")
			}
		})
	}
}

// librdkafka, whose batches are on their way while appends fail: what it takes for
// published is stored, once and in order. It takes the answer to a batch for that
// to all before it, and gives up for ever when one is out of order for no reason.
func TestKcatThroughFailures(t *testing.T) {
	for name, failure := range map[string]error{"overloaded": stream.ErrOverloaded, "not known what was appended": context.DeadlineExceeded} {
		for _, from := range []int64{0, 1} { // events that are accepted before appends fail
			t.Run(fmt.Sprintf("%s, from %d", name, from), func(t *testing.T) {
				for seed := range uint64(4) {
					m := boot(t, Options{})
					chance := rand.New(rand.NewPCG(seed, 0))
					failures := 0
					m.stream.do(func() error { // called by one connection at a time
						if m.metrics.Accepted.Load() >= from && failures < 30 && chance.IntN(10) < 6 {
							failures++
							return fmt.Errorf("append: %w", failure)
						}
						return nil
					})
					c := begin(t, kcat(t, m, "enable.idempotence=true", "linger.ms=0", "batch.num.messages=3", "retry.backoff.ms=5"))
					c.publish(60)
					c.end()
					c.stored(m)
				}
			})
		}
	}
}

// A producer that tries a batch a few times only, and appends that fail for
// longer: it gives batches up, says so, and what it publishes later is stored.
func TestClientsThatGiveUp(t *testing.T) {
	for name, command := range map[string]func(*machine) *exec.Cmd{
		"kcat": func(m *machine) *exec.Cmd { return kcat(t, m, "enable.idempotence=true", "linger.ms=1", "retries=2") },
		"Java": func(m *machine) *exec.Cmd { return java(t, m, "linger.ms=1", "retries=2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := boot(t, Options{})
			c := begin(t, command(m))
			c.publish(500)
			m.await(t, 1)
			var appends atomic.Int64
			m.stream.do(func() error {
				appends.Add(1)
				return fmt.Errorf("append: %w", stream.ErrOverloaded)
			})
			until(t, func() bool { // one at least is given up
				c.publish(20)
				time.Sleep(50 * time.Millisecond)
				return appends.Load() > 3
			})
			m.stream.do(nil)
			until(t, func() bool { // what is under way may be given up, too
				c.publish(20)
				time.Sleep(100 * time.Millisecond)
				return slices.Contains(m.users(t), c.want[len(c.want)-20])
			})
			_ = c.input.Close()
			_ = c.cmd.Wait() // says that some were not published
			got, next := m.users(t), 0
			for _, user := range got {
				i := slices.Index(c.want[next:], user)
				if i < 0 {
					t.Fatalf("%s is stored twice, or behind %s", user, c.want[next-1])
				}
				next += i + 1
			}
			lost := strings.Count(c.said.String(), "Delivery failed") // Java's says nothing without a logger
			if name == "kcat" && (lost == 0 || len(got)+lost != len(c.want)) {
				t.Errorf("%d stored, %d not published, of %d", len(got), lost, len(c.want))
			}
		})
	}
}

// kcat returns a command that publishes with kcat, which does not end because the
// server is away.
func kcat(t testing.TB, m *machine, settings ...string) *exec.Cmd {
	t.Helper()
	args := []string{"-E", "-P", "-b", m.addr(), "-t", DefaultTopic}
	for _, s := range settings {
		args = append(args, "-X", s)
	}
	return kafkatest.Kcat(t, args...)
}

// java returns a command that publishes with the console producer of Apache Kafka.
func java(t testing.TB, m *machine, settings ...string) *exec.Cmd {
	t.Helper()
	args := []string{"--bootstrap-server", m.addr(), "--topic", DefaultTopic}
	for _, s := range settings {
		args = append(args, "--command-property", s)
	}
	return kafkatest.Tool(t, "org.apache.kafka.tools.ConsoleProducer", args...)
}

// client is a producer's program that reads events from its standard input.
type client struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.WriteCloser
	said  bytes.Buffer // by the program; read when it has ended
	want  []string     // the users of the events that it was given
}

func begin(t *testing.T, cmd *exec.Cmd) *client {
	t.Helper()
	c := &client{t: t, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &c.said, &c.said
	var err error
	if c.input, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publish gives it n more events.
func (c *client) publish(n int) {
	c.t.Helper()
	for range n {
		user := fmt.Sprintf("user-%d", len(c.want))
		c.want = append(c.want, user)
		if _, err := io.WriteString(c.input, eventOf(user)+"\n"); err != nil {
			c.end()
			c.t.Fatalf("%s: %v\n%s", user, err, c.said.String())
		}
	}
}

// end waits until it has published all and ended.
func (c *client) end() {
	c.t.Helper()
	if err := errors.Join(c.input.Close(), c.cmd.Wait()); err != nil {
		c.t.Fatalf("%v\n%s", err, c.said.String())
	}
}

// stored checks that its events are stored, once each and in order.
func (c *client) stored(m *machine) {
	c.t.Helper()
	if got := m.users(c.t); !slices.Equal(got, c.want) {
		c.t.Errorf("%d events stored, %d published\n%s", len(got), len(c.want), c.said.String())
	}
}

// TestKafkajs publishes with kafkajs.
func TestKafkajs(t *testing.T) {
	for _, args := range [][]string{{"none", "plain"}, {"none", "idempotent"}, {"gzip", "plain"}, {"gzip", "idempotent"}} {
		t.Run(strings.Join(args, ","), func(t *testing.T) {
			m := boot(t, Options{})
			publish(t, m, 1000, kafkatest.Kafkajs(t, append([]string{m.addr(), DefaultTopic}, args...)...))
		})
	}
	t.Run("a refused event", func(t *testing.T) {
		m := boot(t, Options{})
		_, stderr, err := run(t, `{"user_id":"alice"}`, kafkatest.Kafkajs(t, m.addr(), DefaultTopic, "none", "plain"))
		if err == nil || stderr == "" {
			t.Errorf("kafkajs says %v %q", err, stderr)
		}
	})
}
