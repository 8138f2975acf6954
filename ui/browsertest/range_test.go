package browsertest

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestRange(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/")
	p.settled()
	p.sees("range", "Last 24 hours")
	p.click("range")
	p.click(`[data-from="-7d"]`)
	p.settled()
	p.sees("range", "Last 7 days")
	p.goTo("/?from=-2h")
	p.settled()
	p.keys("z") // to the next that is wider
	p.wait(`location.search === "?from=-6h"`)
	p.back()
	p.back()
	p.settled()
	if p.param("from") != "-7d" {
		t.Errorf("address: %s", p.address())
	}
	p.sees("total", number(s.total(nil)))
	p.keys("t") // by keyboard
	p.wait(`document.activeElement.dataset.from === "-7d"`)
	p.keys("\t\t\t\r") // the last preset: all time
	p.wait(`location.search === "?from=all"`)
	p.settled()

	// Two dates, as somebody types them.
	day := time.Now().UTC().Add(-48 * time.Hour)
	p.click("range")
	p.click("range-from")
	p.date("range-from", day.Format("2006-01-02")+"T00:00:00")
	p.date("range-to", day.Format("2006-01-02")+"T12:30:00")
	p.click("range-apply")
	p.settled()
	want := url.Values{"from": {day.Format("2006-01-02") + "T00:00:00Z"}, "to": {day.Format("2006-01-02") + "T12:30:00Z"}}
	if p.param("from") != want.Get("from") || p.param("to") != want.Get("to") {
		t.Errorf("address: %s", p.address())
	}
	p.sees("total", number(s.total(want))+" event")
	p.shows(s, want)

	// The wrong way round.
	p.click("range")
	p.date("range-to", "2020-01-01T00:00:00")
	p.click("range-apply")
	p.sees("range-panel", "From must lie before To")
}

// date writes a date into a field as the browser's picker would.
func (p *tab) date(selector, value string) {
	p.t.Helper()
	p.wait(find(selector))
	eval[any](p, `(() => { const el = `+find(selector)+`; el.focus(); el.value = $_; el.dispatchEvent(new Event("input", { bubbles: true })); el.dispatchEvent(new Event("change", { bubbles: true })); return null; })()`, value)
}

// Times are shown in UTC or in the browser's zone, and which one always stands there.
func TestZone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.publish(`{"user_id":"alice","action":"a","resource":"r/1","timestamp":"2026-03-01T20:15:30.123456789Z"}`)
	p := open(t, s, "/?from=2026-03-01T00:00:00Z&to=2026-03-03T00:00:00Z")
	p.travel("Asia/Kolkata")
	p.settled()
	p.sees("zone", "UTC")
	p.sees("rows", "Time (UTC)")
	p.sees("row", "03-01 20:15:30.123")
	p.click("zone")
	p.wait(`location.search.includes("tz=local")`)
	p.sees("zone", "Asia/")
	p.size(360, 800) // and on a telephone
	p.sees("zone span", "Asia/")
	p.size(1280, 900)
	p.sees("rows", "Time (Asia/")
	p.sees("row", "03-02 01:45:30.123")
	p.sees("range", "03-01 05:30")
	p.click("row")
	p.sees("detail", "2026-03-02 01:45:30.123456789 +05:30")
	p.sees("detail", "2026-03-01T20:15:30.123456789Z (UTC)")
	p.reload() // the address has it
	p.sees("row", "03-02 01:45:30.123")
	p.click("range")
	p.click(`input[name=tz][value=utc]`)
	p.sees("row", "03-01 20:15:30.123")

	// What is typed in local time is local time.
	p.goTo("/?tz=local")
	p.settled()
	p.click("range")
	p.date("range-from", "2026-03-02T01:45:30")
	p.date("range-to", "2026-03-02T01:45:31")
	p.click("range-apply")
	p.settled()
	if p.param("from") != "2026-03-01T20:15:30Z" {
		t.Errorf("address: %s", p.address())
	}
	p.sees("total", "1 event")
}

