package browsertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// full is an event with everything.
const full = `{"event_id":"01900000-0000-7000-8000-00000000f011","timestamp":"2026-05-05T10:00:00.123456789Z","tenant_id":"acme","user_id":"alice","user_name":"Alice Doe",
"user_type":"user","on_behalf_of":"bob","action":"document.update","operation":"update","resource":"document/42","resource_name":"Plan \"B\"","outcome":"failure",
"error_code":"conflict","reason":"somebody else was first","source_ip":"2001:db8::7","source":"web","user_agent":"Mozilla/5.0","session_id":"s-1","request_id":"req-1",
"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","correlation_id":"c-1","labels":{"env":"prod","cost.centre":"42","with space":"x y"},
"changes":[{"path":"title","old":"Plan A","new":"Plan \"B\""},{"path":"tags","old":["a","b"],"new":["b","c"]},{"path":"body","old":"one\ntwo\nthree","new":"one\n2\nthree"},
{"path":"order","old":["deny","allow"],"new":["allow","deny"]},
{"path":"owner","new":{"id":7,"name":"carol"}},{"path":"draft","old":true}],
"metadata":{"order":{"total":9007199254740993,"lines":[{"sku":"x-1","n":2},{"sku":"y-2","n":1}]},"ok":true,"nothing":null,"empty":"","deep":{"a":{"b":{"c":{"d":1}}}}}}`

func TestDetail(t *testing.T) {
	t.Parallel()
	s := company(t)
	s.publish(strings.ReplaceAll(full, "\n", ""))
	s.publish(`{"user_id":"carol","action":"document.read","resource":"document/42","request_id":"req-1","timestamp":"2026-05-05T10:02:00Z"}
{"user_id":"alice","action":"document.read","resource":"document/1","session_id":"s-1","timestamp":"2026-05-05T10:04:00Z"}
{"user_id":"alice","action":"document.read","resource":"document/1","session_id":"s-1","timestamp":"2026-05-05T11:00:00Z"}`)
	p := open(t, s, "/?from=all&q=error_code:conflict")
	p.settled()
	p.click("row")
	p.sees("detail", "2026-05-05 10:00:00.123456789 UTC")
	id := p.param("event")
	event, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}

	// Every field that the server has is there, letter by letter.
	var fields map[string]any
	if err := json.Unmarshal(event, &fields); err != nil {
		t.Fatal(err)
	}
	shown := eval[map[string]string](p, `Object.fromEntries([...document.querySelectorAll(".detail .pair")].map((e) => [e.querySelector("dt").textContent, e.querySelector(".dd-value").textContent]))`)
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			if name == "timestamp" || name == "received_at" {
				continue
			}
			if shown[name] != v {
				t.Errorf("%s is shown as %q and is %q", name, shown[name], v)
			}
		case map[string]any:
			for k, label := range v {
				if name == "labels" && shown[k] != label {
					t.Errorf("label %s is shown as %q and is %q", k, shown[k], label)
				}
			}
		}
	}
	if len(shown) < 24 {
		t.Errorf("shown are %v", shown)
	}

	// Changes as a diff.
	diff := eval[[]string](p, `[...document.querySelectorAll("[data-testid=changes] .change")].map((c) => c.querySelector(".change-path bdi").textContent + ": " + [...c.querySelectorAll(".del,.ins,.same")].map((l) => ({ del: "-", ins: "+", same: " " })[l.className] + l.querySelector(".delta-value").textContent.replace(/\s+/g, " ")).join("|"))`)
	if want := []string{`title: -Plan A|+Plan "B"`, `tags: -"a"| "b"|+"c"`, "body:  one|-two|+2| three", `order: -"deny"| "allow"|+"deny"`, `owner: +{ "id": 7, "name": "carol" }`, "draft: -true"}; !slices.Equal(diff, want) {
		t.Errorf("the changes are shown as %q", diff)
	}

	// Metadata as a tree, numbers to the last digit; what lies deep opens.
	p.sees("metadata", "9007199254740993")
	p.gone("metadata details details details details .j-number")
	p.click("metadata details:not([open]) > summary")
	p.wait(`[...document.querySelectorAll("[data-testid=metadata] .node")].some((e) => e.textContent.startsWith("d1"))`)

	p.allow("clipboard-read")
	p.allow("clipboard-write")
	p.click(`[title="Copy as JSON"]`)
	p.toast("JSON copied")
	var copied, real any
	text := p.clipboard()
	if err := json.Unmarshal([]byte(text), &copied); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if json.Unmarshal(event, &real); !reflect.DeepEqual(copied, real) || !strings.Contains(text, "9007199254740993") {
		t.Errorf("copied: %s", text)
	}
	p.click(`[title="Copy as a curl command"]`)
	p.toast("curl command copied")
	if text := p.clipboard(); text != fmt.Sprintf("curl -sS '%s/v1/events/%s'", s.url, id) {
		t.Errorf("copied: %s", text)
	}
	p.click(`[title="Copy a link to this event"]`)
	p.toast("Link copied")
	link := strings.TrimPrefix(p.clipboard(), s.url)
	other := open(t, s, link)
	other.settled()
	other.sees("detail", "somebody else was first")
	other.sees("row.active", "document.update")
	other.sees("total", "1 event")
}

