package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// auth0 maps Auth0 tenant logs, bare as the Management API returns them and in
// data as log streams send them.
var auth0 = mapping{
	name:   "auth0",
	title:  "Auth0 tenant logs and log streams",
	detect: anyOf(has("data.type", "data.client_id"), has("data.type", "data.log_id"), has("log_id", "type"), has("type", "client_id", "date")),
	id:     []string{"log_id", "data.log_id", "data._id"},
	fields: rules{
		event.Timestamp: timeAt("data.date", "date", "p_event_time"),
		event.UserID: first(
			auth0At("user_id", "details.request.auth.user.user_id", "user_name", "details.request.auth.user.email", "client_id"),
			text("unknown")),
		event.UserType: first(
			when(anyOf(has("data.user_id"), has("user_id"), has("data.user_name"), has("user_name")), text("user")),
			when(anyOf(has("data.client_id"), has("client_id")), text("service")),
			text("anonymous")),
		event.UserName: auth0At("user_name", "details.request.auth.user.email", "details.request.auth.user.name"),
		event.Action:   first(auth0At("type"), text("unknown")),
		event.Resource: first(
			join("/", text("endpoint"), trim(auth0At("details.request.path"), "/", "")),
			join("/", text("connection"), auth0At("connection")),
			join("/", text("client"), auth0At("client_id")),
			text("auth0/unknown")),
		event.ResourceName: auth0At("client_name"),
		event.Outcome: first(
			httpOutcome(auth0At("details.response.statusCode")),
			call("the type code: f… → failure, limit… and …pwd_leak → denied, s… and gd_… → success", auth0Outcome)),
		event.Operation: first(
			values(lower(auth0At("details.request.method")), "get", "read", "post", "create", "put", "update", "patch", "update", "delete", "delete"),
			values(auth0At("type"), "s", "login", "f", "login", "fp", "login", "fu", "login", "ssa", "login", "fsa", "login", "slo", "other", "*", "other")),
		event.Source:    text("auth0"),
		event.SourceIP:  addressAt("data.ip", "ip"),
		event.UserAgent: auth0At("user_agent"),
		event.SessionID: auth0At("session_id", "details.session_id"),
		event.RequestID: auth0At("log_id", "_id"),
		event.ErrorCode: auth0At("details.error.type", "details.error.oauthError"),
		event.Reason:    auth0At("description"),
	},
	labels: map[string]rule{
		"client":     auth0At("client_name"),
		"connection": auth0At("connection"),
		"hostname":   auth0At("hostname"),
	},
}

// auth0At is at, in data first and then bare.
func auth0At(paths ...string) rule {
	var all []string
	for _, p := range paths {
		all = append(all, "data."+p, p)
	}
	r := at(all...)
	r.doc = at(paths...).doc
	return r
}

var auth0Type = auth0At("type")

func auth0Outcome(t *tree) string {
	switch code := auth0Type.get(t); {
	case strings.HasPrefix(code, "limit"), strings.HasSuffix(code, "pwd_leak"):
		return "denied"
	case strings.HasPrefix(code, "f"):
		return "failure"
	case strings.HasPrefix(code, "s"), strings.HasPrefix(code, "gd_"):
		return "success"
	}
	return ""
}
