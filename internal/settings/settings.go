// Package settings holds what a user can set about a server. Each setting has
// one name in three spellings, and the first that is given wins:
//
//	flag          --stream-retain-age 7d
//	environment   DAYBOOK_STREAM_RETAIN_AGE=7d
//	YAML file     stream: {retain_age: 7d}
//
// else its default holds. A name that is not a setting is refused wherever it
// stands, because a misspelt retention keeps data that should be gone.
package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Settings is everything a server can be told. The table in [Settings.all] names,
// describes and documents each field.
type Settings struct {
	Role   []string
	Listen string
	Data   string

	LogLevel  string
	LogFormat string

	MemoryLimit Size

	IngestMaxBody      Size
	IngestMaxUnpacked  Size
	IngestMaxEvents    int
	IngestMaxInFlight  Size
	Stream             string
	StreamSegmentBytes Size
	StreamRetainAge    Duration
	StreamRetainBytes  Size
	IndexDedupeWindow  Duration
	StoreHeadRows      int
	StoreHeadAge       Duration
	StoreCacheBytes    Size
	StoreRetainAge     Duration
	StoreRetainBytes   Size
	APIMaxConnections  int
	QueryMaxTails      int
	QueryTimeout       Duration
	QueryConcurrency   int
	QueryMemory        Size

	Kafka  Kafka
	Access Access
	Redact Redact
}

// Kafka is what a server can be told about the cluster that is its stream.
type Kafka struct {
	ClientID          string
	Topic             string
	DeadLetterTopic   string
	CreateTopics      bool
	Partitions        int
	Replication       int
	MinInsyncReplicas int
	RetainAge         Duration
	DeliveryTimeout   Duration
	TLS               bool
	TLSCA             string
	TLSCert           string
	TLSKey            string
	SASL              string
	User              string
	PasswordFile      string

	Listen    string // on which the embedded server takes Kafka producers
	Advertise string
}

// Roles of a server. One that is told nothing has all of them.
const (
	RoleIngest = "ingest" // takes events
	RoleIndex  = "index"  // carries them from the stream into its store
	RoleQuery  = "query"  // answers from its store
)

// Embedded names the stream on the local disk.
const Embedded = "embedded"

// Has reports whether the server has a role.
func (s *Settings) Has(role string) bool { return slices.Contains(s.Role, role) }

// Defaults returns the settings of a server that was told nothing.
func Defaults() *Settings {
	return &Settings{
		Role:               []string{RoleIngest, RoleIndex, RoleQuery},
		Stream:             Embedded,
		Listen:             "127.0.0.1:7575",
		Data:               "./daybook-data",
		LogLevel:           "info",
		LogFormat:          "text",
		MemoryLimit:        450 << 20,
		IngestMaxBody:      64 << 20,
		IngestMaxUnpacked:  256 << 20,
		IngestMaxEvents:    100_000,
		IngestMaxInFlight:  128 << 20,
		StreamSegmentBytes: 128 << 20,
		StreamRetainAge:    Duration(7 * 24 * time.Hour),
		StreamRetainBytes:  4 << 30,
		IndexDedupeWindow:  Duration(7 * 24 * time.Hour),
		StoreHeadRows:      256 << 10,
		StoreHeadAge:       Duration(15 * time.Minute),
		StoreCacheBytes:    64 << 20,
		APIMaxConnections:  10_000,
		QueryMaxTails:      2048,
		QueryTimeout:       Duration(30 * time.Second),
		QueryConcurrency:   16,
		QueryMemory:        256 << 20,
		Access:             defaultAccess(),
		Redact:             Redact{Defaults: true, Method: "mask"},
		Kafka: Kafka{
			ClientID: "daybook", Topic: "daybook.events", DeadLetterTopic: "daybook.dead-letters", CreateTopics: true,
			Partitions: 12, RetainAge: Duration(7 * 24 * time.Hour),
			DeliveryTimeout: Duration(30 * time.Second), SASL: "none",
		},
	}
}

