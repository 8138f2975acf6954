package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/internal/client"
	"github.com/daybook-log/daybook/internal/settings"
)

func (c *cli) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, rotate and revoke API keys",
		Long: `A key says who may write and who may read what. Without any, everybody on this
machine may do everything, and nobody from elsewhere; with the first one, which must
be an admin's, a key is needed for everything.

A key is shown once, when it is made: what is kept is a hash of it. It is printed
alone on standard output, so that it can go straight into a file.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.createKeyCommand(), c.listKeysCommand(), c.revokeKeyCommand(), c.rotateKeyCommand())
	return cmd
}

// keySpec gathers the flags of a key.
type keySpec struct {
	name, tenant, filter, certificate, expires string
	rights, hide                               []string
	labels                                     map[string]string
	admin                                      bool
	events, queries                            int
}

func (k *keySpec) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.name, "name", "", "what the key is `for`, such as billing-api")
	f.StringVar(&k.tenant, "tenant", "", "the one `tenant` that it writes and reads; without it, every tenant")
	f.StringSliceVar(&k.rights, "rights", nil, "what it may do: `rights` out of write, read, admin, metrics")
	f.BoolVar(&k.admin, "admin", false, "the same as --rights admin: everything, keys included")
	f.StringVar(&k.filter, "filter", "", "what it reads, as a `filter`: 'resource:billing/*'")
	f.StringSliceVar(&k.hide, "hide", nil, "`fields` that it neither sees nor searches by, such as source_ip,metadata.ssn")
	f.StringToStringVar(&k.labels, "label", nil, "a label, `name=value`; may be given several times")
	f.StringVar(&k.certificate, "certificate", "", "`name` of the client certificate that stands for the key: uri:spiffe://prod/billing, dns:…, email:… or cn:…")
	f.StringVar(&k.expires, "expires", "", "`age` at which it ends, such as 90d; without it, never")
	f.IntVar(&k.events, "events-per-second", 0, "`number` of events a second that it may publish; 0: no bound")
	f.IntVar(&k.queries, "queries-at-once", 0, "`number` of queries that it may have running; 0: no bound")
}

// spec returns the key that the flags describe.
func (k *keySpec) spec(now time.Time) (keyring.Spec, error) {
	s := keyring.Spec{
		Name: k.name, Tenant: k.tenant, Filter: k.filter, Hidden: k.hide, Labels: k.labels, Certificate: k.certificate,
		EventsPerSecond: k.events, QueriesAtOnce: k.queries,
	}
	names := k.rights
	if k.admin {
		names = append(names, "admin")
		if s.Name == "" {
			s.Name = "admin"
		}
	}
	var err error
	if s.Rights, err = access.ParseRights(names); err != nil {
		return s, usageError("--rights %w; or say --admin", err)
	}
	if s.Name == "" {
		return s, usageError("--name: say what the key is for")
	}
	if k.expires != "" {
		var age settings.Duration
		if err := age.Set(k.expires); err != nil {
			return s, usageError("--expires %s: %w", k.expires, err)
		}
		at := now.Add(time.Duration(age)).UTC().Truncate(time.Second)
		s.ExpiresAt = &at
	}
	return s, nil
}

func (c *cli) createKeyCommand() *cobra.Command {
	var k keySpec
	var data string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and print it",
		Long: `Create makes a key. With --data it is made in the data folder of a server that is
