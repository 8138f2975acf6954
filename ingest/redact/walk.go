package redact

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// pass rewrites the JSON fields of one event. Its methods that walk a value take
// the index where it begins and return the one after it, -1 if it makes no sense.
type pass struct {
	r      *Redactor
	tenant string

	src    string // canonical JSON
	out    []byte // what of src is rewritten
	done   int    // how much of src that is
	n      int    // values replaced
	limit  int    // longest string, in bytes
	places []place
	may    []*pattern // those that may match a string of src
}

// place is how far a path of a selector has been followed: into its step-th step,
// of whose key the first off bytes are behind.
type place struct {
	path      path
	step, off int
}

// maxPooled is the most memory that a pass keeps.
const maxPooled = 2 * event.MaxSize

func (p *pass) release() {
	if cap(p.out) > maxPooled {
		return
	}
	p.tenant, p.src = "", ""
	p.r.passes.Put(p)
}

// begin makes json what is walked.
func (p *pass) begin(json string, limit int) {
	p.src, p.out, p.done, p.n, p.limit = json, p.out[:0], 0, 0, limit
	p.places, p.may = p.places[:0], p.r.mayMatch(p.may[:0], json)
}

// finish puts the result into the field and returns how many values were replaced.
func (p *pass) finish(field *string) int {
	if p.n > 0 {
		p.out = append(p.out, p.src[p.done:]...)
		*field = string(p.out)
	}
	return p.n
}

// document rewrites labels or metadata, below which the paths begin.
func (p *pass) document(field *string, paths []path, limit int) int {
	p.begin(*field, limit)
	p.startPaths(paths)
	p.value(0, plain, 0)
	return p.finish(field)
}

func (p *pass) startPaths(paths []path) {
	for _, path := range paths {
		if len(path) > 0 {
			p.places = append(p.places, place{path: path})
		}
	}
}

// changes rewrites changes: an array of {new, old, path}.
func (p *pass) changes(field *string) int {
	p.begin(*field, event.MaxSize)
	for i := 1; p.at(i) == '{'; i++ {
		if i = p.change(i); p.at(i) != ',' {
			break
		}
	}
	return p.finish(field)
}

// change walks one element of changes. Its own three keys are no secret ones
// whatever the settings say: it would be no change without them.
func (p *pass) change(i int) int {
	var where string
	event.EachMember(p.src[i:], func(key, value string) bool {
		if key == "path" {
			where, _ = event.UnquoteJSON(value)
		}
		return true
	})
	return p.members(i, func(key string) kind {
		if key == "path" {
			return plain
		}
		p.startPaths(p.r.fields.changes)
		return p.kindOfChange(where)
	})
}

// kindOfChange returns what is secret of old and new when this is their path.
func (p *pass) kindOfChange(where string) kind {
	k := p.r.keys.kind(lastKey(where)) & kinds
	dotted := strings.Trim(strings.ReplaceAll(where, "/", "."), ".")
	for _, path := range p.r.fields.changes {
		tail, ok := strings.CutSuffix(dotted, path.dotted())
		if len(path) == 0 || ok && (tail == "" || tail[len(tail)-1] == '.') {
			k = all
		}
	}
	return k
}

// lastKey returns the last key of the path of a change: password in user.password,
// /user/password and user.password[0].
func lastKey(where string) string {
	for {
		key := where[strings.LastIndexAny(where, "./")+1:]
		before := where[:len(where)-len(key)]
		if open := strings.IndexByte(key, '['); open >= 0 {
			key = key[:open]
		}
		if strings.Trim(key, "0123456789") != "" || before == "" {
			return key
		}
		where = before[:len(before)-1]
	}
}

// value walks the value at src[i], of which k is secret. The places from first on
// are those that paths have come to.
func (p *pass) value(i int, k kind, first int) int {
	switch p.at(i) {
	case '{':
		if k == scalars {
			k = plain
		}
		return p.object(i, k, first)
	case '[':
		if i++; p.at(i) == ']' {
			return i + 1
		}
		for {
			if i = p.value(i, k, first); p.at(i) != ',' {
				break
			}
			i++
		}
		if p.at(i) != ']' {
			return -1
		}
		return i + 1
	case '"':
		end := p.stringEnd(i + 1)
		if end < 0 {
			return -1
		}
		p.string(i, end, k)
		return end + 1
	case 't', 'n':
		return i + len("true")
	case 'f':
		return i + len("false")
	}
	end := i
	for end < len(p.src) && strings.IndexByte(",]}", p.src[end]) < 0 {
		end++
	}
	if end == i {
		return -1
	}
	p.number(i, end, k)
	return end
}

