package kafka

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/daybook-log/daybook/internal/kafkatest"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/streamtest"
)

// single is one broker for all tests that need no more.
var single = kafkatest.Shared{Options: kafkatest.Options{Secure: true}}

func TestMain(m *testing.M) {
	code := m.Run()
	single.Stop()
	three.Stop()
	os.Exit(code)
}

// options are those of a new topic on c.
func options(t testing.TB, c *kafkatest.Cluster, partitions int32) Options {
	return Options{
		Brokers: c.Brokers(), Topic: kafkatest.Topic(t), Create: &Topic{Partitions: partitions},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func mustOpen(t testing.TB, o Options) *Stream {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// contract runs the suite over topics of so many partitions.
func contract(t *testing.T, c *kafkatest.Cluster, partitions int32) {
	var o Options
	streamtest.Run(t, streamtest.Harness{
		Partitions: int(partitions),
		Open: func(t *testing.T) stream.Stream {
			o = options(t, c, partitions)
			return mustOpen(t, o)
		},
		Reopen: func(t *testing.T, s stream.Stream) stream.Stream {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return mustOpen(t, o)
		},
		Drop: func(t *testing.T, s stream.Stream) { deleteHalf(t, c, s.(*Stream)) },
	})
}

// deleteHalf does to each partition what retention does.
func deleteHalf(t *testing.T, c *kafkatest.Cluster, s *Stream) {
	t.Helper()
	end, err := s.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var upTo kadm.Offsets
	for p, offset := range end {
		upTo.AddOffset(s.opts.Topic, int32(p), offset/2, -1)
	}
	deleted, err := c.Admin().DeleteRecords(t.Context(), upTo)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	c := single.Cluster(t)
	t.Run("one partition", func(t *testing.T) { contract(t, c, 1) })
	t.Run("five partitions", func(t *testing.T) { contract(t, c, 5) })
}

// waiting returns a context for what must come soon.
func waiting(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
