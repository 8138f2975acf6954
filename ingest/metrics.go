package ingest

import "sync/atomic"

// Metrics counts what ingest did since the program started. The fields are
// read at any time by whoever exposes them. Accepted + Duplicates are the
// events that were acknowledged.
type Metrics struct {
	Accepted   atomic.Int64 // events appended to the stream and acknowledged
	Duplicates atomic.Int64 // events acknowledged with the position of their original

	// Events refused, by what was wrong with them.
	RefusedSyntax atomic.Int64 // not a JSON object, or larger than an event may be
	RefusedField  atomic.Int64 // a field is missing, unknown or wrong

	// Values replaced by the Redactor, and the events that they were in. They
	// count when an event is added to a batch, whatever becomes of it then.
	RedactedValues atomic.Int64
	RedactedEvents atomic.Int64

	// Events that were good and yet not acknowledged, because the append
	// failed. The publisher was told and sends them again.
	Failed atomic.Int64

	// DuplicateChecksSkipped counts events whose duplicate check could not be
	// exact: the store did not answer, or the index lags so far that what was
	// published meanwhile is more than ingest keeps in mind. The index drops a
	// second copy all the same; only the receipt may not have said so.
	DuplicateChecksSkipped atomic.Int64

	HTTP HTTPMetrics
}

// HTTPMetrics counts requests to publish over HTTP.
type HTTPMetrics struct {
	Requests      atomic.Int64 // begun
	InFlight      atomic.Int64 // being served now
	InFlightBytes atomic.Int64 // of events, held by them now
	BodyBytes     atomic.Int64 // as sent, before decompression
	DecodedBytes  atomic.Int64 // after decompression

	// Requests that ended with a problem, by kind. A request of which some
	// events were refused and others accepted is none.
	Malformed   atomic.Int64 // 400, 408, 415: the body could not be read
	TooLarge    atomic.Int64 // 413
	AllRefused  atomic.Int64 // 422
	Overloaded  atomic.Int64 // 429
	Unavailable atomic.Int64 // 500, 503: the stream did not take the events
}
