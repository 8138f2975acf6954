package kafkatest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Node is a broker that is also a controller. Its methods are called by one
// goroutine at a time.
type Node struct {
	ID int32

	dir     string
	inst    installation
	flags   []string
	cluster *Cluster

	plain, secure, controller int // ports

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

// Addr returns the address of the plain listener.
func (n *Node) Addr() string { return fmt.Sprint("127.0.0.1:", n.plain) }

// listens reports whether the node takes connections.
func (n *Node) listens() bool {
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// takePorts chooses ports that are free now and lie below those which systems
// give to outgoing connections, so that they are free after a restart too.
func (n *Node) takePorts(secure bool) error {
	ports := []*int{&n.plain, &n.controller}
	if secure {
		ports = append(ports, &n.secure)
	}
	for _, p := range ports {
		for try := 0; *p == 0; try++ {
			port := 20000 + rand.IntN(12000)
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if err == nil {
				*p = port
				l.Close()
			} else if try > 100 {
				return fmt.Errorf("find a free port: %w", err)
			}
		}
	}
	return nil
}

// configure writes the node's folder: its settings, and the data folder as the
// storage tool formats it.
func (n *Node) configure(o Options) error {
	data := filepath.Join(n.dir, "data")
	if err := os.CopyFS(data, os.DirFS(n.inst.formatted)); err != nil {
		return err
	}
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\n", clusterID, n.ID)
	if err := os.WriteFile(filepath.Join(data, "meta.properties"), []byte(meta), 0o644); err != nil {
		return err
	}
	var voters []string
	for _, v := range n.cluster.Nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", v.ID, v.controller))
	}
	replicas := fmt.Sprint(len(n.cluster.Nodes))
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          fmt.Sprint(n.ID),
		"controller.quorum.voters":                         strings.Join(voters, ","),
		"controller.listener.names":                        "CONTROLLER",
		"listeners":                                        fmt.Sprintf("CONTROLLER://127.0.0.1:%d,PLAINTEXT://127.0.0.1:%d", n.controller, n.plain),
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL",
		"log.dirs":                                         data,
		"auto.create.topics.enable":                        "false",
		"offsets.topic.num.partitions":                     "1",
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.num.partitions":             "1",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": replicas,
		"group.initial.rebalance.delay.ms":                 "0",
		"log.cleaner.dedupe.buffer.size":                   "2097152", // 128 MiB otherwise
	}
	if s := n.cluster.Secure; s != nil {
		p["listeners"] += fmt.Sprintf(",SECURE://127.0.0.1:%d", n.secure)
		s.Brokers = append(s.Brokers, fmt.Sprint("127.0.0.1:", n.secure))
		maps.Copy(p, s.properties())
	}
	maps.Copy(p, o.Properties)
	return os.WriteFile(n.file("server.properties"), []byte(format(p)), 0o600)
}

// format writes a Java properties file.
func format(p map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(p[k], "\n", `\n`))
	}
	return b.String()
}

func (n *Node) file(name string) string { return filepath.Join(n.dir, name) }

// start starts the process.
func (n *Node) start() error {
	out, err := os.OpenFile(n.file("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	n.cmd = n.inst.java(context.Background(), n.flags, "kafka.Kafka", n.file("server.properties"))
	n.cmd.Stdout, n.cmd.Stderr = out, out
	endWithParent(n.cmd)
	started, exited := make(chan error), make(chan struct{})
	n.exited = exited
	go func() {
		// The system takes the thread that started a process for its parent.
		runtime.LockOSThread()
		err := n.cmd.Start()
		started <- err
		if err == nil {
			n.cmd.Wait() // how it ended is in ProcessState
		}
		close(exited)
	}()
	return <-started
}

// output returns the end of what the process wrote.
func (n *Node) output() string {
	b, err := os.ReadFile(n.file("output"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// kill kills the process, if it runs, and waits for its end.
func (n *Node) kill() {
	if n.cmd != nil && n.cmd.Process != nil {
		n.cmd.Process.Kill()
		<-n.exited
	}
}

// Kill ends the node as a crash does.
func (n *Node) Kill(t testing.TB) {
	t.Logf("kill node %d", n.ID)
	n.kill()
}

// Stop ends the node in good order: its partitions move to others first.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	t.Logf("stop node %d", n.ID)
	if err := n.cmd.Process.Signal(sigTerm); err != nil {
		t.Fatalf("stop node %d: %v", n.ID, err)
	}
	<-n.exited
}

// Pause freezes the process: its connections stay open and nothing answers.
func (n *Node) Pause(t testing.TB) {
	t.Helper()
	t.Logf("freeze node %d", n.ID)
	if err := n.cmd.Process.Signal(sigStop); err != nil {
		t.Fatalf("freeze node %d: %v", n.ID, err)
	}
}

// Resume lets a frozen process go on.
func (n *Node) Resume(t testing.TB) {
	t.Helper()
	t.Logf("thaw node %d", n.ID)
	if err := n.cmd.Process.Signal(sigCont); err != nil {
		t.Fatalf("thaw node %d: %v", n.ID, err)
	}
}

// Restart starts a node that was killed or stopped. It does not wait until the
// node is ready: a cluster without a quorum never is.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	t.Logf("start node %d", n.ID)
	if err := n.start(); err != nil {
		t.Fatalf("start node %d: %v", n.ID, err)
	}
}

// Ready waits until the cluster counts all its nodes as members.
func (c *Cluster) Ready(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	begin := time.Now()
	if err := c.ready(ctx, c.Nodes...); err != nil {
		t.Fatal(err)
	}
	t.Logf("all nodes are members after %s", time.Since(begin).Round(time.Millisecond))
}
