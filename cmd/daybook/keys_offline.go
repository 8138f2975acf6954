package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
	"github.com/daybook-log/daybook/internal/state"
	"github.com/daybook-log/daybook/internal/vfs"
)

// offlineFlag adds the flag with which a command works on a data folder instead of
// asking a server.
func offlineFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", "", "data `folder` of a server that is not running, to work on instead of asking one")
}

// offlineKeys is the keys of a data folder that no server has open.
type offlineKeys struct {
	*keyring.Keyring
	db  *state.DB
	who string // as the log will have it
	now time.Time
}

// openOffline opens the keys of a data folder.
func openOffline(data string) (*offlineKeys, error) {
	if err := vfs.OS().MkdirAll(data); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	db, err := state.Open(filepath.Join(data, stateFile))
	if errors.Is(err, state.ErrInUse) {
		return nil, fmt.Errorf("a server is running on %s: leave --data out, and it is asked", data)
	} else if err != nil {
		return nil, err
	}
	keys, err := keyring.Open(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	o := &offlineKeys{Keyring: keys, db: db, who: "local", now: time.Now().UTC()}
	if u, err := user.Current(); err == nil {
		o.who += ":" + u.Username
	}
	return o, nil
}

// record leaves an entry for the server, which records it when it starts.
func (o *offlineKeys) record(action, operation string) keyring.Before {
	return func(k keyring.Key) error {
		return offlineEntries(o.db).Put(map[string]offline{fmt.Sprint(k.ID, " ", action, " ", o.now.UnixNano()): {
			ID: new(event.IDSource).New(o.now), At: o.now, Subject: o.who, Action: action, Operation: operation, Resource: "key/" + k.ID,
			Metadata: map[string]any{"name": k.Name, "rights": k.Rights.Names(), "tenant": k.Tenant, "offline": true},
		}})
	}
}

// offlineError says an error of the keyring as one of the command line.
func offlineError(err error) error {
	if fault := (*keyring.Error)(nil); errors.As(err, &fault) {
		return usageError("%w", err)
	}
	if errors.Is(err, keyring.ErrNoKey) {
		return &exitCode{exitNotFound, err}
	}
	return err
}

// offlineChange does something to the keys of a data folder that makes a secret,
// and shows it.
func (c *cli) offlineChange(data string, change func(*offlineKeys) (keyring.Key, string, error)) (err error) {
	o, err := openOffline(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.db.Close()) }()
	key, secret, err := change(o)
	if err != nil {
		return offlineError(err)
	}
	shown, err := json.Marshal(key)
	if err != nil {
		return err
	}
	return c.showNewKey(&client.NewKey{Key: shown, Secret: secret})
}

func (c *cli) createOffline(data string, spec keyring.Spec) error {
	return c.offlineChange(data, func(o *offlineKeys) (keyring.Key, string, error) {
		return o.Create(spec, o.who, o.now, o.record("key.create", "create"))
	})
}

func (c *cli) rotateOffline(data, id string, overlap time.Duration) error {
	return c.offlineChange(data, func(o *offlineKeys) (keyring.Key, string, error) {
		return o.Rotate(id, overlap, o.now, o.record("key.rotate", "update"))
	})
}

func (c *cli) revokeOffline(data, id string) (err error) {
	o, err := openOffline(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.db.Close()) }()
	if _, err := o.Revoke(id, o.now, o.record("key.revoke", "delete")); err != nil {
		return offlineError(err)
	}
	_, err = fmt.Fprintf(c.stderr, "daybook: key %s is revoked\n", id)
	return err
}

func (c *cli) listOffline(data, prefix, which, label string, p *printer) (err error) {
	labels := map[string]string{}
	if label != "" {
		name, value, ok := strings.Cut(label, "=")
		if !ok {
			return usageError("--label %s: write name=value", label)
		}
		labels[name] = value
	}
	o, err := openOffline(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.db.Close()) }()
	for _, k := range keyring.Labelled(o.List(prefix, o.now), labels) {
		if which != "" && which != string(k.State) {
			continue
		}
		record, err := json.Marshal(k)
		if err != nil {
			return err
		}
		if err := p.print(record); err != nil {
			return err
		}
	}
	return p.close()
}
