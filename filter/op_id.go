package filter

import (
	"bytes"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// idRange matches the identities that begin with the digits in text, which are
// those from lo to hi.
type idRange struct {
	lo, hi event.ID
	text   string // lower case, in the 36-character form, as far as it is given
}

const idWanted = "event_id takes a UUID such as 01980c5e-7a10-7cc3-98d2-4f6a1b2c3d4e, or its first digits and *, as in 01980c5e-7a*"

// compileID makes the operand of an event_id.
func compileID(v value) (operand, *fault) {
	if v.one == nil {
		return nil, v.literals()[0].fault(idWanted)
	}
	text := strings.ToLower(v.one.text)
	if v.one.parts == nil {
		id, ok := event.ParseID(text)
		if !ok {
			return nil, v.one.fault(idWanted)
		}
		return idRange{id, id, text}, nil
	}
	if len(v.one.parts) != 2 || v.one.parts[1] != "" || len(text) > 36 {
		return nil, v.one.fault(idWanted)
	}
	// Fill the digits that are open. A text that leaves no UUID either way has
	// something else than digits, or dashes elsewhere.
	const zeros, ones = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	hi, ok := event.ParseID(text + ones[len(text):])
	if !ok {
		return nil, v.one.fault(idWanted)
	}
	lo, _ := event.ParseID(text + zeros[len(text):]) // not ok for the nil UUID, which is where the range begins
	if len(text) == 36 {
		lo = hi
	}
	return idRange{lo, hi, text}, nil
}

func (r idRange) append(b []byte, _ place) []byte {
	b = append(b, r.text...)
	if len(r.text) < 36 {
		b = append(b, '*')
	}
	return b
}

// compareIDs orders identities as their texts are ordered.
func compareIDs(a, b event.ID) int { return bytes.Compare(a[:], b[:]) }
