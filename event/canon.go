package event

import (
	"bytes"
	"cmp"
	"unicode/utf8"
)

// AppendCanonicalJSON appends the canonical form of a JSON document to dst:
// RFC 8785 (JCS), so without space, keys sorted by UTF-16 code units, strings
// escaped as little as possible and numbers as ECMAScript writes them. One rule
// differs: a number that ECMAScript's form would change, because a double cannot
// hold it, stays byte for byte as it was written.
//
// What cannot be canonical is refused with [Errors]: bad JSON, keys that appear
// twice in one object, text that is not UTF-8, lone surrogates, nesting deeper
// than [MaxDepth].
func AppendCanonicalJSON(dst, json []byte) ([]byte, error) {
	i := skipSpace(json, 0)
	r := rewriter{src: json, out: dst}
	end := canonicalEnd(json, i, 1)
	if end >= 0 {
		r.out = append(dst, json[i:end]...)
	} else {
		end = r.value(i, 1)
	}
	if end >= 0 {
		if i = skipSpace(json, end); i < len(json) {
			r.syntax(i, "the end of the document")
		}
	}
	if r.errs != nil {
		return dst, r.errs
	}
	return r.out, nil
}

// canonicalEnd returns the end of the JSON value at b[i] if it is valid and
// already in canonical form, -1 otherwise. Strictly rising keys show that none
// appears twice.
func canonicalEnd(b []byte, i, depth int) int {
	switch c := at(b, i); {
	case c == '"':
		return canonicalStringEnd(b, i+1)
	case c == '{':
		return canonicalObjectEnd(b, i+1, depth)
	case c == '[':
		return canonicalArrayEnd(b, i+1, depth)
	case c == '-' || isDigit(c):
		end, simple := scanNumber(b, i)
		if end >= 0 && !simple {
			var buf [32]byte
			if !bytes.Equal(appendNumber(buf[:0], b[i:end]), b[i:end]) {
				return -1
			}
		}
		return end
	default:
		if word := literal(c); word != "" && bytes.HasPrefix(b[i:], bytesOf(word)) {
			return i + len(word)
		}
		return -1
	}
}

func canonicalObjectEnd(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if at(b, i) == '}' {
		return i + 1
	}
	var last []byte
	for {
		if at(b, i) != '"' {
			return -1
		}
		end := canonicalStringEnd(b, i+1)
		if end < 0 || at(b, end) != ':' {
			return -1
		}
		key := b[i+1 : end-1]
		if last != nil && compareKeys(last, key) >= 0 {
			return -1
		}
		last = key
		if i = canonicalEnd(b, end+1, depth+1); i < 0 {
			return -1
		}
		switch at(b, i) {
		case ',':
			i++
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

func canonicalArrayEnd(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if at(b, i) == ']' {
		return i + 1
	}
	for {
		if i = canonicalEnd(b, i, depth+1); i < 0 {
			return -1
		}
		switch at(b, i) {
		case ',':
			i++
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

// canonicalStringEnd returns the index after the closing quote of the string
// whose first byte is b[i], if it is valid and escaped as little as possible.
func canonicalStringEnd(b []byte, i int) int {
	quote, flags := scanString(b, i)
	if quote < 0 {
		return -1
	}
	if flags == 0 {
		return quote + 1
	}
	s := b[i:quote]
	if flags&hasControl != 0 || flags&hasNonASCII != 0 && !utf8.Valid(s) {
		return -1
	}
	for flags&hasEscape != 0 {
		n := bytes.IndexByte(s, '\\')
		if n < 0 {
			break
		}
		s = s[n:]
		c, size := unescapeByte(s)
		var buf [6]byte
		if !bytes.HasPrefix(s, appendEscape(buf[:0], c)) {
			return -1
		}
		s = s[size:]
	}
	return quote + 1
}

// unescapeByte returns the character of the canonical escape that s begins
// with, and its size; for another escape a character that escapes otherwise.
func unescapeByte(s []byte) (c byte, size int) {
	switch e := at(s, 1); e {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if r, ok := hex4(s, 2); ok && r < 0x20 {
			return byte(r), 6
		}
		return 0, 2
	default:
		return e, 2
	}
}

// appendEscape appends the canonical escape of a character that needs one.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// compareKeys compares two keys, canonically escaped, by the UTF-16 code units
// of their text. That is the order of their UTF-8 bytes but for the characters
// beyond U+FFFF: their surrogates come before U+E000.
func compareKeys(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		x, y := a[0], b[0]
		nx, ny := 1, 1
		if x == '\\' {
			x, nx = unescapeByte(a)
		}
		if y == '\\' {
			y, ny = unescapeByte(b)
		}
		if x != y {
			if c := cmp.Compare(x, y); x < 0xee || y < 0xee || x >= 0xf0 == (y >= 0xf0) {
				return c
			} else {
				return -c
			}
		}
		a, b = a[nx:], b[ny:]
	}
	return cmp.Compare(len(a), len(b))
}

// literal returns the literal that begins with c, or "".
func literal(c byte) string {
	switch c {
	case 't':
		return "true"
	case 'f':
		return "false"
	case 'n':
		return "null"
	}
	return ""
}
