package ui

import (
	"compress/gzip"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxPage is what all files of a page may take together, as they are sent and
// uncompressed.
const maxPage = 150 << 10

func newHandler(t *testing.T) *Handler {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, address string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The whole page is small: all that / loads, at once or later, and so is the viewer.
func TestPageIsSmall(t *testing.T) {
	h := newHandler(t)
	for document, other := range map[string]string{"/": "embed", "/embed": "main"} {
		plain, gzipped := 0, 0
		for address, f := range h.files {
			if name := path.Base(address); address == document || name != other+".js" && strings.HasPrefix(address, "/ui/") {
				plain += len(f.plain)
				gzipped += len(f.gzipped)
			}
		}
		t.Logf("%s: %d bytes, %d compressed", document, plain, gzipped)
		if plain > maxPage {
			t.Errorf("%s has %d bytes; at most %d", document, plain, maxPage)
		}
	}
}

func TestEveryFileIsServed(t *testing.T) {
	h := newHandler(t)
	for address, f := range h.files {
		resp := get(t, h, address)
		header := resp.Header
		if resp.StatusCode != http.StatusOK || body(t, resp) != string(f.plain) {
			t.Errorf("%s: %s, or another body", address, resp.Status)
		}
		want := types[path.Ext(address)]
		if want == "" {
			want = types[".html"]
		}
		if got := header.Get("Content-Type"); got != want {
			t.Errorf("%s: type %q, want %q", address, got, want)
		}
		policy := header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %s", address, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", address, policy)
		}
		if framed := !strings.Contains(policy, "frame-ancestors 'none'"); framed != (address == "/embed") {
			t.Errorf("%s: may be framed: %t", address, framed)
		}
		if kept := strings.Contains(header.Get("Cache-Control"), "immutable"); kept != strings.HasPrefix(address, "/ui/"+h.version+"/") {
			t.Errorf("%s: Cache-Control %q", address, header.Get("Cache-Control"))
		}
		if resp := get(t, h, address, "If-None-Match", `"x", W/`+header.Get("ETag")); resp.StatusCode != http.StatusNotModified || body(t, resp) != "" {
			t.Errorf("%s: %s to its own ETag", address, resp.Status)
		}
		testCompressed(t, h, address, string(f.plain))
	}
}

func testCompressed(t *testing.T, h http.Handler, address, plain string) {
	t.Helper()
	resp := get(t, h, address, "Accept-Encoding", "br, gzip;q=0.5")
	z, err := gzip.NewReader(resp.Body)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%s: not compressed: %v", address, err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != plain {
		t.Errorf("%s: compressed it is another: %v", address, err)
	}
	if resp := get(t, h, address, "Accept-Encoding", "gzip;q=0"); resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("%s: compressed for a client that takes no gzip", address)
	}
}

func TestUnknownFiles(t *testing.T) {
	h := newHandler(t)
	for _, address := range []string{"/ui/", "/ui/main.js", "/ui/0000000000000000/main.js", "/ui/" + h.version + "/../ui.go", "/index.html"} {
		if resp := get(t, h, address); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", address, resp.Status)
		}
	}
}

// What a document loads is there, under this version, and what it needs at once is
// announced.
func TestDocumentsLoadWhatThereIs(t *testing.T) {
	h := newHandler(t)
	address := regexp.MustCompile(`(?:src|href)="(/ui/[^"]+)"`)
	for _, document := range []string{"/", "/embed"} {
		text := string(h.files[document].plain)
		loads := address.FindAllStringSubmatch(text, -1)
		for _, m := range loads {
			if h.files[m[1]] == nil {
				t.Errorf("%s loads %s, which there is not", document, m[1])
			}
		}
		if len(loads) < 3 {
			t.Errorf("%s loads %d files", document, len(loads))
		}
	}
	for _, name := range []string{"main.js", "search.js", "dom.js"} {
		if !strings.Contains(string(h.files["/"].plain), name) {
			t.Errorf("/ does not announce %s", name)
		}
	}
}

// The page asks no other host for anything, and has nothing that a strict policy
// would refuse or that makes code or HTML of text.
func TestPageIsStrict(t *testing.T) {
	forbidden := []struct{ what, pattern string }{
		{"another host", `(?:https?:|wss?:|["'(])//[\w.]`},
		{"an inline handler", `<[^>]*\son\w+\s*=|\.on[a-z]+\s*=[^=>]`},
		{"an inline style or script", `<style|<[^>]*\sstyle\s*=|<script>|<script(?:\s+type="module")?>[^<]`},
		{"HTML or code made of text", `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setTimeout\(["'` + "`" + `]|createContextualFragment|DOMParser|srcdoc|javascript:`},
		{"a style that is set as an attribute", `setAttribute\("style"|cssText`},
		{"an import from elsewhere", `\bimport\b[^;"]*"[^.]`},
	}
	allowed := []string{`xmlns="http://www.w3.org/2000/svg"`, `"http://www.w3.org/2000/svg"`}
	names, err := fs.Glob(files, "page/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code := string(text)
		for _, a := range allowed {
			code = strings.ReplaceAll(code, a, "")
		}
		for _, f := range forbidden {
			if m := regexp.MustCompile(f.pattern).FindString(code); m != "" {
				t.Errorf("%s has %s: %q", name, f.what, m)
			}
		}
	}
}

// Modules import one another by relative address, and only what there is.
func TestImportsAreThere(t *testing.T) {
	imports := regexp.MustCompile(`import (?:\* as \w+|\{([^}]*)\}) from "\./(\w+\.js)";`)
	names, err := fs.Glob(files, "page/*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := imports.FindAllStringSubmatch(string(text), -1)
		if len(found) != strings.Count(string(text), "\nimport ")+strings.Count(string(text[:7]), "import ") {
			t.Errorf("%s imports in a form that this test does not read", name)
		}
		for _, m := range found {
			other, err := files.ReadFile("page/" + m[2])
			if err != nil {
				t.Errorf("%s imports %s, which there is not", name, m[2])
				continue
			}
			for symbol := range strings.SplitSeq(m[1], ",") {
				symbol, _, _ = strings.Cut(strings.TrimSpace(symbol), " as ")
				exported := regexp.MustCompile(`export (?:async )?(?:const|let|class|function\*?) ` + regexp.QuoteMeta(symbol) + `\b`)
				if symbol != "" && !exported.Match(other) {
					t.Errorf("%s imports %s from %s, which does not export it", name, symbol, m[2])
				}
				if symbol != "" && strings.Count(string(text), symbol) < 2 {
					t.Errorf("%s imports %s and does not use it", name, symbol)
				}
			}
		}
	}
	if !slices.Contains(names, "page/main.js") {
		t.Error("there is no main.js", slices.Collect(maps.Keys(types)))
	}
}
