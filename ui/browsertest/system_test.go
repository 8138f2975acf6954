package browsertest

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// letters writes records into the stream of a server that does not run: what is no
// event is a dead letter once it does.
func (s *server) letters(records ...string) {
	s.t.Helper()
	if err := vfs.OS().MkdirAll(s.data); err != nil {
		s.t.Fatal(err)
	}
	log, err := wal.Open(vfs.OS(), filepath.Join(s.data, "stream"), wal.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	b := new(stream.Batch)
	for _, r := range records {
		b.Add(stream.Key{}, []byte(r))
	}
	if err := log.Append(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func TestSystem(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.letters("no JSON", `{"user_id":"bob","action":"a"}`, "\xff\xfe", `{"event_id":"01900000-0000-7000-8000-00000000ab01","timestamp":"2026-01-01T00:00:00Z","user_id":"eve","action":"<img src=x onerror=alert(1)>"}`)
	s.start()
	s.company()
	total := s.total(nil)
	p := open(t, s, "/")
	p.settled()
	p.click("nav-system")
	p.sees("system", "All in order")
	p.sees("card-store", number(total))
	p.sees("card-dead-letters", "4 open")
	p.sees("card-ingest", "accepted"+number(total))
	p.sees("card-ingest .big", "/s")
	p.sees("card-index-lag", "0 records")
	p.sees("checks", "stream")
	for range 3 { // it goes on by itself
		s.publish(`{"user_id":"u","action":"a","resource":"r/1"}`)
		total++
		p.sees("card-store", number(total))
	}

	p.click("tab-letters")
	p.wait(`document.querySelectorAll("[data-testid=letter]").length === 4`)
	p.sees("letters", "no JSON")
	p.sees("letters", "<img src=x onerror=alert(1)>")
	p.sees("letters", "not UTF-8")
	p.expect(422)
	p.click(`.letter[aria-label="Dead letter 0-1"] [data-testid=replay]`) // it is still no event
	p.sees("toast.bad", "resource")
	p.click(`.letter[aria-label="Dead letter 0-1"] [data-testid=mend]`)
	p.wait(`document.querySelector("[data-testid=mend-text]").value.includes('"user_id": "bob"')`)
	p.fill("mend-text", `{"user_id":"bob","action":"a","resource":"mended/1"}`)
	p.click("mend-replay")
	p.sees("toast:not(.bad)", "Replayed as event")
	p.wait(`document.querySelectorAll("[data-testid=letter]").length === 3`)
	if n := s.total(url.Values{"q": {"resource:mended/1"}}); n != 1 {
		t.Errorf("%d events of a letter that was mended", n)
	}
	p.click(`.letter[aria-label="Dead letter 0-0"] [data-testid=discard]`)
	p.click("confirm")
	p.wait(`document.querySelectorAll("[data-testid=letter]").length === 2`)
	p.sees("tab-letters", "Dead letters")

	// What has been dealt with is found, and leads to the event.
	p.click(`[aria-label="State"]`)
	p.keys("r\r")
	p.wait(`document.querySelectorAll("[data-testid=letter]").length === 1`)
	p.sees("letter", "Became event")
	p.wait(`document.activeElement.value === "replayed"`)
	p.reload() // the address says which they are
	p.sees("letter", "Became event")
	p.back()
	p.sees("letters", "not UTF-8")
	eval[any](p, "void history.forward()")
	p.sees("letter", "Became event")
	p.click("letter a")
	p.settled()
	p.sees("detail", "mended/1")
	p.back()
	p.sees("letter", "Became event")
	p.back()
	p.sees("letters", "not UTF-8")
	p.reload()
	p.sees("tab-letters .count", "2")
	p.back()
	p.sees("card-dead-letters", "2 open")
}

func TestKeysOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	admin := s.startWithKeys()
	s.company()
	p := blank(t, s)
	p.expect(401)
	p.goTo("/?view=system&tab=keys")
	p.signIn(admin)
	p.travel("Asia/Kolkata")
	p.sees("keys", "root")
	p.expect(400, 422)

	p.click("new-key")
	p.fill("key-name", `reader <script>alert(1)</script>`)
	p.fill(`[name=filter]`, "outcome:(")
	p.click("key-create")
	p.sees("key-dialog [role=alert]", "filter")
	p.fill(`[name=filter]`, "outcome:denied")
	p.fill(`[name=tenant]`, "harbour-finch")
	p.fill(`[name=hidden]`, "source_ip, user_agent")
	p.sees("key-dialog", "Expires (UTC)") // the browser is elsewhere
	p.date("key-dialog [name=expires]", "2099-05-06T18:00")
	p.click("key-create")
	p.sees("secret", "dbk_")
	secret := p.text("secret")
	p.allow("clipboard-read")
	p.allow("clipboard-write")
	p.click("secret-dialog footer .btn")
	p.sees("toast", "Secret copied")
	if p.clipboard() != secret {
		t.Error("what was copied is another secret")
	}
	p.click("secret-dialog footer .primary")
	p.gone("secret-dialog")
	row := `key-row:has(code)`
	p.sees(row, "2099-05-06 18:00:00")
	p.sees(row, "outcome:denied")
	p.sees(row, "without source_ip, user_agent")
	p.wait(`!document.documentElement.innerHTML.includes($_)`, secret) // shown once

	// It opens what it says.
	reader := *s
	reader.as(secret)
	page, err := reader.Search(t.Context(), url.Values{"limit": {"1000"}})
	if err != nil || len(page.Events) == 0 {
		t.Fatalf("the new key finds %v, %v", page, err)
	}
	for _, e := range page.Events {
		if field(t, e, "outcome") != "denied" || field(t, e, "source_ip") != "" {
			t.Fatalf("the new key sees %s", e)
		}
	}

	p.click(row + " [data-testid=rotate]")
	p.click(`[aria-label="Overlap"]`)
	p.keys("at\r")
	p.click("rotate-do")
	p.sees("secret", "dbk_")
	second := p.text("secret")
	if second == secret {
		t.Error("rotating made the same secret")
	}
	if _, err := reader.Search(t.Context(), nil); err == nil {
		t.Error("the old secret still opens")
	}
	p.click("secret-dialog footer .primary")
	reader.as(second)
	if _, err := reader.Search(t.Context(), nil); err != nil {
		t.Error(err)
	}
	p.click(row + " [data-testid=revoke]")
	p.sees("confirm-dialog", "cannot be undone")
	p.click("confirm")
	p.sees(row, "revoked")
	p.gone(row + " [data-testid=revoke]")
	if _, err := reader.Search(t.Context(), nil); err == nil {
		t.Error("a revoked key still opens")
	}
	for _, k := range s.keys() {
		if k.State == "active" && k.Name != "root" {
			t.Errorf("the key %q is active", k.Name)
		}
	}
}

// signIn signs in with a key.
func (p *tab) signIn(key string) {
	p.t.Helper()
	p.sees("sign-in-view", "Sign in to Daybook")
	p.wait(`document.activeElement === ` + find("key"))
	p.keys(key + "\r")
	p.gone("sign-in-view")
}

type apiKey struct{ ID, Name, State string }

func (s *server) keys() (keys []apiKey) {
	s.t.Helper()
	all, err := s.Keys(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range all {
		var key apiKey
		if err := json.Unmarshal(k, &key); err != nil {
			s.t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	admin := s.startWithKeys()
	s.company()
	made, err := s.CreateKey(t.Context(), map[string]any{"name": "auditor", "rights": []string{"read"}, "tenant": "harbour-finch", "filter": "-outcome:success"})
	if err != nil {
		t.Fatal(err)
	}
	p := blank(t, s)
	p.expect(401)
	p.goTo("/?from=all&q=action:invoice.*")
	p.sees("sign-in-view", "Sign in to Daybook")
	p.gone("rows")
	p.gone("nav-system")
	p.keys("dbk_wrong\r")
	p.sees("sign-in-error", "The key is not valid")
	p.keys(strings.Repeat("\b", 20)) // it is selected: what is typed replaces it
	p.keys(made.Secret + "\r")
	p.gone("sign-in-view")
	p.settled()
	p.sees("total", number(s.total(url.Values{"q": {"action:invoice.* -outcome:success"}}))) // it came to what the address asked
	p.wait(`!document.querySelector("[data-testid=row] .outcome.success")`)
	p.gone("nav-system") // no right
	p.wait(`!document.cookie && !Object.values(localStorage).join().includes("dbk_")`)
	p.reload()
	p.settled()
	p.sees("row", "invoice.")
	p.click("account")
	p.sees(".account", "auditor")
	p.sees(".account", "harbour-finch")
	p.sees(".account", "-outcome:success")
	p.click("sign-out")
	p.sees("sign-in-view", "Sign in to Daybook")
	p.reload()
	p.signIn(made.Secret)
	p.settled()

	// The session ends under somebody's eyes.
	for _, k := range s.keys() {
		if k.Name == "auditor" {
			if _, err := s.RevokeKey(t.Context(), k.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.keys("r")
	p.sees("sign-in-view", "Sign in to Daybook")
	p.gone("rows")
	p.signIn(admin)
	p.settled()
	p.sees("nav-system", "System")
}
