package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

// The scanner: where the tokens of a JSON text end. Its functions take the text
// and an index and return an index, so that both stay in registers; -1 means
// that the token does not end.

// stringFlags says what a scanned string holds besides printable ASCII.
type stringFlags uint8

const (
	hasEscape   stringFlags = 1 << iota // a backslash
	hasControl                          // a raw character below U+0020
	hasNonASCII                         // a byte above 0x7f
)

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// oddBytes sets the high bit of the lowest byte of w that is a quote, a
// backslash, a control character or not ASCII. Bits above that one mean nothing.
func oddBytes(w uint64) uint64 {
	quote := w ^ lowBits*'"'
	slash := w ^ lowBits*'\\'
	return ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-lowBits*0x20)&^w | w) & highBits
}

// scanString returns the index of the closing quote of the string whose first
// byte after the opening quote is b[i].
func scanString(b []byte, i int) (end int, flags stringFlags) {
	for i+8 <= len(b) {
		odd := oddBytes(binary.LittleEndian.Uint64(b[i : i+8]))
		if odd == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(odd) >> 3
		if b[i] == '"' {
			return i, 0
		}
		break
	}
	return scanOddString(b, i)
}

// scanOddString is scanString a byte at a time, from the first byte that needs it.
func scanOddString(b []byte, i int) (end int, flags stringFlags) {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i, flags
		case c == '\\':
			flags |= hasEscape
			i++
		case c < 0x20:
			flags |= hasControl
		case c >= utf8.RuneSelf:
			flags |= hasNonASCII
		}
	}
	return -1, flags
}

// scanNumber returns the end of the JSON number at b[i], -1 when there is none.
// It is simple when it is certain to be its own canonical form: at most
// doubleDigits digits, without an exponent, a superfluous zero or the sign of a
// zero, and not so small that it would need an exponent.
func scanNumber(b []byte, i int) (end int, simple bool) {
	start := i
	if at(b, i) == '-' {
		i++
	}
	first := i
	for isDigit(at(b, i)) {
		i++
	}
	digits, zero := i-first, at(b, first) == '0'
	if digits == 0 || zero && digits > 1 {
		return -1, false
	}
	simple = digits <= doubleDigits && !(zero && first > start)
	if at(b, i) == '.' {
		i++
		frac := i
		for isDigit(at(b, i)) {
			i++
		}
		if i == frac {
			return -1, false
		}
		simple = digits+i-frac <= doubleDigits && b[i-1] != '0' && !(zero && i-frac > 6)
		if zero && simple {
			simple = string(b[frac:min(i, frac+6)]) > "000000"
		}
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		i++
		if c := at(b, i); c == '+' || c == '-' {
			i++
		}
		exp := i
		for isDigit(at(b, i)) {
			i++
		}
		if i == exp {
			return -1, false
		}
		simple = false
	}
	return i, simple
}

// appendUnescaped appends the text of the string whose bytes between the quotes
// are b. bad is the index of an escape that JSON does not know, or -1. A
// surrogate without its other half is reported as lone and written as U+FFFD.
func appendUnescaped(dst, b []byte) (out []byte, bad int, lone bool) {
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch e := at(b, i+1); e {
		case '"', '\\', '/':
			dst = append(dst, e)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(b, i+2)
			if !ok {
				return dst, i, lone
			}
			i += 6
			if r >= 0xd800 && r < 0xe000 {
				low, ok := hex4(b, i+2)
				if r < 0xdc00 && ok && at(b, i) == '\\' && b[i+1] == 'u' && low >= 0xdc00 && low < 0xe000 {
					r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
					i += 6
				} else {
					r, lone = utf8.RuneError, true
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default:
			return dst, i, lone
		}
		i += 2
	}
	return dst, -1, lone
}

// hex4 returns the value of the four hexadecimal digits at b[i].
func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		d := unhex[c]
		if d > 15 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// skipSpace returns the index of the first byte from b[i] on that is no JSON space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// at returns b[i], or 0, which no JSON token holds, past the end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// stringOf returns b as a string that shares its memory.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns the bytes of s, which must not be changed.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
