package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// minMessage is what a topic of events must take: the largest, which is
	// 64 KiB, its key and its framing.
	minMessage = 66 << 10
	// maxMessage is the largest batch of records that is sent, if the topic
	// takes it.
	maxMessage = 1 << 20
)

// Finding is a setting of the topic with which acknowledged events could be lost,
// or publishing could stop, without anything having gone wrong elsewhere.
type Finding struct {
	Setting, Value string
	Risk           string // what can happen, and which value is safe
}

func (f Finding) String() string { return fmt.Sprintf("%s=%s: %s", f.Setting, f.Value, f.Risk) }

// errNoTopic is returned by describe.
var errNoTopic = errors.New("topic does not exist")

// ensureTopic finds the topic or makes it, and checks its settings.
func (s *Stream) ensureTopic(ctx context.Context) error {
	meta, err := s.describe(ctx)
	if errors.Is(err, errNoTopic) {
		if s.opts.Create == nil {
			return fmt.Errorf("topic %s does not exist, and Daybook was not told to create it", s.opts.Topic)
		}
		if err := s.createTopic(ctx, len(meta.Brokers)); err != nil {
			return err
		}
		meta, err = s.awaitTopic(ctx)
	}
	if err != nil {
		return err
	}
	s.adoptTopic(meta)
	return s.checkTopic(ctx)
}

// describe asks for the topic's partitions. The metadata holds the brokers even
// when there is no such topic.
func (s *Stream) describe(ctx context.Context) (kadm.Metadata, error) {
	meta, err := s.admin.Metadata(ctx, s.opts.Topic)
	if err != nil {
		return meta, fmt.Errorf("describe topic %s: %w", s.opts.Topic, err)
	}
	t := meta.Topics[s.opts.Topic]
	switch {
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		return meta, errNoTopic
	case t.Err != nil:
		return meta, fmt.Errorf("describe topic %s: %w", s.opts.Topic, t.Err)
	}
	return meta, nil
}

