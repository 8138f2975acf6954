package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// child is a server in a process of its own.
type child struct {
	url    string
	cmd    *exec.Cmd
	done   chan error
	remove string // folder to remove once it has stopped; "": none
}

// startChild starts `daybook serve` from this very binary on a free port and
// waits until it is ready. Its settings are the defaults and args, whatever the
// environment says.
func startChild(ctx context.Context, data string, stderr io.Writer, args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	c, err := launch(exec.Command(exe, append([]string{"serve", "--listen", addr, "--data", data, "--log-level", "warn"}, args...)...), addr, stderr)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		c.cmd.Process.Kill()
		return nil, err
	}
	return c, nil
}

// launch starts cmd, a server that listens on addr, without waiting for it. What
// it prints goes to stderr, a line per Write.
func launch(cmd *exec.Cmd, addr string, stderr io.Writer) (*child, error) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DAYBOOK_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{url: "http://" + addr, cmd: cmd, done: make(chan error, 1)}
	go func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			fmt.Fprintln(stderr, lines.Text())
		}
		c.done <- cmd.Wait()
	}()
	return c, nil
}

// ready waits until the server answers that it is ready to serve.
func (c *child) ready(ctx context.Context) error {
	for {
		resp, err := http.Get(c.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-c.done:
			c.done <- err
			return fmt.Errorf("the server ended before it was ready: %w", errors.Join(err, errEnded))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

var errEnded = errors.New("see what it printed above")

// stop ends the server as an operator would, and for good if it does not end.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		c.cmd.Process.Kill()
	}
	var err error
	select {
	case err = <-c.done:
	case <-time.After(time.Minute):
		c.cmd.Process.Kill()
		err = <-c.done
	}
	if c.remove != "" {
		err = errors.Join(err, os.RemoveAll(c.remove))
	}
	return err
}

// freeAddr returns a loopback address on which nothing listens just now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
