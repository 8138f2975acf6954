package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/internal/kafkatest"
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
func publish(t *testing.T, m *machine, n int64, cmd *exec.Cmd) {
	t.Helper()
	var input strings.Builder
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("user-%d", i))
		input.WriteString(eventOf(want[i]) + "\n")
	}
	stdout, stderr, err := run(t, input.String(), cmd)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	m.await(t, n) // with acks=0 the client has not waited
	if got := m.users(t); !slices.Equal(got, want) {
		t.Errorf("%d events stored, %d published: %.200v\n%s%s", len(got), n, got, stdout, stderr)
	}
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
			args := []string{"-P", "-b", m.addr(), "-t", DefaultTopic}
			for s := range strings.SplitSeq(settings, ",") {
				args = append(args, "-X", s)
			}
			publish(t, m, 1000, kafkatest.Kcat(t, args...))
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
		_, stderr, err := run(t, `{"user_id":"alice"}`+"\n", kafkatest.Kcat(t, "-P", "-b", m.addr(), "-t", DefaultTopic))
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
			args := []string{"--bootstrap-server", m.addr(), "--topic", DefaultTopic}
			for s := range strings.SplitSeq(settings, ",") {
				args = append(args, "--command-property", s)
			}
			publish(t, m, 1000, kafkatest.Tool(t, "org.apache.kafka.tools.ConsoleProducer", args...))
		})
	}
}

// Idempotent producers that are not franz-go, and the server restarted twice
// while they publish: every event is stored once, and in order.
func TestClientsThroughRestarts(t *testing.T) {
	for name, command := range map[string]func(*machine) *exec.Cmd{
		"kcat": func(m *machine) *exec.Cmd {
			return kafkatest.Kcat(t, "-E", "-P", "-b", m.addr(), "-t", DefaultTopic, "-X", "enable.idempotence=true", "-X", "linger.ms=1")
		},
		"Java": func(m *machine) *exec.Cmd {
			return kafkatest.Tool(t, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", m.addr(), "--topic", DefaultTopic, "--command-property", "linger.ms=1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3000
			var want []string
			for i := range n {
				want = append(want, fmt.Sprintf("user-%d", i))
			}
			m := boot(t, Options{})
			cmd := command(m)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			input, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, user := range want {
				if i == n/3 || i == 2*n/3 {
					m.await(t, 1)
					m = m.restart(t, Options{})
				}
				if _, err := input.Write([]byte(eventOf(user) + "\n")); err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
			}
			if err := errors.Join(input.Close(), cmd.Wait()); err != nil {
				t.Errorf("%v\n%s", err, said.String())
			}
			if got := m.users(t); !slices.Equal(got, want) {
				t.Errorf("%d events stored, %d published\n%s", len(got), n, said.String())
			}
		})
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
