package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

func mustParse(tb testing.TB, query string) Expr {
	x, err := ParseAt(query, testNow)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func BenchmarkParse(b *testing.B) {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%04d", i)
	}
	for _, bb := range []struct{ name, query string }{
		{"term", `user_id:alice`},
		{"usual", `user_id:alice action:document.* -outcome:success timestamp:2026-11-01..2026-11-30`},
		{"nested", strings.Repeat("(a or ", MaxDepth) + "b" + strings.Repeat(")", MaxDepth)},
		{"thousand", `user_id:(` + strings.Join(ids, " or ") + `)`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.query)))
			for b.Loop() {
				if _, err := ParseAt(bb.query, testNow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMatchText is what a store pays per dictionary entry or document.
func BenchmarkMatchText(b *testing.B) {
	e := testEvents()[1]
	metadata := `{"browser":"Firefox","build":"2026.11.3","customer":{"id":"c-48213","plan":"enterprise"},` +
		`"geo":{"city":"Oslo","country":"NO"},"order":{"currency":"EUR","items":[{"sku":"A1"},{"sku":"B2"}],"total":99.5},"retries":0}`
	for _, bb := range []struct{ name, query, field string }{
		{"equal", `user_id:alice`, e.UserID},
		{"prefix", `action:document.*`, e.Action},
		{"middle", `action:*ment*del*`, e.Action},
		{"range", `user_id:a..b`, e.UserID},
		{"network", `source_ip:10.0.0.0/8`, e.SourceIP},
		{"type", `resource_type:document`, e.Resource},
		{"label", `labels.env:prod`, e.Labels},
		{"label-miss", `labels.env:dev`, e.Labels},
		{"metadata", `metadata.customer.plan:enterprise`, metadata},
		{"metadata-number", `metadata.order.total:>50`, metadata},
		{"metadata-array", `metadata.order.items.sku:B2`, metadata},
		{"metadata-miss", `metadata.customer.plan:free`, metadata},
		{"changes", `changes.path:email`, e.Changes},
	} {
		b.Run(bb.name, func(b *testing.B) {
			term := mustParse(b, bb.query).(*Term)
			b.ReportAllocs()
			for b.Loop() {
				term.MatchText(bb.field)
			}
		})
	}
}

// BenchmarkMatchSet shows from how many operands on a set is cheaper than
// comparing one by one.
func BenchmarkMatchSet(b *testing.B) {
	for _, n := range []int{2, 4, 7, 8, 16, 1000} {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprintf("user%04d", i))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			term := mustParse(b, `user_id:(`+strings.Join(values, " or ")+`)`).(*Term)
			b.ReportAllocs()
			for b.Loop() {
				term.MatchText("user9999")
			}
		})
	}
}

func BenchmarkMatchInt(b *testing.B) {
	for _, query := range []string{`timestamp:2026-11`, `timestamp:(2026-11-01 or 2026-11-03 or 2026-11-05)`} {
		b.Run(query, func(b *testing.B) {
			term := mustParse(b, query).(*Term)
			v := at("2026-11-03T10:00:00Z")
			b.ReportAllocs()
			for b.Loop() {
				term.MatchInt(v)
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	agent := "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	metadata := `{"customer":{"id":"c-48213","plan":"enterprise"},"geo":{"city":"Oslo","country":"NO"},"note":"Överföring klar","retries":0}`
	for _, bb := range []struct {
		name, query string
		field       event.Field
		text        string
	}{
		{"hit", `firefox`, event.UserAgent, agent},
		{"miss", `chromium`, event.UserAgent, agent},
		{"miss-short", `zz`, event.UserID, "alice"},
		{"json-hit", `oslo`, event.Metadata, metadata},
		{"json-miss", `bergen`, event.Metadata, metadata},
		{"unicode-hit", `överföring`, event.Metadata, metadata},
		{"unicode-miss", `ångström`, event.Metadata, metadata},
	} {
		b.Run(bb.name, func(b *testing.B) {
			text := mustParse(b, bb.query).(*Text)
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.text)))
			for b.Loop() {
				text.Match(bb.field, bb.text)
			}
		})
	}
}

// BenchmarkMatch is what the live tail pays per event and subscriber.
func BenchmarkMatch(b *testing.B) {
	e := testEvents()[1]
	for _, bb := range []struct{ name, query string }{
		{"usual", `user_id:alice action:document.* -outcome:failure timestamp:2026-11`},
		{"text-miss", `chromium`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			x := mustParse(b, bb.query)
			b.ReportAllocs()
			for b.Loop() {
				Match(x, &e)
			}
		})
	}
}

// BenchmarkHiddenApply is what handing out an event costs a reader from whom
// something is hidden.
func BenchmarkHiddenApply(b *testing.B) {
	metadata := `{"browser":"Firefox","build":"2026.11.3","customer":{"id":"c-48213","plan":"enterprise"},` +
		`"geo":{"city":"Oslo","country":"NO"},"order":{"currency":"EUR","items":[{"sku":"A1"},{"sku":"B2"}],"total":99.5},"retries":0}`
	for _, bb := range []struct{ name, hidden string }{
		{"zero", ``},
		{"field", `source_ip`},
		{"nothing-occurs", `metadata.ssn`},
		{"ten-nothing-occurs", `metadata.ssn metadata.a metadata.b.c metadata.card.number labels.x labels.y changes.old.ssn changes.new.ssn metadata.email metadata.p.q`},
		{"key-elsewhere", `metadata.id`},
		{"key", `metadata.build`},
		{"path", `metadata.customer.id`},
		{"in-array", `metadata.order.items.sku`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := mustHide(b, bb.hidden)
			given := testEvents()[1]
			given.Metadata = metadata
			b.ReportAllocs()
			for b.Loop() {
				e := given
				h.Apply(&e)
			}
		})
	}
}

// BenchmarkHiddenText compares a text that must look past what is hidden with one
// that may look at all.
func BenchmarkHiddenText(b *testing.B) {
	metadata := `{"customer":{"id":"c-48213","plan":"enterprise"},"geo":{"city":"Oslo","country":"NO"},"note":"Överföring klar","retries":0}`
	for _, bb := range []struct{ name, hidden, query string }{
		{"hit/all", ``, `oslo`},
		{"hit/nothing-occurs", `metadata.ssn`, `oslo`},
		{"hit/path", `metadata.customer.id`, `oslo`},
		{"hidden-hit/path", `metadata.customer.id`, `48213`},
		{"miss/all", ``, `bergen`},
		{"miss/path", `metadata.customer.id`, `bergen`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			x, err := mustHide(b, bb.hidden).Restrict(mustParse(b, bb.query))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				x.(*Text).Match(event.Metadata, metadata)
			}
		})
	}
}
