// Package kafka lets producers of Apache Kafka publish to the embedded log as if
// it were a broker: a cluster of one broker, whose topics have one partition.
// Everything it takes goes the road of [ingest.Publisher], as over HTTP.
//
//	server.go     listening, limits, stopping
//	conn.go       a connection: two goroutines, groups of requests
//	frame.go      where a request begins and ends
//	api.go        which requests are answered; metadata, producer ids
//	sasl.go       login
//	produce.go    a request to publish, from its bytes to its answer
//	batch.go      a record batch: checks, records, events
//	unpack.go     compression
//	producers.go  sequence numbers
//	refuse.go     what is not supported
//
// # What is published
//
// The value of a record is one event in JSON, with the fields and the limits
// that it has over HTTP. Key and headers are passed over. Every topic is the
// same log. Record batches are of format 2, which clients send since Kafka
// 0.11, uncompressed or in any of Kafka's codecs. An event without a timestamp
// gets the record's.
//
// A batch is appended whole or not at all, as it is by a broker: when one of
// its events is not valid, the answer is INVALID_RECORD and names the records
// that are not, each with what is wrong with it (KIP-467), up to 64 KiB of
// that; nothing of the batch is appended. Other batches of the request are not
// concerned.
//
// # Promises
//
//   - With acks=1 and acks=all an answer without an error is given only when
//     all events of the batch are durable. With acks=0 there is no answer, as in
//     Kafka: what is refused, or cannot be appended, is counted and lost.
//   - Batches that come over one connection, and those of one idempotent
//     producer over any, are appended in the order in which they were sent.
//   - A connection costs what it sends: requests are bounded, memory is made
//     ready as they arrive, what is compressed is unpacked within a limit, and
//     what all connections hold together is bounded, too. Whoever speaks
//     another protocol, or falls silent in the midst of a request, is closed.
//
// # Sent again
//
// A producer sends a batch again when its answer does not come. Three things
// keep its events from being stored twice, from the surest on:
//
//   - An event_id. Events of a tenant with the same one are one event, whenever
//     and however they come.
//   - An idempotent producer (the default of the Java client and of franz-go;
//     enable.idempotence=true in librdkafka, idempotent: true in kafkajs). An
//     event of such a producer that has no event_id gets one made from its
//     record's place in the producer's sequence and its timestamp. So a batch
//     that is sent again is the same events again, also when the server was
//     restarted meanwhile and has forgotten the producer. kafkajs sends other
//     timestamps then, unless the message was given one.
//   - Without both, a batch that is sent again is other events, as in Kafka.
//
// The identity is a UUIDv8 (RFC 9562):
//
//	0  6  timestamp of the record, ms since the Unix epoch; 0 if it has none
//	6 10  the first of SHA-256( producer id ‖ epoch ‖ sequence number ‖ principal 00 ‖ topic ),
//	      the numbers big-endian in 8, 2 and 4 bytes; version and variant set over it
//
// Producer ids are random, so that none is given twice.
//
// # Sequence numbers
//
// Per producer id and topic, while the server remembers the producer:
//
//	the batch continues the sequence      appended
//	one of the last five, sent again      answered with its offset, not appended
//	an older one, sent again              DUPLICATE_SEQUENCE_NUMBER, which clients take for success
//	it leaves a gap, or overlaps          OUT_OF_ORDER_SEQUENCE_NUMBER
//	a higher epoch, from number 0         appended
//	a lower epoch                         INVALID_PRODUCER_EPOCH
//
// A gap that is not the producer's doing is another matter. When a batch was not
// appended, those behind it that the server reads before the producer has
// heard are not out of order, which makes librdkafka before 2.3 give up for ever,
// and others begin a new sequence. They are answered NOT_ENOUGH_REPLICAS, so that
// the producer sends them again, behind the one that failed.
//
// A broker has the sequences in its log; here they are in memory. The sequence
// of a producer that is not remembered, after a restart most likely, may go on
// anywhere, and the first batch to arrive need not be the first that was not
// answered: the connection of that one may have been refused, and the next
// accepted. librdkafka would take the answer to the later for that to both, and
// the earlier would be lost; others would number anew what is in the log already.
// So a batch that is not number 0 is answered NOT_ENOUGH_REPLICAS_AFTER_APPEND,
// which is true of it: it may be in the log. UNKNOWN_PRODUCER_ID is never said.
//
// Told so, a producer begins again with the oldest batch that it has not given up.
// It has heard when a batch comes again over the connection on which it was
// answered so. The sequence of a producer that was not known goes on there; of one
// that was known it is then said whether that is in order.
//
// With acks=0 sequence numbers are passed over: who hears no answer sends nothing
// again.
//
// # Answers to failures
//
// Clients retry on each of these for as long as they are set to.
//
//	no room on the disk, or too much waits for it   NOT_ENOUGH_REPLICAS, with a throttle time of 1 s
//	the log has failed, and what it holds is        NOT_ENOUGH_REPLICAS_AFTER_APPEND, likewise
//	not known until it is opened again
//	the server is stopping                          NOT_LEADER_OR_FOLLOWER
//	a batch before this one was not appended        NOT_ENOUGH_REPLICAS
//	nothing is known of an idempotent producer      NOT_ENOUGH_REPLICAS_AFTER_APPEND
//
// The base offset of an answer is -1 when the events of the batch do not lie in
// a row, because some of them had been published before.
//
// # Not supported
//
// Transactions, reading, consumer groups, making topics: each is refused with a
// code of Kafka's that clients do not retry. SASL has PLAIN only.
package kafka
