package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/stream"
)

// client is somebody outside the process, who lives through its restarts.
type client struct {
	w    *world
	name string
	rng  *rand.Rand
	actor
	cancel context.CancelFunc // ends the call that is under way; nil: none is
}

// actor is what a client does.
type actor interface {
	// act makes one call and returns what came of it, for the trace.
	act(ctx context.Context, p *process) string
	// wants reports whether there is something left to do before the end.
	wants() bool
}

// loop acts whenever it is the client's turn.
func (c *client) loop() {
	note := ""
	for c.w.turns.wait(&turn{name: c.name, note: note, who: c}) == nil {
		p := c.w.proc
		ctx, cancel := context.WithCancel(context.WithValue(p.ctx, clientKey{}, c))
		c.cancel = cancel
		note = c.act(ctx, p)
		c.cancel = nil
		cancel()
		p.calls.Done()
	}
}

// refused returns what is to be said of a call that failed, and finds out whether
// it may have failed.
func (c *client) refused(p *process, err error) string {
	var gone *query.GoneError
	var params query.ParamErrors
	var behind *query.BehindError
	switch {
	case errors.As(err, &gone), errors.As(err, &params), errors.Is(err, store.ErrMemory), errors.Is(err, store.ErrNotFound):
		c.w.failf("%s: %v", c.name, err)
	case p.faulty, p.stopped.Err() != nil, errors.Is(err, errKilled), errors.Is(err, query.ErrTimeout), errors.As(err, &behind), errors.Is(err, query.ErrBusy):
	default:
		c.w.failf("%s: %v, and nothing had failed", c.name, err)
	}
	c.w.stats.Add("calls refused", 1)
	return "refused"
}

// publisher sends events, and sends them again until each is acknowledged.
type publisher struct {
	*client
	fresh int   // events yet to be made
	open  []int // sent and not acknowledged
}

func (a *publisher) wants() bool { return a.fresh > 0 || len(a.open) > 0 }

func (a *publisher) act(ctx context.Context, p *process) string {
	m := a.w.model
	var sent []int
	if len(a.open) > 0 && (a.fresh == 0 || a.rng.IntN(3) > 0) {
		sent = append(sent, a.open[:min(len(a.open), 1+a.rng.IntN(6))]...)
		a.w.stats.Add("events sent again", int64(len(sent)))
	}
	for n := min(a.fresh, a.rng.IntN(1+a.w.plan.batch)); n > 0; n-- {
		i := m.send(a.w.event(a.rng))
		sent, a.open, a.fresh = append(sent, i), append(a.open, i), a.fresh-1
	}
	if k := a.rng.IntN(12); k < 2 && len(m.events) > 0 { // what somebody else has sent, or the same twice
		for range 1 + a.rng.IntN(3) {
			sent = append(sent, a.rng.IntN(len(m.events)))
		}
	}
	if len(sent) == 0 {
		return "nothing"
	}
	b := p.publish.NewBatch()
	for _, n := range sent {
		e := m.events[n]
		if err := b.Add(&e); err != nil {
			a.w.failf("%s: %v", a.name, err)
		}
	}
	if err := b.Publish(ctx); err != nil {
		if errors.Is(err, stream.ErrFull) {
			a.w.stats.Add("appends without room", 1)
		}
		return a.refused(p, err) + " " + fmt.Sprint(sent)
	}
	m.ack(sent, b.Receipts(), p)
	a.w.stats.Add("events acknowledged", int64(len(sent)))
	for _, r := range b.Receipts() {
		if r.Duplicate {
			a.w.stats.Add("duplicates acknowledged", 1)
		}
	}
	a.open = slices.DeleteFunc(a.open, func(n int) bool { return slices.Contains(sent, n) })
	return fmt.Sprint("acknowledged ", sent, " from ", b.Receipts()[0].Position.Offset)
}

// criterion is a set of events as the filter language and the model name it.
type criterion struct {
	q     string
	match func(e *event.Event) bool
}

