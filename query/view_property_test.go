package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/store/storetest"
)

// ended is a stream that takes no more.
type ended struct{ at event.Positions }

func (ended) ID() event.LogID                                { return event.LogID{1} }
func (s ended) End(context.Context) (event.Positions, error) { return s.at, nil }

// TestWhatAViewAnswers: whatever a view of a scope drawn at random answers is what
// an engine without a scope answers over a store that holds only what may be seen,
// without what is hidden. Positions, which tell how much others have written, are
// left out of the comparison.
func TestWhatAViewAnswers(t *testing.T) {
	var done [2]int // queries answered, and refused
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 12 {
				w.ask(&done)
			}
		})
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	if done[0] < 100 || done[1] < 10 {
		t.Errorf("%d queries were answered, and %d refused", done[0], done[1])
	}
}

// world is a store with everything, seen through a scope, and one with what may be
// seen.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	all    []event.Event
	scope  access.Scope
	scoped *query.View // over everything
	whole  *query.View // over what may be seen
	ends   [2]event.Positions
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 11))}
	events, reached := storetest.NewSource(w.rng, 1).Next(150)
	w.all = events
	allowed := w.drawScope()
	shown := querytest.New()
	for i := range events {
		if e := events[i].Clone(); allowed(&e) {
			w.scope.Hidden.Apply(&e)
			shown.Publish(e)
		}
	}
	w.whole = newEngine(shown)
	w.ends[1], _ = shown.End(t.Context())
	w.ends[0] = reached
	if seed%2 == 0 {
		everything := querytest.New()
		everything.Publish(slices.Clone(events)...)
		w.scoped = viewOf(t, query.New(query.Options{Store: everything, Stream: everything}), w.scope, epoch)
		return w
	}
	s, err := segment.Open(vfs.NewMem(), "/data", segment.Options{HeadRows: 1000}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Append(t.Context(), events, reached); err != nil {
		t.Fatal(err)
	}
	w.scoped = viewOf(t, query.New(query.Options{Store: s, Stream: ended{reached}}), w.scope, epoch)
	return w
}

// drawFilter returns a filter that looks at no position: those of the two stores
// are not the same.
func (w *world) drawFilter() string {
	for {
		x := storetest.RandomFilter(w.rng, w.all)
		if x != nil && filter.Fields(x)&event.Fields(event.Partition, event.Offset) == 0 {
			return x.String()
		}
	}
}

