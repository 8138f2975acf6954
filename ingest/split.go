package ingest

import (
	"bytes"
	"fmt"
	"io"

	"github.com/daybook-log/daybook/event"
)

// splitBuffer is how much of a large body is read at a time. It must hold a few
// of the largest events, because an event is decoded where it lies. The buffer
// begins at firstBuffer and grows with the body: a thousand requests of one
// event each must not take a thousand times splitBuffer.
const (
	splitBuffer = 256 << 10
	firstBuffer = 8 << 10
)

// splitter cuts a body into events without holding more of it than its buffer.
// The form of the body is told by its first character:
//
//	[   an array. Its elements are found by brackets and quotes alone, so that
//	    one that is not JSON leaves the others alone.
//	{   one object, or NDJSON: one object a line. An object that goes on in the
//	    next line, as pretty-printed ones do, is taken whole; so is a second
//	    object on the same line.
//
// A byte order mark, blank lines and CRLF are passed over. On the common road,
// NDJSON, the only work per event is to find the line's end: whether a line is
// a whole object is asked (see extend) only if it does not decode.
type splitter struct {
	r          io.Reader
	buf        []byte
	start, end int   // what is read and not consumed: buf[start:end]
	eof        bool  // r has ended
	err        error // or failed

	ndjson bool // the body says that it is NDJSON, so its first character may be anything
	form   form

	line    int  // of buf[start], from 1
	indent  int  // blanks before the current value in its line
	used    int  // bytes of the item handed out last, to consume before the next
	lineLen int  // of these, the first line without its end
	skip    skip // what else to pass over before the next item
	value   balance
	comma   bool // array: an element has been read, a comma or the end must follow
}

type form uint8

const (
	undecided form = iota
	lines
	array
	ended
)

// skip is what to pass over after an item too large to be held.
type skip uint8

const (
	skipNothing skip = iota
	skipLine         // to the end of the line
	skipValue        // to the end of the value that splitter.value is inside of
)

// item is one would-be event.
type item struct {
	data     []byte // valid until the next call of next; may hold anything but an event
	line     int    // where it begins, from 1; 0 in an array
	tooLarge bool   // it is larger than an event may be; data is nil
}

// bounded returns it, marked when it is larger than an event may be.
func (it item) bounded() item {
	if len(it.data) > event.MaxSize {
		return item{line: it.line, tooLarge: true}
	}
	return it
}

// malformed says that a body cannot be cut into events from some point on.
type malformed string

func (m malformed) Error() string { return string(m) }

// reset makes s begin with the body r. It keeps its buffer.
func (s *splitter) reset(r io.Reader, ndjson bool) {
	if s.buf == nil {
		s.buf = make([]byte, firstBuffer)
	}
	*s = splitter{r: r, buf: s.buf, ndjson: ndjson, line: 1}
}

// next returns the next item, io.EOF after the last, a malformed error, or the
// reader's error. After an error the splitter is not used again.
func (s *splitter) next() (item, error) {
	s.consume(s.used)
	s.used = 0
	if s.skip != skipNothing {
		s.passOver()
	}
	it, err := item{}, io.EOF
	if s.form == undecided {
		if derr := s.detect(); derr != nil {
			err = derr
		}
	}
	switch s.form {
	case lines:
		it, err = s.nextLine()
	case array:
		it, err = s.nextElement()
	}
	if err != nil && s.err != nil {
		err = s.err // what could not be read explains it better
	}
	return it, err
}

