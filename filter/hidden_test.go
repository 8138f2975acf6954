package filter

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// mustHide parses selectors with spaces between them.
func mustHide(tb testing.TB, names string) Hidden {
	tb.Helper()
	h, err := ParseHidden(splitNames(names))
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// splitNames splits at the spaces that do not stand in quotes.
func splitNames(names string) []string {
	quoted, last := false, ' '
	return strings.FieldsFunc(names, func(r rune) bool {
		if r == '"' && last != '\\' {
			quoted = !quoted
		}
		last = r
		return r == ' ' && !quoted
	})
}

// TestHiddenNames: each set has one spelling, whatever it was given as.
func TestHiddenNames(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{``, ``},
		{`source_ip`, `source_ip`},
		{`user_agent source_ip source_ip`, `source_ip user_agent`},
		{`resource outcome user_id`, `outcome resource user_id`},
		{`metadata.ssn`, `metadata.ssn`},
		{`metadata.a.b`, `metadata.a.b`},
		{`metadata."a.b"`, `metadata.a.b`},
		{`metadata.a."b"`, `metadata.a.b`},
		{`metadata."a.b c".d`, `metadata.a."b c".d`},
		{`metadata."" metadata."a..b" metadata."."`, `metadata."" metadata.a."".b`},
		{`metadata."a\"b" metadata."\u0000"`, `metadata."\u0000" metadata."a\"b"`},
		{`metadata.a.b metadata.a metadata.a.c`, `metadata.a`},
		{`metadata.a.b metadata.a.b.c metadata.ab`, `metadata.a.b metadata.ab`},
		{`metadata.a-b metadata.a.b metadata.a`, `metadata.a metadata.a-b`},
		{`metadata.ssn metadata`, `metadata`},
		{`labels.env labels.a.b labels.a`, `labels.a labels.a.b labels.env`},
		{`labels."cost centre" labels."env" labels."\u0000"`, `labels."\u0000" labels."cost centre" labels.env`},
		{`changes.path changes.new.email changes.new."email".x changes.old`, `changes.new.email changes.old changes.path`},
		{`changes.new.email changes.new`, `changes.new`},
	} {
		h := mustHide(t, tt.names)
		if got := strings.Join(h.Names(), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.names, got, tt.want)
		}
		if again := mustHide(t, strings.Join(h.Names(), " ")); !reflect.DeepEqual(again, h) {
			t.Errorf("%s: its names give %v", tt.names, again.Names())
		}
		union := Hidden{}
		for _, name := range splitNames(tt.names) {
			union = union.Union(mustHide(t, name))
		}
		if !reflect.DeepEqual(union, h) {
			t.Errorf("%s: the union of its parts is %v", tt.names, union.Names())
		}
		if h.IsZero() != (tt.want == "") {
			t.Errorf("%s: IsZero is %v", tt.names, h.IsZero())
		}
	}
	if got, want := mustHide(t, `source_ip labels metadata.ssn`).Fields(), event.Fields(event.SourceIP, event.Labels); got != want {
		t.Errorf("hidden whole are %b, want %b", got, want)
	}
}

func TestParseHiddenErrors(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{`event_id`, "any can but event_id, timestamp, tenant_id, received_at, partition, offset"},
		{`timestamp`, "cannot be hidden"},
		{`tenant_id`, "cannot be hidden"},
		{`received_at`, "cannot be hidden"},
		{`partition`, "cannot be hidden"},
		{`offset`, "cannot be hidden"},
		{`resource_type`, "hide resource"},
		{``, "a field's name is expected"},
		{`sourceip`, "did you mean source_ip"},
		{`user_id.x`, "user_id has no parts"},
		{`metadata.`, "a key is expected"},
		{`metadata.*`, "no wildcards"},
		{`metadata.a..b`, "a key is expected"},
		{`changes.email`, "changes.path, changes.old and changes.new"},
		{`changes.path.x`, "changes.path, changes.old and changes.new"},
		{"metadata.\xff", "not valid UTF-8"},
	} {
		_, err := ParseHidden([]string{"user_agent", tt.name})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "hide ") {
			t.Errorf("%q: %v, want it to say %q", tt.name, err, tt.want)
		}
	}
}

