package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream/wal"
)

// examiner makes of what stream and store found wrong with themselves what it
// means: each is the other's second copy of some events.
type examiner struct {
	fs           vfs.FS
	data         string
	store        *segment.Report // nil: there is no such folder
	stream, dead *wal.Report
	report       *checkReport
}

const restoreBackup = "Restore the data folder from a backup."

func (x *examiner) judge() error {
	r := x.report
	if s := x.store; s != nil {
		r.Store = &storeReport{Log: s.Log, Committed: s.Committed, Events: s.Events, Segments: s.Segments, Bytes: s.Bytes}
		for i := range s.Findings {
			x.ofStore(&s.Findings[i])
		}
		if len(s.Leftovers) > 0 {
			x.add(checkFinding{Level: levelNote, File: storeDir, Problem: "files that the manifest does not name: " + strings.Join(s.Leftovers, ", "),
				Remedy: "They are being written, or a crash left them; then the next start removes them, or keeps them if they are many."})
		}
	}
	r.Stream, r.DeadLetters = logReportOf(x.stream), logReportOf(x.dead)
	if x.stream != nil {
		for i := range x.stream.Findings {
			x.ofStream(&x.stream.Findings[i])
		}
	}
	if x.dead != nil {
		for i := range x.dead.Findings {
			x.ofDeadLetters(&x.dead.Findings[i])
		}
	}
	return x.together()
}

func logReportOf(r *wal.Report) *logReport {
	if r == nil {
		return nil
	}
	return &logReport{Log: r.ID, Start: r.Start, End: r.End, Records: r.Records, Segments: r.Segments, Bytes: r.Bytes}
}

// add adds a finding. Its file may be a path.
func (x *examiner) add(f checkFinding) {
	if rel, err := filepath.Rel(x.data, f.File); err == nil && !strings.HasPrefix(rel, "..") {
		f.File = filepath.ToSlash(rel)
	}
	if f.Level == levelDamage {
		x.report.Sound = false
	}
	x.report.Findings = append(x.report.Findings, f)
}

// ofStore judges a finding of the store.
func (x *examiner) ofStore(s *segment.Finding) {
	f := checkFinding{Level: levelDamage, File: s.File, Problem: s.Reason, Events: s.Events, From: s.From, To: s.To}
	if s.Offset >= 0 {
		f.Byte = &s.Offset
	}
	if s.MinTime != 0 || s.MaxTime != 0 {
		f.Oldest, f.Newest = formatTime(s.MinTime), formatTime(s.MaxTime)
	}
	switch {
	case s.Kind == segment.Kept:
		f.Level = levelNote
		f.Remedy = "No query reads it, and no start removes it."
	case !x.store.Manifest && filepath.Base(s.File) == "MANIFEST":
		f.Remedy = "The server does not start over it. The events and times named are those of the segments that can be read without it. " +
			"Restore the folder store from a backup, or move it away: the server makes it anew from the stream, which has " + x.streamHolds() + "."
	case !x.store.Manifest:
		f.Remedy = "See MANIFEST."
	case len(s.To) == 0:
		f.Remedy = restoreBackup
	default:
		f.Remedy = x.rebuilt(s)
	}
	x.add(f)
}

// streamHolds says for people what the stream holds.
func (x *examiner) streamHolds() string {
	if x.stream == nil {
		return "what Kafka keeps"
	}
	if s := span(event.Positions{x.stream.Start}, event.Positions{x.stream.End}); s != "" {
		return s
	}
	return "no record"
}

// rebuilt says what of a piece of the store the stream still has.
func (x *examiner) rebuilt(s *segment.Finding) string {
	if x.stream == nil || len(s.To) > 1 {
		return "The server sets it aside when it reads it, and rebuilds what the stream still has, by itself."
	}
	lost := x.lost(s.From.At(0), s.To.At(0))
	if len(lost) == 0 {
		return "Nothing is lost: the stream holds it all, and the server rebuilds it by itself as soon as it reads it."
	}
	var parts []string
	for _, p := range lost {
		parts = append(parts, span(event.Positions{p.from}, event.Positions{p.to}))
	}
	remedy := "The stream no longer holds " + strings.Join(parts, " and ") + ": what the file has of these is lost, unless a backup has the file."
	if s.Kind == segment.Damaged {
		remedy += " If one has, put it in its place while no server runs."
	}
	return remedy
}

// piece is a part of the stream, offsets from ≤ o < to.
type piece struct{ from, to int64 }

// lost returns what of a piece the stream cannot give back.
func (x *examiner) lost(from, to int64) (lost []piece) {
	add := func(p piece) {
		if p.from, p.to = max(p.from, from), min(p.to, to); p.from < p.to {
			lost = append(lost, p)
		}
	}
	add(piece{from, x.stream.Start})
	for _, f := range x.stream.Findings {
		add(piece{f.From, f.To})
	}
	add(piece{x.stream.End, to})
	return lost
}

// ofStream judges a finding of the stream.
func (x *examiner) ofStream(s *wal.Finding) {
	f := logFinding(s)
	committed := int64(-1) // nobody knows
	if x.store != nil && x.store.Manifest {
		committed = x.store.Committed.At(0)
	}
	switch {
	case s.Kind == wal.Unfinished || s.Kind == wal.Cut:
	case s.Next == 0:
		f.Remedy = restoreBackup
	case s.Kind == wal.Doubtful:
		f.Remedy = "The next start cuts it off and keeps it beside the segment. If it was acknowledged, the events from " + positions(f.From) + " on are lost."
		if committed > s.From {
			f.Remedy = fmt.Sprintf("The store has events up to offset %d of it; those from there on are lost. ", committed-1) + x.anew(committed)
		}
	default:
		f.Remedy = x.lostOfStream(s, &f, committed)
		switch {
		case !s.Refused && committed >= s.To:
			f.Remedy += " The server starts."
		case s.Next > 0 && committed >= s.Next:
			f.Remedy += " The server does not start over it. Move this segment and all older ones away."
		case s.Next < 0 && committed >= x.stream.End:
			f.Remedy += " The server does not start over it. " + x.anew(committed)
		default:
			f.Remedy += " The server does not get past it. " + restoreBackup
		}
	}
	x.add(f)
}

