package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// Publisher is the road that every event takes into the stream.
type Publisher interface {
	// Publish appends a complete event and returns when it is durable, with its
	// position, or with that of the event that was published with its identity
	// before.
	Publish(ctx context.Context, e *event.Event) (event.Position, error)
}

// Errors of showing and resolving letters.
var (
	ErrNoLetter = errors.New("no such dead letter")
	// ErrNotTaken: the stream takes no events, or the dead-letter stream takes
	// no records. The letter is open; try again.
	ErrNotTaken = errors.New("the stream takes nothing now")
	// ErrNotRead: the dead-letter stream does not answer. Try again.
	ErrNotRead = errors.New("the dead letters cannot be read now")
)

// ResolvedError says that a letter cannot be resolved as asked, because it has
// been resolved in another way.
type ResolvedError struct{ Resolution }

func (e *ResolvedError) Error() string {
	return fmt.Sprintf("the dead letter was %s at %s", e.State, e.At.Format(time.RFC3339))
}

// Replay publishes the event in a dead letter, or record in its stead when it
// is not nil, and resolves the letter. The event that still is none comes back
// as [event.Errors], and the letter stays open.
//
// A replay is exactly once: an event without an identity or a timestamp gets
// them from its letter, so that a second attempt, after a crash between the two
// steps or an answer that was lost, publishes the same event; and a letter that
// was replayed before answers with what it became then.
func (l *DeadLetters) Replay(ctx context.Context, p Publisher, letter event.Position, record []byte) (DeadLetter, error) {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	d, err := l.open(ctx, letter, StateReplayed)
	if err != nil || d.Resolution != nil {
		return d, err
	}
	switch {
	case record != nil:
	case d.RecordBytes > 0: // its beginning may look like an event
		return d, event.Errors{{Reason: fmt.Sprintf("is %d bytes long, of which the first %d are kept; at most %d are accepted", d.RecordBytes, len(d.Record), event.MaxSize)}}
	default:
		record = d.Record
	}
	var e event.Event
	if err := new(event.Decoder).Decode(record, &e); err != nil {
		return d, err
	}
	e.Partition, e.Offset, e.ReceivedAt = d.Position.Partition, d.Position.Offset, d.ReceivedAt
	adopt(&e)
	pos, err := p.Publish(ctx, &e)
	if faults, ok := errors.AsType[event.Errors](err); ok {
		return d, faults
	} else if err != nil {
		return d, fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	d.Resolution = &Resolution{State: StateReplayed, At: time.Now().UTC(), EventID: e.ID, ReplayedTo: pos}
	return d, l.resolve(ctx, &d)
}

// Discard resolves a dead letter without an event. Discarding one again changes
// nothing.
func (l *DeadLetters) Discard(ctx context.Context, letter event.Position) (DeadLetter, error) {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	d, err := l.open(ctx, letter, StateDiscarded)
	if err != nil || d.Resolution != nil {
		return d, err
	}
	d.Resolution = &Resolution{State: StateDiscarded, At: time.Now().UTC()}
	return d, l.resolve(ctx, &d)
}

// open returns a letter that is to be resolved as wanted: one that is open, or
// was resolved so before. l.resolving is held.
func (l *DeadLetters) open(ctx context.Context, letter event.Position, wanted State) (DeadLetter, error) {
	d, ok, err := l.Get(ctx, letter)
	switch {
	case err != nil:
		return d, err
	case !ok:
		return d, ErrNoLetter
	case d.Resolution != nil && d.State() != wanted:
		return d, &ResolvedError{*d.Resolution}
	}
	return d, nil
}

// resolve makes the resolution of d durable. l.resolving is held.
func (l *DeadLetters) resolve(ctx context.Context, d *DeadLetter) error {
	value, err := d.Resolution.encode(d.Position)
	if err != nil {
		return fmt.Errorf("encode what became of a dead letter: %w", err)
	}
	b := new(stream.Batch)
	b.Add(stream.Key{}, value)
	if err := l.stream.Append(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resolved[d.Position] = *d.Resolution
	return nil
}
