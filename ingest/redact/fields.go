package redact

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// MaxFields is how many selectors [Options].Fields may have.
const MaxFields = 256

// path leads into a JSON field to the values to be redacted.
type path []step

// step is a part of a path. An exact step is one key; any other is one key or
// several joined by dots, which a document may nest or join as it likes, as in the
// filter language.
type step struct {
	key   string
	exact bool
}

// fieldSet is what [Options].Fields names.
type fieldSet struct {
	text     []event.Field
	labels   []path
	metadata []path
	changes  []path // below old and below new; an empty one is all of both
	odd      bool   // a path ends in a key that keySet cannot rule out
}

// add adds the field or path that a selector names.
func (s *fieldSet) add(selector string, m Method) error {
	sel, err := filter.ParseSelector(selector)
	if err != nil {
		return fmt.Errorf("redact.fields %q: %w", selector, err)
	}
	if reason := refusal(sel, m); reason != "" {
		return fmt.Errorf("redact.fields %q: %s", selector, reason)
	}
	switch sel.Field {
	case event.Labels:
		s.labels = append(s.labels, path{{sel.Path, true}})
	case event.Metadata:
		s.metadata = append(s.metadata, steps(sel.Path))
	case event.Changes:
		_, below, _ := strings.Cut(sel.Path, ".")
		s.changes = append(s.changes, steps(below))
	default:
		if !slices.Contains(s.text, sel.Field) {
			s.text = append(s.text, sel.Field)
		}
	}
	return nil
}

// refusal returns why a selector cannot be redacted, "" if it can.
func refusal(sel filter.Selector, m Method) string {
	info := sel.Field.Info()
	switch {
	case sel.Field == event.Resource && sel.Path != "":
		return "it is a part of resource; resource is accepted, with redact.method hmac"
	case sel.Field == event.Changes && sel.Path == "path":
		return "it tells what was changed and not to what; changes.old and changes.new and paths below them are accepted"
	case info.Kind == event.KindJSON && sel.Path == "":
		return fmt.Sprintf("a path into it is accepted, as in %s", map[event.Field]string{
			event.Labels: "labels.token", event.Metadata: "metadata.card.number", event.Changes: "changes.new.iban"}[sel.Field])
	case info.Set:
		return "Daybook sets it; nothing secret is in it"
	case sel.Field == event.TenantID:
		return "it keeps tenants apart, so everything else depends on it; a field of text other than this one is accepted"
	case sel.Field == event.Action:
		return "it tells what happened, without which the event says nothing; user_id and resource are accepted, with redact.method hmac"
	case info.Required && m != HMAC:
		return "every event has it and is found by it; it is accepted with redact.method hmac, which keeps equal values equal"
	case info.Kind == event.KindEnum:
		return fmt.Sprintf("it is one of %s, and a marker is none of them", strings.Join(info.Values, ", "))
	case info.Kind == event.KindAddr:
		return "it is an IP address, and a marker is none"
	case info.Kind == event.KindID:
		return "it is a UUID by which copies of the event are known, and a marker is none"
	case info.Kind == event.KindTime:
		return "it is a time, and a marker is none"
	}
	return ""
}

// steps takes apart a path as [filter.ParseSelector] spells it.
func steps(text string) (p path) {
	for text != "" {
		if text[0] == '"' {
			end := 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			key, _ := event.UnquoteJSON(text[:end+1])
			p = append(p, step{key, true})
			text = strings.TrimPrefix(text[end+1:], ".")
			continue
		}
		plain, rest, quoted := strings.Cut(text, `."`)
		p = append(p, step{key: plain})
		if text = ""; quoted {
			text = `"` + rest
		}
	}
	return p
}

// tails returns the keys that the values which p leads to may stand beside.
func (p path) tails() []string {
	if len(p) == 0 {
		return nil
	}
	last := p[len(p)-1]
	keys := []string{last.key}
	for i := range len(last.key) {
		if last.key[i] == '.' && !last.exact {
			keys = append(keys, last.key[i+1:])
		}
	}
	return keys
}

// dotted returns p as the path of a change is written.
func (p path) dotted() string {
	keys := make([]string, len(p))
	for i, s := range p {
		keys[i] = s.key
	}
	return strings.Join(keys, ".")
}
