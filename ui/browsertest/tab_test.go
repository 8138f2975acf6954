package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tab is a tab with cookies and storage of its own.
type tab struct {
	t    testing.TB
	ctx  context.Context
	home string // the server's URL

	key, token string // with which views of a server with keys are reached

	mu       sync.Mutex
	problems []string                     // guarded by mu: what must never happen and did
	statuses []int                        // guarded by mu: of answers that are errors and are expected
	hosts    []string                     // guarded by mu: that may be asked
	lost     bool                         // guarded by mu: requests may fail
	refused  bool                         // guarded by mu: a frame may not be shown
	asked    map[network.RequestID]string // guarded by mu
}

// blank opens a new tab, of somebody who has never been at the server.
func blank(t testing.TB, s *server) *tab {
	t.Helper()
	return newTab(t, chromium.context(t), s.url, chromedp.WithNewBrowserContext())
}

// open opens a page of a server in such a tab.
func open(t testing.TB, s *server, path string) *tab {
	t.Helper()
	p := blank(t, s)
	p.goTo(path)
	return p
}

// onLoad runs a script before those of every document that the tab loads.
func (p *tab) onLoad(script string) {
	p.t.Helper()
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// openAnother opens another tab of the same person.
func (p *tab) openAnother(path string) *tab {
	p.t.Helper()
	other := newTab(p.t, p.ctx, p.home)
	other.goTo(path)
	return other
}

func newTab(t testing.TB, of context.Context, home string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	p := &tab{t: t, home: home, hosts: []string{strings.TrimPrefix(home, "http://")}}
	ctx, cancel := chromedp.NewContext(of, append(options, chromedp.WithListener(p.listen))...)
	p.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			p.picture(filepath.Join(t.ArtifactDir(), "failed.png"))
			t.Logf("the page at %s says:\n%s", p.address(), p.say())
		}
		p.complain()
		cancel()
	})
	p.must(chromedp.Do(ctx))
	p.hear()
	call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.size(1280, 900)
	return p
}

// frameTab is a frame of another tab.
func frameTab(t testing.TB, parent *tab, s *server, option chromedp.ContextOption) *tab {
	t.Helper()
	p := &tab{t: t, home: s.url, hosts: parent.hosts, refused: parent.refused}
	ctx, cancel := chromedp.NewContext(parent.ctx, option, chromedp.WithListener(p.listen))
	p.ctx = ctx
	t.Cleanup(func() {
		p.complain()
		cancel()
	})
	p.must(chromedp.Do(ctx))
	p.hear()
	return p
}

// hear has the browser tell of what must never happen.
func (p *tab) hear() {
	p.t.Helper()
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, struct{}{})
	call(p, audits.Enable, struct{}{})
}

// complain fails the test for what has been heard.
func (p *tab) complain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Error(problem)
	}
}

// listen hears what the browser tells of the tab.
func (p *tab) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *page.EventJavascriptDialogOpening:
		p.problem("a dialog opened: %s", ev.Message)
		go chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if x := ev.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		p.problem("an exception: %s (%s:%d)", text, ev.ExceptionDetails.URL, ev.ExceptionDetails.LineNumber+1)
	case *runtime.EventConsoleAPICalled:
		if kind := string(ev.Type); kind == "error" || kind == "assert" || kind == "warning" {
			var args []string
			for _, a := range ev.Args {
				args = append(args, string(a.Value)+a.Description)
			}
			p.problem("the console has an %s: %s", kind, strings.Join(args, " "))
		}
	case *log.EventEntryAdded:
		if p.refused && strings.Contains(ev.Entry.Text, "frame-ancestors 'none'") {
			return
		}
		if ev.Entry.Source != log.EntrySourceNetwork && (ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning) {
			p.problem("the browser logs: %s: %s", ev.Entry.Source, ev.Entry.Text)
		}
	case *audits.EventIssueAdded:
		if csp := ev.Issue.Details.ContentSecurityPolicyIssueDetails; csp != nil && !(p.refused && csp.ViolatedDirective == "frame-ancestors") {
			p.problem("the page violates its policy: %s: %s", csp.ViolatedDirective, csp.BlockedURL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(ev.Request.URL)
		if err != nil || (u.Host != "" && !slices.Contains(p.hosts, u.Host)) {
			p.problem("a request left for another host: %s", ev.Request.URL)
		}
		if p.asked == nil {
			p.asked = map[network.RequestID]string{}
		}
		p.asked[ev.RequestID] = ev.Request.Method + " " + ev.Request.URL
	case *network.EventWebSocketCreated:
		p.problem("a web socket: %s", ev.URL)
	case *network.EventResponseReceived:
		if status := int(ev.Response.Status); status >= 400 && strings.HasPrefix(ev.Response.URL, p.home+"/") && !slices.Contains(p.statuses, status) && !(p.lost && status >= 500) {
			p.problem("%s was answered with %d", ev.Response.URL, status)
		}
	case *network.EventLoadingFailed:
		_, known := p.asked[ev.RequestID] // else it is the inspector's own
		if known && !ev.Canceled && !p.lost && !p.refused && ev.ErrorText != "net::ERR_ABORTED" {
			p.problem("a request failed: %s: %s %s", p.asked[ev.RequestID], ev.ErrorText, ev.BlockedReason)
		}
	}
}

