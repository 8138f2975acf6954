package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// DeadLetter is a record of the stream that is no event, as it was found and
// with the reason. In the dead-letter stream it is one record, a JSON object:
//
//	topic          string   where the record lies, when the stream is in Kafka
//	log            string   the stream's identity, which partition and offset are of
//	partition      integer
//	offset         integer
//	received_at    string   when the stream took it, RFC 3339
//	class          string   kind of reason: see the Class constants
//	errors         array    {field, value, reason}: everything that is wrong with it
//	headers        array    {key, value} of a Kafka record that has some; as for
//	                        record, value_base64 when it is not UTF-8
//	headers_cut    integer  how many more headers it has, when there are too many
//	record         string   its bytes, when they are UTF-8
//	record_base64  string   else its bytes in base64 (RFC 4648, padded)
//	record_bytes   integer  its length, when only its beginning is kept
type DeadLetter struct {
	Topic       string
	Log         event.LogID
	Position    event.Position
	ReceivedAt  int64 // ns since the Unix epoch
	Class       string
	Errors      event.Errors
	Headers     []stream.Header
	HeadersCut  int // left out of Headers
	Record      []byte
	RecordBytes int // of the record when Record is its beginning; else 0

	// Resolution is what became of the letter; nil while it is open. It is a
	// record of its own in the dead-letter stream.
	Resolution *Resolution
}

// LetterID names a dead letter in addresses and on the command line by the
// position of its record: partition and offset, such as 0-42.
type LetterID event.Position

func (id LetterID) String() string { return fmt.Sprintf("%d-%d", id.Partition, id.Offset) }

// ParseLetterID is the reverse of String.
func ParseLetterID(s string) (LetterID, error) {
	partition, offset, _ := strings.Cut(s, "-")
	p, perr := strconv.ParseUint(partition, 10, 31)
	o, oerr := strconv.ParseUint(offset, 10, 63)
	if perr != nil || oerr != nil {
		return LetterID{}, fmt.Errorf("dead letter %q: an id is a partition and an offset, such as 0-42", s)
	}
	return LetterID{Partition: int32(p), Offset: int64(o)}, nil
}

// Resolution says what became of a dead letter. In the dead-letter stream it is
// one record, a JSON object, somewhere after the letter's:
//
//	partition     integer  which letter
//	offset        integer
//	resolution    string   replayed or discarded
//	resolved_at   string   RFC 3339
//	event_id      string   of a replayed letter: the event that it became
//	replayed_to   object   of a replayed letter: {partition, offset} of that event
type Resolution struct {
	State      State
	At         time.Time
	EventID    event.ID
	ReplayedTo event.Position
}

// State is what became of a dead letter.
type State string

// The states.
const (
	StateOpen      State = "open"
	StateReplayed  State = "replayed"
	StateDiscarded State = "discarded"
)

// State returns what became of d.
func (d *DeadLetter) State() State {
	if d.Resolution == nil {
		return StateOpen
	}
	return d.Resolution.State
}

// resolutionJSON is a Resolution as it is written.
type resolutionJSON struct {
	event.Position
	State      State           `json:"resolution"`
	At         time.Time       `json:"resolved_at"`
	EventID    string          `json:"event_id,omitempty"`
	ReplayedTo *event.Position `json:"replayed_to,omitempty"`
}

func (r *Resolution) encode(of event.Position) ([]byte, error) {
	j := resolutionJSON{Position: of, State: r.State, At: r.At}
	if r.State == StateReplayed {
		j.EventID, j.ReplayedTo = r.EventID.String(), &r.ReplayedTo
	}
	return json.Marshal(j)
}

