// Package index carries events from the stream into the store. It is the one
// place where "the same identity is one event" is decided, because it alone sees
// all events in one order. An identity is tenant_id and event_id together.
//
//	stream ─► reader goroutine ─► queue ─► decode ─► dedupe ─► store.Append(rows, position)
//	                                          └─► dead-letter stream
//
// What the package promises:
//
//   - Every record of the stream is stored, is recognised as a copy of one that
//     is, or lies in the dead-letter stream with its reason; each is counted.
//   - Rows and the position they reach are committed by the store in one step.
//     After a crash the indexer goes on at the position that the store kept; the
//     store never holds an event twice.
//   - A store that fails is tried again for as long as it takes, in order.
//
// # Window
//
// Identities are looked up among the events that the store received within a
// window before the record in question, seven days unless set to more. A copy
// that is published later than that becomes an event of its own: both have the
// same identity and different positions, a search returns both, and GET by
// event_id returns one of them. Publishers retry within minutes; the window
// bounds how much of the store has to be asked for each event.
package index
