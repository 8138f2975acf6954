// Package store is the seam behind which events are kept and found. Two
// implementations answer to it, store/segment (Parquet files on the local disk)
// and store/clickhouse; the suite in store/storetest holds both to the same
// contract.
//
// A store knows no HTTP, no key and no cursor: it takes rows with the stream
// position they reach, in one step, and answers scans.
package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// Errors that every implementation returns, wrapped with what it knows.
var (
	// ErrNotFound: no event is what was asked for.
	ErrNotFound = errors.New("no such event")
	// ErrDamaged: the query met a part of the store that cannot be read. The part
	// is set aside; asked again, the store answers without it, and Stats says
	// what is missing.
	ErrDamaged = errors.New("a part of the store is damaged")
	// ErrForeignLog: the store has its rows from another log than the one named.
	ErrForeignLog = errors.New("the store was filled from another log")
	// ErrMemory: the query would need more memory than the settings allow it.
	ErrMemory = errors.New("query needs more memory than it is allowed")
)

// Store is the whole seam. A stage declares the part of it that it needs.
// All methods are safe for concurrent use, but one goroutine appends.
type Store interface {
	// Follow says which log rows and positions come from. A store that has
	// followed another one returns ErrForeignLog; one that has followed none
	// remembers it, durably.
	Follow(log event.LogID) error

	// Append takes rows and the position they reach, both or neither. When it
	// returns, every scan sees the rows and Visible reports the position. Rows
	// whose identity the store holds already must not be among them: ask
	// Known first. The rows and their strings are not kept. Append may wait
	// while the store frees memory; it returns early only with ctx's error.
	Append(ctx context.Context, rows []event.Event, reached event.Positions) error

	// Visible returns the position that scans see everything before.
	Visible() event.Positions

	// Committed returns the position that survives a crash: the stream is read
	// again from here, and may forget what lies before. It trails Visible in a
	// store that keeps its newest rows in memory.
	Committed() event.Positions

	// Wait returns when Visible covers pos, or with ctx's error.
	Wait(ctx context.Context, pos event.Positions) error

	// Known looks each identity up among events received at or after since (ns
	// since the Unix epoch) and sets found[i] to the event's position, or to
	// Offset -1 where there is none; of several it is the one received last. An
	// event of another tenant is none, whatever its ID. len(found) == len(ids). The identities' strings are not kept.
	Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error

	// Get returns an event that has the ID and matches x (nil: any), or
	// ErrNotFound. Events of several tenants may have one ID; of several that
	// match, Get returns any.
	Get(ctx context.Context, id event.ID, x filter.Expr) (*event.Event, error)

	// Scan calls yield for every event that matches, in the order asked for,
	// until yield returns false or the events end. The event and its strings
	// are valid only during the call.
	Scan(ctx context.Context, q Scan, yield func(*event.Event) bool) error

	// Count counts events that match.
	Count(ctx context.Context, q Count) (*Counts, error)

	// Stats says what the store holds, for metrics and the system page.
	Stats() Stats
}

// Range is the half-open interval of timestamps [From, To), ns since the Unix
// epoch. To at the greatest number there is means no end.
type Range struct{ From, To int64 }

// Includes reports whether t lies in r.
func (r Range) Includes(t int64) bool {
	return t >= r.From && (t < r.To || r.To == math.MaxInt64)
}

// AllTime is the range that holds every event.
var AllTime = Range{math.MinInt64, math.MaxInt64}

// Order is an order of events. Every order is total.
type Order uint8

// The orders.
const (
	NewestFirst Order = iota // falling (timestamp, partition, offset)
	OldestFirst              // rising (timestamp, partition, offset)
	ByPosition               // rising offset within each partition: the order in which the store took them
)

// Scan asks for events.
type Scan struct {
	Filter filter.Expr // nil: every event
	Range  Range       // the zero Range is empty: say AllTime
	Order  Order

	// After, for the time orders, is the sort key of the event after which to
	// begin; nil: at the beginning.
	After *Key

	// Since and Until bound the stream positions: only events at or after Since
	// and before Until. A nil Until is no bound. A scan with an Until gives the
	// same events however many arrive or are compacted meanwhile.
	Since, Until event.Positions

	// Limit is how many events will be wanted; the scan may read ahead no
	// further than it must. 0: all.
	Limit int

	// Fields are what the events must carry. ID, Timestamp, Partition and
	// Offset always are. 0 means all.
	Fields event.FieldSet
}

// Key is an event's place in the time orders.
type Key struct {
	Timestamp int64
	Position  event.Position
}

// Count asks for counts of the events that match.
type Count struct {
	Filter filter.Expr
	Range  Range
	Until  event.Positions

	// Bucket is the width of the time buckets, aligned to the Unix epoch;
	// 0: no buckets. A store refuses what would give more than MaxBuckets.
	Bucket time.Duration

	// By is what to group by, nil for nothing: any selector of the filter
	// language that names one value per event. Events without it are counted
	// under "".
	By *filter.Selector

	// Top is how many groups to return, the largest first; 0: 10.
	Top int
}

// MaxBuckets is the most time buckets that one count returns.
const MaxBuckets = 10_000

// Counts answers a Count.
type Counts struct {
	Total   int64
	Buckets []Bucket // in time order, empty buckets left out; nil when not asked for
	Groups  []Group  // largest first, ties by value; nil when not asked for
	Other   int64    // events in groups that Top cut off
	Values  int64    // distinct groups, before the cut
}

// Bucket is the count of one span of time.
type Bucket struct {
	Start int64 // ns since the Unix epoch
	Count int64
}

// Group is the count of one value.
type Group struct {
	Value   string
	Count   int64
	Buckets []Bucket // this value's own, when buckets were asked for
}

// Stats says what a store holds.
type Stats struct {
	Events       int64     // searchable now
	HeadEvents   int64     // of these, in memory only (still in the stream)
	Bytes        int64     // on disk
	Segments     int       // files
	Oldest       time.Time // timestamp of the oldest event; zero when empty
	Newest       time.Time
	Compactions  int64 // since start
	Expired      int64 // events that retention dropped since start
	Damaged      []Damage
	MemoryBytes  int64 // head and caches, estimated
	FreezeErrors int64 // failed attempts since start
}

// Damage names a piece of the store that could not be read.
type Damage struct {
	File   string // below the data folder
	Reason string
	Events int64           // how many are missing for it
	From   event.Positions // the positions it held
	To     event.Positions
}
