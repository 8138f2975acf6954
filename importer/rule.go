package importer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A rule says where one field of an event comes from. The mappings are tables
// of rules, written with the words below; doc is the same thing in words, which
// docs/import.md shows and a test compares.
type rule struct {
	doc string
	get func(*tree) string // "" when the record does not say
}

// at is the first of the paths that holds a non-empty string, number or boolean.
// A path is names and array indexes with dots between; a name that holds a dot
// itself stands in double quotes.
func at(paths ...string) rule {
	split := make([][]string, len(paths))
	for i, p := range paths {
		split[i] = splitPath(p)
	}
	return rule{
		doc: "`" + strings.Join(paths, "`, `") + "`",
		get: func(t *tree) string {
			for _, p := range split {
				if s := t.text(t.find(0, p)); s != "" {
					return s
				}
			}
			return ""
		},
	}
}

// text is the string s, whatever the record holds.
func text(s string) rule {
	return rule{doc: `"` + s + `"`, get: func(*tree) string { return s }}
}

// first is the first of the rules that gives something.
func first(rules ...rule) rule {
	return rule{doc: docs(rules, ", else "), get: func(t *tree) string {
		for _, r := range rules {
			if s := r.get(t); s != "" {
				return s
			}
		}
		return ""
	}}
}

// join is what all of the rules give with sep between, or nothing if one of
// them gives nothing.
func join(sep string, rules ...rule) rule {
	return rule{doc: groups(rules, " "+sep+" "), get: func(t *tree) string {
		parts := make([]string, len(rules))
		for i, r := range rules {
			if parts[i] = r.get(t); parts[i] == "" {
				return ""
			}
		}
		return strings.Join(parts, sep)
	}}
}

// optional is join in which rules that give nothing are left out.
func optional(sep string, rules ...rule) rule {
	return rule{doc: groups(rules, " "+sep+" ") + " (those present)", get: func(t *tree) string {
		var parts []string
		for _, r := range rules {
			if s := r.get(t); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, sep)
	}}
}

// lower is r in lower case.
func lower(r rule) rule {
	return rule{doc: r.doc + " in lower case", get: func(t *tree) string { return strings.ToLower(r.get(t)) }}
}

// values translates what r gives. pairs are from, to, from, to …; from "*"
// stands for every other value.
func values(r rule, pairs ...string) rule {
	to := make(map[string]string, len(pairs)/2)
	words := make([]string, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		to[pairs[i]] = pairs[i+1]
		words = append(words, strings.Replace(pairs[i], "*", "any other", 1)+" → "+pairs[i+1])
	}
	return rule{doc: r.doc + " (" + strings.Join(words, ", ") + ")", get: func(t *tree) string {
		s := r.get(t)
		if s == "" {
			return ""
		}
		if v, ok := to[s]; ok {
			return v
		}
		return to["*"]
	}}
}

// trim is r without prefix and suffix, where it has them.
func trim(r rule, prefix, suffix string) rule {
	return rule{doc: r.doc + " without `" + prefix + suffix + "`", get: func(t *tree) string {
		return strings.TrimSuffix(strings.TrimPrefix(r.get(t), prefix), suffix)
	}}
}

// when is r in records that cond matches.
func when(cond matcher, r rule) rule {
	return rule{doc: r.doc + " if " + cond.doc, get: func(t *tree) string {
		if !cond.match(t) {
			return ""
		}
		return r.get(t)
	}}
}

// typed is a resource: kind, a slash, and the first of the paths that holds something.
func typed(kind string, paths ...string) rule { return join("/", text(kind), at(paths...)) }

// except is r unless it gives one of the values that stand for none.
func except(r rule, none ...string) rule {
	return rule{doc: r.doc + " unless " + strings.Join(none, " or "), get: func(t *tree) string {
		if s := r.get(t); !slices.Contains(none, s) {
			return s
		}
		return ""
	}}
}

// call is special logic: a named function, and what it does in words.
func call(doc string, get func(*tree) string) rule { return rule{doc: doc, get: get} }

func docs(rules []rule, sep string) string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.doc
	}
	return strings.Join(all, sep)
}

// groups is docs in which rules of several choices stand in brackets.
func groups(rules []rule, sep string) string {
	all := make([]string, len(rules))
	for i, r := range rules {
		if all[i] = r.doc; strings.Contains(r.doc, ", ") || strings.Contains(r.doc, " if ") {
			all[i] = "[" + r.doc + "]"
		}
	}
	return strings.Join(all, sep)
}

// splitPath takes a path of [at] apart.
func splitPath(path string) []string {
	var out []string
	for path != "" {
		var name string
		if rest, quoted := strings.CutPrefix(path, `"`); quoted {
			name, path, _ = strings.Cut(rest, `"`)
			path = strings.TrimPrefix(path, ".")
		} else {
			name, path, _ = strings.Cut(path, ".")
		}
		out = append(out, name)
	}
	return out
}

// A matcher recognises records of a format; doc says by what.
type matcher struct {
	doc   string
	match func(*tree) bool
}

// has matches records in which all paths lead to something, be it null.
func has(paths ...string) matcher {
	split := make([][]string, len(paths))
	for i, p := range paths {
		split[i] = splitPath(p)
	}
	return matcher{doc: "`" + strings.Join(paths, "` and `") + "`", match: func(t *tree) bool {
		for _, p := range split {
			if t.find(0, p) == none {
				return false
			}
		}
		return true
	}}
}

// is matches records in which path holds one of the texts.
func is(path string, want ...string) matcher {
	r := at(path)
	return matcher{doc: r.doc + " = " + strings.Join(want, " or "), match: func(t *tree) bool {
		return slices.Contains(want, r.get(t))
	}}
}

// starts matches records in which path holds a string that starts with prefix.
func starts(path, prefix string) matcher {
	r := at(path)
	return matcher{doc: r.doc + " = " + prefix + "…", match: func(t *tree) bool {
		return strings.HasPrefix(r.get(t), prefix)
	}}
}

func anyOf(ms ...matcher) matcher {
	return matcher{doc: matcherDocs(ms, ", or "), match: func(t *tree) bool {
		return slices.ContainsFunc(ms, func(m matcher) bool { return m.match(t) })
	}}
}

func allOf(ms ...matcher) matcher {
	return matcher{doc: matcherDocs(ms, " and "), match: func(t *tree) bool {
		return !slices.ContainsFunc(ms, func(m matcher) bool { return !m.match(t) })
	}}
}

func matcherDocs(ms []matcher, sep string) string {
	all := make([]string, len(ms))
	for i, m := range ms {
		if all[i] = m.doc; strings.Contains(m.doc, ", or ") {
			all[i] = "[" + m.doc + "]"
		}
	}
	return strings.Join(all, sep)
}

// cut returns s, shortened to at most limit bytes at a rune's boundary.
func cut(s string, limit int) string {
	if limit == 0 || len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