// toast waits until it is said that something is done, among what else is said.
func (p *tab) toast(text string) {
	p.t.Helper()
	p.wait(`[...document.querySelectorAll("[data-testid=toast]")].some((e) => e.textContent === $_)`, text)
}

func (p *tab) clipboard() string {
	p.t.Helper()
	return eval[string](p, "navigator.clipboard.readText()")
}

// A click on a value filters by it or leaves it out; and what was around an event is
// one click away.
func TestAround(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.publish(strings.ReplaceAll(full, "\n", "") + "\n" + `{"user_id":"carol","action":"document.read","resource":"document/42","request_id":"req-1","timestamp":"2026-05-05T12:00:00Z"}
{"user_id":"alice","action":"document.read","resource":"document/1","session_id":"s-1","timestamp":"2026-05-05T10:04:00Z"}
{"user_id":"alice","action":"document.read","resource":"document/1","timestamp":"2026-05-05T11:00:00Z"}`)
	p := open(t, s, "/?from=all")
	p.settled()
	p.click("row:has(.failure)")
	p.sees("detail", "conflict")
	opened := p.address()
	for _, c := range []struct{ label, q string }{
		{"Filter by user_id alice", "user_id:alice"},
		{"Exclude user_id alice", "-user_id:alice"},
		{"Filter by resource_name Plan", `resource_name:"Plan \"B\""`},
		{"Filter by cost.centre", "labels.cost.centre:42"},
		{"Exclude with space", `-labels."with space":"x y"`},
		{"Filter by changes.path title", "changes.path:title"},
		{"Filter by metadata.order.total", "metadata.order.total:9007199254740993"},
		{"Filter by metadata.order.lines.sku x-1", "metadata.order.lines.sku:x-1"},
		{"Filter by offset", "offset:0"},
	} {
		p.goTo(opened)
		p.settled()
		p.sees("detail", "conflict")
		p.click(`[aria-label^=` + fmt.Sprintf("%q", c.label) + `]`)
		p.settled()
		if got := p.param("q"); got != c.q {
			t.Errorf("%s: the filter is %q, not %q", c.label, got, c.q)
		}
		if strings.HasPrefix(c.q, "-") {
			p.wait(`!document.querySelector("[data-testid=row] .failure")`)
		} else {
			p.wait(`document.querySelector("[data-testid=row] .failure")`)
		}
		p.shows(s, url.Values{"q": {c.q}})
	}
	for _, c := range []struct {
		link string
		rows []string // users and actions
	}{
		{"Same request", []string{"carol document.read", "alice document.update"}},
		{"Same session", []string{"alice document.read", "alice document.update"}},
		{"Same user", []string{"alice document.read", "alice document.update"}},
		{"Same resource", []string{"alice document.update"}},
		{"Everything", []string{"alice document.read", "alice document.update"}},
	} {
		p.goTo(opened)
		p.sees("around", c.link)
		links := eval[[]string](p, `[...document.querySelectorAll("[data-testid=around] a")].map((a) => a.textContent)`)
		i := slices.IndexFunc(links, func(l string) bool { return strings.HasPrefix(l, c.link) })
		p.click(fmt.Sprintf("around a @%d", i))
		p.wait(`location.pathname + location.search !== $_`, opened)
		p.settled()
		await(t, c.link, func() error {
			got := eval[[]string](p, `[...document.querySelectorAll("[data-testid=row]")].map((e) => (e.querySelector(".c-user .id") ?? e.querySelector(".c-user")).textContent + " " + e.querySelector(".c-action").textContent)`)
			slices.Sort(got)
			want := slices.Sorted(slices.Values(c.rows))
			if !slices.Equal(got, want) {
				return fmt.Errorf("the rows are %q, not %q", got, want)
			}
			return nil
		})
		p.sees("detail", "conflict") // the event stays open and marked
		p.sees(".grid-row.active", "document.update")
	}
}

