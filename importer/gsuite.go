package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// gsuite maps activities of the Google Workspace Reports API. An activity that
// lists several events becomes one event, named after the first; all of them
// are in metadata.
var gsuite = mapping{
	name:   "gsuite",
	title:  "Google Workspace activity reports",
	detect: has("id.applicationName"),
	id:     []string{"id.applicationName", "id.uniqueQualifier", "id.time"},
	fields: rules{
		event.Timestamp: timeAt("id.time", "p_event_time"),
		event.UserID:    first(at("actor.email", "actor.profileId", "actor.key"), gsuiteParam("affected_email_address"), text("unknown")),
		event.UserType: first(
			values(at("actor.callerType"), "USER", "user", "KEY", "service", "APPLICATION", "service"),
			when(anyOf(has("actor.email"), has("actor.profileId"), has("parameters.affected_email_address")), text("user")),
			text("anonymous")),
		event.Action: join(".", at("id.applicationName"), first(at("name", "events.0.name", "type", "events.0.type"), text("activity"))),
		event.Resource: first(
			join("/", text("document"), gsuiteParam("doc_id")),
			join("/", text("user"), gsuiteParam("USER_EMAIL", "affected_email_address")),
			join("/", text("group"), gsuiteParam("GROUP_EMAIL", "group_id")),
			join("/", text("role"), gsuiteParam("ROLE_NAME")),
			join("/", text("setting"), gsuiteParam("SETTING_NAME")),
			join("/", text("device"), gsuiteParam("DEVICE_ID", "device_id")),
			join("/", text("client"), gsuiteParam("client_id")),
			typed("message", "parameters.message_info.rfc2822_message_id"),
			join("/", text("rule"), gsuiteParam("rule_name")),
			typed("application", "id.applicationName"),
			text("gsuite/unknown")),
		event.ResourceName: first(gsuiteParam("doc_title", "app_name", "SETTING_NAME"), at("parameters.message_info.subject")),
		event.Outcome: first(
			values(at("name", "events.0.name"), "login_failure", "failure", "login_challenge_blocked", "denied", "FAILED_PASSWORD_ATTEMPTS_EVENT", "failure"),
			values(at("parameters.event_info.success"), "true", "success", "false", "failure"),
			text("success")),
		event.Operation: first(
			values(at("name", "events.0.name"), "login_success", "login", "login_failure", "login", "login_verification", "login", "login_challenge", "login"),
			verb(at("name", "events.0.name"))),
		event.Source:    text("google-workspace"),
		event.SourceIP:  addressAt("ipAddress"),
		event.RequestID: at("id.uniqueQualifier"),
	},
	labels: map[string]rule{
		"application": at("id.applicationName"),
		"customer":    at("id.customerId"),
		"type":        at("type", "events.0.type"),
	},
}

// gsuiteParam is the first of the names that the activity has a parameter of. The
// API lists parameters as {"name":…,"value":…}; other exports make them an object.
func gsuiteParam(names ...string) rule {
	flat := make([]rule, len(names))
	for i, name := range names {
		flat[i] = at("parameters." + name)
	}
	list := splitPath("events.0.parameters")
	return rule{doc: "parameter `" + strings.Join(names, "`, `") + "`", get: func(t *tree) string {
		for i, name := range names {
			if s := flat[i].get(t); s != "" {
				return s
			}
			parent := t.find(0, list)
			if parent == none || t.kind(parent) != '[' {
				continue
			}
			for n := t.first(parent); n != none; n = t.next(n) {
				if t.text(t.find(n, []string{"name"})) == name {
					return t.text(t.find(n, []string{"value"}))
				}
			}
		}
		return ""
	}}
}
