package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/internal/bench"
)

func (c *cli) benchCommand() *cobra.Command {
	o := bench.Options{}
	var output, data string
	var serveArgs []string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: events per second, cost per event, latencies",
		Long: `Bench starts a server of its own on an empty data folder, publishes generated
events to it over HTTP, and reports what an event costs and how long publishing,
becoming visible and querying take. The load generator shares the machine with
the server; the CPU figure is the server's alone.

With --server it measures a running server instead, and leaves its events there.`,
		Example: `  daybook bench
  daybook bench --events 20000000 -o json > report.json
  daybook bench --publishers 0 --rate 0 --queries 0    # the bulk figure only`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError("-o %s: must be table or json", output)
			}
			if o.Connections < 1 || o.Batch < 1 || o.Events < 0 {
				return usageError("--connections and --batch must be at least 1, --events at least 0")
			}
			o.Log = func(format string, args ...any) { fmt.Fprintf(c.stderr, "bench: "+format+"\n", args...) }
			if !cmd.Flags().Changed("server") {
				child, err := c.benchServer(cmd, data, serveArgs)
				if err != nil {
					return err
				}
				defer child.stop()
				c.server = child.url
			}
			o.Server = c.server
			r, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(c.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			return r.Print(c.stdout)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Events, "events", 2_000_000, "`events` to publish in bulk; 0: none")
	f.IntVar(&o.Connections, "connections", 4, "`connections` that publish in bulk")
	f.IntVar(&o.Batch, "batch", 1000, "`events` per bulk request")
	f.BoolVar(&o.Receipts, "receipts", true, "ask for a receipt for every event of the bulk")
	f.IntVar(&o.Publishers, "publishers", 1000, "concurrent `publishers` of single events; 0: skip")
	f.DurationVar(&o.SinglesFor, "publishers-for", 5*time.Second, "how `long` they publish")
	f.IntVar(&o.Rate, "rate", 10_000, "`events` per second that arrive while visibility is measured; 0: skip")
	f.DurationVar(&o.VisibleFor, "rate-for", 10*time.Second, "how `long` visibility is measured")
	f.IntVar(&o.Queries, "queries", 20, "`times` each query runs; 0: skip")
	f.BoolVar(&o.RandomIDs, "random-ids", false, "use UUIDv4 identities, which do not rise with time, instead of UUIDv7")
	f.Uint64Var(&o.Seed, "seed", 1, "`seed` of the generated events")
	f.StringVar(&data, "data", "", "data `folder` for the server that bench starts (default a temporary one, removed afterwards)")
	f.StringArrayVar(&serveArgs, "serve-flag", nil, "further `flag` for the server that bench starts, such as --serve-flag=--store-head-rows=65536")
	f.StringVarP(&output, "output", "o", "table", "`form` of the report: table or json")
	return c.talks(cmd)
}

// benchServer starts the server that is measured, in a process of its own so
// that its CPU time and memory are told apart from the load generator's.
func (c *cli) benchServer(cmd *cobra.Command, data string, args []string) (*child, error) {
	temporary := data == ""
	if temporary {
		dir, err := os.MkdirTemp("", "daybook-bench-*")
		if err != nil {
			return nil, err
		}
		data = filepath.Join(dir, "data")
	}
	s, err := startChild(cmd.Context(), data, c.stderr, args...)
	if err != nil {
		return nil, err
	}
	if temporary {
		s.remove = filepath.Dir(data)
	}
	return s, nil
}
