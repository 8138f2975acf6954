package kafka

import "sync/atomic"

// Metrics counts what the listener did since the program started. The fields
// are read at any time by whoever exposes them. What became of events is in
// [ingest.Metrics], whatever protocol they came by.
type Metrics struct {
	Connections      atomic.Int64 // accepted
	Open             atomic.Int64 // open now
	Rejected         atomic.Int64 // closed at once, because MaxConnections were open
	HandshakesFailed atomic.Int64 // TLS handshakes that failed
	LoginsFailed     atomic.Int64 // SASL logins that were refused
	Slowed           atomic.Int64 // times that a client was held back, having published more than it may
	Broken           atomic.Int64 // connections closed because of what was sent, or was not sent in time

	Requests      atomic.Int64 // of any kind
	Produce       atomic.Int64 // to publish, whose producer waits for the answer
	ProduceAcks0  atomic.Int64 // to publish, with acks=0: nobody waits, and nobody is told of a failure
	RequestBytes  atomic.Int64 // as sent
	UnpackedBytes atomic.Int64 // of record batches, after decompression
	BytesInFlight atomic.Int64 // of record batches and their events, held now

	Batches        atomic.Int64 // record batches appended
	BatchesRepeat  atomic.Int64 // record batches that an idempotent producer sent again, and that were not appended again
	BatchesRefused atomic.Int64 // record batches refused because of what was in them
	BatchesFailed  atomic.Int64 // record batches that were good and not acknowledged, because the append failed
	BatchesAsked   atomic.Int64 // record batches that an idempotent producer was told to send again, after earlier ones
	BatchesOutside atomic.Int64 // record batches refused because their sequence numbers do not continue the producer's

	Withdrawn   atomic.Int64 // good events that were not appended, because their batch had one that was refused
	EventsAcks0 atomic.Int64 // events appended that came with acks=0
}
