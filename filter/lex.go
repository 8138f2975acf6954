package filter

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks over the text of a filter. The language has no token stream of
// its own: what a character means depends on whether a selector, a value or a
// text is expected, so the parser asks for what it expects.
type scanner struct {
	src string // valid UTF-8
	pos int    // bytes
}

// literal is a value or a text as it was written.
type literal struct {
	text  string   // what it stands for, escapes undone; wildcards left out
	parts []string // what lies between the wildcards; nil when there is none
	off   int      // where it begins
	raw   string   // how it was written
}

func (l *literal) fault(reason string) *fault {
	return &fault{off: l.off, token: l.raw, reason: reason}
}

func (s *scanner) atEnd() bool    { return s.pos >= len(s.src) }
func (s *scanner) at(c byte) bool { return s.pos < len(s.src) && s.src[s.pos] == c }

func (s *scanner) atDots() bool { return strings.HasPrefix(s.src[s.pos:], "..") }

// atDelimiter reports whether a word ends here.
func (s *scanner) atDelimiter() bool { return s.delimiterAt(s.pos) }

func (s *scanner) delimiterAt(i int) bool {
	if i >= len(s.src) {
		return true
	}
	switch c := s.src[i]; {
	case c == '(' || c == ')' || c == '"' || c == ' ':
		return true
	case c < utf8.RuneSelf:
		return unicode.IsSpace(rune(c))
	}
	r, _ := utf8.DecodeRuneInString(s.src[i:])
	return unicode.IsSpace(r)
}

func (s *scanner) skipSpace() {
	s.pos = len(s.src) - len(strings.TrimLeftFunc(s.src[s.pos:], unicode.IsSpace))
}

// fault is a fault at the next n bytes.
func (s *scanner) fault(n int, reason string) *fault {
	return &fault{off: s.pos, token: s.src[s.pos:min(s.pos+n, len(s.src))], reason: reason}
}

// wordLen is the length of the word that begins here, or of one delimiter.
func (s *scanner) wordLen() int {
	end := s.pos
	for !s.delimiterAt(end) {
		end++
	}
	return max(end-s.pos, 1)
}

func (s *scanner) seesKeyword(word string) bool {
	end := s.pos + len(word)
	return end <= len(s.src) && strings.EqualFold(s.src[s.pos:end], word) && s.delimiterAt(end)
}

func (s *scanner) takeKeyword(word string) bool {
	if !s.seesKeyword(word) {
		return false
	}
	s.pos += len(word)
	return true
}

func isKeyword(word string) bool {
	return strings.EqualFold(word, "and") || strings.EqualFold(word, "or") || strings.EqualFold(word, "not")
}

// endOfTerm checks that a term is not run together with a quote or a
// parenthesis, which is nearly always a value that should have been quoted.
func (s *scanner) endOfTerm() *fault {
	switch {
	case s.at('('), s.at('"'):
		return s.fault(1, `a space is expected here; put the whole value in quotes if this is part of it`)
	case s.at(':'):
		return s.fault(1, `a field's name stands before the colon without quotes, as in user_id:alice; put the whole text in quotes if the colon is part of it`)
	case !s.atEnd() && !s.atDelimiter():
		return s.fault(s.wordLen(), "a space is expected after a closing quote or parenthesis")
	}
	return nil
}

// selectorEnd returns where the colon of a selector that begins here lies.
func (s *scanner) selectorEnd() (int, bool) {
	for i := s.pos; i < len(s.src); i++ {
		switch {
		case s.src[i] == ':':
			return i, true
		case s.src[i] == '"' && i > s.pos && s.src[i-1] == '.':
			end := quoteEnd(s.src, i)
			if end < 0 {
				return 0, false
			}
			i = end - 1
		case s.src[i] == '\\' || s.delimiterAt(i):
			return 0, false
		}
	}
	return 0, false
}

// place is where a literal stands, which decides what ends it and what must be
// quoted in it.
type place uint8

const (
	inTerm  place = iota // the value of a term
	inGroup              // a value in parentheses
	inText               // a text to search for
)

// literal scans a quoted or unquoted value or text. There is one: the caller
// has looked.
func (s *scanner) literal(at place) (literal, *fault) {
	if s.at('"') {
		return s.quoted()
	}
	return s.word(at)
}

