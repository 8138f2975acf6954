package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/store/storetest"
	"github.com/daybook-log/daybook/stream/wal"
)

var (
	exactSeed  = flag.Uint64("exact.seed", 1, "the first seed of TestExactOverHTTP")
	exactSeeds = flag.Uint64("exact.seeds", 1, "how many seeds TestExactOverHTTP runs")
)

// TestExactOverHTTP is TestExact of package query over the wire: a whole server on
// a real disk, real connections that are cut after any byte, publishers that send
// some events twice. A seed draws what is asked; how it falls together is up to the
// machine.
func TestExactOverHTTP(t *testing.T) {
	for seed := *exactSeed; seed < *exactSeed+*exactSeeds; seed++ {
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { exactOverHTTP(t, seed) })
		if !ok {
			t.Fatalf("repeat it with: go test ./api -run TestExactOverHTTP -exact.seed %d", seed)
		}
	}
}

// wire is what the readers and publishers of one run share.
type wire struct {
	*server
	log   *wal.Log
	store *segment.Store
	done  chan struct{} // closed when nothing is published any more

	mu          sync.Mutex
	recent      []event.Event                     // guarded by mu: published last
	receipts    map[event.Identity]event.Position // guarded by mu
	connections int                               // guarded by mu
	pages       int                               // guarded by mu
	verdict     []func(*querytest.Oracle) error
}

