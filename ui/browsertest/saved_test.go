package browsertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func TestSaved(t *testing.T) {
	t.Parallel()
	s := company(t)
	p := open(t, s, "/?from=-7d&q=outcome:denied+action:invoice.*")
	p.settled()
	p.click("saved")
	p.sees("saved-panel", "None yet")
	p.keys("Denied <b>invoices</b>\r")
	p.sees("toast", "Search saved")
	p.sees("saved-item", "Denied <b>invoices</b>")
	p.keys("\x1b")
	p.gone("saved-panel")

	// Somebody else finds and opens it.
	other := open(t, s, "/?tz=local")
	other.settled()
	other.click("saved")
	other.click("saved-item a")
	other.gone("saved-panel")
	other.settled()
	if other.param("q") != "outcome:denied action:invoice.*" || other.param("from") != "-7d" || other.param("tz") != "local" {
		t.Errorf("opened: %s", other.address())
	}
	other.shows(s, url.Values{"q": {"outcome:denied action:invoice.*"}})
	other.back()
	other.wait(`!location.search.includes("denied")`)

	p.click("saved")
	p.click("saved-item button")
	p.sees("confirm-dialog", "Denied <b>invoices</b>")
	p.click("confirm-dialog footer button") // cancel
	p.gone("confirm-dialog")
	p.click("saved")
	p.click("saved-item button")
	p.click("confirm")
	p.sees("toast", "Saved search deleted")
	other.click("saved")
	other.sees("saved-panel", "None yet")
}

// exported asks the API for an export.
func (s *server) exported(params url.Values) []byte {
	s.t.Helper()
	resp, err := http.Get(s.url + "/v1/export?" + params.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("export: %s, %v", resp.Status, err)
	}
	return b
}

// A file has exactly what the filter gives, in every format, whether it goes through
// memory or straight to the disk.
func TestExport(t *testing.T) {
	t.Parallel()
	s := company(t)
	const q = "outcome:(denied or failure)"
	params := url.Values{"q": {q}}
	total := s.total(params)
	p := blank(t, s)
	p.onLoad(`delete window.showSaveFilePicker`) // as in browsers that have none
	dir := p.downloads()
	p.goTo("/?from=all&q=" + url.QueryEscape(q))
	p.settled()
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		p.click("export")
		p.wait(find("export-total")+`.textContent === $_`, number(total))
		p.click("format-" + format)
		p.click("export-start")
		p.sees("export-status", "Done. "+number(total)+" events")
		said := p.text("export-status")
		p.keys("\x1b")
		p.gone("export-dialog")
		var file []byte
		await(t, "the file is there", func() error {
			names, err := filepath.Glob(filepath.Join(dir, "daybook-*."+format))
			if err != nil || len(names) != 1 {
				return fmt.Errorf("files %q, %v", names, err)
			}
			file, err = os.ReadFile(names[0])
			return err
		})
		params.Set("format", format)
		s.sameExport(format, file, s.exported(params), total)
		digits := 0
		if len(file) < 100_000 {
			digits = 1
		}
		if size := eval[string](p, `($_ / 1000).toFixed($_) + " kB"`, len(file), digits); !strings.Contains(said, size) {
			t.Errorf("the page says %q of a file of %d bytes", said, len(file))
		}
	}
	lines := 0
	for line := range bytes.Lines(s.exported(url.Values{"q": {q}, "format": {"ndjson"}})) {
		lines++
		if o := field(t, line, "outcome"); o != "denied" && o != "failure" {
			t.Errorf("exported: %s", line)
		}
	}
	if int64(lines) != total {
		t.Errorf("%d lines for %d events", lines, total)
	}

	// To a file that the user has chosen, as it comes.
	p = blank(t, s)
	p.onLoad(`window.showSaveFilePicker = async ({ suggestedName }) => (window.chosen = await (await navigator.storage.getDirectory()).getFileHandle(suggestedName.replaceAll(":", ""), { create: true }))`)
	p.goTo("/?from=all&q=" + url.QueryEscape(q))
	p.settled()
	p.keys("e")
	p.click("export-start")
	p.sees("export-status", "Done. "+number(total)+" events")
	if got := eval[string](p, "chosen.getFile().then((f) => f.text())"); got != string(s.exported(url.Values{"q": {q}, "format": {"ndjson"}})) {
		t.Errorf("the chosen file has %d bytes of something else", len(got))
	}
}

// sameExport compares a file with what the API exports. Two Parquet files of the same
// rows may differ in bytes and are compared by rows.
func (s *server) sameExport(format string, file, want []byte, total int64) {
	s.t.Helper()
	if format != "parquet" {
		if !bytes.Equal(file, want) {
			s.t.Errorf("%s: %d bytes, the API exports %d others", format, len(file), len(want))
		}
		return
	}
	read := func(b []byte) (ids []string) {
		f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			s.t.Fatal(err)
		}
		rows := parquet.NewGenericReader[struct {
			ID     string `parquet:"event_id"`
			Action string `parquet:"action"`
		}](f)
		defer rows.Close()
		all := make([]struct {
			ID     string `parquet:"event_id"`
			Action string `parquet:"action"`
		}, rows.NumRows())
		if n, err := rows.Read(all); n != len(all) || err != nil && !errors.Is(err, io.EOF) {
			s.t.Fatal(n, err)
		}
		for _, r := range all {
			ids = append(ids, r.ID+r.Action)
		}
		return ids
	}
	got, exported := read(file), read(want)
	if int64(len(got)) != total || strings.Join(got, " ") != strings.Join(exported, " ") {
		s.t.Errorf("parquet: %d rows, the API exports %d of %d events", len(got), len(exported), total)
	}
}

// An export shows how far it is, and one that breaks off says that it is not complete.
func TestExportBreaksOff(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.many(200_000, time.Now().Add(-time.Hour))
	p := blank(t, s)
	p.onLoad(`delete window.showSaveFilePicker`)
	p.losing()
	dir := p.downloads()
	p.goTo("/?from=all")
	p.settled()
	// The answer is read at the pace of a slow line, so that there is a middle.
	eval[any](p, `(() => { const read = ReadableStreamDefaultReader.prototype.read; ReadableStreamDefaultReader.prototype.read = async function () { await new Promise((r) => setTimeout(r, 30)); return read.call(this); }; return null; })()`)
	p.click("export")
	p.click("export-start")
	p.wait(`/^[\d,]+ of 200,000 events, [\d.]+ .?B$/.test(` + find("export-status") + `?.textContent) && Number(document.querySelector("progress").value) > 0`)
	s.kill()
	p.sees("export-status", "The export broke off and is not complete.")
	p.sees("export-start", "Try again")
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) > 0 {
		t.Errorf("saved all the same: %q, %v", names, err)
	}
	s.start()
	p.keys("\x1b")
	p.gone("#banner")
	p.settled()
	p.click("export")
	p.wait(find("export-total") + `.textContent === "200,000"`)
	if href := eval[string](p, `document.querySelector("dialog a[download]").getAttribute("href")`); !regexp.MustCompile(`^/v1/export\?.*format=ndjson`).MatchString(href) {
		t.Errorf("the plain download leads to %q", href)
	}
}
