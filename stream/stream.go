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
	// ErrFull: there is no room on the disk, or no file descriptor left. Nothing
	// was appended; appending works again when there is.
	ErrFull = errors.New("stream has no room")
	// ErrOverloaded: too much waits to be written. Nothing was appended.
	ErrOverloaded = errors.New("stream is overloaded")
	// ErrUnavailable: what the stream is kept on does not take anything at the
	// moment. Appending works again when it does.
	ErrUnavailable = errors.New("stream is unavailable")
)

// Stream is the whole seam. A stage declares the part of it that it needs.
type Stream interface {
	// ID returns the identity of the log that positions count in. It stays the
	// same for as long as the log does, and no other log has it, be it one that
	// was made anew in the same place. Kafka: of the cluster's and the topic's.
	ID() event.LogID

	// Append makes every record of b durable and returns when they are: fsync'd,
	// or acknowledged by all in-sync replicas. It sets b.Base, or b.Partitions and
	// b.Offsets where the records do not follow one another. On an error
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
	// retention may drop it. A stream that retains by itself drops nothing after
	// it; over Kafka the topic's settings decide, and a reader is told of the gap.
	Release(upTo event.Positions)

	// Close ends waiting appends and readers with ErrClosed and releases what
	// the stream holds.
	Close() error
}

// Reader reads a stream from a position on. It is used by one goroutine.
type Reader interface {
	// Next returns the next records of one partition, waiting for them while
	// there are none. They follow one another from the batch's Base on. A batch
	// without records says that the partition holds none before its Base: what
	// lies there is of another kind, such as Kafka's transaction markers.
	// The batch is shared: neither it nor its bytes may be changed, and both stay
	// valid for as long as they are referred to.
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
	// themselves. A stream of one partition does not look at them; none: one key.
	Keys []Key

	// Partition and Base are set by the stream: record i has offset Base+i of
	// Partition, unless Offsets says otherwise.
	Partition int32
	Base      int64

	// Partitions and Offsets are set, one per record, by an Append whose records
	// do not follow one another in one partition; else nil.
	Partitions []int32
	Offsets    []int64

	// ReceivedAt is when the stream took the batch, ns since the Unix epoch. What
	// Next returns carries it. Append sets the same value, or 0 where the stream
	// does not know it by then.
	ReceivedAt int64

	// Headers are, one list per record, what another program that wrote to the
	// stream put beside the value. nil: no record has any. Append ignores them.
	Headers [][]Header
}

// Key is what a record is partitioned by: events of one user of one tenant stay
// in order.
type Key struct{ Tenant, User string }

// Header is a header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Add appends one record.
func (b *Batch) Add(key Key, value []byte) {
	b.Data = append(b.Data, value...)
	b.Ends = append(b.Ends, uint32(len(b.Data)))
	b.Keys = append(b.Keys, key)
}

// Len returns the number of records.
func (b *Batch) Len() int { return len(b.Ends) }

// Check returns what is wrong with a batch that is to be appended, or nil.
func (b *Batch) Check() error {
	last := uint32(0)
	for i, end := range b.Ends {
		if end < last {
			return fmt.Errorf("batch record %d ends at %d, before it begins", i, end)
		}
		last = end
	}
	if int(last) != len(b.Data) {
		return fmt.Errorf("batch records end at %d of %d bytes", last, len(b.Data))
	}
	if len(b.Keys) != 0 && len(b.Keys) != len(b.Ends) {
		return fmt.Errorf("batch has %d keys for %d records", len(b.Keys), len(b.Ends))
	}
	return nil
}

// Key returns the key of record i.
func (b *Batch) Key(i int) Key {
	if len(b.Keys) == 0 {
		return Key{}
	}
	return b.Keys[i]
}

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
