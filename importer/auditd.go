package importer

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// auditd maps records of the Linux audit daemon, a line each:
//
//	type=USER_LOGIN msg=audit(1364481363.243:24287): pid=1 uid=0 auid=500 msg='op=login acct="root" res=failed'
//
// as they stand in audit.log and as log shippers put them into JSON. parseAuditd
// gives a line the shape that the rules and metadata speak of. The records of
// one system call share its serial and stay events of their own.
var auditd = mapping{
	name:      "auditd",
	title:     "Linux auditd, raw `audit.log` lines and JSON that carries them",
	detect:    has("audit.time", "audit.serial", "raw"),
	id:        []string{"node", "audit.time", "audit.serial", "type"},
	envelopes: []string{"SyslogMessage", "message", "MESSAGE", "_raw", "log"},
	parseText: parseAuditd,
	fields: rules{
		event.Timestamp: timeAt("audit.time"),
		event.UserID: first(
			at("data.AUID", "data.acct", "data.user", "data.UID"),
			auditdID("data.auid"), auditdID("data.uid"), text("unknown")),
		event.UserType: first(
			when(starts("type", "DAEMON_"), text("system")),
			when(anyOf(has("data.AUID"), has("data.acct"), has("data.user"), has("data.auid"), has("data.uid")), text("user")),
			text("system")),
		event.UserName:   at("data.AUID", "data.user", "data.UID"),
		event.OnBehalfOf: at("data.effective_user", "data.EUID"),
		event.Action:     lower(optional(".", first(at("type"), text("unknown")), when(is("type", "SYSCALL"), at("data.SYSCALL", "data.syscall")))),
		event.Resource: first(
			join("/", text("file"), trim(at("data.name"), "/", "")),
			typed("command", "data.cmd"),
			join("/", text("process"), trim(at("data.exe", "data.comm"), "/", "")),
			typed("account", "data.acct"),
			typed("unit", "data.unit"),
			typed("host", "node", "data.node"),
			text("host/unknown")),
		event.ResourceName: at("data.proctitle", "data.cmdline", "data.comm"),
		event.Outcome: first(
			values(at("data.exit"), "-1", "denied", "-13", "denied", "EPERM", "denied", "EACCES", "denied"),
			values(at("data.success", "data.res"), "yes", "success", "no", "failure", "success", "success", "failed", "failure", "1", "success", "0", "failure"),
			call("denied if the text of an AVC record says so", auditdAVC)),
		event.Operation: first(
			values(at("type"), "USER_LOGIN", "login", "USER_AUTH", "login", "USER_START", "login", "CRED_ACQ", "login",
				"ADD_USER", "create", "ADD_GROUP", "create", "DEL_USER", "delete", "DEL_GROUP", "delete",
				"USER_MGMT", "update", "USER_CHAUTHTOK", "update", "CONFIG_CHANGE", "update"),
			values(at("data.SYSCALL", "data.syscall"), "open", "read", "openat", "read", "unlink", "delete", "unlinkat", "delete",
				"rmdir", "delete", "rename", "update", "renameat", "update", "chmod", "update", "fchmodat", "update", "chown", "update", "mkdir", "create")),
		event.Source:    text("auditd"),
		event.SourceIP:  addressAt("data.addr", "data.hostname"),
		event.SessionID: auditdID("data.ses"),
		event.RequestID: at("audit.serial"),
		event.ErrorCode: when(is("data.success", "no"), at("data.exit")),
	},
	labels: map[string]rule{
		"host":    at("node", "data.node"),
		"key":     at("data.key"),
		"syscall": at("data.SYSCALL", "data.syscall"),
		"tty":     except(at("data.tty", "data.terminal"), "(none)", "?"),
	},
}

// auditdID is a numeric id; the kernel writes "not set" as -1, signed or not.
func auditdID(path string) rule { return except(at(path), "4294967295", "-1") }

func auditdAVC(t *tree) string {
	if t.text(t.find(0, []string{"type"})) != "AVC" {
		return ""
	}
	raw := t.text(t.find(0, []string{"raw"}))
	if strings.Contains(raw, "denied") || strings.Contains(raw, "DENIED") {
		return "denied"
	}
	return "success"
}

// auditdHead is what every record starts with. auoms leaves out msg=.
var auditdHead = regexp.MustCompile(`^(?:node=(\S+) )?type=(\S+) (?:msg=)?audit\((\d+\.\d+):(\d+)\): ?`)

// parseAuditd turns a line into
//
//	{"type":…,"node":…,"audit":{"time":…,"serial":…},"data":{name:value …},"raw":line}
//
// Data holds the first value of each name, those of a nested msg='…' and of the
// enriched part included, with the kernel's hexadecimal form undone.
func parseAuditd(line string) ([]byte, bool) {
	h := auditdHead.FindStringSubmatch(line)
	if h == nil {
		return nil, false
	}
	rec := struct {
		Type  string            `json:"type"`
		Node  string            `json:"node,omitempty"`
		Audit map[string]string `json:"audit"`
		Data  map[string]string `json:"data"`
		Raw   string            `json:"raw"`
	}{h[2], h[1], map[string]string{"time": h[3], "serial": h[4]}, map[string]string{}, line}
	auditdData(line[len(h[0]):], h[2], rec.Data)
	out, err := json.Marshal(rec)
	return out, err == nil
}

// auditdData reads name=value pairs. A word that is no pair belongs to the value
// before it, if that was not quoted.
func auditdData(s, kind string, data map[string]string) {
	open := "" // the name whose unquoted value may go on
	for s != "" {
		s = strings.TrimLeft(s, " \x1d")
		name, rest, ok := auditdName(s)
		if !ok {
			var word string
			word, s = auditdWord(s)
			if open != "" && word != "" {
				data[open] += " " + word
			}
			continue
		}
		var value string
		open = ""
		switch {
		case strings.HasPrefix(rest, "'"):
			value, s, _ = strings.Cut(rest[1:], "'")
			if name == "msg" {
				auditdData(value, kind, data)
				continue
			}
		case strings.HasPrefix(rest, `"`):
			value, s, _ = strings.Cut(rest[1:], `"`)
		default:
			value, s = auditdWord(rest)
			decoded := auditdDecode(name, kind, value)
			if decoded == value {
				open = name
			}
			value = decoded
		}
		if value == "(null)" || value == "?" {
			value = ""
		}
		if _, dup := data[name]; dup {
			open = ""
		} else {
			data[name] = value
		}
	}
}

func auditdWord(s string) (word, rest string) {
	if i := strings.IndexAny(s, " \x1d"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// auditdName reads the name and = at the start of s.
func auditdName(s string) (name, rest string, ok bool) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '=' && i > 0:
			return s[:i], s[i+1:], true
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-'):
		default:
			return "", "", false
		}
	}
	return "", "", false
}

// auditdDecode undoes the hexadecimal form that the kernel gives to values that
// hold a space, a quote or a control character, in the fields that may have it.
func auditdDecode(name, kind, value string) string {
	switch name {
	case "acct", "cmd", "comm", "cwd", "dir", "exe", "key", "name", "path", "proctitle", "unit", "vm":
	default:
		argument := kind == "EXECVE" && len(name) > 1 && name[0] == 'a' && name[1] >= '0' && name[1] <= '9'
		if !argument {
			return value
		}
	}
	b, err := hex.DecodeString(value)
	if err != nil || len(b) == 0 {
		return value
	}
	return strings.ToValidUTF8(strings.TrimRight(strings.ReplaceAll(string(b), "\x00", " "), " "), "\uFFFD")
}
