package event

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A Decoder turns JSON into events. It is strict: what is unknown, doubtful or
// too long is refused, never guessed, cut or dropped. The zero Decoder is ready.
// It keeps scratch memory, so use one for many events, by one goroutine at a
// time.
//
// A timestamp is RFC 3339 with up to nine fractional digits and an offset from
// UTC, or an integer, whose magnitude tells the unit:
//
//	below 10¹¹          refused: it looks like seconds
//	10¹¹ to below 10¹⁴  milliseconds since 1970
//	10¹⁴ to below 10¹⁷  microseconds since 1970
//	from 10¹⁷           nanoseconds since 1970
//
// The same goes for negative numbers. So integers reach every time but those
// from 1966-10-31 to 1973-03-03.
type Decoder struct {
	// AllowSet makes the Decoder accept the fields that Daybook sets
	// (received_at, partition, offset) and ignore them, to take in again what
	// Daybook exported. Otherwise they are refused.
	AllowSet bool

	// Tenant is that of events which name none; "": DefaultTenant.
	Tenant string

	rewriter
	bad   FieldSet // the fields that an error was reported for
	chunk []byte   // memory handed out by keep; its events own it
}

// chunkSize is how much memory is allocated at once for text that cannot share
// the input's. An event keeps alive the whole chunk that its text lies in.
const chunkSize = 8 << 10

// Decode parses data, which must be one JSON object, into e. An absent event_id
// leaves e.ID zero and an absent timestamp leaves [NoTime], see
// [Event.Complete]; other defaults are filled in.
//
// Text of e shares the memory of data where it stands there as it is to be
// stored, so data must stay unchanged for as long as e, or a copy of it, is in
// use. Nothing of e belongs to the Decoder.
//
// If the event is refused, the error is of type [Errors] and holds everything
// that is wrong with it, up to 64 errors; e is then of no use. Bad JSON is one
// error, with the byte offset where it stops being JSON.
func (d *Decoder) Decode(data []byte, e *Event) error {
	*e = Event{Timestamp: NoTime}
	d.src, d.errs, d.bad = data, nil, 0
	d.root, d.path, d.members = "", d.path[:0], d.members[:0]
	if len(data) > MaxSize {
		d.report("", "", fmt.Sprintf("is %d bytes long; at most %d are accepted", len(data), MaxSize))
	} else if d.event(e) >= 0 {
		d.finish(e)
	}
	d.src = nil
	if d.errs != nil {
		return d.errs
	}
	return nil
}

// event parses the event and what follows it.
func (d *Decoder) event(e *Event) int {
	i := skipSpace(d.src, 0)
	if at(d.src, i) != '{' {
		return d.notObject(i)
	}
	if i = skipSpace(d.src, i+1); at(d.src, i) == '}' {
		i++
	} else if i = d.fields(e, i); i < 0 {
		return -1
	}
	if i = skipSpace(d.src, i); i != len(d.src) {
		return d.syntax(i, "the end of the event")
	}
	return i
}

// fields parses the members of the event up to and with its closing brace.
func (d *Decoder) fields(e *Event, i int) int {
	var seen FieldSet
	for b := d.src; ; {
		if at(b, i) != '"' {
			return d.syntax(i, "a field name in quotes")
		}
		quote, flags := scanString(b, i+1)
		if quote < 0 {
			return d.openString(i)
		}
		name := b[i+1 : quote]
		if flags != 0 {
			if name, _ = d.unescape(i+1, quote, flags); name == nil {
				return -1
			}
		}
		if i = skipSpace(b, quote+1); at(b, i) != ':' {
			return d.syntax(i, "a colon")
		}
		i = skipSpace(b, i+1)
		f, known := fieldNamed(name)
		again := seen.Has(f)
		if known {
			seen |= 1 << f
		}
		if known && !again && !fields[f].Set {
			i = d.field(e, f, i)
		} else {
			i = d.oddField(string(name), f, again, i)
		}
		if i < 0 {
			return -1
		}
		switch i = skipSpace(b, i); at(b, i) {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1
		default:
			return d.syntax(i, "a comma or }")
		}
	}
}

