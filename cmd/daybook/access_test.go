package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandMatrix says of every command who may use it: "local" commands talk to no
// server. A command that is not here fails the test.
var commandMatrix = map[string]struct {
	args, stdin string
	may         string
}{
	"send":                 {"", `{"user_id":"a","action":"b","resource":"c/1"}`, "admin acme-admin acme-writer"},
	"import":               {"--format k8s", `{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a0000000-0000-4000-8000-000000000001","stage":"ResponseComplete","verb":"get","user":{"username":"u"},"requestURI":"/api","requestReceivedTimestamp":"2026-11-01T00:00:00Z","responseStatus":{"code":200}}`, "admin acme-admin acme-writer"},
	"query":                {"-o ndjson", "", "admin acme-admin acme-reader"},
	"tail":                 {"--since beginning --limit 1 -o ndjson", "", "admin acme-admin acme-reader"},
	"count":                {"--by user_id", "", "admin acme-admin acme-reader"},
	"export":               {"", "", "admin acme-admin acme-reader"},
	"get":                  {acmeID, "", "admin acme-admin acme-reader"},
	"dead-letters list":    {"", "", "admin acme-admin"},
	"dead-letters show":    {"0-9999", "", "admin acme-admin"},
	"dead-letters replay":  {"0-9999", "", "admin acme-admin"},
	"dead-letters discard": {"0-9999", "", "admin acme-admin"},
	"keys create":          {"--name made --tenant acme --rights read", "", "admin acme-admin"},
	"keys list":            {"", "", "admin acme-admin"},
	"keys revoke":          {"nosuchkey", "", "admin acme-admin"},
	"keys rotate":          {"nosuchkey", "", "admin acme-admin"},
	"viewer-token":         {"--tenant acme", "", "admin acme-admin acme-reader"},
	"serve":                {may: "local"}, "demo": {may: "local"}, "check": {may: "local"}, "bench": {may: "local"}, "version": {may: "local"},
}

const (
	acmeID   = "0198c2d4-7a31-7c55-9d0e-3f2b8a6e1c47"
	globexID = "0198c2d4-7a31-7c55-9d0e-3f2b8a6e1c48"
)

// TestCommandsAsEveryKey runs every command with every kind of key.
func TestCommandsAsEveryKey(t *testing.T) {
	missing := []string{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "daybook ")
		if _, ok := commandMatrix[name]; !ok && !cmd.HasSubCommands() {
			missing = append(missing, name)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&cli{}).root())
	if len(missing) > 0 {
		t.Fatalf("not in the matrix: %v", missing)
	}

	s := serve(t, t.TempDir())
	t.Setenv("DAYBOOK_SERVER", s.url)
	keys := map[string]string{"nobody": "", "stranger": "dbk_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52)}
	keys["admin"] = mustRun(t, "", "keys", "create", "--admin")
	t.Setenv("DAYBOOK_KEY", keys["admin"])
	for holder, args := range map[string]string{"acme-admin": "--rights admin", "acme-writer": "--rights write", "acme-reader": "--rights read", "metrics": ""} {
		if holder == "metrics" {
			keys[holder] = mustRun(t, "", "keys", "create", "--name", "m", "--rights", "metrics")
			continue
		}
		keys[holder] = mustRun(t, "", slices.Concat([]string{"keys", "create", "--name", holder, "--tenant", "acme"}, strings.Fields(args))...)
	}
	mustRun(t, fmt.Sprintf(`{"event_id":%q,"user_id":"anvil","action":"b","resource":"c/1","tenant_id":"acme"}
{"event_id":%q,"user_id":"gl0bex-user","action":"b","resource":"c/1","tenant_id":"globex"}`, acmeID, globexID), "send")

	for name, row := range commandMatrix {
		if row.may == "local" {
			continue
		}
		for holder, key := range keys {
			t.Setenv("DAYBOOK_KEY", key)
			out, errs, code := command(t, row.stdin, slices.Concat(strings.Fields(name), strings.Fields(row.args))...)
			may := slices.Contains(strings.Fields(row.may), holder)
			switch {
			case may && code == exitDenied:
				t.Errorf("daybook %s as %s: denied: %s", name, holder, errs)
			case !may && code != exitDenied:
				t.Errorf("daybook %s as %s: exit code %d, want %d: %s%s", name, holder, code, exitDenied, out, errs)
			case holder != "admin" && strings.Contains(out+errs, "gl0bex"):
				t.Errorf("daybook %s as %s shows what is of another tenant: %s%s", name, holder, out, errs)
			case strings.Contains(out+errs, key) && key != "":
				t.Errorf("daybook %s as %s prints the key", name, holder)
			}
		}
	}
	t.Setenv("DAYBOOK_KEY", keys["acme-reader"])
	if _, errs, code := command(t, "", "get", globexID); code != exitNotFound {
		t.Errorf("another tenant's event: exit code %d: %s", code, errs)
	}
}

