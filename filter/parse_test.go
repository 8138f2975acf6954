package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// TestString shows the one spelling that a tree is printed in.
func TestString(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{``, `*`},
		{`not *`, `-*`},
		{`user_id:"alice"  AND  action:read`, `user_id:alice action:read`},
		{`((user_id:a)) ((b or (c or d)))`, `user_id:a (b or c or d)`},
		{`a (b c) and d`, `a b c d`},
		{`a b or c`, `a b or c`},
		{`not (a b)`, `-(a b)`},
		{`not not a`, `a`},
		{`---a`, `-a`},
		{`user_id:a or action:x or user_id:b or user_id:a`, `user_id:(a or b) or action:x`},
		{`user_id:(a b -c)`, `user_id:a user_id:b -user_id:c`},
		{`user_id:(a or (b or not c))`, `user_id:(a or b) or -user_id:c`},
		{`user_id:("and" or "-x" or "a:b" or ">")`, `user_id:("and" or "-x" or "a:b" or ">")`},
		{`user_id:and`, `user_id:and`},
		{`user_id:-x`, `user_id:-x`},
		{`user_id:a\ b`, `user_id:"a b"`},
		{`user_id:a\ *\**`, `user_id:a\ *\**`},
		{`user_id:(\-a* or b\:*)`, `user_id:(\-a* or b\:*)`},
		{`user_id:*\.\.*`, `user_id:*.\.*`},
		{`user_id:"\u0000\u00e9\/\t\ud83d\ude00"`, `user_id:"\u0000é/\t😀"`},
		{`user_id:"a".."b c"`, `user_id:a.."b c"`},
		{`user_id:a..`, `user_id:>=a`},
		{`user_id:..a`, `user_id:<=a`},
		{`user_id:".a".."b."`, `user_id:".a".."b."`},
		{`"AND"`, `"AND"`},
		{`"a:b"`, `"a:b"`},
		{`\-x`, `"-x"`},
		{`source_ip:10.9.9.9/8`, `source_ip:10.0.0.0/8`},
		{`source_ip:::FFFF:10.0.0.1`, `source_ip:10.0.0.1`},
		{`source_ip:2001:DB8:0:0::/32`, `source_ip:2001:db8::/32`},
		{`source_ip:>10.0.0.1`, `source_ip:10.0.0.2..255.255.255.255`},
		{`event_id:0198ABCD*`, `event_id:0198abcd*`},
		{`offset:(>10 or 5)`, `offset:(>=11 or 5)`},
		{`offset:("-5" or 007)`, `offset:("-5" or 7)`},
		{`timestamp:2026-11-01T00:00:00Z..2026-11-01T23:59:59Z`, `timestamp:2026-11-01`},
		{`timestamp:2026-01..2026-12`, `timestamp:2026`},
		{`timestamp:2026-01..2026-11`, `timestamp:2026-01-01..2026-11-30`},
		{`timestamp:>2026`, `timestamp:>=2027-01-01`},
		{`timestamp:<2026-11-01T10:00:00.5Z`, `timestamp:<=2026-11-01T10:00:00.499Z`},
		{`timestamp:-15m..now`, `timestamp:2026-11-30T11:45:00Z..2026-11-30T12:00:00.000000000Z`},
		{`timestamp:>=-1d`, `timestamp:>=2026-11-29T12:00:00Z`},
		{`timestamp:1793615415250`, `timestamp:2026-11-02T10:30:15.250Z`},
		{`labels."env":x`, `labels.env:x`},
		{`labels."a b":x`, `labels."a b":x`},
		{`metadata.a."b.c".d:x`, `metadata.a."b.c".d:x`},
		{`metadata."a":x`, `metadata."a":x`},
		{`metadata."path":x`, `metadata."path":x`},
		{`changes.new."a b".c:x`, `changes.new."a b".c:x`},
		{`changes.old."path":x`, `changes.old."path":x`},
		{`*alice*`, `alice`},
	} {
		x, err := ParseAt(tt.query, testNow)
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		if got := x.String(); got != tt.want {
			t.Errorf("%s\n got  %s\n want %s", tt.query, got, tt.want)
		}
		checkTree(t, tt.query, x, testEvents())
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		query  string
		column int
		token  string
		reason string // a part of it
	}{
		// Selectors.
		{`userid:alice`, 1, "userid", "did you mean user_id?"},
		{`a user:alice`, 3, "user", "did you mean user_id?"},
		{`ip:10.0.0.1`, 1, "ip", "did you mean source_ip?"},
		{`TIMESTAMP:2026`, 1, "TIMESTAMP", "did you mean timestamp?"},
		{`resource.type:x`, 10, "type", "resource has no parts"},
		{`foo:bar`, 1, "foo", "quote the text if the colon is part of it. Fields: event_id, timestamp, user_id"},
		{`http://x`, 1, "http", "quote the text"},
		{`:x`, 1, ":", "a field's name is expected"},
		{`user_id.x:y`, 9, "x", "user_id has no parts"},
		{`labels:prod`, 8, "prod", "labels takes a key, as in labels.env:value"},
		{`metadata:x`, 10, "x", "metadata takes a key"},
		{`metadata.:x`, 1, "metadata.", "a key is expected after the dot"},
		{`labels.:x`, 1, "labels.", "a key is expected after the dot"},
		{`metadata.a..b:x`, 12, "", "a key is expected here"},
		{`metadata.a.*:x`, 12, "*", "no wildcards in keys"},
		{`metadata."a"b:x`, 13, "b", "a dot or a colon"},
		{`metadata."\q":x`, 11, `\q`, "in quotes the escapes are"},
		{`labels.a"b:x`, 9, `"`, "a space is expected"},
		{`labels."":x`, 8, `""`, "not empty"},
		{`changes.foo:x`, 9, "foo", "changes.path, changes.old and changes.new"},
		{`changes.path.x:y`, 9, "path.x", "changes.path, changes.old and changes.new"},
		{`"user_id":x`, 10, ":", "without quotes"},

		// Values.
		{`user_id:`, 1, "user_id:", "the value is missing"},
		{`user_id: alice`, 1, "user_id:", "follows the colon directly, as in user_id:alice"},
		{`a (outcome:)`, 4, "outcome:", "as in outcome:success"},
		{`user_id:""`, 9, `""`, "write -user_id:* for none"},
		{`user_id:alice"x"`, 14, `"`, "a space is expected here"},
		{`user_id:alice(x)`, 14, "(", "put the whole value in quotes"},
		{`user_id:"a"b`, 12, "b", "after a closing quote"},
		{`user_id:"abc`, 9, `"abc`, "this quote is not closed"},
		{`user_id:CORP\alice`, 13, `\a`, `write \\ for a backslash`},
		{`user_id:x\`, 10, `\`, `write \\ for a backslash`},
		{`user_id:"a\*"`, 11, `\*`, "stands for itself"},
		{`user_id:"\u12"`, 10, `\u12`, "four hexadecimal digits"},
		{`user_id:"\ud800"`, 10, `\ud800`, "two of them"},
		{`größe größe user_id:"\x"`, 22, `\x`, "the escapes are"},
		{`outcome:ok`, 9, "ok", "outcome is one of success, failure, denied, unknown"},
		{`outcome:Success`, 9, "Success", "outcome is one of success"},
		{`outcome:x*`, 9, "x*", "outcome is one of"},
		{`outcome:(success or ok)`, 21, "ok", "outcome is one of"},
		{`operation:>read`, 12, "read", "they have no order"},
		{`user_type:robot`, 11, "robot", "user_type is one of user, service, api_key"},
		{`source_ip:10.0.0`, 11, "10.0.0", "source_ip takes an address"},
		{`source_ip:10.0.0.0/33`, 11, "10.0.0.0/33", "source_ip takes an address"},
		{`source_ip:10.0.0.1..::1`, 21, "::1", "of one family"},
		{`source_ip:10.0.0.2..10.0.0.1`, 11, "10.0.0.2", "the range is empty"},
		{`source_ip:>255.255.255.255`, 12, "255.255.255.255", "no address lies beyond"},
		{`event_id:0198`, 10, "0198", "its first digits and *"},
		{`event_id:0198x*`, 10, "0198x*", "event_id takes a UUID"},
		{`event_id:*4e`, 10, "*4e", "event_id takes a UUID"},
		{`event_id:>0198`, 11, "0198", "event_id takes a UUID"},
		{`event_id:00000000-0000-0000-0000-000000000000`, 10, "00000000-0000-0000-0000-000000000000", "event_id takes a UUID"},
		{`timestamp:yesterday`, 11, "yesterday", "a time is a date or a part of one"},
		{`timestamp:2026-13`, 11, "2026-13", "a time is"},
		{`timestamp:2026-02-30`, 11, "2026-02-30", "a time is"},
		{`timestamp:2026-11-01T1`, 11, "2026-11-01T1", "a time is"},
		{`timestamp:1761955200`, 11, "1761955200", "an epoch integer in ms, µs or ns"},
		{`timestamp:1200`, 11, "1200", "the years 1678 to 2261"},
		{`timestamp:-15m`, 11, "-15m", "write >=-15m for everything since"},
		{`timestamp:now`, 11, "now", "a single moment"},
		{`timestamp:>=-15x`, 13, "-15x", "a time is"},
		{`timestamp:>=-99999999999w`, 13, "-99999999999w", "the years 1678 to 2261"},
		{`timestamp:2026*`, 11, "2026*", "wildcards do not work here"},
		{`timestamp:2026-11..2026-10`, 11, "2026-11", "the range is empty"},
		{`offset:x`, 8, "x", "an integer is expected"},
		{`offset:99999999999999999999`, 8, "99999999999999999999", "an integer is expected"},
		{`offset:1.5`, 8, "1.5", "an integer is expected"},
		{`offset:9..1`, 8, "9", "the range is empty"},

		// Ranges and comparisons.
		{`user_id:>`, 9, ">", "a value is expected directly after >"},
		{`user_id:>= 5`, 9, ">=", "a value is expected directly after >="},
		{`user_id:>a..b`, 11, "..", "a comparison has one value"},
		{`user_id:..`, 9, "..", "a value before or after"},
		{`user_id:a...b`, 10, "...b", "a range is a..b"},
		{`user_id:a..b..c`, 10, "..b..c", "a range is a..b"},
		{`resource:../../etc`, 10, "../../etc", "quote the value"},
		{`user_id:a*..b`, 9, "a*", "no wildcards"},
		{`user_id:<a*`, 10, "a*", "no wildcards"},
		{`user_id:b..a`, 9, "b", `the range is empty: "b" lies after "a"`},
		{`metadata.n:10..9`, 12, "10", "the range is empty"},

		// Structure.
		{`(`, 2, "", "a term such as user_id:alice, a text to search for, or ( is expected here"},
		{`()`, 2, ")", "a term such as"},
		{`(a`, 1, "(", "this parenthesis is not closed"},
		{`a b)`, 4, ")", "no parenthesis is open here"},
		{`a or`, 5, "", "is expected here"},
		{`a or or b`, 6, "or", "quote the word to search for it"},
		{`and a`, 1, "and", "quote the word"},
		{`a and`, 6, "", "is expected here"},
		{`not`, 4, "", "is expected here"},
		{`a - b`, 3, "-", "- negates what follows it directly"},
		{`user_id:(a or`, 14, "", "a value of user_id is expected here"},
		{`user_id:()`, 10, ")", "a value of user_id is expected here"},
		{`user_id:(a or action:x)`, 15, "action:", "holds values of user_id"},
		{`user_id:(a)b`, 12, "b", "a space is expected"},

		// Texts.
		{`""`, 1, `""`, "an empty text"},
		{`al*ce`, 1, "al*ce", "a text search has no wildcard within"},
		{`say"x"`, 4, `"`, "a space is expected"},
		{"a \xff", 3, "\uFFFD", "not valid UTF-8"},

		// Limits.
		{strings.Repeat("x", MaxBytes+1), MaxBytes + 1, "", "16385 bytes long; at most 16384"},
		{strings.Repeat("(", 10_000), MaxDepth + 1, "(", "more than 64 deep"},
		{strings.Repeat("-", 10_000) + "a", MaxDepth + 1, "-", "more than 64 deep"},
		{strings.Repeat("not ", 4_000) + "a", 4*MaxDepth + 1, "n", "more than 64 deep"},
		{"user_id:" + strings.Repeat("(", 10_000), 8 + MaxDepth + 2, "(", "more than 64 deep"},
		{strings.Repeat("a ", MaxTerms+1), 2*MaxTerms + 1, "a", "more than 1024 terms"},
		{"user_id:(" + strings.Repeat("a ", MaxTerms+1) + ")", 9 + 2*MaxTerms + 1, "a", "more than 1024 terms"},
		{"user_id:" + strings.Repeat("é", 50) + `"`, 59, `"`, "a space is expected"},
		{"outcome:" + strings.Repeat("é", 50), 9, strings.Repeat("é", 39) + "…", "outcome is one of"},
	} {
		x, err := ParseAt(tt.query, testNow)
		name := tt.query[:min(len(tt.query), 60)]
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("%s: no SyntaxError but %v, %v", name, x, err)
			continue
		}
		if se.Column != tt.column || se.Token != tt.token || !strings.Contains(se.Reason, tt.reason) {
			t.Errorf("%s\n got  column %d, token %q, %s\n want column %d, token %q, …%s…",
				name, se.Column, se.Token, se.Reason, tt.column, tt.token, tt.reason)
		}
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := Parse(`user_id:alice outcome:ok`)
	const want = `column 23, at "ok": outcome is one of success, failure, denied, unknown`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = Parse(`a or`)
	if err == nil || !strings.HasPrefix(err.Error(), "column 5: a term such as") {
		t.Error(err)
	}
}

func TestLimitsAreReached(t *testing.T) {
	for _, q := range []string{
		strings.Repeat("x", MaxBytes),
		strings.Repeat("(", MaxDepth) + "a" + strings.Repeat(")", MaxDepth),
		strings.Repeat("(a or ", MaxDepth) + "b" + strings.Repeat(")", MaxDepth),
		strings.Repeat("-", MaxDepth) + "a",
		strings.Repeat("-(a ", MaxDepth/2) + "b" + strings.Repeat(")", MaxDepth/2),
		strings.Repeat("user_id:a or (b ", MaxDepth) + "user_id:a or user_id:b" + strings.Repeat(")", MaxDepth),
		strings.Repeat("a ", MaxTerms),
	} {
		x, err := Parse(q)
		if err != nil {
			t.Errorf("%.60s: %v", q, err)
			continue
		}
		if again, err := Parse(x.String()); err != nil || !equalTrees(again, x) {
			t.Errorf("%.60s: does not round-trip: %v", q, err)
		}
	}
}

func TestEquals(t *testing.T) {
	events := testEvents()
	for _, tt := range []struct{ selector, value, want string }{
		{"user_id", "alice", "1"},
		{"user_id", "or", "5"},
		{"on_behalf_of", "a*b", "4"},
		{"action", "document.*", ""},
		{"action", "..", "6"},
		{"source_ip", "10.0.0.0/8", "1 2"},
		{"timestamp", "2026-11-01", "1 2"},
		{"labels.we ird:key", "x y", "error"},
		{`labels."we ird:key"`, "x y", "4"},
		{"metadata.order.total", "100.0", "2"},
		{"resource_type", "document", "1 2"},
		{"event_id", "01980c5e-7a10-7cc3-98d2-4f6a1b2c3d41", "1"},
		{"event_id", "0198*", "error"},
		{"outcome", "ok", "error"},
		{"outcome", "*", "error"},
		{"user_id", "", "error"},
		{"labels", "x", "error"},
		{"offset", "100", "1"},
	} {
		got := "error"
		sel, err := ParseSelector(tt.selector)
		if err == nil {
			var x Expr
			if x, err = Equals(sel, tt.value); err == nil {
				got = matching(x, events)
				checkTree(t, fmt.Sprintf("%s=%s", tt.selector, tt.value), x, events)
			}
		}
		if got != tt.want {
			t.Errorf("%s=%s: %s, want %s (%v)", tt.selector, tt.value, got, tt.want, err)
		}
	}
	if _, err := Equals(Selector{Field: event.Outcome}, "ok"); err == nil ||
		err.Error() != "outcome: outcome is one of success, failure, denied, unknown" {
		t.Error(err)
	}
	if _, err := Equals(Selector{Field: event.UserID, Path: "x"}, "ok"); err == nil {
		t.Error("a path into user_id is accepted")
	}
}

func TestSelector(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Selector
	}{
		{"user_id", Selector{event.UserID, ""}},
		{"resource_type", Selector{event.Resource, "type"}},
		{"labels", Selector{event.Labels, ""}},
		{"labels.a.b/c", Selector{event.Labels, "a.b/c"}},
		{`labels."a b"`, Selector{event.Labels, "a b"}},
		{"metadata.a.b", Selector{event.Metadata, "a.b"}},
		{`metadata.a."b.\u0063"`, Selector{event.Metadata, `a."b.c"`}},
		{"changes.path", Selector{event.Changes, "path"}},
		{"changes.old.x.y", Selector{event.Changes, "old.x.y"}},
	} {
		sel, err := ParseSelector(tt.text)
		if err != nil || sel != tt.want {
			t.Errorf("%s: %#v, %v", tt.text, sel, err)
			continue
		}
		if again, err := ParseSelector(sel.String()); err != nil || again != sel {
			t.Errorf("%s is printed as %s, which gives %#v, %v", tt.text, sel, again, err)
		}
	}
	for _, text := range []string{"", "user", "labels.", "metadata..a", "a:b", "user_id:", "metadata.a:b", "labels.a b", "x\xff"} {
		if sel, err := ParseSelector(text); err == nil {
			t.Errorf("%q is accepted as %s", text, sel)
		}
	}
}

func TestSelectorValue(t *testing.T) {
	events := testEvents()
	for _, tt := range []struct {
		selector string
		event    int
		want     string
	}{
		{"user_id", 1, "alice"},
		{"user_agent", 1, ""},
		{"resource_type", 2, "document"},
		{"resource_type", 3, "console"},
		{"resource_type", 4, ""},
		{"labels.env", 1, "prod"},
		{"labels.nope", 1, ""},
		{"labels.env", 3, ""},
		{"metadata.order.total", 1, "99.5"},
		{"metadata.order.items.sku", 1, "A1"},
		{"metadata.order.items", 2, ""},
		{"metadata.paid", 2, "true"},
		{"metadata.path", 3, `C:\temp\*`},
		{"metadata.a.b", 4, `{"c":2}`},
		{`metadata.a."b.c"`, 4, "1"},
		{"metadata.tags", 4, "Red"},
		{"changes.path", 5, "address"},
		{"changes.new.city", 5, "Oslo"},
		{"changes", 6, ""},
	} {
		sel, err := ParseSelector(tt.selector)
		if err != nil {
			t.Fatal(err)
		}
		if got := sel.Value(events[tt.event].Text(sel.Field)); got != tt.want {
			t.Errorf("%s of event %d is %q, want %q", tt.selector, tt.event, got, tt.want)
		}
	}
}

func TestJoin(t *testing.T) {
	parse := func(q string) Expr {
		x, err := Parse(q)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	a, ab, aOrB := parse(`a`), parse(`a b`), parse(`a or b`)
	for _, tt := range []struct {
		x    Expr
		want string
	}{
		{Join(), `*`},
		{Join(nil, nil), `*`},
		{Join(nil, a), `a`},
		{Join(a, ab), `a a b`},
		{Join(aOrB, ab), `(a or b) a b`},
		{Join(a, Or{}), `-*`},
		{Join(Not{Not{a}}), `a`},
		{Join(Not{And{}}), `-*`},
		{Join(And{And{a}, Or{Or{a, Or{a}}, parse(`b`)}}), `a (a or a or b)`},
	} {
		if got := tt.x.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		checkTree(t, tt.want, tt.x, testEvents())
	}
}
