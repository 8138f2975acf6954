package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/internal/saved"
)

// searchBody is a saved search as the API shows it. Tenant is null for those of
// who sees every tenant.
type searchBody struct {
	saved.Search
	Tenant *string `json:"tenant"`
}

func newSearchBody(s saved.Search) searchBody {
	b := searchBody{Search: s}
	if s.Tenant != "" {
		b.Tenant = &s.Tenant
	}
	return b
}

// sharing returns the grant of who may share searches with others of his tenant:
// everybody who reads, but viewers, who are guests.
func (a *API) sharing(w http.ResponseWriter, r *http.Request) (*access.Grant, bool) {
	g := GrantOf(r.Context())
	if g.Kind == access.Viewer {
		a.forbid(w, r, g, "saved searches are not for viewer tokens")
		return nil, false
	}
	return g, true
}

// listSearches answers GET /v1/saved-searches.
func (a *API) listSearches(w http.ResponseWriter, r *http.Request) {
	g, ok := a.sharing(w, r)
	if !ok {
		return
	}
	body := struct {
		Searches []searchBody `json:"saved_searches"`
	}{Searches: []searchBody{}}
	for _, s := range a.searches.List(g.Scope.Tenant) {
		body.Searches = append(body.Searches, newSearchBody(s))
	}
	b, err := json.Marshal(body)
	a.sendJSON(w, r, b, err)
}

// saveSearch answers POST /v1/saved-searches.
func (a *API) saveSearch(w http.ResponseWriter, r *http.Request) {
	g, ok := a.sharing(w, r)
	if !ok {
		return
	}
	var body struct {
		Name  string `json:"name"`
		State string `json:"state"`
	}
	if err := readJSON(w, r, &body); err != nil {
		a.fail(w, r, err)
		return
	}
	s, err := a.searches.Save(saved.Search{Name: body.Name, State: body.State, Tenant: g.Scope.Tenant, CreatedBy: g.Subject}, time.Now())
	if err != nil {
		a.fail(w, r, searchProblem(err))
		return
	}
	b, err := json.Marshal(newSearchBody(s))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusCreated)
	w.Write(append(b, '\n')) // nobody is left to tell when this fails
}

// deleteSearch answers DELETE /v1/saved-searches/{id}: for who saved it, and for
// admins.
func (a *API) deleteSearch(w http.ResponseWriter, r *http.Request) {
	g, ok := a.sharing(w, r)
	if !ok {
		return
	}
	err := a.searches.Delete(g.Scope.Tenant, r.PathValue("id"), func(s saved.Search) bool {
		return s.CreatedBy == g.Subject || g.Rights.Has(access.Admin)
	})
	if err != nil {
		a.fail(w, r, searchProblem(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// searchProblem says an error of the saved searches as a problem document, if it
// is one of theirs.
func searchProblem(err error) error {
	switch {
	case errors.Is(err, saved.ErrNone):
		return problem.Problem{Type: "no-such-search", Status: http.StatusNotFound, Title: "No such saved search",
			Detail: "there is no saved search with this id that you may delete; who saved one may, and an admin"}
	case errors.Is(err, saved.ErrName), errors.Is(err, saved.ErrLong), errors.Is(err, saved.ErrFull):
		return problem.Problem{Type: "invalid-search", Status: http.StatusUnprocessableEntity, Title: "Not possible for a saved search", Detail: err.Error()}
	}
	return err
}
