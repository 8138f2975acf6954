package event

import (
	"math"
	"time"
)

// MaxSize is the largest event, in bytes of JSON as it was sent and in bytes of
// its canonical form.
const MaxSize = 64 << 10

// MaxDepth is how deep objects and arrays may be nested in an event, the event
// itself being the first level.
const MaxDepth = 64

// NoTime marks an Event's Timestamp as absent.
const NoTime = math.MinInt64

// Defaults that normalisation puts in place of an absent field.
const (
	DefaultTenant    = "default"
	DefaultOutcome   = "unknown"
	DefaultOperation = "other"
	DefaultUserType  = "user"
)

// Event is one normalised audit event. A text field that is absent is "".
//
// An Event's strings may share memory with the bytes it was decoded from; keep
// those unchanged for as long as the Event is in use, or [Event.Clone] it.
type Event struct {
	ID        ID    // identity; zero until assigned
	Timestamp int64 // when it happened, ns since the Unix epoch; NoTime until assigned

	UserID        string
	Action        string
	Resource      string
	TenantID      string
	Outcome       string
	Operation     string
	Source        string
	UserType      string
	UserName      string
	OnBehalfOf    string
	ResourceName  string
	SourceIP      string
	UserAgent     string
	SessionID     string
	RequestID     string
	TraceID       string
	CorrelationID string
	ErrorCode     string
	Reason        string

	Changes  string // canonical JSON array of {path, old, new}; "" when absent
	Labels   string // canonical JSON object of strings; "" when absent
	Metadata string // canonical JSON object; "" when absent

	// Set by Daybook, never by a publisher, and no part of the canonical form.
	ReceivedAt int64 // when the stream took it, ns since the Unix epoch
	Partition  int32 // where it lies in the stream
	Offset     int64
}

// Text returns the field f of e, which must be a text or JSON field
// ([Field.IsText]); "" when absent.
func (e *Event) Text(f Field) string {
	if p := e.text(f); p != nil {
		return *p
	}
	return ""
}

// SetText sets the field f of e, which must be a text or JSON field. It does
// not check the value.
func (e *Event) SetText(f Field, v string) {
	if p := e.text(f); p != nil {
		*p = v
	}
}

func (e *Event) text(f Field) *string {
	switch f {
	case UserID:
		return &e.UserID
	case Action:
		return &e.Action
	case Resource:
		return &e.Resource
	case TenantID:
		return &e.TenantID
	case Outcome:
		return &e.Outcome
	case Operation:
		return &e.Operation
	case Source:
		return &e.Source
	case UserType:
		return &e.UserType
	case UserName:
		return &e.UserName
	case OnBehalfOf:
		return &e.OnBehalfOf
	case ResourceName:
		return &e.ResourceName
	case SourceIP:
		return &e.SourceIP
	case UserAgent:
		return &e.UserAgent
	case SessionID:
		return &e.SessionID
	case RequestID:
		return &e.RequestID
	case TraceID:
		return &e.TraceID
	case CorrelationID:
		return &e.CorrelationID
	case ErrorCode:
		return &e.ErrorCode
	case Reason:
		return &e.Reason
	case Changes:
		return &e.Changes
	case Labels:
		return &e.Labels
	case Metadata:
		return &e.Metadata
	}
	return nil
}

// Position returns where e lies in the stream.
func (e *Event) Position() Position { return Position{e.Partition, e.Offset} }

// Complete assigns the identity and the timestamp that e lacks: a new one of
// ids, and now.
func (e *Event) Complete(ids *IDSource, now time.Time) {
	if e.ID.IsZero() {
		e.ID = ids.New(now)
	}
	if e.Timestamp == NoTime {
		e.Timestamp = now.UnixNano()
	}
}

// Clone returns a copy of e that shares no memory with it. All text of the copy
// lies in one allocation.
func (e *Event) Clone() Event {
	size := 0
	for f := UserID; f <= Metadata; f++ {
		size += len(*e.text(f))
	}
	c := *e
	memory := make([]byte, 0, size)
	for f := UserID; f <= Metadata; f++ {
		p := c.text(f)
		n := len(memory)
		memory = append(memory, *p...)
		*p = stringOf(memory[n:])
	}
	return c
}
