package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxRecord is the longest record, in bytes, that is read whole. A longer one is
// refused. It is far above [event.MaxSize]: white space and wrapping count here.
const MaxRecord = 16 << 20

const (
	maxDepth  = 512      // brackets open at once in a record
	maxHeader = 4 << 10  // what may stand before the array of a container
	maxShown  = 64 << 10 // of a record that is too long, as much is handed back
)

// containers are the objects that only wrap a list of records, by the name of
// that list: CloudTrail, Azure, Kubernetes and Google, CloudWatch, Slack …
var containers = []string{"Records", "records", "items", "logEvents", "entries", "value", "logs"}

// headers are the names that may stand before the list in such an object.
var headers = []string{
	"kind", "apiVersion", "metadata", "etag", "cursor", "has_more", "nextPageToken",
	"messageType", "owner", "logGroup", "logStream", "subscriptionFilters", "start", "limit", "length", "total",
}

// piece is one record as it stands in the input.
type piece struct {
	raw  []byte // valid until the next piece
	line int    // where it starts, from 1
	err  error  // why it is no record; nil if it may be one
}

// splitter cuts a stream of text into records. At the top level a record is a
// JSON object, over as many lines as it takes, or a line of other text. Inside
// an array or a container it is an element. Objects are found by their brackets
// alone, so that what is wrong inside one stays inside it; where the brackets do
// not match, the line is given up and the next one starts afresh.
type splitter struct {
	r      io.Reader
	buf    []byte // unread input is buf[pos:]
	pos    int
	line   int   // the line at pos
	err    error // what ended r; io.EOF is the good end
	told   bool  // err has been handed out
	within bool  // inside an array
	object bool  // … that an object holds
}

func newSplitter(r io.Reader) *splitter { return &splitter{r: r, line: 1} }

