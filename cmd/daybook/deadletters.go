package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

func (c *cli) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "List, show, replay or discard records that are no events",
		Long: `A record of the stream that is no event, as another program can write one, is not
dropped: it becomes a dead letter, with the reason. Replaying one publishes it, as
it is or corrected, exactly once; discarding one says that it is not wanted. Either
is kept with the letter.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.listLettersCommand(), c.showLetterCommand(), c.replayLettersCommand(), c.discardLettersCommand())
	return cmd
}

// letter is what the table shows of a dead letter.
type letter struct {
	ID         string       `json:"id"`
	State      string       `json:"state"`
	ReceivedAt string       `json:"received_at"`
	Class      string       `json:"class"`
	Errors     event.Errors `json:"errors"`
	EventID    string       `json:"event_id"`
}

func (c *cli) listLettersCommand() *cobra.Command {
	var which letterSelection
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, oldest first",
		Example: `  daybook dead-letters list
  daybook dead-letters list --state any -o ndjson`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError("--limit %d: must be at least 1", limit)
			}
			p, err := c.printer()
			if err != nil {
				return err
			}
			p.table = letterTable
			cl, err := c.client()
			if err != nil {
				return err
			}
			err = which.each(cmd.Context(), cl, limit, func(d json.RawMessage) error { return p.print(d) })
			return errors.Join(err, p.close())
		},
	}
	which.bind(cmd)
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "most `letters` to print")
	return c.talks(c.printable(cmd))
}

// letterTable writes a dead letter as a row of the table.
var letterTable = table{
	head: fmt.Sprintf("%-12s %-9s %-24s %-7s %s", "ID", "STATE", "RECEIVED_AT", "CLASS", "WHAT IS WRONG"),
	row: func(_ *printer, record []byte) (string, error) {
		var d letter
		if err := json.Unmarshal(record, &d); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s %s %s %s", cell(d.ID, 12), cell(d.State, 9), cell(instant(d.ReceivedAt), 24), cell(d.Class, 7),
			strings.TrimSpace(cell(d.Errors.Error(), 100))), nil
	},
}

func (c *cli) showLetterCommand() *cobra.Command {
	var record bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter, or the record in it",
		Example: `  daybook dead-letters show 0-42
  daybook dead-letters show 0-42 --record > event.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			d, err := cl.DeadLetter(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !record {
				return printJSON(c.stdout, d, "json")
			}
			var body struct {
				Record string `json:"record"`
				Base64 []byte `json:"record_base64"`
				Length int    `json:"record_bytes"`
			}
			if err := json.Unmarshal(d, &body); err != nil {
				return err
			}
			kept := append([]byte(body.Record), body.Base64...) // one of the two
			if body.Length > 0 {
				fmt.Fprintf(c.stderr, "daybook: the record has %d bytes, of which the first %d are kept\n", body.Length, len(kept))
			}
			_, err = c.stdout.Write(kept)
			return err
		},
	}
	cmd.Flags().BoolVar(&record, "record", false, "print the record itself, byte for byte")
	return c.talks(cmd)
}

func (c *cli) replayLettersCommand() *cobra.Command {
	var file string
	cmd := c.resolveCommand("replay", "replayed", func(ctx context.Context, cl *client.Client, id string) (json.RawMessage, error) {
		if file == "" {
			return cl.ReplayDeadLetter(ctx, id, nil)
		}
		corrected, err := c.readEvent(file)
		if err != nil {
			return nil, err
		}
		return cl.ReplayDeadLetter(ctx, id, corrected)
	})
	cmd.Short = "Publish the events in dead letters, or a corrected one"
	cmd.Example = `  daybook dead-letters replay 0-42
  daybook dead-letters replay 0-42 --event corrected.json
  daybook dead-letters replay --all                # after an upgrade that accepts them`
	cmd.Flags().StringVar(&file, "event", "", "`file` with the corrected event of the one letter that is named; - for standard input")
	cmd.MarkFlagsMutuallyExclusive("event", "all")
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		if file != "" && len(args) != 1 {
			return usageError("--event: name the one dead letter that it corrects; %d are named", len(args))
		}
		return nil
	}
	return cmd
}

