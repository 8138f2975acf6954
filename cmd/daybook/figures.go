package main

import (
	"context"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/stream/kafka"
	"github.com/daybook-log/daybook/stream/wal"
)

// figures returns what /metrics reads from each stage. Names follow the stages;
// docs/operations.md lists them.
func (srv *server) figures() []func() []api.Figure {
	figures := []func() []api.Figure{srv.ingestFigures, srv.streamFigures}
	if srv.index != nil {
		figures = append(figures, srv.indexFigures, api.StoreFigures(srv.store.Stats))
	}
	if srv.certs != nil {
		figures = append(figures, srv.certFigures)
	}
	if srv.settings.Kafka.Listen != "" {
		figures = append(figures, srv.listenerFigures)
	}
	return figures
}

func (srv *server) certFigures() []api.Figure {
	s := srv.certs.Stats()
	return []api.Figure{
		gauge("tls_not_after_seconds", "When the certificate that is served ends, in seconds since 1970.", s.NotAfter.Unix()),
		counter("tls_reloads_total", "Changes of the certificate's files that were loaded.", s.Reloads),
		counter("tls_reload_errors_total", "Changes of the certificate's files that could not be loaded; what was before is served.", s.Errors),
	}
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
		counter("ingest_redacted_values_total", "Values in which a secret was replaced before the event went into the stream.", m.RedactedValues.Load()),
		counter("ingest_redacted_events_total", "Events that these values were in.", m.RedactedEvents.Load()),
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

// topicFigures are those of a stream in Kafka.
func topicFigures(s kafka.Stats) []api.Figure {
	return []api.Figure{
		gauge("stream_partitions", "Partitions of the topic.", int64(s.Partitions)),
		gauge("stream_leaderless_partitions", "Partitions that nobody leads at the moment.", int64(s.Leaderless)),
		gauge("stream_waiting_bytes", "Bytes of appends that are not durable yet.", s.WaitingBytes),
		counter("stream_records_total", "Records made durable.", s.Records),
		counter("stream_record_bytes_total", "Bytes of these records.", s.DataBytes),
		counter("stream_errors_total", "Records that the cluster did not acknowledge.", s.Failed),
		counter("stream_requests_total", "Produce requests sent.", s.Requests),
		counter("stream_retries_total", "Of these, requests that got no answer and were sent again.", s.FailedRequests),
		counter("stream_leader_moves_total", "Changes of a partition's leader that were seen.", s.LeaderMoves),
	}
}

// listenerFigures are those of the Kafka listener.
func (srv *server) listenerFigures() []api.Figure {
	m := srv.listened
	batches := func(outcome string, n int64) api.Figure {
		return labelled(counter("kafka_batches_total", "Record batches received, by what became of them.", n), "outcome", outcome)
	}
	produce := func(acks string, n int64) api.Figure {
		return labelled(counter("kafka_produce_requests_total", "Produce requests, by whether the producer waits for the answer.", n), "acks", acks)
	}
	return []api.Figure{
		gauge("kafka_connections", "Connections of Kafka clients.", m.Open.Load()),
		counter("kafka_connections_total", "Connections accepted.", m.Connections.Load()),
		counter("kafka_connections_rejected_total", "Connections closed at once, because too many were open.", m.Rejected.Load()),
		counter("kafka_clients_slowed_total", "Times that a Kafka client was held back, having published more than its key may.", m.Slowed.Load()),
		counter("kafka_connections_broken_total", "Connections closed for what was sent, or not sent in time.", m.Broken.Load()),
		counter("kafka_logins_failed_total", "Logins refused.", m.LoginsFailed.Load()),
		counter("kafka_requests_total", "Requests of any kind.", m.Requests.Load()),
		produce("all", m.Produce.Load()),
		produce("0", m.ProduceAcks0.Load()),
		counter("kafka_request_bytes_total", "Bytes of requests as sent.", m.RequestBytes.Load()),
		counter("kafka_unpacked_bytes_total", "Bytes of record batches, decompressed.", m.UnpackedBytes.Load()),
		gauge("kafka_bytes_in_flight", "Bytes of record batches and their events held now.", m.BytesInFlight.Load()),
		batches("appended", m.Batches.Load()),
		batches("repeated", m.BatchesRepeat.Load()),
		batches("refused", m.BatchesRefused.Load()),
		batches("failed", m.BatchesFailed.Load()),
		batches("asked_again", m.BatchesAsked.Load()),
		batches("out_of_sequence", m.BatchesOutside.Load()),
		counter("kafka_withdrawn_total", "Good events not appended, because another of their batch was refused.", m.Withdrawn.Load()),
		counter("kafka_unacknowledged_total", "Events appended that came with acks=0.", m.EventsAcks0.Load()),
	}
}

// logFigures are those of the embedded stream.
func logFigures(s wal.Stats) []api.Figure {
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