// fill reads more of the body; it may move what is in the buffer. It returns
// false at the body's end.
func (s *splitter) fill() bool {
	if s.eof || s.err != nil {
		return false
	}
	switch {
	case s.end == len(s.buf) && len(s.buf) < splitBuffer:
		grown := make([]byte, min(4*len(s.buf), splitBuffer))
		s.start, s.end, s.buf = 0, copy(grown, s.unread()), grown
	case s.start > 0:
		s.start, s.end = 0, copy(s.buf, s.unread())
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if err == io.EOF {
			s.eof = true
		} else if err != nil {
			s.err = err
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

func (s *splitter) unread() []byte { return s.buf[s.start:s.end] }

func (s *splitter) consume(n int) {
	s.line += bytes.Count(s.buf[s.start:s.start+n], []byte{'\n'})
	s.start += n
}

// skipBlank consumes blanks and line ends and reports whether something follows.
func (s *splitter) skipBlank() bool {
	for {
		for ; s.start < s.end; s.start++ {
			switch s.buf[s.start] {
			case '\n':
				s.line++
				s.indent = 0
			case ' ', '\t', '\r':
				s.indent++
			default:
				return true
			}
		}
		if !s.fill() {
			return false
		}
	}
}

// passOver consumes the rest of an item that was too large.
func (s *splitter) passOver() {
	for {
		data := s.unread()
		n, over := len(data), false
		if s.skip == skipValue {
			n, over = s.value.feed(data)
		} else if i := bytes.IndexByte(data, '\n'); i >= 0 {
			n, over = i, true
		}
		s.consume(n)
		if over || !s.fill() {
			s.skip = skipNothing
			return
		}
	}
}

// detect tells the form of the body by its first character.
func (s *splitter) detect() error {
	for s.end < 3 && s.fill() {
	}
	if bytes.HasPrefix(s.unread(), []byte("\xef\xbb\xbf")) {
		s.start += 3
	}
	if !s.skipBlank() {
		return malformed("the body is empty; send a JSON object, an array of objects, or one object a line (NDJSON)")
	}
	switch c := s.buf[s.start]; {
	case c == '[':
		s.form = array
		s.start++
	case c == '{' || s.ndjson:
		s.form = lines
	default:
		return malformed(fmt.Sprintf("the body begins with %q; send a JSON object, an array of objects, or one object a line (NDJSON)", rune(c)))
	}
	return nil
}

// nextLine returns the next line, or more where it shows that an object goes on.
func (s *splitter) nextLine() (item, error) {
	if !s.skipBlank() {
		return item{}, io.EOF
	}
	seen := 0
	for {
		data := s.unread()
		if i := bytes.IndexByte(data[seen:], '\n'); i >= 0 {
			s.lineLen = seen + i
			break
		}
		if seen = len(data); seen > event.MaxSize {
			return s.longLine(), nil
		}
		if !s.fill() {
			if s.err != nil {
				return item{}, s.err
			}
			s.lineLen = seen
			break
		}
	}
	s.used = s.lineLen
	it := item{data: trimRight(s.unread()[:s.lineLen]), line: s.line}
	if it.data[0] == '{' && it.data[len(it.data)-1] != '}' {
		it, _ = s.extend(it)
	}
	return it.bounded(), nil
}

// longLine returns what begins a line whose end is further than an event is large.
func (s *splitter) longLine() item {
	it := item{line: s.line, tooLarge: true}
	data := s.unread()
	s.skip = skipLine
	if data[0] != '{' {
		return it
	}
	n, st := scanObject(data)
	switch {
	case st == closed && n <= event.MaxSize:
		s.skip, s.used = skipNothing, n
		return item{data: data[:n], line: s.line}
	case st != broken:
		s.skip, s.value = skipValue, balance{}
	}
	return it
}

// extend is called with an item of nextLine that is no event as it stands. If
// the object that it begins ends in a later line, or if another object follows
// it in the same line, extend returns that object and true. Else the line
// stands for itself.
//
// A line that was cut off must not take the next ones with it: JSON that
// breaks off inside a line and goes on with a new object is broken at the
// latest where the object after that begins, and then the item ends before the
// first line that begins an object.
func (s *splitter) extend(it item) (item, bool) {
	if s.form != lines || it.tooLarge || it.data[0] != '{' {
		return it, false
	}
	var n int
	var st scanned
	for {
		n, st = scanObject(s.unread())
		if st != open || s.end-s.start > event.MaxSize || !s.fill() {
			break
		}
	}
	data := s.unread()
	it.data = trimRight(data[:s.lineLen]) // fill may have moved it
	switch {
	case st == closed && n <= s.lineLen:
		if rest := trimLeft(data[n:s.lineLen]); len(rest) > 0 && rest[0] == '{' {
			s.used = n
			it.data = data[:n]
			return it, true
		}
		return it, false
	case st == closed && n <= event.MaxSize:
		s.used = n
		it.data = data[:n]
		return it, true
	case st == broken && n <= s.lineLen, st == open && s.lineLen == len(data):
		return it, false
	case st == broken, st == open && len(data) <= event.MaxSize:
		return s.cutOff(it)
	}
	s.used, s.skip, s.value = 0, skipValue, balance{}
	return item{line: it.line, tooLarge: true}, true
}

// cutOff ends an item that is broken in a later line before the first line that
// begins an object and is indented no further.
func (s *splitter) cutOff(it item) (item, bool) {
	at := s.lineLen // the end of the line that is looked at
	for {
		data := s.unread()
		next := at + 1
		end := -1
		if next < len(data) {
			end = bytes.IndexByte(data[next:], '\n')
		}
		if end < 0 && len(data) <= event.MaxSize && s.fill() {
			continue
		}
		data = s.unread()
		if next >= len(data) || next > event.MaxSize {
			at = min(at, len(data))
			break
		}
		body := trimLeft(data[next:])
		if indent := len(data) - next - len(body); indent <= s.indent && len(body) > 0 && body[0] == '{' {
			break
		}
		if end < 0 {
			at = len(data)
			break
		}
		at = next + end
	}
	s.used = at
	it.data = trimRight(s.unread()[:at])
	return it.bounded(), at > s.lineLen
}

// nextElement returns the next element of the array.
func (s *splitter) nextElement() (item, error) {
	if !s.skipBlank() {
		return item{}, malformed("the array is not closed: the body ends before ]")
	}
	c := s.buf[s.start]
	if c == ']' {
		s.start++
		s.form = ended
		if s.skipBlank() {
			return item{}, malformed(fmt.Sprintf("%q follows the end of the array", rune(s.buf[s.start])))
		}
		return item{}, io.EOF
	}
	if s.comma {
		if c != ',' {
			return item{}, malformed(fmt.Sprintf("%q follows an element of the array; a comma or ] must", rune(c)))
		}
		s.start++
		if !s.skipBlank() {
			return item{}, malformed("the array is not closed: the body ends after a comma")
		}
	}
	s.comma = true
	s.value = balance{}
	n := 0
	for {
		m, over := s.value.feed(s.unread()[n:])
		n += m
		if over {
			break
		}
		if n > event.MaxSize {
			s.used, s.skip = n, skipValue
			return item{tooLarge: true}, nil
		}
		if !s.fill() {
			return item{}, malformed("the array is not closed: the body ends inside an element")
		}
	}
	if n == 0 {
		return item{}, malformed(fmt.Sprintf("an element of the array is missing before %q", rune(s.buf[s.start])))
	}
	s.used = n
	if n > event.MaxSize {
		return item{tooLarge: true}, nil
	}
	return item{data: s.unread()[:n]}, nil
}

func trimRight(b []byte) []byte { return bytes.TrimRight(b, " \t\r\n") }
func trimLeft(b []byte) []byte  { return bytes.TrimLeft(b, " \t\r") }
