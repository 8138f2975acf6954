// Package segment is the embedded store: the newest events in memory, the rest
// in Parquet files in one folder of the local disk.
//
// # The life of an event
//
// Append puts an event into the head, which is columns in memory, and from then
// on every query sees it. A full or old head is frozen, a new one takes its
// place, and the frozen one is sorted by (timestamp, partition, offset) and
// written to a segment. Small segments that are neighbours in the stream are
// merged; a full one is never written again. Retention drops whole segments.
//
// There is no log of its own: the stream is one. What is in a head is in memory
// only, Committed says from where the stream must be read again after a crash,
// and the stream keeps what comes after. Heads are not written on Close unless
// Flush asks for it.
//
// # Promises
//
//   - A segment holds the events of one unbroken piece of the stream, and each
//     event is in one segment. Segments are committed in stream order.
//   - Committed moves only when a manifest that covers it is durable.
//   - A write that fails is tried again for ever. Meanwhile queries work, and
//     Append waits as soon as two frozen heads wait to be written.
//   - A query answers from all that was visible when it began, whatever is
//     merged or dropped while it runs; files are removed when the last query has
//     let go of them.
//   - A query that meets a damaged file, or one that cannot be read, fails and names
//     it. A segment that is damaged, or stays unreadable for some minutes, is then
//     set aside: later queries answer without it, Stats and Missing say what is
//     missing, and Restore puts back what the stream still has.
//
// # Files
//
//	LOCK                          locked while a process has the store open
//	MANIFEST                      what the store holds; the only commit point
//	000000000042.parquet          a segment: one row group (see store/parquet)
//	000000000042.parquet.damaged  a segment that was set aside; kept to be looked at
//	000000000042.parquet.orphan   a segment that the manifest did not know at a start
//	*.tmp                         being written
//
// A file is written under its name with .tmp added, synced, renamed, and its
// folder synced. A segment counts from the moment at which a manifest that names
// it has taken the place of the one before. What the manifest does not name
// is removed when the store is opened; but more than two segments with numbers from
// next_file on are renamed and kept, because they come from a later manifest than
// the one found. A segment's number is never used again.
//
// # Manifest
//
//	bytes                  content
//	"daybook-manifest "
//	decimal digits, " "    version, 2; 1 is the same without log
//	8 hex digits, " "      CRC32C of the body
//	decimal digits, "\n"   length of the body in bytes
//	body                   one JSON document and "\n"
//
// The JSON is one object. Times are ns since the Unix epoch; a position is an
// array with an offset per partition of the stream.
//
//	generation    one more with every manifest written
//	next_file     number of the next segment
//	log           identity of the log that positions count in, 16 hexadecimal
//	              digits; all 0 for none
//	reached       position up to which the store has what the stream had
//	segments      in stream order
//	  file        name
//	  parquet     size, rows, tail_off, tail_crc: see parquet.Info
//	  from, to    positions between which its events lie
//	  min_time, max_time, min_received, max_received
//	  min_v7, max_v7   least and greatest UUIDv7 among its events, "" for none
//	  other_ids   how many of its events have an event_id that is no UUIDv7
//	  memory_bytes     what its rows take, decoded, without dictionaries
//	  text_bytes       what its texts take, each written out
//	  rising      whether its rows rise by offset as they rise by time
//	damaged       pieces of the stream whose events are missing
//	  file, reason, rows, from, to
//
// The order of a piece of the stream is that of its positions, so segments and
// damaged pieces together cover the stream up to reached, but for what retention
// dropped.
//
// # Queries
//
// Heads and segments are sources to the same evaluator. A source whose times,
// positions, statistics, bloom or gram filters exclude the query is passed over
// without reading a column. In the others a filter is evaluated to a bitmap,
// leaf by leaf with the cheapest first, over dictionary entries where there is a
// dictionary; rows are made into events only as they are handed out.
package segment
