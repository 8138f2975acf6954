package browsertest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	ids := s.newest(url.Values{"limit": {"10"}})
	active := func(i int) {
		t.Helper()
		p.wait(`document.querySelector(".grid-row.active")?.dataset.id === $_`, ids[i])
	}
	p.keys("jjj")
	active(2)
	p.keys("k")
	active(1)
	p.wait(`document.querySelector("#announce").textContent.includes(document.querySelector(".grid-row.active .c-action").textContent)`)
	p.keys("\r")
	p.sees("detail", ids[1])
	if p.param("event") != ids[1] {
		t.Errorf("address: %s", p.address())
	}
	p.keys("j") // the detail follows
	p.sees("detail", ids[2])
	p.keys(kb.Escape)
	p.gone("detail")
	p.back() // what was open is open again
	p.sees("detail", ids[2])
	p.click("detail-close")
	p.gone("detail")
	p.click("row @4")
	p.sees("detail", ids[4])
	p.keys(kb.Escape + kb.ArrowDown + kb.ArrowDown)
	p.gone("detail")
	active(6)
	p.keys("G")
	p.sees(".grid-row.active", eval[string](p, `fetch("/v1/events?order=oldest&limit=1").then((r) => r.json()).then((d) => d.events[0].resource)`))
	p.keys("g")
	active(0)
	p.keys("/")
	p.wait(`document.activeElement.id === "query"`)
	p.keys("j") // is text here
	p.wait(`document.querySelector("#query").value === "j"`)
	p.keys("\b" + kb.Escape + kb.Escape)
	p.keys("?")
	p.sees("help-dialog", "next, previous event")
	p.keys(kb.Escape)
	p.gone("help-dialog")
	p.keys("l")
	p.wait(`location.search.includes("live=1")`)
	p.keys("l")
	p.wait(`!location.search.includes("live=1")`)
	p.keys("e")
	p.sees("export-dialog", "Parquet")
	p.keys(kb.Escape)
	p.gone("export-dialog")

	// Help leads to searches, and turns single letters off.
	p.keys("?")
	p.click("help-dialog a")
	p.wait(`new URLSearchParams(location.search).get("q") === "user_id:alice outcome:denied"`)
	p.gone("help-dialog")
	p.settled()
	p.back()
	p.settled()
	p.keys("?")
	p.click("help-dialog input[type=checkbox]")
	p.keys(kb.Escape)
	p.gone("help-dialog")
	p.keys("l/?")
	p.wait(`document.activeElement.id !== "query" && !location.search.includes("live") && !document.querySelector("dialog")`)
}

// Rows of any length: wherever somebody scrolls the rows of that place are there, and
// the document stays small. 300,000 are higher than an element can be.
func TestScroll(t *testing.T) {
	t.Parallel()
	const n = 300_000
	s := serve(t)
	s.many(n, time.Now().Add(-time.Hour))
	p := open(t, s, "/?from=all")
	p.settled()
	p.sees("total", number(n)+" events")
	at := func(where string, share float64) {
		t.Helper()
		await(t, where+": the rows of this place are there", func() error { return p.inPlace(share, n) })
	}
	at("top", 0)
	p.wheel("rows", 700)
	p.wait(find("rows") + `.scrollTop > 500`)
	p.still("rows")
	at("a wheel further", 0)
	for _, share := range []float64{0.5, 0.25, 0.999, 0.73, 0.01, 1, 0.5} { // by the scroll bar
		eval[any](p, `(() => { const g = `+find("rows")+`; g.scrollTop = (g.scrollHeight - g.clientHeight) * $_; return null; })()`, share)
		at(fmt.Sprint(share), share)
	}
	p.wheel("rows", -1500)
	p.still("rows")
	at("back a little", 0.5)
	p.keys("G")
	at("G", 1)
	p.sees(`.grid-row.active`, "item/"+strconv.Itoa(n-1))
	p.keys("kkk")
	p.sees(`.grid-row.active`, "item/"+strconv.Itoa(n-4))
	p.keys("\r")
	p.sees("detail", "item/"+strconv.Itoa(n-4))
	p.keys(kb.Escape + "g")
	at("g", 0)
	p.sees(`.grid-row.active`, "item/0")
}

