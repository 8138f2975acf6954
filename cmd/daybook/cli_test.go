package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const threeEvents = `{"event_id":"0198c2d4-0000-7000-8000-000000000001","timestamp":"2026-11-24T10:00:00Z","user_id":"alice","action":"document.delete","resource":"document/1","outcome":"success"}
{"event_id":"0198c2d4-0000-7000-8000-000000000002","timestamp":"2026-11-24T10:00:01Z","user_id":"bob","action":"document.read","resource":"document/1","outcome":"denied"}
{"event_id":"0198c2d4-0000-7000-8000-000000000003","timestamp":"2026-11-24T10:00:02Z","user_id":"alice","action":"document.read","resource":"document/2","outcome":"success"}
`

// TestCommands goes through the commands as a new user would.
func TestCommands(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	to := func(args ...string) []string {
		return append(args[:1:1], append([]string{"--server", s.url}, args[1:]...)...)
	}
	dir := t.TempDir()

	for _, c := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   []string // each must stand in standard output
		err   []string // each must stand in standard error
	}{
		{"send", threeEvents, to("send"), exitOK, nil, []string{"read                  3", "stored                3"}},
		{"send again", threeEvents, to("send"), exitOK, nil, []string{"already there         3"}},
		{"send with one bad line", "{\"user_id\":\"x\",\"actoin\":\"a\",\"resource\":\"r/1\"}\n{\"user_id\":\"carol\",\"action\":\"a\",\"resource\":\"r/1\"}\n",
			to("send"), exitRefused, nil, []string{"stored                1", "refused               1", "standard input:1: ", "action"}},
		{"query", "", to("query", "user_id:alice", "-o", "ndjson"), exitOK, []string{`"resource":"document/2"`, `"resource":"document/1"`}, nil},
		{"query as a table", "", to("query", "outcome:denied", "-o", "table"), exitOK, []string{"USER_ID", "bob", "2026-11-24 10:00:01.000Z"}, nil},
		{"query in pages of the API", "", to("query", "-n", "3", "--order", "oldest", "-o", "json"), exitOK, []string{"[\n"}, nil},
		{"query that finds nothing", "", to("query", "user_id:nobody", "-o", "json"), exitOK, []string{"[\n]"}, nil},
		{"a filter that is wrong", "", to("query", "user_id:(alice"), exitUsage, nil, []string{"is not closed", "^"}},
		{"count", "", to("count", "--by", "action", "-o", "table"), exitOK, []string{"document.read", "2", "total"}, nil},
		{"count over time", "", to("count", "--interval", "1s", "user_id:alice", "-o", "json"), exitOK, []string{`"total": 2`}, nil},
		{"get", "", to("get", "0198c2d4-0000-7000-8000-000000000002", "-o", "json"), exitOK, []string{`"user_id": "bob"`}, nil},
		{"get what is not there", "", to("get", "0198c2d4-0000-7000-8000-0000000000ff"), exitNotFound, nil, []string{"no event has this event_id"}},
		{"export", "", to("export", "user_id:alice"), exitOK, []string{"document/1", "document/2"}, nil},
		{"export to a file", "", to("export", "--format", "csv", "--to-file", filepath.Join(dir, "all.csv")), exitOK, nil, nil},
		{"export of Parquet", "", to("export", "--format", "parquet", "--to-file", filepath.Join(dir, "all.parquet")), exitOK, nil, nil},
		{"tail from the beginning", "", to("tail", "--since", "beginning", "-n", "3", "-o", "ndjson"), exitOK, []string{"0001", "0002", "0003"}, nil},
		{"unknown command", "", []string{"qurey"}, exitUsage, nil, []string{"unknown command"}},
		{"unknown flag", "", []string{"query", "--limt", "1"}, exitUsage, nil, []string{"unknown flag"}},
		{"no server", "", []string{"query", "--server", "http://127.0.0.1:1"}, exitError, nil, []string{"refused"}},
		{"not a server", "", []string{"query", "--server", "ftp://x"}, exitUsage, nil, []string{"ftp://x"}},
		{"version", "", []string{"version"}, exitOK, []string{"daybook "}, nil},
		{"completion", "", []string{"completion", "bash"}, exitOK, []string{"daybook"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := command(t, c.stdin, c.args...)
			if code != c.code {
				t.Errorf("exit code %d; want %d", code, c.code)
			}
			for _, want := range c.out {
				if !strings.Contains(stdout, want) {
					t.Errorf("standard output lacks %q", want)
				}
			}
			for _, want := range c.err {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error lacks %q", want)
				}
			}
			if t.Failed() {
				t.Logf("standard output:\n%s\nstandard error:\n%s", stdout, stderr)
			}
		})
	}
	csv, err := os.ReadFile(filepath.Join(dir, "all.csv"))
	if err != nil || strings.Count(string(csv), "\r\n") < 5 {
		t.Errorf("the CSV file: %v\n%s", err, csv)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.part"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// TestImportTwice imports a small Kubernetes audit log, compressed, twice.
func TestImportTwice(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	log := filepath.Join(t.TempDir(), "audit.log.gz")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	for _, stage := range []string{"RequestReceived", "ResponseComplete"} {
		ev := map[string]any{
			"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "9a45c774-7f6f-4beb-ae54-9197ecc0eb3d",
			"stage": stage, "requestURI": "/api/v1/namespaces/prod/secrets/db", "verb": "delete",
			"user": map[string]any{"username": "admin"}, "sourceIPs": []string{"10.0.0.7"},
			"objectRef":                map[string]any{"resource": "secrets", "namespace": "prod", "name": "db"},
			"requestReceivedTimestamp": "2026-11-24T10:00:00.000001Z", "stageTimestamp": "2026-11-24T10:00:00.000002Z",
		}
		if err := json.NewEncoder(z).Encode(ev); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := z.Write([]byte("this is no JSON\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	refused := filepath.Join(t.TempDir(), "refused.txt")
	for _, want := range []string{"stored                2", "already there         2"} {
		_, stderr, code := command(t, "", "import", "--server", s.url, "--refused", refused, log)
		if code != exitRefused || !strings.Contains(stderr, want) || !strings.Contains(stderr, "read                  3") {
			t.Errorf("exit code %d; want %d and %q in\n%s", code, exitRefused, want, stderr)
		}
	}
	if text, err := os.ReadFile(refused); err != nil || !strings.Contains(string(text), "this is no JSON") {
		t.Errorf("refused lines: %v\n%s", err, text)
	}
}

// TestServeRefuses shows what keeps a server from starting.
func TestServeRefuses(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	serve(t, data)
	file := filepath.Join(t.TempDir(), "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a folder that a server uses", []string{"--data", data, "--listen", "127.0.0.1:0"}, "in use"},
		{"an address that is not loopback", []string{"--data", data + "2", "--listen", "0.0.0.0:0"}, "loopback"},
		{"a file for a folder", []string{"--data", file, "--listen", "127.0.0.1:0"}, "a-file"},
		{"an unknown setting", []string{"--no-such"}, "unknown flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stderr, code := command(t, "", append([]string{"serve"}, c.args...)...)
			if code == exitOK || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, %q; want %q in it", code, stderr, c.want)
			}
		})
	}
}

func TestPrintConfig(t *testing.T) {
	stdout, _, code := command(t, "", "serve", "--print-config", "--store-retain-age", "90d")
	if code != exitOK || !strings.Contains(stdout, "retain_age: 90d") || !strings.Contains(stdout, "listen: 127.0.0.1:7575") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// TestQuietPipe: what came through a pipe that then stays open and quiet is
// published, without waiting for the batch to be full.
func TestQuietPipe(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, cancel, []string{"send", "--server", s.url}, r, io.Discard, io.Discard) }()
	if _, err := io.WriteString(w, threeEvents); err != nil {
		t.Fatal(err)
	}
	// The tail ends when it has seen the events; nothing else ends it.
	if out, _, code := command(t, "", "tail", "--server", s.url, "--since", "beginning", "-n", "3"); code != exitOK {
		t.Errorf("tail: exit code %d, %s", code, out)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("send: exit code %d", code)
	}
}
