// Package api is the HTTP API: it turns requests into queries and their results
// into JSON, NDJSON, CSV, Parquet and server-sent events. It is also the only
// place where HTTP itself is guarded: time limits, header limits, foreign hosts.
//
// What every answer has in common:
//
//   - an error is an RFC 9457 problem document that names the parameter, its
//     value and what would be accepted;
//   - an answer that is sent in pieces and cannot be finished breaks the
//     connection off, so that no part of an answer looks like the whole;
//   - an answer that may lack events, because a segment was damaged, says so in
//     its header;
//   - a parameter that an endpoint does not know is refused;
//   - when the client goes, the work for it stops.
//
// The endpoints are described in openapi.yaml, which a test holds to the running
// server, and in docs/http-api.md.
package api