func exactOverHTTP(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	random := func() *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())) }
	options := segment.Options{
		HeadRows:    200 + rng.IntN(400),
		RetainBytes: int64(130+rng.IntN(70)) << 10, // more than what is published again may lie back
	}
	w := &wire{done: make(chan struct{}), receipts: make(map[event.Identity]event.Position)}
	w.server, w.log, w.store = openPipeline(t, options, query.Options{Heartbeat: 10 * time.Millisecond})
	var publishers, others errgroup.Group
	for range 3 {
		rng := random()
		publishers.Go(func() error { return w.publishAll(rng) })
	}
	for range 2 {
		tails, pages := random(), random()
		others.Go(func() error { return w.follow(tails) })
		others.Go(func() error { return w.turnPages(pages) })
	}
	others.Go(func() error { return w.freeze(rng) })
	err := publishers.Wait()
	close(w.done)
	if err := errors.Join(err, others.Wait()); err != nil {
		t.Fatal(err)
	}
	oracle, err := querytest.ReadLog(t.Context(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, judge := range w.verdict {
		if err := judge(oracle); err != nil {
			t.Error(err)
		}
	}
	for id, at := range w.receipts {
		if got := oracle.Identity(at.Offset); got != id {
			t.Errorf("%v was acknowledged at offset %d, where %v lies", id, at.Offset, got)
		}
	}
	st := w.store.Stats()
	t.Logf("%d events, %d dropped, %d merges, %d bytes in %d segments, %d connections of tails, %d pages", oracle.Len(), st.Expired, st.Compactions, st.Bytes, st.Segments, w.connections, w.pages)
	if len(w.receipts) != oracle.Len() {
		t.Errorf("%d events were acknowledged, the log has %d", len(w.receipts), oracle.Len())
	}
}

// publishAll sends batches of events, a few of which were sent before.
func (w *wire) publishAll(rng *rand.Rand) error {
	source := storetest.NewSource(rng, 1)
	for range 60 {
		events, _ := source.Next(1 + rng.IntN(40))
		w.mu.Lock()
		fresh := slices.Clone(events)
		for i := range events {
			if len(w.recent) > 0 && rng.IntN(8) == 0 {
				events[i] = w.recent[rng.IntN(len(w.recent))]
			}
		}
		w.recent = append(w.recent, fresh...)
		w.recent = slices.Clone(w.recent[max(0, len(w.recent)-100):])
		w.mu.Unlock()
		var body []byte
		for i := range events {
			body = append(event.AppendCanonical(body, &events[i]), '\n')
		}
		answer, _, err := w.fetch("POST", "/v1/events", body)
		if err != nil {
			return err
		}
		var publish struct{ Results []event.Position }
		if err := json.Unmarshal(answer, &publish); err != nil || len(publish.Results) != len(events) {
			return fmt.Errorf("%d receipts for %d events: %w", len(publish.Results), len(events), err)
		}
		w.mu.Lock()
		for i, at := range publish.Results {
			if before, known := w.receipts[events[i].Identity()]; known && before != at {
				err = fmt.Errorf("%s was acknowledged at %v and at %v", events[i].ID, before, at)
			}
			w.receipts[events[i].Identity()] = at
		}
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// freeze makes a segment of the head, however small, again and again.
func (w *wire) freeze(rng *rand.Rand) error {
	for {
		select {
		case <-w.done:
			return nil
		case <-time.After(time.Duration(rng.IntN(50)) * time.Millisecond):
		}
		if err := w.store.Flush(w.t.Context()); err != nil {
			return err
		}
	}
}

// fetch returns a whole answer. JSON lines are asked for where there is a choice.
func (w *wire) fetch(method, path string, body []byte) (answer []byte, trailer http.Header, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := w.Client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d: %s", path, resp.StatusCode, answer)
	}
	return answer, resp.Trailer, err
}

// somehow draws a filter from what was published last.
func (w *wire) somehow(rng *rand.Rand) url.Values {
	w.mu.Lock()
	defer w.mu.Unlock()
	values := url.Values{}
	if x := storetest.RandomFilter(rng, w.recent); x != nil {
		values.Set("q", x.String())
	}
	return values
}

// with returns values with one more.
func with(values url.Values, name, value string) url.Values {
	more := url.Values{name: {value}}
	for name, v := range values {
		more[name] = v
	}
	return more
}

func (w *wire) floor() (int64, error) { return querytest.Floor(w.t.Context(), w.store) }

func (w *wire) end() (int64, error) {
	end, err := w.log.End(w.t.Context())
	return end.At(0), err
}

func (w *wire) judge(check func(*querytest.Oracle) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verdict = append(w.verdict, check)
}

// follow tails everything that matches from the beginning to the end, over
// connections that are cut anywhere.
func (w *wire) follow(rng *rand.Rand) error {
	values := with(w.somehow(rng), "since", "beginning")
	var lines []querytest.Line
	id, at, floor := "", int64(0), int64(0)
	for {
		last := false // nothing is published any more when this connection begins
		select {
		case <-w.done:
			last = true
		default:
		}
		received, err := w.connect(rng, values, id)
		if err != nil {
			return err
		}
		if floor, err = w.floor(); err != nil {
			return err
		}
		var more []querytest.Line
		more, id = dispatch(received, id)
		for i := range more {
			more[i].Floor = floor
		}
		lines = append(lines, more...)
		if id != "" {
			positions, _, err := query.ParseTailID(id)
			if err != nil {
				return err
			}
			at = positions.At(0)
		}
		end, err := w.end()
		if err != nil {
			return err
		}
		if last && at >= end {
			break
		}
	}
	w.judge(func(o *querytest.Oracle) error {
		values.Del("since")
		params := query.NewParams(values)
		if err := o.CheckTail(params.Criteria(epoch).Filter, 0, at, lines, floor); err != nil {
			return fmt.Errorf("tail of %v: %w", values, err)
		}
		return params.Err()
	})
	return nil
}

// connect asks for a tail and returns the bytes of it that came before the
// connection was cut.
func (w *wire) connect(rng *rand.Rand, values url.Values, id string) ([]byte, error) {
	w.mu.Lock()
	w.connections++
	w.mu.Unlock()
	conn, err := net.Dial("tcp", w.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	header := ""
	switch {
	case id == "":
	case rng.IntN(2) == 0:
		values = with(values, "last_event_id", id)
	default:
		header = "Last-Event-ID: " + id + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/events/tail?%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", values.Encode(), header); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("a tail from %q was answered %d: %s (%w)", id, resp.StatusCode, answer, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(400)) * time.Millisecond)); err != nil {
		return nil, err
	}
	received := make([]byte, 1+rng.IntN(1<<(4+rng.IntN(14))))
	n, err := io.ReadFull(resp.Body, received)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return received[:n], err
}

// dispatch reads server-sent events as the HTML standard says: what a blank line
// does not end was not received. It returns the events and the last id.
func dispatch(received []byte, id string) (lines []querytest.Line, lastID string) {
	blocks := strings.Split(string(received), "\n\n")
	for _, block := range blocks[:len(blocks)-1] {
		for line := range strings.Lines(block) {
			switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
			case "id":
				id = value
			case "data":
				lines = append(lines, lineOf([]byte(value)))
			}
		}
	}
	return lines, id
}

func lineOf(text []byte) querytest.Line {
	var at event.Position
	if err := json.Unmarshal(text, &at); err != nil {
		at.Offset = -1 // is no offset of the log's
	}
	return querytest.Line{Offset: at.Offset, JSON: string(text)}
}

// turnPages searches page by page, and exports, in turn.
func (w *wire) turnPages(rng *rand.Rand) error {
	for {
		select {
		case <-w.done:
			return nil
		default:
		}
		values, order := w.somehow(rng), store.NewestFirst
		values.Set("order", "newest")
		if rng.IntN(2) == 0 {
			values.Set("order", "oldest")
			order = store.OldestFirst
		}
		end, err := w.end()
		if err != nil {
			return err
		}
		var pages []querytest.Page
		path, cursor := "/v1/events", ""
		if rng.IntN(3) == 0 {
			path = "/v1/export"
		}
		for after := int64(-1); ; {
			given, limit := values, 0
			if path == "/v1/events" {
				limit = 1 + rng.IntN(300)
				given = with(values, "limit", strconv.Itoa(limit))
			}
			if cursor != "" {
				given = with(given, "cursor", cursor)
			}
			page, next, err := w.page(path + "?" + given.Encode())
			if err != nil {
				return err
			}
			page.After, page.Limit = after, limit
			pages = append(pages, page)
			if next == "" {
				break
			}
			if cursor == "" || rng.IntN(4) > 0 { // else the same page once more
				cursor, after = next, page.Lines[len(page.Lines)-1].Offset
			}
		}
		w.judge(func(o *querytest.Oracle) error {
			params := query.NewParams(url.Values{"q": values["q"]})
			criteria := params.Criteria(epoch)
			if err := o.CheckPages(criteria.Filter, criteria.Range, order, end, pages); err != nil {
				return fmt.Errorf("%s of %v: %w", path, values, err)
			}
			return params.Err()
		})
	}
}

// page returns one page, or an export.
func (w *wire) page(path string) (page querytest.Page, next string, err error) {
	w.mu.Lock()
	w.pages++
	w.mu.Unlock()
	if page.Floors[0], err = w.floor(); err != nil {
		return page, "", err
	}
	answer, trailer, err := w.fetch("GET", path, nil)
	if err != nil {
		return page, "", err
	}
	if page.Floors[1], err = w.floor(); err != nil {
		return page, "", err
	}
	for line := range bytes.Lines(answer) {
		page.Lines = append(page.Lines, lineOf(bytes.TrimSuffix(line, []byte("\n"))))
	}
	if n := trailer.Get("Daybook-Events"); n != "" && n != strconv.Itoa(len(page.Lines)) {
		return page, "", fmt.Errorf("%s says that it has %s events, and has %d", path, n, len(page.Lines))
	}
	next = trailer.Get("Daybook-Next-Cursor")
	page.More = next != ""
	return page, next, nil
}
