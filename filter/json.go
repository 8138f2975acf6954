package filter

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// walk calls fn for every value that the steps lead to in the canonical JSON
// raw, until fn returns false; it reports whether it did not. An array stands
// for each of its elements, on the way and at the end; at the end, fn gets the
// array first, then its elements.
func walk(raw string, steps []step, fn func(raw string) bool) bool {
	if len(steps) == 0 {
		return walkLeaf(raw, fn)
	}
	return walkFrom(raw, steps[0], steps[1:], fn)
}

func walkLeaf(raw string, fn func(raw string) bool) bool {
	if !fn(raw) {
		return false
	}
	more := true
	if raw[0] == '[' {
		event.EachElement(raw, func(v string) bool {
			more = walkLeaf(v, fn)
			return more
		})
	}
	return more
}

// walkFrom is walk where first is what is left of the first step.
func walkFrom(raw string, first step, rest []step, fn func(raw string) bool) bool {
	more := true
	switch raw[0] {
	case '[':
		event.EachElement(raw, func(v string) bool {
			more = walkFrom(v, first, rest, fn)
			return more
		})
	case '{':
		event.EachMember(raw, func(key, v string) bool {
			if key == first.key {
				more = walk(v, rest, fn)
			} else if n := len(key); !first.exact && n < len(first.key) && first.key[n] == '.' && first.key[:n] == key {
				more = walkFrom(v, step{key: first.key[n+1:]}, rest, fn)
			}
			return more
		})
	}
	return more
}

// scalarOf returns the scalar that a JSON value is. It allocates only for a
// string that is written with a backslash.
func scalarOf(raw string) scalar {
	switch raw[0] {
	case '"':
		if strings.IndexByte(raw, '\\') < 0 {
			return scalar{raw[1 : len(raw)-1], jsonString}
		}
		s, _ := event.UnquoteJSON(raw)
		return scalar{s, jsonString}
	case '{', '[':
		return scalar{raw, jsonContainer}
	case 't', 'f', 'n':
		return scalar{raw, jsonWord}
	}
	return scalar{raw, jsonNumber}
}

// minPiece is the length from which a piece of a value is rare enough to be
// worth more than the key, which most documents of one kind have.
const minPiece = 4

// containsJSON returns a piece of JSON that every matching document has.
func (t *Term) containsJSON() string {
	if len(t.steps) == 0 {
		return ""
	}
	last := t.steps[len(t.steps)-1]
	key := string(appendJSON(nil, last.key)) + `":`
	if dot := strings.LastIndexByte(last.key, '.'); dot >= 0 && !last.exact {
		key = string(appendJSON(nil, last.key[dot+1:])) + `":` // the document may join the keys or not
	} else {
		key = `"` + key
	}
	if len(t.ops) > 1 {
		return key
	}
	switch op := t.ops[0].(type) {
	case equal:
		piece := string(appendJSON(nil, op.text))
		switch {
		case op.number.set || op.text == "true" || op.text == "false" || op.text == "null":
			return key // not only a string can be equal to it
		case t.Selector.Field == event.Labels:
			return key + `"` + piece + `"`
		case len(piece)+2 >= minPiece:
			return `"` + piece + `"`
		}
	case pattern:
		if piece := string(appendJSON(nil, op.substring())); len(piece) >= minPiece {
			return piece
		}
	}
	return key
}

// appendJSON appends s as it stands between the quotes of a canonical JSON
// string (RFC 8785, 3.2.2.2).
func appendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	plain := 0
	for plain < len(s) && s[plain] >= ' ' && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	b, s = append(b, s[:plain]...), s[plain:]
	for i := range len(s) {
		c := s[i]
		switch k := strings.IndexByte(escapeValues, c); {
		case k >= 0 && c != '/':
			b = append(b, '\\', escapeLetters[k])
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
