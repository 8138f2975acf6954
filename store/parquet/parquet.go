// Package parquet writes and reads Daybook's segments as Apache Parquet files
// that other tools open: DuckDB, pandas, Spark, ClickHouse. Thrift structures,
// encoders and split-block bloom filters come from parquet-go; what is here is
// the road between a page and a column in memory. Codes are never turned back
// into values on the way: a head's dictionary becomes a dictionary page and its
// codes are packed as they are, which is why this is no layer over parquet-go's
// writer.
//
// # The file
//
//	bytes                       what
//	4                           "PAR1"
//	per row group, 1 to 256Ki rows, sorted by (timestamp, partition, offset):
//	  27 × column chunk         one per field, in the order of event.Field
//	  0 to 8 × bloom filter     event_id, user_id, resource, source_ip, session_id,
//	                            request_id, trace_id, correlation_id; none where no row
//	                            has the field
//	  0 to 22 × gram filter     of the fields of text with much of it (grams.go)
//	tail, from Info.TailOff:
//	  27 × row groups           ColumnIndex: least, greatest and absent values of each page
//	  27 × row groups           OffsetIndex: place and first row of each page
//	  footer                    FileMetaData
//	  4                         length of the footer, little-endian
//	  4                         "PAR1"
//
// Every byte belongs to one of these pieces and lies under a checksum: a page's
// body under the CRC32 in its header (the header is compared field by field with
// what the index says), a bloom filter under a CRC32C in its column's metadata
// (key "daybook.bloom_crc32c"), a gram filter under one beside its place (key
// "daybook.grams"), the tail under Info.TailCRC, which the manifest keeps.
// Checksums are checked on every read, that of a filter when it is first used, so
// a flipped bit is an error that names its place and never a wrong or a missing
// event.
//
// # Columns
//
//	fields                     type                     encoding
//	event_id                   FIXED(16), UUID          DELTA_BYTE_ARRAY
//	timestamp, received_at     INT64, TIMESTAMP(NANOS)  DELTA_BINARY_PACKED
//	partition; offset          INT32; INT64             DELTA_BINARY_PACKED
//	text                       BYTE_ARRAY, STRING       RLE_DICTIONARY when coded, else
//	changes, labels, metadata  BYTE_ARRAY, JSON         DELTA_LENGTH_BYTE_ARRAY
//
// The first four are required; text is optional, and a field that no row has is
// one page of nulls. Field ids are event.Field plus one. Data pages are v1, the
// kind that all tools read, and small (see the constants in encode.go): a page of
// results gathers a hundred rows from a hundred places. Pages are Zstandard
// frames; where compressing does not pay, frames of raw blocks.
//
// # Sizes
//
// Of the events of BenchmarkWrite, 570 bytes of JSON each, 59 bytes are left:
// identity 9.6, request identity 9.7, trace identity 6 (three events share one),
// metadata 10.2, resource 4.4, timestamp 2, user, session and address 2 each, the
// other eleven 3 together, bloom filters 3.8, gram filters 3.7, page index and
// footer 0.7.
//
// BYTE_STREAM_SPLIT would take 1 to 2 bytes off the identity, but DuckDB does not
// read it for fixed-length values.
package parquet

import "fmt"

// Info is what a manifest keeps about a file: with it a reader can tell that it
// has the whole of the file that was written.
type Info struct {
	Size    int64  `json:"size"` // bytes
	Rows    int64  `json:"rows"`
	TailOff int64  `json:"tail_off"` // where page index and footer begin
	TailCRC uint32 `json:"tail_crc"` // CRC32C of [TailOff, Size)
}

// DamageError says that a file is not what was written.
type DamageError struct {
	File   string
	Offset int64 // where in the file; -1 when it is the file as a whole
	Reason string
}

// ReadError says that the system did not read a piece of a file. It may do so when
// asked again, or the disk may have lost the piece.
type ReadError struct {
	File   string
	Offset int64
	Size   int
	Err    error
}

// Error names file, offset and cause.
func (e *ReadError) Error() string {
	return fmt.Sprintf("%s: reading %d bytes at %d: %v", e.File, e.Size, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// Error names file, offset and reason.
func (e *DamageError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is damaged: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}
