// Package parquettest reads Parquet files with other implementations, pyarrow
// and parquet-go, for tests that what Daybook writes opens elsewhere and says the
// same there.
package parquettest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gofrs/flock"

	"github.com/daybook-log/daybook/event"
)

// pyarrow is the release that tests read with.
const pyarrow = "26.0.1"

// ReadPyArrow returns the events of the Parquet file at path as pyarrow reads
// them. script is the path of store/parquet/testdata/read.py from the test's
// folder. Where there is no Python, or pyarrow cannot be installed, the test is
// skipped, but fails when CI=true says that nothing may be skipped.
func ReadPyArrow(t testing.TB, script, path string) []event.Event {
	t.Helper()
	python, err := environment()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no Python with pyarrow: %v", err)
		}
		t.Skipf("SKIPPED, what other tools read stays untested: no Python with pyarrow: %v", err)
	}
	cmd := exec.Command(python, script, path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pyarrow does not read %s: %v\n%s", path, err, stderr.Bytes())
	}
	events, err := parse(out)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// environment returns the Python of a virtual environment that has pyarrow. It
// is made once and kept in the user's cache folder.
func environment() (python string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "daybook-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(dir, "lock")) // packages are tested at the same time
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()

	env := filepath.Join(dir, "pyarrow-"+pyarrow)
	python = filepath.Join(env, "bin", "python3")
	if runtime.GOOS == "windows" {
		python = filepath.Join(env, "Scripts", "python.exe")
	}
	if exec.Command(python, "-c", "import pyarrow.parquet").Run() == nil {
		return python, nil
	}
	if err := os.RemoveAll(env); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", env},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pyarrow==" + pyarrow},
		{python, "-c", "import pyarrow.parquet"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	return python, nil
}

// parse turns the script's output into events.
func parse(out []byte) ([]event.Event, error) {
	var events []event.Event
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16*event.MaxSize)
	for lines.Scan() {
		var row map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, err
		}
		var e event.Event
		for name, value := range row {
			if err := set(&e, name, value); err != nil {
				return nil, fmt.Errorf("row %d: column %s: %s: %w", len(events), name, value, err)
			}
		}
		events = append(events, e)
	}
	return events, lines.Err()
}

// set sets one field of e.
func set(e *event.Event, name string, value json.RawMessage) error {
	f, ok := event.FieldByName(name)
	if !ok {
		return fmt.Errorf("no such field")
	}
	into := map[event.Field]any{
		event.Timestamp: &e.Timestamp, event.ReceivedAt: &e.ReceivedAt, event.Partition: &e.Partition, event.Offset: &e.Offset,
	}[f]
	if into != nil {
		return json.Unmarshal(value, into)
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return err
	}
	if f != event.EventID {
		e.SetText(f, text)
		return nil
	}
	id, ok := event.ParseID(text)
	if !ok {
		return fmt.Errorf("no UUID")
	}
	e.ID = id
	return nil
}
