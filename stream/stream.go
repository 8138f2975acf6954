// Package stream is the seam between one machine and many: the durable, ordered
// road from ingest to index. Two implementations answer to it, stream/wal (one
// partition on the local disk) and stream/kafka; the suite in stream/streamtest
// holds both to the same contract.
//
// A record is one event's canonical JSON. It has a [event.Position]; within a
// partition, records are read in the order of their offsets, for ever the same.
package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/daybook-log/daybook/event"
)

// Errors that every implementation returns, wrapped with what it knows.
var (
	// ErrClosed: the stream was closed; nothing was appended.
	ErrClosed = errors.New("stream is closed")
	// ErrFailed: an earlier write or fsync failed. Nothing more is acknowledged
	// until the stream is opened anew, because what the disk holds is unknown.
	ErrFailed = errors.New("stream has failed")
	// ErrFull: there is no room. Nothing was appended; appending works again
	// when there is.
	ErrFull = errors.New("stream has no room")
	// ErrOverloaded: too much waits to be written. Nothing was appended.
	ErrOverloaded = errors.New("stream is overloaded")
)

// Stream is the whole seam. A stage declares the part of it that it needs.
type Stream interface {
	// Append makes every record of b durable and returns when they are: fsync'd,
	// or acknowledged by all in-sync replicas. It sets b.Partitions and b.Offsets
	// where the stream has more than one partition, else b.Base. On an error
	// nothing of b is acknowledged, though a part of it may come to be read.
	// b's Data and Ends belong to the stream from the call on, whatever it returns:
	// readers may be handed them, and when ctx ends the call before the batch is
	// written, they are yet to be read.
	Append(ctx context.Context, b *Batch) error

	// Reader returns a reader of every record at or after from, in order within
	// each partition, which follows the stream's end without polling. A position
	// before the first record that is still held is no error here: the reader
	// reports it as a [GapError].
	Reader(from event.Positions) (Reader, error)

	// Start returns the position of the oldest record held, per partition.
	Start(ctx context.Context) (event.Positions, error)

	// End returns the position after the last durable record, per partition.
	// Every record acknowledged before the call lies before it.
	End(ctx context.Context) (event.Positions, error)

	// Release says that everything before upTo is committed elsewhere, so that
	// retention may drop it. Nothing after it is ever dropped.
	Release(upTo event.Positions)

	// Close ends waiting appends and readers with ErrClosed and releases what
	// the stream holds.
	Close() error
}

// Reader reads a stream from a position on. It is used by one goroutine.
type Reader interface {
	// Next returns the next records of one partition, waiting for them while
	// there are none. The batch is shared: neither it nor its bytes may be
	// changed, and both stay valid for as long as they are referred to.
	// After a GapError, Next goes on with what follows the gap.
	Next(ctx context.Context) (*Batch, error)
	Close() error
}

// GapError says that records between two positions are no longer held.
type GapError struct {
	Partition int32
	From, To  int64 // offsets From ≤ o < To are missing
}

func (e *GapError) Error() string {
	return fmt.Sprintf("stream: offsets %d to %d of partition %d are no longer held (retention dropped them before they were read)",
		e.From, e.To-1, e.Partition)
}

// Batch is a run of records. To append, fill it with Add; what Next returns is
// filled by the stream.
type Batch struct {
	// Data holds the records one after the other and Ends where each ends, so
	// that a batch of any size is two allocations. Data is at most 1 GiB.
	Data []byte
	Ends []uint32

	// Keys, one per record, say which records must stay in order among
	// themselves. A stream of one partition does not look at them; nil: one key.
	Keys []Key

	// Partition and Base are set by the stream: record i has offset Base+i of
	// Partition, unless Offsets says otherwise.
	Partition int32
	Base      int64

	// Partitions and Offsets are set, one per record, by a stream that spread
	// the batch over partitions or whose offsets have holes; else nil.
	Partitions []int32
	Offsets    []int64

	// ReceivedAt is when the stream took the batch, ns since the Unix epoch.
	// Set by Append, and what Next returns carries the same value.
	ReceivedAt int64
}

// Key is what a record is partitioned by: events of one user of one tenant stay
// in order.
type Key struct{ Tenant, User string }

// Add appends one record.
func (b *Batch) Add(key Key, value []byte) {
	b.Data = append(b.Data, value...)
	b.Ends = append(b.Ends, uint32(len(b.Data)))
	b.Keys = append(b.Keys, key)
}

// Len returns the number of records.
func (b *Batch) Len() int { return len(b.Ends) }

// Value returns the bytes of record i.
func (b *Batch) Value(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.Ends[i-1]
	}
	return b.Data[start:b.Ends[i]:b.Ends[i]]
}

// Position returns where record i lies.
func (b *Batch) Position(i int) event.Position {
	pos := event.Position{Partition: b.Partition, Offset: b.Base + int64(i)}
	if b.Offsets != nil {
		pos.Offset = b.Offsets[i]
	}
	if b.Partitions != nil {
		pos.Partition = b.Partitions[i]
	}
	return pos
}
