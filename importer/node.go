package importer

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// tree is one JSON document, taken apart without copying: every node is a range
// of src. It is reused from record to record.
type tree struct {
	src   []byte
	nodes []node
	fold  bool // names match in any case: some exports lower-case column names
}

// node is one value of a tree. The children of an object or array follow it
// directly, each followed by its own children; next leads to its sibling.
type node struct {
	start, end       int32 // the value, quotes and brackets included
	keyStart, keyEnd int32 // the name it has in its object, without quotes
	next             int32 // index of the next sibling; 0 if none
}

// load takes src apart. src must be valid JSON (json.Valid).
func (t *tree) load(src []byte) {
	t.src, t.nodes = src, t.nodes[:0]
	t.value(t.space(0), 0, 0)
}

func (t *tree) space(i int) int {
	for i < len(t.src) && (t.src[i] == ' ' || t.src[i] == '\n' || t.src[i] == '\t' || t.src[i] == '\r') {
		i++
	}
	return i
}

// value adds the value at i, whose name lies at [ks, ke), and returns where it ends.
func (t *tree) value(i, ks, ke int) int {
	n := len(t.nodes)
	t.nodes = append(t.nodes, node{start: int32(i), keyStart: int32(ks), keyEnd: int32(ke)})
	switch c := t.src[i]; c {
	case '{', '[':
		i = t.children(i, c == '{')
	case '"':
		i = t.stringEnd(i)
	default:
		i = t.wordEnd(i)
	}
	t.nodes[n].end = int32(i)
	return i
}

// children adds what the object or array opened at i holds and returns where it ends.
func (t *tree) children(i int, object bool) int {
	prev := -1
	for i = t.space(i + 1); t.src[i] != '}' && t.src[i] != ']'; i = t.space(i) {
		if t.src[i] == ',' {
			i = t.space(i + 1)
		}
		ks, ke := 0, 0
		if object {
			ks = i + 1
			i = t.stringEnd(i)
			ke = i - 1
			i = t.space(t.space(i) + 1) // over the colon
		}
		if prev >= 0 {
			t.nodes[prev].next = int32(len(t.nodes))
		}
		prev = len(t.nodes)
		i = t.value(i, ks, ke)
	}
	return i + 1
}

// wordEnd returns where the number, true, false or null at i ends.
func (t *tree) wordEnd(i int) int {
	for ; i < len(t.src); i++ {
		switch t.src[i] {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return i
}

// stringEnd returns where the string that begins at i ends, past its quote.
func (t *tree) stringEnd(i int) int {
	for i++; t.src[i] != '"'; i++ {
		if t.src[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// none is the index that stands for "no such value". The root has index 0 and
// is no one's child, so 0 also ends a list of siblings.
const none = -1

// kind returns the first byte of value n: { [ " t f n or that of a number.
func (t *tree) kind(n int) byte { return t.src[t.nodes[n].start] }

// raw returns value n as it is written.
func (t *tree) raw(n int) []byte { return t.src[t.nodes[n].start:t.nodes[n].end] }

// first returns the first child of n, or none.
func (t *tree) first(n int) int {
	if n+1 < len(t.nodes) && t.nodes[n+1].start < t.nodes[n].end {
		return n + 1
	}
	return none
}

// next returns the sibling after n, or none.
func (t *tree) next(n int) int {
	if s := t.nodes[n].next; s != 0 {
		return int(s)
	}
	return none
}

// find returns the value that path leads to from n, or none.
func (t *tree) find(n int, path []string) int {
	for _, name := range path {
		if n == none {
			return none
		}
		switch t.kind(n) {
		case '{':
			n = t.member(n, name)
		case '[':
			n = t.element(n, name)
		default:
			return none
		}
	}
	return n
}

func (t *tree) member(n int, name string) int {
	folded := none
	for c := t.first(n); c != none; c = t.next(c) {
		switch k := t.src[t.nodes[c].keyStart:t.nodes[c].keyEnd]; {
		case string(k) == name, len(k) > len(name) && bytes.IndexByte(k, '\\') >= 0 && unquote(k) == name:
			return c
		case t.fold && folded == none && len(k) == len(name) && strings.EqualFold(string(k), name):
			folded = c
		}
	}
	return folded
}

func (t *tree) element(n int, index string) int {
	i, err := strconv.Atoi(index)
	if err != nil {
		return none
	}
	c := t.first(n)
	for ; c != none && i > 0; i-- {
		c = t.next(c)
	}
	return c
}

// text returns value n as a field holds it: a string without its quotes, a
// number or boolean as written. Null, objects, arrays and none are "".
func (t *tree) text(n int) string {
	if n == none {
		return ""
	}
	switch raw := t.raw(n); raw[0] {
	case '"':
		return unquote(raw[1 : len(raw)-1])
	case '{', '[', 'n':
		return ""
	default:
		return string(raw)
	}
}

// unquote returns the string whose JSON form, without quotes, is s.
func unquote(s []byte) string {
	for _, c := range s {
		if c == '\\' {
			var out string
			quoted := append(append([]byte{'"'}, s...), '"')
			if json.Unmarshal(quoted, &out) == nil {
				return out
			}
			break
		}
	}
	return string(s)
}
