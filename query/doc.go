// Package query is the stage between the store and whoever asks: it turns
// request parameters into a plan, admits it, waits until the store has what the
// asker may already know of, and runs it. It knows no HTTP and no file.
//
// # What a query promises
//
// Read your writes. A query first waits until the store has reached the end that
// the stream had when the query came ([Fresh]), so it sees every event that was
// acknowledged before it began. When the store does not get there in time, the
// query fails with a [*BehindError] instead of answering without them.
//
// Snapshots. A search, a count and an export look at the events before one
// stream position each, taken when they begin. The pages of a search share the
// snapshot of the first ([Search]): concatenated they are exactly the result as
// it was then, however many events arrive and segments are compacted meanwhile.
// What retention removes is gone from later pages too. What damage took away is
// missing, and [Engine.Missing] says how much that is.
//
// A tail is a query without an end ([Engine.Tail]): events in the order in which
// the stream took them, from a position on, each once. It reads from the store
// and not from a buffer, so a slow reader lags and loses nothing.
//
// # Limits
//
// Searches, counts and gets share [Options].Concurrency slots and each has
// [Options].Timeout, waiting included. Exports have half as many slots of their
// own and no timeout. Tails take a slot only while they look at new rows.
package query