// TestHiddenCovers lists selectors that look at something hidden and, after a |,
// some that do not.
func TestHiddenCovers(t *testing.T) {
	for _, tt := range []struct{ hidden, selectors string }{
		{``, `| user_id metadata metadata.ssn resource_type`},
		{`source_ip`, `source_ip | user_id source metadata labels.source_ip metadata.source_ip`},
		{`resource`, `resource resource_type | resource_name`},
		{`metadata`, `metadata metadata.a metadata."a.b" | labels labels.a changes.new.a`},
		{`metadata.ssn`, `metadata metadata.ssn metadata."ssn" metadata.ssn.a metadata."ssn.a" | metadata.ss metadata.ssn2 metadata.a.ssn labels.ssn labels changes changes.new.ssn`},
		{`metadata.a.b`, `metadata metadata.a metadata."a" metadata.a.b metadata."a.b" metadata."a".b metadata.a.b.c metadata."a.b.c" metadata."a.b".c metadata.a."b.c" | metadata.b metadata.a.c metadata."a.c" metadata.ab metadata.a.bc metadata."a b"`},
		{`metadata."a b"`, `metadata metadata."a b" metadata."a b".c metadata."a b.c" | metadata.a metadata.b metadata."a  b"`},
		{`metadata.a metadata.b.c`, `metadata metadata.a metadata.a.x metadata.b metadata.b.c | metadata.c metadata.b.d`},
		{`labels.env`, `labels labels.env labels."env" | labels.en labels.env.x metadata.env`},
		{`labels.a.b`, `labels labels.a.b labels."a.b" | labels.a labels.a.b.c labels.b`},
		{`changes.path`, `changes changes.path | changes.old changes.new changes.new.path`},
		{`changes.old`, `changes changes.old changes.old.a | changes.new changes.path metadata.old`},
		{`changes.new.email`, `changes changes.new changes.new.email changes.new."email".x changes.new."email.x" | changes.old changes.old.email changes.path changes.new.e`},
	} {
		h := mustHide(t, tt.hidden)
		covered, visible, _ := strings.Cut(tt.selectors, "|")
		for i, list := range []string{covered, visible} {
			for _, name := range splitNames(list) {
				sel, err := ParseSelector(name)
				if err != nil {
					t.Fatal(name, err)
				}
				if got := h.Covers(sel); got != (i == 0) {
					t.Errorf("%s hidden: covers %s: %v", tt.hidden, name, got)
				}
			}
		}
	}
	if h := mustHide(t, "changes.old"); !h.Covers(Selector{Field: event.Changes, Path: "elsewhere"}) {
		t.Error("a path that leads nowhere is not covered")
	}
}

