package importer

import "github.com/daybook-log/daybook/event"

// okta maps the Okta System Log.
var okta = mapping{
	name:  "okta",
	title: "Okta System Log",
	detect: anyOf(
		has("eventType", "actor"),
		has("eventType", "actorId"),
		has("eventType", "published"),
		has("eventType", "outcome"),
		has("eventType", "result"),
	),
	fold: true,
	id:   []string{"uuid"},
	fields: rules{
		event.Timestamp: timeAt("published", "p_event_time"),
		event.UserID:    first(at("actor.alternateId", "actor.id", "actor.displayName", "actorId"), text("unknown")),
		event.UserType: first(
			values(at("actor.type"), "User", "user", "PublicClientApp", "service", "SystemPrincipal", "system", "IP address", "anonymous", "*", "service"),
			when(has("actorId"), text("user")),
			text("anonymous")),
		event.UserName:   at("actor.displayName", "actorName"),
		event.OnBehalfOf: at("debugContext.debugData.onBehalfOf"),
		event.Action:     first(at("eventType"), text("unknown")),
		event.Resource: first(
			join("/", lower(at("target.0.type")), at("target.0.alternateId", "target.0.id", "target.0.displayName")),
			typed("target", "target.0.alternateId", "target.0.id", "target.0.displayName"),
			typed("url", "debugContext.debugData.requestUri"),
			typed("session", "authenticationContext.externalSessionId"),
			text("okta/unknown")),
		event.ResourceName: at("target.0.displayName"),
		event.Outcome: values(at("outcome.result", "result"), "SUCCESS", "success", "ALLOW", "success",
			"FAILURE", "failure", "DENY", "denied", "*", "unknown"),
		event.Operation: first(
			values(at("eventType"), "user.session.start", "login", "user.authentication.sso", "login",
				"user.authentication.auth_via_mfa", "login", "policy.evaluate_sign_on", "login"),
			verb(at("eventType"))),
		event.Source:        text("okta"),
		event.SourceIP:      addressAt("client.ipAddress", "request.ipChain.0.ip", "sourceIP"),
		event.UserAgent:     at("client.userAgent.rawUserAgent", "userAgent"),
		event.SessionID:     at("authenticationContext.externalSessionId"),
		event.RequestID:     at("debugContext.debugData.requestId", "transaction.id"),
		event.CorrelationID: at("transaction.id"),
		event.Reason:        first(at("outcome.reason"), at("displayMessage")),
	},
	labels: map[string]rule{
		"country":  at("client.geographicalContext.country"),
		"severity": at("severity"),
		"zone":     except(at("client.zone"), "null"),
	},
}
