// Package problem writes the one form in which every HTTP answer of Daybook
// says that something went wrong: an RFC 9457 problem document.
//
//	HTTP/1.1 429 Too Many Requests
//	Content-Type: application/problem+json
//	Retry-After: 1
//
//	{"type":"urn:problem-type:daybook:overloaded","title":"Too Many Requests","status":429,
//	 "detail":"134217728 bytes of events are waiting to be written; send again after a second"}
//
// Programs branch on type and status, people read detail. Everything that is
// wrong with single fields or parameters stands in errors.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// typePrefix makes a short type name the URI that RFC 9457 asks for. It is a
// URN because the documentation has no address that every installation reaches.
const typePrefix = "urn:problem-type:daybook:"

// Problem is one problem document. It is an error, so that a function deep in a
// handler can return it and the handler can write it.
type Problem struct {
	// Type is the short name of the kind of problem, such as "overloaded";
	// "" where the status says it all.
	Type   string
	Status int    // HTTP status, required
	Title  string // the kind of problem in a few words; "": the status's own text
	Detail string // what happened this time and what would be accepted

	// Errors is what is wrong with single fields or parameters.
	Errors []Error

	// RetryAfter, when positive, is sent as Retry-After, rounded up to seconds.
	RetryAfter time.Duration

	// Members is further members of the document as they stand in JSON, without
	// braces: `"accepted":3,"rejected":0`. The caller vouches that it is valid.
	Members []byte
}

// Error is one thing that is wrong with one field or parameter.
type Error struct {
	Field  string `json:"field,omitempty"`  // parameter, or path of the field
	Value  string `json:"value,omitempty"`  // what was sent, shortened by the caller
	Column int    `json:"column,omitempty"` // in a filter: 1-based character at which it stopped making sense
	Reason string `json:"reason"`           // what is wrong and what would be accepted
}

// Error returns the detail, or the title where there is none.
func (p Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.title()
}

func (p Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	return http.StatusText(p.Status)
}

// Write answers a request with p. The document's Members go on with tail, which
// is not copied: it may be large.
func Write(w http.ResponseWriter, p Problem, tail ...[]byte) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		seconds := int64((p.RetryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	body := Append(nil, p)
	length := len(body)
	for _, t := range tail {
		length += len(t)
	}
	h.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(p.Status)
	// The client has gone when this fails; there is nobody left to tell.
	rest := len(body) - len(end)
	w.Write(body[:rest])
	for _, t := range tail {
		w.Write(t)
	}
	w.Write(body[rest:])
}

// end is how a document ends.
const end = "}\n"

// Append appends p as JSON with a newline at its end.
func Append(dst []byte, p Problem) []byte {
	uri := "about:blank"
	if p.Type != "" {
		uri = typePrefix + p.Type
	}
	dst = append(dst, `{"type":`...)
	dst = appendJSON(dst, uri)
	dst = append(dst, `,"title":`...)
	dst = appendJSON(dst, p.title())
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(p.Status), 10)
	if p.Detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = appendJSON(dst, p.Detail)
	}
	if len(p.Errors) > 0 {
		dst = append(dst, `,"errors":`...)
		dst = appendJSON(dst, p.Errors)
	}
	if len(p.Members) > 0 {
		dst = append(dst, ',')
		dst = append(dst, p.Members...)
	}
	return append(dst, end...)
}

func appendJSON(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("problem: " + err.Error()) // strings and structs of strings cannot fail
	}
	return append(dst, b...)
}
