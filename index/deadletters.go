package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// LetterStream is what dead letters are kept in; see [stream.Stream].
type LetterStream interface {
	Append(ctx context.Context, b *stream.Batch) error
	Reader(from event.Positions) (stream.Reader, error)
	End(ctx context.Context) (event.Positions, error)
}

// DeadLetters is the dead-letter stream: the letters, and what became of them.
// It is never released, so nothing in it is dropped: a letter that was discarded
// can still be shown. It is safe for concurrent use.
//
// Letters are appended in the order of their records' positions, so the highest
// position that it holds tells which letters are there: one that is appended
// again after a crash is left out. One whose append failed and yet was written
// can be in the stream twice; listing shows it once.
//
// In memory it keeps about 100 bytes for each letter that was resolved, and
// less than one for any other.
type DeadLetters struct {
	stream LetterStream

	resolving sync.Mutex // held while a letter is resolved, so that it is once

	mu       sync.Mutex
	log      event.LogID     // guarded by mu, as what follows: the stream that the letters are of; zero: not known
	held     event.Positions // past every record that has a letter
	count    int64
	resolved map[event.Position]Resolution
	places   map[int32]*places // by partition of the letters' records
}

// places is a sparse index of the letters of one partition: a mark for every
// markEvery-th of them.
type places struct {
	letters int
	marks   []mark // in rising order
}

// mark says that the letter of the record at offset lies in the dead-letter
// stream at or after a position, and those of later records after it.
type mark struct {
	offset int64
	at     event.Positions
}

const markEvery = 64

// OpenDeadLetters reads what the dead-letter stream holds.
func OpenDeadLetters(ctx context.Context, s LetterStream) (*DeadLetters, error) {
	l := &DeadLetters{stream: s, resolved: map[event.Position]Resolution{}, places: map[int32]*places{}}
	var at event.Positions
	return l, l.read(ctx, event.Positions{}, func(d DeadLetter, next event.Positions) bool {
		if d.Resolution != nil {
			l.resolved[d.Position] = *d.Resolution
		} else if !l.held.Includes(d.Position) {
			l.note(d.Position, at)
			l.log = d.Log
		}
		at = append(at[:0], next...)
		return true
	})
}

// follow says which stream letters are appended of from now on. Those that are
// there must be of the same: positions of another tell nothing about which of
// its records have a letter.
func (l *DeadLetters) follow(log event.LogID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.log.IsZero() && l.log != log {
		return fmt.Errorf("the dead letters are of stream %s and the stream is %s: keep them elsewhere, and begin with none "+
			"(move the folder dead-letters away, or name another topic with kafka.dead_letter_topic)", l.log, log)
	}
	l.log = log
	return nil
}

// note takes note of a letter that is at or after a position of the dead-letter
// stream. l.mu is held.
func (l *DeadLetters) note(letter event.Position, at event.Positions) {
	p := l.places[letter.Partition]
	if p == nil {
		p = new(places)
		l.places[letter.Partition] = p
	}
	if p.letters%markEvery == 0 {
		p.marks = append(p.marks, mark{letter.Offset, at.Clone()})
	}
	p.letters++
	l.held = l.held.Advance(letter.Partition, letter.Offset+1)
	l.count++
}

// find returns where to begin to look for a letter. l.mu is held.
func (l *DeadLetters) find(letter event.Position) event.Positions {
	var at event.Positions
	if p := l.places[letter.Partition]; p != nil {
		n := sort.Search(len(p.marks), func(i int) bool { return p.marks[i].offset > letter.Offset })
		if n > 0 {
			at = p.marks[n-1].at
		}
	}
	return at
}

// read calls yield with every entry of the dead-letter stream from a position
// on, and the position after it, until yield returns false or the stream's end.
func (l *DeadLetters) read(ctx context.Context, at event.Positions, yield func(d DeadLetter, next event.Positions) bool) (err error) {
	end, err := l.stream.End(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRead, err)
	}
	at = at.Clone()
	if at.Covers(end) {
		return nil
	}
	r, err := l.stream.Reader(at.Clone())
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for !at.Covers(end) {
		b, err := r.Next(ctx)
		if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
			at = at.Advance(gap.Partition, gap.To)
			continue
		} else if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		at = at.Advance(b.Partition, b.Base)
		for i := range b.Len() {
			pos := b.Position(i)
			d, err := decodeEntry(b.Value(i))
			if err != nil {
				return fmt.Errorf("dead letter at offset %d of partition %d: %w", pos.Offset, pos.Partition, err)
			}
			if at = at.Advance(pos.Partition, pos.Offset+1); !yield(d, at) {
				return nil
			}
		}
	}
	return nil
}