// problem is called with mu held.
func (p *tab) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// expect says which errors the server will answer with.
func (p *tab) expect(statuses ...int) {
	p.mu.Lock()
	p.statuses = append(p.statuses, statuses...)
	p.mu.Unlock()
}

// losing says that requests may fail from now on.
func (p *tab) losing() {
	p.mu.Lock()
	p.lost = true
	p.mu.Unlock()
}

// refusing says that the tab will try to frame what may not be framed.
func (p *tab) refusing(path string) {
	p.mu.Lock()
	p.refused = path == "/"
	p.mu.Unlock()
}

func (p *tab) must(err error) {
	if err != nil {
		p.t.Helper()
		p.t.Fatal(err)
	}
}

// eval evaluates an expression; what it gives is awaited.
func eval[T any](p *tab, expression string, args ...any) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js(expression, args...), chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", js(expression, args...), err)
	}
	return v
}

// js puts values in place of each $_, as JavaScript writes them.
func js(expression string, args ...any) string {
	for _, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		expression = strings.Replace(expression, "$_", string(b), 1)
	}
	return expression
}

// wait waits until an expression is true.
func (p *tab) wait(expression string, args ...any) {
	p.t.Helper()
	text := js(expression, args...)
	await(p.t, text, func() error {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+text+")"))
		if err == nil && !ok {
			err = fmt.Errorf("it is not so")
		}
		return err
	})
}

// leading is a word that a selector begins with.
var leading = regexp.MustCompile(`^([\w-]+)([ .>:]|$)`)

// find is an expression for the visible element of a selector, the n-th from 0 with
// "selector @n". A word at its beginning, such as new-key, is a data-testid.
func find(selector string) string {
	n := 0
	if s, at, ok := strings.Cut(selector, " @"); ok {
		selector = s
		fmt.Sscan(at, &n)
	}
	selector = leading.ReplaceAllString(selector, `[data-testid="$1"]$2`)
	return js(`[...document.querySelectorAll($_)].filter((e) => e.checkVisibility({ visibilityProperty: true }))[$_]`, selector, n)
}

// sees waits until something is visible; text must stand in it.
func (p *tab) sees(selector, text string) {
	p.t.Helper()
	p.wait(find(selector)+`?.textContent.includes($_)`, text)
}

// gone waits until nothing is visible of a selector.
func (p *tab) gone(selector string) {
	p.t.Helper()
	p.wait("!" + find(selector))
}

// text waits for an element and returns its text.
func (p *tab) text(selector string) string {
	p.t.Helper()
	p.wait(find(selector))
	return eval[string](p, find(selector)+"?.innerText ?? ''")
}

// spot waits until an element stands still where a pointer would hit it, and returns
// its middle.
func (p *tab) spot(selector string) (x, y float64) {
	p.t.Helper()
	var was, at [2]float64
	await(p.t, selector+" can be hit by a pointer", func() error {
		found, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]float64](`(() => {
			const el = `+find(selector)+`;
			if (!el) return [];
			el.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
			const r = el.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
			const hit = document.elementFromPoint(x, y);
			return hit && (el.contains(hit) || hit.contains(el) && hit.closest("label,button,a") === el.closest("label,button,a")) ? [x, y] : [];
		})()`))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("there is none, or something lies over it: %v", err)
		}
		at = [2]float64{found[0], found[1]}
		if at != was {
			was = at
			return fmt.Errorf("it moves")
		}
		return nil
	})
	return at[0], at[1]
}

// click clicks on an element with the mouse.
func (p *tab) click(selector string) {
	p.t.Helper()
	x, y := p.spot(selector)
	p.mouse(input.DispatchMouseEventTypeMouseMoved, x, y, 0)
	p.must(chromedp.Do(p.ctx, chromedp.MouseClickXY(x, y)))
}

// hover moves the mouse to a share of an element's width.
func (p *tab) hover(selector string, share float64) {
	p.t.Helper()
	x, y := p.within(selector, share)
	p.mouse(input.DispatchMouseEventTypeMouseMoved, x, y, 0)
}

// drag presses the mouse at one share of an element's width and releases it at another.
func (p *tab) drag(selector string, from, to float64) {
	p.t.Helper()
	x, y := p.within(selector, from)
	end, _ := p.within(selector, to)
	p.mouse(input.DispatchMouseEventTypeMouseMoved, x, y, 0)
	p.mouse(input.DispatchMouseEventTypeMousePressed, x, y, 1)
	for i := 1; i <= 5; i++ {
		p.mouse(input.DispatchMouseEventTypeMouseMoved, x+(end-x)*float64(i)/5, y, 1)
	}
	p.mouse(input.DispatchMouseEventTypeMouseReleased, end, y, 1)
}

