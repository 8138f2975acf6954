//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
	"github.com/daybook-log/daybook/internal/kafkatest"
)

// TestCluster publishes through a server that takes events into three brokers,
// and kills, freezes and restarts brokers and the server that indexes meanwhile.
// What was acknowledged is stored, once each. CLUSTER_ROUNDS says how often it
// goes through all that.
func TestCluster(t *testing.T) {
	rounds := envInt(t, "CLUSTER_ROUNDS", 1)
	brokers := kafkatest.Start(t, kafkatest.Options{Nodes: 3, Properties: map[string]string{
		"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500",
	}})
	topic := kafkatest.Topic(t)
	c := &cluster{
		t: t, nodes: brokers, rnd: rand.New(rand.NewPCG(1, uint64(rounds))), data: filepath.Join(t.TempDir(), "data"),
		over: []string{"--stream", "kafka://" + strings.Join(brokers.Brokers(), ",") + "/" + topic, "--kafka-dead-letter-topic", topic + ".dead",
			"--kafka-partitions", "4", "--kafka-replication", "3", "--kafka-min-insync-replicas", "2", "--kafka-delivery-timeout", "5s"},
		sent: map[event.ID]bool{},
	}
	front := serve(t, filepath.Join(t.TempDir(), "none"), append(c.over, "--role", "ingest")...)
	stop := c.publish(front)
	c.index()
	for range rounds {
		c.misfortunes(front)
	}
	stop()
	c.killIndex()
	c.index()
	c.check()
	t.Logf("%d events acknowledged of %d, %d kills of the indexer in %d rounds; every one of these is stored once", c.acked, len(c.sent), c.kills, rounds)
}

// cluster is one run of TestCluster.
type cluster struct {
	t     *testing.T
	nodes *kafkatest.Cluster
	rnd   *rand.Rand
	data  string
	over  []string // flags
	back  *child   // the server that indexes
	kills int

	mu    sync.Mutex
	sent  map[event.ID]bool // guarded by mu: whether it was acknowledged
	acked int               // guarded by mu
}

func (c *cluster) misfortunes(front *child) {
	n := c.nodes.Nodes
	c.progress("with all brokers")
	n[0].Kill(c.t)
	c.progress("with one of three brokers killed")
	n[1].Kill(c.t)
	c.refused(front)
	c.killIndex()
	n[0].Restart(c.t)
	c.progress("with one of two brought back")
	c.index() // from where its store stands
	n[1].Restart(c.t)
	c.nodes.Ready(c.t)
	n[2].Pause(c.t)
	c.progress("with a broker frozen")
	n[2].Resume(c.t)
	for range 4 { // between what it stores and what it commits
		c.killIndex()
		c.index()
		time.Sleep(time.Duration(c.rnd.IntN(400)) * time.Millisecond)
	}
	c.nodes.Ready(c.t)
	c.progress("with everything back")
}

// publish publishes from several places until stop is called, each batch until it
// is acknowledged.
func (c *cluster) publish(front *child) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	for p := range 4 {
		cl, err := client.New(front.url)
		if err != nil {
			c.t.Fatal(err)
		}
		wg.Go(func() {
			var ids event.IDSource
			rnd := rand.New(rand.NewPCG(2, uint64(p)))
			for ctx.Err() == nil {
				var body []byte
				var batch []event.ID
				for range 1 + rnd.IntN(50) {
					id := ids.New(time.Now())
					batch = append(batch, id)
					body = fmt.Appendf(body, `{"event_id":%q,"user_id":"u%d","action":"thing.touch","resource":"thing/%d"}`+"\n", id, rnd.IntN(50), rnd.IntN(1000))
				}
				c.note(batch, false)
				res, err := cl.Publish(ctx, body, nil)
				if err != nil {
					if ctx.Err() == nil {
						c.t.Errorf("publish: %v", err)
					}
					return
				}
				if res.Accepted+res.Duplicates != len(batch) {
					c.t.Errorf("published %d, got %+v", len(batch), res)
				}
				c.note(batch, true)
				time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (c *cluster) note(batch []event.ID, acked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range batch {
		c.sent[id] = acked
	}
	if acked {
		c.acked += len(batch)
	}
}

func (c *cluster) ackedNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// progress waits until publishing has gone on for a while.
func (c *cluster) progress(how string) {
	c.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for want := c.ackedNow() + 500; c.ackedNow() < want; time.Sleep(10 * time.Millisecond) {
		if c.t.Failed() || time.Now().After(deadline) {
			c.t.Fatalf("publishing does not go on %s", how)
		}
	}
}

// refused publishes where it cannot work and is told so.
func (c *cluster) refused(front *child) {
	c.t.Helper()
	resp, err := http.Post(front.url+"/v1/events", "application/json", strings.NewReader(`{"user_id":"u","action":"never","resource":"thing/0"}`))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var p client.Problem
	if json.Unmarshal(body, &p) != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || p.Detail == "" {
		c.t.Errorf("with two of three brokers gone publishing answers %d %s", resp.StatusCode, body)
	}
	c.t.Logf("with two of three brokers gone: %s", p.Detail)
}

func (c *cluster) index() {
	c.t.Helper()
	back, err := startChild(c.t.Context(), c.data, testWriter{c.t}, append(c.over, "--role", "index,query", "--store-head-rows", "1024")...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.back = back
	c.t.Cleanup(func() { back.cmd.Process.Kill() })
}

func (c *cluster) killIndex() {
	if err := c.back.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	<-c.back.done
	c.kills++
}

// check holds an export of everything against what the publishers know.
func (c *cluster) check() {
	c.t.Helper()
	cl, err := client.New(c.back.url)
	if err != nil {
		c.t.Fatal(err)
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(cl.Export(c.t.Context(), url.Values{"q": {"-action:never"}}, in)) }()
	stored := map[event.ID]bool{}
	dec := event.Decoder{AllowSet: true}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ev event.Event
		if err := dec.Decode(bytes.Clone(lines.Bytes()), &ev); err != nil {
			c.t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if _, ok := c.sent[ev.ID]; !ok || stored[ev.ID] {
			c.t.Errorf("%s: published %t, stored before %t", ev.ID, ok, stored[ev.ID])
		}
		stored[ev.ID] = true
	}
	if err := errors.Join(lines.Err(), c.back.stop()); err != nil {
		c.t.Fatal(err)
	}
	for id, acked := range c.sent {
		if acked && !stored[id] {
			c.t.Errorf("%s was acknowledged and is lost", id)
		}
	}
}
