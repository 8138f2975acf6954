package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/daybook-log/daybook/stream"
)

func TestFindings(t *testing.T) {
	safe := settings{
		"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "cleanup.policy": "delete",
		"retention.ms": "604800000", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime",
	}
	with := func(key, value string) settings {
		s := settings{key: value}
		for k, v := range safe {
			if k != key {
				s[k] = v
			}
		}
		return s
	}
	tests := []struct {
		name     string
		settings settings
		replicas int64
		want     []string
	}{
		{"safe", safe, 3, nil},
		{"one in sync", with("min.insync.replicas", "1"), 3, []string{"min.insync.replicas=1"}},
		{"one replica", with("min.insync.replicas", "1"), 1, []string{"replication=1"}},
		{"no broker may be away", safe, 2, []string{"min.insync.replicas=2"}},
		{"unclean", with("unclean.leader.election.enable", "true"), 3, []string{"unclean.leader.election.enable=true"}},
		{"compact", with("cleanup.policy", "compact"), 3, []string{"cleanup.policy=compact"}},
		{"compact and delete", with("cleanup.policy", "compact,delete"), 3, []string{"cleanup.policy=compact,delete"}},
		{"short retention", with("retention.ms", "604799999"), 3, []string{"retention.ms=604799999"}},
		{"for ever", with("retention.ms", "-1"), 3, nil},
		{"by size", with("retention.bytes", "1073741824"), 3, []string{"retention.bytes=1073741824"}},
		{"publishers' time", with("message.timestamp.type", "CreateTime"), 3, []string{"message.timestamp.type=CreateTime"}},
	}
	for _, tt := range tests {
		var got []string
		for _, f := range findings(tt.settings, tt.replicas, 7*24*time.Hour) {
			got = append(got, f.Setting+"="+f.Value)
			if f.Risk == "" || !strings.HasPrefix(f.String(), got[len(got)-1]+": ") {
				t.Errorf("%s: %v", tt.name, f)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What others made is taken as it is, and judged.
func TestTopicOfOthers(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 1)
	o.Create, o.MinRetention = nil, time.Hour
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a topic that is not there: %v", err)
	}
	configs := map[string]*string{
		"cleanup.policy": new("compact"), "unclean.leader.election.enable": new("true"), "retention.ms": new("60000"),
	}
	if _, err := c.Admin().CreateTopic(t.Context(), 2, 1, configs, o.Topic); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, o)
	var got []string
	for _, f := range s.Findings() {
		got = append(got, f.Setting)
	}
	want := []string{"replication", "unclean.leader.election.enable", "cleanup.policy", "retention.ms", "message.timestamp.type"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	for key, bad := range map[string]string{"max.message.bytes": "65536", "min.insync.replicas": "2"} {
		o := options(t, c, 1)
		if _, err := c.Admin().CreateTopic(t.Context(), 1, 1, map[string]*string{key: new(bad)}, o.Topic); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), key+"="+bad) {
			t.Errorf("a topic with %s=%s: %v", key, bad, err)
		}
	}
}

// Two that start at the same time make one topic.
func TestCreateAtOnce(t *testing.T) {
	o := options(t, single.Cluster(t), 3)
	ids := make(chan string)
	for range 2 {
		go func() {
			s, err := Open(t.Context(), o)
			if err != nil {
				ids <- err.Error()
				return
			}
			ids <- s.ID().String()
			s.Close()
		}()
	}
	if a, b := <-ids, <-ids; a != b {
		t.Errorf("streams %s and %s", a, b)
	}
}

