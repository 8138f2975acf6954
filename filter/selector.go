package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// Selector names a value, or the values, of an event that a term looks at.
type Selector struct {
	Field event.Field
	// Path leads into the field.
	//
	//	labels    the key, as it stands in the event
	//	metadata  keys joined by dots, a key in quotes where the filter language
	//	          needs them: order.total, "a b".c
	//	changes   path, old or new; below old and new, keys as for metadata
	//	resource  "type": the part before the first slash, all of it if there is none
	//
	// "" is the field as a whole; the filter language can ask of a JSON field as
	// a whole only whether it is there.
	Path string
}

// resourceType is the name of the one selector that is not a field or a path
// into one.
const resourceType = "resource_type"

// step is a part of a path into a JSON document. An exact step is one key. Any
// other is one key or several joined by dots, and a document may nest them or
// join them as it likes: a.b leads to {"a":{"b":1}} and to {"a.b":1}, because
// the keys of real audit logs (k8s.io/name) hold dots.
type step struct {
	key   string
	exact bool
}

// ParseSelector parses user_id, labels.env, metadata.order.total, changes.path,
// resource_type. An error is a [*SyntaxError].
func ParseSelector(s string) (Selector, error) {
	if off := invalidUTF8(s); off >= 0 {
		return Selector{}, syntaxError(s, &fault{off: off, token: s[off : off+1], reason: "this is not valid UTF-8"})
	}
	sel, _, f := parseSelector(s)
	if f != nil {
		return Selector{}, syntaxError(s, f)
	}
	return sel, nil
}

// String returns s as the filter language spells it.
func (s Selector) String() string { return string(s.append(nil)) }

func (s Selector) append(b []byte) []byte {
	if s.Field == event.Resource && s.Path != "" {
		return append(b, resourceType...)
	}
	b = append(b, s.Field.String()...)
	if s.Path == "" {
		return b
	}
	b = append(b, '.')
	if s.Field == event.Labels && !isPlainKey(s.Path) {
		return appendQuoted(b, s.Path)
	}
	return append(b, s.Path...)
}

// Value returns the first value of the selector in the field's stored text
// (for a JSON field its canonical JSON), as text; "" when there is none. A
// number, true, false, null or an object is its JSON. It is what counts group
// by.
func (s Selector) Value(field string) string {
	switch {
	case field == "" || s.Path == "":
		return field
	case s.Field == event.Resource:
		return typeOf(field)
	}
	var buf [4]step
	steps, f := s.appendSteps(buf[:0])
	if f != nil {
		return ""
	}
	value := ""
	walk(field, steps, func(raw string) bool {
		if raw[0] == '[' {
			return true // its elements follow
		}
		value = scalarOf(raw).text
		return false
	})
	return value
}

// typeOf returns the type of a resource.
func typeOf(resource string) string {
	before, _, _ := strings.Cut(resource, "/")
	return before
}

// compilePath returns the steps of a selector that may be written by hand.
func compilePath(s Selector) ([]step, *fault) { return s.appendSteps(nil) }

func (s Selector) appendSteps(dst []step) ([]step, *fault) {
	if s.Path == "" {
		return dst, nil
	}
	switch s.Field {
	case event.Resource:
		if s.Path == "type" {
			return dst, nil
		}
	case event.Labels:
		return append(dst, step{s.Path, true}), nil
	case event.Changes:
		part, rest, deeper := strings.Cut(s.Path, ".")
		if part != "path" && part != "old" && part != "new" || part == "path" && deeper {
			return nil, &fault{token: s.Path, reason: "changes has changes.path, changes.old and changes.new, and paths below the last two, as in changes.new.email"}
		}
		dst = append(dst, step{part, true})
		if !deeper {
			return dst, nil
		}
		dst, f := appendPath(dst, rest)
		if f != nil {
			f.off += len(part) + 1
		}
		return dst, f
	case event.Metadata:
		return appendPath(dst, s.Path)
	}
	return nil, &fault{token: s.Path, reason: fmt.Sprintf("%s has no parts; write %[1]s:value", s.Field)}
}

// appendPath parses keys joined by dots. Keys without quotes that follow each
// other become one step.
func appendPath(dst []step, path string) ([]step, *fault) {
	open := -1 // where in path the step without quotes began that may go on
	for i := 0; ; {
		if i < len(path) && path[i] == '"' {
			end := quoteEnd(path, i)
			if end < 0 {
				return nil, &fault{off: i, token: path[i:], reason: "this quote is not closed"}
			}
			key, f := unquote(path[i:end])
			if f != nil {
				f.off += i
				return nil, f
			}
			if end < len(path) && path[end] != '.' {
				return nil, &fault{off: end, token: path[end:], reason: "a dot or a colon is expected after a quoted key"}
			}
			dst = append(dst, step{key, true})
			i, open = end, -1
		} else {
			end := i + len(path[i:])
			if dot := strings.IndexByte(path[i:], '.'); dot >= 0 {
				end = i + dot
			}
			if !isPlainKey(path[i:end]) {
				return nil, &fault{off: i, token: path[i:end],
					reason: `a key is expected here, as in metadata.order.total; a key with other characters stands in quotes, as in metadata."a b".c; there are no wildcards in keys`}
			}
			if open < 0 {
				open = i
				dst = append(dst, step{key: path[i:end]})
			} else {
				dst[len(dst)-1].key = path[open:end]
			}
			i = end
		}
		if i == len(path) {
			return dst, nil
		}
		i++ // the dot
	}
}

