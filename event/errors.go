package event

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// FieldError is one thing that is wrong with an event.
type FieldError struct {
	Field  string `json:"field,omitempty"` // the field, or a path into it: metadata.order.total; "" for the event as a whole
	Value  string `json:"value,omitempty"` // what was sent, shortened to 64 bytes; text in quotes, other JSON as it is
	Reason string `json:"reason"`          // what is wrong and what would be accepted
}

// Error returns the field, the value and the reason in one line.
func (e FieldError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		if e.Value != "" {
			b.WriteString(" " + e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Errors is everything that is wrong with one event.
type Errors []FieldError

// Error returns all of them in one line.
func (es Errors) Error() string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = e.Error()
	}
	return strings.Join(parts, "; ")
}

// The longest parts of a value and of a path, in bytes, that an error repeats.
const (
	maxValue = 64
	maxPath  = 256
)

// quoteValue returns s as the Value of a FieldError: shortened, in quotes, with
// what cannot be printed escaped.
func quoteValue(s string) string {
	if n := cut(s, maxValue); n < len(s) {
		return strconv.Quote(s[:n]) + "…"
	}
	return strconv.Quote(s)
}

// rawValue returns JSON that is no string as the Value of a FieldError.
func rawValue(json string) string { return strings.Clone(shorten(json, maxValue)) }

// shorten returns s, or about its first size bytes and an ellipsis.
func shorten(s string, size int) string {
	if n := cut(s, size); n < len(s) {
		return s[:n] + "…"
	}
	return s
}

// cut returns the length of the longest prefix of s that has at most size bytes
// and ends between characters.
func cut(s string, size int) int {
	if len(s) <= size {
		return len(s)
	}
	for n := size; n > size-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return n
		}
	}
	return size // not UTF-8
}
