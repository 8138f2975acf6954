package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/internal/kafkatest"
)

// single is the broker of all tests here that need no more than one, and none of
// their own.
var single = kafkatest.Shared{}

// overKafka returns the flags with which a server has its stream in a topic of the
// broker's that is t's own.
func overKafka(t *testing.T, c *kafkatest.Cluster) (topic string, flags []string) {
	topic = kafkatest.Topic(t)
	return topic, []string{"--stream", "kafka://" + strings.Join(c.Brokers(), ",") + "/" + topic,
		"--kafka-dead-letter-topic", topic + ".dead", "--kafka-partitions", "3"}
}

// TestSameClientsBothRoads publishes with the same command lines to a server that
// listens as if it were a broker, and to a broker whose topic a server indexes.
func TestSameClientsBothRoads(t *testing.T) {
	topic, flags := overKafka(t, single.Cluster(t))
	over := serve(t, filepath.Join(t.TempDir(), "data"), flags...)
	listen, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	embedded := serve(t, filepath.Join(t.TempDir(), "data"), "--kafka-listen", listen, "--kafka-topic", topic)

	clients := map[string]func(broker string) *exec.Cmd{
		"kcat": func(broker string) *exec.Cmd {
			return kafkatest.Kcat(t, "-P", "-b", broker, "-t", topic, "-z", "lz4")
		},
		"java": func(broker string) *exec.Cmd {
			return kafkatest.Tool(t, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", broker, "--topic", topic)
		},
		"kafkajs": func(broker string) *exec.Cmd {
			return kafkatest.Kafkajs(t, broker, topic, "gzip", "idempotent")
		},
	}
	for name, client := range clients {
		events := strings.ReplaceAll(`{"user_id":"alice","action":"document.delete","resource":"document/1","source":"NAME"}
{"user_id":"bob","action":"document.read","resource":"document/2","source":"NAME"}
`, "NAME", name)
		for road, to := range map[string]struct {
			broker string
			server *child
		}{"listener": {listen, embedded}, "cluster": {single.Cluster(t).Brokers()[0], over}} {
			cmd := client(to.broker)
			var said bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(events), &said, &said
			if err := cmd.Run(); err != nil {
				t.Errorf("%s to the %s: %v\n%s", name, road, err, &said)
				continue
			}
			found, stderr, code := command(t, "", "query", "source:"+name, "-o", "ndjson", "--server", to.server.url)
			if code != exitOK || strings.Count(found, "\n") != 2 || strings.Count(found, `"user_id":"alice"`) != 1 || strings.Count(found, `"user_id":"bob"`) != 1 {
				t.Errorf("%s to the %s: exit code %d, found\n%s%s", name, road, code, found, stderr)
			}
		}
	}
}
