package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
)

// testNow is the moment that relative times in the tests count from.
var testNow = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func mustID(s string) event.ID {
	id, ok := event.ParseID(s)
	if !ok {
		panic("not a UUID: " + s)
	}
	return id
}

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// testEvents are what the tables below are about; events[0] is unused, so that
// an event's number is its index.
func testEvents() []event.Event {
	defaults := event.Event{TenantID: "default", Outcome: "unknown", Operation: "other", UserType: "user"}
	events := []event.Event{defaults, defaults, defaults, defaults, defaults, defaults, defaults}
	set := func(i int, f func(e *event.Event)) {
		f(&events[i])
		events[i].Offset = int64(i * 100)
		events[i].ReceivedAt = events[i].Timestamp + int64(time.Second)
	}
	set(1, func(e *event.Event) {
		e.ID = mustID("01980c5e-7a10-7cc3-98d2-4f6a1b2c3d41")
		e.Timestamp = at("2026-11-01T00:00:00Z")
		e.UserID, e.Action, e.Resource = "alice", "document.delete", "document/42"
		e.Outcome, e.Operation = "success", "delete"
		e.SourceIP = "10.1.2.3"
		e.ResourceName = `Größe "L".pdf`
		e.Labels = `{"app.kubernetes.io/name":"web","env":"prod"}`
		e.Metadata = `{"order":{"items":[{"sku":"A1"},{"sku":"B2"}],"total":99.5}}`
		e.Changes = `[{"new":"a@example.org","old":null,"path":"email"}]`
	})
	set(2, func(e *event.Event) {
		e.ID = mustID("01980c5e-7a10-7cc3-98d2-4f6a1b2c3d42")
		e.Timestamp = at("2026-11-01T23:59:59.999999999Z")
		e.UserID, e.Action, e.Resource = "bob", "document.read", "document/43/page/7"
		e.Outcome, e.Operation, e.UserType = "denied", "read", "api_key"
		e.SourceIP = "::ffff:10.200.0.1"
		e.UserAgent = "curl/8.5.0 (x86_64)"
		e.Labels = `{"env":"staging"}`
		e.Metadata = `{"order":{"items":[],"total":100},"paid":true}`
	})
	set(3, func(e *event.Event) {
		e.ID = mustID("01980c5f-0000-7cc3-98d2-4f6a1b2c3d43")
		e.Timestamp = at("2026-11-02T10:30:15.25Z")
		e.UserID, e.Action, e.Resource = "arn:aws:iam::1:user/carol", "login", "console"
		e.Outcome, e.Operation = "failure", "login"
		e.SourceIP = "2001:db8::1"
		e.Reason = "Bad password\nfor CAROL"
		e.Metadata = `{"code":12345678901234567890,"order":{"total":"100.50"},"path":"C:\\temp\\*"}`
	})
	set(4, func(e *event.Event) {
		e.ID = mustID("0199aaaa-0000-4000-8000-000000000004")
		e.Timestamp = at("2026-11-30T11:50:00Z")
		e.UserID, e.Action, e.Resource = "Alice", "login", "/orphan"
		e.Outcome, e.Operation = "success", "login"
		e.SourceIP = "192.168.0.9"
		e.UserName = "Алиса Ågren"
		e.OnBehalfOf = "a*b"
		e.Labels = `{"env":"prod","we ird:key":"x y"}`
		e.Metadata = `{"a":{"b.c":1,"b":{"c":2}},"nothing":null,"tags":["Red",["green"],7]}`
	})
	set(5, func(e *event.Event) {
		e.ID = mustID("0199aaaa-0000-4000-8000-000000000005")
		e.Timestamp = at("2026-12-01T00:00:00Z")
		e.UserID, e.Action, e.Resource = "or", "user.update", "user/-5"
		e.Outcome, e.Operation = "success", "update"
		e.Changes = `[{"new":{"city":"Oslo"},"old":{"city":"Bergen"},"path":"address"},{"new":3,"old":2,"path":"level"}]`
		e.Metadata = `{"big":1e400,"msg":"snow\nman ☃","neg":-5,"order":{"total":1000}}`
	})
	set(6, func(e *event.Event) {
		e.ID = mustID("ffffffff-ffff-4fff-bfff-ffffffffffff")
		e.Timestamp = at("2025-06-15T08:00:00Z")
		e.UserID, e.Action, e.Resource = "system", "..", "host:eu-1"
		e.Operation, e.UserType = "other", "system"
		e.TenantID = "acme"
		e.SourceIP = "fe80::1%eth0"
		e.Partition = 2
	})
	return events
}

