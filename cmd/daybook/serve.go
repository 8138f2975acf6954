package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/internal/settings"
)

func (c *cli) serveCommand() *cobra.Command {
	s := settings.Defaults()
	var file string
	var printConfig bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: stream, index, store and API in one process",
		Long: `Serve takes events, keeps them, and answers searches.

Every setting can be given as a flag, as an environment variable (its name stands
behind the flag), or in a YAML file named by --config; the first of these wins.`,
		Example: `  daybook serve
  daybook serve --data /var/lib/daybook --store-retain-age 400d
  daybook serve --config daybook.yaml --print-config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Load(cmd.Flags(), os.Environ(), file); err != nil {
				return &exitCode{exitUsage, err}
			}
			if printConfig {
				return s.Print(c.stdout)
			}
			srv, err := openServer(s, c.stderr)
			if err != nil {
				return err
			}
			if level := logLevel(s.LogLevel); level <= slog.LevelInfo {
				fmt.Fprintln(c.stderr, "daybook: "+srv.Describe())
			}
			return srv.Run(cmd.Context())
		},
	}
	s.Bind(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", os.Getenv("DAYBOOK_CONFIG"), "YAML `file` with settings [$DAYBOOK_CONFIG]")
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "print the settings that would be in force, as YAML, and stop")
	return cmd
}

func logLevel(name string) (l slog.Level) {
	if err := l.UnmarshalText([]byte(name)); err != nil {
		panic(err) // settings accept no other name
	}
	return l
}

func newLogger(s *settings.Settings, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevel(s.LogLevel)}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// runAll runs every part until ctx ends or one of them returns, and then stops
// them in the order given, each only when those before it have stopped: the
// order in which the data flows, so that nothing in flight is lost.
func runAll(ctx context.Context, parts []part) error {
	first, stop := context.WithCancel(ctx)
	defer stop()
	type running struct {
		cancel context.CancelFunc
		done   chan error
	}
	started := make([]running, len(parts))
	// Started against the data's direction: what takes in data comes last.
	for i := len(parts) - 1; i >= 0; i-- {
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		started[i] = running{cancel, make(chan error, 1)}
		go func() {
			started[i].done <- parts[i].run(partCtx)
			stop()
		}()
	}
	<-first.Done()
	var errs []error
	for i, p := range parts {
		started[i].cancel()
		if err := <-started[i].done; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

// part is a component that runs.
type part struct {
	name string
	run  func(context.Context) error
}
