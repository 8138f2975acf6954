package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clientLogger is how the client logs. It never logs what records hold. What it
// calls information is of use to those who look for a fault in it.
type clientLogger struct{ log *slog.Logger }

func (l clientLogger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.log.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.log.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case l.log.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, msg, keyvals...)
}

// health is what a client sees of the brokers. It hooks into the client.
type health struct {
	requests, failed atomic.Int64 // of the Produce API

	mu   sync.Mutex
	sick map[string]error // by address: why the last attempt failed; guarded by mu
}

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (h *health) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	h.note(meta, err)
}

// OnBrokerE2E implements [kgo.HookBrokerE2E].
func (h *health) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == int16(kmsg.Produce) {
		h.requests.Add(1)
		if e2e.Err() != nil {
			h.failed.Add(1)
		}
	}
	h.note(meta, e2e.Err())
}

func (h *health) note(meta kgo.BrokerMetadata, err error) {
	addr := fmt.Sprintf("%s:%d", meta.Host, meta.Port)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		delete(h.sick, addr)
	case h.sick == nil:
		h.sick = map[string]error{addr: err}
	default:
		h.sick[addr] = err
	}
}

// complaints says which brokers do not answer, and why; "" when all do.
func (h *health) complaints() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, addr := range slices.Sorted(maps.Keys(h.sick)) {
		all = append(all, fmt.Sprintf("broker %s does not answer (%v)", addr, h.sick[addr]))
	}
	return strings.Join(all, "; ")
}

// reason says what is known about why the cluster does not do what it is asked,
// as the end of an error's text; "" when nothing is.
func (s *Stream) reason() string {
	s.mu.Lock()
	leaderless, short := 0, 0
	for _, p := range s.partitions {
		switch {
		case p.Leader < 0:
			leaderless++
		case len(p.ISR) < s.minISR:
			short++
		}
	}
	n := len(s.partitions)
	s.mu.Unlock()
	var all []string
	if leaderless > 0 {
		all = append(all, fmt.Sprintf("%d of %d partitions have no leader", leaderless, n))
	}
	if short > 0 {
		all = append(all, fmt.Sprintf("%d of %d partitions have fewer than the %d replicas in sync that min.insync.replicas asks for", short, n, s.minISR))
	}
	if sick := s.health.complaints(); sick != "" {
		all = append(all, sick)
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, "; ")
}
