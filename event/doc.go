// Package event is the vocabulary of Daybook: the audit event, its fields, its
// [Identity], its position in the stream, and its canonical bytes. Every stage
// speaks it and it speaks of no stage, so it imports nothing of the project.
//
// An event reaches the program as JSON. [Decoder] turns those bytes into an
// [Event] or into [Errors] that name everything that is wrong with it at once.
// [AppendCanonical] turns an Event back into the one byte string that stands
// for it: RFC 8785 JSON of the normalised event without the fields that Daybook
// sets. That string is what the stream stores and what is hashed.
//
// # Normalisation
//
// Two spellings of the same event have the same canonical bytes:
//
//   - event_id is a lower-case UUID; timestamp is RFC 3339 in UTC with as many
//     fractional digits as it needs, none when it falls on a second;
//   - tenant_id, outcome, operation and user_type carry their default when absent;
//   - source_ip is written as net/netip writes it;
//   - an optional field that is null, "", {} or [] is absent.
//
// Inside metadata, changes and labels nothing is added or dropped; keys are
// sorted, strings and numbers take their RFC 8785 form. A number that a double
// cannot hold (a 64-bit identity, a long decimal, 1e400) stays byte for byte as
// it was written: RFC 8785 would round it, and an audit log must not. Such a
// number makes two canonical forms of two spellings, 1e400 and 10e399.
//
// Changes, labels and metadata are held as canonical JSON text, which
// [EachMember], [EachElement], [EachString] and [UnquoteJSON] look into.
//
// # Speed
//
// Canonical bytes are what the stream hands to the index, so the [Decoder] knows
// them at sight and then copies nothing: all text of the Event is the input's.
// Other JSON is rewritten on the way, field by field, only where it must be.
package event
