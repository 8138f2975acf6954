package settings

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

func load(t *testing.T, args, environ []string, yaml string) (*Settings, error) {
	t.Helper()
	s := Defaults()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.Bind(flags)
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	path := ""
	if yaml != "" {
		path = filepath.Join(t.TempDir(), "daybook.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, s.Load(flags, environ, path)
}

func TestFirstSpellingWins(t *testing.T) {
	for _, c := range []struct {
		name     string
		args     []string
		env      []string
		yaml     string
		wantAge  time.Duration
		wantAddr string
	}{
		{"nothing", nil, nil, "", 0, "127.0.0.1:7575"},
		{"file", nil, nil, "store: {retain_age: 90d}\nlisten: 127.0.0.1:1", 90 * day, "127.0.0.1:1"},
		{"environment over file", nil, []string{"DAYBOOK_STORE_RETAIN_AGE=30d"}, "store: {retain_age: 90d}", 30 * day, "127.0.0.1:7575"},
		{"flag over both", []string{"--store-retain-age=36h"}, []string{"DAYBOOK_STORE_RETAIN_AGE=30d"}, "store: {retain_age: 90d}", 36 * time.Hour, "127.0.0.1:7575"},
		{"others' variables", nil, []string{"HOME=/", "DAYBOOK_SERVER=http://x",
			"DAYBOOK_SERVICE_HOST=10.0.0.1", "DAYBOOK_PORT=tcp://10.0.0.1:7575", "DAYBOOK_PORT_7575_TCP_ADDR=10.0.0.1", "DAYBOOK_READER_SERVICE_PORT_HTTP=80"}, "", 0, "127.0.0.1:7575"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := load(t, c.args, c.env, c.yaml)
			if err != nil {
				t.Fatal(err)
			}
			if time.Duration(s.StoreRetainAge) != c.wantAge || s.Listen != c.wantAddr {
				t.Errorf("got age %v, listen %s; want %v, %s", s.StoreRetainAge, s.Listen, c.wantAge, c.wantAddr)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	for text, want := range map[string]string{"all": "all", "ingest": "ingest", "query, index": "index,query", "query,ingest,index": "all"} {
		s, err := load(t, []string{"--stream=kafka://x:9092", "--role", text}, nil, "")
		if err != nil || (*roles)(&s.Role).String() != want {
			t.Errorf("%s: %v, %v; want %s", text, s.Role, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  []string
		yaml string
		want string // in the error
	}{
		{"unknown key in the file", nil, nil, "store: {retian_age: 90d}", "store.retian_age is not a setting"},
		{"unknown variable", nil, []string{"DAYBOOK_STORE_RETIAN_AGE=1d"}, "", "DAYBOOK_STORE_RETIAN_AGE is not a setting"},
		{"unknown flag", []string{"--retian"}, nil, "", "unknown flag"},
		{"bad size", []string{"--query-memory=lots"}, nil, "", "not a size"},
		{"bad age in the file", nil, nil, "store: {retain_age: soon}", "not a length of time"},
		{"list for a value", nil, nil, "listen: [a, b]", "must be a single value"},
		{"twice", nil, nil, "listen: a\nlisten: b", "listen"},
		{"not YAML", nil, nil, "listen: [", "settings file"},
		{"window below a week", nil, nil, "index: {dedupe_window: 1h}", "must be at least 7d"},
		{"no events", []string{"--ingest-max-events=0"}, nil, "", "ingest.max_events is 0; it must be more"},
		{"no time", nil, []string{"DAYBOOK_QUERY_TIMEOUT=0s"}, "", "query.timeout is 0; it must be more"},
		{"too little in flight", nil, nil, "ingest: {max_in_flight: 1MiB}", "must be at least 16MiB"},
		{"unknown role", []string{"--role=ingest,search"}, nil, "", "must be all, or some of ingest, index, query"},
		{"unknown stream", []string{"--stream=nats://x"}, nil, "", "must be embedded or kafka://host:port"},
		{"a password in the address", []string{"--stream=kafka://u:secret@x:9092", "--kafka-listen=:9092"}, nil, "", "goes into kafka.user"},
		{"a password in an unknown address", []string{"--stream=kafkas://u:secret@x"}, nil, "", "goes into kafka.user"},
		{"a role without the stream's others", []string{"--role=ingest"}, nil, "", "a server with an embedded stream has all roles"},
		{"answering from no store", []string{"--role=query", "--stream=kafka://x:9092"}, nil, "", "query goes with index"},
		{"a listener beside a cluster", []string{"--kafka-listen=127.0.0.1:9092", "--stream=kafka://x:9092"}, nil, "", "it goes with an embedded stream"},
		{"an address of no listener", nil, nil, "kafka: {advertise: x:9092}", "it goes with kafka.listen"},
		{"a certificate without its key", nil, nil, "kafka: {tls: true, tls_cert: x.pem}", "give both or neither"},
		{"an authority without TLS", nil, nil, "kafka: {tls_ca: x.pem}", "it must be true"},
		{"signing in without a password", nil, nil, "kafka: {sasl: plain, user: x}", "give all or none"},
		{"more replicas in sync than there are", nil, nil, "kafka: {replication: 1, min_insync_replicas: 2}", "at most kafka.replication, which is 1"},
		{"no partitions", nil, nil, "kafka: {partitions: 0}", "at least 1"},
		{"no time to deliver", nil, nil, "kafka: {delivery_timeout: 5ms}", "at least 1s"},
		{"neither true nor false", nil, []string{"DAYBOOK_KAFKA_TLS=yes"}, "", "must be true or false"},
		{"almost a service's variable", nil, []string{"DAYBOOK_PORT_FORWARD=1"}, "", "DAYBOOK_PORT_FORWARD is not a setting"},
		{"level", []string{"--log-level=loud"}, nil, "", "must be one of debug, info, warn, error"},
		{"two at once", nil, []string{"DAYBOOK_X=1"}, "y: 2", "DAYBOOK_X"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.args, c.env, c.yaml)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v; want one with %q", err, c.want)
			}
		})
	}
}

func TestPrintLoadsAsTheSame(t *testing.T) {
	s, err := load(t, []string{"--data=a: b", "--store-retain-bytes=5GB", "--query-timeout=1m30s", "--stream-retain-age=36h"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := s.Print(&first); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, nil, nil, first.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, first.String())
	}
	if err := again.Print(&second); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, again) || first.String() != second.String() {
		t.Errorf("printed settings load as others:\n%s\n%s", first.String(), second.String())
	}
}

func TestSizesAndDurations(t *testing.T) {
	for in, want := range map[string]string{"64MiB": "64MiB", "1024": "1KiB", "500kB": "500000", "0": "0", "3GiB": "3GiB"} {
		var s Size
		if err := s.Set(in); err != nil || s.String() != want {
			t.Errorf("size %s: %v, %v; want %s", in, s, err, want)
		}
	}
	for in, want := range map[string]string{"7d": "7d", "48h": "2d", "90m": "1h30m", "30s": "30s", "10m": "10m", "0": "0", "1h": "1h", "1m30s": "1m30s", "1ms": "1ms"} {
		var d Duration
		if err := d.Set(in); err != nil || d.String() != want {
			t.Errorf("duration %s: %v, %v; want %s", in, d, err, want)
		}
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct {
		given string
		want  []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{" a , b,,c ", []string{"a", "b", "c"}},
		{`metadata."a,b".c, user_agent`, []string{`metadata."a,b".c`, "user_agent"}},
		{`/[/x]+,y/, labels."a\",b", /open,a`, []string{`/[/x]+,y/`, `labels."a\",b"`, "/open,a"}}, // a slash before a comma ends an expression
		{`card-number, /cust-\d{1,3}/, /a\/,b/, jwt`, []string{"card-number", `/cust-\d{1,3}/`, `/a\/,b/`, "jwt"}},
	} {
		for name, load := range map[string]func() (*Settings, error){
			"flag": func() (*Settings, error) { return load(t, []string{"--redact-patterns", c.given}, nil, "") },
			"sequence": func() (*Settings, error) {
				text, err := yaml.Marshal(map[string]any{"redact": map[string]any{"patterns": c.want}})
				if err != nil {
					t.Fatal(err)
				}
				return load(t, nil, nil, string(text))
			},
		} {
			s, err := load()
			if err != nil || !slices.Equal(s.Redact.Patterns, c.want) {
				t.Errorf("%s %q: %q, %v; want %q", name, c.given, s.Redact.Patterns, err, c.want)
			}
		}
	}
}

// Roles of people stand in the settings file alone, and what is printed is read again.
func TestRolesOfPeople(t *testing.T) {
	const file = `
public_url: https://audit.example.com
oidc: {issuer: "https://sso.example.com", client_id: daybook}
roles:
  - {name: security, groups: [sec], rights: [read, metrics]}
  - name: support
    groups: [support, "first,line"]
    tenant: acme
    rights: [read]
    filter: resource:order/*
    hide: [source_ip, metadata.ssn]
`
	s, err := load(t, nil, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Role{
		{Name: "security", Groups: []string{"sec"}, Rights: []string{"read", "metrics"}},
		{Name: "support", Groups: []string{"support", "first,line"}, Tenant: "acme", Rights: []string{"read"}, Filter: "resource:order/*", Hide: []string{"source_ip", "metadata.ssn"}},
	}
	if !reflect.DeepEqual(s.Access.Roles, want) {
		t.Errorf("read %+v", s.Access.Roles)
	}
	var printed bytes.Buffer
	if err := s.Print(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, nil, nil, printed.String())
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("printed and read again: %v\n%s", err, printed.String())
	}
	for name, bad := range map[string]string{
		"a member that is none": strings.Replace(file, "tenant:", "tenants:", 1),
		"no provider":           strings.Replace(file, `issuer: "https://sso.example.com", client_id: daybook`, `name: x`, 1),
		"no public address":     strings.Replace(file, "public_url", "#", 1),
	} {
		if _, err := load(t, nil, nil, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
