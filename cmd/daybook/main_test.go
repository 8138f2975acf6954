package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// asDaybook makes the test binary behave as daybook, so that tests can start
// and kill the real program, with the race detector in it.
const asDaybook = "BE_DAYBOOK"

func TestMain(m *testing.M) {
	if os.Getenv(asDaybook) != "" {
		main()
	}
	os.Setenv(asDaybook, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=10") // else every child takes a second to end
	code := m.Run()
	single.Stop()
	os.Exit(code)
}

// command runs one command line in this process, for a minute at most: one that
// should have been refused and serves instead must not serve for ever.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errw bytes.Buffer
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	code = run(ctx, stop, args, strings.NewReader(stdin), &out, &errw)
	return out.String(), errw.String(), code
}

// serve starts a server in a process of its own for the length of the test.
func serve(t *testing.T, data string, args ...string) *child {
	t.Helper()
	s, err := startChild(t.Context(), data, testWriter{t}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stopAtEnd(t, s)
}

// stopAtEnd stops a server at the end of the test, and returns it.
func stopAtEnd(t *testing.T, s *child) *child {
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s
}

// testWriter shows what a server prints in the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}
