package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/problem"
)

// deadLetters answers GET /v1/dead-letters.
func (a *API) deadLetters(w http.ResponseWriter, r *http.Request) {
	p, err := params(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	var from index.LetterCursor
	which := index.Selection{State: index.State(p.Choice("state", string(index.StateOpen), string(index.StateReplayed), string(index.StateDiscarded), "any"))}
	if which.State == "any" {
		which.State = ""
	}
	which.Class, _ = p.Text("class")
	scope := &GrantOf(r.Context()).Scope
	which.Sees = scope.SeesRecord
	limit := p.Int("limit", 50, 1, 200)
	if text, ok := p.Text("cursor"); ok {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(b, &from) != nil {
			p.Fail("cursor", text, "must be the next_cursor of a page of dead letters")
		}
	}
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	letters, next, err := a.letters.List(r.Context(), which, from, limit)
	if err != nil {
		a.fail(w, r, letterProblem(err))
		return
	}
	page := struct {
		Letters []json.RawMessage `json:"dead_letters"`
		Next    *string           `json:"next_cursor"`
	}{Letters: make([]json.RawMessage, len(letters))}
	for i, d := range letters {
		if page.Letters[i], err = d.Describe(); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	if len(letters) == limit {
		b, err := json.Marshal(next)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		text := base64.RawURLEncoding.EncodeToString(b)
		page.Next = &text
	}
	body, err := json.Marshal(page)
	a.sendJSON(w, r, body, err)
}

// deadLetter answers GET /v1/dead-letters/{id}.
func (a *API) deadLetter(w http.ResponseWriter, r *http.Request) {
	a.withLetter(w, r, "", func(d index.DeadLetter) (index.DeadLetter, error) { return d, nil })
}

// replayDeadLetter answers POST /v1/dead-letters/{id}/replay.
func (a *API) replayDeadLetter(w http.ResponseWriter, r *http.Request) {
	a.withLetter(w, r, "dead_letter.replay", func(d index.DeadLetter) (index.DeadLetter, error) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, event.MaxSize))
		if err != nil {
			return index.DeadLetter{}, problem.Problem{Type: "invalid-body", Status: http.StatusBadRequest, Title: "Body cannot be read",
				Detail: "the body is the corrected event, at most 64 KiB, or empty to replay the record as it is"}
		}
		var record []byte
		if len(body) > 0 {
			record = body
		}
		return a.letters.Replay(r.Context(), admitting{a.publisher, GrantOf(r.Context())}, d.Position, record)
	})
}

// discardDeadLetter answers POST /v1/dead-letters/{id}/discard.
func (a *API) discardDeadLetter(w http.ResponseWriter, r *http.Request) {
	a.withLetter(w, r, "dead_letter.discard", func(d index.DeadLetter) (index.DeadLetter, error) {
		return a.letters.Discard(r.Context(), d.Position)
	})
}

// admitting publishes what a grant admits.
type admitting struct {
	index.Publisher
	grant *access.Grant
}

func (p admitting) Publish(ctx context.Context, e *event.Event) (event.Position, error) {
	if err := p.grant.Admit(e); err != nil {
		return event.Position{}, err
	}
	return p.Publisher.Publish(ctx, e)
}

// withLetter does something with the dead letter that a path names, if the sender
// may see it, and answers with what it is then. action is how that is recorded;
// "": it is not.
func (a *API) withLetter(w http.ResponseWriter, r *http.Request, action string, do func(index.DeadLetter) (index.DeadLetter, error)) {
	p, err := params(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	text := r.PathValue("id")
	id, err := index.ParseLetterID(text)
	if err != nil {
		p.Fail("id", text, "must be the id of a dead letter: partition and offset, such as 0-42")
	}
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	g := GrantOf(r.Context())
	d, ok, err := a.letters.Get(r.Context(), event.Position(id))
	if err == nil && (!ok || !g.Scope.SeesRecord(d.Record)) {
		err = index.ErrNoLetter
	}
	if err == nil {
		d, err = do(d)
	}
	if err != nil {
		a.fail(w, r, letterProblem(err))
		return
	}
	if action != "" {
		a.soon(r, g, audit.Entry{Action: action, Operation: "update", Resource: "dead-letter/" + text})
	}
	body, err := d.Describe()
	a.sendJSON(w, r, body, err)
}

// letterProblem says an error of the dead letters as a problem document, if it
// is one of theirs.
func letterProblem(err error) error {
	var resolved *index.ResolvedError
	var faults event.Errors
	switch {
	case errors.Is(err, index.ErrNoLetter):
		return problem.Problem{Type: "no-such-dead-letter", Status: http.StatusNotFound, Title: "No such dead letter",
			Detail: "no record at this position became a dead letter"}
	case errors.As(err, &resolved):
		return problem.Problem{Type: "resolved", Status: http.StatusConflict, Title: "Already resolved",
			Detail: resolved.Error() + "; what became of a letter stays"}
	case errors.As(err, &faults):
		p := problem.Problem{Type: "invalid-event", Status: http.StatusUnprocessableEntity, Title: "Still no event",
			Detail: "the record is not an event; send a corrected one as the body"}
		for _, f := range faults {
			p.Errors = append(p.Errors, problem.Error{Field: f.Field, Value: f.Value, Reason: f.Reason})
		}
		return p
	case errors.Is(err, index.ErrNotTaken), errors.Is(err, index.ErrNotRead):
		return problem.Problem{Type: "unavailable", Status: http.StatusServiceUnavailable, Title: "Not now", RetryAfter: time.Second, Detail: err.Error()}
	}
	return err
}