// mustRun runs a command that has to succeed and returns what it prints.
func mustRun(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, code := command(t, stdin, args...)
	if code != exitOK {
		t.Fatalf("daybook %s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return strings.TrimSpace(out)
}

// TestListeningBeyondThisMachine: without a key it is refused, with the command
// that helps; that command makes a key in the data folder, which then opens.
func TestListeningBeyondThisMachine(t *testing.T) {
	data := t.TempDir()
	_, errs, code := command(t, "", "serve", "--listen", "0.0.0.0:0", "--data", data)
	if code != exitUsage || !strings.Contains(errs, "daybook keys create --admin --data "+data) {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	key := mustRun(t, "", "keys", "create", "--admin", "--data", data)
	s := serve(t, data)
	t.Setenv("DAYBOOK_SERVER", s.url)
	if _, errs, code := command(t, "", "query"); code != exitDenied {
		t.Errorf("without the key: exit code %d: %s", code, errs)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, "", "query", "--key-file", file, "-o", "ndjson", "action:key.create")
	var made struct {
		UserID   string `json:"user_id"`
		TenantID string `json:"tenant_id"`
		Resource string `json:"resource"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.TenantID != "_daybook" || !strings.HasPrefix(made.UserID, "local") || made.Resource != "key/"+key[4:20] {
		t.Errorf("the making of the key was recorded as %s, %v", out, err)
	}
	if _, errs, code := command(t, "", "keys", "list", "--data", data); code != exitError || !strings.Contains(errs, "is running") {
		t.Errorf("listing beside the server: exit code %d: %s", code, errs)
	}
	if _, errs, code := command(t, "", "keys", "create", "--admin", "--data", data); code != exitError || !strings.Contains(errs, "is running") {
		t.Errorf("making one beside the server: exit code %d: %s", code, errs)
	}
}

// TestKeysOffline does to the keys of a data folder what a server would.
func TestKeysOffline(t *testing.T) {
	data := t.TempDir()
	t.Setenv("DAYBOOK_SERVER", "http://127.0.0.1:1") // nobody is asked
	admin := mustRun(t, "", "keys", "create", "--admin", "--data", data)
	other := mustRun(t, "", "keys", "create", "--name", "other", "--rights", "read", "--label", "team=a", "--data", data)
	id := other[4:20]
	if rotated := mustRun(t, "", "keys", "rotate", id, "--overlap", "0s", "--data", data); rotated == other || rotated[4:20] != id {
		t.Errorf("rotated %s to %s", other, rotated)
	}
	mustRun(t, "", "keys", "revoke", id, "--data", data)
	if out := mustRun(t, "", "keys", "list", "--data", data, "-o", "ndjson", "--state", "revoked", "--label", "team=a"); !strings.Contains(out, id) || strings.Contains(out, admin[4:20]) {
		t.Errorf("revoked: %s", out)
	}
	if _, errs, code := command(t, "", "keys", "revoke", admin[4:20], "--data", data); code != exitUsage || !strings.Contains(errs, "last") {
		t.Errorf("revoking the last admin: exit code %d: %s", code, errs)
	}
	if _, errs, code := command(t, "", "keys", "revoke", "nosuchkey", "--data", data); code != exitNotFound {
		t.Errorf("revoking none: exit code %d: %s", code, errs)
	}
	s := serve(t, data)
	t.Setenv("DAYBOOK_SERVER", s.url)
	t.Setenv("DAYBOOK_KEY", admin)
	out := mustRun(t, "", "tail", "--since", "beginning", "--limit", "4", "-o", "ndjson", "action:key.*") // waits for all
	for action, n := range map[string]int{"key.create": 2, "key.rotate": 1, "key.revoke": 1} {
		if strings.Count(out, `"action":"`+action+`"`) != n {
			t.Errorf("%s is not recorded %d times: %s", action, n, out)
		}
	}
}