// matching returns the numbers of the events that match, as the tables write them.
func matching(x Expr, events []event.Event) string {
	var ns []string
	for i := range events {
		if i > 0 && Match(x, &events[i]) {
			ns = append(ns, fmt.Sprint(i))
		}
	}
	return strings.Join(ns, " ")
}

var matchTests = []struct{ query, want string }{
	// Everything and nothing.
	{``, "1 2 3 4 5 6"},
	{`  `, "1 2 3 4 5 6"},
	{`*`, "1 2 3 4 5 6"},
	{`-*`, ""},
	{`not not *`, "1 2 3 4 5 6"},
	{`* user_id:bob`, "2"},
	{`-* or user_id:bob`, "2"},

	// Equality is exact and knows case.
	{`user_id:alice`, "1"},
	{`user_id:Alice`, "4"},
	{`user_id:"alice"`, "1"},
	{`user_id:"\u0061lice"`, "1"},
	{`user_id:ali`, ""},
	{`user_id:or`, "5"},
	{`user_id:arn:aws:iam::1:user/carol`, "3"},
	{`action:".."`, "6"},
	{`action:\.\.`, "6"},
	{`resource:host:eu-1`, "6"},
	{`resource_name:"Größe \"L\".pdf"`, "1"},
	{`reason:"Bad password\nfor CAROL"`, "3"},
	{`tenant_id:acme`, "6"},

	// Wildcards.
	{`action:document.*`, "1 2"},
	{`action:*`, "1 2 3 4 5 6"},
	{`action:*.*e*`, "1 2 5"},
	{`action:*e`, "1 5"},
	{`action:**e`, "1 5"},
	{`action:"document.*"`, ""},
	{`on_behalf_of:a\*b`, "4"},
	{`on_behalf_of:a\**`, "4"},
	{`on_behalf_of:"a*b"`, "4"},
	{`resource_name:Größe\ *`, "1"},
	{`user_id:*al*ice*`, "1"},
	{`user_id:alice*e`, ""},
	{`outcome:*ed`, "2"},

	// Presence.
	{`user_agent:*`, "2"},
	{`-source_ip:*`, "5"},
	{`labels:*`, "1 2 4"},
	{`changes:*`, "1 5"},
	{`-metadata:*`, "6"},
	{`event_id:* timestamp:* offset:*`, "1 2 3 4 5 6"},

	// And, or, not, parentheses; negation is of the whole event.
	{`user_id:alice action:document.* -outcome:failure`, "1"},
	{`user_id:alice and action:document.*`, "1"},
	{`user_id:alice AND NOT action:document.*`, ""},
	{`user_id:alice or user_id:bob outcome:success`, "1"},
	{`(user_id:alice or user_id:bob) outcome:denied`, "2"},
	{`(user_id:alice OR user_id:bob)(outcome:denied)`, "2"},
	{`-(user_id:alice or user_id:bob)`, "3 4 5 6"},
	{`-user_id:alice -user_id:bob`, "3 4 5 6"},
	{`--user_id:alice`, "1"},
	{`not (not user_id:alice)`, "1"},
	{`not outcome:success login`, "3"},
	{`-labels.env:prod`, "2 3 5 6"},
	{`-metadata.tags:Red`, "1 2 3 5 6"},

	// Groups.
	{`action:(login or logout)`, "3 4"},
	{`action:(login logout)`, ""},
	{`action:(document.* -*.read)`, "1"},
	{`action:(document.* and not (*.read or *.write))`, "1"},
	{`user_id:("or" or bob)`, "2 5"},
	{`user_id:(alice)`, "1"},
	{`offset:(<=100 or 400..500)`, "1 4 5"},
	{`metadata.order.total:(99.5 or 1000)`, "1 5"},
	{`user_id:(a or b or c or d or e or f or g or bob or alice or alic*)`, "1 2"},

	// Ranges and comparisons of text go byte by byte.
	{`user_id:alice..bob`, "1 2 3"},
	{`user_id:alice..`, "1 2 3 5 6"},
	{`user_id:..Z`, "4"},
	{`user_id:>bob`, "5 6"},
	{`user_id:>=bob`, "2 5 6"},
	{`user_id:<alice`, "4"},
	{`user_id:<=alice`, "1 4"},
	{`user_id:"a".."b"`, "1 3"},

	// Enumerations.
	{`outcome:(denied or failure)`, "2 3"},
	{`operation:login outcome:success`, "4"},
	{`user_type:(api_key or system)`, "2 6"},

	// Addresses.
	{`source_ip:10.0.0.0/8`, "1 2"},
	{`source_ip:10.1.0.0/12`, "1"},
	{`source_ip:10.1.2.3`, "1"},
	{`source_ip:10.1.2.3/32`, "1"},
	{`source_ip:10.200.0.1`, "2"},
	{`source_ip:10.200.*`, "2"},
	{`source_ip:*:*`, "2 3 6"},
	{`source_ip:(1.1.1.1 or 1.1.1.2 or 1.1.1.3 or 10.200.0.1)`, "2"},
	{`source_ip:::ffff:10.1.2.3`, "1"},
	{`source_ip:::ffff:10.0.0.0/104`, "1 2"},
	{`source_ip:"2001:db8::/32"`, "3"},
	{`source_ip:2001:DB8:0::1`, "3"},
	{`source_ip:fe80::/10`, "6"},
	{`source_ip:0.0.0.0/0`, "1 2 4"},
	{`source_ip:::/0`, "3 6"},
	{`source_ip:10.*`, "1 2"},
	{`source_ip:10.1.0.0..10.1.255.255`, "1"},
	{`source_ip:>10.1.2.3`, "2 4"},
	{`source_ip:>=10.1.2.3`, "1 2 4"},
	{`source_ip:<10.1.2.4`, "1"},
	{`source_ip:(10.0.0.0/8 or 192.168.0.0/16)`, "1 2 4"},
	{`source_ip:(10.0.0.0/8 -10.1.2.3)`, "2"},

	// Identities.
	{`event_id:01980c5e-7a10-7cc3-98d2-4f6a1b2c3d41`, "1"},
	{`event_id:01980C5E-7A10-7CC3-98D2-4F6A1B2C3D41`, "1"},
	{`event_id:0198*`, "1 2 3"},
	{`event_id:01980c5e-7a*`, "1 2"},
	{`event_id:01980c5e-7a10-7cc3-98d2-4f6a1b2c3d41*`, "1"},
	{`event_id:(0199* or f*)`, "4 5 6"},

	// Resource types.
	{`resource_type:document`, "1 2"},
	{`resource_type:console`, "3"},
	{`resource_type:*`, "1 2 3 5 6"},
	{`resource_type:doc`, ""},
	{`resource_type:(user or host:*)`, "5 6"},
	{`resource:document/*`, "1 2"},

	// Time. A time means the span that its precision leaves open.
	{`timestamp:2026-11-01`, "1 2"},
	{`timestamp:2026-11-01..2026-11-30`, "1 2 3 4"},
	{`timestamp:2026-11`, "1 2 3 4"},
	{`timestamp:2026`, "1 2 3 4 5"},
	{`timestamp:2026-11-02T10`, "3"},
	{`timestamp:2026-11-02T10:30`, "3"},
	{`timestamp:2026-11-02T10:30:15`, "3"},
	{`timestamp:2026-11-02T10:30:15.2Z`, "3"},
	{`timestamp:2026-11-02T10:30:15.250`, "3"},
	{`timestamp:2026-11-02T10:30:15.251Z`, ""},
	{`timestamp:2026-11-02T11:30:15.250+01:00`, "3"},
	{`timestamp:2026-11-02t10:30:15z`, "3"},
	{`timestamp:2026-11-01-01:00`, "2"},
	{`timestamp:>2026-11-01`, "3 4 5"},
	{`timestamp:>=2026-11-01`, "1 2 3 4 5"},
	{`timestamp:<2026-11-01`, "6"},
	{`timestamp:<=2026-11-01`, "1 2 6"},
	{`timestamp:2026-11-30..`, "4 5"},
	{`timestamp:..2026-11-01`, "1 2 6"},
	{`timestamp:1793615415250`, "3"},
	{`timestamp:1793615415250000`, "3"},
	{`timestamp:1793615415250000000`, "3"},
	{`timestamp:1793615415250000001`, ""},
	{`timestamp:>=-15m`, "4 5"},
	{`timestamp:-15m..now`, "4"},
	{`timestamp:(>-1h <=now)`, "4"},
	{`timestamp:>=now-1d`, "4 5"},
	{`timestamp:>+11h`, "5"},
	{`timestamp:<-1w`, "1 2 3 6"},
	{`timestamp:<-1d12h30m`, "1 2 3 6"},
	{`timestamp:(2025 or 2026-12)`, "5 6"},
	{`received_at:2026-11-02`, "2 3"},
	{`-timestamp:2026`, "6"},

	// Integers.
	{`offset:100`, "1"},
	{`offset:>100`, "2 3 4 5 6"},
	{`offset:200..300`, "2 3"},
	{`partition:2`, "6"},
	{`partition:(0 or 1)`, "1 2 3 4 5"},
	{`offset:-5`, ""},

	// Labels.
	{`labels.env:prod`, "1 4"},
	{`labels.env:*`, "1 2 4"},
	{`labels.env:(prod or staging)`, "1 2 4"},
	{`labels.app.kubernetes.io/name:web`, "1"},
	{`labels."app.kubernetes.io/name":web`, "1"},
	{`labels."we ird:key":"x y"`, "4"},
	{`labels.app:web`, ""},
	{`labels.env:>prod`, "2"},

	// Metadata.
	{`metadata.order.total:99.5`, "1"},
	{`metadata.order.total:9.95e1`, "1"},
	{`metadata.order.total:>100`, "3 5"},
	{`metadata.order.total:>=100`, "2 3 5"},
	{`metadata.order.total:<100`, "1"},
	{`metadata.order.total:99..100`, "1 2"},
	{`metadata.order.total:100.5`, ""},
	{`metadata.order.total:100.50`, "3"},
	{`metadata.order.total:100*`, "2 3 5"},
	{`metadata.order:*`, "1 2 3 5"},
	{`metadata.order:100`, ""},
	{`metadata.order.items.sku:B2`, "1"},
	{`metadata.order.items:*`, "1 2"},
	{`metadata.order.items.*:*`, "error"},
	{`metadata.paid:true`, "2"},
	{`metadata.paid:>a`, ""},
	{`metadata.nothing:null`, "4"},
	{`metadata.nothing:*`, "4"},
	{`metadata.tags:Red`, "4"},
	{`metadata.tags:red`, ""},
	{`metadata.tags:green`, "4"},
	{`metadata.tags:7`, "4"},
	{`metadata.code:12345678901234567890`, "3"},
	{`metadata.code:12345678901234567891`, ""},
	{`metadata.big:1e400`, "5"},
	{`metadata.big:>9e399`, "5"},
	{`metadata.neg:-5`, "5"},
	{`metadata.neg:<0`, "5"},
	{`metadata.neg:>-5.0000000000000000000001`, "5"},
	{`metadata.neg:>=-5.0`, "5"},
	{`metadata.path:"C:\\temp\\*"`, "3"},
	{`metadata.path:C:\\temp*`, "3"},
	{`metadata.a.b.c:1`, "4"},
	{`metadata.a.b.c:2`, "4"},
	{`metadata.a."b.c":1`, "4"},
	{`metadata.a."b.c":2`, ""},
	{`metadata.a.b:*`, "4"},
	{`metadata.a.b.c.d:*`, ""},
	{`metadata.msg:"snow\nman ☃"`, "5"},

	// Changes.
	{`changes.path:email`, "1"},
	{`changes.path:(email or level)`, "1 5"},
	{`changes.new:a@example.org`, "1"},
	{`changes.old:null`, "1"},
	{`changes.new.city:Oslo`, "5"},
	{`changes.old.city:Oslo`, ""},
	{`changes.new:>2`, "1 5"}, // "a@example.org" is a text and lies after "2"
	{`changes.new:3.0`, "5"},

	// Text.
	{`carol`, "3"},
	{`CAROL`, "3"},
	{`document`, "1 2"},
	{`"bad PASSWORD"`, "3"},
	{`bad password`, "3"},
	{`"password\nfor"`, "3"},
	{`größe`, "1"},
	{`GRÖSSE`, ""},
	{`АЛИСА`, "4"},
	{`"\u212aUBERNETES"`, ""},
	{`ågren`, "4"},
	{`oslo`, "5"},
	{`a1`, "1"},
	{`GREEN`, "4"},
	{`env`, ""},
	{`staging`, "2"},
	{`"snow\nMAN"`, "5"},
	{`☃`, "5"},
	{`nman`, ""},
	{`"C:\\TEMP"`, "3"},
	{`carol*`, "3"},
	{`*carol*`, "3"},
	{`99.5`, ""},
	{`2026`, ""},
	{`default`, "1 2 3 4 5"},
	{`"and"`, ""},
	{`-login`, "1 2 5 6"},
	{`<curl`, ""},
	{`curl/8.5.0 "(X86"`, "2"},
	{`host\:eu`, "6"},
}

