package importer

import "github.com/daybook-log/daybook/event"

// onepassword maps the 1Password Events API: sign-in attempts and item usages
// of one shape, audit events of another.
var onepassword = mapping{
	name:  "onepassword",
	title: "1Password Events API (sign-in attempts, item usages, audit events)",
	detect: anyOf(
		has("uuid", "client.app_name", "timestamp"),
		has("uuid", "actor_uuid", "object_type"),
	),
	id: []string{"uuid"},
	fields: rules{
		event.Timestamp: timeAt("timestamp", "p_event_time"),
		event.UserID:    first(onepasswordUser, text("unknown")),
		event.UserType:  first(when(anyOf(has("user"), has("target_user"), has("actor_uuid")), text("user")), text("anonymous")),
		event.UserName:  at("user.name", "target_user.name", "actor_details.name"),
		event.Action: first(
			join(".", text("signin"), when(has("target_user"), at("type", "category"))),
			join(".", at("object_type"), at("action")),
			join(".", text("item"), first(at("action"), text("use")))),
		event.Resource: first(
			typed("item", "item_uuid"),
			join("/", at("object_type"), at("object_uuid")),
			typed("session", "session_uuid"),
			text("onepassword/unknown")),
		event.ResourceName: at(`p_enrichment."1Password Translation".item_uuid.title`),
		event.Outcome: first(
			values(at("category"), "success", "success", "firewall_reported_success", "success",
				"credentials_failed", "failure", "mfa_failed", "failure", "sso_failed", "failure", "firewall_failed", "denied", "modern_version_failed", "denied"),
			text("success")),
		event.Operation: first(
			when(has("target_user"), text("login")),
			when(has("item_uuid"), text("read")),
			verb(at("action"))),
		event.Source:    text("onepassword"),
		event.SourceIP:  addressAt("client.ip_address", "session.ip"),
		event.UserAgent: optional(" ", at("client.app_name"), at("client.app_version")),
		event.SessionID: at("session_uuid", "session.uuid"),
		event.RequestID: at("uuid"),
	},
	labels: map[string]rule{
		"country": at("country", "location.country"),
		"vault":   at("vault_uuid"),
	},
}

var onepasswordUser = at("user.email", "target_user.email", "actor_details.email", "user.uuid", "target_user.uuid", "actor_uuid")
