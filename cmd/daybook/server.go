package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/daybook-log/daybook/access/gate"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/ingest"
	listener "github.com/daybook-log/daybook/ingest/kafka"
	"github.com/daybook-log/daybook/ingest/redact"
	"github.com/daybook-log/daybook/internal/certs"
	"github.com/daybook-log/daybook/internal/saved"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/state"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/ui"
)

// server is every component of one process, wired:
//
//	  HTTP, Kafka                                 HTTP
//	   │                                            ▲
//	ingest ─────append─────► stream ──read──► index │ query
//	   │                        │              │    │   │
//	   └──known?──► store ◄─────┼────append────┘    │   │
//	                  ▲         └──────end──────────┼───┤
//	                  └────────────scan, count──────┴───┘
//
// They are opened against the data's direction and closed with it. A server that
// has not all roles leaves out what it does not need: nil below.
type server struct {
	log      *slog.Logger
	settings *settings.Settings

	lock        io.Closer // of the data folder
	state       *state.DB
	keys        *keyring.Keyring
	gate        *gate.Gate
	secretBytes []byte // that sessions, tokens, redactions and hidden positions are keyed from
	searches    *saved.Searches
	audit       *audit.Log
	redactor    *redact.Redactor
	provider    api.Provider  // nil: nobody signs in
	certs       *certs.Source // nil: connections are not encrypted
	store       *segment.Store
	stream      durable
	topic       string  // of the stream; "": it is embedded
	dead        durable // the dead-letter stream
	letters     *index.DeadLetters
	index       *index.Indexer
	http        *api.Server
	kafka       *listener.Server

	ingest        *ingest.Metrics
	listened      *listener.Metrics // of kafka
	streamFigures func() []api.Figure
	streamBytes   func() int64    // on disk; nil: it lies elsewhere
	retain        func()          // drops what of the stream is too old; nil: somebody else does
	replay        event.Positions // the stream's end when it was opened
	started       time.Time
}

// Folders and files of a data folder.
const (
	storeDir  = "store"
	streamDir = "stream"
	deadDir   = "dead-letters"
	lockFile  = "LOCK"
	stateFile = "state.db" // keys, the server's secret, saved searches
)

// catchUp is how long a starting server waits for the index to replay what the
// store had in memory only, before it takes requests. Until then a receipt could
// not tell that an event is a duplicate. If the store cannot take the rows (the
// disk is full) the server serves all the same: searches must not wait for that.
const catchUp = 10 * time.Second

// openServer opens every component and starts nothing.
func openServer(s *settings.Settings, stderr io.Writer) (_ *server, err error) {
	if s.MemoryLimit > 0 {
		debug.SetMemoryLimit(int64(s.MemoryLimit))
	}
	srv := &server{log: newLogger(s, stderr), settings: s, ingest: new(ingest.Metrics), listened: new(listener.Metrics), started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
	}()
	fsys := vfs.OS()
	if err := srv.lockData(fsys); err != nil {
		return nil, err
	}
	if err := srv.openAccess(); err != nil {
		return nil, err
	}
	if s.Has(settings.RoleIndex) {
		if err := srv.openStore(fsys); err != nil {
			return nil, err
		}
	}
	if err := srv.openStreams(fsys, s); err != nil {
		return nil, err
	}
	if s.Has(settings.RoleIndex) {
		if err := srv.openIndex(); err != nil {
			return nil, err
		}
	}
	return srv, srv.openDoors()
}

// lockData makes the data folder, if need be, and keeps others out of it.
func (srv *server) lockData(fsys vfs.FS) (err error) {
	data := srv.settings.Data
	if err := fsys.MkdirAll(data); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if srv.lock, err = fsys.Lock(filepath.Join(data, lockFile)); errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data folder %s is in use by another daybook; stop that one, or name another folder with --data", data)
	} else if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