// isPlainKey reports whether a key needs no quotes.
func isPlainKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r == ':' || isSpecial(r) })
}

// parseSelector parses a selector; the fault's offset counts from its start.
func parseSelector(s string) (Selector, []step, *fault) {
	if s == "" {
		return Selector{}, nil, &fault{token: ":", reason: "a field's name is expected before the colon, as in user_id:alice; quote the text if the colon is part of it"}
	}
	if s == resourceType {
		return Selector{Field: event.Resource, Path: "type"}, nil, nil
	}
	name, path, dotted := strings.Cut(s, ".")
	field, ok := event.FieldByName(name)
	if !ok {
		return Selector{}, nil, unknownField(name)
	}
	sel := Selector{Field: field, Path: path}
	at := len(name) + 1
	switch {
	case !dotted:
		return sel, nil, nil
	case field.Info().Kind != event.KindJSON:
		return Selector{}, nil, &fault{off: at, token: path, reason: fmt.Sprintf("%s has no parts; write %[1]s:value", name)}
	case path == "":
		return Selector{}, nil, &fault{token: s, reason: fmt.Sprintf("a key is expected after the dot, as in %s:%s", exampleSelector(field), exampleValue(sel))}
	case field == event.Labels:
		key, f := labelKey(path)
		if f != nil {
			f.off += at
			return Selector{}, nil, f
		}
		sel.Path = key
	}
	steps, f := compilePath(sel)
	if f != nil {
		f.off += at
		return Selector{}, nil, f
	}
	if field != event.Labels {
		sel.Path = pathText(field, steps)
	}
	return sel, steps, nil
}

// labelKey parses a label's key. Labels do not nest, so a dot is part of it.
func labelKey(path string) (string, *fault) {
	if path[0] == '"' && quoteEnd(path, 0) == len(path) {
		key, f := unquote(path)
		if f == nil && key == "" {
			f = &fault{token: path, reason: "a label's key is not empty"}
		}
		return key, f
	}
	if !isPlainKey(path) {
		return "", &fault{token: path, reason: `a label's key is expected here, as in labels.env; a key with other characters stands in quotes, as in labels."cost centre"; there are no wildcards in keys`}
	}
	return path, nil
}

// pathText returns the one spelling of a path into changes or metadata.
func pathText(field event.Field, steps []step) string {
	var b []byte
	for i, s := range steps {
		if i > 0 {
			b = append(b, '.')
		}
		if s.exact && (i > 0 || field == event.Metadata) {
			b = appendQuoted(b, s.key)
		} else {
			b = append(b, s.key...)
		}
	}
	return string(b)
}

func unknownField(name string) *fault {
	f := &fault{token: name}
	if near := nearestField(name); near != "" {
		f.reason = fmt.Sprintf("there is no such field; did you mean %s? Quote the text if the colon is part of it", near)
		return f
	}
	f.reason = "there is no such field; quote the text if the colon is part of it. Fields: " + strings.Join(selectorNames(), ", ")
	return f
}

func selectorNames() []string {
	var names []string
	for f := range event.NumFields {
		names = append(names, f.String())
		if f == event.Resource {
			names = append(names, resourceType)
		}
	}
	return names
}

// nearestField returns the field that a misspelt one most likely meant, or "".
func nearestField(name string) string {
	name = strings.ToLower(name)
	if len(name) > 32 {
		return ""
	}
	best, bestCost := "", max(1, len(name)/3)+1
	names := selectorNames()
	for _, n := range names {
		if cost := event.EditDistance(name, n, bestCost-1); cost < bestCost {
			best, bestCost = n, cost
		}
	}
	if best != "" || len(name) < 2 {
		return best
	}
	for _, n := range names {
		if strings.HasPrefix(n, name) || slices.Contains(strings.Split(n, "_"), name) {
			return n
		}
	}
	return ""
}

// exampleSelector and exampleValue make the examples in error messages.
func exampleSelector(f event.Field) string {
	switch f {
	case event.Labels:
		return "labels.env"
	case event.Metadata:
		return "metadata.order.total"
	case event.Changes:
		return "changes.path"
	}
	return f.String()
}

func exampleValue(s Selector) string {
	info := s.Field.Info()
	switch info.Kind {
	case event.KindID:
		return "0198*"
	case event.KindTime:
		return ">=-1h"
	case event.KindEnum:
		return info.Values[0]
	case event.KindAddr:
		return "10.0.0.0/8"
	case event.KindInt:
		return ">100"
	}
	switch s.Field {
	case event.UserID, event.OnBehalfOf:
		return "alice"
	case event.Action:
		return "document.*"
	case event.Resource:
		if s.Path == "type" {
			return "document"
		}
		return "document/42"
	}
	return "value"
}