var criteria = []criterion{
	{"", func(*event.Event) bool { return true }},
	{"action:document.*", func(e *event.Event) bool { return e.Action != "login" }},
	{"user_id:user-1", func(e *event.Event) bool { return e.UserID == "user-1" }},
	{"-outcome:success action:login", func(e *event.Event) bool { return e.Outcome != "success" && e.Action == "login" }},
	{"tenant_id:acme", func(e *event.Event) bool { return e.TenantID == "acme" }},
	{"metadata.n:>3", func(e *event.Event) bool { return e.Metadata[5] > '3' }},
}

// begun is what an answer is held against: the state when it was asked for.
type begun struct {
	end  int64 // what lies before was acknowledged or visible
	gone int64 // what lies before was dropped for good
}

func (m *model) begin(p *process) begun {
	visible := p.store.Visible().At(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	return begun{max(m.end, visible), m.gone}
}

// answered finds out whether got, in the order of the answer, are the events that
// an answer begun then must have. Those that retention may have dropped may be
// missing: of a single scan (whole) only the oldest, since it sees one moment.
func (m *model) answered(who string, got []int64, c criterion, b begun, order store.Order, whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := make(map[int64]bool, len(got))
	first, last := int64(1<<62), int64(-1)
	for i, o := range got {
		if in[o] {
			m.w.failf("%s: offset %d comes twice", who, o)
		}
		in[o], first, last = true, min(first, o), max(last, o)
		if i > 0 && m.compare(order, got[i-1], o) >= 0 {
			m.w.failf("%s: offset %d comes before %d", who, got[i-1], o)
		}
	}
	must := m.dropped
	if whole {
		must = min(must, first)
	}
	for _, r := range m.rows {
		matches := c.match(&m.events[r.event])
		switch {
		case in[r.offset] && !matches:
			m.w.failf("%s: offset %d does not match %q", who, r.offset, c.q)
		case in[r.offset] && r.offset < b.gone:
			m.w.failf("%s: offset %d was dropped, up to %d, before it was asked for", who, r.offset, b.gone)
		case in[r.offset]:
			delete(in, r.offset)
		case matches && !r.copied && r.offset >= must && r.offset < max(b.end, last+1):
			m.w.failf("%s: offset %d is missing from the answer to %q: %v; retention came to %d", who, r.offset, c.q, got, m.dropped)
		}
	}
	for o := range in {
		m.w.failf("%s: offset %d is not in the store", who, o)
	}
}

// compare compares two offsets in an order of events.
func (m *model) compare(order store.Order, a, b int64) int {
	ta, tb := m.events[m.log[a]].Timestamp, m.events[m.log[b]].Timestamp
	c := cmp.Or(cmp.Compare(ta, tb), cmp.Compare(a, b))
	switch order {
	case store.NewestFirst:
		return -c
	case store.ByPosition:
		return cmp.Compare(a, b)
	}
	return c
}

// see takes note that an event was shown.
func (m *model) see(e *event.Event, who string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.same(e, who)
	return e.Offset
}

// searcher reads pages and holds cursors meanwhile.
type searcher struct {
	*client
	values url.Values
	what   criterion
	begun  begun
	got    []int64
	pages  int
}

func (a *searcher) wants() bool { return a.values != nil }

func (a *searcher) act(ctx context.Context, p *process) string {
	if a.values == nil {
		a.what = criteria[a.rng.IntN(len(criteria))]
		a.values, a.got, a.pages = url.Values{"limit": {strconv.Itoa(1 + a.rng.IntN(20))}, "q": {a.what.q}}, nil, 0
		if a.what.q == "" {
			a.values.Del("q")
		}
		if a.rng.IntN(2) == 0 {
			a.values.Set("order", "oldest")
		}
		a.begun = a.w.model.begin(p)
	}
	params := query.NewParams(a.values)
	s := params.Search(time.Now())
	if err := params.Err(); err != nil {
		a.w.failf("%s: %v", a.name, err)
		return ""
	}
	s.Fields = event.AllFields
	var page []int64
	next, err := p.engine.Search(ctx, s, func(e *event.Event) bool {
		page = append(page, a.w.model.see(e, a.name))
		return true
	})
	if err != nil { // the same page is asked for again
		if a.pages == 0 {
			a.values = nil
		}
		return a.refused(p, err)
	}
	a.got, a.pages = append(a.got, page...), a.pages+1
	if next != "" {
		a.values.Set("cursor", next)
		return fmt.Sprint("page ", page)
	}
	a.values = nil
	a.w.model.answered(a.name, a.got, a.what, a.begun, s.Order, a.pages == 1)
	a.w.stats.Add("searches", 1)
	if a.pages > 1 {
		a.w.stats.Add("searches of several pages", 1)
	}
	return fmt.Sprint("last page ", page)
}

// reader exports, counts, and looks single events up.
type reader struct{ *client }

func (a *reader) wants() bool { return false }

func (a *reader) act(ctx context.Context, p *process) string {
	c := criteria[a.rng.IntN(len(criteria))]
	switch a.rng.IntN(4) {
	case 0:
		return a.export(ctx, p, c)
	case 1:
		return a.get(ctx, p)
	}
	return a.count(ctx, p, c)
}

// criteriaOf reads c as the API would.
func (a *reader) criteriaOf(c criterion, values url.Values) *query.Params {
	if c.q != "" {
		values.Set("q", c.q)
	}
	return query.NewParams(values)
}

func (a *reader) export(ctx context.Context, p *process, c criterion) string {
	x := &query.Export{Criteria: a.criteriaOf(c, url.Values{}).Criteria(time.Now()), Order: store.Order(a.rng.IntN(2))}
	b := a.w.model.begin(p)
	var got []int64
	err := p.engine.Export(ctx, x, func(e *event.Event) bool {
		got = append(got, a.w.model.see(e, a.name))
		return len(got)%8 > 0 || p.turn(a.name+" takes rows") == nil // a slow reader
	})
	if err != nil || ctx.Err() != nil {
		return a.refused(p, cmp.Or(err, ctx.Err()))
	}
	a.w.model.answered(a.name+" export", got, c, b, x.Order, true)
	a.w.stats.Add("exports", 1)
	return fmt.Sprint("export ", got)
}

func (a *reader) get(ctx context.Context, p *process) string {
	m := a.w.model
	m.mu.Lock()
	if len(m.events) == 0 {
		m.mu.Unlock()
		return "nothing"
	}
	n := a.rng.IntN(len(m.events))
	e, there := m.events[n], m.there(n) || len(m.acked[n]) > 0
	m.mu.Unlock()
	got, err := p.engine.Get(ctx, e.ID, query.Fresh{})
	m.mu.Lock()
	there = there && m.there(n) // not dropped meanwhile
	m.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNotFound) && !there:
		return "not found"
	case err != nil:
		return a.refused(p, err)
	}
	a.w.stats.Add("lookups", 1)
	if got.ID != e.ID {
		a.w.failf("%s: asked for %s, and got %s", a.name, e.ID, got.ID)
	}
	return fmt.Sprint("got ", m.see(got, a.name))
}

