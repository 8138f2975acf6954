package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"

	"github.com/daybook-log/daybook/event"
)

// namespace begins the name that every event_id is the hash of. It never
// changes: with another, everything imported before would be new again.
var namespace = [16]byte{0x5b, 0x0d, 0x9c, 0x2e, 0x41, 0x7a, 0x8f, 0x63, 0xa4, 0x1e, 0x6d, 0x09, 0xc7, 0x52, 0xeb, 0x38}

// envelopeName is where in metadata the envelope of a record is kept.
const envelopeName = "_envelope"

// assignedTime is the label of an event whose record holds no time, and whose
// timestamp is therefore that of its import.
const assignedTime = `"timestamp":"assigned"`

// builder writes events. It is reused from record to record.
type builder struct {
	dec event.Decoder
	buf []byte // the event as it is sent; what is decoded from it shares it
}

// mapped makes the event that rec's mapping reads from t.
func (b *builder) mapped(t *tree, rec record) ([]byte, error) {
	b.fields(t, rec.m)
	fields := len(b.buf)
	b.metadata(t.src, nil)
	var ev event.Event
	if err := b.decode(&ev); err != nil {
		return nil, err
	}
	id := identity(rec.m.name, rec.m.ids(t), ev.Metadata)
	if rec.envelope != nil {
		b.buf = b.buf[:fields]
		b.metadata(t.src, rec.envelope)
		if err := b.decode(&ev); err != nil {
			return nil, err
		}
	}
	ev.ID = id
	return canonical(&ev), nil
}

// fields begins the JSON of an event: all that the mapping's rules give.
func (b *builder) fields(t *tree, m *mapping) {
	b.buf = append(b.buf[:0], '{')
	timed := false
	for f, r := range m.fields {
		if r.get == nil {
			continue
		}
		f := event.Field(f)
		if v := cut(r.get(t), f.Info().MaxBytes); v != "" {
			b.member(f.String(), v)
			timed = timed || f == event.Timestamp
		}
	}
	b.buf = append(b.buf, `"labels":{`...)
	for name, r := range m.labels {
		if v := cut(r.get(t), maxLabel); v != "" {
			b.member(name, v)
		}
	}
	if !timed {
		b.buf = append(append(b.buf, assignedTime...), ',')
	}
	if b.buf[len(b.buf)-1] == ',' {
		b.buf = b.buf[:len(b.buf)-1]
	}
	b.buf = append(b.buf, `},`...)
}

// maxLabel is the longest value of a label, in bytes.
const maxLabel = 256

// member appends one name and string, and a comma. What is not UTF-8 in v is
// refused later on: metadata holds it as it stands.
func (b *builder) member(name, v string) {
	b.buf = append(b.buf, '"')
	b.buf = append(append(b.buf, name...), `":`...)
	if isPlain(v) {
		b.buf = append(append(append(b.buf, '"'), v...), `",`...)
		return
	}
	quoted, _ := json.Marshal(v) // a string always has a JSON form
	b.buf = append(append(b.buf, quoted...), ',')
}

// isPlain reports whether v stands in JSON as it is.
func isPlain(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// metadata ends the JSON of an event with the original, and the envelope that
// it travelled in.
func (b *builder) metadata(original, envelope []byte) {
	b.buf = append(b.buf, `"metadata":`...)
	if envelope == nil {
		b.buf = append(append(b.buf, original...), '}')
		return
	}
	open := len(original) - 1 // an object always ends in its brace
	b.buf = append(append(b.buf, original[:open]...), `,"`+envelopeName+`":`...)
	b.buf = append(append(b.buf, envelope...), `}}`...)
}

// native makes an event of Daybook's own from its JSON; what Daybook has set in
// it, if it was exported, is left out.
func (b *builder) native(src []byte) ([]byte, error) {
	b.buf = append(b.buf[:0], src...)
	var ev event.Event
	if err := b.decode(&ev); err != nil {
		return nil, err
	}
	if ev.ID.IsZero() {
		ev.ID = identity(native, nil, string(canonical(&ev)))
	}
	return canonical(&ev), nil
}

// decode reads the event in b.buf.
func (b *builder) decode(ev *event.Event) error {
	if len(b.buf) > event.MaxSize {
		// White space and escapes of the original do not count.
		if compact := compactJSON(b.buf); len(compact) < len(b.buf) {
			b.buf = compact
		}
	}
	b.dec.AllowSet = true // no mapping sets them; Daybook's own events may
	return b.dec.Decode(b.buf, ev)
}

func compactJSON(src []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, src) != nil {
		return src
	}
	return out.Bytes()
}

// ids returns the source's own identity of the record in t.
func (m *mapping) ids(t *tree) []string {
	out := make([]string, len(m.id))
	for i, path := range m.id {
		out[i] = t.text(t.find(0, splitPath(path)))
	}
	return out
}

// identity returns the event_id of a record; see the package comment.
func identity(format string, ids []string, record string) (id event.ID) {
	h := sha256.New()
	h.Write(namespace[:])
	for _, part := range append([]string{format}, ids...) {
		io.WriteString(h, part)
		h.Write([]byte{0})
	}
	h.Write([]byte{0})
	io.WriteString(h, record)
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// canonical returns the bytes that stand for ev.
func canonical(ev *event.Event) []byte { return event.AppendCanonical(nil, ev) }