func TestOpenRefused(t *testing.T) {
	c := single.Cluster(t)
	secure := c.Secure
	tests := []struct {
		name   string
		change func(*Options)
		want   []string
	}{
		{"nobody listens", func(o *Options) { o.Brokers = []string{"127.0.0.1:1"} }, []string{"reach Kafka at 127.0.0.1:1", "refused"}},
		{"no TLS to a TLS listener", func(o *Options) { o.Brokers = secure.Brokers }, []string{"tls endpoint"}},
		{"nobody to a listener that wants SASL", func(o *Options) {
			o.Brokers, o.TLS = secure.Brokers, &tls.Config{RootCAs: secure.CA}
		}, []string{"SASL"}},
		{"TLS to a plain listener", func(o *Options) { o.TLS = &tls.Config{RootCAs: secure.CA} }, []string{"TLS misconfigured"}},
		{"an unknown authority", func(o *Options) {
			o.Brokers, o.TLS = secure.Brokers, &tls.Config{}
		}, []string{"certificate"}},
		{"a wrong password", func(o *Options) {
			o.Brokers, o.TLS = secure.Brokers, &tls.Config{RootCAs: secure.CA}
			o.SASL = SASL{"SCRAM-SHA-256", secure.User, "wrong"}
		}, []string{"SASL_AUTHENTICATION_FAILED"}},
		{"more replicas than brokers", func(o *Options) { o.Create.Replication = 3 }, []string{"replication 3", "INVALID_REPLICATION_FACTOR"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, c, 1)
			o.Logger = nil
			tt.change(&o)
			_, err := Open(waiting(t), o)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// TestSecure publishes and reads over TLS, as a user.
func TestSecure(t *testing.T) {
	c := single.Cluster(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		o := options(t, c, 2)
		o.Brokers, o.TLS = c.Secure.Brokers, &tls.Config{RootCAs: c.Secure.CA}
		o.SASL = SASL{mechanism, c.Secure.User, c.Secure.Password}
		s := mustOpen(t, o)
		b := &stream.Batch{}
		b.Add(stream.Key{Tenant: "t", User: "u"}, []byte(mechanism))
		if err := s.Append(waiting(t), b); err != nil {
			t.Fatalf("%s: %v", mechanism, err)
		}
		r, err := s.Reader(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Next(waiting(t)); err != nil || string(got.Value(0)) != mechanism || got.Position(0) != b.Position(0) {
			t.Errorf("%s: read %v, %v", mechanism, got, err)
		}
		r.Close()
	}
}

// A publisher learns from the error whether it is worth coming back.
func TestExplain(t *testing.T) {
	s := &Stream{opts: Options{Topic: "t", DeliveryTimeout: time.Second}}
	again := []error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.LeaderNotAvailable,
		kerr.TopicAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.UnknownTopicOrPartition, errors.New("connection refused")}
	for _, err := range again {
		if got := s.explain(fmt.Errorf("%w", err)); !errors.Is(got, stream.ErrUnavailable) || !errors.Is(got, err) {
			t.Errorf("%v is explained as %v", err, got)
		}
	}
	for _, err := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.PolicyViolation} {
		if got := s.explain(err); errors.Is(got, stream.ErrUnavailable) || !errors.Is(got, err) {
			t.Errorf("%v is explained as %v", err, got)
		}
	}
}

// A topic that is made anew is another log, and the stream says so.
func TestTopicMadeAnew(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 1)
	s := mustOpen(t, o)
	b := &stream.Batch{}
	b.Add(stream.Key{}, []byte("old"))
	if err := s.Append(waiting(t), b); err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(waiting(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Admin().DeleteTopic(t.Context(), o.Topic); err != nil {
		t.Fatal(err)
	}
	anew := mustOpen(t, o)
	if anew.ID() == s.ID() {
		t.Errorf("both topics are %s", s.ID())
	}
	if got, err := r.Next(waiting(t)); !errors.Is(err, stream.ErrFailed) || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("Next = %v, %v; want ErrFailed", got, err)
	}
	b = &stream.Batch{}
	b.Add(stream.Key{}, []byte("new"))
	for what, err := range map[string]error{"Append": s.Append(waiting(t), b), "Failed": s.Failed()} {
		if !errors.Is(err, stream.ErrFailed) {
			t.Errorf("%s = %v; want ErrFailed", what, err)
		}
	}
	if _, err := s.End(waiting(t)); !errors.Is(err, stream.ErrFailed) {
		t.Errorf("End: %v; want ErrFailed", err)
	}
}
