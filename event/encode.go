package event

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// AppendCanonical appends the canonical form of e to dst: RFC 8785 JSON of its
// fields, keys in order, without the fields that are absent and those that
// Daybook sets. Decoding it gives e again but for these.
//
// Numbers inside metadata and changes that a double cannot hold stand as they
// were written, see [AppendCanonicalJSON].
func AppendCanonical(dst []byte, e *Event) []byte {
	start := len(dst)
	for i := range canonicalOrder {
		dst = appendMember(dst, e, canonicalOrder[i])
	}
	return closeObject(dst, start)
}

// AppendJSON appends the JSON object by which the API shows e, with those of its
// fields that are in the set and not absent, in the order of the field table. It
// adds the fields that Daybook sets.
func AppendJSON(dst []byte, e *Event, set FieldSet) []byte {
	start := len(dst)
	for f := range NumFields {
		if set.Has(f) {
			dst = appendMember(dst, e, f)
		}
	}
	return closeObject(dst, start)
}

// appendMember appends field f of e, unless it is absent, with its key and a
// comma before it.
func appendMember(dst []byte, e *Event, f Field) []byte {
	key := memberKeys[f]
	if p := e.text(f); p != nil {
		if *p == "" {
			return dst
		}
		dst = append(dst, key...)
		if f >= Changes {
			return append(dst, *p...)
		}
		return AppendString(dst, *p)
	}
	switch f {
	case EventID:
		if e.ID.IsZero() {
			return dst
		}
		dst = append(dst, key...)
		dst = append(dst, '"')
		dst = e.ID.Append(dst)
		return append(dst, '"')
	case Timestamp:
		return appendTimeMember(dst, key, e.Timestamp)
	case ReceivedAt:
		return appendTimeMember(dst, key, e.ReceivedAt)
	case Partition:
		return strconv.AppendInt(append(dst, key...), int64(e.Partition), 10)
	default: // Offset
		return strconv.AppendInt(append(dst, key...), e.Offset, 10)
	}
}

func appendTimeMember(dst []byte, key string, ns int64) []byte {
	if ns == NoTime {
		return dst
	}
	dst = append(dst, key...)
	dst = append(dst, '"')
	dst = AppendTime(dst, ns)
	return append(dst, '"')
}

// closeObject makes an object of the members from dst[start] on, each of which
// has a comma before it.
func closeObject(dst []byte, start int) []byte {
	if len(dst) == start {
		return append(dst, "{}"...)
	}
	dst[start] = '{'
	return append(dst, '}')
}

// memberKeys holds ,"name": for every field.
var memberKeys = func() (keys [NumFields]string) {
	for f := range fields {
		keys[f] = `,"` + fields[f].Name + `":`
	}
	return keys
}()

// canonicalOrder is the fields of the canonical form, sorted by name.
var canonicalOrder = func() (order []Field) {
	for f := range NumFields {
		if !fields[f].Set {
			order = append(order, f)
		}
	}
	slices.SortFunc(order, func(a, b Field) int { return strings.Compare(fields[a].Name, fields[b].Name) })
	return order
}()

// AppendString appends s, which is UTF-8, as a JSON string with the escapes that
// RFC 8785 asks for and no others. [UnquoteJSON] is its inverse.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		n := plainPrefix(bytesOf(s))
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// plainPrefix returns how many bytes at the start of b need no escape.
func plainPrefix(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i : i+8])
		quote := w ^ lowBits*'"'
		slash := w ^ lowBits*'\\'
		odd := ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-lowBits*0x20)&^w) & highBits
		if odd != 0 {
			return i + bits.TrailingZeros64(odd)>>3
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}