// oddField parses past the value of a field that no event should have: unknown,
// set by Daybook, or given before.
func (d *Decoder) oddField(name string, f Field, again bool, i int) int {
	d.root = name
	end := d.rewrite(i)
	d.root = ""
	if end < 0 {
		return -1
	}
	switch {
	case again:
		d.refuse(f, "", reasonDuplicate)
	case f < NumFields:
		if !d.AllowSet {
			d.refuse(f, d.rewritten(), "is set by Daybook; leave it out")
		}
	case !d.full():
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
			name = strconv.Quote(name)
		}
		reason := "is no field of an event; put what has no field of its own into metadata"
		if near, ok := nearestField(name); ok {
			reason = "is no field of an event; did you mean " + near.String() + "?"
		}
		d.report(shorten(name, maxPath), d.rewritten(), reason)
	}
	return end
}

// notObject reports a document that is no object.
func (d *Decoder) notObject(i int) int {
	if i == len(d.src) {
		return d.syntax(i, "a JSON object")
	}
	end := d.rewrite(i)
	if end >= 0 {
		d.report("", d.rewritten(), "must be a JSON object")
	}
	return -1
}

// finish checks the event as a whole and fills in defaults.
func (d *Decoder) finish(e *Event) {
	for f := UserID; f <= Resource; f++ {
		if info := f.Info(); info.Required && *e.text(f) == "" && !d.bad.Has(f) {
			d.report(info.Name, "", fmt.Sprintf("is required: a string of 1 to %d bytes", info.MaxBytes))
		}
	}
	if e.TenantID == "" {
		e.TenantID = cmp.Or(d.Tenant, DefaultTenant)
	}
	if e.Outcome == "" {
		e.Outcome = DefaultOutcome
	}
	if e.Operation == "" {
		e.Operation = DefaultOperation
	}
	if e.UserType == "" {
		e.UserType = DefaultUserType
	}
	// Only a number may grow in canonical form, and to less than five times its
	// size with the comma after it: 1e20.
	if len(d.src) > MaxSize/8 && d.errs == nil {
		d.tmp = AppendCanonical(d.tmp[:0], e)
		size := len(d.tmp)
		if e.ID.IsZero() {
			size += len(`,"event_id":"00000000-0000-0000-0000-000000000000"`)
		}
		if e.Timestamp == NoTime {
			size += len(`,"timestamp":"2006-01-02T15:04:05.999999999Z"`)
		}
		if size > MaxSize {
			d.report("", "", fmt.Sprintf("is %d bytes long in canonical form; at most %d are accepted", size, MaxSize))
		}
	}
}

// refuse reports what is wrong with the value of field f.
func (d *Decoder) refuse(f Field, value, reason string) {
	d.bad |= 1 << f
	d.report(f.String(), value, reason)
}

// rewrite parses the value at src[i] and leaves its canonical form in out.
func (d *Decoder) rewrite(i int) int {
	d.out = d.out[:0]
	return d.value(i, 2)
}

// rewritten returns the value in out as the Value of a FieldError.
func (d *Decoder) rewritten() string {
	if s, ok := UnquoteJSON(stringOf(d.out)); ok {
		return quoteValue(s)
	}
	return rawValue(stringOf(d.out))
}

// keep returns a copy of b that does not belong to the Decoder.
func (d *Decoder) keep(b []byte) string {
	if len(b) > cap(d.chunk)-len(d.chunk) {
		if len(b) > chunkSize/4 {
			return string(b)
		}
		d.chunk = make([]byte, 0, chunkSize)
	}
	n := len(d.chunk)
	d.chunk = append(d.chunk, b...)
	return stringOf(d.chunk[n:])
}
