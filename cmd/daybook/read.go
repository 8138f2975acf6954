package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// pageSize is the most events one request asks for: the API's own limit.
const pageSize = 10_000

// selection is the part of a command line that says which events are meant.
type selection struct{ from, to string }

func (s *selection) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.from, "from", "", "only events at or after this `time`: RFC 3339, a date, or -1h, -7d")
	cmd.Flags().StringVar(&s.to, "to", "", "only events before this `time`")
}

func (s *selection) params(args []string) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("q", strings.Join(args, " "))
	set("from", s.from)
	set("to", s.to)
	return v
}

func (c *cli) queryCommand() *cobra.Command {
	var sel selection
	var limit int
	var order, fields string
	cmd := &cobra.Command{
		Use:   "query [FILTER]",
		Short: "Search, newest first",
		Long:  "Search prints the events that match a filter, newest first. docs/filter-language.md describes filters; put them in single quotes.",
		Example: `  daybook query 'user_id:alice action:document.* -outcome:success'
  daybook query --from -1h 'source_ip:10.0.0.0/8 "connection reset"'
  daybook query --limit 1000 -o ndjson 'labels.env:prod' | jq .user_id`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if limit < 1 {
				return usageError("--limit %d: must be at least 1", limit)
			}
			p, err := c.printer()
			if err != nil {
				return err
			}
			v := sel.params(args)
			if fields != "" {
				v.Set("fields", fields)
			}
			if order != "" {
				v.Set("order", order)
			}
			for limit > 0 {
				v.Set("limit", strconv.Itoa(min(limit, pageSize)))
				page, err := cl.Search(cmd.Context(), v)
				if err != nil {
					return errors.Join(err, p.w.Flush())
				}
				for _, ev := range page.Events {
					if err := p.print(ev); err != nil {
						return err
					}
				}
				limit -= len(page.Events)
				if page.NextCursor == "" {
					break
				}
				v.Set("cursor", page.NextCursor)
			}
			return p.close()
		},
	}
	sel.bind(cmd)
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "most `events` to print")
	cmd.Flags().StringVar(&order, "order", "", "`newest` first (default) or oldest first")
	cmd.Flags().StringVar(&fields, "fields", "", "only these `fields`, separated by commas")
	return c.talks(c.printable(cmd))
}

func (c *cli) tailCommand() *cobra.Command {
	var limit int
	var since string
	cmd := &cobra.Command{
		Use:   "tail [FILTER]",
		Short: "Watch events arrive",
		Long:  "Tail prints events that match a filter as they are acknowledged. When the connection breaks it goes on where it left off, without gap or repeat.",
		Example: `  daybook tail 'outcome:denied or outcome:failure'
  daybook tail --since beginning -o ndjson > everything.ndjson`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			p, err := c.printer()
			if err != nil {
				return err
			}
			v := (&selection{}).params(args)
			if since != "" {
				v.Set("since", since)
			}
			enough := errors.New("enough")
			err = cl.Tail(cmd.Context(), v, "", func(ev []byte) error {
				if err := p.print(ev); err != nil {
					return err
				}
				if err := p.w.Flush(); err != nil {
					return err
				}
				if limit > 0 && p.n >= limit {
					return enough
				}
				return nil
			}, func(err error) {
				fmt.Fprintf(c.stderr, "daybook: connection lost (%v), connecting again\n", err)
			})
			if cerr := p.close(); cerr != nil {
				return cerr
			}
			// To stop a tail by hand is how one ends, not a failure.
			if errors.Is(err, enough) || errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "stop after this many `events`; 0: never")
	cmd.Flags().StringVar(&since, "since", "", "where to begin: `now` (default) or beginning")
	return c.talks(c.printable(cmd))
}