// lostOfStream says which events are lost with a piece of the stream, of which
// the store has all before committed.
func (x *examiner) lostOfStream(s *wal.Finding, f *checkFinding, committed int64) string {
	switch {
	case s.From == s.To:
		return "No event is lost."
	case s.To < 0:
		return "It is not known how many events are lost from " + positions(f.From) + " on."
	case committed >= s.To:
		return "Nothing is lost: the store has all of these events."
	}
	from := event.Positions{max(s.From, committed)}
	return fmt.Sprintf("The store does not have %s: they are lost.", span(from, f.To))
}

// anew says how to go on with an empty stream, where the store has everything.
func (x *examiner) anew(committed int64) string {
	return fmt.Sprintf("Move the segments of the stream away and make an empty file %s/%020d.wal: the stream goes on there.", streamDir, committed)
}

// logFinding returns what the stream and the dead letters have in common.
func logFinding(s *wal.Finding) checkFinding {
	f := checkFinding{Level: levelDamage, File: s.File, Byte: &s.Offset, Problem: s.Reason, From: event.Positions{s.From}, To: event.Positions{max(s.To, s.From)}}
	if f.Events = max(s.To-s.From, 0); f.Events > 0 {
		f.Oldest, f.Newest = formatTime(s.After), formatTime(s.Before)
	}
	switch s.Kind {
	case wal.Unfinished:
		f.Level = levelNote
		f.Problem = fmt.Sprintf("the log ends with %d bytes that are no whole write: %s", s.Resume-s.Offset, s.Reason)
		f.Remedy = "A write is under way; or a crash broke it off, before it was acknowledged, and the next start cuts it off."
	case wal.Doubtful:
		f.Problem = fmt.Sprintf("the log ends with %d bytes that look damaged rather than unfinished: %s", s.Resume-s.Offset, s.Reason)
	case wal.Cut:
		f.Byte = nil
		f.Remedy = "If it was acknowledged, what it holds is lost. Keep it to be looked at, or remove it."
	}
	return f
}

// ofDeadLetters judges a finding of the dead letters, which nothing else holds.
func (x *examiner) ofDeadLetters(s *wal.Finding) {
	f := logFinding(s)
	switch s.Kind {
	case wal.Doubtful:
		f.Remedy = "The next start cuts it off and keeps it beside the segment. If it was acknowledged, the dead letters in it are lost."
	case wal.Damaged:
		f.Remedy = restoreBackup
		if s.Refused || s.From < s.To {
			f.Remedy = fmt.Sprintf("The server does not start over it. %d dead letters cannot be read. ", f.Events) + restoreBackup
		}
		f.Events = 0 // letters are no events
	}
	x.add(f)
}

// together checks that stream and store are of one log, and that the stream holds
// all that the store does not.
func (x *examiner) together() error {
	if x.stream == nil {
		return nil
	}
	if x.store == nil || !x.store.Manifest {
		if x.store == nil && x.stream.Start > 0 {
			x.beginsLate(0)
		}
		return nil
	}
	x.sameLog()
	if committed := x.store.Committed.At(0); x.stream.End < committed {
		f := checkFinding{Level: levelDamage, File: streamDir, From: event.Positions{x.stream.End}, To: event.Positions{committed}, Events: committed - x.stream.End,
			Problem: fmt.Sprintf("it ends at offset %d, and the store has events up to offset %d", x.stream.End, committed-1),
			Remedy:  "What the store has is not lost, but the server does not start over it. " + x.anew(committed)}
		x.add(f)
	}
	// The stream may have dropped what was committed since the store was read.
	committed, err := segment.Committed(x.fs, filepath.Join(x.data, storeDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c := committed.At(0); x.stream.Start > c {
		x.beginsLate(c)
	}
	return nil
}

// beginsLate adds that the stream begins after what the store has.
func (x *examiner) beginsLate(committed int64) {
	x.add(checkFinding{Level: levelDamage, File: streamDir, From: event.Positions{committed}, To: event.Positions{x.stream.Start}, Events: x.stream.Start - committed,
		Problem: fmt.Sprintf("it begins at offset %d, and the store has what came before offset %d only", x.stream.Start, committed),
		Remedy:  "The events between them are lost, unless a backup has the segments of the stream that are missing."})
}

// sameLog checks that the store was filled from this log.
func (x *examiner) sameLog() {
	followed, name := x.store.Log, filepath.Join(x.data, streamDir, "ID")
	if followed.IsZero() || x.stream.ID == followed || slices.ContainsFunc(x.stream.Findings, func(f wal.Finding) bool { return f.File == name }) {
		return
	}
	problem := fmt.Sprintf("the store was filled from log %s, and this is log %s", followed, x.stream.ID)
	remedy := "The server does not start over it: positions of another log mean other events. " + restoreBackup
	if x.stream.ID.IsZero() {
		problem = "the file is missing"
		remedy = fmt.Sprintf("The server does not start over it. If the store was filled from this stream, write the file anew, one line: daybook-log 1 %s %s", followed, followed)
	}
	x.add(checkFinding{Level: levelDamage, File: name, Problem: problem, Remedy: remedy})
}

// formatTime writes a time, "" for 0.
func formatTime(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
}
