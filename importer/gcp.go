package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// gcp maps Google Cloud log entries, audit logs first of all, from gcloud,
// log sinks and the BigQuery export.
var gcp = mapping{
	name:  "gcp",
	title: "Google Cloud audit logs (Cloud Logging entries, GKE included)",
	detect: anyOf(
		has("protoPayload"),
		has("protopayload_auditlog"),
		has("logName", "insertId"),
		allOf(has("logName"), has("resource.type")),
	),
	fold:      true,
	id:        []string{"insertId", "logName", "timestamp"},
	envelopes: []string{"message"},
	fields: rules{
		event.Timestamp: timeAt("timestamp", "protoPayload.requestMetadata.requestAttributes.time", "receiveTimestamp", "p_event_time"),
		event.UserID: first(
			audit("authenticationInfo.principalEmail", "authenticationInfo.principalSubject", "authenticationInfo.authoritySelector"),
			at("jsonPayload.actor.user", "operation.producer"),
			audit("serviceName"),
			text("unknown")),
		event.UserType: first(
			call("service for *.gserviceaccount.com and serviceAccount:…, user for other principals", gcpUserType),
			when(anyOf(has("operation.producer"), has("protoPayload.serviceName")), text("system")),
			text("anonymous")),
		event.OnBehalfOf:   audit("authenticationInfo.serviceAccountDelegationInfo.0.firstPartyPrincipal.principalEmail", "authenticationInfo.serviceAccountDelegationInfo.0.principalSubject"),
		event.Action:       first(audit("methodName"), call("the log's id in `logName`", gcpLog), text("unknown")),
		event.Resource:     join("/", first(at("resource.type"), text("resource")), first(audit("resourceName"), at("resource.labels.project_id"), text("unknown"))),
		event.ResourceName: audit("resourceName"),
		event.Outcome: first(
			values(audit("status.code"), "0", "success", "7", "denied", "16", "denied", "*", "failure"),
			values(audit("authorizationInfo.0.granted"), "false", "denied"),
			httpOutcome(at("httpRequest.status")),
			values(at("severity"), "ERROR", "failure", "CRITICAL", "failure", "ALERT", "failure", "EMERGENCY", "failure"),
			when(anyOf(has("protoPayload"), has("protopayload_auditlog")), text("success"))),
		event.Operation:     verb(audit("methodName")),
		event.Source:        first(audit("serviceName"), text("gcp")),
		event.SourceIP:      addressAt("protoPayload.requestMetadata.callerIp", "protopayload_auditlog.requestMetadata.callerIp", "httpRequest.remoteIp"),
		event.UserAgent:     first(audit("requestMetadata.callerSuppliedUserAgent"), at("httpRequest.userAgent")),
		event.RequestID:     at("insertId"),
		event.TraceID:       at("trace"),
		event.CorrelationID: at("operation.id"),
		event.ErrorCode:     except(audit("status.code"), "0"),
		event.Reason:        audit("status.message"),
	},
	labels: map[string]rule{
		"location": at("resource.labels.location", "resource.labels.zone"),
		"log":      call("the log's id in `logName`", gcpLog),
		"project":  at("resource.labels.project_id"),
		"severity": at("severity"),
	},
}

// audit is at for paths in the audit record of a log entry.
func audit(paths ...string) rule {
	var all []string
	for _, payload := range []string{"protoPayload.", "protopayload_auditlog."} {
		for _, p := range paths {
			all = append(all, payload+p)
		}
	}
	r := at(all...)
	r.doc = at(all[:len(paths)]...).doc
	return r
}

var (
	gcpPrincipal = audit("authenticationInfo.principalEmail", "authenticationInfo.principalSubject")
	gcpLogName   = at("logName")
)

func gcpUserType(t *tree) string {
	switch p := gcpPrincipal.get(t); {
	case p == "":
		return ""
	case strings.HasSuffix(p, "gserviceaccount.com"), strings.HasPrefix(p, "serviceAccount:"):
		return "service"
	}
	return "user"
}

// gcpLog returns the id of a log: activity of
// projects/p/logs/cloudaudit.googleapis.com%2Factivity.
func gcpLog(t *tree) string {
	name := gcpLogName.get(t)
	name = name[strings.LastIndexByte(name, '/')+1:]
	if i := strings.LastIndex(name, "%2F"); i >= 0 {
		name = name[i+len("%2F"):]
	}
	return name
}
