package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/importer"
)

func (c *cli) importCommand() *cobra.Command {
	var batch int
	var format, refusedTo string
	cmd := &cobra.Command{
		Use:   "import [FILE…]",
		Short: "Map other systems' audit logs into events and publish them",
		Long: `Import reads audit logs of other systems, plain or compressed with gzip or zstd,
and publishes an event for each record. The original is kept whole in the event's
metadata. The event_id is derived from the record, so importing twice stores
nothing twice. docs/import.md says which field comes from where.

It ends with a table: read, stored, already there, refused by reason. Every
record of the input is in one of these.

Formats: ` + strings.Join(importer.Formats(), ", ") + `.`,
		Example: `  daybook import /var/log/kubernetes/audit.log
  daybook import --format cloudtrail *.json.gz --refused refused.txt
  zcat vault-audit.log.gz | daybook import --format vault`,
		RunE: func(cmd *cobra.Command, files []string) error {
			im, err := importer.New(format)
			if err != nil {
				return usageError("--format: %v", err)
			}
			if batch < 1 {
				return usageError("--batch %d: must be at least 1", batch)
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.withRefused(refusedTo, func(refused io.Writer) error {
				s := c.newSender(cl, batch, refused, c.progress("import", totalSize(files)))
				return s.importAll(cmd.Context(), im, files)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", importer.Auto, "`format` of the records; auto recognises each by itself")
	cmd.Flags().IntVar(&batch, "batch", 1000, "`events` per request")
	cmd.Flags().StringVar(&refusedTo, "refused", "", "write refused records with their reason to this `file` (default standard error)")
	return c.talks(cmd)
}

func (s *sender) importAll(ctx context.Context, im *importer.Importer, files []string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	stop := s.publishWhenQuiet(ctx)
	defer stop()
	for _, name := range files {
		if err := s.importFile(ctx, im, name); err != nil {
			return err
		}
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.report()
}

func (s *sender) importFile(ctx context.Context, im *importer.Importer, name string) error {
	in, shown, err := s.c.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	for item := range im.Read(shown, &countingReader{in, &s.bytesRead}) {
		if err := ctx.Err(); err != nil {
			return err
		}
		where := fmt.Sprintf("%s:%d", item.File, item.Line)
		if item.Err != nil {
			if err := s.refuse(where, item.Err.Error(), importer.Reason(item.Err), item.Raw); err != nil {
				return err
			}
			continue
		}
		if err := s.add(ctx, item.Event, item.Raw, where); err != nil {
			return err
		}
	}
	return nil
}

// countingReader adds what is read to n, for the progress bar.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.n.Add(int64(n))
	return n, err
}

// sortedByCount returns the keys of m, those with the largest count first.
func sortedByCount(m map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
}
