package event

import (
	"fmt"
	"net/netip"
	"strings"
)

// Limits of labels and changes.
const (
	MaxLabels     = 32   // labels of an event
	MaxLabelKey   = 128  // bytes of a label's key
	MaxLabelValue = 1024 // bytes of a label's value
	MaxChanges    = 1024 // elements of changes
)

// field parses the value of field f at src[i] into e.
func (d *Decoder) field(e *Event, f Field, i int) int {
	info := &fields[f]
	if info.Kind == KindJSON {
		return d.jsonField(e, f, i)
	}
	if at(d.src, i) != '"' {
		return d.notText(e, f, i)
	}
	quote, flags := scanString(d.src, i+1)
	if quote < 0 {
		return d.openString(i)
	}
	text := stringOf(d.src[i+1 : quote])
	if flags != 0 {
		d.root = info.Name
		b, ok := d.unescape(i+1, quote, flags)
		d.root = ""
		if b == nil {
			return -1
		}
		if !ok {
			d.bad |= 1 << f
			return quote + 1
		}
		if flags&hasEscape != 0 {
			text = d.keep(b)
		}
	}
	if text == "" {
		return quote + 1
	}
	switch info.Kind {
	case KindText:
		if len(text) > info.MaxBytes && info.MaxBytes > 0 {
			d.tooLong(f, text)
		} else {
			*e.text(f) = text
		}
	case KindEnum:
		d.enum(e, f, text)
	case KindAddr:
		d.addr(e, f, text)
	case KindID:
		var ok bool
		if e.ID, ok = ParseID(text); !ok {
			d.refuse(f, quoteValue(text), reasonID)
		}
	case KindTime:
		var reason string
		if e.Timestamp, reason = parseTime(text); reason != "" {
			d.refuse(f, quoteValue(text), reason)
		}
	}
	return quote + 1
}

const reasonID = "must be a UUID of 36 characters such as 0198c0de-7a51-7000-8000-000000000001, and not the nil UUID"

// notText parses the value of a field that is kept as no JSON and was not sent
// as a string: a number for the timestamp, else an empty value.
func (d *Decoder) notText(e *Event, f Field, i int) int {
	c := at(d.src, i)
	d.root = f.String()
	end := d.rewrite(i)
	d.root = ""
	if end < 0 || isAbsent(stringOf(d.out)) {
		return end
	}
	switch f {
	case Timestamp:
		if c != '-' && !isDigit(c) {
			d.refuse(f, d.rewritten(), reasonTime)
			break
		}
		var reason string
		if e.Timestamp, reason = parseEpoch(stringOf(d.out)); reason != "" {
			d.refuse(f, d.rewritten(), reason)
		}
	case EventID:
		d.refuse(f, d.rewritten(), reasonID)
	default:
		d.refuse(f, d.rewritten(), "must be a string")
	}
	return end
}

// isAbsent reports whether a canonical JSON value stands for an absent field.
func isAbsent(json string) bool {
	return json == "null" || json == `""` || json == "{}" || json == "[]"
}

func (d *Decoder) tooLong(f Field, text string) {
	d.refuse(f, quoteValue(text), fmt.Sprintf("is %d bytes long; at most %d are accepted", len(text), f.Info().MaxBytes))
}

func (d *Decoder) enum(e *Event, f Field, text string) {
	values := f.Info().Values
	for _, v := range values {
		if v == text {
			*e.text(f) = v // the table's copy, which keeps no input alive
			return
		}
	}
	last := len(values) - 1
	d.refuse(f, quoteValue(text), "must be "+strings.Join(values[:last], ", ")+" or "+values[last])
}

func (d *Decoder) addr(e *Event, f Field, text string) {
	limit := f.Info().MaxBytes
	if len(text) > limit {
		d.tooLong(f, text)
		return
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		d.refuse(f, quoteValue(text), "must be an IP address such as 192.0.2.1 or 2001:db8::1, without a port or a network mask")
		return
	}
	var buf [2 * 64]byte
	if b := addr.AppendTo(buf[:0]); string(b) != text {
		if text = d.keep(b); len(text) > limit {
			d.tooLong(f, text)
			return
		}
	}
	*e.text(f) = text
}