func (c *cli) countCommand() *cobra.Command {
	var sel selection
	var by, interval string
	var top int
	cmd := &cobra.Command{
		Use:   "count [FILTER]",
		Short: "Count events, over time and by value",
		Example: `  daybook count --by action
  daybook count --interval 1h --from -7d 'outcome:denied'
  daybook count --by user_id --top 5 --interval auto 'action:*.delete'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			format, err := c.format()
			if err != nil {
				return err
			}
			v := sel.params(args)
			if by != "" {
				v.Set("by", by)
				v.Set("top", strconv.Itoa(top))
			}
			if interval != "" {
				v.Set("interval", interval)
			}
			counts, err := cl.Count(cmd.Context(), v)
			if err != nil {
				return err
			}
			if format != "table" {
				return printJSON(c.stdout, counts.Raw, format)
			}
			w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
			for _, b := range counts.Buckets {
				fmt.Fprintf(w, "%s\t%d\n", b.Start, b.Count)
			}
			for _, g := range counts.Groups {
				name := g.Value
				if name == "" {
					name = "(none)"
				}
				fmt.Fprintf(w, "%s\t%d\n", strings.TrimSpace(cell(name, 80)), g.Count)
			}
			if counts.Other > 0 {
				fmt.Fprintf(w, "(other)\t%d\n", counts.Other)
			}
			fmt.Fprintf(w, "total\t%d\n", counts.Total)
			return w.Flush()
		},
	}
	sel.bind(cmd)
	cmd.Flags().StringVar(&by, "by", "", "count by the values of this `field`, such as action or labels.env")
	cmd.Flags().IntVar(&top, "top", 10, "how many `values` to show, most frequent first")
	cmd.Flags().StringVar(&interval, "interval", "", "count per span of `time`: auto, 1m, 1h, 1d …")
	return c.talks(c.printable(cmd))
}

func (c *cli) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "get EVENT_ID",
		Short:   "Print one event, whole",
		Example: `  daybook get 0198c2d4-7a31-7c55-9d0e-3f2b8a6e1c47`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			format, err := c.format()
			if err != nil {
				return err
			}
			ev, err := cl.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printJSON(c.stdout, ev, format)
		},
	}
	return c.talks(c.printable(cmd))
}

// printJSON writes one document on a line for ndjson, indented otherwise.
func printJSON(w io.Writer, doc []byte, format string) error {
	doc = bytes.TrimSpace(doc)
	if format != "ndjson" {
		var b bytes.Buffer
		if err := json.Indent(&b, doc, "", "  "); err != nil {
			return err
		}
		doc = b.Bytes()
	}
	_, err := fmt.Fprintf(w, "%s\n", doc)
	return err
}

func (c *cli) exportCommand() *cobra.Command {
	var sel selection
	var format, file, order string
	cmd := &cobra.Command{
		Use:   "export [FILTER]",
		Short: "Write everything that matches as NDJSON, CSV or Parquet",
		Long: `Export writes every event that matches and was acknowledged before the export
began. With --to-file the file appears under its name only when it is whole.`,
		Example: `  daybook export --from 2026-10-01 --to 2026-11-01 > october.ndjson
  daybook export --format csv 'user_id:alice' --to-file alice.csv
  daybook export --format parquet --to-file all.parquet`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			v := sel.params(args)
			v.Set("format", format)
			if order != "" {
				v.Set("order", order)
			}
			if file == "" && format == "parquet" && isTerminal(c.stdout) {
				return usageError("--format parquet is binary: name a file with --to-file, or redirect")
			}
			if file == "" {
				return cl.Export(cmd.Context(), v, c.stdout)
			}
			return c.exportFile(cmd.Context(), func(ctx context.Context, w io.Writer) error { return cl.Export(ctx, v, w) }, file)
		},
	}
	sel.bind(cmd)
	cmd.Flags().StringVar(&format, "format", "ndjson", "`form` of the export: ndjson, csv or parquet")
	cmd.Flags().StringVar(&file, "to-file", "", "write to this `file` instead of standard output")
	cmd.Flags().StringVar(&order, "order", "", "`newest` or oldest first (default: the format's own)")
	return c.talks(cmd)
}

// exportFile writes an export beside the file it is for and renames it when it
// is whole, so that a broken export is never taken for a complete one.
func (c *cli) exportFile(ctx context.Context, export func(context.Context, io.Writer) error, name string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	bar := c.progress("export", 0)
	err = export(ctx, &meter{w: tmp, bar: bar})
	bar.done()
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// meter counts the bytes that pass and shows them.
type meter struct {
	w   io.Writer
	n   int64
	bar *progress
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.n += int64(n)
	m.bar.bytes(m.n)
	return n, err
}