// drawScope draws a scope, narrowed by another one now and then, and returns what
// may be seen through it, worked out from its parts.
func (w *world) drawScope() (allowed func(*event.Event) bool) {
	own, asked := access.Scope{}, access.Scope{}
	own.Tenant = []string{"", "acme", "default", "nobody"}[min(w.rng.IntN(8), 3)%(1+w.rng.IntN(4))]
	own.Hidden = w.drawHidden()
	if w.rng.IntN(2) == 0 {
		own.Filters = append(own.Filters, w.drawFilter())
	}
	if w.rng.IntN(2) == 0 {
		asked.Hidden = w.drawHidden()
		asked.Filters = append(asked.Filters, w.drawFilter())
	}
	scope, err := own.Within(asked)
	if err == nil {
		_, err = scope.Predicate(epoch)
	}
	if _, refused := errors.AsType[*filter.HiddenError](err); refused {
		return w.drawScope()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.scope = scope
	matches := func(filters []string, e *event.Event) bool {
		for _, text := range filters {
			x, err := filter.ParseAt(text, epoch)
			if err != nil {
				w.t.Fatal(err)
			}
			if !filter.Match(x, e) {
				return false
			}
		}
		return true
	}
	return func(e *event.Event) bool {
		if own.Tenant != "" && e.TenantID != own.Tenant || !matches(own.Filters, e) {
			return false
		}
		shown := e.Clone()
		own.Hidden.Apply(&shown)
		return matches(asked.Filters, &shown)
	}
}

func (w *world) drawHidden() filter.Hidden {
	var names []string
	for _, name := range []string{"user_id", "source_ip", "reason", "labels.env", "metadata.order", "metadata.note", "changes.new", "request_id", "metadata"} {
		if w.rng.IntN(7) == 0 {
			names = append(names, name)
		}
	}
	return hidden(w.t, names...)
}

// ask asks both for the same in every way.
func (w *world) ask(done *[2]int) {
	given := url.Values{}
	if w.rng.IntN(4) > 0 {
		given.Set("q", w.drawFilter())
	}
	for i, name := range []string{"from", "to"} {
		if w.rng.IntN(4) == 0 {
			at := w.all[len(w.all)*(1+i)/4].Timestamp
			given.Set(name, string(event.AppendTime(nil, at)))
		}
	}
	p := query.NewParams(given)
	if p.Criteria(epoch); p.Err() != nil {
		return // from lies after to
	}
	fields := event.AllFields
	if w.rng.IntN(2) == 0 {
		fields = event.Fields(event.Resource, event.SourceIP, event.Metadata, event.Changes, event.UserID)
	}
	for _, how := range []func(*query.View, url.Values, event.FieldSet) (string, error){w.search, w.export, w.tail} {
		w.compare(how, given, fields, done)
	}
	given.Set("order", "oldest")
	w.compare(w.search, given, fields, done)
	given.Del("order")
	given.Set("by", []string{"user_id", "tenant_id", "labels.env", "metadata.order.total", "resource_type", "source_ip", "request_id"}[w.rng.IntN(7)])
	given.Set("top", fmt.Sprint(1+w.rng.IntN(4)))
	given.Set("interval", []string{"auto", "1h", "100d"}[w.rng.IntN(3)])
	w.compare(w.counts, given, fields, done)
	w.get()
}

func (w *world) compare(how func(*query.View, url.Values, event.FieldSet) (string, error), given url.Values, fields event.FieldSet, done *[2]int) {
	w.t.Helper()
	got, err := how(w.scoped, given, fields)
	if isHidden(err, given) {
		done[1]++
		return
	}
	want, wantErr := how(w.whole, given, fields)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || got != want {
		w.t.Fatalf("%s through %s:\n%s\n%v\nwant\n%s\n%v", given.Encode(), &w.scope, got, err, want, wantErr)
	}
	done[0]++
}

func isHidden(err error, given url.Values) bool {
	_, filtered := errors.AsType[*filter.HiddenError](err)
	errs, ok := errors.AsType[query.ParamErrors](err)
	return filtered || ok && errs[0].Param == "by" && errs[0].Value == given.Get("by")
}

// seenAs writes what an answer shows of an event.
func seenAs(e *event.Event, fields event.FieldSet) string {
	shown := event.Event{ID: e.ID, Timestamp: e.Timestamp}
	for f := event.UserID; f.IsText(); f++ {
		if fields.Has(f) {
			shown.SetText(f, e.Text(f))
		}
	}
	return fmt.Sprintf("%+v\n", shown)
}

func (w *world) search(v *query.View, given url.Values, fields event.FieldSet) (answer string, err error) {
	given = url.Values{"q": given["q"], "from": given["from"], "to": given["to"], "order": given["order"], "limit": {"7"}}
	for {
		s := v.Params(given).Search(epoch)
		s.Fields = fields
		next, err := v.Search(w.t.Context(), s, func(e *event.Event) bool { answer += seenAs(e, fields); return true })
		if err != nil || next == "" {
			return answer, err
		}
		answer += "next page\n"
		given.Set("cursor", next)
	}
}

func (w *world) export(v *query.View, given url.Values, fields event.FieldSet) (answer string, err error) {
	x := &query.Export{Criteria: v.Params(given).Criteria(epoch), Fields: fields}
	err = v.Export(w.t.Context(), x, func(e *event.Event) bool { answer += seenAs(e, fields); return true })
	return answer, err
}

func (w *world) counts(v *query.View, given url.Values, _ event.FieldSet) (string, error) {
	answer, err := v.Counts(w.t.Context(), v.Params(given).Counts(epoch))
	if err != nil {
		return "", err
	}
	if len(answer.Groups) == 0 {
		answer.Groups = nil
	}
	b, err := json.Marshal(answer)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b), nil
}

// gatherer is a sink that keeps what it is sent as an answer shows it.
type gatherer struct {
	fields event.FieldSet
	got    string
}

func (g *gatherer) Add(e *event.Event, _ event.Positions) bool {
	g.got += seenAs(e, g.fields)
	return len(g.got)%3 == 0
}
func (g *gatherer) Flush(event.Positions) error { return nil }

// tail follows from the beginning until there is no more.
func (w *world) tail(v *query.View, given url.Values, fields event.FieldSet) (string, error) {
	tail := query.NewParams(url.Values{"q": given["q"], "since": {"beginning"}}).Tail(epoch, "")
	tail.Fields = fields
	sink := &gatherer{fields: fields}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	err := v.Tail(ctx, tail, sink)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return sink.got, err
}

// get asks for some events by their identity.
func (w *world) get() {
	for range 10 {
		id := w.all[w.rng.IntN(len(w.all))].ID
		got, err := w.scoped.Get(w.t.Context(), id, query.Fresh{})
		want, wantErr := w.whole.Get(w.t.Context(), id, query.Fresh{})
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || err == nil && seenAs(got, event.AllFields) != seenAs(want, event.AllFields) {
			w.t.Fatalf("%s through %s: %v, %v; want %v, %v", id, &w.scope, got, err, want, wantErr)
		}
	}
}