// decodeEntry reads one record of the dead-letter stream: a letter, or, when
// d.Resolution is set, what became of the one at d.Position.
func decodeEntry(record []byte) (d DeadLetter, err error) {
	var r resolutionJSON
	if err := json.Unmarshal(record, &r); err != nil {
		return d, err
	}
	switch r.State {
	case "":
		return d, json.Unmarshal(record, &d)
	case StateReplayed, StateDiscarded:
		d.Position = r.Position
		d.Resolution = &Resolution{State: r.State, At: r.At}
		if r.State == StateReplayed {
			var ok bool
			if d.Resolution.EventID, ok = event.ParseID(r.EventID); !ok || r.ReplayedTo == nil {
				return d, fmt.Errorf("event_id is %q and replayed_to %v; a replayed letter has both", r.EventID, r.ReplayedTo)
			}
			d.Resolution.ReplayedTo = *r.ReplayedTo
		}
		return d, nil
	default:
		return d, fmt.Errorf("resolution is %q; it must be %s or %s", r.State, StateReplayed, StateDiscarded)
	}
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

// maxKept is the most bytes of a record, and of its headers, that a letter
// holds. A record that is longer is no event for that alone, and can be of any
// size, while the dead-letter stream takes records of 1 MiB.
const maxKept = event.MaxSize

// cut leaves out of d what is beyond maxKept.
func (d *DeadLetter) cut() {
	if n := len(d.Record); n > maxKept {
		keep := maxKept
		for keep > maxKept-utf8.UTFMax && !utf8.RuneStart(d.Record[keep]) { // else text would no longer be UTF-8
			keep--
		}
		d.Record, d.RecordBytes = d.Record[:keep], n
	}
	const frame = 32 // of a header in JSON
	room := maxKept
	for i, h := range d.Headers {
		if room -= len(h.Key) + len(h.Value) + frame; room < 0 {
			d.Headers, d.HeadersCut = d.Headers[:i], len(d.Headers)-i
			return
		}
	}
}

// letterJSON is a DeadLetter as it is written.
type letterJSON struct {
	Topic string      `json:"topic,omitempty"`
	Log   event.LogID `json:"log,omitzero"`
	event.Position
	ReceivedAt  time.Time    `json:"received_at"`
	Class       string       `json:"class"`
	Errors      event.Errors `json:"errors"`
	Headers     []headerJSON `json:"headers,omitempty"`
	HeadersCut  int          `json:"headers_cut,omitempty"`
	Text        *string      `json:"record,omitempty"`
	Base64      []byte       `json:"record_base64,omitempty"`
	RecordBytes int          `json:"record_bytes,omitempty"`
}

type headerJSON struct {
	Key    string  `json:"key"`
	Text   *string `json:"value,omitempty"`
	Base64 []byte  `json:"value_base64,omitempty"`
}

// textOrBytes returns b as JSON holds it: as text where that is possible.
func textOrBytes(b []byte) (text *string, bytes []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// bytesOf is the reverse of textOrBytes.
func bytesOf(text *string, bytes []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return bytes
}

// MarshalJSON returns d as it stands in the dead-letter stream, without what
// became of it.
func (d DeadLetter) MarshalJSON() ([]byte, error) { return json.Marshal(d.json()) }

// Describe returns d as people and programs are shown it: what MarshalJSON
// returns, with its id, its state and what became of it.
func (d DeadLetter) Describe() ([]byte, error) {
	j := struct {
		ID    string `json:"id"`
		State State  `json:"state"`
		letterJSON
		ResolvedAt *time.Time      `json:"resolved_at,omitempty"`
		EventID    string          `json:"event_id,omitempty"`
		ReplayedTo *event.Position `json:"replayed_to,omitempty"`
	}{ID: LetterID(d.Position).String(), State: d.State(), letterJSON: d.json()}
	if r := d.Resolution; r != nil {
		j.ResolvedAt = &r.At
		if r.State == StateReplayed {
			j.EventID, j.ReplayedTo = r.EventID.String(), &r.ReplayedTo
		}
	}
	return json.Marshal(j)
}

func (d DeadLetter) json() letterJSON {
	j := letterJSON{Topic: d.Topic, Log: d.Log, Position: d.Position, ReceivedAt: time.Unix(0, d.ReceivedAt).UTC(), Class: d.Class, Errors: d.Errors,
		HeadersCut: d.HeadersCut, RecordBytes: d.RecordBytes}
	j.Text, j.Base64 = textOrBytes(d.Record)
	for _, h := range d.Headers {
		header := headerJSON{Key: h.Key}
		header.Text, header.Base64 = textOrBytes(h.Value)
		j.Headers = append(j.Headers, header)
	}
	return j
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (d *DeadLetter) UnmarshalJSON(b []byte) error {
	var j letterJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*d = DeadLetter{Topic: j.Topic, Log: j.Log, Position: j.Position, ReceivedAt: j.ReceivedAt.UnixNano(), Class: j.Class, Errors: j.Errors,
		HeadersCut: j.HeadersCut, Record: bytesOf(j.Text, j.Base64), RecordBytes: j.RecordBytes}
	for _, h := range j.Headers {
		d.Headers = append(d.Headers, stream.Header{Key: h.Key, Value: bytesOf(h.Text, h.Base64)})
	}
	return nil
}
