package browsertest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
)

// holdable makes answers of a path wait, from when hold says which until release.
const holdable = `const ask = fetch;
window.fetch = async (...args) => {
	const response = await ask(...args);
	if (window.holding?.test(args[0])) { window.held = true; await window.held_until; }
	return response;
};`

func (p *tab) hold(path string) {
	p.t.Helper()
	eval[any](p, `void (held = false, holding = new RegExp($_), held_until = new Promise((done) => window.release = done))`, path)
}

func (p *tab) release() {
	p.t.Helper()
	eval[any](p, `void (holding = null, release())`)
}

// live opens the page live, with a filter, in which answers can be held.
func live(t *testing.T, s *server, q string) *tab {
	t.Helper()
	p := blank(t, s)
	p.onLoad(holdable)
	p.goTo("/?from=-1h&live=1&q=" + url.QueryEscape(q))
	p.live()
	return p
}

// resources waits until the rows are of these resources, from the top.
func (p *tab) resources(want ...string) {
	p.t.Helper()
	p.wait(`[...document.querySelectorAll("[data-testid=row] .c-resource")].map((e) => e.textContent).join(" ") === $_`, strings.Join(want, " "))
}

// An event that comes while the list is asked for anew is in it once, whether the
// answer has it or not, and what somebody has chosen is still chosen.
func TestLiveWhileAnswerIsLate(t *testing.T) {
	t.Parallel()
	s := company(t)
	publish := func(resource string) {
		t.Helper()
		s.publish(fmt.Sprintf(`{"user_id":"ada","action":"late.test","resource":%q}`, resource))
	}
	p := live(t, s, "action:late.test")
	publish("late/1")
	p.resources("late/1")
	p.keys("j")
	p.click("pause")
	publish("late/2")
	p.sees("new-pill", "1 new")
	p.wait(`document.querySelector("#announce").textContent === "Paused"`)
	p.hold(`/v1/events\?`)
	p.click("new-pill")
	p.wait("window.held")
	publish("late/3")
	p.resources("late/3", "late/1") // above what there was; the answer has the second
	p.release()
	p.resources("late/3", "late/2", "late/1")
	p.sees("total", "3 events")
	p.wait(`document.querySelector(".grid-row.active .c-resource")?.textContent === "late/1" && document.getElementById(` + find("rows") + `.getAttribute("aria-activedescendant"))?.textContent.includes("late/1")`)
}

// A row that is pressed is the one that opens, though others come before it is
// released.
func TestLivePress(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := live(t, s, "action:press.test")
	s.publish(`{"user_id":"ada","action":"press.test","resource":"press/1"}`)
	p.resources("press/1")
	x, y := p.spot("row")
	p.mouse(input.DispatchMouseEventTypeMouseMoved, x, y, 0)
	p.mouse(input.DispatchMouseEventTypeMousePressed, x, y, 1)
	s.publish(`{"user_id":"ada","action":"press.test","resource":"press/2"}`)
	p.resources("press/2", "press/1")
	p.mouse(input.DispatchMouseEventTypeMouseReleased, x, y, 1)
	p.sees("detail", "press/1")

	// What is released elsewhere was not meant.
	p.keys("\x1b")
	p.gone("detail")
	p.mouse(input.DispatchMouseEventTypeMousePressed, x, y, 1)
	p.mouse(input.DispatchMouseEventTypeMouseMoved, x, y+100, 1)
	p.mouse(input.DispatchMouseEventTypeMouseReleased, x, y+100, 1)
	p.click("row @1")
	p.sees("detail", "press/1")
}

// What is published now and happened before the range is not of the result.
func TestLiveRange(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := live(t, s, "action:range.test")
	s.publish(fmt.Sprintf(`{"user_id":"ada","action":"range.test","resource":"range/old","timestamp":%q}`, time.Now().Add(-48*time.Hour).UTC().Format(time.RFC3339)))
	s.publish(`{"user_id":"ada","action":"range.test","resource":"range/new"}`)
	p.resources("range/new")
	p.sees("total", "1 event")
	p.sees("live-status", "1 new since")
}

// uncounted is a page's script with which the server counts nothing.
const uncounted = `const ask = fetch; window.fetch = (...args) => !/v1.counts/.test(args[0]) ? ask(...args) : Promise.resolve(new Response(JSON.stringify({ title: "Query took too long", detail: "the query ran for 30 s", status: 422 }), { status: 422 }))`

// Rows that were found stay when they cannot be counted.
func TestNotCounted(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.onLoad(uncounted)
	p.goTo("/?from=all&q=" + url.QueryEscape("upstream answered"))
	p.settled()
	p.sees("note", "the query ran for 30 s")
	p.gone("message")
	p.shows(s, url.Values{"q": {"upstream answered"}})
	p.click("row")
	p.sees("detail", "event_id")
}

// viewer opens the viewer with a token, by itself, and with a script.
func viewer(t *testing.T, script string) *tab {
	t.Helper()
	s := newServer(t)
	s.startWithKeys()
	s.company()
	token, err := s.CreateViewerToken(t.Context(), map[string]any{"tenant": "harbour-finch"})
	if err != nil {
		t.Fatal(err)
	}
	p := blank(t, s)
	p.onLoad(script)
	p.goTo("/embed?from=all#token=" + token.Token)
	return p
}

// In the viewer, too.
func TestEmbedNotCounted(t *testing.T) {
	t.Parallel()
	p := viewer(t, uncounted)
	p.sees("total", "Not counted: the query ran for 30 s")
	p.gone("message")
	p.click("row")
	p.sees("detail", "event_id")
}

// The event that is shown beside the list is the one that was chosen last.
func TestEmbedLate(t *testing.T) {
	t.Parallel()
	p := viewer(t, holdable)
	p.sees("total", "event")
	ids := p.ids()
	p.hold("/v1/events/" + ids[0])
	p.click("row")
	p.wait("window.held")
	p.click("row @1")
	p.sees("detail", ids[1])
	p.release()
	time.Sleep(300 * time.Millisecond)
	p.sees("detail", ids[1])
}