// Count returns how many letters there are.
func (l *DeadLetters) Count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Open returns how many of them are neither replayed nor discarded.
func (l *DeadLetters) Open() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count - int64(len(l.resolved))
}

// Append appends those of the letters that are not there yet and returns when
// they are durable. Letters of one partition come in the order of their
// positions. One goroutine appends.
func (l *DeadLetters) Append(ctx context.Context, letters []DeadLetter) error {
	l.mu.Lock()
	held, log := l.held.Clone(), l.log
	l.mu.Unlock()
	b := new(stream.Batch)
	var added []event.Position
	for _, d := range letters {
		if held.Includes(d.Position) {
			continue
		}
		d.Log = log
		d.cut()
		value, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode dead letter: %w", err)
		}
		if len(b.Data)+len(value) > maxAppend {
			if err := l.append(ctx, b, added); err != nil {
				return err
			}
			b, added = new(stream.Batch), nil
		}
		b.Add(stream.Key{}, value)
		added = append(added, d.Position)
		held = held.Advance(d.Position.Partition, d.Position.Offset+1)
	}
	return l.append(ctx, b, added)
}

// maxAppend is the most bytes of letters in one append to the stream, which
// takes more.
const maxAppend = 8 << 20

// append appends b, the letters of the records at these positions.
func (l *DeadLetters) append(ctx context.Context, b *stream.Batch, added []event.Position) error {
	if b.Len() == 0 {
		return nil
	}
	if err := l.stream.Append(ctx, b); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, letter := range added {
		pos := b.Position(i)
		l.note(letter, event.Positions{}.Advance(pos.Partition, pos.Offset))
	}
	return nil
}

// Selection says which letters are wanted.
type Selection struct {
	State State  // "": any
	Class string // "": any

	// Sees reports whether a letter may be seen that has this record; nil: every
	// letter may.
	Sees func(record []byte) bool
}

func (s Selection) includes(d *DeadLetter) bool {
	return (s.State == "" || s.State == d.State()) && (s.Class == "" || s.Class == d.Class) && (s.Sees == nil || s.Sees(d.Record))
}

// LetterCursor is a place in the list of dead letters. The zero LetterCursor is
// its beginning.
type LetterCursor struct {
	At   event.Positions `json:"at"`   // in the dead-letter stream
	Seen event.Positions `json:"seen"` // past every record whose letter was passed
}

// List returns up to limit letters from the cursor on, oldest first, and the
// cursor to go on from. It returns fewer only at the end.
func (l *DeadLetters) List(ctx context.Context, which Selection, from LetterCursor, limit int) ([]DeadLetter, LetterCursor, error) {
	var letters []DeadLetter
	c := LetterCursor{At: from.At.Clone(), Seen: from.Seen.Clone()}
	err := l.read(ctx, from.At, func(d DeadLetter, next event.Positions) bool {
		c.At = append(c.At[:0], next...)
		if d.Resolution != nil || c.Seen.Includes(d.Position) {
			return true
		}
		c.Seen = c.Seen.Advance(d.Position.Partition, d.Position.Offset+1)
		if l.recall(&d); which.includes(&d) {
			letters = append(letters, d)
		}
		return len(letters) < limit
	})
	if err != nil {
		return nil, from, err
	}
	return letters, c, nil
}

// recall fills in what became of d.
func (l *DeadLetters) recall(d *DeadLetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.resolved[d.Position]; ok {
		d.Resolution = &r
	}
}

// Get returns the letter of the record at pos, and false when there is none.
func (l *DeadLetters) Get(ctx context.Context, pos event.Position) (found DeadLetter, ok bool, err error) {
	l.mu.Lock()
	held, at := l.held.Includes(pos), l.find(pos)
	l.mu.Unlock()
	if !held {
		return DeadLetter{}, false, nil
	}
	err = l.read(ctx, at, func(d DeadLetter, _ event.Positions) bool {
		if d.Resolution != nil || d.Position.Partition != pos.Partition {
			return true
		}
		if ok = d.Position == pos; ok {
			found = d
		}
		return d.Position.Offset < pos.Offset
	})
	l.recall(&found)
	return found, ok, err
}
