package browsertest

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Where somebody works with the keyboard the focus stays, or goes to what comes in the
// place of what is gone.
func TestFocus(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all&q=user_id:chen.wei+outcome:denied")
	p.settled()
	on := func(selector string) {
		t.Helper()
		p.wait(`document.activeElement.closest($_)`, selector)
	}
	focus := func(selector string) {
		t.Helper()
		p.wait(find(selector))
		eval[any](p, find(selector)+`.focus()`)
		p.wait(`document.activeElement === ` + find(selector))
	}
	focus("facet-action .facet-value")
	p.keys("\r")
	p.wait(`location.search.includes("action:")`)
	p.settled()
	on("[data-testid=facet-action]")
	focus(".chip-x @2")
	p.keys("\r")
	p.wait(`!location.search.includes("action:")`)
	p.settled()
	on("[data-testid=chips]")
	p.click("row")
	p.sees("detail", "event_id")
	focus("detail .act")
	p.keys("j") // the next event, in the same place
	p.settled()
	on("[data-testid=detail]")
	p.keys("\r")
	p.gone("detail")
	p.settled()
	on("[data-testid=rows]")

	p.goTo("/?view=user&id=chen.wei")
	focus("older")
	p.keys("\r")
	p.wait(`document.querySelectorAll("[data-testid=timeline] .moment").length > 50`)
	on("[data-testid=older]")

	p.goTo("/?view=system")
	focus("card-dead-letters a")
	eval[any](p, `void new MutationObserver((_, o) => { window.redrawn = true; o.disconnect(); }).observe(document.querySelector("#system-tab"), { childList: true })`)
	p.wait("window.redrawn")
	on("[data-testid=card-dead-letters] a")
}

// On a telephone an event lies over the list, has the focus, and gives it back.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.size(360, 800)
	p.goTo("/?from=all")
	p.settled()
	ids := p.ids()
	p.click("row @1")
	p.sees("detail", ids[1])
	p.wait(`document.activeElement.closest("[data-testid=detail]")`)
	p.keys(kb.Escape)
	p.gone("detail")
	p.wait(`document.activeElement.closest("[data-testid=rows]")`)
	p.keys("\r")
	p.sees("detail", ids[1])
	p.click("detail-close")
	p.gone("detail")
	p.shows(s, nil)
}

// For who wants less motion nothing moves.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.media("prefers-reduced-motion", "reduce")
	p.goTo("/?from=all&live=1")
	p.live()
	p.click("row")
	p.sees("detail", "event_id")
	moving := eval[[]string](p, `[...document.querySelectorAll("*")].filter((e) => { const s = getComputedStyle(e); return s.animationName !== "none" || /[1-9]/.test(s.transitionDuration) || s.scrollBehavior !== "auto"; }).map((e) => e.outerHTML.slice(0, 100))`)
	if len(moving) > 0 {
		t.Errorf("these move: %q", moving)
	}
}
