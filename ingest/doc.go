// Package ingest takes events in. Each protocol, HTTP here and Kafka's in
// ingest/kafka, turns what arrives into events and a [Receipt] into an answer;
// in between lies the [Publisher], which is the same for all of them: identity,
// redaction (ingest/redact), duplicate check, canonical bytes, one append to the
// stream, receipts.
//
//	HTTP body ─► split ─► event.Decoder ─► Batch.Add ─► Batch.Publish ─► answer
//	             (split.go)               (publisher.go)               (answer.go)
//
// What the package promises:
//
//   - A receipt is given only for an event that the stream has made durable.
//   - An event that is refused never costs its neighbours: everything else of
//     the request is taken, and the answer says in input order what became of
//     each.
//   - Memory is bounded whatever is sent: a body is read in pieces, events are
//     appended as they come, and past a bound on the bytes in flight over all
//     requests a publisher is told to come back (429).
package ingest
