// Package importer turns audit logs that other systems wrote into Daybook
// events: Kubernetes, CloudTrail, Vault and OpenBao, Google Cloud, Azure,
// GitHub, Linux auditd and more ([Formats]).
//
// # What it promises
//
//   - Every record of the input comes out as exactly one [Item]: an event that
//     [event.Decoder] accepts, or the record as it stood with the reason why it
//     is none. Nothing is skipped but white space between records, and a bad
//     record never costs its neighbours.
//   - The original is kept whole in the event's metadata, numbers and all, so
//     a mapping can lose nothing; it only says what is also a field.
//   - The same record always gives the same event, event_id included, whatever
//     file, wrapping or order it comes in. Importing twice stores nothing twice.
//   - Memory is bounded by [MaxRecord], not by the size of the input.
//
// # The way through
//
// The way of a record is the order of the files to read:
//
//	open.go      bytes → plain text         gzip and zstd by their magic
//	split.go     plain text → records       NDJSON, arrays, {"Records":[…]}, pretty-printed, text lines
//	node.go      record → tree              offsets into the record, nothing copied
//	format.go    tree → mapping             envelopes opened, the format recognised
//	k8s.go …     the mappings               a table each: which field comes from where
//	rule.go      the words of those tables  at, first, join, values …
//	build.go     tree × mapping → event     id derived, limits kept, checked by event.Decoder
//
// # Identity
//
// event_id is a UUIDv8 (RFC 9562, name-based): the first 128 bits of
//
//	SHA-256( namespace ‖ format 00 ‖ id₁ 00 ‖ id₂ 00 … ‖ 00 ‖ RFC 8785 form of the record )
//
// with version and variant bits set over it. id₁, id₂ … are the source's own
// identity (auditID and stage, eventID …), each mapping names them. The record
// is taken without the envelope it travelled in, so an event read from a log
// file and the same one read from a cloud's export are one. The record is part
// of the name because sources and samples do use an id again for something
// else, and with the id alone the second would pass for a repeat of the first
// and be lost. SHA-256, not version 5's SHA-1: who can shape what is logged
// must not be able to make one event hide another.
package importer
