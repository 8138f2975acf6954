package browsertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMeasure prints how fast the page is over as many events as -events says. It
// judges nothing: the figures tell as much about what else the machine does.
func TestMeasure(t *testing.T) {
	if *measured == 0 {
		t.Skip("without -events nothing is measured")
	}
	s := serve(t)
	s.load(*measured)
	t.Logf("%d events are published", *measured)
	var paint, rows, search, size, opened []float64
	for n := range 15 {
		t.Run(fmt.Sprint(n), func(t *testing.T) { // so that each tab is closed before the next one opens
			p := blank(t, s)
			p.onLoad(observe)
			p.goTo("/")
			p.settled()
			paint = append(paint, eval[float64](p, `performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN`))
			rows = append(rows, eval[float64](p, `performance.getEntriesByType("resource").find((e) => e.name.includes("/v1/events?")).responseEnd`))
			size = append(size, eval[float64](p, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/ui/")).reduce((n, e) => n + e.decodedBodySize, performance.getEntriesByType("navigation")[0].decodedBodySize)`))
			// From Enter until what holds the rows has been painted.
			for _, q := range []string{"user_id:user-17", "outcome:denied action:invoice.*", "labels.env:prod -outcome:success"} {
				p.fill("query", q)
				eval[any](p, `(() => {
					const box = document.querySelector("[data-testid=rows] .grid-body"), ids = () => [...box.querySelectorAll("[data-testid=row]")].map((e) => e.dataset.id).join(), old = ids();
					document.querySelector("#query").addEventListener("keydown", () => {
						const began = performance.now();
						window.visible = new Promise((done) => new MutationObserver((_, o) => { if (ids() !== old) { o.disconnect(); requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))); } }).observe(box, { subtree: true, childList: true, attributes: true }));
					}, { once: true });
					return null;
				})()`)
				p.keys("\r")
				search = append(search, eval[float64](p, "visible"))
				p.settled()
			}
			p.keys("\x1b\x1b")
			began := time.Now()
			p.click("row @2")
			p.sees("detail", "event_id")
			opened = append(opened, float64(time.Since(began).Milliseconds()))
		})
	}
	for what, values := range map[string][]float64{"first contentful paint": paint, "the first rows have come": rows, "a search is visible": search, "an event is open": opened} {
		slices.Sort(values)
		t.Logf("%s: median %.0f ms, from %.0f to %.0f of %d", what, values[len(values)/2], values[0], values[len(values)-1], len(values))
	}
	t.Logf("the page loads %.0f bytes", size[0])
}

// load publishes n events of the last 24 hours.
func (s *server) load(n int) {
	s.t.Helper()
	now := time.Now().UTC()
	var b strings.Builder
	for i := range n {
		at := now.Add(-24 * time.Hour / time.Duration(n) * time.Duration(n-i))
		fmt.Fprintf(&b, `{"user_id":"user-%d","user_name":"User %d","action":%q,"resource":"invoice/%d","outcome":%q,"source_ip":"10.%d.%d.%d","source":"web","session_id":"s-%d","request_id":"req-%x","timestamp":%q,"labels":{"env":"prod","region":"eu-west-1"},"metadata":{"duration_ms":%d,"http":{"status":200}}}`+"\n",
			i%5000, i%5000, []string{"invoice.read", "invoice.update", "document.read", "user.login"}[i%4], i%100_000, []string{"success", "success", "success", "success", "success", "success", "success", "denied", "failure"}[i%9],
			i%3, i%200, i%250, i%20_000, i*7919, at.Format(time.RFC3339Nano), i%300)
		if i%20_000 == 19_999 || i == n-1 {
			s.publish(b.String())
			b.Reset()
		}
	}
}