func TestMatch(t *testing.T) {
	events := testEvents()
	for _, tt := range matchTests {
		x, err := ParseAt(tt.query, testNow)
		got := "error"
		if err == nil {
			got = matching(x, events)
		}
		if got != tt.want {
			t.Errorf("%s\n got  %s\n want %s (tree %v, error %v)", tt.query, got, tt.want, x, err)
			continue
		}
		if err == nil {
			checkTree(t, tt.query, x, events)
		}
	}
}

// checkTree checks what holds for every tree: it round-trips, and what Term and
// TimeRange promise of the events that match is so.
func checkTree(t *testing.T, query string, x Expr, events []event.Event) {
	t.Helper()
	text := x.String()
	if len(text) <= MaxBytes {
		again, err := Parse(text)
		if err != nil {
			t.Errorf("%s\n printed as %s\n does not parse: %v", query, text, err)
		} else if !equalTrees(again, x) || again.String() != text {
			t.Errorf("%s\n printed as %s\n parses to   %s", query, text, again)
		}
	}
	if j := Join(nil, x, And{}); !equalTrees(j, x) {
		t.Errorf("%s: joined with nothing it is %s", query, j)
	}
	from, to := TimeRange(x)
	fields := Fields(x)
	for i := range events[1:] {
		e := &events[i+1]
		match := Match(x, e)
		if match == Match(Not{x}, e) {
			t.Errorf("%s: event %d matches both it and its negation, or neither", query, i+1)
		}
		if match && (e.Timestamp < from || e.Timestamp >= to) {
			t.Errorf("%s: event %d matches outside of the time range %d to %d", query, i+1, from, to)
		}
		if match != Match(x, onlyFields(e, fields)) {
			t.Errorf("%s: event %d: a field besides %v counts", query, i+1, fields)
		}
	}
	for _, leaf := range leaves(x, nil) {
		checkLeaf(t, query, leaf, events)
	}
}