// TestHiddenApply says what is left of a JSON field.
func TestHiddenApply(t *testing.T) {
	for _, tt := range []struct{ hidden, doc, want string }{
		// However the document nests, and whatever lies below.
		{`metadata.a.b`, `{"a":{"b":1,"c":2},"d":3}`, `{"a":{"c":2},"d":3}`},
		{`metadata.a.b`, `{"a.b":1,"d":3}`, `{"d":3}`},
		{`metadata."a.b"`, `{"a":{"b":1,"c":2},"a.b":3}`, `{"a":{"c":2}}`},
		{`metadata.a.b`, `{"a":{"b":{"c":1}},"a.b.c":2,"a.bc":3}`, `{"a.bc":3}`},
		{`metadata.a.b`, `{"a":{"b.c":1,"bc":2}}`, `{"a":{"bc":2}}`},
		{`metadata.a.b.c`, `{"a":{"b.c":1},"a.b":{"c":2,"d":3}}`, `{"a.b":{"d":3}}`},
		{`metadata.a.b`, `{"a":1,"b":2}`, `{"a":1,"b":2}`},
		{`metadata.a`, `{"a":1,"b":{"a":2}}`, `{"b":{"a":2}}`},
		{`metadata.ssn`, `{"note":"ssn","x":"\"ssn\":","ssn":1}`, `{"note":"ssn","x":"\"ssn\":"}`},
		{`metadata.a metadata.b.c`, `{"a":1,"b":{"c":2,"d":4},"e":5}`, `{"b":{"d":4},"e":5}`},

		// Through arrays.
		{`metadata.p.ssn`, `{"p":[{"name":"x","ssn":1},{"name":"y"}]}`, `{"p":[{"name":"x"},{"name":"y"}]}`},
		{`metadata.p.ssn`, `{"p":[[{"ssn":1}],[{"n":1,"ssn":2}],3]}`, `{"p":[[{"n":1}],3]}`},
		{`metadata.p`, `{"p":[1,2],"q":[]}`, `{"q":[]}`},

		// What holds nothing else goes with it; what was empty stays.
		{`metadata.a.b`, `{"a":{"b":1}}`, ``},
		{`metadata.a.b`, `{"a":{"b":1},"c":0}`, `{"c":0}`},
		{`metadata.a.b`, `{"a":{},"c":0}`, `{"a":{},"c":0}`},
		{`metadata.a.b`, `{"a":[{},{"b":1},[]]}`, `{"a":[{},[]]}`},
		{`metadata.a.b`, `{"a":[{"b":1},{"b":2}]}`, ``},
		{`metadata.ssn`, `{"ssn":1}`, ``},
		{`metadata`, `{"a":1}`, ``},

		// Keys that are written with escapes, are empty, or hold odd dots.
		{`metadata."a\"b"`, `{"a\"b":1,"a\"c":2}`, `{"a\"c":2}`},
		{`metadata.é`, `{"\u0001":{"\\":"\n"},"é":1}`, `{"\u0001":{"\\":"\n"}}`},
		{`metadata.""`, `{"":1,".a":2,"a":3}`, `{"a":3}`},
		{`metadata."a..b"`, `{"a":{"":{"b":1,"c":2}},"a.":{"b":3},"a..b":4,"a.b":5}`, `{"a":{"":{"c":2}},"a.b":5}`},
		{`metadata."."`, `{"":{"":1},".":2,"..a":3,"a":4}`, `{"a":4}`},
		{`metadata.a`, `{"a.":1,"b":2}`, `{"b":2}`},

		// Labels do not nest.
		{`labels.env`, `{"env":"prod","env.x":"y"}`, `{"env.x":"y"}`},
		{`labels.a.b`, `{"a":"1","a.b":"2","a.b.c":"3"}`, `{"a":"1","a.b.c":"3"}`},
		{`labels.env`, `{"env":"prod"}`, ``},
		{`labels."cost centre"`, `{"cost centre":"7","env":"dev"}`, `{"env":"dev"}`},

		// Changes.
		{`changes.old`, `[{"new":1,"old":{"a":2},"path":"p"},{"new":3,"path":"q"}]`, `[{"new":1,"path":"p"},{"new":3,"path":"q"}]`},
		{`changes.path`, `[{"new":1,"old":2,"path":"p"}]`, `[{"new":1,"old":2}]`},
		{`changes.new.email`, `[{"new":{"email":"e","x":1},"old":{"email":"f"},"path":"p"},{"new":{"email":"g"},"path":"q"}]`,
			`[{"new":{"x":1},"old":{"email":"f"},"path":"p"},{"path":"q"}]`},
		{`changes.new.a.b`, `[{"new":{"a.b":1,"c":2},"path":"p"},{"new":[{"a":{"b":1}}],"path":"q"}]`, `[{"new":{"c":2},"path":"p"},{"path":"q"}]`},
		{`changes.old changes.new changes.path`, `[{"new":1,"path":"p"},{"old":1}]`, ``},
		{`metadata.ssn`, `[{"new":{"ssn":1},"path":"ssn"}]`, `[{"new":{"ssn":1},"path":"ssn"}]`},
	} {
		field := event.Metadata
		if strings.HasPrefix(tt.hidden, "labels") {
			field = event.Labels
		} else if tt.doc[0] == '[' {
			field = event.Changes
		}
		canonical, err := event.AppendCanonicalJSON(nil, []byte(tt.doc))
		if err != nil {
			t.Fatal(tt.doc, err)
		}
		var e event.Event
		e.SetText(field, string(canonical))
		mustHide(t, tt.hidden).Apply(&e)
		if got := e.Text(field); got != tt.want {
			t.Errorf("%s hidden in %s: %s, want %s", tt.hidden, tt.doc, got, tt.want)
		}
	}
}

// TestHiddenApplyFields: whole fields go, others stay, and strings are not
// changed in place.
func TestHiddenApplyFields(t *testing.T) {
	events := testEvents()
	for i := range events {
		e := events[i]
		before := e.Clone()
		mustHide(t, "source_ip outcome labels metadata.order.total").Apply(&e)
		if events[i] != before {
			t.Fatalf("%d: a string was changed in place", i)
		}
		want := before
		want.SourceIP, want.Outcome, want.Labels, want.Metadata = "", "", "", e.Metadata
		if e != want || strings.Contains(e.Metadata, "total") {
			t.Errorf("%d: %+v, want %+v", i, e, want)
		}
	}
}

