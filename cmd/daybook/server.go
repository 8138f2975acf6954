package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// server is every component of one process, wired:
//
//	  HTTP                                        HTTP
//	   │                                            ▲
//	ingest ──────append──────► wal ──read──► index  │ query
//	   │                        │              │    │   │
//	   └──known?──► store ◄─────┼────append────┘    │   │
//	                  ▲         └──────end──────────┼───┤
//	                  └────────────scan, count──────┴───┘
//
// They are opened against the data's direction and closed with it.
type server struct {
	log     *slog.Logger
	lock    io.Closer // of the data folder
	store   *segment.Store
	stream  *wal.Log
	dead    *wal.Log // the dead-letter stream
	letters *index.DeadLetters
	index   *index.Indexer
	ingest  *ingest.Metrics
	http    *api.Server

	replay event.Positions // the stream's end when it was opened
}

// Folders and files of a data folder.
const (
	storeDir  = "store"
	streamDir = "stream"
	deadDir   = "dead-letters"
	lockFile  = "LOCK"
)

// catchUp is how long a starting server waits for the index to replay what the
// store had in memory only, before it takes requests. Until then a receipt could
// not tell that an event is a duplicate. If the store cannot take the rows (the
// disk is full) the server serves all the same: searches must not wait for that.
const catchUp = 10 * time.Second

// openServer opens every component and starts nothing.
func openServer(s *settings.Settings, stderr io.Writer) (_ *server, err error) {
	if err := loopbackOnly(s.Listen); err != nil {
		return nil, &exitCode{exitUsage, err}
	}
	if s.MemoryLimit > 0 {
		debug.SetMemoryLimit(int64(s.MemoryLimit))
	}
	srv := &server{log: newLogger(s, stderr), ingest: new(ingest.Metrics)}
	defer func() {
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
	}()
	fsys := vfs.OS()
	if err := fsys.MkdirAll(s.Data); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if srv.lock, err = fsys.Lock(filepath.Join(s.Data, lockFile)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return nil, fmt.Errorf("data folder %s is in use by another daybook; stop that one, or name another folder with --data", s.Data)
		}
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := srv.openData(fsys, s); err != nil {
		return nil, err
	}
	return srv, srv.openAPI(s)
}

// openData opens what is on disk: store, stream, dead letters, and the index
// between them.
func (srv *server) openData(fsys vfs.FS, s *settings.Settings) (err error) {
	srv.store, err = segment.Open(fsys, filepath.Join(s.Data, storeDir), segment.Options{
		HeadRows: s.StoreHeadRows, HeadAge: time.Duration(s.StoreHeadAge), CacheBytes: int64(s.StoreCacheBytes),
		RetainAge: time.Duration(s.StoreRetainAge), RetainBytes: int64(s.StoreRetainBytes), QueryMemory: int64(s.QueryMemory),
	}, srv.log.With("stage", "store"))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	srv.stream, err = wal.Open(fsys, filepath.Join(s.Data, streamDir), wal.Options{
		SegmentBytes: int64(s.StreamSegmentBytes), RetainAge: time.Duration(s.StreamRetainAge), RetainBytes: int64(s.StreamRetainBytes),
	}, srv.log.With("stage", "stream"))
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	srv.dead, err = wal.Open(fsys, filepath.Join(s.Data, deadDir), wal.Options{SegmentBytes: 8 << 20}, srv.log.With("stage", "dead-letters"))
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	ctx := context.Background()
	if srv.letters, err = index.OpenDeadLetters(ctx, srv.dead); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	if srv.replay, err = srv.stream.End(ctx); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	srv.index, err = index.New(ctx, index.Options{
		Stream: srv.stream, Store: srv.store, Restorer: srv.store, DeadLetters: srv.letters,
		Window: time.Duration(s.IndexDedupeWindow), Logger: srv.log.With("stage", "index"),
	})
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// openAPI makes the two ends that people and programs see: publishing and
// querying, over one listener.
func (srv *server) openAPI(s *settings.Settings) (err error) {
	publisher := ingest.NewPublisher(ingest.PublisherOptions{
		Stream: srv.stream, Store: srv.store, Window: time.Duration(s.IndexDedupeWindow), Metrics: srv.ingest,
	})
	handler := ingest.NewHandler(publisher, ingest.HTTPOptions{
		MaxBody: int64(s.IngestMaxBody), MaxDecoded: int64(s.IngestMaxUnpacked), MaxEvents: s.IngestMaxEvents,
		MaxInFlight: int64(s.IngestMaxInFlight), Logger: srv.log.With("stage", "ingest"),
	})
	engine := query.New(query.Options{
		Store: srv.store, Stream: srv.stream, Timeout: time.Duration(s.QueryTimeout), Concurrency: s.QueryConcurrency,
	})
	srv.http, err = api.Open(context.Background(), s.Listen, api.New(api.Options{
		Query: engine, Logger: srv.log.With("stage", "api"), Ingest: handler, LocalOnly: true,
		DeadLetters: srv.letters, Publisher: replayer{publisher},
		Ready: srv.checks, Figures: srv.figures(),
	}))
	return err
}

// replayer publishes what is replayed from the dead letters on the road that
// every event takes.
type replayer struct{ publisher *ingest.Publisher }

func (r replayer) Publish(ctx context.Context, e *event.Event) (event.Position, error) {
	b := r.publisher.NewBatch()
	defer b.Release()
	if err := b.Add(e); err != nil {
		return event.Position{}, err
	}
	if err := b.Publish(ctx); err != nil {
		return event.Position{}, err
	}
	return b.Receipts()[0].Position, nil
}

// URL returns where the server answers.
func (srv *server) URL() string { return "http://" + srv.http.Addr().String() }

// Run serves until ctx ends, then stops in the data's direction: no more events
// are taken, those taken are indexed, and the store finishes what it writes.
func (srv *server) Run(ctx context.Context) error {
	err := runAll(ctx, []part{
		{"api", srv.serveHTTP},
		{"index", srv.runIndex},
		{"retention", srv.retain},
		{"store", srv.runStore},
	})
	return errors.Join(err, srv.Close())
}

// serveHTTP takes requests once the index has caught up.
func (srv *server) serveHTTP(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := srv.store.Wait(wait, srv.replay); err != nil && ctx.Err() == nil {
		srv.log.Warn("serving before the index has caught up with the stream", "err", err)
	}
	return srv.http.Run(ctx)
}

// retain lets the stream drop what has become too old while nothing is
// published.
func (srv *server) retain(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			srv.stream.Retain()
		}
	}
}