// jsonField parses the value of a field that is kept as canonical JSON.
func (d *Decoder) jsonField(e *Event, f Field, i int) int {
	if end := canonicalEnd(d.src, i, 2); end >= 0 {
		if text := stringOf(d.src[i:end]); d.checkJSON(f, text) {
			*e.text(f) = text
		}
		return end
	}
	known := len(d.errs)
	d.root = f.String()
	end := d.rewrite(i)
	d.root = ""
	if end < 0 {
		return -1
	}
	if len(d.errs) > known {
		d.bad |= 1 << f
	} else if d.checkJSON(f, stringOf(d.out)) {
		*e.text(f) = d.keep(d.out)
	}
	return end
}

// checkJSON reports whether text, which is canonical, is a value for field f and
// not empty.
func (d *Decoder) checkJSON(f Field, text string) bool {
	if isAbsent(text) {
		return false
	}
	known := len(d.errs)
	switch {
	case f == Changes && text[0] != '[':
		d.refuse(f, rawValue(text), `must be an array of objects such as {"path":"email","old":1,"new":2}`)
	case f != Changes && text[0] != '{':
		d.refuse(f, rawValue(text), "must be a JSON object")
	case f == Changes:
		d.checkChanges(text)
	case f == Labels:
		d.checkLabels(text)
	}
	return len(d.errs) == known
}

func (d *Decoder) checkLabels(text string) {
	count := 0
	EachMember(text, func(key, raw string) bool {
		count++
		if len(key) == 0 || len(key) > MaxLabelKey {
			d.refuseIn(Labels, "", quoteValue(key), fmt.Sprintf("has a key of %d bytes; 1 to %d are accepted", len(key), MaxLabelKey))
		}
		if value, ok := UnquoteJSON(raw); !ok {
			d.refuseIn(Labels, "."+key, rawValue(raw), "must be a string")
		} else if len(value) > MaxLabelValue {
			d.refuseIn(Labels, "."+key, quoteValue(value), fmt.Sprintf("is %d bytes long; at most %d are accepted", len(value), MaxLabelValue))
		}
		return true
	})
	if count > MaxLabels {
		d.refuse(Labels, "", fmt.Sprintf("holds %d labels; at most %d are accepted", count, MaxLabels))
	}
}

func (d *Decoder) checkChanges(text string) {
	count := 0
	EachElement(text, func(change string) bool {
		if change[0] == '{' {
			d.checkChange(count, change)
		} else {
			d.refuseIn(Changes, fmt.Sprintf("[%d]", count), rawValue(change), "must be an object of path, old and new")
		}
		count++
		return true
	})
	if count > MaxChanges {
		d.refuse(Changes, "", fmt.Sprintf("holds %d changes; at most %d are accepted", count, MaxChanges))
	}
}

func (d *Decoder) checkChange(n int, change string) {
	hasPath := false
	EachMember(change, func(key, raw string) bool {
		switch key {
		case "path":
			hasPath = true
			if path, ok := UnquoteJSON(raw); !ok || path == "" {
				d.refuseIn(Changes, fmt.Sprintf("[%d].path", n), rawValue(raw), "must be a string that is not empty")
			}
		case "old", "new":
		default:
			d.refuseIn(Changes, fmt.Sprintf("[%d].%s", n, key), rawValue(raw), "is not accepted here: a change has path, old and new")
		}
		return true
	})
	if !hasPath {
		d.refuseIn(Changes, fmt.Sprintf("[%d].path", n), "", "is required: what was changed")
	}
}

// refuseIn reports what is wrong with something inside of field f.
func (d *Decoder) refuseIn(f Field, path, value, reason string) {
	d.bad |= 1 << f
	d.report(shorten(f.String()+path, maxPath), value, reason)
}
