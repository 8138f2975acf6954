package kafkatest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A record that the Java console producer writes comes back after the broker was
// stopped and started again.
func TestCluster(t *testing.T) {
	c := Start(t, Options{})
	topic := Topic(t)
	if _, err := c.Admin().CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	produce := Tool(t, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", c.Brokers()[0], "--topic", topic)
	produce.Stdin = strings.NewReader("hello\n")
	if out, err := produce.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.Nodes[0].Stop(t)
	c.Nodes[0].Restart(t)
	c.Ready(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := c.Client(t, kgo.ConsumeTopics(topic)).PollFetches(ctx)
	if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 || string(fetches.Records()[0].Value) != "hello" {
		t.Fatalf("read %d records, %v", fetches.NumRecords(), err)
	}
}
