package event

import "strings"

// The functions below look into the canonical JSON that an Event's changes,
// labels and metadata are kept as. They are safe on any text: where one is not
// canonical JSON they stop at the first byte that makes no sense to them. The
// strings that they hand out share the text's memory.

// EachMember calls fn for every member of a canonical JSON object in order,
// until fn returns false. The key is unescaped, the value is canonical JSON. It
// does nothing for what is not an object.
func EachMember(json string, fn func(key, value string) bool) {
	if json == "" || json[0] != '{' {
		return
	}
	b := bytesOf(json)
	for i := 1; at(b, i) == '"'; {
		quote, flags := scanString(b, i+1)
		if quote < 0 || at(b, quote+1) != ':' {
			return
		}
		key := json[i+1 : quote]
		if flags&hasEscape != 0 {
			if key, _ = UnquoteJSON(json[i : quote+1]); key == "" {
				return
			}
		}
		end := skipValue(b, quote+2)
		if end < 0 || !fn(key, json[quote+2:end]) || at(b, end) != ',' {
			return
		}
		i = end + 1
	}
}

// EachElement calls fn for every element of a canonical JSON array in order,
// until fn returns false. The value is canonical JSON. It does nothing for what
// is not an array.
func EachElement(json string, fn func(value string) bool) {
	if json == "" || json[0] != '[' {
		return
	}
	b := bytesOf(json)
	for i := 1; ; {
		end := skipValue(b, i)
		if end < 0 || !fn(json[i:end]) || at(b, end) != ',' {
			return
		}
		i = end + 1
	}
}

// EachString calls fn with every string value of a canonical JSON text, at any
// depth and in order, until fn returns false. Keys are no values. It allocates
// only for a string that holds an escape.
func EachString(json string, fn func(s string) bool) {
	b := bytesOf(json)
	for i := 0; ; {
		n := strings.IndexByte(json[i:], '"')
		if n < 0 {
			return
		}
		i += n
		quote, flags := scanString(b, i+1)
		if quote < 0 {
			return
		}
		if at(b, quote+1) != ':' { // only a key stands before a colon
			s := json[i+1 : quote]
			if flags&hasEscape != 0 {
				var ok bool
				if s, ok = UnquoteJSON(json[i : quote+1]); !ok {
					return
				}
			}
			if !fn(s) {
				return
			}
		}
		i = quote + 1
	}
}

// UnquoteJSON returns the text of a JSON string, and whether raw is one. It
// allocates only when raw holds an escape.
func UnquoteJSON(raw string) (s string, isString bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	body := raw[1 : len(raw)-1]
	if strings.IndexByte(body, '\\') < 0 {
		return body, true
	}
	out, bad, _ := appendUnescaped(make([]byte, 0, len(body)), bytesOf(body))
	if bad >= 0 {
		return "", false
	}
	return stringOf(out), true
}

// skipValue returns the end of the canonical JSON value at b[i], -1 when there
// is none. It goes by quotes and brackets alone.
func skipValue(b []byte, i int) int {
	depth := 0
	for start := i; i < len(b); {
		switch b[i] {
		case '"':
			quote, _ := scanString(b, i+1)
			if quote < 0 {
				return -1
			}
			i = quote + 1
			if depth == 0 {
				return i
			}
		case '{', '[':
			depth++
			i++
		case '}', ']', ',':
			if depth == 0 {
				if i == start {
					return -1
				}
				return i
			}
			if b[i] != ',' {
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		default:
			i++
			if i == len(b) && depth == 0 {
				return i
			}
		}
	}
	return -1
}
