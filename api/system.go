package api

import (
	"encoding/json"
	"net/http"
	"time"
)

// System is how the server is, at one moment, for the answer of GET /v1/system.
// Totals count since the server started; whoever wants a rate asks twice. What a
// server does not have, because of its role, is nil and left out.
type System struct {
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Now       time.Time `json:"now"` // by the server's clock, for rates
	Log       string    `json:"log"` // identity of the stream
	Roles     []string  `json:"roles"`

	Ingest      *SystemIngest  `json:"ingest,omitempty"`
	Stream      SystemStream   `json:"stream"`
	Index       *SystemIndex   `json:"index,omitempty"`
	Store       *SystemStore   `json:"store,omitempty"`
	DeadLetters *SystemLetters `json:"dead_letters,omitempty"`
	Query       *SystemQuery   `json:"query,omitempty"` // set by the API
	Memory      SystemMemory   `json:"memory"`
}

// SystemIngest counts what publishers sent.
type SystemIngest struct {
	Accepted   int64 `json:"accepted_total"`   // acknowledged
	Duplicates int64 `json:"duplicates_total"` // acknowledged with the position of their original
	Refused    int64 `json:"refused_total"`    // no events
	Failed     int64 `json:"failed_total"`     // events that could not be appended
	InFlight   int64 `json:"requests_in_flight"`
}

// SystemStream is where the events go first.
type SystemStream struct {
	Kind  string           `json:"kind"`            // embedded or kafka
	End   map[string]int64 `json:"end,omitempty"`   // offset after the newest record, by partition
	Bytes int64            `json:"bytes,omitempty"` // on disk; of the embedded stream
	Error string           `json:"error,omitempty"` // why it takes nothing
}

// SystemIndex is how far the store is behind the stream.
type SystemIndex struct {
	Indexed    int64          `json:"indexed_total"`
	Duplicates int64          `json:"duplicates_total"`
	Lag        int64          `json:"lag_records"` // -1: unknown, because the stream does not say where it ends
	Failing    *SystemFailing `json:"failing,omitempty"`
}

// SystemFailing is a step that is being tried again.
type SystemFailing struct {
	Step  string    `json:"step"`
	Since time.Time `json:"since"`
	Error string    `json:"error"`
}

// SystemStore is what can be searched.
type SystemStore struct {
	Events     int64          `json:"events"`
	HeadEvents int64          `json:"head_events"` // of these, in memory only
	Bytes      int64          `json:"bytes"`       // on disk
	Segments   int            `json:"segments"`
	Oldest     *time.Time     `json:"oldest,omitempty"` // timestamp of the oldest event
	Newest     *time.Time     `json:"newest,omitempty"`
	Expired    int64          `json:"expired_total"` // dropped by retention
	Missing    int64          `json:"missing_events"`
	Damaged    []SystemDamage `json:"damaged"`
}

// SystemDamage is a piece of the store that could not be read.
type SystemDamage struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
	Events int64  `json:"events"`
}

// SystemLetters counts the dead letters.
type SystemLetters struct {
	Open  int64 `json:"open"`
	Total int64 `json:"total"`
}

// SystemQuery is what is being asked.
type SystemQuery struct {
	Queries int `json:"queries"`
	Exports int `json:"exports"`
	Tails   int `json:"tails"`
}

// SystemMemory is of the Go runtime.
type SystemMemory struct {
	Bytes int64 `json:"bytes"`           // taken from the operating system
	Limit int64 `json:"limit,omitempty"` // setting memory_limit
	Store int64 `json:"store_bytes"`     // of these, the store's head and caches, estimated
}

// system answers GET /v1/system.
func (a *API) system(w http.ResponseWriter, r *http.Request) {
	p, err := params(r)
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	s := a.systemOf(r.Context())
	if a.query != nil {
		st := a.query.Stats()
		s.Query = &SystemQuery{Queries: st.Queries, Exports: st.Exports, Tails: st.Tails}
	}
	body, err := json.Marshal(s)
	a.sendJSON(w, r, body, err)
}