// setting is one row of the table.
type setting struct {
	path  string // dotted, as it nests in YAML: stream.retain_age
	value pflag.Value
	usage string
}

func (s setting) flag() string {
	if s.path == "stream.url" {
		return "stream" // in YAML that name is the section's
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.path)
}
func (s setting) env() string {
	return "DAYBOOK_" + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// all is the table of settings, in the order in which they are printed.
func (s *Settings) all() []setting {
	k := &s.Kafka
	return append([]setting{
		{"role", (*roles)(&s.Role), "what this server does: all, or some of the `roles` ingest, index and query, separated by commas"},
		{"listen", (*text)(&s.Listen), "`address` to serve HTTP on; beyond loopback only once there is a key"},
		{"data", (*text)(&s.Data), "`folder` that holds stream and store; made if absent"},
		{"log.level", choice(&s.LogLevel, "debug", "info", "warn", "error"), "least `level` to log: debug, info, warn or error"},
		{"log.format", choice(&s.LogFormat, "text", "json"), "log `format`: text or json"},
		{"memory_limit", &s.MemoryLimit, "memory the process aims to stay below, as a `size`; 0: no aim"},
		{"ingest.max_body", &s.IngestMaxBody, "largest request body as it is sent, as a `size`"},
		{"ingest.max_unpacked", &s.IngestMaxUnpacked, "largest request body once decompressed, as a `size`"},
		{"ingest.max_events", (*count)(&s.IngestMaxEvents), "most events in one request, a `number`"},
		{"ingest.max_in_flight", &s.IngestMaxInFlight, "most bytes being published at once before 429 is answered, as a `size`"},
		{"stream.url", (*text)(&s.Stream), "where events are made durable: embedded, or `kafka://host:port,host:port`, with /topic behind it if you like"},
		{"stream.segment_bytes", &s.StreamSegmentBytes, "`size` at which the stream begins a new segment"},
		{"stream.retain_age", &s.StreamRetainAge, "`age` at which committed stream segments are dropped; 0: never"},
		{"stream.retain_bytes", &s.StreamRetainBytes, "`size` of the stream above which committed segments are dropped; 0: no bound"},
		{"index.dedupe_window", &s.IndexDedupeWindow, "`age` up to which the same event_id is recognised as one event; at least 7d"},
		{"store.head_rows", (*count)(&s.StoreHeadRows), "`number` of newest events held in memory before they are frozen into a segment"},
		{"store.head_age", &s.StoreHeadAge, "`age` at which a part-filled head is frozen"},
		{"store.cache_bytes", &s.StoreCacheBytes, "`size` of the cache of decompressed pages"},
		{"store.retain_age", &s.StoreRetainAge, "`age` at which whole segments of events are dropped; 0: keep everything"},
		{"store.retain_bytes", &s.StoreRetainBytes, "`size` of the store above which the oldest segments are dropped; 0: no bound"},
		{"api.max_connections", (*count)(&s.APIMaxConnections), "`number` of connections at once; a new one beyond it takes the place of an idle one, or is answered 503"},
		{"query.timeout", &s.QueryTimeout, "longest `time` a search or count may take"},
		{"query.concurrency", (*count)(&s.QueryConcurrency), "`number` of queries that run at once"},
		{"query.max_tails", (*count)(&s.QueryMaxTails), "`number` of live tails that are open at once; beyond it 503 is answered"},
		{"query.memory", &s.QueryMemory, "memory one query may use, as a `size`"},
		{"kafka.listen", (*optional)(&k.Listen), "`address` on which an embedded stream takes events from Kafka producers; empty: none"},
		{"kafka.advertise", (*optional)(&k.Advertise), "`address` that these producers are told; empty: the one it listens on"},
		{"kafka.topic", (*text)(&k.Topic), "`topic` of the events"},
		{"kafka.dead_letter_topic", (*text)(&k.DeadLetterTopic), "`topic` of the dead letters"},
		{"kafka.create_topics", (*boolean)(&k.CreateTopics), "create topics that are not there, with the settings that follow: `true` or false"},
		{"kafka.partitions", (*count)(&k.Partitions), "`number` of partitions of the topic of events when it is created"},
		{"kafka.replication", (*count)(&k.Replication), "`number` of replicas of a topic that is created; 0: three, or as many as there are brokers"},
		{"kafka.min_insync_replicas", (*count)(&k.MinInsyncReplicas), "`number` of replicas that must have an event before it is acknowledged, of a topic that is created; 0: one less than there are, at least one"},
		{"kafka.retain_age", &k.RetainAge, "`age` at which the topic of events drops them, when it is created; 0: never"},
		{"kafka.delivery_timeout", &k.DeliveryTimeout, "longest `time` until the cluster has taken an event or publishing fails"},
		{"kafka.client_id", (*text)(&k.ClientID), "`name` that the cluster's log and quotas know this server by"},
		{"kafka.tls", (*boolean)(&k.TLS), "speak TLS with the cluster: `true` or false"},
		{"kafka.tls_ca", (*optional)(&k.TLSCA), "PEM `file` of the authorities to trust; empty: the system's"},
		{"kafka.tls_cert", (*optional)(&k.TLSCert), "PEM `file` of the certificate to show"},
		{"kafka.tls_key", (*optional)(&k.TLSKey), "PEM `file` of its key"},
		{"kafka.sasl", choice(&k.SASL, "none", "plain", "scram-sha-256", "scram-sha-512"), "how to sign in: `none`, plain, scram-sha-256 or scram-sha-512"},
		{"kafka.user", (*optional)(&k.User), "`name` to sign in with"},
		{"kafka.password_file", (*optional)(&k.PasswordFile), "`file` that holds the password and nothing else"},
	}, s.allAccess()...)
}

// Bind adds a flag for every setting. A flag that is given sets its field at
// once; call [Settings.Load] after parsing to fill in the rest.
func (s *Settings) Bind(flags *pflag.FlagSet) {
	for _, x := range s.all() {
		flags.Var(x.value, x.flag(), fmt.Sprintf("%s [$%s]", x.usage, x.env()))
	}
}

// Load sets what no flag has set from the environment, and what that does not
// set from the YAML file; path "" means no file. All errors are returned at once.
func (s *Settings) Load(flags *pflag.FlagSet, environ []string, path string) error {
	var errs []error
	file := map[string]string{}
	if path != "" {
		var err error
		if file, s.Access.Roles, err = readFile(path, s.lists()); err != nil {
			return err
		}
	}
	env := map[string]string{}
	for _, kv := range environ {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "DAYBOOK_") {
			env[k] = v
		}
	}
	for _, x := range s.all() {
		fromFile, inFile := file[x.path]
		fromEnv, inEnv := env[x.env()]
		delete(file, x.path)
		delete(env, x.env())
		switch {
		case flags.Changed(x.flag()):
		case inEnv:
			if err := x.value.Set(fromEnv); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: %w", x.env(), fromEnv, err))
			}
		case inFile:
			if err := x.value.Set(fromFile); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %q: %w", path, x.path, fromFile, err))
			}
		}
	}
	for _, name := range sortedKeys(file) {
		errs = append(errs, fmt.Errorf("%s: %s is not a setting; `daybook serve --print-config` lists them", path, name))
	}
	for _, name := range sortedKeys(env) {
		if !slices.Contains(clientEnv, name) && !serviceLink.MatchString(name) {
			errs = append(errs, fmt.Errorf("%s is not a setting; `daybook serve --help` lists them", name))
		}
	}
	errs = append(errs, s.check())
	return errors.Join(errs...)
}

