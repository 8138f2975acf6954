// Package ui is the page that people look at: hand-written ES modules, one style
// sheet and two documents, embedded as they are. There is no build step; the
// browser gets what is in the folder page, less comments, white space and semicolons.
//
// The handler serves
//
//	/                    the page
//	/embed               the viewer that another product shows in a frame
//	/ui/{version}/{file} everything that both load
//
// The version is a hash of all files, so an address never changes its content and
// browsers keep it for good; the documents name the version and are asked for
// again each time. Modules import one another by relative address and so stay
// within one version.
//
// The page holds itself to a Content Security Policy without exceptions: nothing
// inline, nothing from another host, and no text ever becomes HTML or code
// (Trusted Types without a policy). Only /embed may be framed.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed page
var files embed.FS

// csp is the policy of every file, less who may frame it. Styles and images come
// from the page's own files; data: is for the icon.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "

// types are the media types of the page's files. A file with another ending is a
// mistake that New reports.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one file, ready to be sent.
type file struct {
	contentType string
	etag        string
	plain       []byte // what the folder has, packed
	gzipped     []byte
}

// Handler serves the page. It is safe for concurrent use.
type Handler struct {
	version string
	files   map[string]*file // by path: /, /embed, /ui/…
}

// New reads the embedded files, compresses them once and returns the handler.
func New() (*Handler, error) {
	contents := make(map[string][]byte)
	err := fs.WalkDir(files, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		contents[strings.TrimPrefix(name, "page/")] = pack(path.Ext(name), text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	names := slices.Sorted(maps.Keys(contents))
	sum := sha256.New()
	for _, name := range names {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(contents[name]), contents[name])
	}
	h := &Handler{version: hex.EncodeToString(sum.Sum(nil))[:12], files: make(map[string]*file)}
	for _, name := range names {
		address, body := "/ui/"+h.version+"/"+name, contents[name]
		if document, ok := strings.CutSuffix(name, ".html"); ok {
			address = "/" + strings.TrimSuffix(document, "index")
			if body, err = h.document(name, contents); err != nil {
				return nil, fmt.Errorf("page: %w", err)
			}
		}
		if h.files[address], err = newFile(name, body); err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
	}
	return h, nil
}

// document fills in where the files are, and which modules it needs at once, so that
// the browser asks for all of them together and not for one after the other.
func (h *Handler) document(name string, contents map[string][]byte) ([]byte, error) {
	t, err := template.New(name).Parse(string(contents[name]))
	if err != nil {
		return nil, err
	}
	entry := map[string]string{"index.html": "main.js", "embed.html": "embed.js"}[name]
	modules := imported(contents, entry, nil)
	slices.Sort(modules)
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Base    string
		Modules []string
	}{"/ui/" + h.version, modules})
	return b.Bytes(), err
}

// imports finds what a module loads before it runs.
var imports = regexp.MustCompile(`(?:^|[;\n])import\b[^;"(]*"\./([\w-]+\.js)"`)

// imported adds to found what a module imports, and what that imports in turn.
func imported(contents map[string][]byte, name string, found []string) []string {
	if slices.Contains(found, name) {
		return found
	}
	found = append(found, name)
	for _, m := range imports.FindAllSubmatch(contents[name], -1) {
		found = imported(contents, string(m[1]), found)
	}
	return found
}

func newFile(name string, body []byte) (*file, error) {
	f := &file{contentType: types[path.Ext(name)], plain: body}
	if f.contentType == "" {
		return nil, fmt.Errorf("%s: no media type is known for %q", name, path.Ext(name))
	}
	sum := sha256.Sum256(body)
	f.etag = `"` + hex.EncodeToString(sum[:12]) + `"`
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	f.gzipped = b.Bytes()
	return f, nil
}

// ServeHTTP serves one file of the page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := h.files[r.URL.Path]
	if f == nil {
		http.Error(w, "the page has no such file; it may be that of another version: load the page again", http.StatusNotFound)
		return
	}
	header := w.Header()
	ancestors := "'none'"
	if r.URL.Path == "/embed" {
		ancestors = "*"
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	} else {
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	header.Set("Content-Security-Policy", csp+ancestors)
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Type", f.contentType)
	header.Set("ETag", f.etag)
	header.Add("Vary", "Accept-Encoding")
	if strings.HasPrefix(r.URL.Path, "/ui/") {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
		header.Add("Vary", "Accept") // the same address answers programs in plain text
	}
	if matchesETag(r.Header.Get("If-None-Match"), f.etag) {
		header.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body = f.gzipped
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // nobody is left to tell when this fails; HEAD sends no body
}

// matchesETag compares weakly, as RFC 9110 wants it for If-None-Match.
func matchesETag(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		if candidate = strings.TrimSpace(candidate); candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}

// acceptsGzip reports whether Accept-Encoding names gzip with a weight above 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		_, weight, weighted := strings.Cut(params, "q=")
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return !weighted || err == nil && q > 0
	}
	return false
}