not running, and no key is asked for: whoever may write there may do so. That is how
the first key is made for a server that is to listen beyond this machine, and how to
get in again when the last admin's key is lost.`,
		Example: `  umask 077                                 # the key's file is for you alone
  daybook keys create --admin > admin.key
  daybook keys create --admin --data /var/lib/daybook > admin.key
  daybook keys create --name billing-api --tenant acme --rights write
  daybook keys create --name auditor --rights read --filter 'resource:billing/*' --hide source_ip,metadata.ssn --expires 90d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := k.spec(time.Now())
			if err != nil {
				return err
			}
			if data != "" {
				return c.createOffline(data, spec)
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := cl.CreateKey(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return c.showNewKey(made)
		},
	}
	k.bind(cmd)
	offlineFlag(cmd, &data)
	return c.talks(cmd)
}

// showNewKey prints a key alone on standard output, and about it on the other.
func (c *cli) showNewKey(made *client.NewKey) error {
	var k struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if err := json.Unmarshal(made.Key, &k); err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "daybook: key %s (%s), shown this once; give it to commands in DAYBOOK_KEY or --key-file\n", k.ID, k.Name)
	_, err := fmt.Fprintln(c.stdout, made.Secret)
	return err
}

// listedKey is what the table shows of a key.
type listedKey struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Tenant     *string  `json:"tenant"`
	Rights     []string `json:"rights"`
	State      string   `json:"state"`
	ExpiresAt  string   `json:"expires_at"`
	LastUsedAt string   `json:"last_used_at"`
}

var keyTable = table{
	head: fmt.Sprintf("%-16s %-20s %-12s %-16s %-8s %-20s %s", "ID", "NAME", "TENANT", "RIGHTS", "STATE", "LAST_USED_AT", "EXPIRES_AT"),
	row: func(_ *printer, record []byte) (string, error) {
		var k listedKey
		if err := json.Unmarshal(record, &k); err != nil {
			return "", err
		}
		tenant := "(all)"
		if k.Tenant != nil {
			tenant = *k.Tenant
		}
		return strings.TrimRight(fmt.Sprintf("%s %s %s %s %s %s %s", cell(k.ID, 16), cell(k.Name, 20), cell(tenant, 12), cell(strings.Join(k.Rights, ","), 16),
			cell(k.State, 8), cell(k.LastUsedAt, 20), k.ExpiresAt), " "), nil
	},
}

func (c *cli) listKeysCommand() *cobra.Command {
	var which, label, data string
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List keys, the oldest first",
		Long:  "List shows keys, and never a secret. PREFIX is the beginning of an id, or of a whole key as it was found somewhere: dbk_ab12.",
		Example: `  daybook keys list
  daybook keys list dbk_ab12 -o json
  daybook keys list --state active --label team=billing`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.printer()
			if err != nil {
				return err
			}
			p.table = keyTable
			if data != "" {
				return c.listOffline(data, strings.Join(args, ""), which, label, p)
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			v := url.Values{}
			for name, value := range map[string]string{"prefix": strings.Join(args, ""), "state": which, "label": label} {
				if value != "" {
					v.Set(name, value)
				}
			}
			keys, err := cl.Keys(cmd.Context(), v)
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := p.print(k); err != nil {
					return err
				}
			}
			return p.close()
		},
	}
	cmd.Flags().StringVar(&which, "state", "", "only those in this `state`: active, expired or revoked")
	cmd.Flags().StringVar(&label, "label", "", "only those with this label, `name=value`")
	offlineFlag(cmd, &data)
	return c.talks(c.printable(cmd))
}

func (c *cli) revokeKeyCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:     "revoke ID...",
		Short:   "Take keys back for good",
		Long:    "Revoke takes keys back. What they have open, tails and exports included, ends within a second, and so do sessions and viewer tokens that came of them.",
		Example: `  daybook keys revoke ab12cd34ef56gh23`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if data != "" {
				return each(ids, func(id string) error { return c.revokeOffline(data, id) })
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			return each(ids, func(id string) error {
				if _, err := cl.RevokeKey(cmd.Context(), id); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
				fmt.Fprintf(c.stderr, "daybook: key %s is revoked\n", id)
				return nil
			})
		},
	}
	offlineFlag(cmd, &data)
	return c.talks(cmd)
}

func (c *cli) rotateKeyCommand() *cobra.Command {
	var overlap time.Duration
	var data string
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a key a new secret and print it",
		Long:  "Rotate makes a new secret for a key. The old one opens for --overlap longer, so that whoever uses it can change over.",
		Example: `  daybook keys rotate ab12cd34ef56gh23 --overlap 24h > billing.key
  daybook keys rotate ab12cd34ef56gh23 --overlap 0s      # it leaked`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data != "" {
				return c.rotateOffline(data, args[0], overlap)
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := cl.RotateKey(cmd.Context(), args[0], overlap.String())
			if err != nil {
				return err
			}
			return c.showNewKey(made)
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old secret still opens, as a `time`")
	offlineFlag(cmd, &data)
	return c.talks(cmd)
}

func (c *cli) viewerTokenCommand() *cobra.Command {
	var subject, tenant, narrow string
	var hide []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "viewer-token",
		Short: "Make a short-lived token with which somebody sees a part of one tenant's log",
		Long: `Viewer-token makes a token and prints it. Whoever has it sees, until it expires, what
the key that made it sees of one tenant, narrowed by --filter and --hide. It is kept
nowhere and ends with that key.`,
		Example: `  daybook viewer-token --tenant acme --subject ada@acme.example --expires 15m`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := cl.CreateViewerToken(cmd.Context(), map[string]any{
				"subject": subject, "tenant": tenant, "filter": narrow, "hidden": hide, "expires_in": expires.String(),
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, made.Token)
			return err
		},
	}
	cmd.Flags().StringVar(&subject, "subject", "", "`who` will look, for the log")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the `tenant` whose log it shows; that of the key without it")
	cmd.Flags().StringVar(&narrow, "filter", "", "only what this `filter` finds")
	cmd.Flags().StringSliceVar(&hide, "hide", nil, "`fields` that it neither shows nor searches by")
	cmd.Flags().DurationVar(&expires, "expires", 15*time.Minute, "how long it lasts, as a `time`; at most 24h")
	return c.talks(cmd)
}