// still waits until an element does not scroll any more: the wheel's motion is smooth
// and takes over from what moves at the same time.
func (p *tab) still(selector string) {
	p.t.Helper()
	eval[any](p, `new Promise((done) => {
		const el = `+find(selector)+`;
		let y = -1, frames = 0;
		const look = () => { frames = el.scrollTop === y ? frames + 1 : 0; y = el.scrollTop; frames > 20 ? done(null) : requestAnimationFrame(look); };
		look();
	})`)
}

// inPlace says what is wrong with the rows in sight: whether each stands where its
// number says, and all of them about at a share of the whole.
func (p *tab) inPlace(share float64, n int) error {
	rows, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]string](`(() => {
		const g = `+find("rows")+`, box = g.getBoundingClientRect(), top = box.top + 26;
		const rows = [...g.querySelectorAll(".grid-body > .grid-row")].map((e) => [e, e.getBoundingClientRect()]).filter(([, r]) => r.bottom > top && r.top < box.bottom);
		const gaps = rows.map(([, r]) => r.top).sort((a, b) => a - b).some((y, i, all) => i && Math.abs(y - all[i - 1] - 28) > 1);
		const covered = rows.length && Math.min(...rows.map(([, r]) => r.top)) <= top + 1 && Math.max(...rows.map(([, r]) => r.bottom)) >= box.bottom - 1;
		return [String(gaps), String(covered), String(document.querySelectorAll("*").length), ...rows.map(([e]) => e.getAttribute("aria-rowindex") + " " + (e.querySelector(".c-resource")?.textContent ?? "not loaded"))];
	})()`))
	if err != nil {
		return err
	}
	if rows[0] != "false" || rows[1] != "true" {
		return fmt.Errorf("there are gaps: %q", rows)
	}
	if elements, _ := strconv.Atoi(rows[2]); elements > 2500 {
		return fmt.Errorf("the document has %d elements", elements)
	}
	for _, row := range rows[3:] {
		index, what, _ := strings.Cut(row, " ")
		i, _ := strconv.Atoi(index)
		if i -= 2; what != "item/"+strconv.Itoa(i) {
			return fmt.Errorf("row %d is %s", i, what)
		}
		if off := float64(i)/float64(n) - share; off > 0.01 || off < -0.01 {
			return fmt.Errorf("row %d is in sight", i)
		}
	}
	return nil
}

// New events arrive at the top; while somebody reads further down, or has paused, rows
// stay and a pill counts what came.
func TestLive(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=-7d")
	p.settled()
	n := s.total(nil)
	p.click("live")
	p.live()
	came := 0
	publish := func(count int) {
		t.Helper()
		for range count {
			came++
			s.publish(fmt.Sprintf(`{"user_id":"alice","action":"live.test","resource":"live/%d","outcome":"denied"}`, came))
		}
	}
	top := func() {
		t.Helper()
		p.wait(`document.querySelector('[data-testid=row][aria-rowindex="2"] .c-resource')?.textContent === $_`, fmt.Sprint("live/", came))
		p.sees("total", number(n+int64(came))+" event")
	}
	publish(1)
	top()
	publish(5)
	top()
	p.sees("live-status", "6 new since")
	p.wait(`[...document.querySelectorAll(".tip, .plot .bar.denied")].length > 0`)

	p.wheel("rows", 900)
	p.wait(find("rows") + `.scrollTop > 500`)
	p.still("rows")
	before := p.ids()
	publish(3)
	p.sees("new-pill", "3 new")
	if after := p.ids(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("rows moved under the reader's eyes: %q, then %q", before, after)
	}
	p.sees("total", number(n+int64(came)))
	p.click("new-pill")
	top()
	p.gone("new-pill")

	p.click("pause")
	p.sees("live-status", "paused")
	publish(2)
	p.sees("new-pill", "2 new")
	p.wait(`document.querySelector('[data-testid=row][aria-rowindex="2"] .c-resource').textContent === $_`, fmt.Sprint("live/", came-2))
	p.keys("p")
	top()
	p.keys("p")
	publish(1)
	p.sees("new-pill", "1 new")
	p.keys("n")
	top()

	// Another filter is another tail.
	p.search("resource:live/* outcome:denied")
	p.wait(`document.querySelector("[data-testid=live].on")`)
	n = 0
	publish(2)
	top()
	s.publish(`{"user_id":"bob","action":"x","resource":"other/1"}`)
	publish(1)
	top()
	p.shows(s, url.Values{"q": {"resource:live/*"}})
}