func checkLeaf(t *testing.T, query string, leaf Expr, events []event.Event) {
	t.Helper()
	term, ok := leaf.(*Term)
	if !ok {
		return
	}
	f := term.Selector.Field
	if term.MatchText("") || term.MatchInt(event.NoTime) || term.MatchID(event.ID{}) {
		t.Errorf("%s: an absent value matches %s", query, term)
	}
	for i := range events[1:] {
		e := &events[i+1]
		match := Match(term, e)
		text := e.Text(f)
		if f == event.EventID {
			text = e.ID.String()
		}
		if exact, ok := term.Exact(); ok && match != slices.Contains(exact, text) {
			t.Errorf("%s: Exact of %s is %q, but %q gives %v", query, term, exact, text, match)
		}
		if !match {
			continue
		}
		if !strings.HasPrefix(text, term.Prefix()) {
			t.Errorf("%s: Prefix of %s is %q, but %q matches", query, term, term.Prefix(), text)
		}
		if !strings.Contains(text, term.Contains()) {
			t.Errorf("%s: Contains of %s is %q, but %q matches", query, term, term.Contains(), text)
		}
	}
}

func leaves(x Expr, to []Expr) []Expr {
	switch x := x.(type) {
	case And:
		for _, n := range x {
			to = leaves(n, to)
		}
	case Or:
		for _, n := range x {
			to = leaves(n, to)
		}
	case Not:
		return leaves(x.X, to)
	default:
		return append(to, x)
	}
	return to
}

