package api

import "net/http"

// pageRoutes are what the page for people is served at. They are for everyone:
// the page holds nothing but itself, and asks for all else as its reader. They
// are no part of the API, so neither the list of endpoints nor OpenAPI has them.
func pageRoutes(page http.Handler) []route {
	return []route{
		{"GET /ui/", public, page.ServeHTTP, false},
		{"GET /embed", public, page.ServeHTTP, false},
	}
}

// root answers GET / with the page for a browser, and with the list of endpoints
// for everyone else.
func (a *API) root(w http.ResponseWriter, r *http.Request) {
	if a.people != nil && negotiate(r, "text/plain", "text/html") == "text/html" {
		a.people.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Vary", "Accept")
	a.index(w, r)
}
