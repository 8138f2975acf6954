// Package kafka is the event stream on a cluster that speaks the Kafka protocol.
//
// # Records
//
// One topic holds the events, a record each. Any Kafka client in any language may
// publish to it and consume from it:
//
//	value      the event's JSON; canonical, when Daybook wrote it
//	key        tenant_id, "/", user_id: "default/alice"
//	partition  murmur2 of the key, modulo the number of partitions, as the Java
//	           client and most others choose it for a record with a key
//	timestamp  when the broker took the record, in ms: received_at
//	headers    none
//
// So the events of one user of one tenant lie in one partition, in order. The key
// serves that and nothing else: it is not read back. When partitions are added to
// the topic most users move to another one, and the order between what they did
// before and after is that of the events' times.
//
// The clock of received_at is the broker's where the topic says
// message.timestamp.type=LogAppendTime, which a topic made by Daybook does. Else it
// is the publisher's, which may say anything; [Stream.Findings] names that.
//
// # Promises
//
// Append acknowledges with all in-sync replicas (acks=all), by an idempotent
// producer: what the client sends again is written once. Where it gives up, after
// Options.DeliveryTimeout, a record may have been written all the same; a publisher
// that comes back with it writes it twice, and the index drops the copy.
//
// A reader is handed every record from its positions on, or told what is missing.
// It asks for partitions itself and commits nothing to the cluster: how far the
// store has come is the store's to say. Leaders may move, brokers restart and
// partitions be added meanwhile. Records that retention or compaction removed
// before they were read are a [stream.GapError]. A log that is shorter than what
// was read of it, which an unclean leader election leaves behind, and a topic that
// was deleted and made anew are errors that end the reader: offsets then no longer
// mean what they meant. So they do not go unnoticed at a start, the topic's
// identity is in [Stream.ID].
//
// Records of aborted transactions are read as any others. Transaction markers are
// not records; a reader passes over them.
package kafka
