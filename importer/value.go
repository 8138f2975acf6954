package importer

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// This file holds the rules that read a value's meaning: times, addresses,
// status codes, and the operation that a name speaks of.

// layouts are the ways in which sources write a time. One that names no zone
// is UTC: that is what those sources mean.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02T15:04:05.999999999-0700",
}

// timeAt is the first of the paths that holds a time, as RFC 3339 in UTC. A
// number is a Unix time; its size tells seconds, ms, µs and ns apart. A time
// that an event cannot hold, such as the 0001-01-01 by which programs mean none,
// is none.
func timeAt(paths ...string) rule {
	rules := make([]rule, len(paths))
	for i, p := range paths {
		rules[i] = at(p)
	}
	return rule{doc: at(paths...).doc, get: func(t *tree) string {
		for _, r := range rules {
			if when, ok := parseTime(r.get(t)); ok && when.Year() > 1677 && when.Year() < 2262 {
				return when.UTC().Format(time.RFC3339Nano)
			}
		}
		return ""
	}}
}

func parseTime(s string) (time.Time, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return time.Time{}, false
	}
	if len(s) > 4 && s[4] == '-' {
		for _, layout := range layouts {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	// Each bound is the year 5138 in the unit below it.
	switch {
	case n < 1e11:
		ns, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		return time.Unix(n, ns), err == nil
	case n < 1e14:
		return time.UnixMilli(n), true
	case n < 1e17:
		return time.UnixMicro(n), true
	case n < math.MaxInt64:
		return time.Unix(0, n), true
	}
	return time.Time{}, false
}

// addressAt is the first of the paths that holds an IP address, without the port
// if one follows. Anything else ("AWS Internal", a host's name) stays in
// metadata alone.
func addressAt(paths ...string) rule {
	rules := make([]rule, len(paths))
	for i, p := range paths {
		rules[i] = at(p)
	}
	return rule{doc: at(paths...).doc, get: func(t *tree) string {
		for _, r := range rules {
			s := r.get(t)
			if a, err := netip.ParseAddr(s); err == nil {
				return a.String()
			}
			if ap, err := netip.ParseAddrPort(s); err == nil {
				return ap.Addr().String()
			}
		}
		return ""
	}}
}

// httpOutcome is what the HTTP status code that r gives means.
func httpOutcome(r rule) rule {
	return rule{doc: r.doc + " (401, 403 → denied; 400 and above → failure; below → success)", get: func(t *tree) string {
		code, err := strconv.Atoi(r.get(t))
		switch {
		case err != nil || code < 100 || code > 599:
			return ""
		case code == 401 || code == 403:
			return "denied"
		case code >= 400:
			return "failure"
		}
		return "success"
	}}
}

// denial is "denied" if what r gives speaks of a refusal, "failure" if it says
// anything else, and nothing if it is absent.
func denial(r rule) rule {
	return rule{doc: "denied if " + r.doc + " speaks of one (denied, unauthorized, forbidden …), failure if it is there at all", get: func(t *tree) string {
		s := strings.ToLower(r.get(t))
		if s == "" {
			return ""
		}
		for _, w := range []string{"denied", "unauthorized", "notauthorized", "not authorized", "forbidden", "disallowed", "unauthenticated"} {
			if strings.Contains(s, w) {
				return "denied"
			}
		}
		return "failure"
	}}
}

// operations maps the verbs that sources name actions with to operations.
var operations = wordTable(map[string]string{
	"create": "create add added new insert insertjob register import upload put run launch post schedule generate install installed issue invite allocate enroll enable created provision copy copied clone fork publish subscribe enabled",
	"read":   "read get list describe view watch head query select search lookup batchget scan show fetch download downloaded export exported check test preview peek browse access accessed viewed",
	"update": "update updated start stop modify modified set patch change changed edit edited replace rename renamed move moved attach detach associate disassociate assign unassign grant granted revoke revoked rotate reset resize restore tag untag transfer alter merge disable disabled suspend suspended resume reboot lock unlock archive unarchive write promote demote apply bind unbind expanded approve approved restrict restricted authorize",
	"delete": "delete deleted remove removed destroy destroyed drop terminate deregister purge uninstall uninstalled trash cancel deallocate release erase truncate deletecollection",
	"login":  "login logon signin authenticate consolelogin sso",
})

func wordTable(lists map[string]string) map[string]string {
	table := map[string]string{}
	for op, words := range lists {
		for w := range strings.FieldsSeq(words) {
			table[w] = op
		}
	}
	return table
}

// verb is the operation that the name r gives speaks of: the first known verb
// in its last part (after the last dot or slash), else in the whole of it.
func verb(r rule) rule {
	return rule{doc: "verb in " + r.doc, get: func(t *tree) string { return operationOf(r.get(t)) }}
}

func operationOf(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(name, "/action"), "/ACTION")
	last := name[strings.LastIndexAny(name, "./:")+1:]
	if op := firstVerb(last); op != "" || last == name {
		return op
	}
	return firstVerb(name)
}

// firstVerb returns the operation of the first word of name that is a verb.
// Words end where case turns upward and at anything that is no letter.
func firstVerb(name string) string {
	if op := operations[strings.ToLower(name)]; op != "" {
		return op
	}
	start := 0
	lastUpper := true
	for i, n := 0, 0; i < len(name); i += n {
		var c rune
		c, n = utf8.DecodeRuneInString(name[i:]) // of a byte that is no UTF-8, n is 1
		upper := unicode.IsUpper(c)
		switch {
		case !unicode.IsLetter(c):
			if op := operations[strings.ToLower(name[start:i])]; op != "" {
				return op
			}
			start = i + n
		case upper && !lastUpper:
			if op := operations[strings.ToLower(name[start:i])]; op != "" {
				return op
			}
			start = i
		}
		lastUpper = upper
	}
	return operations[strings.ToLower(name[start:])]
}
