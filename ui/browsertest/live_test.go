package browsertest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// observe makes the page keep what blocks it for longer than 50 ms.
const observe = `window.longTasks = []; new PerformanceObserver((l) => longTasks.push(...l.getEntries().map((e) => e.duration))).observe({ type: "longtask", buffered: true });`

// At thousands of events a second every event is counted, rows are a sample and the
// page says so; it goes on doing what is asked of it; and what remains is exact.
func TestLiveFast(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.onLoad(observe)
	p.goTo("/?from=-15m&live=1")
	p.live()
	eval[any](p, `void (longTasks.length = 0)`)
	const batches, size = 60, 500
	done, failed := make(chan time.Duration, 1), make(chan error, 1)
	go func() {
		began, every := time.Now(), time.NewTicker(100*time.Millisecond)
		defer every.Stop()
		for b := range batches {
			var lines strings.Builder
			for i := range size {
				fmt.Fprintf(&lines, `{"user_id":"user-%d","action":"fast.test","resource":"fast/%d","outcome":%q}`+"\n", i%50, b*size+i, []string{"success", "denied"}[i%2])
			}
			if _, err := s.Publish(t.Context(), []byte(lines.String()), nil); err != nil {
				failed <- err
				return
			}
			<-every.C
		}
		done <- time.Since(began)
	}()
	p.sees("live-status", "a sample is shown, every event counted")
	p.sees("live-status", "events/s")
	began := time.Now()
	p.click("row @3")
	p.sees("detail", "event_id")
	opened := time.Since(began)
	var took time.Duration
	select {
	case took = <-done:
	case err := <-failed:
		t.Fatal(err)
	}
	p.sees("live-status", number(batches*size)+" new since")
	p.sees("total", number(s.total(url.Values{"from": {"-15m"}}))+" events")
	await(t, "the rows are all of the newest", func() error {
		if text := p.text("live-status"); strings.Contains(text, "sample") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	p.shows(s, url.Values{"from": {"-15m"}})
	tasks := eval[[]float64](p, "longTasks")
	var sum, most float64
	for _, d := range tasks {
		sum, most = sum+d, max(most, d)
	}
	t.Logf("%d events in %v (%.0f/s); %d long tasks, %.0f ms of %v together, the longest %.0f ms; an event opened in %v",
		batches*size, took.Round(time.Millisecond), batches*size/took.Seconds(), len(tasks), sum, time.Since(began).Round(time.Second), most, opened.Round(time.Millisecond))
}

// What the result is made of is counted again while it is live, if less often than how
// much it is: here the page's minute is a second.
func TestLiveFacets(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.onLoad(`const timer = setTimeout, now = performance.now.bind(performance); window.setTimeout = (f, ms, ...args) => timer(f, ms === 10000 ? 170 : ms, ...args); performance.now = () => 60 * now();`)
	p.goTo("/?q=action:live.facet&live=1")
	p.live()
	publish := func(user string, n int) {
		s.publish(strings.Repeat(fmt.Sprintf(`{"user_id":%q,"action":"live.facet","resource":"facet/1"}`+"\n", user), n))
	}
	publish("ada", 2)
	p.sees("facet-user_id", "ada2")
	p.click("pause")
	publish("grace", 3)
	p.sees("new-pill", "3 new")
	p.click("new-pill") // the list is asked for anew, and the facets in their time
	p.sees("facet-user_id", "grace3")

	// Under somebody's hand they stay.
	eval[any](p, `document.querySelector("[data-testid=facet-user_id] .facet-value").focus()`)
	publish("hedy", 4)
	p.sees("total", "9 events")
	time.Sleep(2 * time.Second)
	if text := eval[string](p, find("facet-user_id")+`.textContent`); strings.Contains(text, "hedy") {
		t.Errorf("the users are %q", text)
	}
	p.keys("/")
	p.sees("facet-user_id", "hedy4")
}

// A tail that is given up before it has answered leaves nothing behind.
func TestLiveGivenUp(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	eval[any](p, `(() => { const b = document.querySelector("[data-testid=live]"); b.click(); b.click(); return null; })()`)
	time.Sleep(1500 * time.Millisecond) // a start is waited for, for a second
	p.settled()
	if class := eval[string](p, `document.querySelector(".search-view").className`); class != "search-view" {
		t.Errorf("the view is %q", class)
	}
	p.shows(s, url.Values{})
}
