package browsertest

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/daybook-log/daybook/internal/tooltest"
)

// view is something that the page shows, and how somebody gets there.
type view struct {
	name  string
	path  string
	reach func(p *tab)
	key   bool // of the server with keys
}

var views = []view{
	{name: "events", path: "/?from=-7d", reach: func(p *tab) { p.keys("jjj") }},
	{name: "event", path: "/?from=-7d&q=action:role.update+outcome:success", reach: func(p *tab) { p.click("row"); p.sees("changes", "permissions") }},
	{name: "filtered", path: "/?from=-7d&q=-outcome:success+action:(invoice.*+or+customer.*)+source_ip:10.20.0.0/16"},
	{name: "suggestions", path: "/?from=-7d", reach: func(p *tab) { p.click("#query"); p.keys("user_id:c"); p.sees("suggestions", "chen.wei") }},
	{name: "empty", path: "/?from=-15m&q=user_id:nobody", reach: func(p *tab) { p.sees("message", "other time") }},
	{name: "wrong-filter", path: "/?from=-7d&q=user_id:alice+source_ip:10.0.0.0/99", reach: func(p *tab) { p.sees("query-error", "column") }},
	{name: "wrong-range", path: "/?from=tomorrow", reach: func(p *tab) { p.sees("message", "The address cannot be read") }},
	{name: "range", path: "/?from=-7d", reach: func(p *tab) { p.click("range"); p.sees("range-panel", "UTC") }},
	{name: "builder", path: "/?from=-7d&q=outcome:denied", reach: func(p *tab) { p.click("add-filter"); p.sees("builder", "Add") }},
	{name: "live", path: "/?from=-7d&live=1", reach: func(p *tab) { p.keys("p"); p.sees("live-status", "paused") }},
	{name: "saved", path: "/?from=-7d&q=outcome:denied", reach: func(p *tab) { p.click("saved"); p.sees("saved-item", "Denied") }},
	{name: "export", path: "/?from=-7d&q=outcome:denied", reach: func(p *tab) { p.keys("e"); p.sees("export-dialog", "Parquet") }},
	{name: "help", path: "/?from=-7d", reach: func(p *tab) { p.keys("?"); p.sees("help-dialog", "Keys") }},
	{name: "account", path: "/?from=-7d", reach: func(p *tab) { p.click("account"); p.sees(".account", "nobody") }},
	{name: "user", path: "/?view=user&id=chen.wei", reach: func(p *tab) {
		p.sees("timeline", "invoice")
		p.wait(`document.querySelectorAll(".heat .on").length && !document.querySelector(".card > span.dim")`)
	}},
	{name: "resource", path: "/?view=resource&id=user/chen.wei", reach: func(p *tab) {
		p.sees("timeline", "user.login")
		p.wait(`document.querySelectorAll(".heat .on").length`)
	}},
	{name: "never-seen", path: "/?view=user&id=nobody", reach: func(p *tab) { p.sees("profile", "Never seen") }},
	{name: "system", path: "/?view=system", reach: func(p *tab) { p.sees("card-store", "events") }},
	{name: "dead-letters", path: "/?view=system&tab=letters", reach: func(p *tab) { p.sees("letters", "no JSON") }},
	{name: "mend", path: "/?view=system&tab=letters", reach: func(p *tab) { p.click("mend"); p.sees("mend-dialog", "Replay") }},
	{name: "confirm", path: "/?view=system&tab=letters", reach: func(p *tab) { p.click("discard"); p.sees("confirm-dialog", "Discard") }},
	{name: "hostile", path: "/?from=2026-04-01&to=2026-04-02", reach: func(p *tab) { p.click("row @5"); p.sees("detail", "hostile") }},
	{name: "offline", path: "/?from=-7d", reach: func(p *tab) {
		p.losing()
		call(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{Offline: true, DownloadThroughput: -1, UploadThroughput: -1}}})
		p.keys("r")
		p.sees("banner", "does not answer")
	}},
	{name: "sign-in", path: "/", key: true, reach: func(p *tab) {
		p.sees("sign-in-view", "Key")
		p.keys("dbk_wrong\r")
		p.sees("sign-in-error", "not valid")
	}},
	{name: "keys", path: "/?view=system&tab=keys", key: true, reach: func(p *tab) { p.signIn(p.key); p.sees("keys", "auditor") }},
	{name: "new-key", path: "/?view=system&tab=keys", key: true, reach: func(p *tab) { p.signIn(p.key); p.click("new-key"); p.sees("key-dialog", "Rights") }},
	{name: "viewer", path: "/embed?from=-7d", key: true, reach: func(p *tab) {
		p.goTo("/embed?from=-7d#token=" + p.token)
		p.reload()
		p.sees("row", "")
		p.sees("total", "event")
	}},
	{name: "viewer-without-token", path: "/embed", key: true, reach: func(p *tab) { p.sees("#main", "Waiting for a token") }},
}