// TestRestrict says what a reader's filter finds, or which selector it is refused
// for.
func TestRestrict(t *testing.T) {
	events := testEvents()
	for _, tt := range []struct{ hidden, query, want string }{
		{``, `prod`, "1 4"},
		{`source_ip`, `user_id:alice`, "1"},
		{`source_ip`, `source_ip:10.1.2.3`, "source_ip"},
		{`source_ip`, `user_id:alice or -(action:x source_ip:10.0.0.0/8)`, "source_ip"},
		{`source_ip`, `-source_ip:*`, "source_ip"},
		{`source_ip`, `10.1.2.3`, ""},
		{`source_ip`, `-10.1.2.3`, "1 2 3 4 5 6"},
		{`user_agent`, `10.1.2.3`, "1"},
		{`resource`, `resource_type:document`, "resource_type"},
		{`resource`, `document`, "1 2"},
		{`resource action`, `document`, ""},
		{`labels.env`, `prod`, ""},
		{`labels.env`, `web`, "1"},
		{`labels.env`, `-prod`, "1 2 3 4 5 6"},
		{`labels.env`, `labels.app.kubernetes.io/name:web`, "1"},
		{`labels.env`, `labels:*`, "labels"},
		{`labels`, `prod or web`, ""},
		{`metadata.order.items`, `b2`, ""},
		{`metadata.order.items.sku`, `metadata.order.items.sku:B2`, "metadata.order.items.sku"},
		{`metadata.order.items.sku`, `metadata.order:*`, "metadata.order"},
		{`metadata.order.items.sku`, `metadata.order.total:>99`, "1 2 3 5"},
		{`metadata.path`, `"c:\\temp"`, ""},
		{`metadata.order`, `"c:\\temp"`, "3"},
		{`metadata.tags`, `green or snow`, "5"},
		{`changes.new.city`, `oslo or bergen`, "5"},
		{`changes.new.city changes.old`, `oslo or bergen`, ""},
		{`changes.new`, `changes.new.level:>3`, "changes.new.level"},
		{`metadata.email`, `example.org changes.path:email`, "1"},
	} {
		x := mustParse(t, tt.query)
		restricted, err := mustHide(t, tt.hidden).Restrict(x)
		if err != nil {
			hidden, ok := errors.AsType[*HiddenError](err)
			if !ok || hidden.Selector.String() != tt.want || !strings.HasPrefix(err.Error(), tt.want+" is hidden") || restricted != nil {
				t.Errorf("%s, %s hidden: %v with %v, want it refused for %s", tt.query, tt.hidden, restricted, err, tt.want)
			}
			continue
		}
		if got := matching(restricted, events); got != tt.want {
			t.Errorf("%s, %s hidden: %s, want %s", tt.query, tt.hidden, got, tt.want)
		}
		if restricted.String() != x.String() {
			t.Errorf("%s, %s hidden: is printed as %s", tt.query, tt.hidden, restricted)
		}
	}
	if x, err := mustHide(t, "source_ip").Restrict(nil); x != nil || err != nil {
		t.Errorf("no filter, restricted: %v, %v", x, err)
	}
}

// TestRestrictJoined: a role's own filter is not restricted by what it is joined
// with, nor is the tree that was restricted; to restrict twice is to restrict by
// both.
func TestRestrictJoined(t *testing.T) {
	events := testEvents()
	given := mustParse(t, `10. or prod`)
	reader, err := mustHide(t, "source_ip").Restrict(given)
	if err != nil {
		t.Fatal(err)
	}
	if got := matching(Join(mustParse(t, "source_ip:10.0.0.0/8 10."), reader), events); got != "1" {
		t.Errorf("joined: %s, want 1", got)
	}
	if got := matching(given, events); got != "1 2 4" {
		t.Errorf("the given filter afterwards: %s, want 1 2 4", got)
	}
	twice, err := mustHide(t, "labels.env").Restrict(reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := matching(twice, events); got != "" {
		t.Errorf("restricted twice: %s, want none", got)
	}
	if fields := Fields(twice); fields.Has(event.SourceIP) || !fields.Has(event.Labels) || !fields.Has(event.UserID) {
		t.Errorf("evaluating a text with source_ip and labels.env hidden looks at %b", fields)
	}
	for _, leaf := range leaves(twice, nil) {
		if text := leaf.(*Text); text.MayMatch(event.SourceIP, "10. prod") || text.Match(event.SourceIP, "10. prod") {
			t.Errorf("%s looks at a hidden field", text)
		}
	}
}

// TestHiddenAllocates: only taking something out does.
func TestHiddenAllocates(t *testing.T) {
	h := mustHide(t, "metadata.order.secret metadata.ssn labels.env source_ip")
	for _, tt := range []struct {
		metadata, labels string
		want             float64
	}{
		{`{"order":{"total":1},"tags":["ssn"]}`, `{"app":"env"}`, 0},
		{`{"user":{"ssn":1}}`, `{"env.x":"y"}`, 0},
		{`{"order":{"secret":1,"total":1}}`, `{"app":"env"}`, 1},
		{`{"ssn":1}`, `{"env":"prod"}`, 0}, // nothing is left
	} {
		text, err := h.Restrict(newText("ssn"))
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			e := event.Event{SourceIP: "10.0.0.1", Metadata: tt.metadata, Labels: tt.labels}
			Match(text, &e)
			h.Apply(&e)
		})
		if n != tt.want {
			t.Errorf("%s, %s: %v allocations, want %v", tt.metadata, tt.labels, n, tt.want)
		}
	}
}