// clientEnv are the variables that other commands read and that a server
// started from the same shell must not refuse.
var clientEnv = []string{"DAYBOOK_CONFIG", "DAYBOOK_SERVER", "DAYBOOK_KEY", "DAYBOOK_CA"}

// serviceLink matches the variables that Kubernetes gives every container for
// every service of its namespace; one called daybook is likely to be there.
var serviceLink = regexp.MustCompile(`^DAYBOOK_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// notZero are the settings that make no sense at 0.
var notZero = []string{
	"ingest.max_body", "ingest.max_unpacked", "ingest.max_events", "ingest.max_in_flight",
	"store.head_age", "store.cache_bytes", "api.max_connections", "query.timeout", "query.max_tails", "query.memory",
}

func (s *Settings) check() error {
	var errs []error
	for _, x := range s.all() {
		// The stages take 0 for their default, which is not what was asked for.
		if slices.Contains(notZero, x.path) && x.value.String() == "0" {
			errs = append(errs, fmt.Errorf("%s is 0; it must be more", x.path))
		}
	}
	if s.IngestMaxInFlight > 0 && s.IngestMaxInFlight < 16<<20 {
		errs = append(errs, fmt.Errorf("ingest.max_in_flight is %v; it must be at least 16MiB, which one request may take", s.IngestMaxInFlight))
	}
	if min := Duration(7 * 24 * time.Hour); s.IndexDedupeWindow < min {
		errs = append(errs, fmt.Errorf("index.dedupe_window is %v; it must be at least %v, because a publisher's retry after an outage must still be recognised", s.IndexDedupeWindow, min))
	}
	if s.StoreHeadRows < 1024 || s.StoreHeadRows > 256<<10 {
		errs = append(errs, fmt.Errorf("store.head_rows is %d; it must be from 1024 to %d", s.StoreHeadRows, 256<<10))
	}
	if s.QueryConcurrency < 1 {
		errs = append(errs, fmt.Errorf("query.concurrency is %d; it must be at least 1", s.QueryConcurrency))
	}
	errs = append(errs, s.checkStream()...)
	errs = append(errs, s.checkAccess()...)
	if s.StreamSegmentBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("stream.segment_bytes is %v; it must be at least 1MiB", s.StreamSegmentBytes))
	}
	return errors.Join(errs...)
}

// Print writes the settings as the YAML file that would give them.
func (s *Settings) Print(w io.Writer) error {
	section := ""
	for _, x := range s.all() {
		name, indent := x.path, ""
		if sec, rest, nested := strings.Cut(x.path, "."); nested {
			if sec != section {
				if _, err := fmt.Fprintf(w, "%s:\n", sec); err != nil {
					return err
				}
				section = sec
			}
			name, indent = rest, "  "
		}
		value, err := yaml.Marshal(x.value.String())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s: %s", indent, name, value); err != nil {
			return err
		}
	}
	return printRoles(w, s.Access.Roles)
}

// lists returns the settings that may be a list in YAML.
func (s *Settings) lists() map[string]bool {
	lists := map[string]bool{}
	for _, x := range s.all() {
		_, lists[x.path] = x.value.(*list)
	}
	return lists
}

// readFile reads a YAML file into dotted paths and the text of their scalars, and
// the roles, which are no scalars.
func readFile(path string, lists map[string]bool) (map[string]string, []Role, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("settings file: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	out := map[string]string{}
	if len(doc.Content) == 0 {
		return out, nil, nil
	}
	roles, err := takeRoles(doc.Content[0])
	if err == nil {
		err = flatten(out, lists, "", doc.Content[0])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	return out, roles, nil
}

func flatten(out map[string]string, lists map[string]bool, prefix string, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := flatten(out, lists, prefix+"."+n.Content[i].Value, n.Content[i+1]); err != nil {
				return err
			}
		}
		return nil
	case yaml.ScalarNode:
		name := strings.TrimPrefix(prefix, ".")
		if _, twice := out[name]; twice {
			return fmt.Errorf("line %d: %s is given twice", n.Line, name)
		}
		out[name] = n.Value
		return nil
	case yaml.SequenceNode:
		name := strings.TrimPrefix(prefix, ".")
		var items []string
		if lists[name] && n.Decode(&items) == nil {
			out[name] = (*list)(&items).String()
			return nil
		}
	}
	return fmt.Errorf("line %d: %s must be a single value", n.Line, strings.TrimPrefix(prefix, "."))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
