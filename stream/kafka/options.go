package kafka

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Names of the topics.
const (
	DefaultTopic       = "daybook.events"
	DefaultDeadLetters = "daybook.dead-letters"
)

// Options of a stream. Brokers is required; another field that is zero means its
// default.
type Options struct {
	// Brokers are addresses, host:port, of some of the cluster's brokers, which
	// name the others.
	Brokers []string

	// Topic is the topic; the default is DefaultTopic.
	Topic string

	// Create says how to make the topic where it does not exist. nil: it must.
	Create *Topic

	// MinRetention is how long the topic should hold a record at least: for as
	// long as the store may be away, and a publisher may come back with the same
	// event. A shorter retention is among the Findings. 0: any will do.
	MinRetention time.Duration

	// MinMessage is how many bytes of a record, framing included, the topic must
	// take at least; at most 1 MiB. The default is 66 KiB, for the largest event.
	MinMessage int

	// TLS is how to talk TLS to the brokers; nil: they are spoken to in the clear.
	TLS  *tls.Config
	SASL SASL

	// ClientID tells the cluster's operators whose requests these are. The
	// default is "daybook".
	ClientID string

	// Group is the consumer group whose offsets tell lag tools what was released;
	// "": none is told. It has no members, and nothing is ever read from it.
	Group string

	// DeliveryTimeout is how long Append tries. The default is 30 s; at least 1 s.
	DeliveryTimeout time.Duration

	// MaxBatchBytes is the most data that one Append takes. The default is 32 MiB.
	MaxBatchBytes int

	// MaxWaitingBytes is how much data may be on its way to the brokers before
	// Append refuses more with stream.ErrOverloaded. The default is 64 MiB.
	MaxWaitingBytes int64

	Logger *slog.Logger // nil: nothing is logged
}

// Topic is how a topic is made.
type Topic struct {
	// Partitions is how many there are. They can be added to later, which moves
	// users between them, and never be taken away. The default is 12.
	Partitions int32

	// Replication is on how many brokers each partition lies. The default is
	// three, or as many as there are brokers.
	Replication int16

	// MinInsyncReplicas is how many of them must hold a record before it is
	// acknowledged. The default is one less than Replication, at least one.
	MinInsyncReplicas int

	// Retention is how long records are held. The default is 7 days; negative:
	// for ever.
	Retention time.Duration
}

// SASL is who Daybook is to the cluster. The zero SASL is nobody.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User      string
	Password  string
}

// ParseURL reads kafka://host[:port][,host[:port]...][/topic], where the port is
// 9092 by default.
func ParseURL(s string) (Options, error) {
	const form = "write it as kafka://host:9092,host2:9092/topic"
	rest, ok := strings.CutPrefix(s, "kafka://")
	if !ok {
		return Options{}, fmt.Errorf("stream %q: %s", s, form)
	}
	if strings.Contains(rest, "@") {
		return Options{}, fmt.Errorf("stream kafka://…@…: a user and password have settings of their own; %s", form)
	}
	if i := strings.IndexAny(rest, "?# "); i >= 0 {
		return Options{}, fmt.Errorf("stream %q: %q has no meaning here; %s", s, rest[i:], form)
	}
	hosts, topic, hasTopic := strings.Cut(rest, "/")
	o := Options{Topic: topic}
	if hasTopic {
		if err := checkTopicName(topic); err != nil {
			return Options{}, fmt.Errorf("stream %q: %w", s, err)
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := withPort(host)
		if err != nil {
			return Options{}, fmt.Errorf("stream %q: %w; %s", s, err, form)
		}
		o.Brokers = append(o.Brokers, addr)
	}
	return o, nil
}

func withPort(host string) (string, error) {
	h, port, err := net.SplitHostPort(host)
	if err != nil {
		h, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "9092"
		if strings.Contains(h, ":") && net.ParseIP(h) == nil {
			return "", fmt.Errorf("broker %q is not host:port", host)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("broker %q has the port %q, not a number from 1 to 65535", host, port)
	}
	if h == "" {
		return "", fmt.Errorf("broker %q has no host", host)
	}
	return net.JoinHostPort(h, port), nil
}

// checkTopicName says what is wrong with a name before a broker does.
func checkTopicName(name string) error {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("topic %q: %q is not allowed in it; letters, digits, '.', '_' and '-' are", name, c)
		}
	}
	if name == "" || name == "." || name == ".." || len(name) > 249 {
		return fmt.Errorf("topic %q: a name has 1 to 249 characters, and is not %q or %q", name, ".", "..")
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	o.Topic = cmp.Or(o.Topic, DefaultTopic)
	o.ClientID = cmp.Or(o.ClientID, "daybook")
	o.DeliveryTimeout = cmp.Or(o.DeliveryTimeout, 30*time.Second)
	o.MinMessage = cmp.Or(o.MinMessage, minMessage)
	o.MaxBatchBytes = cmp.Or(o.MaxBatchBytes, 32<<20)
	o.MaxWaitingBytes = cmp.Or(o.MaxWaitingBytes, 64<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Brokers) == 0 {
		return o, errors.New("kafka: option Brokers is empty: name at least one broker as host:port")
	}
	if err := checkTopicName(o.Topic); err != nil {
		return o, fmt.Errorf("kafka: option Topic: %w", err)
	}
	if o.DeliveryTimeout < time.Second {
		return o, fmt.Errorf("kafka: option DeliveryTimeout is %s: it must be at least 1s", o.DeliveryTimeout)
	}
	if o.MaxBatchBytes < 0 || o.MaxWaitingBytes < 0 || o.MinRetention < 0 {
		return o, fmt.Errorf("kafka: options MaxBatchBytes %d, MaxWaitingBytes %d and MinRetention %s must not be negative",
			o.MaxBatchBytes, o.MaxWaitingBytes, o.MinRetention)
	}
	if c := o.Create; c != nil && (c.Partitions < 0 || c.Replication < 0 || c.MinInsyncReplicas < 0) {
		return o, fmt.Errorf("kafka: options Partitions %d, Replication %d and MinInsyncReplicas %d must not be negative",
			c.Partitions, c.Replication, c.MinInsyncReplicas)
	}
	return o, nil
}

// client returns what producing and reading have in common.
func (o *Options) client() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.WithLogger(clientLogger{o.Logger}),
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMinAge(250 * time.Millisecond), // how soon a leader that moved is looked for again
		kgo.MetadataMaxAge(10 * time.Second),       // how soon a broker that hangs is left for the one that took over
		kgo.DialTimeout(5 * time.Second),
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.RetryTimeout(o.DeliveryTimeout),
		kgo.DisableClientMetrics(),
	}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	s := o.SASL
	if s != (SASL{}) && (s.User == "" || s.Password == "") {
		return nil, errors.New("kafka: option SASL needs a user and a password")
	}
	switch s.Mechanism {
	case "":
		if s.User != "" {
			return nil, errors.New("kafka: option SASL has a user and no mechanism: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are accepted")
		}
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("kafka: option SASL has the mechanism %q: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are accepted", s.Mechanism)
	}
	return opts, nil
}

// backoff is how long to wait after so many failures: from 50 ms to 1 s, and a
// quarter more or less, so that clients do not come back all at once.
func backoff(fails int) time.Duration {
	d := min(time.Second, 50*time.Millisecond<<min(max(fails-1, 0), 10))
	return d*3/4 + rand.N(d/2)
}
