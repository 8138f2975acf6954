package main

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/internal/settings"
)

// system gathers what the page's system view and GET /v1/system say.
func (srv *server) system(ctx context.Context) api.System {
	m := srv.ingest
	s := api.System{
		Version: version(), StartedAt: srv.started.UTC(), Now: time.Now().UTC(), Log: srv.stream.ID().String(), Roles: srv.settings.Role,
		Stream: srv.systemStream(ctx), Memory: api.SystemMemory{Bytes: goMemory()},
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		s.Memory.Limit = limit
	}
	if srv.settings.Has(settings.RoleIngest) {
		s.Ingest = &api.SystemIngest{
			Accepted: m.Accepted.Load(), Duplicates: m.Duplicates.Load(), Refused: m.RefusedSyntax.Load() + m.RefusedField.Load(),
			Failed: m.Failed.Load(), InFlight: m.HTTP.InFlight.Load(),
		}
	}
	if srv.index == nil {
		return s
	}
	s.Index = srv.systemIndex(ctx)
	s.DeadLetters = &api.SystemLetters{Open: srv.letters.Open(), Total: srv.letters.Count()}
	st := srv.store.Stats()
	s.Memory.Store = st.MemoryBytes
	s.Store = &api.SystemStore{
		Events: st.Events, HeadEvents: st.HeadEvents, Bytes: st.Bytes, Segments: st.Segments, Expired: st.Expired,
		Oldest: moment(st.Oldest), Newest: moment(st.Newest), Damaged: []api.SystemDamage{},
	}
	for _, d := range st.Damaged {
		s.Store.Missing += d.Events
		s.Store.Damaged = append(s.Store.Damaged, api.SystemDamage{File: d.File, Reason: d.Reason, Events: d.Events})
	}
	return s
}

func (srv *server) systemStream(ctx context.Context) api.SystemStream {
	s := api.SystemStream{Kind: "kafka"}
	if srv.settings.Stream == settings.Embedded {
		s.Kind = "embedded"
	}
	if err := srv.stream.Failed(); err != nil {
		s.Error = err.Error()
	}
	if srv.streamBytes != nil {
		s.Bytes = srv.streamBytes()
	}
	end, err := srv.stream.End(ctx)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	s.End = make(map[string]int64)
	for partition, offset := range end {
		s.End[strconv.Itoa(int(partition))] = offset
	}
	return s
}

func (srv *server) systemIndex(ctx context.Context) *api.SystemIndex {
	st := srv.index.Stats()
	s := &api.SystemIndex{Indexed: st.Indexed, Duplicates: st.Duplicates, Lag: -1}
	if lag, err := srv.index.Lag(ctx); err == nil {
		s.Lag = lag
	}
	if f := st.Failing; f != nil {
		s.Failing = &api.SystemFailing{Step: f.Step, Since: f.Since.UTC(), Error: f.Err.Error()}
	}
	return s
}

// moment is t for JSON, which leaves out what is not known.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// goMemory returns how much memory the Go runtime has from the operating system
// and has not given back.
func goMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
