package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Item is one record of the input: an event to publish, or why it is none.
type Item struct {
	File   string // as it was given to Read
	Line   int    // where the record starts, from 1
	Record int    // which record of the file it is, from 1; many may share a line
	Format string // what it was recognised as; "" if it was not
	Raw    []byte // the record as it stands; valid until the next Item
	Event  []byte // canonical JSON of the event; nil if refused. The caller's to keep
	Err    error  // why it was refused; nil if Event is set
}

// The reasons for which a record is refused, for counting. [Reason] gives an
// error's; the error itself says more.
const (
	ReasonRead         = "could not be read"
	ReasonJSON         = "not JSON"
	ReasonUnrecognised = "format not recognised"
	ReasonInvalid      = "not a valid event"
)

// refusal is an error with the reason under which it is counted.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Reason returns the reason under which err, the Err of an Item, is counted.
func Reason(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return ReasonRead
}

// Importer turns records of one format, or of any, into events. It is not safe
// for concurrent use; one Importer reads as many files as one likes.
type Importer struct {
	format     string
	only       *mapping   // the one format asked for; nil for auto and ndjson
	candidates []*mapping // tried in this order

	inner, carried tree // the record at hand, and the one that it may carry
	builder        builder
}

// New returns an importer for format, one of [Formats]. With a format other
// than [Auto], records of every other format are refused.
func New(format string) (*Importer, error) {
	im := &Importer{format: format, candidates: mappings}
	if format == Auto {
		return im, nil
	}
	if im.candidates = nil; format == native {
		return im, nil
	}
	for _, m := range mappings {
		if m.name == format {
			im.only, im.candidates = m, []*mapping{m}
			return im, nil
		}
	}
	return nil, fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// Read yields every record of r, which may be compressed with gzip or zstd.
// name stands for it in the items. An error of r itself is the last Item's Err.
func (im *Importer) Read(name string, r io.Reader) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		text, done, err := plain(r)
		if err != nil {
			yield(Item{File: name, Line: 1, Record: 1, Err: &refusal{ReasonRead, err}})
			return
		}
		defer done()
		s := newSplitter(text)
		for n := 1; ; n++ {
			p, ok := s.next()
			if !ok {
				return
			}
			item := Item{File: name, Line: p.line, Record: n, Raw: p.raw}
			switch {
			case p.err == nil:
				item.Format, item.Event, item.Err = im.convert(p.raw)
			case s.told:
				item.Err = &refusal{ReasonRead, p.err}
			default:
				item.Err = &refusal{ReasonJSON, p.err}
			}
			if !yield(item) {
				return
			}
		}
	}
}

// convert turns one record into an event.
func (im *Importer) convert(raw []byte) (format string, ev []byte, err error) {
	src := raw
	if raw[0] != '{' {
		var ok bool
		if src, ok = im.parseText(string(raw)); !ok {
			return "", nil, &refusal{ReasonJSON, im.textError(raw)}
		}
	} else if !json.Valid(raw) {
		return "", nil, &refusal{ReasonJSON, json.Unmarshal(raw, new(json.RawMessage))}
	}
	rec, ok := im.recognise(src)
	if !ok {
		return "", nil, &refusal{ReasonUnrecognised, im.unrecognised()}
	}
	if rec.m == nil {
		ev, err = im.builder.native(src)
		format = native
	} else {
		ev, err = im.builder.mapped(&im.inner, rec)
		format = rec.m.name
	}
	if err != nil {
		err = &refusal{ReasonInvalid, err}
	}
	return format, ev, err
}

// parseText gives a line of text to the formats that are not JSON.
func (im *Importer) parseText(line string) ([]byte, bool) {
	for _, m := range im.candidates {
		if m.parseText != nil {
			if src, ok := m.parseText(line); ok {
				return src, true
			}
		}
	}
	return nil, false
}

func (im *Importer) textError(raw []byte) error {
	shown := cut(string(bytes.ToValidUTF8(raw, []byte("\uFFFD"))), 40)
	if im.only != nil && im.only.parseText == nil {
		return fmt.Errorf("%q … is no object", shown)
	}
	return fmt.Errorf("%q … is neither an object nor an auditd record", shown)
}

func (im *Importer) unrecognised() error {
	switch {
	case im.only != nil:
		return fmt.Errorf("a %s record has %s", im.format, im.only.detect.doc)
	case im.format == native:
		return fmt.Errorf("an event has %s", isNative.doc)
	}
	return errors.New("it has the marks of none of the formats; see docs/import.md for what they are")
}

// Detect returns the format of a JSON record, or "" if no format knows it.
func Detect(record []byte) string {
	im := &Importer{format: Auto, candidates: mappings}
	if !json.Valid(record) {
		return ""
	}
	rec, ok := im.recognise(record)
	switch {
	case !ok:
		return ""
	case rec.m == nil:
		return native
	}
	return rec.m.name
}
