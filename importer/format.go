package importer

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// rules gives each field of an event its rule; a field without one is absent.
type rules [event.NumFields]rule

// mapping is one format: how its records are known and where each field of an
// event comes from. Required fields end in a text so that they always hold.
type mapping struct {
	name   string
	title  string  // what it is, for people
	detect matcher // recognises a record of it
	fold   bool    // names match in any case

	// id is the source's own identity of a record; where its parts are absent,
	// the record's content alone is its identity.
	id []string

	// envelopes are paths at which a record of another shape may carry a record
	// of this format as a string.
	envelopes []string

	// parseText turns a line of text into the record that it stands for. Only
	// formats that are not JSON have one.
	parseText func(line string) ([]byte, bool)

	fields rules
	labels map[string]rule
}

// native is the name of Daybook's own format, which needs no mapping.
const native = "ndjson"

// mappings are all formats, in the order in which a record is tried on them:
// those that leave no doubt first.
var mappings = []*mapping{
	&k8s, &cloudtrail, &vault, &gcp, &auditd, &azure, &gsuite, &okta, &auth0, &onepassword, &snowflake, &slack, &github,
}

// Auto is the format that recognises each record by itself.
const Auto = "auto"

// Formats returns the names that [New] knows, [Auto] first.
func Formats() []string {
	names := []string{native}
	for _, m := range mappings {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return slices.Insert(names, 0, Auto)
}

// isNative recognises Daybook's own events by the fields that each must have.
var isNative = has("user_id", "action", "resource")

// record is one record, recognised: its tree is im.inner.
type record struct {
	m        *mapping // nil: Daybook's own
	envelope []byte   // what it travelled in, its own text emptied; nil if none
}

// recognise finds out what the JSON record in im.outer is and leaves the record
// proper in im.inner.
func (im *Importer) recognise(src []byte) (record, bool) {
	im.inner.load(src)
	if im.only == nil {
		im.inner.fold = false
		if isNative.match(&im.inner) {
			return record{}, true
		}
	}
	for _, m := range im.candidates {
		im.inner.fold = m.fold
		for _, path := range m.envelopes {
			if rec, ok := im.unwrap(m, path); ok {
				return rec, true
			}
		}
		if m.detect.match(&im.inner) {
			return record{m: m}, true
		}
	}
	return record{}, false
}

// unwrap opens the envelope in im.inner that carries a record of m at path.
func (im *Importer) unwrap(m *mapping, path string) (record, bool) {
	n := im.inner.find(0, splitPath(path))
	if n == none || im.inner.kind(n) != '"' {
		return record{}, false
	}
	s := strings.TrimSpace(im.inner.text(n))
	inner := []byte(s)
	if m.parseText != nil {
		var ok bool
		if inner, ok = m.parseText(s); !ok {
			return record{}, false
		}
	} else if !strings.HasPrefix(s, "{") || !json.Valid(inner) {
		return record{}, false
	}
	im.carried.fold = m.fold
	im.carried.load(inner)
	if !m.detect.match(&im.carried) {
		return record{}, false
	}
	outer, at := im.inner.src, im.inner.nodes[n]
	envelope := slices.Concat(outer[:at.start], []byte(`""`), outer[at.end:])
	im.inner, im.carried = im.carried, im.inner
	return record{m: m, envelope: envelope}, true
}
