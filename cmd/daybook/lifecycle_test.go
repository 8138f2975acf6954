package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kill ends the server as a crash of the program would.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.done
}

// again starts a server at the address that c had.
func (c *child) again(t *testing.T, data string) *child {
	t.Helper()
	u, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	n := &child{url: c.url, cmd: program("serve", "--listen", u.Host, "--data", data, "--log-level", "warn"), done: make(chan error, 1)}
	n.cmd.Stderr = strictWriter{testWriter{t}}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { n.done <- n.cmd.Wait() }()
	if err := n.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// program returns a command line to be run in a process of its own.
func program(args ...string) *exec.Cmd { return exec.Command(os.Args[0], args...) }

// exit waits for a process and returns its exit code.
func exit(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		t.Fatalf("%s does not end", cmd.Args[1:])
	}
	return cmd.ProcessState.ExitCode()
}

// TestKilledUnderCommands: a server is killed and started again under a tail and
// a send, and neither loses or repeats anything.
func TestKilledUnderCommands(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s, err := strictly(t, data)
	if err != nil {
		t.Fatal(err)
	}
	const events = 2000
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(someEvents(events)), 0o600); err != nil {
		t.Fatal(err)
	}
	var tailed, sent bytes.Buffer
	tail := program("tail", "--server", s.url, "--since", "beginning", "-n", "2000", "-o", "ndjson")
	tail.Stdout, tail.Stderr = &tailed, testWriter{t}
	send := program("send", "--server", s.url, "--batch", "20", file)
	send.Stderr = &sent
	for _, cmd := range []*exec.Cmd{tail, send} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for s.total(t) < events/10 {
		time.Sleep(time.Millisecond)
	}
	s.kill(t)
	s = s.again(t, data)
	if code := exit(t, send); code != exitOK {
		t.Errorf("send: exit code %d\n%s", code, sent.String())
	}
	if code := exit(t, tail); code != exitOK {
		t.Errorf("tail: exit code %d", code)
	}
	distinct := map[string]bool{}
	for line := range strings.Lines(tailed.String()) {
		distinct[line] = true
	}
	if n := strings.Count(tailed.String(), "\n"); n != events || len(distinct) != events {
		t.Errorf("the tail printed %d events, %d distinct ones; want %d", n, len(distinct), events)
	}
	if n := s.total(t); n != events {
		t.Errorf("%d events are stored; want %d", n, events)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestKilledUnderExport: an export that breaks off is an error, and no file.
func TestKilledUnderExport(t *testing.T) {
	t.Parallel()
	s, err := strictly(t, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		if status, answer := s.post(t, someEvents(1000)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	dir := t.TempDir()
	toFile := program("export", "--server", s.url, "--to-file", filepath.Join(dir, "all.ndjson"))
	toPipe := program("export", "--server", s.url)
	pipe, err := toPipe.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{toPipe, toFile} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.ReadFull(pipe, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for { // until the file is being written
		if part, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(part) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.kill(t)
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Error(err)
	}
	if code := exit(t, toPipe); code != exitError {
		t.Errorf("export to a pipe: exit code %d; want %d", code, exitError)
	}
	code := exit(t, toFile)
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitError || len(left) > 0 {
		t.Errorf("export to a file: exit code %d, left is %v; want %d and nothing", code, left, exitError)
	}
}

// TestInterrupt sends SIGINT to every command that waits.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	mute := "http://" + silent.Addr().String()
	out := filepath.Join(t.TempDir(), "out")
	commands := []struct {
		name string
		args []string
		in   string // then the pipe stays open and quiet
		code int
		cmd  *exec.Cmd
	}{
		{name: "tail", args: []string{"tail", "--server", s.url}, code: exitOK},
		{name: "tail without a server", args: []string{"tail", "--server", "http://127.0.0.1:1"}, code: exitOK},
		{name: "send that waits for input", args: []string{"send", "--server", s.url}, code: exitInterrupted},
		{name: "send that waits for the rest of a line", args: []string{"send", "--server", s.url}, in: `{"user_id"`, code: exitInterrupted},
		{name: "send without a server", args: []string{"send", "--server", "http://127.0.0.1:1"}, in: threeEvents, code: exitInterrupted},
		{name: "send without an answer", args: []string{"send", "--server", mute}, in: threeEvents, code: exitInterrupted},
		{name: "import that waits for input", args: []string{"import", "--server", s.url}, code: exitInterrupted},
		{name: "import that waits for more", args: []string{"import", "--server", s.url, "--format", "ndjson", "-"}, in: threeEvents, code: exitInterrupted},
		{name: "query", args: []string{"query", "--server", mute}, code: exitInterrupted},
		{name: "count", args: []string{"count", "--server", mute}, code: exitInterrupted},
		{name: "get", args: []string{"get", "--server", mute, "0198c2d4-0000-7000-8000-000000000001"}, code: exitInterrupted},
		{name: "export", args: []string{"export", "--server", mute, "--to-file", out}, code: exitInterrupted},
		{name: "serve", args: []string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data")}, code: exitOK},
	}
	for i := range commands {
		c := &commands[i]
		c.cmd = program(c.args...)
		c.cmd.Stderr = strictWriter{testWriter{t}}
		stdin, err := c.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(stdin, c.in); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // for all of them to begin to wait
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
				c.cmd.Process.Kill()
				t.Skipf("NOT TESTED: %v", err) // Windows has no such signal
			}
			if code := exit(t, c.cmd); code != c.code {
				t.Errorf("exit code %d; want %d", code, c.code)
			}
		})
	}
	if left, err := filepath.Glob(out + "*"); err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// TestKilledAtAnyTime: kill -9 while a server starts, stops, or has just begun
// to serve leaves a folder that the next one opens.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s, err := strictly(t, data, "--store-head-rows", "1024")
	if err != nil {
		t.Fatal(err)
	}
	const events = 1500
	if status, answer := s.post(t, someEvents(events)); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	s.kill(t)
	for round := range 8 {
		cmd := program("serve", "--listen", "127.0.0.1:0", "--data", data, "--store-head-rows", "1024", "--log-level", "warn")
		cmd.Stderr = strictWriter{testWriter{t}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(300 * time.Millisecond))
		if round%2 == 1 { // while it stops
			cmd.Process.Signal(os.Interrupt)
			time.Sleep(rand.N(10 * time.Millisecond))
		}
		cmd.Process.Kill()
		exit(t, cmd)
	}
	if s, err = strictly(t, data); err != nil {
		t.Fatal(err)
	}
	if n := s.total(t); n != events {
		t.Errorf("%d events are there; want %d", n, events)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
