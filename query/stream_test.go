package query_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/query/querytest"
)

// away is a stream that cannot be reached.
type away struct{ *querytest.Mem }

var errAway = errors.New("no broker answers")

func (away) End(context.Context) (event.Positions, error) { return nil, errAway }

// TestStreamAway: a query that must see the newest events says that nobody can
// tell it which these are; one that takes what is there gets it.
func TestStreamAway(t *testing.T) {
	mem := querytest.New()
	e := all(query.New(query.Options{Store: mem, Stream: away{mem}}))
	never := func(*event.Event) bool { return true }
	_, err := e.Search(t.Context(), params(t, "").Search(time.Now()), never)
	if !errors.Is(err, query.ErrStream) || !errors.Is(err, errAway) {
		t.Errorf("search: %v", err)
	}
	if err := e.Tail(t.Context(), params(t, "").Tail(time.Now(), ""), nil); !errors.Is(err, query.ErrStream) {
		t.Errorf("tail: %v", err)
	}
	if _, err := e.Search(t.Context(), params(t, "wait=0s").Search(time.Now()), never); err != nil {
		t.Errorf("search of what is there: %v", err)
	}
}
