package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// vault maps the audit entries of OpenBao and HashiCorp Vault. A request leaves
// two: type request when it came and type response when it was answered.
var vault = mapping{
	name:  "vault",
	title: "OpenBao and HashiCorp Vault audit devices",
	detect: allOf(
		is("type", "request", "response"),
		anyOf(has("request.path"), has("request.operation"), has("request.id")),
	),
	id:        []string{"request.id", "type"},
	envelopes: []string{"message"},
	fields: rules{
		event.Timestamp: timeAt("time"),
		event.UserID: first(
			at("auth.metadata.username", "auth.metadata.role_name", "auth.display_name", "auth.entity_id",
				"response.auth.metadata.username", "response.auth.metadata.role_name"),
			text("anonymous")),
		event.UserType: first(
			values(at("auth.display_name"), "token", "api_key", "root", "api_key"),
			when(anyOf(has("auth.metadata.role_name"), has("response.auth.metadata.role_name")), text("service")),
			when(anyOf(has("auth.metadata.username"), has("auth.display_name"), has("auth.entity_id"), has("response.auth.metadata.username")), text("user")),
			text("anonymous")),
		event.UserName: at("auth.display_name", "response.auth.display_name"),
		event.Action: join(".",
			first(at("request.mount_type"), text("vault")),
			first(when(vaultLogin, text("login")), at("request.operation"), text("request"))),
		event.Resource: first(at("request.path"), text("vault/unknown")),
		event.Outcome: first(
			denial(at("error")),
			values(at("auth.policy_results.allowed"), "false", "denied"),
			when(anyOf(has("response.data.error"), has("response.data.errors")), text("failure")),
			values(at("type"), "response", "success")),
		event.Operation: first(
			when(vaultLogin, text("login")),
			values(at("request.operation"), "create", "create", "read", "read", "list", "read", "scan", "read",
				"update", "update", "patch", "update", "delete", "delete", "*", "other")),
		event.Source:    text("vault"),
		event.SourceIP:  addressAt("request.remote_address"),
		event.UserAgent: at("request.headers.user-agent.0"),
		event.SessionID: at("auth.accessor", "response.auth.accessor"),
		event.RequestID: at("request.id"),
		event.Reason:    at("error"),
	},
	labels: map[string]rule{
		"entity_id": at("auth.entity_id", "response.auth.entity_id"),
		"mount":     at("request.mount_point"),
		"namespace": at("request.namespace.path", "request.namespace.id"),
		"type":      at("type"),
	},
}

var vaultPath = at("request.path")

// vaultLogin matches logins: auth/<mount>/login and what lies below it.
var vaultLogin = matcher{doc: "`request.path` is auth/…/login…", match: func(t *tree) bool {
	p := vaultPath.get(t)
	return strings.HasPrefix(p, "auth/") && (strings.HasSuffix(p, "/login") || strings.Contains(p, "/login/"))
}}