// drainFor is how long a stopping server waits for the index to reach the
// stream's end, and then for the store to freeze its head. What is not done by
// then is replayed at the next start.
const drainFor = 5 * time.Second

// runIndex runs the index and, when ctx ends, lets it reach the stream's end.
func (srv *server) runIndex(ctx context.Context) error {
	return runThen(ctx, srv.index.Run, func(ctx context.Context) {
		if err := srv.index.Drain(ctx); err != nil {
			srv.log.Info("stopping before everything was indexed; the rest is replayed at the next start", "err", err)
		}
	})
}

// runStore runs the store and, when ctx ends, lets it freeze its head, so that a
// stopped server's Parquet files hold everything.
func (srv *server) runStore(ctx context.Context) error {
	return runThen(ctx, srv.store.Run, func(ctx context.Context) {
		if err := srv.store.Flush(ctx); err != nil {
			srv.log.Info("stopping before everything was frozen; the rest is replayed at the next start", "err", err)
		}
	})
}

// runThen runs a component and, when ctx ends, does last, for drainFor at most,
// before it stops the component.
func runThen(ctx context.Context, run func(context.Context) error, last func(context.Context)) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- run(running) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	final, cancel := context.WithTimeout(running, drainFor)
	last(final)
	cancel()
	stop()
	return <-done
}

// Close releases everything that was opened, in the data's direction.
func (srv *server) Close() error {
	var errs []error
	if srv.http != nil {
		errs = append(errs, srv.http.Close())
	}
	for _, l := range []*wal.Log{srv.stream, srv.dead} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, stream.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if srv.store != nil {
		errs = append(errs, srv.store.Close())
	}
	if srv.lock != nil {
		errs = append(errs, srv.lock.Close())
	}
	return errors.Join(errs...)
}

// loopbackOnly refuses an address that others could reach: without keys whoever
// reaches the server may read and write everything.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: write it as host:port, such as 127.0.0.1:7575", addr)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("listen address %q is not a loopback address: there are no keys yet, so anyone who reached it could read and write everything; "+
		"listen on 127.0.0.1 and put a proxy that authenticates before it", addr)
}

// checks tells /readyz what is and what is not in order.
func (srv *server) checks(ctx context.Context) []api.Check {
	check := func(name string, err error, detail string) api.Check {
		if err != nil {
			return api.Check{Name: name, Detail: err.Error()}
		}
		return api.Check{Name: name, OK: true, Detail: detail}
	}
	st := srv.store.Stats()
	var damaged error
	if n := len(st.Damaged); n > 0 {
		damaged = fmt.Errorf("%d segments are damaged and set aside; the first is %s: %s", n, st.Damaged[0].File, st.Damaged[0].Reason)
	}
	var behind error
	if f := srv.index.Stats().Failing; f != nil {
		behind = fmt.Errorf("%s has failed since %s: %w", f.Step, f.Since.UTC().Format(time.RFC3339), f.Err)
	}
	lag, err := srv.index.Lag(ctx)
	return []api.Check{
		check("stream", srv.stream.Failed(), "durable"),
		check("index", errors.Join(err, behind), fmt.Sprintf("%d records behind", lag)),
		check("store", damaged, fmt.Sprintf("%d events in %d segments", st.Events, st.Segments)),
	}
}