// A brush over the histogram narrows the range; back undoes it; the link is the
// finding, for whoever opens it.
func TestBrush(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=-7d&q=outcome:success")
	p.settled()
	before := p.text("total")
	p.drag("histogram", 0.6, 0.9)
	p.wait(`new URLSearchParams(location.search).get("to")`)
	p.settled()
	zoomed := url.Values{"q": {"outcome:success"}, "from": {p.param("from")}, "to": {p.param("to")}}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(zoomed.Get("from")) {
		t.Errorf("address: %s", p.address())
	}
	p.sees("total", number(s.total(zoomed))+" event")
	p.shows(s, zoomed)
	first := p.address()

	p.drag("histogram", 0.7, 0.2) // leftwards
	p.wait(`location.pathname + location.search !== $_`, first)
	p.settled()
	p.back()
	p.wait(`location.pathname + location.search === $_`, first)
	p.settled()
	p.shows(s, zoomed)
	p.back()
	p.wait(`!location.search.includes("to=")`)
	p.settled()
	if after := p.text("total"); after != before {
		t.Errorf("%s after going back, %s before", after, before)
	}

	p.goTo(first)
	p.settled()
	view := p.view()
	p.reload()
	p.settled()
	if again := p.view(); again != view {
		t.Errorf("reloaded it is\n%s\nand was\n%s", again, view)
	}
	for who, other := range map[string]*tab{"another tab": p.openAnother(first), "somebody else": open(t, s, first)} {
		other.settled()
		if again := other.view(); again != view {
			t.Errorf("%s shows\n%s\nand not\n%s", who, again, view)
		}
	}

	// By keyboard: from the last bar three to the left, and in.
	eval[any](p, find("histogram")+`.focus()`)
	p.keys(kb.End)
	p.keys(kb.ArrowLeft+kb.ArrowLeft+kb.ArrowLeft, chromedp.ModifierShift)
	p.keys("\r")
	p.wait(`location.pathname + location.search !== $_`, first)
	p.settled()
	narrower := url.Values{"q": {"outcome:success"}, "from": {p.param("from")}, "to": {p.param("to")}}
	p.sees("total", number(s.total(narrower))+" event")
	if !p.time("from").After(parse(t, zoomed.Get("from"))) || p.time("to").Before(p.time("from")) {
		t.Errorf("zoomed in from %v to %v", zoomed, narrower)
	}
	p.keys("z")
	p.wait(`new URLSearchParams(location.search).get("from") < $_`, narrower.Get("from"))
}

// view is what the page shows, without what depends on the moment.
func (p *tab) view() string {
	p.t.Helper()
	p.wait(find("row"))
	return eval[string](p, `[document.querySelector("#query").value, document.querySelector("[data-testid=range]").innerText, document.querySelector("[data-testid=total]").innerText,
		...[...document.querySelectorAll("[data-testid=row]")].map((e) => e.dataset.id + e.querySelector("time").innerText)].join("\n")`)
}

func (p *tab) time(param string) time.Time { return parse(p.t, p.param(param)) }

func parse(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The histogram has, bar by bar and outcome by outcome, what the server counts.
func TestHistogram(t *testing.T) {
	t.Parallel()
	s := company(t)
	to := time.Now().UTC().Truncate(time.Hour)
	from := to.Add(-24 * time.Hour)
	p := open(t, s, "/?from="+from.Format(time.RFC3339)+"&to="+to.Format(time.RFC3339))
	p.settled()
	counts, err := s.Count(t.Context(), url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}, "interval": {"15m"}, "by": {"outcome"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]int64{} // by the time at which a bar begins and outcome
	for _, g := range counts.Groups {
		p.sees(".legend", g.Value+" "+number(g.Count))
		for _, b := range g.Buckets {
			at := parse(t, b.Start).Format("15:04:05")
			if want[at] == nil {
				want[at] = map[string]int64{}
			}
			want[at][g.Value] = b.Count
		}
	}
	var total int64
	for i := range 96 {
		p.hover("histogram", (float64(i)+0.5)/96)
		start := from.Add(time.Duration(i) * 15 * time.Minute)
		p.sees("histogram-tip", start.Format("2006-01-02 15:04:05")+" – ")
		var lines []string
		for _, o := range []string{"denied", "failure", "unknown", "success"} {
			if n := want[start.Format("15:04:05")][o]; n > 0 {
				lines = append(lines, o+number(n))
				total += n
			}
		}
		said := strings.Join(eval[[]string](p, `[...document.querySelectorAll(".tip-line")].map((e) => e.textContent)`), " ")
		if said != strings.Join(lines, " ") {
			t.Errorf("at %s the page says %q, the server %q", start, said, lines)
		}
	}
	if total != counts.Total {
		t.Errorf("the bars have %d events of %d", total, counts.Total)
	}
	// Every count that is not zero is drawn.
	for _, g := range counts.Groups {
		drawn := eval[int](p, `(document.querySelector(".plot .bar." + $_)?.getAttribute("d") ?? "").split("M").length - 1`, g.Value)
		n := 0
		for _, b := range g.Buckets {
			if b.Count > 0 {
				n++
			}
		}
		if drawn != n {
			t.Errorf("%s: %d bars are drawn of %d", g.Value, drawn, n)
		}
	}
	p.hover("total", 0.5)
	p.gone("histogram-tip")
}
