package main

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServeOverKafka runs daybook over a real broker: with a stream in Kafka, in
// roles of their own, beside other programs that write to the topic.
func TestServeOverKafka(t *testing.T) {
	cluster := single.Cluster(t)
	topic, over := overKafka(t, cluster)
	data := filepath.Join(t.TempDir(), "data")
	front := serve(t, filepath.Join(t.TempDir(), "none"), append(over, "--role", "ingest")...)
	back := serve(t, data, append(over, "--role", "index,query")...)

	run := func(s *child, stdin string, args ...string) string {
		t.Helper()
		stdout, stderr, code := command(t, stdin, append(args, "--server", s.url)...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
		}
		return stdout
	}
	run(front, threeEvents, "send")
	run(front, threeEvents, "send") // the index knows them again
	if got := run(back, "", "count", "--by", "user_id", "-o", "ndjson"); !strings.Contains(got, `"total":3`) {
		t.Errorf("after the same three events twice: %s", got)
	}
	if status := post(t, back.url+"/v1/events"); status != http.StatusMethodNotAllowed {
		t.Errorf("a server that takes no events answers %d", status)
	}
	for _, path := range []string{"/v1/events", "/v1/counts", "/v1/dead-letters"} {
		if status := status(t, front.url+path); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			t.Errorf("a server that only takes events answers GET %s with %d", path, status)
		}
	}

	producer := cluster.Client(t, kgo.DefaultProduceTopic(topic))
	foreign := []*kgo.Record{
		{Value: []byte(`{"user_id":"dave","action":"report.export","resource":"report/7"}`), Key: []byte("any")},
		{Value: []byte(`{"user_id":"dave"}`), Headers: []kgo.RecordHeader{{Key: "app", Value: []byte("crm")}}},
		{Value: nil},
		{Value: bytes.Repeat([]byte{0xff}, 900<<10)}, // in base64 it would be more than the topic of dead letters takes
	}
	if err := producer.ProduceSync(t.Context(), foreign...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := run(back, "", "count", "user_id:dave", "-o", "ndjson"); !strings.Contains(got, `"total":1`) {
		t.Errorf("an event of another program: %s", got)
	}
	letters := run(back, "", "dead-letters", "list", "-o", "ndjson")
	if strings.Count(letters, "\n") != 3 || !strings.Contains(letters, `"record_bytes":921600`) || !strings.Contains(letters, `"headers":[{"key":"app","value":"crm"}]`) || !strings.Contains(letters, `"topic":"`+topic+`"`) {
		t.Errorf("dead letters:\n%s", letters)
	}
	id := fmt.Sprintf("%d-%d", foreign[1].Partition, foreign[1].Offset)
	fixed := `{"user_id":"dave","action":"report.read","resource":"report/7"}`
	for range 2 {
		run(back, fixed, "dead-letters", "replay", id, "--event", "-")
	}
	if got := run(back, "", "count", "user_id:dave", "-o", "ndjson"); !strings.Contains(got, `"total":2`) {
		t.Errorf("after a replay, twice: %s", got)
	}

	// Everything is found again by a server whose store is new.
	other := serve(t, filepath.Join(t.TempDir(), "data"), append(over, "--role", "index,query")...)
	if got := run(other, "", "count", "-o", "ndjson"); !strings.Contains(got, `"total":5`) {
		t.Errorf("a new store holds %s", got)
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func post(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestTopicsThatDoNotServe: a server does not start over topics with which dead
// letters would feed themselves, get out of order, or be refused for their size.
func TestTopicsThatDoNotServe(t *testing.T) {
	cluster := single.Cluster(t)
	topic, over := overKafka(t, cluster)
	for _, c := range []struct {
		name       string
		dead       string
		partitions int32
		config     map[string]*string
		code       int
		want       string
	}{
		{"the topic of the events", topic, 0, nil, exitUsage, "it must be another"},
		{"two partitions", topic + ".two", 2, nil, exitError, "it must have one"},
		{"small messages", topic + ".small", 1, map[string]*string{"max.message.bytes": new("70000")}, exitError, "max.message.bytes=70000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.partitions > 0 {
				if _, err := cluster.Admin().CreateTopic(t.Context(), c.partitions, 1, c.config, c.dead); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--log-level", "error"}, over...)
			_, stderr, code := command(t, "", append(args, "--kafka-dead-letter-topic", c.dead)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, want %d and %q in\n%s", code, c.code, c.want, stderr)
			}
		})
	}
}