func (c *cli) readEvent(file string) ([]byte, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(c.stdin)
	} else {
		b, err = os.ReadFile(file)
	}
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = usageError("--event %s: is empty; it must hold the corrected event", file)
	}
	return b, err
}

func (c *cli) discardLettersCommand() *cobra.Command {
	cmd := c.resolveCommand("discard", "discarded", func(ctx context.Context, cl *client.Client, id string) (json.RawMessage, error) {
		return cl.DiscardDeadLetter(ctx, id)
	})
	cmd.Short = "Say that dead letters are not wanted"
	cmd.Example = `  daybook dead-letters discard 0-42 0-43
  daybook dead-letters discard --all --class syntax`
	return cmd
}

// resolveCommand is a command that does something with dead letters, those that
// are named or all that are open. One that is refused does not stop the others.
func (c *cli) resolveCommand(verb, done string, resolve func(context.Context, *client.Client, string) (json.RawMessage, error)) *cobra.Command {
	var all bool
	var class string
	cmd := &cobra.Command{
		Use: verb + " ID... | --all",
		RunE: func(cmd *cobra.Command, ids []string) error {
			if all == (len(ids) > 0) {
				return usageError("%s: name dead letters, or say --all", verb)
			}
			if class != "" && !all {
				return usageError("--class goes with --all")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			resolved, refused := 0, 0
			one := func(id string) error {
				_, err := resolve(cmd.Context(), cl, id)
				var p *client.Problem
				switch {
				case err == nil:
					resolved++
				case errors.As(err, &p) && (p.Status == http.StatusUnprocessableEntity || p.Status == http.StatusConflict):
					refused++
					fmt.Fprintf(c.stderr, "daybook: %s: %v\n", id, err)
				default:
					return fmt.Errorf("%s: %w", id, err)
				}
				return nil
			}
			if all {
				err = eachOpen(cmd.Context(), cl, class, one)
			} else {
				err = each(ids, one)
			}
			fmt.Fprintf(c.stderr, "daybook: %d %s, %d refused\n", resolved, done, refused)
			if err == nil && refused > 0 {
				err = &exitCode{exitRefused, nil}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every open dead letter")
	cmd.Flags().StringVar(&class, "class", "", "with --all: only those of this `class` of reason, syntax or field")
	return c.talks(cmd)
}

func each(ids []string, do func(id string) error) error {
	for _, id := range ids {
		if err := do(id); err != nil {
			return err
		}
	}
	return nil
}

// eachOpen calls do for every dead letter that is open now.
func eachOpen(ctx context.Context, cl *client.Client, class string, do func(id string) error) error {
	which := letterSelection{class: class}
	return which.each(ctx, cl, 0, func(record json.RawMessage) error {
		var d letter
		if err := json.Unmarshal(record, &d); err != nil {
			return err
		}
		return do(d.ID)
	})
}

// letterSelection is the part of a command line that says which letters are meant.
type letterSelection struct{ state, class string }

func (s *letterSelection) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.state, "state", "", "which letters: `open` (default), replayed, discarded or any")
	cmd.Flags().StringVar(&s.class, "class", "", "only letters of this `class` of reason: syntax or field")
}

// each calls do for up to limit letters, all of them when it is 0.
func (s *letterSelection) each(ctx context.Context, cl *client.Client, limit int, do func(json.RawMessage) error) error {
	v := url.Values{"limit": {"200"}}
	if s.state != "" {
		v.Set("state", s.state)
	}
	if s.class != "" {
		v.Set("class", s.class)
	}
	for n := 0; ; {
		page, err := cl.DeadLetters(ctx, v)
		if err != nil {
			return err
		}
		for _, d := range page.Letters {
			if err := do(d); err != nil {
				return err
			}
			if n++; n == limit {
				return nil
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		v.Set("cursor", page.NextCursor)
	}
}
