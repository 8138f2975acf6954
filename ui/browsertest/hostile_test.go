package browsertest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// hostile are values that want to be more than text.
var hostile = []string{
	`<script>window.pwned=1;alert(1)</script>`,
	`<img src=x onerror="window.pwned=1">`,
	`"><svg onload=window.pwned=1>`,
	`javascript:window.pwned=1`,
	`{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1}`,
	"__proto__", "constructor", "toString", "hasOwnProperty",
	"\u202eesrever\u202c \u2066isolated\u2069 \u200bzero\u200dwidth\ufeff",
	"שלום עולם مرحبا \u061c",
	"tab\tline\nfeed\rreturn\u2028separator",
	"null\x00bell\x07escape\x1b[31mred",
	"😀👩‍👩‍👧‍👦🏴‍☠️ e\u0301" + strings.Repeat("\u0301", 60) + " zalgo",
	strings.Repeat("W", 250),
	strings.Repeat("a b ", 60),
	"%00 %s ../../etc/passwd ' or 1=1 --",
	`\" \\ : ( ) * and or not -`,
	" leading and trailing ",
}

// hostileEvents are events with each of these in every field, and some that are large.
func hostileEvents(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	put := func(e map[string]any) {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	for i, v := range hostile {
		put(map[string]any{
			"timestamp": fmt.Sprintf("2026-04-01T10:00:%02dZ", i), "tenant_id": "hostile", "user_id": v, "user_name": v, "on_behalf_of": v, "action": v, "resource": v + "/" + v,
			"resource_name": v, "outcome": []string{"denied", "failure", "success", "unknown"}[i%4], "source": v, "user_agent": v, "session_id": v, "request_id": v, "trace_id": v,
			"correlation_id": v, "error_code": v, "reason": v, "labels": map[string]any{clip(v, 30): v, "plain": v},
			"changes":  []any{map[string]any{"path": v, "old": v, "new": map[string]any{v: v}}, map[string]any{"path": "list", "old": []string{v}, "new": []string{"x", v}}},
			"metadata": map[string]any{v: v, "nested": map[string]any{v: []any{v, map[string]any{v: nil}}}},
		})
	}
	keys := map[string]any{}
	for i := range 6000 { // as many as an event has room for
		keys[fmt.Sprintf("%x", i)] = i % 10
	}
	put(map[string]any{"timestamp": "2026-04-01T11:00:00Z", "user_id": "many", "action": "many.keys", "resource": "r/1", "metadata": keys})
	put(map[string]any{"timestamp": "2026-04-01T11:00:01Z", "user_id": "long", "action": "long.value", "resource": "r/1", "metadata": map[string]any{"long": "<b>" + strings.Repeat("0123456789", 6300)}})
	deep := any("bottom")
	for range 60 {
		deep = map[string]any{"d": deep}
	}
	put(map[string]any{"timestamp": "2026-04-01T11:00:02Z", "user_id": "deep", "action": "deep.value", "resource": "r/1", "metadata": deep})
	return b.String()
}

func clip(v string, runes int) string {
	r := []rune(v)
	return string(r[:min(len(r), runes)])
}

// contained says what of the rows in sight stands outside its place.
const contained = `(() => {
	const out = [];
	for (const row of document.querySelectorAll("[data-testid=row]")) {
		const r = row.getBoundingClientRect();
		if (Math.abs(r.height - 28) > 0.5) out.push("a row is " + r.height + " px high");
		for (const cell of row.children) {
			if (!cell.checkVisibility()) continue;
			const c = cell.getBoundingClientRect(), s = getComputedStyle(cell);
			if (c.left < r.left - 1 || c.right > r.right + 1 || s.overflowX !== "hidden") out.push(cell.className + " leaves its row: " + cell.textContent.slice(0, 40));
		}
		for (const value of row.querySelectorAll("bdi")) {
			const v = value.getBoundingClientRect();
			if (v.height && (v.top < r.top - 1 || v.bottom > r.bottom + 1)) out.push("a value leaves its row: " + value.textContent.slice(0, 40));
		}
		for (const value of row.querySelectorAll("bdi")) if (getComputedStyle(value).unicodeBidi !== "isolate" && getComputedStyle(value).unicodeBidi !== "plaintext") out.push("a value is not isolated");
	}
	if (document.documentElement.scrollWidth > innerWidth) out.push("the page is " + document.documentElement.scrollWidth + " px wide");
	if (document.querySelector("main script, main img, main iframe, body > script, body > img, [onerror], [onload]")) out.push("there is an element that an event made");
	if (/[\u202a-\u202e\u2066-\u2069\u200b\ufeff\u061c]/.test([...document.body.children].map((e) => e.innerText.replaceAll(document.querySelector(".overlay")?.innerText.trim() || "\0", "")).join())) out.push("an invisible character is not shown as its code");
	if (window.pwned || Object.prototype.pwned) out.push("a script has run");
	return out.join("; ");
})()`

func (p *tab) contained(where string) {
	p.t.Helper()
	if bad := eval[string](p, contained); bad != "" {
		p.t.Errorf("%s: %s", where, bad)
	}
}

func TestHostileRows(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.publish(hostileEvents(t))
	p := open(t, s, "/?from=all")
	p.settled()
	p.wait(fmt.Sprintf(`document.querySelectorAll("[data-testid=row]").length === %d`, len(hostile)+3))
	p.contained("rows")
	// Each row stands for its event: what an event holds is in no other's row.
	rows := eval[[]string](p, `[...document.querySelectorAll("[data-testid=row]")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((e) => e.dataset.id)`)
	if want := s.newest(nil); strings.Join(rows, " ") != strings.Join(want, " ") {
		t.Errorf("rows %q, want %q", rows, want)
	}
	for _, width := range []int64{360, 1920} {
		p.size(width, 900)
		p.wait(`document.documentElement.scrollWidth <= innerWidth`)
	}
	p.size(1280, 900)
	p.keys("l")
	p.wait(`document.querySelector("[data-testid=live].on")`)
	p.settled()
	s.publish(strings.ReplaceAll(hostileEvents(t), "2026-04-01T1", "2026-04-02T1"))
	p.sees("live-status", fmt.Sprint(len(hostile)+3)+" new")
	p.wait(fmt.Sprintf(`document.querySelectorAll("[data-testid=row]").length > %d`, len(hostile)))
	p.contained("live rows")
}

func TestHostileDetail(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.publish(hostileEvents(t))
	p := open(t, s, "/?from=all")
	p.settled()
	for _, id := range s.newest(nil) {
		p.goTo("/?from=all&event=" + id)
		p.sees("detail", id)
		p.settled()
		p.contained("detail")
		if out := eval[string](p, `(() => { const box = document.querySelector(".detail").getBoundingClientRect(); return [...document.querySelectorAll(".detail *")].filter((e) => { const r = e.getBoundingClientRect(); return r.width && (r.right > box.right + 1 || r.left < box.left - 1) && getComputedStyle(e).position !== "absolute"; }).map((e) => e.className + ": " + e.textContent.slice(0, 40)).slice(0, 3).join("; "); })()`); out != "" {
			t.Errorf("of event %s something leaves the detail: %s", id, out)
		}
		if n := eval[int](p, `document.querySelectorAll("*").length`); n > 6000 {
			t.Errorf("of event %s %d elements are shown", id, n)
		}
	}
	p.goTo("/?from=all&q=user_id:many")
	p.settled()
	p.click("row")
	p.sees("metadata .more", "Show 100 more of 6,000")
	p.click("metadata .more button")
	p.wait(`document.querySelectorAll("[data-testid=metadata] .node").length === 200`)
	p.goTo("/?from=all&q=user_id:long")
	p.settled()
	p.click("row")
	p.click("metadata .long button")
	p.wait(`document.querySelector("[data-testid=metadata] .long .value").textContent.length > 10000`)
	p.goTo("/?from=all&q=user_id:deep")
	p.settled()
	p.click("row")
	for range 20 {
		p.click("metadata details:not([open]) > summary")
	}
	p.contained("a deep tree")
}

// What is clicked on is found, whatever it is made of: facets, chips, users' pages,
// saved searches.
func TestHostileClicks(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.publish(hostileEvents(t))
	p := open(t, s, "/?from=all")
	p.settled()
	p.click("facet-user_id .facet-more")
	p.wait(fmt.Sprintf(`document.querySelectorAll("[data-testid=facet-user_id] .facet-value").length >= %d`, 20))
	p.contained("facets")
	for i, v := range hostile {
		if i%2 == 1 && v != "__proto__" {
			continue
		}
		p.goTo("/?view=user&id=" + url.QueryEscape(v))
		p.sees("profile .stats", "Events1")
		p.sees("timeline", "2026-04-01")
		p.contained("the page of a user")
		p.click("all-events")
		p.settled()
		p.sees("total", "1 event")
		p.sees("chip", "user_id")
		p.contained("chips")
		p.click("row")
		p.sees("detail", "hostile")
		p.click(`[aria-label^="Filter by reason"]`)
		p.settled()
		p.sees("total", "1 event")
		p.click("row")
		p.click(`[aria-label^="Exclude session_id"]`)
		p.settled()
		p.sees("message", "No events match")
	}
	p.search("")
	p.click("saved")
	p.sees("saved-panel", "None yet")
	p.keys(`<img src=x onerror=alert(1)> __proto__` + "\r")
	p.sees("saved-item", "<img src=x onerror=alert(1)>")
	p.contained("saved searches")
}
