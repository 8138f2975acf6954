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
	p.wait(`document.querySelector("[data-testid=live].on")`)
	p.settled()
	eval[any](p, `void (longTasks.length = 0)`)
	const batches, size = 60, 500
	done := make(chan time.Duration)
	go func() {
		began, every := time.Now(), time.NewTicker(100*time.Millisecond)
		defer every.Stop()
		for b := range batches {
			var lines strings.Builder
			for i := range size {
				fmt.Fprintf(&lines, `{"user_id":"user-%d","action":"fast.test","resource":"fast/%d","outcome":%q}`+"\n", i%50, b*size+i, []string{"success", "denied"}[i%2])
			}
			if _, err := s.Publish(t.Context(), []byte(lines.String()), nil); err != nil {
				t.Error(err)
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
	took := <-done
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
	p.onLoad(`const timer = setTimeout; window.setTimeout = (f, ms, ...args) => timer(f, ms === 10000 ? 170 : ms, ...args);`)
	p.goTo("/?q=action:live.facet&live=1")
	p.wait(`document.querySelector("[data-testid=live].on")`)
	p.settled()
	for i, user := range []string{"ada", "grace"} {
		s.publish(strings.Repeat(fmt.Sprintf(`{"user_id":%q,"action":"live.facet","resource":"facet/%d"}`+"\n", user, i), i+2))
		p.sees("facet-user_id", fmt.Sprint(user, i+2))
	}
}
