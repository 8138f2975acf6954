package kafkatest

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/daybook-log/daybook/internal/tooltest"
)

// What a client's command may take, on a machine that does much else.
const clientWithin = 2 * time.Minute

// Kcat returns a command that runs kcat, which is librdkafka.
func Kcat(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		tooltest.Fail(t, tooltest.MissingError{Err: errors.New("kcat is not installed; on Debian it is in the package kcat")})
	}
	return exec.CommandContext(inTime(t), kcat, args...)
}

// Tool returns a command that runs a tool of Apache Kafka, such as
// org.apache.kafka.tools.ConsoleProducer.
func Tool(t testing.TB, class string, args ...string) *exec.Cmd {
	t.Helper()
	inst, err := install()
	tooltest.Fail(t, err)
	return inst.java(inTime(t), nil, class, args...)
}

//go:embed kafkajs
var kafkajs embed.FS

// Kafkajs returns a command that publishes with kafkajs, as kafkajs/publish.js
// says. What npm installs is kept in the user's cache folder.
func Kafkajs(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := installKafkajs(t.Context())
	tooltest.Fail(t, err)
	return exec.CommandContext(inTime(t), "node", append([]string{filepath.Join(dir, "publish.js")}, args...)...)
}

func installKafkajs(ctx context.Context) (dir string, err error) {
	program, err := fs.Sub(kafkajs, "kafkajs")
	if err != nil {
		return "", err
	}
	return tooltest.NPM(ctx, "kafkajs", program)
}

// inTime returns a context for a client's command.
func inTime(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), clientWithin)
	t.Cleanup(cancel)
	return ctx
}