// more reads on. It returns false when there is no more, or when a whole
// record's worth is unread already.
func (s *splitter) more() bool {
	if s.err != nil {
		return false
	}
	if s.pos > 0 && s.pos >= len(s.buf)/2 {
		s.buf = s.buf[:copy(s.buf, s.buf[s.pos:])]
		s.pos = 0
	}
	s.buf = slices.Grow(s.buf, 64<<10)
	for range 100 {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if err != nil {
			s.err = err
		}
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// peek returns the n bytes after pos, or fewer if there are no more.
func (s *splitter) peek(n int) []byte {
	for len(s.buf)-s.pos < n && s.more() {
	}
	return s.buf[s.pos:min(s.pos+n, len(s.buf))]
}

// take consumes n bytes and returns them.
func (s *splitter) take(n int) []byte {
	b := s.buf[s.pos : s.pos+n]
	s.pos += n
	s.line += bytes.Count(b, []byte{'\n'})
	return b
}

// next returns the next record. ok is false at the end of the input.
func (s *splitter) next() (p piece, ok bool) {
	for {
		c, ok := s.skipSpace()
		if !ok {
			if s.err != io.EOF && !s.told {
				s.told = true
				return piece{line: s.line, err: s.err}, true
			}
			return piece{}, false
		}
		switch {
		case s.within && c == ',':
			s.take(1)
		case s.within && c == ']':
			s.take(1)
			s.within = false
			if s.object {
				if p, bad := s.tail(); bad {
					return p, true
				}
			}
		case c == '{':
			if n := s.container(); n > 0 && !s.within {
				s.take(n)
				s.within, s.object = true, true
				continue
			}
			return s.value(), true
		case !s.within && c == '[' && s.array():
			s.take(1)
			s.within, s.object = true, false
		default:
			return s.text(), true
		}
	}
}

func (s *splitter) skipSpace() (c byte, ok bool) {
	for {
		b := s.peek(1)
		if len(b) == 0 {
			return 0, false
		}
		switch b[0] {
		case ' ', '\t', '\n', '\r':
			s.take(1)
		case 0xef: // a byte order mark
			if !bytes.Equal(s.peek(3), []byte("\xef\xbb\xbf")) {
				return b[0], true
			}
			s.take(3)
		default:
			return b[0], true
		}
	}
}

// array reports whether the bracket at pos opens a list of records rather than
// a line of text such as "[info] started".
func (s *splitter) array() bool {
	rest := bytes.TrimLeft(s.peek(maxHeader)[1:], " \t\r\n")
	return len(rest) > 0 && (rest[0] == '{' || rest[0] == ']')
}

// container returns the length of the text before the first record if the
// object at pos only wraps a list of records, else 0.
func (s *splitter) container() int {
	t := s.peek(maxHeader)
	i := skip(t, 1)
	for i < len(t) && t[i] == '"' {
		end := i + 1 + max(bytes.IndexByte(t[i+1:], '"'), 0)
		name := string(t[i+1 : end])
		i = skip(t, end+1)
		if i >= len(t) || t[i] != ':' {
			return 0
		}
		i = skip(t, i+1)
		if slices.Contains(containers, name) && i < len(t) && t[i] == '[' {
			if j := skip(t, i+1); j < len(t) && (t[j] == '{' || t[j] == ']') {
				return i + 1
			}
			return 0
		}
		if !slices.Contains(headers, name) {
			return 0
		}
		i = skip(t, valueEnd(t, i))
		if i >= len(t) || t[i] != ',' {
			return 0
		}
		i = skip(t, i+1)
	}
	return 0
}

func skip(t []byte, i int) int {
	for i < len(t) && (t[i] == ' ' || t[i] == '\t' || t[i] == '\n' || t[i] == '\r') {
		i++
	}
	return i
}

// valueEnd returns where the JSON value at i ends, or len(t) if it does not.
func valueEnd(t []byte, i int) int {
	var m matcherState
	for ; i < len(t); i++ {
		if m.depth == 0 && !m.quoted && (t[i] == ',' || t[i] == '}') {
			return i
		}
		if m.step(t[i]) != "" {
			return len(t)
		}
	}
	return i
}

// tail consumes what a container holds after its list.
func (s *splitter) tail() (piece, bool) {
	s.object = false
	line := s.line
	n, why := s.match(1)
	if why != "" {
		p := s.giveUp(why)
		p.line = line
		return p, true
	}
	s.take(n)
	return piece{}, false
}

// value takes the object at pos.
func (s *splitter) value() piece {
	line := s.line
	n, why := s.match(0)
	switch {
	case why == tooLong && s.within:
		return s.tooLong()
	case why != "":
		return s.giveUp(why)
	}
	return piece{raw: s.take(n), line: line}
}

// tooLong drops the object at pos, which is longer than MaxRecord, without
// keeping it, so that its neighbours in the list are still found.
func (s *splitter) tooLong() piece {
	p := piece{line: s.line, raw: bytes.Clone(s.peek(maxShown)), err: errors.New(tooLong)}
	var m matcherState
	for {
		for i, c := range s.buf[s.pos:] {
			why := m.step(c)
			if why == "" && m.depth > 0 {
				continue
			}
			s.take(i + 1)
			if why != "" {
				s.within, s.object = false, false
				s.skipLine()
			}
			return p
		}
		s.take(len(s.buf) - s.pos)
		if !s.more() {
			return p
		}
	}
}

// text takes what is no object: inside a list up to the next comma or bracket,
// else the line.
func (s *splitter) text() piece {
	if !s.within {
		return s.giveUp("")
	}
	line := s.line
	for n := 1; ; n++ {
		b := s.peek(n + 1)
		if len(b) <= n || n == maxShown || b[n] == ',' || b[n] == ']' || b[n] == '\n' {
			return piece{raw: s.take(n), line: line, err: errors.New("not an object")}
		}
	}
}

// matcherState follows brackets and quotes through JSON text.
type matcherState struct {
	depth           int
	quoted, escaped bool
}

// step takes the next byte; it returns what is wrong, if anything is.
func (m *matcherState) step(c byte) (why string) {
	switch {
	case m.escaped:
		m.escaped = false
	case m.quoted:
		switch c {
		case '\\':
			m.escaped = true
		case '"':
			m.quoted = false
		case '\n':
			return "JSON is broken: a line ends inside a string"
		}
	case c == '"':
		m.quoted = true
	case c == '{', c == '[':
		if m.depth++; m.depth > maxDepth {
			return fmt.Sprintf("JSON nests deeper than %d", maxDepth)
		}
	case c == '}', c == ']':
		m.depth--
	}
	return ""
}

// match returns the length of the value at pos, or what is left of it if depth
// brackets are open already.
func (s *splitter) match(depth int) (n int, why string) {
	m := matcherState{depth: depth}
	for {
		b := s.buf[s.pos:]
		for ; n < len(b); n++ {
			if why := m.step(b[n]); why != "" {
				return 0, why
			}
			if n == MaxRecord {
				return 0, tooLong
			}
			if m.depth == 0 {
				return n + 1, ""
			}
		}
		if !s.more() {
			return 0, "JSON is broken: the input ends inside a value"
		}
	}
}

var tooLong = fmt.Sprintf("longer than %d MiB", MaxRecord>>20)

// giveUp takes the rest of the line, and leaves the list that it may be in.
func (s *splitter) giveUp(why string) piece {
	p := piece{line: s.line}
	s.within, s.object = false, false
	if n := s.lineEnd(); n <= MaxRecord {
		p.raw = bytes.TrimRight(s.take(n), "\r")
	} else {
		why = tooLong
		p.raw = bytes.Clone(s.buf[s.pos : s.pos+maxShown])
		s.skipLine()
	}
	if s.err != nil && s.err != io.EOF && s.pos == len(s.buf) {
		s.told = true
		p.err = s.err
		return p
	}
	if why != "" {
		p.err = errors.New(why)
	}
	return p
}

// lineEnd returns the length of the line at pos, or of its beginning if it is
// longer than MaxRecord.
func (s *splitter) lineEnd() int {
	for n := 0; ; {
		b := s.buf[s.pos:]
		if i := bytes.IndexByte(b[n:], '\n'); i >= 0 {
			return n + i
		}
		if n = len(b); n > MaxRecord || !s.more() {
			return n
		}
	}
}

// skipLine drops input up to the end of the line without keeping it.
func (s *splitter) skipLine() {
	for {
		if i := bytes.IndexByte(s.buf[s.pos:], '\n'); i >= 0 {
			s.take(i)
			return
		}
		s.pos = len(s.buf)
		if !s.more() {
			return
		}
	}
}