func (s *scanner) word(at place) (literal, *fault) {
	l := literal{off: s.pos}
	var b strings.Builder
	for !s.atDelimiter() && (at == inText || !s.atDots()) {
		r, size := utf8.DecodeRuneInString(s.src[s.pos:])
		switch r {
		case '*':
			if n := len(l.parts); n == 0 || b.Len() > 0 { // ** is *
				l.parts = append(l.parts, b.String())
				b.Reset()
			}
			s.pos++
			continue
		case '\\':
			next, n := utf8.DecodeRuneInString(s.src[s.pos+1:])
			if n == 0 || unicode.IsLetter(next) || unicode.IsDigit(next) {
				return l, s.fault(1+n, `\ stands before a character that has a meaning, as in \* or \"; write \\ for a backslash`)
			}
			s.pos++
			r, size = next, n
		}
		b.WriteRune(r)
		s.pos += size
	}
	l.raw = s.src[l.off:s.pos]
	if l.parts != nil {
		l.parts = append(l.parts, b.String())
		l.text = strings.Join(l.parts, "")
		return l, nil
	}
	l.text = b.String()
	return l, nil
}

func (s *scanner) quoted() (literal, *fault) {
	start := s.pos
	end := quoteEnd(s.src, start)
	if end < 0 {
		return literal{}, s.fault(len(s.src)-start, `this quote is not closed; " is expected at the end, and \" for a quote inside`)
	}
	text, f := unquote(s.src[start:end])
	if f != nil {
		f.off += start
		return literal{}, f
	}
	s.pos = end
	return literal{text: text, off: start, raw: s.src[start:end]}, nil
}

// quoteEnd returns the offset after the quote that closes the one at i, or -1.
func quoteEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// escapes are those of a JSON string.
const (
	escapeLetters = `"\/bfnrt`
	escapeValues  = "\"\\/\b\f\n\r\t"
)

// unquote undoes the quotes and escapes of s, which begins and ends with a
// quote. The fault's offset counts from the start of s.
func unquote(s string) (string, *fault) {
	body := s[1 : len(s)-1]
	if strings.IndexByte(body, '\\') < 0 {
		return body, nil
	}
	var b strings.Builder
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			b.WriteByte(body[i])
			i++
			continue
		}
		if body[i+1] == 'u' {
			r, n := unquoteRune(body[i:])
			if n == 0 {
				return "", &fault{off: 1 + i, token: body[i:min(i+6, len(body))],
					reason: `\u takes four hexadecimal digits, and two of them make a character above U+FFFF, as in \ud83d\ude00`}
			}
			b.WriteRune(r)
			i += n
			continue
		}
		k := strings.IndexByte(escapeLetters, body[i+1])
		if k < 0 {
			_, n := utf8.DecodeRuneInString(body[i+1:])
			return "", &fault{off: 1 + i, token: body[i : i+1+n],
				reason: `in quotes the escapes are \" \\ \/ \b \f \n \r \t and \uXXXX; everything else, * too, stands for itself`}
		}
		b.WriteByte(escapeValues[k])
		i += 2
	}
	return b.String(), nil
}

// unquoteRune reads \uXXXX, or two that make a surrogate pair, and returns its
// length, 0 when it is malformed.
func unquoteRune(s string) (rune, int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(s[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == unicode.ReplacementChar {
		return 0, 0
	}
	return r, 12
}

func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}

// appendQuoted appends s in quotes.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch k := strings.IndexRune(escapeValues, r); {
		case r == '/':
			b = append(b, '/')
		case k >= 0:
			b = append(b, '\\', escapeLetters[k])
		case r < 0x10000 && !unicode.IsPrint(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendLiteral appends a text without wildcards, quoted where it must be.
func appendLiteral(b []byte, s string, at place) []byte {
	if needsQuotes(s, at) {
		return appendQuoted(b, s)
	}
	return append(b, s...)
}

func needsQuotes(s string, at place) bool {
	// After > or <, a value that begins with = would make another sign of it.
	if s == "" || strings.Contains(s, "..") || strings.ContainsRune(`<>=.`, rune(s[0])) || s[len(s)-1] == '.' {
		return true
	}
	for _, r := range s {
		if isSpecial(r) || !unicode.IsPrint(r) {
			return true
		}
	}
	return at != inTerm && (s[0] == '-' || strings.Contains(s, ":") || isKeyword(s))
}

// isSpecial reports whether r must be escaped anywhere in an unquoted value.
func isSpecial(r rune) bool {
	return strings.ContainsRune(`"()\*`, r) || unicode.IsSpace(r)
}

// appendPattern appends the parts with a wildcard between each two.
func appendPattern(b []byte, parts []string, at place) []byte {
	first := len(b)
	for i, part := range parts {
		if i > 0 {
			b = append(b, '*')
		}
		for _, r := range part {
			begins := len(b) == first
			switch {
			case isSpecial(r),
				r == '.' && !begins && b[len(b)-1] == '.',
				(r == '<' || r == '>' || r == '.') && begins,
				r == '-' && begins && at == inGroup,
				r == ':' && at == inGroup:
				b = append(b, '\\')
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}
