package filter

import (
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// mask is what is hidden inside one JSON field: a tree of keys without dots. In
// labels, which do not nest, it is a list of keys with whatever is in them.
type mask struct {
	field  event.Field
	keys   []hiddenKey
	pieces []string // a document that has something hidden has one of them, see mayHide
}

// hiddenKey is a key on the way to something hidden. Its value is hidden if there
// is nothing below. Those beside each other are sorted by name.
type hiddenKey struct {
	name  string
	below []hiddenKey
}

// newMask makes the mask of joined paths.
func newMask(f event.Field, paths []string) *mask {
	m := &mask{field: f}
	for _, path := range paths {
		m.keys = m.insert(m.keys, path)
	}
	for _, path := range m.paths() {
		piece := path
		if f != event.Labels {
			keys := strings.Split(path, ".")
			piece = slices.MaxFunc(keys, func(a, b string) int { return len(a) - len(b) })
		}
		if piece = string(appendJSON(nil, piece)); !slices.Contains(m.pieces, piece) {
			m.pieces = append(m.pieces, piece)
		}
	}
	return m
}

// cut returns the first key of a joined path, or of a key of the document.
func (m *mask) cut(path string) (name, rest string, deeper bool) {
	if m.field == event.Labels {
		return path, "", false
	}
	return strings.Cut(path, ".")
}

// insert adds a joined path to keys. What lies below a hidden path is hidden.
func (m *mask) insert(keys []hiddenKey, path string) []hiddenKey {
	name, rest, deeper := m.cut(path)
	i, found := search(keys, name)
	switch {
	case !found:
		k := hiddenKey{name: name}
		if deeper {
			k.below = m.insert(nil, rest)
		}
		return slices.Insert(keys, i, k)
	case keys[i].below == nil:
	case deeper:
		keys[i].below = m.insert(keys[i].below, rest)
	default:
		keys[i].below = nil
	}
	return keys
}

func search(keys []hiddenKey, name string) (int, bool) {
	return slices.BinarySearchFunc(keys, name, func(k hiddenKey, name string) int { return strings.Compare(k.name, name) })
}

// paths returns the joined paths of m, none of which lies below another.
func (m *mask) paths() []string { return appendPaths(nil, "", m.keys) }

func appendPaths(dst []string, before string, keys []hiddenKey) []string {
	for _, k := range keys {
		if k.below == nil {
			dst = append(dst, before+k.name)
		} else {
			dst = appendPaths(dst, before+k.name+".", k.below)
		}
	}
	return dst
}

// find says what becomes of a member of an object, at the place that keys are of:
// its value is hidden; or something in it is, what lies below; or, without either,
// it is visible.
func (m *mask) find(keys []hiddenKey, key string) (below []hiddenKey, hidden bool) {
	for {
		name, rest, deeper := m.cut(key)
		i, found := search(keys, name)
		switch {
		case !found:
			return nil, false
		case keys[i].below == nil:
			return nil, true
		case !deeper:
			return keys[i].below, false
		}
		keys, key = keys[i].below, rest
	}
}

// mayHide reports whether something hidden may be in a document, by looking for
// the longest key of each path. False is certain.
func (m *mask) mayHide(doc string) bool {
	for _, piece := range m.pieces {
		if piece == "" {
			return true
		}
		for i := 0; ; i++ {
			n := strings.Index(doc[i:], piece)
			if n < 0 {
				break
			}
			i += n
			if before, end := i-1, i+len(piece); before >= 0 && end < len(doc) && m.endsKey(doc[before]) && m.endsKey(doc[end]) {
				return true
			}
		}
	}
	return false
}

// endsKey reports whether a key of a path ends at c.
func (m *mask) endsKey(c byte) bool { return c == '"' || c == '.' && m.field != event.Labels }

// hides reports whether something in raw is hidden.
func (m *mask) hides(raw string, keys []hiddenKey) bool {
	found := false
	switch raw[0] {
	case '{':
		event.EachMember(raw, func(key, v string) bool {
			below, hidden := m.find(keys, key)
			found = hidden || below != nil && m.hides(v, below)
			return !found
		})
	case '[':
		event.EachElement(raw, func(v string) bool {
			found = m.hides(v, keys)
			return !found
		})
	}
	return found
}

// eachString calls fn with every string value in raw that is not hidden, until fn
// returns false; it reports whether it did not.
func (m *mask) eachString(raw string, keys []hiddenKey, fn func(s string) bool) bool {
	more := true
	every := func(s string) bool {
		more = fn(s)
		return more
	}
	switch raw[0] {
	case '{':
		event.EachMember(raw, func(key, v string) bool {
			switch below, hidden := m.find(keys, key); {
			case hidden:
			case below != nil:
				more = m.eachString(v, below, fn)
			default:
				event.EachString(v, every)
			}
			return more
		})
	case '[':
		event.EachElement(raw, func(v string) bool {
			more = m.eachString(v, keys, fn)
			return more
		})
	default:
		event.EachString(raw, every)
	}
	return more
}

// apply returns the document without what is hidden, "" when nothing is left.
func (m *mask) apply(doc string) string {
	if doc == "" || !m.mayHide(doc) || !m.hides(doc, m.keys) {
		return doc
	}
	var buf [1024]byte
	return string(m.appendVisible(buf[:0], doc, m.keys))
}

// appendVisible appends what of raw is not hidden. It appends nothing for an
// object or array whose members are all hidden.
func (m *mask) appendVisible(dst []byte, raw string, keys []hiddenKey) []byte {
	start, end := len(dst), byte(0)
	switch raw[0] {
	case '{':
		end = '}'
		event.EachMember(raw, func(key, v string) bool {
			below, hidden := m.find(keys, key)
			if hidden {
				return true
			}
			mark := len(dst)
			dst = appendJSON(append(dst, `,"`...), key)
			dst = append(dst, `":`...)
			if below == nil {
				dst = append(dst, v...)
				return true
			}
			value := len(dst)
			if dst = m.appendVisible(dst, v, below); len(dst) == value {
				dst = dst[:mark]
			}
			return true
		})
	case '[':
		end = ']'
		event.EachElement(raw, func(v string) bool {
			mark := len(dst)
			dst = append(dst, ',')
			if dst = m.appendVisible(dst, v, keys); len(dst) == mark+1 {
				dst = dst[:mark]
			}
			return true
		})
	}
	switch {
	case len(dst) > start: // members, each with a comma before it
		dst[start] = raw[0]
		return append(dst, end)
	case len(raw) > 2 && end != 0:
		return dst
	}
	return append(dst, raw...) // a scalar, {} or []
}