func (srv *server) openStore(fsys vfs.FS) (err error) {
	s := srv.settings
	srv.store, err = segment.Open(fsys, filepath.Join(s.Data, storeDir), segment.Options{
		HeadRows: s.StoreHeadRows, HeadAge: time.Duration(s.StoreHeadAge), CacheBytes: int64(s.StoreCacheBytes),
		RetainAge: time.Duration(s.StoreRetainAge), RetainBytes: int64(s.StoreRetainBytes), QueryMemory: int64(s.QueryMemory),
	}, srv.log.With("stage", "store"))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// openIndex opens the dead letters, and the index between stream and store.
func (srv *server) openIndex() (err error) {
	ctx := context.Background()
	if srv.letters, err = index.OpenDeadLetters(ctx, srv.dead); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	if srv.replay, err = srv.stream.End(ctx); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	srv.index, err = index.New(ctx, index.Options{
		Stream: srv.stream, Store: srv.store, Restorer: srv.store, DeadLetters: srv.letters, Topic: srv.topic,
		Window: time.Duration(srv.settings.IndexDedupeWindow), Logger: srv.log.With("stage", "index"),
	})
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// openDoors makes the ends that people and programs see: publishing and querying.
func (srv *server) openDoors() (err error) {
	s := srv.settings
	publisher := srv.publisher()
	srv.audit = audit.New(audit.Options{Publisher: replayer{publisher}, Logger: srv.log.With("stage", "audit"), Enabled: func() bool { return !srv.gate.Open() }})
	page, err := ui.New()
	if err != nil {
		return err
	}
	o := api.Options{
		Logger: srv.log.With("stage", "api"), Access: srv.guarding(), Searches: srv.searches, LocalOnly: srv.gate.Open,
		DeadLetters: srv.letters, Publisher: replayer{publisher},
		Ready: srv.checks, Page: page, System: srv.system, Figures: srv.figures(), MaxConnections: srv.maxConnections(s.APIMaxConnections),
	}
	if s.Has(settings.RoleIngest) {
		o.Ingest = ingest.NewHandler(publisher, ingest.HTTPOptions{
			MaxBody: int64(s.IngestMaxBody), MaxDecoded: int64(s.IngestMaxUnpacked), MaxEvents: s.IngestMaxEvents,
			MaxInFlight: int64(s.IngestMaxInFlight), Logger: srv.log.With("stage", "ingest"),
			Door: func(r *http.Request) ingest.Door { return api.GrantOf(r.Context()) },
		})
	}
	if s.Has(settings.RoleQuery) {
		o.Query = query.New(query.Options{
			Store: srv.store, Stream: srv.stream, Timeout: time.Duration(s.QueryTimeout), Concurrency: s.QueryConcurrency,
			MaxTails: s.QueryMaxTails, Secret: srv.secretBytes,
		})
	}
	if srv.http, err = api.Open(context.Background(), s.Listen, srv.tlsConfig(), api.New(o)); err != nil {
		return err
	}
	if s.Kafka.Listen == "" {
		return nil
	}
	srv.kafka, err = listener.Open(context.Background(), listener.Options{
		Publisher: publisher, Listen: s.Kafka.Listen, Advertised: s.Kafka.Advertise, Topics: []string{s.Kafka.Topic},
		ClusterID: srv.stream.ID().String(), MaxInFlight: int64(s.IngestMaxInFlight),
		Authenticate: srv.logIn, Anonymous: srv.anonymous, Certificate: srv.byCertificate, TLS: srv.tlsConfig(),
		Logger: srv.log.With("stage", "ingest"), Metrics: srv.listened,
	})
	return err
}

// publisher returns the road into the stream.
func (srv *server) publisher() *ingest.Publisher {
	o := ingest.PublisherOptions{
		Stream: srv.stream, Store: noStore{}, Window: time.Duration(srv.settings.IndexDedupeWindow), Metrics: srv.ingest,
		Keyed: srv.settings.Stream != settings.Embedded, Redactor: srv.redactor,
	}
	if srv.store != nil {
		o.Store = srv.store
	}
	return ingest.NewPublisher(o)
}

// noStore is what a server without a store knows of events that were published
// before: nothing. The index finds the copies.
type noStore struct{}

func (noStore) Visible() event.Positions { return nil }

func (noStore) Known(_ context.Context, _ []event.Identity, _ int64, _ []event.Position) error {
	return errNoStore
}

var errNoStore = errors.New("this server has no store")

// maxConnections returns how many connections to have: as many as were asked for,
// and at most three quarters of the file descriptors, because stream and store
// need some and fail without.
func (srv *server) maxConnections(asked int) int {
	n, known := descriptors()
	if most := max(1, n/4*3); known && asked > most {
		srv.log.Warn("fewer connections than api.max_connections says, because there are too few file descriptors; raise the limit (ulimit -n, LimitNOFILE)",
			"connections", most, "asked", asked, "descriptors", n)
		return most
	}
	return asked
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
func (srv *server) URL() string {
	if srv.certs != nil {
		return "https://" + srv.http.Addr().String()
	}
	return "http://" + srv.http.Addr().String()
}

// Describe says in a line where and on what the server serves.
func (srv *server) Describe() string {
	s := srv.settings
	line := "serving on " + srv.URL()
	if srv.kafka != nil {
		line += ", Kafka producers on " + srv.kafka.Addr().String()
	}
	if srv.store != nil {
		line += ", data in " + s.Data
	}
	if s.Stream != settings.Embedded {
		line += ", stream " + s.Stream
	}
	if !s.Has(settings.RoleQuery) || !s.Has(settings.RoleIngest) {
		line += ", role " + strings.Join(s.Role, ",")
	}
	if srv.gate.Open() {
		line += "; loopback only, since no keys are defined"
	}
	return line
}

// Run serves until ctx ends, then stops in the data's direction: no more events
// are taken, those taken are indexed, and the store finishes what it writes.
func (srv *server) Run(ctx context.Context) error {
	parts := []part{{"api", srv.whenReady(srv.http.Run)}}
	if srv.kafka != nil {
		parts = append(parts, part{"kafka", srv.whenReady(srv.kafka.Run)})
	}
	if srv.store != nil {
		parts = append(parts, part{"removals", srv.recordRemovals})
	}
	parts = append(parts, part{"audit", srv.runAudit}, part{"keys", srv.keys.Run})
	if srv.certs != nil {
		parts = append(parts, part{"tls", srv.certs.Run})
	}
	if srv.index != nil {
		parts = append(parts, part{"index", srv.runIndex}, part{"store", srv.runStore})
	}
	if srv.retain != nil {
		parts = append(parts, part{"retention", srv.runRetention})
	}
	return errors.Join(runAll(ctx, parts), srv.Close())
}

// whenReady takes requests once the index has caught up.
func (srv *server) whenReady(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if srv.store != nil {
			srv.awaitReplay(ctx)
		}
		return run(ctx)
	}
}

func (srv *server) awaitReplay(ctx context.Context) {
	wait, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	began := time.Now()
	if err := srv.store.Wait(wait, srv.replay); err == nil {
		srv.log.Debug("the index has caught up with the stream", "took", time.Since(began))
	} else if ctx.Err() == nil {
		srv.log.Warn("serving before the index has caught up with the stream", "err", err)
	}
}

// runRetention lets the stream drop what has become too old while nothing is
// published.
func (srv *server) runRetention(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			srv.retain()
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
	if srv.kafka != nil {
		errs = append(errs, srv.kafka.Close())
	}
	errs = append(errs, srv.closeStreams())
	if srv.store != nil {
		errs = append(errs, srv.store.Close())
	}
	if srv.state != nil {
		errs = append(errs, srv.state.Close())
	}
	if srv.lock != nil {
		errs = append(errs, srv.lock.Close())
	}
	return errors.Join(errs...)
}

// checks tells /readyz what is and what is not in order.
func (srv *server) checks(ctx context.Context) []api.Check {
	check := func(name string, err error, detail string) api.Check {
		if err != nil {
			return api.Check{Name: name, Detail: err.Error()}
		}
		return api.Check{Name: name, OK: true, Detail: detail}
	}
	checks := []api.Check{check("stream", srv.stream.Failed(), "durable")}
	if srv.index == nil {
		return checks
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
	return append(checks,
		check("index", errors.Join(err, behind), fmt.Sprintf("%d records behind", lag)),
		check("store", damaged, fmt.Sprintf("%d events in %d segments", st.Events, st.Segments)))
}
