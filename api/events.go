package api

import (
	"net/http"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
)

// cursorTrailer carries the cursor of the next page of NDJSON, whose lines are
// events and nothing else. It follows the body, because only then is it known.
const cursorTrailer = "Daybook-Next-Cursor"

// search answers GET /v1/events.
func (a *API) search(w http.ResponseWriter, r *http.Request) {
	v, p, err := a.asked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	s := p.Search(time.Now())
	s.Fields = fieldsOf(p, v)
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	if negotiate(r, typeJSON, typeNDJSON) == typeNDJSON {
		if err := needChunks(r); err != nil {
			a.fail(w, r, err)
			return
		}
		a.searchNDJSON(w, r, v, s)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	out := a.newAnswer(w, r)
	defer out.release()
	out.buf = append(out.buf, `{"events":[`...)
	empty := len(out.buf)
	next, err := a.page(w, r, v, s, func(e *event.Event) bool {
		if out.sent || len(out.buf) > empty {
			out.buf = append(out.buf, ',')
		}
		out.buf = event.AppendJSON(out.buf, e, s.Fields)
		return out.spill()
	})
	if err != nil {
		out.fail(r, err)
		return
	}
	out.buf = append(out.buf, `],"next_cursor":`...)
	if next == "" {
		out.buf = append(out.buf, "null}\n"...)
	} else { // base64url: nothing in it needs escaping
		out.buf = append(append(append(out.buf, '"'), next...), "\"}\n"...)
	}
	out.finish()
}

// page runs a search. What it sends meanwhile counts towards the query's time: a
// client that takes nothing must not hold a slot for longer than a query may.
func (a *API) page(w http.ResponseWriter, r *http.Request, v *query.View, s *query.Search, yield func(*event.Event) bool) (next string, err error) {
	if resp, ok := w.(*response); ok {
		resp.bound(time.Now().Add(a.query.Timeout()))
		defer resp.bound(time.Time{})
	}
	ctx, stop := lasting(r)
	defer stop()
	a.noteSearch(r, s.Filter)
	return v.Search(ctx, s, yield)
}

func (a *API) searchNDJSON(w http.ResponseWriter, r *http.Request, v *query.View, s *query.Search) {
	w.Header().Set("Content-Type", typeNDJSON)
	w.Header().Set("Trailer", cursorTrailer)
	out := a.newAnswer(w, r)
	defer out.release()
	next, err := a.page(w, r, v, s, func(e *event.Event) bool {
		out.buf = append(event.AppendJSON(out.buf, e, s.Fields), '\n')
		return out.spill()
	})
	if err != nil {
		out.fail(r, err)
		return
	}
	out.finish()
	if next != "" {
		w.Header().Set(cursorTrailer, next)
	}
}

// get answers GET /v1/events/{event_id}.
func (a *API) get(w http.ResponseWriter, r *http.Request) {
	v, p, err := a.asked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	text := r.PathValue("event_id")
	id, ok := event.ParseID(text)
	if !ok {
		p.Fail("event_id", text, "must be a UUID, such as 0198c0de-7a3b-7c4d-8e5f-0123456789ab")
	}
	fields, fresh := fieldsOf(p, v), p.Fresh()
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	e, err := v.Get(r.Context(), id, fresh)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	out := a.newAnswer(w, r)
	defer out.release()
	out.buf = append(event.AppendJSON(out.buf, e, fields), '\n')
	out.finish()
}
