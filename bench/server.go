package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// server is a program's server in a process of its own. It speaks HTTP on a
// loopback port.
type server struct {
	url  string // without a slash at the end
	addr string // host:port
	log  string // the file that takes what it prints
	cmd  *exec.Cmd
	done chan error // of cmd.Wait

	started time.Time
}

// usage is what a process took from its start to its end.
type usage struct {
	cpu    time.Duration // user and system
	memory int64         // peak resident bytes until it was told to stop; 0 where the system does not tell
}

// httpClient asks for no compression: the client shares the machine with the
// server, and both would only spend time on it.
var httpClient = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}}

// start starts p's server on the data folder and waits until it serves.
func start(ctx context.Context, p program, data string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), log: data + ".log", done: make(chan error, 1)}
	s.url = "http://" + s.addr
	if err := l.Close(); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the server has it
	s.cmd = exec.Command(p.Path(), p.Args(data, s.addr)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.started = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.done <- s.cmd.Wait() }()
	for {
		resp, err := httpClient.Get(s.url + p.Ready())
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case err := <-s.done:
			return nil, fmt.Errorf("%s ended before it served: %w: %s", p.Name(), errors.Join(err, errEnded), s.printed())
		case <-ctx.Done():
			s.kill()
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

var errEnded = errors.New("it printed")

// printed returns the end of what the server printed.
func (s *server) printed() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// stop ends the server as an operator would and returns what it took.
func (s *server) stop() (usage, error) {
	memory := peakMemory(s.cmd.Process.Pid)
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return usage{}, err
	}
	select {
	case err := <-s.done:
		if err != nil {
			return usage{}, fmt.Errorf("%w: %s", err, s.printed())
		}
	case <-time.After(5 * time.Minute):
		s.kill()
		return usage{}, errors.New("the server did not stop within 5 minutes")
	}
	st := s.cmd.ProcessState
	return usage{cpu: st.UserTime() + st.SystemTime(), memory: memory}, nil
}

// get asks for a path with parameters. An answer that is no success is an error.
func (s *server) get(ctx context.Context, path string, params url.Values, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path+"?"+params.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, errors.Join(fmt.Errorf("%s: %s: %s", req.URL, resp.Status, body), err)
	}
	return resp, nil
}

// post sends NDJSON, all of which must be taken.
func (s *server) post(ctx context.Context, path, ndjson string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(ndjson))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return err
	}
	return fmt.Errorf("%s: %s: %s", path, resp.Status, body)
}

// folderSize adds up the sizes of the files below a folder.
func folderSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
