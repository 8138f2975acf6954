package browsertest

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	p.shows(s, url.Values{})
	for _, q := range []string{"action:invoice.read outcome:denied", "-outcome:success source_ip:10.20.0.0/16", "action:(invoice.* or ticket.update) labels.env:prod", `"陈伟"`, "upstream answered"} {
		p.search(q)
		p.shows(s, url.Values{"q": {q}})
		p.sees("total", number(s.total(url.Values{"q": {q}}))+" event")
	}
	p.search("user_id:nobody")
	p.sees("message", "No events match")
	p.click("message button:last-child")
	p.settled()
	p.shows(s, url.Values{})
}

// The first time that the page is opened the focus is free, and / goes to the box.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.settled()
	p.keys("/action" + kb.ArrowDown)
	p.wait(`document.getElementById(document.activeElement.getAttribute("aria-activedescendant"))?.textContent.startsWith("action")`)
	p.keys("\r")
	p.sees("suggestions", "invoice.read")
	p.keys("rol" + kb.ArrowDown + "\r") // faster than the values come
	p.wait(`document.querySelector("#query").value === "action:role.update "`)
	p.keys("out")
	p.sees("suggestions", "outcome")
	p.keys("c\t") // takes the first
	p.sees("suggestions", "failure")
	p.keys("den")
	p.sees("suggestions", "denied")
	p.keys(kb.ArrowDown + "\r" + "labels.")
	p.sees("suggestions", "labels.region")
	p.keys("reg" + kb.ArrowDown + "\r")
	p.sees("suggestions", "eu-west-1")
	p.keys(kb.ArrowDown + "\r\r")
	p.wait(`new URLSearchParams(location.search).get("q") === "action:role.update outcome:denied labels.region:eu-west-1"`)
	p.settled()

	// What was asked is offered when the box is empty, across a reload.
	p.search("user_id:chen.wei")
	p.reload()
	p.settled()
	p.click("#query")
	p.keys(strings.Repeat("\b", 30))
	p.sees("#suggestions li:first-child", "user_id:chen.wei")
	p.sees("#suggestions li:nth-child(2)", "labels.region:eu-west-1")
	p.keys(kb.ArrowDown + kb.ArrowDown + "\r")
	p.wait(`location.search.includes("role.update")`)
	p.keys(kb.Escape)
	p.wait(`document.activeElement !== document.querySelector("#query")`)
}

// What is chosen is chosen from the list for what is written, however late it comes.
func TestLateCompletion(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := blank(t, s)
	p.onLoad(`const ask = fetch; window.late = 0; window.fetch = async (...args) => {
		if (!/%3A(rol|tick|re)/.test(args[0])) return ask(...args);
		late++;
		await new Promise((done) => setTimeout(done, 400));
		return ask(...args);
	}`)
	p.goTo("/?from=all")
	p.settled()
	p.keys("/action:")
	p.sees("suggestions", "invoice.read")
	p.keys("rol")
	p.wait("late > 0") // it is under way, and the list is of "action:"
	p.keys(kb.ArrowDown + kb.ArrowUp + kb.ArrowDown + "\r")
	p.wait(`document.querySelector("#query").value === "action:role.update "`)

	// What is chosen goes with the list that it was chosen from.
	p.fill("query", "action:")
	p.sees("suggestions", "invoice.read")
	p.keys(kb.ArrowDown + "tick\t")
	p.wait(`document.querySelector("#query").value === "action:ticket.update "`)

	// A value that is clicked replaces what has been written meanwhile.
	p.fill("query", "action:")
	p.sees("suggestions", "invoice.read")
	p.keys("re")
	p.click("#suggestions li:first-child")
	p.wait(`/^action:[a-z]+\.[a-z]+ $/.test(document.querySelector("#query").value)`)
}