// object walks the object at src[i], of which k is secret.
func (p *pass) object(i int, k kind, first int) int {
	level := len(p.places)
	return p.members(i, func(key string) kind {
		below := max(k, p.r.keys.kind(key)&kinds)
		if level > first && p.follow(key, first, level) {
			below = all
		}
		return below
	})
}

// members walks the members of the object at src[i]. enter gets each key as it
// stands in src, returns what of the value is secret, and adds the places that
// paths come to by it.
func (p *pass) members(i int, enter func(key string) kind) int {
	level := len(p.places)
	if i++; p.at(i) == '}' {
		return i + 1
	}
	for {
		end := p.stringEnd(i + 1)
		if p.at(i) != '"' || p.at(end+1) != ':' {
			return -1
		}
		k := enter(p.src[i+1 : end])
		i = p.value(end+2, k, level)
		p.places = p.places[:level]
		switch p.at(i) {
		case ',':
			i++
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// follow adds the places that those from first to level come to by a key as it
// stands in src, and reports whether one comes to its end.
func (p *pass) follow(key string, first, level int) (found bool) {
	if strings.IndexByte(key, '\\') >= 0 {
		key, _ = event.UnquoteJSON(`"` + key + `"`)
	}
	for _, at := range p.places[first:level] {
		s := at.path[at.step]
		rest := s.key[at.off:]
		switch {
		case rest == key:
			if at.step+1 == len(at.path) {
				found = true
			} else {
				p.places = append(p.places, place{path: at.path, step: at.step + 1})
			}
		case !s.exact && len(key) < len(rest) && rest[len(key)] == '.' && rest[:len(key)] == key:
			p.places = append(p.places, place{at.path, at.step, at.off + len(key) + 1})
		}
	}
	return found
}

// string replaces the string between the quotes at start and end, or what of it
// matches a pattern.
func (p *pass) string(start, end int, k kind) {
	raw := p.src[start+1 : end]
	if raw == "" || k == plain && len(p.may) == 0 {
		return
	}
	text := raw
	if strings.IndexByte(raw, '\\') >= 0 {
		text, _ = event.UnquoteJSON(p.src[start : end+1])
	}
	if k != plain {
		if !isMarker(text) {
			p.replace(start, end+1, text)
		}
		return
	}
	if out, changed := p.r.replace(p.tenant, text, p.may, p.limit); changed {
		p.copyTo(start, end+1)
		p.out = event.AppendString(p.out, out)
	}
}

// number replaces the number at src[start:end] if it is secret, or a card's.
func (p *pass) number(start, end int, k kind) {
	literal := p.src[start:end]
	if k != plain || p.r.cards && len(literal) <= maxCard && isCardNumber(literal) {
		p.replace(start, end, literal)
	}
}

// replace puts a marker in place of src[start:end], whose text is given.
func (p *pass) replace(start, end int, text string) {
	p.copyTo(start, end)
	p.out = append(p.out, '"')
	p.out = p.r.marker.append(p.out, p.tenant, text)
	p.out = append(p.out, '"')
}

// copyTo copies src up to start; what stands in place of src[start:end] is next.
func (p *pass) copyTo(start, end int) {
	p.out = append(p.out, p.src[p.done:start]...)
	p.done = end
	p.n++
}

// stringEnd returns the index of the closing quote of the string whose first byte
// is src[i].
func (p *pass) stringEnd(i int) int {
	for i < len(p.src) {
		quote := strings.IndexByte(p.src[i:], '"')
		if quote < 0 {
			return -1
		}
		quote += i
		for i <= quote {
			slash := strings.IndexByte(p.src[i:quote], '\\')
			if slash < 0 {
				return quote
			}
			i += slash + 2 // beyond the quote if that is what is escaped
		}
	}
	return -1
}

// at returns src[i], or 0, which no JSON token holds, outside of src.
func (p *pass) at(i int) byte {
	if i >= 0 && i < len(p.src) {
		return p.src[i]
	}
	return 0
}