// onlyFields returns e with nothing but the given fields.
func onlyFields(e *event.Event, set event.FieldSet) *event.Event {
	out := event.Event{Timestamp: event.NoTime, ReceivedAt: event.NoTime}
	for f := range event.NumFields {
		switch {
		case !set.Has(f):
		case f == event.EventID:
			out.ID = e.ID
		case f == event.Timestamp:
			out.Timestamp = e.Timestamp
		case f == event.ReceivedAt:
			out.ReceivedAt = e.ReceivedAt
		case f == event.Partition:
			out.Partition = e.Partition
		case f == event.Offset:
			out.Offset = e.Offset
		default:
			out.SetText(f, e.Text(f))
		}
	}
	return &out
}

// equalTrees compares what the language can see of two trees.
func equalTrees(a, b Expr) bool {
	switch a := a.(type) {
	case And:
		b, ok := b.(And)
		return ok && slices.EqualFunc(a, b, equalTrees)
	case Or:
		b, ok := b.(Or)
		return ok && slices.EqualFunc(a, b, equalTrees)
	case Not:
		b, ok := b.(Not)
		return ok && equalTrees(a.X, b.X)
	case *Text:
		b, ok := b.(*Text)
		return ok && a.Needle == b.Needle
	case *Term:
		b, ok := b.(*Term)
		if !ok || a.Selector != b.Selector || !slices.Equal(a.steps, b.steps) || len(a.ops) != len(b.ops) {
			return false
		}
		for i := range a.ops {
			if fmt.Sprintf("%#v", a.ops[i]) != fmt.Sprintf("%#v", b.ops[i]) {
				return false
			}
		}
		return true
	}
	return false
}
