package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// DeadLetter is a record of the stream that is no event, as it was found and
// with the reason. In the dead-letter stream it is one record, a JSON object:
//
//	partition      integer  where the record lies in the stream
//	offset         integer
//	received_at    string   when the stream took it, RFC 3339
//	class          string   kind of reason: see the Class constants
//	errors         array    {field, value, reason}: everything that is wrong with it
//	record         string   its bytes, when they are UTF-8
//	record_base64  string   else its bytes in base64 (RFC 4648, padded)
type DeadLetter struct {
	Position   event.Position
	ReceivedAt int64 // ns since the Unix epoch
	Class      string
	Errors     event.Errors
	Record     []byte
}

// Classes of reasons.
const (
	ClassSyntax = "syntax" // not a JSON object, or larger than an event may be
	ClassField  = "field"  // a field is missing, unknown or wrong
)

func newDeadLetter(pos event.Position, receivedAt int64, record []byte, err error) DeadLetter {
	d := DeadLetter{Position: pos, ReceivedAt: receivedAt, Class: ClassSyntax, Record: record}
	if errs, ok := errors.AsType[event.Errors](err); ok {
		d.Errors = errs
	} else {
		d.Errors = event.Errors{{Reason: err.Error()}}
	}
	if d.Errors[0].Field != "" {
		d.Class = ClassField
	}
	return d
}

// letterJSON is a DeadLetter as it is written.
type letterJSON struct {
	event.Position
	ReceivedAt time.Time    `json:"received_at"`
	Class      string       `json:"class"`
	Errors     event.Errors `json:"errors"`
	Text       *string      `json:"record,omitempty"`
	Base64     []byte       `json:"record_base64,omitempty"`
}

// MarshalJSON returns d as it stands in the dead-letter stream.
func (d DeadLetter) MarshalJSON() ([]byte, error) {
	j := letterJSON{Position: d.Position, ReceivedAt: time.Unix(0, d.ReceivedAt).UTC(), Class: d.Class, Errors: d.Errors}
	if utf8.Valid(d.Record) {
		text := string(d.Record)
		j.Text = &text
	} else {
		j.Base64 = d.Record
	}
	return json.Marshal(j)
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (d *DeadLetter) UnmarshalJSON(b []byte) error {
	var j letterJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*d = DeadLetter{Position: j.Position, ReceivedAt: j.ReceivedAt.UnixNano(), Class: j.Class, Errors: j.Errors, Record: j.Base64}
	if j.Text != nil {
		d.Record = []byte(*j.Text)
	}
	return nil
}

// LetterStream is what dead letters are kept in; see [stream.Stream].
type LetterStream interface {
	Append(ctx context.Context, b *stream.Batch) error
	Reader(from event.Positions) (stream.Reader, error)
	End(ctx context.Context) (event.Positions, error)
}

// DeadLetters is the dead-letter stream. It is never released, so nothing in it
// is dropped. It is safe for concurrent use.
//
// Letters are appended in the order of their records' positions, so the highest
// position that it holds tells which letters are there: one that is appended
// again after a crash is left out. One whose append failed and yet was written
// can be in the stream twice; listing shows it once.
type DeadLetters struct {
	stream LetterStream

	mu    sync.Mutex
	held  event.Positions // guarded by mu: past every record that has a letter
	count int64           // guarded by mu
}

// OpenDeadLetters reads what the dead-letter stream holds.
func OpenDeadLetters(ctx context.Context, s LetterStream) (*DeadLetters, error) {
	l := &DeadLetters{stream: s}
	var c LetterCursor
	for {
		letters, next, err := l.List(ctx, c, 1000)
		if err != nil {
			return nil, err
		}
		if len(letters) == 0 {
			break
		}
		l.count += int64(len(letters))
		c = next
	}
	l.held = c.seen
	return l, nil
}

// Count returns how many letters there are.
func (l *DeadLetters) Count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Append appends those of the letters that are not there yet and returns when
// they are durable. Letters of one partition come in the order of their
// positions. One goroutine appends.
func (l *DeadLetters) Append(ctx context.Context, letters []DeadLetter) error {
	l.mu.Lock()
	held := l.held.Clone()
	l.mu.Unlock()
	b := new(stream.Batch)
	for _, d := range letters {
		if held.Includes(d.Position) {
			continue
		}
		value, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode dead letter: %w", err)
		}
		b.Add(stream.Key{}, value)
		held = held.Advance(d.Position.Partition, d.Position.Offset+1)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := l.stream.Append(ctx, b); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
	l.count += int64(b.Len())
	return nil
}

// LetterCursor is a place in the list of dead letters. The zero LetterCursor is
// its beginning.
type LetterCursor struct {
	at   event.Positions // in the dead-letter stream
	seen event.Positions // past every record whose letter was listed
}

// List returns up to limit letters from the cursor on, oldest first, and the
// cursor to go on from. It returns none at the end.
func (l *DeadLetters) List(ctx context.Context, from LetterCursor, limit int) ([]DeadLetter, LetterCursor, error) {
	c := LetterCursor{at: from.at.Clone(), seen: from.seen.Clone()}
	end, err := l.stream.End(ctx)
	if err != nil {
		return nil, from, fmt.Errorf("find the end of the dead letters: %w", err)
	}
	if c.at.Covers(end) {
		return nil, c, nil
	}
	r, err := l.stream.Reader(c.at.Clone())
	if err != nil {
		return nil, from, fmt.Errorf("read dead letters: %w", err)
	}
	letters, err := l.list(ctx, r, &c, end, limit)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, from, err
	}
	return letters, c, nil
}

func (l *DeadLetters) list(ctx context.Context, r stream.Reader, c *LetterCursor, end event.Positions, limit int) ([]DeadLetter, error) {
	var letters []DeadLetter
	for len(letters) < limit && !c.at.Covers(end) {
		b, err := r.Next(ctx)
		if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
			c.at = c.at.Advance(gap.Partition, gap.To)
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		for i := 0; i < b.Len() && len(letters) < limit; i++ {
			var d DeadLetter
			pos := b.Position(i)
			if err := json.Unmarshal(b.Value(i), &d); err != nil {
				return nil, fmt.Errorf("dead letter at offset %d of partition %d: %w", pos.Offset, pos.Partition, err)
			}
			c.at = c.at.Advance(pos.Partition, pos.Offset+1)
			if c.seen.Includes(d.Position) {
				continue
			}
			c.seen = c.seen.Advance(d.Position.Partition, d.Position.Offset+1)
			letters = append(letters, d)
		}
	}
	return letters, nil
}

// Get returns the letter of the record at pos, and false when there is none.
func (l *DeadLetters) Get(ctx context.Context, pos event.Position) (DeadLetter, bool, error) {
	var c LetterCursor
	for {
		letters, next, err := l.List(ctx, c, 1000)
		if err != nil || len(letters) == 0 {
			return DeadLetter{}, false, err
		}
		if i := slices.IndexFunc(letters, func(d DeadLetter) bool { return d.Position == pos }); i >= 0 {
			return letters[i], true, nil
		}
		c = next
	}
}