// Facets have the counts of the filter and follow it.
func TestFacets(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	agree := func(q string) {
		t.Helper()
		for _, field := range []string{"outcome", "user_id", "action", "resource", "source", "source_ip"} {
			counts, err := s.Count(t.Context(), url.Values{"q": {q}, "by": {field}, "top": {"6"}})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, g := range counts.Groups {
				if g.Value == "" {
					g.Value = "none"
				}
				want = append(want, g.Value+" "+number(g.Count))
			}
			await(t, "facet "+field+" is as counted", func() error {
				got := eval[[]string](p, `[...document.querySelectorAll("[data-testid=facet-" + $_ + "] .facet-value")].map((e) => e.children[1].textContent + " " + e.querySelector(".n").textContent)`, field)
				if !slices.Equal(got, want) {
					return fmt.Errorf("it is %q, not %q", got, want)
				}
				return nil
			})
		}
	}
	p.click("facet-source_ip summary")
	p.sees("facet-source_ip", "10.20")
	agree("")
	p.click("facet-outcome .facet-value @2")
	p.settled()
	agree(p.param("q"))
	if p.param("q") != "outcome:denied" {
		t.Errorf("filter: %q", p.param("q"))
	}
	user := eval[string](p, `document.querySelector("[data-testid=facet-user_id] .facet-value").children[1].textContent`)
	p.hover("facet-user_id .facet-value", 0.5)
	p.click("facet-user_id .facet-not")
	p.settled()
	if want := "outcome:denied -user_id:" + user; p.param("q") != want {
		t.Errorf("filter: %q, not %q", p.param("q"), want)
	}
	agree(p.param("q"))
	p.click("facet-outcome .facet-value") // once more takes it out
	p.settled()
	agree("-user_id:" + user)
	p.click("facet-action .facet-more")
	p.wait(`document.querySelectorAll("[data-testid=facet-action] .facet-value").length > 6`)
}

// A user and a resource have pages of their own.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := company(t)
	now := time.Now().UTC()
	for i := range 12 { // more often from each than anything else
		s.publish(strings.Repeat(fmt.Sprintf(`{"user_id":"chen.wei","action":"vault.open","resource":"vault/1","source_ip":"198.51.100.%d","outcome":"denied","timestamp":%q}`+"\n", i, now.Format(time.RFC3339Nano)), 20))
	}
	p := open(t, s, "/?from=all&q=user_id:chen.wei")
	p.settled()
	p.click("row")
	p.click("detail .pair a[title='All about this user']")
	p.sees("profile", "chen.wei")
	if p.param("view") != "user" || p.param("id") != "chen.wei" {
		t.Errorf("address: %s", p.address())
	}
	q := url.Values{"q": {"user_id:chen.wei"}}
	p.sees("profile .stats", number(s.total(q)))
	p.sees("profile .stats", number(s.total(url.Values{"q": {"user_id:chen.wei outcome:(denied or failure)"}})))
	p.sees("new-today", "vault.open")
	p.sees("new-today", "198.51.100.")
	p.sees("new-today", "more") // many addresses do not hide the rest
	p.wait(`document.querySelectorAll("[data-testid=heatmap] rect").length === 168 && document.querySelectorAll("[data-testid=heatmap] rect.on").length > 0`)
	heat := eval[int](p, `[...document.querySelectorAll("[data-testid=heatmap] title")].reduce((n, t) => n + Number(t.textContent.split(": ")[1].replace(",", "")), 0)`)
	if want := s.total(q); int64(heat) != want {
		t.Errorf("the heat map has %d events of %d", heat, want)
	}
	p.sees("timeline", "vault.open")
	n := eval[int](p, `document.querySelectorAll("[data-testid=timeline] .moment").length`)
	p.click("older")
	p.wait(`document.querySelectorAll("[data-testid=timeline] .moment").length > $_`, n)
	p.click("all-events")
	p.settled()
	p.shows(s, q)
	p.back()
	p.sees("new-today", "vault.open")

	// The resource's history has what changed.
	changed := s.newest(url.Values{"q": {"action:role.update outcome:success"}})[0]
	event, err := s.Get(t.Context(), changed)
	if err != nil {
		t.Fatal(err)
	}
	resource := field(t, event, "resource")
	p.goTo("/?from=all&event=" + changed)
	p.click("detail .pair a[title='All about this resource']")
	p.sees("profile h1", resource)
	p.sees("timeline", "permissions")
	p.wait(`[...document.querySelectorAll("[data-testid=timeline] .ins")].some((e) => e.textContent.includes("write"))`)
	p.sees("profile .stats", number(s.total(url.Values{"q": {fmt.Sprintf("resource:%q", resource)}})))

	p.goTo("/?view=user&id=nobody")
	p.sees("profile", "Never seen")
}
