package importer

import "github.com/daybook-log/daybook/event"

// slack maps the Slack Enterprise audit log.
var slack = mapping{
	name:   "slack",
	title:  "Slack audit logs",
	detect: anyOf(has("action", "actor.user", "context"), has("action", "actor.type", "entity.type")),
	id:     []string{"id"},
	fields: rules{
		event.Timestamp: timeAt("date_create", "p_event_time"),
		event.UserID:    first(at("actor.user.email", "actor.user.id", "actor.user.name"), text("unknown")),
		event.UserType:  first(values(at("actor.type"), "user", "user", "*", "service"), text("anonymous")),
		event.UserName:  at("actor.user.name"),
		event.Action:    first(at("action"), text("unknown")),
		event.Resource: first(
			typed("user", "entity.user.id"),
			typed("app", "entity.app.id"),
			typed("channel", "entity.channel.id"),
			typed("file", "entity.file.id"),
			typed("workspace", "entity.workspace.id"),
			typed("enterprise", "entity.enterprise.id"),
			typed("role", "entity.role.id"),
			join("/", at("context.location.type"), at("context.location.id")),
			text("slack/unknown")),
		event.ResourceName: at("entity.user.name", "entity.app.name", "entity.channel.name", "entity.file.name", "entity.workspace.name"),
		event.Outcome:      values(at("action"), "user_login_failed", "failure", "*", "success"),
		event.Operation: first(
			values(at("action"), "user_login", "login", "user_login_failed", "login"),
			verb(at("action"))),
		event.Source:    text("slack"),
		event.SourceIP:  addressAt("context.ip_address"),
		event.UserAgent: at("context.ua"),
		event.SessionID: at("context.session_id"),
		event.Reason:    at("details.reason"),
	},
	labels: map[string]rule{
		"team":      at("actor.user.team"),
		"workspace": at("context.location.domain"),
	},
}