func (p *tab) within(selector string, share float64) (x, y float64) {
	p.t.Helper()
	_, y = p.spot(selector)
	box := eval[[]float64](p, `(() => { const r = `+find(selector)+`.getBoundingClientRect(); return [r.left, r.width]; })()`)
	return box[0] + box[1]*share, y
}

func (p *tab) mouse(kind input.DispatchMouseEventType, x, y float64, buttons int64) {
	p.t.Helper()
	button := input.MouseButtonNone
	if buttons != 0 {
		button = input.MouseButtonLeft
	}
	call(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: x, Y: y, Button: button, Buttons: buttons, ClickCount: buttons})
}

// wheel turns the mouse wheel over an element.
func (p *tab) wheel(selector string, by float64) {
	p.t.Helper()
	x, y := p.spot(selector)
	call(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: x, Y: y, DeltaX: 0.01, DeltaY: by}) // none at all would not be sent
}

// keys presses keys one after the other, where the focus is. A key comes with its
// text, so that what a page prevents is not typed all the same.
func (p *tab) keys(keys string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	for _, r := range keys {
		var down *input.DispatchKeyEventParams
		for _, k := range kb.Encode(r) {
			chromedp.KeyModifiers(modifiers...)(k)
			switch {
			case k.Type == kb.KeyChar && len(modifiers) > 0: // a shortcut
			case k.Type == kb.KeyChar && down.Key != "Unidentified":
				down.Text, down.UnmodifiedText = k.Text, k.UnmodifiedText
			case k.Type == kb.KeyChar: // no key has it, such as é
				call(p, input.InsertText, input.InsertTextParams{Text: k.Text})
			case k.Type != kb.KeyUp:
				down = k
			default:
				call(p, input.DispatchKeyEvent, *down)
				call(p, input.DispatchKeyEvent, *k)
			}
		}
	}
}

// fill replaces what stands in a field, as somebody would who clicks into it.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.click(selector)
	p.keys("a", chromedp.ModifierCtrl)
	p.keys("\b" + text)
}

// search writes a filter and presses Enter.
func (p *tab) search(q string) {
	p.t.Helper()
	p.fill("query", q)
	p.keys("\r")
	p.settled()
	if got := p.param("q"); got != q {
		p.t.Fatalf("the address has the filter %q, not %q", got, q)
	}
}

// settled waits until the search is done, counts and facets included.
func (p *tab) settled() {
	p.t.Helper()
	p.wait(`document.querySelector(".facets[aria-busy=false]")`)
}

// goTo opens an address.
func (p *tab) goTo(path string) {
	p.t.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.Navigate(p.home+path)))
}

func (p *tab) back()   { p.t.Helper(); eval[any](p, "void history.back()") }
func (p *tab) reload() { p.t.Helper(); p.must(chromedp.Do(p.ctx, chromedp.Reload())) }

// address returns what the address bar shows after the host.
func (p *tab) address() string {
	v, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("location.pathname + location.search"))
	return v
}

// param returns a parameter of the address.
func (p *tab) param(name string) string {
	u, err := url.Parse(p.address())
	p.must(err)
	return u.Query().Get(name)
}

// ids returns the identities of the rows in sight, from the top.
func (p *tab) ids() []string {
	p.t.Helper()
	return eval[[]string](p, `[...document.querySelectorAll("[data-testid=row]")].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map((e) => e.dataset.id)`)
}

func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)))
}

// scheme makes the system's theme light or dark.
func (p *tab) scheme(scheme string) {
	p.t.Helper()
	p.media("prefers-color-scheme", scheme)
}

// media makes a media feature have a value.
func (p *tab) media(feature, value string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// travel loads the page again in another zone.
func (p *tab) travel(zone string) {
	p.t.Helper()
	call(p, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
	p.reload()
}

// live waits until the tail of a live result is there, and the search is done.
func (p *tab) live() {
	p.t.Helper()
	p.wait(`document.querySelector("[data-testid=live].on")?.getAttribute("aria-checked") === "true"`)
	p.settled()
}

// allow grants the page a permission of the browser.
func (p *tab) allow(permission string) {
	p.t.Helper()
	id := chromedp.FromContext(p.ctx).BrowserContextID
	_, err := chromedp.CallBrowser(p.ctx, browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: permission}, Setting: browser.PermissionSettingGranted, BrowserContextID: id})
	p.must(err)
}

// downloads makes the tab save files to a folder, which it returns.
func (p *tab) downloads() string {
	p.t.Helper()
	dir := p.t.TempDir()
	id := chromedp.FromContext(p.ctx).BrowserContextID
	_, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: id, DownloadPath: dir})
	p.must(err)
	return dir
}

// picture writes what is seen to a file. It is called for failed tests too and so
// does not fail itself.
func (p *tab) picture(file string) {
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		p.t.Logf("no picture: %v", err)
	}
}

// say returns the beginning of the page's text.
func (p *tab) say() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	v, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body?.innerText.slice(0, 1500) ?? ''"))
	return v
}