// createTopic makes the topic. It is no error when another makes it first.
func (s *Stream) createTopic(ctx context.Context, brokers int) error {
	c := *s.opts.Create
	c.Partitions = cmp.Or(c.Partitions, 12)
	c.Replication = cmp.Or(c.Replication, int16(max(1, min(3, brokers))))
	c.MinInsyncReplicas = cmp.Or(c.MinInsyncReplicas, max(1, int(c.Replication)-1))
	c.Retention = cmp.Or(c.Retention, 7*24*time.Hour)
	retention := int64(-1)
	if c.Retention > 0 {
		retention = c.Retention.Milliseconds()
	}
	value := func(v any) *string { return new(fmt.Sprint(v)) }
	resp, err := s.admin.CreateTopic(ctx, c.Partitions, c.Replication, map[string]*string{
		"cleanup.policy":                 value("delete"),
		"retention.ms":                   value(retention),
		"retention.bytes":                value(-1),
		"min.insync.replicas":            value(c.MinInsyncReplicas),
		"unclean.leader.election.enable": value(false),
		"message.timestamp.type":         value("LogAppendTime"),
		"max.message.bytes":              value(maxMessage + 12), // a broker counts the batch's own frame
	}, s.opts.Topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	if err != nil {
		if resp.ErrMessage != "" {
			err = fmt.Errorf("%w: %s", err, resp.ErrMessage)
		}
		return fmt.Errorf("create topic %s with %d partitions and replication %d: %w", s.opts.Topic, c.Partitions, c.Replication, err)
	}
	s.log.Info("created the topic", "topic", s.opts.Topic, "partitions", c.Partitions, "replication", c.Replication,
		"min.insync.replicas", c.MinInsyncReplicas)
	return nil
}

// awaitTopic waits until the brokers know of a topic that was just made, and each
// partition has a leader.
func (s *Stream) awaitTopic(ctx context.Context) (kadm.Metadata, error) {
	for {
		meta, err := s.describe(ctx)
		if err == nil && !leaderless(meta.Topics[s.opts.Topic]) {
			return meta, nil
		}
		select {
		case <-ctx.Done():
			return meta, fmt.Errorf("wait for topic %s after creating it: %w", s.opts.Topic, cmp.Or(err, context.Cause(ctx)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func leaderless(t kadm.TopicDetail) bool {
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return true
		}
	}
	return len(t.Partitions) == 0
}

// checkTopic reads the topic's settings. It fails when they would not let events
// be published at all; what is merely unsafe becomes Findings.
func (s *Stream) checkTopic(ctx context.Context) error {
	rc, err := s.readConfigs(ctx)
	if err != nil {
		if !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
			return fmt.Errorf("read the settings of topic %s: %w", s.opts.Topic, err)
		}
		s.findings = []Finding{{"DescribeConfigs", "denied", "nobody has checked that the topic is safe; allow it to this client"}}
		return nil
	}
	values := settings{}
	for _, c := range rc.Configs {
		if c.Value != nil {
			values[c.Key] = *c.Value
		}
	}
	if n := values.number("max.message.bytes", maxMessage); n < int64(s.opts.MinMessage) {
		return fmt.Errorf("topic %s has max.message.bytes=%d; the largest record takes %d, so set it to at least that", s.opts.Topic, n, s.opts.MinMessage)
	} else {
		s.maxBatch = int32(min(n, maxMessage))
	}
	replicas := int64(s.replicas)
	if isr := values.number("min.insync.replicas", 1); isr > replicas {
		return fmt.Errorf("topic %s has min.insync.replicas=%d and %d replicas, so nothing can be published to it", s.opts.Topic, isr, replicas)
	} else {
		s.minISR = int(isr)
	}
	s.findings = findings(values, replicas, s.opts.MinRetention)
	return nil
}

// readConfigs reads the topic's settings from any broker. One that does not know
// yet of a topic that was just made is asked again.
func (s *Stream) readConfigs(ctx context.Context) (rc kadm.ResourceConfig, err error) {
	for {
		configs, err := s.admin.DescribeTopicConfigs(ctx, s.opts.Topic)
		if err == nil {
			rc, err = configs.On(s.opts.Topic, nil)
		}
		if err == nil {
			err = rc.Err
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return rc, err
		}
		select {
		case <-ctx.Done():
			return rc, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// settings are a topic's.
type settings map[string]string

func (v settings) number(key string, absent int64) int64 {
	if n, err := strconv.ParseInt(v[key], 10, 64); err == nil {
		return n
	}
	return absent
}

// findings judges a topic with so many replicas.
func findings(v settings, replicas int64, minRetention time.Duration) []Finding {
	var fs []Finding
	find := func(setting, format string, args ...any) {
		fs = append(fs, Finding{setting, v[setting], fmt.Sprintf(format, args...)})
	}
	isr := v.number("min.insync.replicas", 1)
	switch {
	case replicas == 1:
		fs = append(fs, Finding{"replication", "1", "acknowledged events are lost with the one disk that they are on; have three replicas"})
	case isr == 1:
		find("min.insync.replicas", "an event may be acknowledged while it is on one disk only, and is lost with it; set 2, with three replicas")
	case isr == replicas:
		find("min.insync.replicas", "nothing can be published while any one of the %d brokers of a partition is away; have one replica more", replicas)
	}
	if v["unclean.leader.election.enable"] == "true" {
		find("unclean.leader.election.enable", "a replica that lacks acknowledged events may become the leader, and they are lost; set false")
	}
	if strings.Contains(v["cleanup.policy"], "compact") {
		find("cleanup.policy", "compaction removes all but the newest event of every user; set delete")
	}
	if ms := v.number("retention.ms", -1); ms >= 0 && ms < minRetention.Milliseconds() {
		find("retention.ms", "events that were not indexed for %s are dropped; set at least %d", time.Duration(ms)*time.Millisecond, minRetention.Milliseconds())
	}
	if v.number("retention.bytes", -1) >= 0 {
		find("retention.bytes", "events are dropped when a partition grows beyond that, however new they are; set -1")
	}
	if v["message.timestamp.type"] == "CreateTime" {
		find("message.timestamp.type", "received_at is what a publisher says, and an event that comes with an old time is dropped early; set LogAppendTime")
	}
	return fs
}