// An error stands under its column, is announced, and says what the server says.
func TestFilterError(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all")
	p.expect(400)
	p.settled()
	for _, c := range []struct{ before, wrong string }{{"user_id:alice ", "nonsense_field:x"}, {"😀 outcome:success ", "source_ip:10.0.0.0/99"}, {"", "outcome:maybe"}} {
		q := c.before + c.wrong
		p.fill("query", q)
		p.keys("\r")
		p.sees("message", "The filter cannot be read")
		p.wait(`document.querySelector("#query").getAttribute("aria-invalid") === "true" && document.querySelector("#query").getAttribute("aria-describedby") === "query-error" && document.querySelector("#query-error").role === "alert"`)
		var problem struct {
			Column int
			Errors []struct{ Reason string }
		}
		doc := eval[string](p, `fetch("/v1/events?q=" + encodeURIComponent($_)).then((r) => r.text())`, q)
		if err := json.Unmarshal([]byte(doc), &problem); err != nil || problem.Column == 0 || len(problem.Errors) == 0 {
			t.Fatalf("%s: %v", doc, err)
		}
		if said := p.text("query-error"); !strings.Contains(said, "column "+strconv.Itoa(problem.Column)) || !strings.Contains(said, problem.Errors[0].Reason) {
			t.Errorf("%q: the page says %q, the server %s", q, said, doc)
		}
		// The caret lies under the character at that column, and what is wrong is underlined.
		off := eval[float64](p, `(() => {
			const r = document.createRange(), all = [...$_], head = all.slice(0, $_).join("").length;
			let left = head;
			const walk = document.createTreeWalker(document.querySelector(".overlay"), NodeFilter.SHOW_TEXT);
			for (let n = walk.nextNode(); n; n = walk.nextNode()) { if (left < n.length) { r.setStart(n, left); r.setEnd(n, left + 1); break; } left -= n.length; }
			const caret = document.querySelector("#query-error .caret").getBoundingClientRect(), at = r.getBoundingClientRect();
			return caret.left + caret.width / 2 - at.left;
		})()`, q, problem.Column-1)
		if off < -6 || off > 14 {
			t.Errorf("%q: the mark is %.0f px from column %d", q, off, problem.Column)
		}
		p.wait(`document.querySelector(".t-bad")?.textContent`)
	}
	// While somebody writes it is said too, without a search.
	p.search("outcome:denied")
	p.keys(" and and")
	p.sees("query-error", "column")
	p.keys(strings.Repeat("\b", len(" and and")))
	p.gone("query-error")
}

func TestChips(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=all&q=user_id:chen.wei+outcome:denied")
	p.settled()
	p.click(".chip-text @1")
	p.settled()
	if q := p.param("q"); q != "user_id:chen.wei -outcome:denied" {
		t.Errorf("turned around: %q", q)
	}
	p.click(".chip-x @0")
	p.settled()
	if q := p.param("q"); q != "-outcome:denied" {
		t.Errorf("taken out: %q", q)
	}
	p.keys("f")
	p.sees("builder", "Add")
	p.wait(`document.activeElement === ` + find("builder-field"))
	p.keys("m")
	p.wait(find("builder-path") + ` && ` + find("builder-field") + `.value === "metadata."`)
	p.keys("\thttp.status\t" + strings.Repeat(kb.ArrowDown, 5) + "\t")
	p.wait(find("builder-operator") + `.value === "is at least"`)
	p.keys("200\r")
	p.wait(`new URLSearchParams(location.search).get("q") === "-outcome:denied metadata.http.status:>=200"`)
	p.settled()
	p.shows(s, url.Values{"q": {"-outcome:denied metadata.http.status:>=200"}})

	// Values with signs in them are quoted, and those that there are are offered.
	p.click("add-filter")
	p.keys(strings.Repeat(kb.ArrowDown, 10))
	p.wait(find("builder-field") + `.value === "user_name"`)
	p.keys("\t\t")
	p.keys("Bé")
	p.wait(`[...document.querySelectorAll("#builder-values option")].some((o) => o.value === "Béla Kovács")`)
	p.keys("la Kovács\r")
	p.wait(`new URLSearchParams(location.search).get("q").endsWith('user_name:"Béla Kovács"')`)
	p.settled()
	chips := eval[[]string](p, `[...document.querySelectorAll(".chip-text")].map((e) => e.innerText)`)
	if !slices.Equal(chips, []string{"not outcome denied", "metadata.http.status >=200", `user_name "Béla Kovács"`}) {
		t.Errorf("chips: %q", chips)
	}
	// An alternative is one chip, and adding to it does not change what it means.
	p.search("outcome:denied or outcome:failure")
	p.click("facet-action .facet-value")
	p.wait(`new URLSearchParams(location.search).get("q").startsWith("(outcome:denied or outcome:failure) action:")`)
}
