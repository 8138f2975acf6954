package ingest

import (
	"encoding/json"
	"strconv"

	"github.com/daybook-log/daybook/event"
)

// refusal is an event that was refused: what the answer says of it, and between
// which accepted ones it came.
type refusal struct {
	before int // accepted events of the same batch that came before it
	end    int // where its JSON ends in answer.refused
}

// detailed is how many bytes of refusals carry every error of their event.
// Later ones carry the first error only, so that the answer to a body of
// nothing but nonsense stays in proportion to it.
const detailed = 1 << 20

// answer gathers what became of the events of a request, as JSON:
//
//	"accepted":2,"duplicates":1,"rejected":1,"last":[{"partition":0,"offset":9}],"results":[
//	 {"event_id":"0198…","partition":0,"offset":8},
//	 {"index":1,"line":2,"errors":[{"field":"user_id","reason":"is required"}]},
//	 {"event_id":"0197…","partition":0,"offset":3,"duplicate":true},
//	 {"event_id":"0198…","partition":0,"offset":9}]
//
// The results are in input order. "last" is the highest offset in each
// partition: a search that waits for it sees every event of the request.
type answer struct {
	minimal bool // refusals only, no receipts

	accepted, duplicates, rejected int
	reach                          event.Positions
	results                        []byte // of events whose outcome is known

	refused  []byte // JSON of the refusals since the last append
	refusals []refusal
}

func (a *answer) reset(minimal bool) {
	clear(a.reach)
	*a = answer{minimal: minimal, reach: a.reach, results: a.results[:0], refused: a.refused[:0], refusals: a.refusals[:0]}
}

// refuse notes that the index-th event of the request was refused; before is
// how many of the batch in hand came before it.
func (a *answer) refuse(index, line, before int, errs event.Errors) {
	b := a.refused
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	if line > 0 {
		b = append(b, `,"line":`...)
		b = strconv.AppendInt(b, int64(line), 10)
	}
	b = append(b, `,"errors":`...)
	if len(a.results)+len(b) > detailed {
		errs = errs[:1]
	}
	text, err := json.Marshal(errs)
	if err != nil {
		panic("ingest: " + err.Error()) // structs of strings cannot fail
	}
	b = append(b, text...)
	a.refused = append(b, '}')
	a.refusals = append(a.refusals, refusal{before: before, end: len(a.refused)})
}

// size returns about how many bytes a holds.
func (a *answer) size() int { return len(a.results) + len(a.refused) + 16*len(a.refusals) }

// settle adds the receipts of a batch that was appended, and the refusals that
// came among its events.
func (a *answer) settle(receipts []Receipt) {
	from, k := 0, 0
	for i := 0; i <= len(receipts); i++ {
		for ; k < len(a.refusals) && a.refusals[k].before == i; k++ {
			a.results = append(a.results, a.refused[from:a.refusals[k].end]...)
			a.results = append(a.results, ',')
			from = a.refusals[k].end
			a.rejected++
		}
		if i < len(receipts) {
			a.receipt(&receipts[i])
		}
	}
	a.refused, a.refusals = a.refused[:0], a.refusals[:0]
}

func (a *answer) receipt(r *Receipt) {
	if r.Duplicate {
		a.duplicates++
	} else {
		a.accepted++
	}
	a.reach = a.reach.Advance(r.Position.Partition, r.Position.Offset+1)
	if a.minimal {
		return
	}
	b := append(a.results, `{"event_id":"`...)
	b = r.ID.Append(b)
	b = append(b, `","partition":`...)
	b = strconv.AppendInt(b, int64(r.Position.Partition), 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, r.Position.Offset, 10)
	if r.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	a.results = append(b, '}', ',')
}

// withdraw makes every event that was not refused as if it had not been sent:
// the answer to an atomic request with a refusal in it.
func (a *answer) withdraw() {
	for k := range a.refusals {
		a.refusals[k].before = 0
	}
	a.settle(nil)
}

// counts appends the members that stand before the results.
func (a *answer) counts(b []byte) []byte {
	b = append(b, `"accepted":`...)
	b = strconv.AppendInt(b, int64(a.accepted), 10)
	b = append(b, `,"duplicates":`...)
	b = strconv.AppendInt(b, int64(a.duplicates), 10)
	b = append(b, `,"rejected":`...)
	b = strconv.AppendInt(b, int64(a.rejected), 10)
	b = append(b, `,"last":[`...)
	first := true
	for p, offset := range a.reach {
		if offset == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"partition":`...)
		b = strconv.AppendInt(b, int64(p), 10)
		b = append(b, `,"offset":`...)
		b = strconv.AppendInt(b, offset-1, 10)
		b = append(b, '}')
	}
	return append(b, `],"results":[`...)
}

// list returns the results without the comma that ends them.
func (a *answer) list() []byte {
	if n := len(a.results); n > 0 {
		return a.results[:n-1]
	}
	return nil
}
