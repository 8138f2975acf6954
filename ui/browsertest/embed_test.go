package browsertest

import (
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// product is another product's page, on another site, that shows the viewer as
// docs/page.md says. Its own page may run what it likes.
var product = template.Must(template.New("product").Parse(`<!doctype html><html lang="en"><title>Product</title>
<style>body{margin:0;font-family:sans-serif}iframe{width:100%;height:300px;border:0}</style><h1>Product</h1>
<iframe id="audit" src="{{.Server}}{{.Path}}" title="Audit log"></iframe>
<script>
const frame = document.getElementById("audit"), origin = {{.Server}};
window.heard = [];
addEventListener("message", (e) => {
  if (e.source !== frame.contentWindow || e.origin !== origin) return;
  heard.push(e.data.type);
  switch (e.data.type) {
    case "daybook:ready":
    case "daybook:token-needed":
      if (!{{.Token}}) break;
      frame.contentWindow.postMessage({ type: "daybook:token", token: {{.Token}} }, origin);
      frame.contentWindow.postMessage({ type: "daybook:theme", theme: "dark", properties: { "--accent": "rgb(1, 200, 3)", "--evil": "x", "--bg": "url(//evil.example)" } }, origin);
      break;
    case "daybook:height": frame.style.height = e.data.height + "px"; window.height = e.data.height;
  }
});
</script>`))

// embedded opens a product that frames a path of the server, and returns its page and
// what is in the frame.
func embedded(t *testing.T, s *server, path, token string) (parent, frame *tab) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := product.Execute(w, map[string]string{"Server": s.url, "Path": path, "Token": token}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	host := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) // another site, not only another port
	parent = blank(t, s)
	parent.hosts = append(parent.hosts, strings.TrimPrefix(host, "http://"))
	parent.home = host
	parent.refusing(path)
	parent.goTo("/")
	await(t, "the frame is there", func() error {
		infos, err := chromedp.Targets(parent.ctx)
		if err != nil {
			return err
		}
		for _, info := range infos {
			if info.Type == "iframe" && (strings.HasPrefix(info.URL, s.url+path) || path == "/" && strings.HasPrefix(info.URL, "chrome-error:")) && info.BrowserContextID == chromedp.FromContext(parent.ctx).BrowserContextID {
				frame = frameTab(t, parent, s, chromedp.WithTargetID(info.TargetID))
				return nil
			}
		}
		return fmt.Errorf("targets: %d", len(infos))
	})
	return parent, frame
}

// clickIn clicks on an element of the frame where it is seen in the parent.
func (p *tab) clickIn(parent *tab, selector string) {
	p.t.Helper()
	x, y := p.spot(selector)
	frame := eval[[]float64](parent, `(() => { const r = document.getElementById("audit").getBoundingClientRect(); return [r.left, r.top]; })()`)
	parent.must(chromedp.Do(parent.ctx, chromedp.MouseClickXY(frame[0]+x, frame[1]+y)))
}

func TestEmbed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.startWithKeys()
	s.company()
	s.publish(`{"tenant_id":"other","user_id":"spy","action":"other.read","resource":"other/1"}`)
	token, err := s.CreateViewerToken(t.Context(), map[string]any{"tenant": "harbour-finch", "subject": "customer-7"})
	if err != nil {
		t.Fatal(err)
	}
	viewer := *s
	viewer.as(token.Token)

	parent, p := embedded(t, s, "/embed?from=all", token.Token)
	p.sees("total", number(viewer.total(nil))+" event")
	p.shows(&viewer, nil)
	p.wait(`getComputedStyle(document.documentElement).getPropertyValue("--accent") === "rgb(1, 200, 3)" && document.documentElement.dataset.theme === "dark"`)
	p.wait(`!getComputedStyle(document.documentElement).getPropertyValue("--evil") && !getComputedStyle(document.documentElement).getPropertyValue("--bg").includes("url")`)
	parent.wait(`window.height >= 300 && document.getElementById("audit").getBoundingClientRect().height === window.height`)
	p.wait(`!document.cookie && document.documentElement.scrollHeight <= innerHeight + 1`)
	p.clickIn(parent, "row")
	p.sees("detail", "harbour-finch")
	p.gone("around")
	p.clickIn(parent, "detail-close")
	p.gone("detail")
	p.clickIn(parent, "query")
	parent.keys("outcome:denied\r")
	p.sees("total", number(viewer.total(map[string][]string{"q": {"outcome:denied"}}))+" event")
	parent.keys("a", chromedp.ModifierCtrl)
	parent.keys("\btenant_id:other\r")
	p.sees("message", "No events")
	p.expect(400)
	parent.keys("a", chromedp.ModifierCtrl)
	parent.keys("\b(user_id:ada\r")
	p.sees("message", "The filter cannot be read")
	p.sees("query-error", "column")
	p.gone("row")
	p.wait(`document.querySelector('[data-testid="total"]').textContent === ""`)

	// The token ends with the key that made it: the product is asked for another.
	root := s.keys()[0]
	next, err := s.CreateKey(t.Context(), map[string]any{"name": "next", "rights": []string{"admin", "read"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RevokeKey(t.Context(), root.ID); err != nil {
		t.Fatal(err)
	}
	s.as(next.Secret)
	p.expect(401)
	p.clickIn(parent, `.summary [aria-label="Refresh"]`)
	p.sees("#main", "Not signed in")
	p.gone("row")
	parent.wait(`heard.includes("daybook:token-needed")`)
}

// Without a viewer's token nothing is shown: not without one, not with a key, not
// because the browser has a session.
func TestEmbedWithoutToken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	admin := s.startWithKeys()
	s.company()
	_, p := embedded(t, s, "/embed?from=all", "")
	p.sees("#main", "Waiting for a token")
	p.gone("row")
	_, p = embedded(t, s, "/embed?from=all", admin)
	p.sees("#main", "This is not a viewer token")
	p.gone("row")

	p = blank(t, s)
	p.expect(401)
	p.goTo("/")
	p.signIn(admin)
	p.settled()
	p.goTo("/embed?from=all")
	p.sees("#main", "Waiting for a token")
	p.gone("row")
	p.goTo("/embed?from=all#token=dbv_wrong")
	p.reload()
	p.sees("#main", "The token has ended or is not valid")
	p.wait(`!location.hash`)
}

// The page itself is in nobody's frame: the browser refuses.
func TestPageIsNotFramed(t *testing.T) {
	t.Parallel()
	s := company(t)
	parent, p := embedded(t, s, "/", "")
	parent.wait(`document.readyState === "complete"`)
	p.wait(`location.href.startsWith("chrome-error://") && !document.querySelector("#main")`)
}