func (a *reader) count(ctx context.Context, p *process, c criterion) string {
	params := a.criteriaOf(c, url.Values{"by": {"action"}, "interval": {"1h"}})
	m := a.w.model
	b := m.begin(p)
	answer, err := p.engine.Counts(ctx, params.Counts(time.Now()))
	if err != nil {
		return a.refused(p, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	least, most := map[string]int64{}, map[string]int64{}
	for _, r := range m.rows {
		e := &m.events[r.event]
		if !c.match(e) {
			continue
		}
		if !r.copied && r.offset >= m.dropped && r.offset < b.end {
			least[e.Action]++
			least[""]++
		}
		if r.offset >= b.gone {
			most[e.Action]++
			most[""]++
		}
	}
	sum := int64(0)
	for _, g := range answer.Groups {
		if sum += g.Count; g.Count < least[g.Value] || g.Count > most[g.Value] {
			a.w.failf("%s: %d events of %q with action %s, there are %d to %d", a.name, g.Count, c.q, g.Value, least[g.Value], most[g.Value])
		}
	}
	spread := int64(0)
	for _, bucket := range answer.Buckets {
		spread += bucket.Count
	}
	if answer.Total < least[""] || answer.Total > most[""] || sum != answer.Total || spread != answer.Total {
		a.w.failf("%s: %d events of %q, %d by action, %d by hour; there are %d to %d", a.name, answer.Total, c.q, sum, spread, least[""], most[""])
	}
	a.w.stats.Add("counts", 1)
	return fmt.Sprint("counted ", answer.Total)
}
