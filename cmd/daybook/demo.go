package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/internal/client"
	"github.com/daybook-log/daybook/internal/demo"
	"github.com/daybook-log/daybook/internal/settings"
)

func (c *cli) demoCommand() *cobra.Command {
	var listen, data string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a server with an invented company at work in it",
		Long: `Demo is serve with a data folder of its own, in which a company that does not
exist publishes what its people and programs do: three days of history at once,
then a few events a second. Stop it with Ctrl-C; start it again and it goes on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := settings.Defaults()
			s.Listen, s.Data, s.LogLevel = listen, data, "warn"
			if data == "" {
				cache, err := os.UserCacheDir()
				if err != nil {
					return err
				}
				s.Data = filepath.Join(cache, "daybook-demo")
			}
			return c.demo(cmd.Context(), s)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", settings.Defaults().Listen, "`address` to serve HTTP on; loopback only")
	cmd.Flags().StringVar(&data, "data", "", "data `folder` (default daybook-demo in your cache folder)")
	return cmd
}

// demo runs a server and the company beside it; the one ends with the other.
func (c *cli) demo(ctx context.Context, s *settings.Settings) error {
	srv, err := openServer(s, c.stderr)
	if err != nil {
		return err
	}
	cl, err := client.New(srv.URL())
	if err != nil {
		return errors.Join(err, srv.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- srv.Run(ctx)
		stop()
	}()
	company := demo.NewCompany(uint64(time.Now().UnixNano()))
	err = c.demoPast(ctx, cl, company)
	if err == nil {
		fmt.Fprintf(c.stdout, `Harbour & Finch is at work. Events are kept in %s

  look       %[2]s in a browser
  watch      %[3]s tail --server %[2]s
  search     %[3]s query --server %[2]s 'outcome:denied'
  count      %[3]s count --server %[2]s --by action
  over HTTP  curl '%[2]s/v1/events?q=user_id:ines.moreau&limit=5'

Ctrl-C stops it.
`, s.Data, srv.URL(), invocation())
		err = demo.Run(ctx, cl, company)
	}
	stop()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, <-served)
}

// invocation is how the user started this program, to be repeated.
func invocation() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/daybook"
	}
	return os.Args[0]
}

// demoPast gives an empty log some history.
func (c *cli) demoPast(ctx context.Context, cl *client.Client, company *demo.Company) error {
	n, err := cl.Count(ctx, nil)
	if err != nil || n.Total > 0 {
		return err
	}
	return demo.Past(ctx, cl, company, time.Now(), 3)
}
