package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// k8s maps audit.k8s.io events of the Kubernetes API server, of any managed
// cluster that hands them out as they are, and of AKS, which wraps them. One
// request is several events, one a stage.
var k8s = mapping{
	name:  "k8s",
	title: "Kubernetes API server audit events (`audit.k8s.io`), also as EKS and AKS export them",
	detect: anyOf(
		starts("apiVersion", "audit.k8s.io/"),
		has("auditID", "stage"),
		has("verb", "objectRef"),
		has("verb", "user.username"),
		has("verb", "requestURI"),
		allOf(is("kind", "Event"), has("verb", "sourceIPs")),
	),
	id:        []string{"auditID", "stage"},
	envelopes: []string{"properties.log", "message"},
	fields: rules{
		event.Timestamp:  timeAt("stageTimestamp", "requestReceivedTimestamp", "timestamp", "metadata.creationTimestamp", "p_event_time"),
		event.UserID:     first(at("user.username", "user.uid"), text("unknown")),
		event.UserType:   call("service for system:serviceaccount:…, anonymous for system:anonymous or no user, system for other system:… names, else user", k8sUserType),
		event.OnBehalfOf: at("impersonatedUser.username"),
		event.Action:     optional(".", first(at("objectRef.resource"), text("nonresource")), at("objectRef.subresource"), first(at("verb"), text("request"))),
		event.Resource: first(
			when(is("objectRef.resource", "namespaces"), optional("/", text("namespaces"), k8sName)),
			optional("/", at("objectRef.resource"), at("objectRef.namespace"), k8sName),
			call("`url/` and the path of `requestURI`", k8sPath), text("url/unknown")),
		event.ResourceName: k8sName,
		event.Outcome: first(httpOutcome(at("responseStatus.code")),
			values(at(`annotations."authorization.k8s.io/decision"`), "forbid", "denied"),
			values(at("responseStatus.status"), "Success", "success", "Failure", "failure"),
			values(at("stage"), "Panic", "failure")),
		event.Operation: values(at("verb"), "get", "read", "list", "read", "watch", "read", "create", "create",
			"update", "update", "patch", "update", "delete", "delete", "deletecollection", "delete", "*", "other"),
		event.Source:    text("kubernetes"),
		event.SourceIP:  addressAt("sourceIPs.0"),
		event.UserAgent: at("userAgent"),
		event.RequestID: at("auditID"),
		event.ErrorCode: at("responseStatus.reason"),
		event.Reason:    at("responseStatus.message", `annotations."authorization.k8s.io/reason"`),
	},
	labels: map[string]rule{
		"api_group": at("objectRef.apiGroup"),
		"level":     at("level"),
		"namespace": at("objectRef.namespace"),
		"stage":     at("stage"),
	},
}

// k8sName is the object's name. A create by generateName has it in the objects only.
var k8sName = at("objectRef.name", "responseObject.metadata.name", "requestObject.metadata.name")

var k8sUser = at("user.username")

func k8sUserType(t *tree) string {
	switch name := k8sUser.get(t); {
	case name == "" || name == "system:anonymous":
		return "anonymous"
	case strings.HasPrefix(name, "system:serviceaccount:"):
		return "service"
	case strings.HasPrefix(name, "system:"):
		return "system"
	}
	return "user"
}

var k8sURI = at("requestURI")

func k8sPath(t *tree) string {
	path, _, _ := strings.Cut(k8sURI.get(t), "?")
	if path == "" {
		return ""
	}
	return "url/" + strings.TrimPrefix(path, "/")
}