// world is two servers with everything that views show, one of them with keys.
type world struct {
	open, keyed *server
	key, token  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{open: newServer(t), keyed: newServer(t)}
	w.open.letters("no JSON", `{"user_id":"bob","action":"a"}`)
	w.open.start()
	w.open.company()
	w.open.publish(hostileEvents(t))
	w.key = w.keyed.startWithKeys()
	w.keyed.company()
	if _, err := w.keyed.CreateKey(t.Context(), map[string]any{"name": "auditor", "rights": []string{"read"}, "tenant": "harbour-finch", "filter": "resource:billing/*", "hidden": []string{"source_ip"}}); err != nil {
		t.Fatal(err)
	}
	token, err := w.keyed.CreateViewerToken(t.Context(), map[string]any{"tenant": "harbour-finch", "expires_in": "1h"})
	if err != nil {
		t.Fatal(err)
	}
	w.token = token.Token
	p := open(t, w.open, "/?q=outcome:denied&from=-7d")
	p.settled()
	p.click("saved")
	p.sees("saved-panel", "None yet")
	p.keys("Denied in the last week\r")
	p.sees("saved-item", "Denied")
	return w
}

// show opens a view in a new tab.
func (w *world) show(t *testing.T, v view, width, height int64, scheme string) *tab {
	t.Helper()
	s := w.open
	if v.key {
		s = w.keyed
	}
	p := blank(t, s)
	p.key, p.token = w.key, w.token
	p.expect(400, 401)
	p.size(width, height)
	p.touch(width < 500)
	p.scheme(scheme)
	p.goTo(v.path)
	if strings.HasPrefix(v.path, "/?from") {
		p.settled()
	}
	if v.reach != nil {
		v.reach(p)
	}
	return p
}

// touch makes the tab one of a device with a finger in place of a mouse.
func (p *tab) touch(on bool) {
	p.t.Helper()
	call(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: on})
}

//go:embed axe
var axeProject embed.FS

// axe returns the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	project, err := fs.Sub(axeProject, "axe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := tooltest.NPM(t.Context(), "axe", project)
	tooltest.Fail(t, err)
	source, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// Every view, light and dark, narrow and wide, has no violation of WCAG 2.2 AA that
// axe-core can find.
func TestAccessible(t *testing.T) {
	t.Parallel()
	source, w := axe(t), newWorld(t)
	var runs, rules, nodes atomic.Int64
	t.Cleanup(func() {
		t.Logf("axe-core: %d views seen, %d rules held, on %d elements", runs.Load(), rules.Load(), nodes.Load())
	})
	for _, v := range views {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := w.show(t, v, 1280, 800, "light")
			_, err := chromedp.Run(p.ctx, chromedp.Evaluate[any](source+";null"))
			p.must(err)
			for _, width := range []int64{1280, 360} {
				p.size(width, 800)
				p.touch(width == 360)
				for _, scheme := range []string{"light", "dark"} {
					p.scheme(scheme)
					found := p.violations()
					runs.Add(1)
					rules.Add(found.Rules)
					nodes.Add(found.Nodes)
					for _, violation := range found.Violations {
						t.Errorf("%s, %d px: %s", scheme, width, violation)
					}
				}
				if blank := eval[[]string](p, `[...document.querySelectorAll("button,a")].filter((e) => e.checkVisibility() && !e.innerText.trim() && ![...e.querySelectorAll("svg")].some((s) => s.checkVisibility())).map((e) => e.outerHTML.slice(0, 150))`); len(blank) > 0 {
					t.Errorf("%d px: there is nothing to be seen on %q", width, blank)
				}
				if wide := eval[int64](p, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("the page is %d px wide on %d", wide, width)
				}
			}
		})
	}
}

type findings struct {
	Violations   []string
	Rules, Nodes int64
}

func (p *tab) violations() (found findings) {
	p.t.Helper()
	text := eval[string](p, `(async () => {
		await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
		const r = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations", "passes"] });
		return JSON.stringify({
			Violations: r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 150) + " (" + n.failureSummary.split("\n")[1]?.trim() + ")").join("; ")),
			Rules: r.passes.length + r.violations.length, Nodes: [...r.passes, ...r.violations].reduce((n, x) => n + x.nodes.length, 0),
		});
	})()`)
	if err := json.Unmarshal([]byte(text), &found); err != nil || found.Rules < 5 {
		p.t.Fatalf("axe says %s: %v", text, err)
	}
	return found
}

// TestScreenshots takes pictures of every view for people to look at.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("without -screenshots no pictures are taken")
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for _, v := range views {
		for _, size := range [][2]int64{{360, 740}, {1280, 800}, {1920, 1080}} {
			for _, scheme := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%d-%s.png", v.name, size[0], scheme)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					p := w.show(t, v, size[0], size[1], scheme)
					p.wait(`document.fonts.status === "loaded"`)
					eval[any](p, `new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(null))))`)
					p.picture(filepath.Join(*screenshots, name))
				})
			}
		}
	}
}
