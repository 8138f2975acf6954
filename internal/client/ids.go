package client

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/daybook-log/daybook/event"
)

// WithIDs appends line to dst with an event_id added when it is an object that
// has none, so that sending it twice stores it once. A line that is not an
// object is appended as it is: the server says what is wrong with it.
func WithIDs(dst, line []byte, ids *event.IDSource) []byte {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || !json.Valid(line) || hasEventID(line) {
		return append(dst, line...)
	}
	dst = append(dst, `{"event_id":"`...)
	dst = ids.New(time.Now()).Append(dst)
	dst = append(dst, '"')
	rest := bytes.TrimSpace(line[1:])
	if rest[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...)
}

// hasEventID reports whether a valid JSON object has a top-level event_id, be it
// null: a second one would be a duplicate key.
func hasEventID(object []byte) bool {
	if !bytes.Contains(object, []byte("event_id")) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	depth, key := 0, false
	for {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		switch t := tok.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
			key = depth == 1
			continue
		case string:
			if depth == 1 && key && t == "event_id" {
				return true
			}
		}
		if depth == 1 {
			key = !key
		}
	}
}
