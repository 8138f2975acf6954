package main

import (
	"context"
	"net/http"
)

// program is one that is compared: how it is started, fed and asked.
type program interface {
	Name() string
	Path() string                       // of its binary
	Version(ctx context.Context) string // as it tells it
	Notes() []string                    // what a reader must know of how it was run

	Args(data, addr string) []string // that start its server
	Ready() string                   // path that answers 200 once it serves
	Publish() string                 // path that takes events as NDJSON

	// Compact has the server do what its operators may do once after a load, and
	// waits until it is done.
	Compact(ctx context.Context, s *server) error
	// Stream is the folder below the data folder that holds what is dropped after
	// a while, since it is elsewhere too; "" if there is none.
	Stream() string

	// Ask asks q, in as many requests as it takes, and returns the response to
	// the last of them.
	Ask(ctx context.Context, s *server, q query) (*http.Response, error)
	// Answer reads a response's body: one string for each event, group or bucket,
	// the same for all programs.
	Answer(q query, body []byte) ([]string, error)
}
