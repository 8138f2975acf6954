// Package kafkatest runs real Apache Kafka brokers for tests: clusters of one node
// or three on loopback, which can be killed, frozen and brought back; and the
// clients that are installed everywhere. The brokers come from Maven Central
// (pom.xml), kafkajs from npm, and are kept in the user's cache folder; it takes
// Java 17, Maven, Node.js and kcat. Where one of these cannot be had a test is
// skipped, but fails when CI=true says that nothing may be skipped.
package kafkatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/tooltest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options of a cluster. The zero Options are one node without security.
type Options struct {
	Nodes      int               // combined brokers and controllers; 0: one
	Secure     bool              // a listener with TLS and SASL besides the plain one
	Properties map[string]string // of server.properties, in place of those that a test has by default
	JVM        []string          // more flags of the virtual machine
}

// readyWithin bounds how long brokers may take to come up. Several packages
// start theirs at the same time on a small machine.
const readyWithin = 2 * time.Minute

// Cluster is a running cluster.
type Cluster struct {
	Nodes  []*Node
	Secure *Secure // nil: it has no secure listener

	admin *kadm.Client
}

// Start starts a cluster that is stopped when t ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	inst, err := install()
	tooltest.Fail(t, err)
	c, err := inst.start(o, t.TempDir())
	tooltest.Fail(t, err)
	t.Cleanup(c.close)
	return c
}

// start starts a cluster in dir.
func (i installation) start(o Options, dir string) (_ *Cluster, err error) {
	c := &Cluster{}
	if o.Secure {
		if c.Secure, err = newSecure(); err != nil {
			return nil, err
		}
	}
	for id := range max(1, o.Nodes) {
		n := &Node{ID: int32(id + 1), dir: filepath.Join(dir, fmt.Sprint("node-", id+1)), inst: i, flags: o.JVM, cluster: c}
		if err := n.takePorts(o.Secure); err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	for _, n := range c.Nodes {
		if err := n.configure(o); err != nil {
			return nil, err
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	c.admin = kadm.NewClient(client)
	for _, n := range c.Nodes {
		if err == nil {
			err = n.start()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	if err == nil {
		err = c.ready(ctx, c.Nodes...)
	}
	if err == nil && c.Secure != nil {
		err = c.Secure.addUsers(ctx, c.admin)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// ready waits until the cluster counts the nodes among its members, and each
// listens, which may come later.
func (c *Cluster) ready(ctx context.Context, nodes ...*Node) error {
	for {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		brokers, err := c.admin.ListBrokers(ask)
		cancel()
		there := map[int32]bool{}
		for _, b := range brokers {
			there[b.NodeID] = true
		}
		all := err == nil
		for _, n := range nodes {
			all = all && there[n.ID] && n.listens()
			select {
			case <-n.exited:
				return fmt.Errorf("node %d of Kafka ended before it was ready: %v\n%s", n.ID, n.cmd.ProcessState, n.output())
			default:
			}
		}
		if all {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Kafka cluster is not ready: it has nodes %v (%v)\n%s", there, err, nodes[0].output())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close kills the nodes: what they hold is of no use any more.
func (c *Cluster) close() {
	c.admin.Close()
	for _, n := range c.Nodes {
		n.kill()
	}
}

// Brokers returns the addresses of the plain listeners.
func (c *Cluster) Brokers() []string {
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.Addr())
	}
	return addrs
}

// Client returns a client of the plain listeners that is closed when t ends.
func (c *Cluster) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers()...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Admin returns a client for administration, which is the cluster's.
func (c *Cluster) Admin() *kadm.Client { return c.admin }

// Topic returns the name of a topic for t, which does not exist yet.
func Topic(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%.100s.%08x", name, rand.Uint32())
}

// Shared is one cluster for all tests of a package, started by the first test
// that asks for it. TestMain stops it:
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		single.Stop()
//		os.Exit(code)
//	}
type Shared struct {
	Options Options

	once    sync.Once
	cluster *Cluster
	err     error
	dir     string
}

// Cluster returns the cluster.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	s.once.Do(func() {
		var inst installation
		if inst, s.err = install(); s.err != nil {
			return
		}
		if s.dir, s.err = os.MkdirTemp("", "kafkatest-"); s.err == nil {
			s.cluster, s.err = inst.start(s.Options, s.dir)
		}
	})
	tooltest.Fail(t, s.err)
	return s.cluster
}

// Stop stops the cluster, if it was started.
func (s *Shared) Stop() {
	if s.cluster != nil {
		s.cluster.close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
