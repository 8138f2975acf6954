package browsertest

import (
	"net/url"
	"slices"
	"testing"
)

// The server is lost and comes back: the page says so, what is on the screen stays,
// and then it goes on by itself, the live result too.
func TestServerLost(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=-7d&live=1&q=-user_id:nobody")
	p.wait(`document.querySelector("[data-testid=live].on")`)
	p.settled()
	s.publish(`{"user_id":"alice","action":"before","resource":"r/1"}`)
	p.sees(`.grid-row[aria-rowindex="2"]`, "before")
	before, total := p.ids(), p.text("total")
	p.losing()
	s.kill()
	p.keys("r")
	p.sees("banner", "The server does not answer")
	p.wait(`document.querySelector("#banner").role === "alert"`)
	p.sees("live-status", "reconnecting")
	after := p.ids() // a few less: the banner takes room
	if n := min(len(before), len(after)); n < 10 || !slices.Equal(after[:n], before[:n]) || p.text("total") != total {
		t.Errorf("the rows were %q and are %q", before, after)
	}
	p.click("row") // an event cannot be fetched now, and that is said
	p.sees(".detail", "The server does not answer")
	p.keys("\x1b")
	p.gone(".detail")
	p.click("banner button")
	p.sees("banner", "Asking again")

	s.start()
	p.gone("#banner") // by itself
	p.wait(`document.querySelector("[data-testid=live].on")`)
	p.settled()
	s.publish(`{"user_id":"alice","action":"after","resource":"r/2"}`)
	p.sees(`.grid-row[aria-rowindex="2"]`, "after")
	p.sees(`.grid-row[aria-rowindex="3"]`, "before")
	p.sees("total", number(s.total(nil))+" event")
	p.shows(s, nil)

	// The same without a live result, and on the other views.
	p.goTo("/?from=all&q=outcome:denied")
	p.settled()
	s.kill()
	p.fill("query", "outcome:failure")
	p.keys("\r")
	p.sees("banner", "The server does not answer")
	p.sees("row", "denied") // what is known stays
	s.start()
	p.gone("#banner")
	p.settled()
	p.shows(s, url.Values{"q": {"outcome:failure"}})
	p.goTo("/?view=system")
	p.sees("card-store", "events")
	s.kill()
	p.sees("banner", "The server does not answer")
	p.sees("card-store", "events")
	s.start()
	p.gone("#banner")
	p.goTo("/?view=user&id=alice")
	p.sees("profile", "after")
}

// A server that is lost before the page asked anything, and a page whose modules are
// not there any more because another version is served.
func TestLostAtOnce(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	p.losing()
	s.kill()
	p.click("saved") // a module that is loaded when it is wanted
	p.sees("toast", "could not be loaded")
	s.start()
	p.keys("r")
	p.settled()
	p.gone("#banner")
}
