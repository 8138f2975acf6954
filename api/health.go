package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/daybook-log/daybook/access"
)

// Check is one thing that must be in order before the server can do its work.
type Check struct {
	Name   string `json:"name"` // such as stream
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // how it is, or what is wrong and what helps
}

// healthBody is the answer of /healthz and /readyz.
type healthBody struct {
	Status string  `json:"status"` // ok or unavailable
	Checks []Check `json:"checks,omitempty"`
}

// healthz says that the process answers. It asks nothing of any stage: a server
// that is not ready is not helped by being started again.
func (a *API) healthz(w http.ResponseWriter, r *http.Request) {
	a.writeHealth(w, r, http.StatusOK, healthBody{Status: "ok"})
}

// readyz says whether the server can do its work, and, to who may know the
// server's figures, what keeps it from it.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) {
	body, status := healthBody{Status: "ok"}, http.StatusOK
	if a.ready != nil {
		body.Checks = slices.Clone(a.ready(r.Context()))
		if g, err := a.authenticate(r); err != nil || !g.May(access.Metrics) {
			for i := range body.Checks { // how much there is, and what is wrong where, is not for everybody
				body.Checks[i].Detail = ""
			}
		}
	}
	if a.closing.Err() != nil {
		body.Checks = append(body.Checks, Check{Name: "api", Detail: "the server is shutting down"})
	}
	for _, c := range body.Checks {
		if !c.OK {
			body.Status, status = "unavailable", http.StatusServiceUnavailable
		}
	}
	a.writeHealth(w, r, status, body)
}

func (a *API) writeHealth(w http.ResponseWriter, r *http.Request, status int, body healthBody) {
	b, err := json.Marshal(body)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // nobody is left to tell when this fails
}
