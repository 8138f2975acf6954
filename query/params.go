package query

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
)

// maxFaults is how many faults of a request are reported. A request has room for
// thousands, and each answer would be a hundred times as long.
const maxFaults = 32

// Params reads the parameters of one request. [Params.Err] refuses those that
// were not asked for, because a misspelt parameter that is ignored makes a search
// wider than meant. All faults are gathered and reported together, each once, up
// to maxFaults.
type Params struct {
	values map[string][]string
	known  []string // what was asked for
	veil   *veil    // what hides positions in cursors and ids; nil: nothing does
	errs   ParamErrors
}

// NewParams returns a reader of values, as url.ParseQuery gives them.
func NewParams(values map[string][]string) *Params { return &Params{values: values} }

// Fail records a fault of a parameter.
func (p *Params) Fail(name, value, format string, args ...any) {
	p.fault(&ParamError{Param: name, Value: value, Reason: fmt.Sprintf(format, args...)})
}

// fault records e, whose name and value may be as long as they came.
func (p *Params) fault(e *ParamError) {
	e.Param, e.Value = shorten(e.Param), shorten(e.Value)
	again := slices.ContainsFunc(p.errs, func(o *ParamError) bool { return *o == *e })
	if !again && len(p.errs) < maxFaults {
		p.errs = append(p.errs, e)
	}
}

// reveal returns what a cursor or an id was before it was hidden.
func (p *Params) reveal(purpose, text string) (string, bool) {
	if p.veil == nil {
		return text, true
	}
	return p.veil.open(purpose, text)
}

// Text returns the value of a parameter and whether it was given. Giving it
// empty, more than once or in another encoding than UTF-8 is a fault.
func (p *Params) Text(name string) (string, bool) {
	v, ok := p.raw(name)
	switch {
	case !ok:
		return "", false
	case v == "":
		p.Fail(name, "", "is empty; leave the parameter out, or give it a value")
		return "", false
	case !utf8.ValidString(v):
		p.Fail(name, v, "is not UTF-8; percent-encode the bytes of its UTF-8 form")
		return "", false
	}
	return v, true
}

// raw is Text for a parameter that may be empty.
func (p *Params) raw(name string) (string, bool) {
	p.known = append(p.known, name)
	vs := p.values[name]
	switch {
	case len(vs) == 0:
		return "", false
	case len(vs) > 1:
		p.Fail(name, vs[1], "is given %d times; give it once (for one of several values: q=%s:(a or b))", len(vs), name)
		return "", false
	}
	return vs[0], true
}

// Int returns a whole number between lo and hi, def when absent.
func (p *Params) Int(name string, def, lo, hi int) int {
	v, ok := p.Text(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < lo || n > hi {
		p.Fail(name, v, "must be a whole number from %d to %d", lo, hi)
		return def
	}
	return n
}

// Choice returns one of options, the first when absent.
func (p *Params) Choice(name string, options ...string) string {
	v, ok := p.Text(name)
	if !ok {
		return options[0]
	}
	if !slices.Contains(options, v) {
		p.Fail(name, v, "must be %s%s", orList(options), suggest(v, options))
		return options[0]
	}
	return v
}

// Fields returns the set of event fields that a comma-separated list names, all
// of them when absent.
func (p *Params) Fields(name string) event.FieldSet {
	v, ok := p.Text(name)
	if !ok {
		return event.AllFields
	}
	var set event.FieldSet
	for part := range strings.SplitSeq(v, ",") {
		if len(p.errs) == maxFaults {
			break
		}
		part = strings.TrimSpace(part)
		if f, ok := event.FieldByName(part); ok {
			set |= event.Fields(f)
			continue
		}
		if top, _, ok := strings.Cut(part, "."); ok {
			if f, known := event.FieldByName(top); known {
				p.Fail(name, part, "a field can only be had whole: %s", f)
				continue
			}
		}
		p.Fail(name, part, "no event field is called that%s", suggest(part, fieldNames()))
	}
	return set
}

// Fresh returns what after_position and wait ask for.
func (p *Params) Fresh() Fresh {
	var f Fresh
	if v, ok := p.Text("after_position"); ok {
		pairs, err := parsePairs(v)
		if err != nil {
			p.Fail("after_position", v, "%v; give the partition and offset of a receipt", err)
		}
		for _, receipt := range pairs {
			f.After = f.After.Advance(receipt.Partition, receipt.Offset+1)
		}
	}
	if v, ok := p.Text("wait"); ok {
		d, err := parseDuration(v)
		if err != nil || d < 0 {
			p.Fail("wait", v, "must be how long the answer may wait for the newest events, such as 5s, or 0s to take what is there")
		}
		f.Wait = &d
	}
	return f
}

// Err refuses every parameter that nobody asked for and returns what was wrong,
// a [ParamErrors], or nil.
func (p *Params) Err() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if len(p.errs) < maxFaults && !slices.Contains(p.known, name) {
			p.Fail(name, first(p.values[name]), "no such parameter here%s", suggest(name, p.known))
		}
	}
	if len(p.errs) == 0 {
		return nil
	}
	return p.errs
}

func first(vs []string) string {
	if len(vs) == 0 {
		return ""
	}
	return vs[0]
}

// orList writes options as: a, b or c.
func orList(options []string) string {
	last := len(options) - 1
	if last == 0 {
		return options[0]
	}
	return strings.Join(options[:last], ", ") + " or " + options[last]
}

func fieldNames() []string {
	names := make([]string, event.NumFields)
	for f := range event.NumFields {
		names[f] = f.String()
	}
	return names
}

// parseDuration reads a Go duration, or a whole number of days (d) or weeks (w).
func parseDuration(s string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			count, err := strconv.ParseInt(n, 10, 32)
			if err != nil || count > int64(maxDuration/length) || count < -int64(maxDuration/length) {
				return 0, fmt.Errorf("%q is not a duration", s)
			}
			return time.Duration(count) * length, nil
		}
	}
	return time.ParseDuration(s)
}

const maxDuration = time.Duration(1<<63 - 1)
