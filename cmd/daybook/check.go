package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/index"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/store/segment"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

func (c *cli) checkCommand() *cobra.Command {
	var data, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Verify a data folder: what is damaged, and what can be rebuilt from what",
		Long: `Check reads everything in a data folder and verifies every byte of it: the stream,
the dead letters, the store's manifest and segments, and that they fit together.
For each damage it names the file and the place, the events concerned, and what
they can be rebuilt from.

It changes nothing and takes no lock, so a server may run on the folder. It ends
with exit code 0 when the folder is sound, and with 1 when something is damaged.`,
		Example: `  daybook check
  daybook check --data /var/lib/daybook -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError("-o %s: must be table or json", output)
			}
			bar := c.progress("check", folderSize(data))
			r, err := checkData(cmd.Context(), vfs.OS(), data, bar)
			bar.done()
			if err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(c.stdout)
				enc.SetIndent("", "  ")
				err = enc.Encode(r)
			} else {
				err = r.print(c.stdout)
			}
			if err == nil && !r.Sound {
				return &exitCode{exitError, nil}
			}
			return err
		},
	}
	def := os.Getenv("DAYBOOK_DATA")
	if def == "" {
		def = settings.Defaults().Data
	}
	cmd.Flags().StringVar(&data, "data", def, "data `folder` to verify [$DAYBOOK_DATA]")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`form` of the report: table or json")
	return cmd
}

// folderSize returns about how many bytes there are to read.
func folderSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // the check itself says what cannot be read
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// checkReport is what a check found. Its JSON is part of the command's interface.
type checkReport struct {
	Data        string         `json:"data"`
	Sound       bool           `json:"sound"`
	Stream      *logReport     `json:"stream,omitempty"` // nil: not in this folder
	DeadLetters *logReport     `json:"dead_letters,omitempty"`
	Store       *storeReport   `json:"store,omitempty"`
	Findings    []checkFinding `json:"findings"`
	Events      int64          `json:"events_read"` // from stream, dead letters and store
	Bytes       int64          `json:"bytes_read"`
	Seconds     float64        `json:"seconds"`
}

type logReport struct {
	Log      event.LogID `json:"log"`
	Start    int64       `json:"start"` // offsets of the first record and after the last
	End      int64       `json:"end"`
	Records  int64       `json:"records"` // readable ones
	Segments int         `json:"segments"`
	Bytes    int64       `json:"bytes"`
}

type storeReport struct {
	Log       event.LogID     `json:"log"`
	Committed event.Positions `json:"committed"`
	Events    int64           `json:"events"`
	Segments  int             `json:"segments"`
	Bytes     int64           `json:"bytes"`
}

// Levels of a finding.
const (
	levelDamage = "damage"
	levelNote   = "note"
)

// checkFinding is one thing that a check found. From and To, half open, are
// positions of the stream, or in the dead letters of those.
type checkFinding struct {
	Level   string          `json:"level"`
	File    string          `json:"file"`           // below the data folder
	Byte    *int64          `json:"byte,omitempty"` // nil: the file as a whole
	Problem string          `json:"problem"`
	Events  int64           `json:"events,omitempty"`
	From    event.Positions `json:"from,omitempty"`
	To      event.Positions `json:"to,omitempty"`
	Oldest  string          `json:"oldest,omitempty"` // times between which the events lie
	Newest  string          `json:"newest,omitempty"`
	Remedy  string          `json:"remedy"` // what can be done, and what will be lost
}

// checkData checks a data folder. Store first, then stream: while a server is at
// work, the stream's end moves on and the store follows.
func checkData(ctx context.Context, fsys vfs.FS, data string, bar *progress) (*checkReport, error) {
	if _, err := fsys.Stat(data); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	begun := time.Now()
	x := &examiner{fs: fsys, data: data, report: &checkReport{Data: data, Sound: true, Findings: []checkFinding{}}}
	r := x.report
	read := func(events, bytes int64) {
		r.Events += events
		r.Bytes += bytes
		bar.at(r.Events, r.Bytes)
	}
	var err error
	x.store, err = segment.Check(ctx, fsys, filepath.Join(data, storeDir), segment.CheckOptions{Progress: read})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: %w", err)
	}
	x.stream, err = wal.Check(ctx, fsys, filepath.Join(data, streamDir), wal.CheckOptions{Progress: read})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("stream: %w", err)
	}
	dead := filepath.Join(data, deadDir)
	x.dead, err = wal.Check(ctx, fsys, dead, wal.CheckOptions{Progress: read, Visit: x.letters})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	if x.store == nil && x.stream == nil {
		return nil, fmt.Errorf("%s is no data folder: it has neither %s nor %s", data, storeDir, streamDir)
	}
	if err := x.judge(); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(begun).Seconds()
	return r, nil
}

// letters checks that records of the dead-letter stream are letters.
func (x *examiner) letters(b *stream.Batch) {
	for i := range b.Len() {
		if err := index.CheckLetter(b.Value(i)); err != nil {
			pos := b.Position(i).Offset
			x.add(checkFinding{Level: levelDamage, File: deadDir, Problem: fmt.Sprintf("the record at offset %d is no dead letter: %v", pos, err),
				From: event.Positions{pos}, To: event.Positions{pos + 1}, Remedy: "The server does not start over it. " + restoreBackup})
		}
	}
}

// print writes the report for people.
func (r *checkReport) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	logLine := func(name string, l *logReport) {
		if l != nil {
			fmt.Fprintf(tw, "%s\t%d records from offset %d on, %d segments, %.1f MB\n", name, l.Records, l.Start, l.Segments, float64(l.Bytes)/1e6)
		}
	}
	logLine("stream", r.Stream)
	logLine("dead letters", r.DeadLetters)
	if s := r.Store; s != nil {
		fmt.Fprintf(tw, "store\t%d events, %d segments, %.1f MB, committed up to %s\n", s.Events, s.Segments, float64(s.Bytes)/1e6, positions(s.Committed))
	}
	fmt.Fprintf(tw, "read\t%.1f MB in %.1f s\n", float64(r.Bytes)/1e6, r.Seconds)
	if err := tw.Flush(); err != nil {
		return err
	}
	damaged := 0
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Level == levelDamage {
			damaged++
		}
		fmt.Fprintf(w, "\n%s: %s\n", strings.ToUpper(f.Level), f.where())
		for _, line := range []string{f.Problem, f.which(), f.Remedy} {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
	verdict := "sound"
	if damaged > 0 {
		verdict = fmt.Sprintf("%d damaged", damaged)
	}
	_, err := fmt.Fprintf(w, "\n%s: %s\n", r.Data, verdict)
	return err
}

// where returns the place of f.
func (f *checkFinding) where() string {
	if f.Byte == nil {
		return f.File
	}
	return fmt.Sprintf("%s, byte %d", f.File, *f.Byte)
}

// which returns the events that f is about, or "".
func (f *checkFinding) which() string {
	var parts []string
	if f.Events > 0 {
		parts = append(parts, fmt.Sprintf("%d events", f.Events))
	}
	if s := span(f.From, f.To); s != "" {
		parts = append(parts, s)
	}
	switch {
	case f.Oldest != "" && f.Newest != "":
		parts = append(parts, f.Oldest+" to "+f.Newest)
	case f.Oldest != "":
		parts = append(parts, "after "+f.Oldest)
	case f.Newest != "":
		parts = append(parts, "before "+f.Newest)
	}
	return strings.Join(parts, ", ")
}

// positions writes positions for people.
func positions(ps event.Positions) string {
	if len(ps) <= 1 {
		return fmt.Sprintf("offset %d", ps.At(0))
	}
	return fmt.Sprintf("offsets %v of the partitions", []int64(ps))
}

// span writes a piece of the stream for people, "" when it is empty.
func span(from, to event.Positions) string {
	var parts []string
	for p, end := range to {
		if begin := from.At(int32(p)); begin < end {
			s := fmt.Sprintf("offsets %d to %d", begin, end-1)
			if len(to) > 1 {
				s += fmt.Sprintf(" of partition %d", p)
			}
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " and ")
}
