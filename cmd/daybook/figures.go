package main

import (
	"context"

	"github.com/daybook-log/daybook/api"
)

// figures returns what /metrics reads from each stage. Names follow the stages;
// docs/operations.md lists them.
func (srv *server) figures() []func() []api.Figure {
	return []func() []api.Figure{srv.ingestFigures, srv.streamFigures, srv.indexFigures, api.StoreFigures(srv.store.Stats)}
}

func gauge(name, help string, v int64) api.Figure {
	return api.Figure{Name: "daybook_" + name, Help: help, Value: float64(v)}
}

func counter(name, help string, v int64) api.Figure {
	return api.Figure{Name: "daybook_" + name, Help: help, Value: float64(v), Counter: true}
}

func labelled(f api.Figure, key, value string) api.Figure {
	f.Labels = map[string]string{key: value}
	return f
}

func (srv *server) ingestFigures() []api.Figure {
	m := srv.ingest
	refused := func(reason string, n int64) api.Figure {
		return labelled(counter("ingest_refused_total", "Events refused, by what was wrong with them.", n), "reason", reason)
	}
	problem := func(kind string, n int64) api.Figure {
		return labelled(counter("ingest_problems_total", "Publish requests that ended with a problem, by kind.", n), "kind", kind)
	}
	return []api.Figure{
		counter("ingest_accepted_total", "Events appended to the stream and acknowledged.", m.Accepted.Load()),
		counter("ingest_duplicates_total", "Events acknowledged with the position of their original.", m.Duplicates.Load()),
		refused("syntax", m.RefusedSyntax.Load()),
		refused("field", m.RefusedField.Load()),
		counter("ingest_failed_total", "Good events that were not acknowledged because the append failed.", m.Failed.Load()),
		counter("ingest_duplicate_checks_skipped_total", "Events whose receipt could not tell exactly whether they are duplicates.", m.DuplicateChecksSkipped.Load()),
		counter("ingest_requests_total", "Publish requests begun.", m.HTTP.Requests.Load()),
		gauge("ingest_requests_in_flight", "Publish requests being served.", m.HTTP.InFlight.Load()),
		gauge("ingest_bytes_in_flight", "Bytes of events held by these.", m.HTTP.InFlightBytes.Load()),
		counter("ingest_body_bytes_total", "Bytes of publish bodies as sent.", m.HTTP.BodyBytes.Load()),
		counter("ingest_decoded_bytes_total", "Bytes of publish bodies once decompressed.", m.HTTP.DecodedBytes.Load()),
		problem("malformed", m.HTTP.Malformed.Load()),
		problem("too_large", m.HTTP.TooLarge.Load()),
		problem("all_refused", m.HTTP.AllRefused.Load()),
		problem("overloaded", m.HTTP.Overloaded.Load()),
		problem("unavailable", m.HTTP.Unavailable.Load()),
	}
}

func (srv *server) streamFigures() []api.Figure {
	s := srv.stream.Stats()
	return []api.Figure{
		gauge("stream_start_offset", "Offset of the oldest record held.", s.Start),
		gauge("stream_end_offset", "Offset after the newest durable record.", s.End),
		gauge("stream_segments", "Segment files of the stream.", int64(s.Segments)),
		gauge("stream_bytes", "Bytes of the stream on disk.", s.Bytes),
		gauge("stream_waiting_bytes", "Bytes of appends that are not durable yet.", s.WaitingBytes),
		gauge("stream_cached_bytes", "Bytes of the newest records held in memory.", s.CachedBytes),
		counter("stream_records_total", "Records made durable.", s.Records),
		counter("stream_record_bytes_total", "Bytes of these records.", s.DataBytes),
		counter("stream_appended_bytes_total", "Bytes these records and their framing took on disk.", s.StoredBytes),
		counter("stream_commits_total", "Group commits: writes that publishers shared.", s.Groups),
		counter("stream_fsyncs_total", "Fsyncs of stream segments.", s.Syncs),
		counter("stream_errors_total", "Commits that were not acknowledged, and segments that could not be dropped.", s.Errors),
		counter("stream_dropped_segments_total", "Segments that retention dropped.", s.Dropped),
	}
}

func (srv *server) indexFigures() []api.Figure {
	s := srv.index.Stats()
	failing := int64(0)
	if s.Failing != nil {
		failing = 1
	}
	figures := []api.Figure{
		counter("index_indexed_total", "Events appended to the store.", s.Indexed),
		counter("index_duplicates_total", "Records dropped as copies of a stored event.", s.Duplicates),
		counter("index_retries_total", "Attempts that failed and were repeated.", s.Retries),
		gauge("index_failing", "1 while a step is being retried.", failing),
		counter("index_missing_records_total", "Records that retention dropped before they were indexed.", s.Missing),
		gauge("index_dead_letters", "Records in the dead-letter stream.", srv.letters.Count()),
		gauge("index_dead_letters_open", "Of these, records that were neither replayed nor discarded.", srv.letters.Open()),
	}
	if lag, err := srv.index.Lag(context.Background()); err == nil {
		figures = append(figures, gauge("index_lag_records", "Records in the stream that cannot be searched yet.", lag))
	}
	for class, n := range s.DeadLetters {
		figures = append(figures, labelled(counter("index_dead_letters_total", "Records put into the dead-letter stream, by reason.", n), "reason", class))
	}
	return figures
}
