package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
)

// Errors of a query that was understood. Besides these, what the store returns
// comes through unchanged: store.ErrNotFound, store.ErrMemory.
var (
	// ErrBusy: every slot stayed taken. Asking again later is sensible.
	ErrBusy = errors.New("too many queries are running")
	// ErrTails: as many tails as may be are open.
	ErrTails = errors.New("too many tails are open")
	// ErrStream: the stream does not say where it ends, and so nobody can say
	// that the store has everything. Asking again later is sensible.
	ErrStream = errors.New("the stream cannot be asked where it ends")
	// ErrTimeout: the query ran for longer than it may.
	ErrTimeout = errors.New("query took longer than it is allowed")
)

// BehindError says that the store did not reach a position in time.
type BehindError struct {
	Want   event.Positions // what the query had to see everything before
	Have   event.Positions // what it would have seen
	Waited time.Duration
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("after %v the store has reached stream position %s, the query must see everything before %s",
		e.Waited, FormatPositions(e.Have), FormatPositions(e.Want))
}

// GoneError says that a cursor, or the id of a tail, is of another log, or of a
// part of this log that is no more. Only to start again without it helps.
type GoneError struct {
	Param  string // where it came: a parameter, or the header Last-Event-ID
	Value  string // what was given, shortened
	Reason string // what is wrong and what to do
}

func (e *GoneError) Error() string { return e.Param + ": " + e.Reason }

// ParamError is one thing that is wrong with a request's parameters.
type ParamError struct {
	Param  string // the parameter
	Value  string // what was given, shortened
	Reason string // what is wrong and what would be accepted

	// For a filter: the 1-based column, in characters, at which it stops making
	// sense, and the text there; else 0 and "".
	Column int
	Token  string
}

func (e *ParamError) Error() string {
	if e.Column > 0 {
		return fmt.Sprintf("%s: column %d: %s", e.Param, e.Column, e.Reason)
	}
	return e.Param + ": " + e.Reason
}

// ParamErrors is everything that is wrong with a request's parameters.
type ParamErrors []*ParamError

func (es ParamErrors) Error() string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = e.Error()
	}
	return strings.Join(parts, "; ")
}

// shorten cuts a value for an error message to about 64 bytes of whole characters.
func shorten(v string) string {
	const most = 64
	if len(v) <= most {
		return strings.ToValidUTF8(v, "�")
	}
	return strings.ToValidUTF8(v[:most], "") + "…"
}

// outcome tells apart why ctx ended: a query that ran out of its own time failed
// with ErrTimeout, whatever the store made of it.
func outcome(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), ErrTimeout) {
		return ErrTimeout
	}
	return err
}