// Rows are filled again by the next search. Nothing of what they were is left: each is
// what it is in a tab that never showed another, with an identity that two tenants have
// too.
func TestRowsAgain(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var b strings.Builder
	for i := range 12 {
		for _, more := range []string{
			`"tenant_id":"a","user_name":"Full Name","user_type":"service","on_behalf_of":"somebody","resource_name":"A name","outcome":"denied","error_code":"forbidden","source_ip":"10.0.0.1"`,
			`"tenant_id":"b","outcome":"success","source":"web"`,
			`"tenant_id":"c","user_name":"עברית","outcome":"failure","error_code":"timeout"`,
		} {
			fmt.Fprintf(&b, `{"event_id":"01900000-0000-7000-8000-0000000000%02x","timestamp":"2026-04-01T10:%02d:00.123Z","user_id":"user-%d","action":"item.read","resource":"item/%d",%s}`+"\n", i, i, i, i, more)
		}
	}
	s.publish(b.String())
	const rows = `[...document.querySelectorAll("[data-testid=row]")].map((e) => { const row = e.cloneNode(true); row.querySelector(".c-age").textContent = ""; return row.outerHTML; })`
	p := open(t, s, "/?from=all")
	p.settled()
	for _, q := range []string{"tenant_id:a", "tenant_id:b", "tenant_id:c", "tenant_id:a user_id:(user-1 or user-2)", "-tenant_id:a", "tenant_id:b"} {
		p.search(q)
		fresh := open(t, s, "/?"+url.Values{"from": {"all"}, "q": {q}}.Encode())
		fresh.settled()
		await(t, "rows are as in a fresh tab", func() error {
			got, want := eval[[]string](p, rows), eval[[]string](fresh, rows)
			if len(want) == 0 || !slices.Equal(got, want) {
				return fmt.Errorf("%s: they are\n%s\nnot\n%s", q, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			return nil
		})
	}
}

// Who may not see who did what still sees that something was done.
func TestHiddenFields(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWithKeys()
	s.publish(`{"tenant_id":"harbour-finch","user_id":"alice","action":"document.read","resource":"document/1","outcome":"denied","source_ip":"10.0.0.1"}`)
	key, err := s.CreateKey(t.Context(), map[string]any{"name": "auditor", "rights": []string{"read"}, "tenant": "harbour-finch", "hidden": []string{"user_id", "user_name", "action", "resource", "outcome"}})
	if err != nil {
		t.Fatal(err)
	}
	p := blank(t, s)
	p.expect(400, 401)
	p.goTo("/?from=-1h")
	p.signIn(key.Secret)
	p.settled()
	p.sees("row", "10.0.0.1")
	p.sees("total", "1 event")
	p.sees("facet-outcome", "not counted")
	p.keys("j\r")
	p.sees("detail", "10.0.0.1")
	for _, name := range []string{"row", "detail", "#announce"} {
		if text := eval[string](p, find(name)+`.textContent`); strings.Contains(text, "undefined") || strings.Contains(text, "alice") {
			t.Errorf("%s says %q", name, text)
		}
	}
}
