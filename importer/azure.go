package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// azure maps the Azure activity log in its three spellings (diagnostic settings,
// REST API and az, Python SDK) and the resource logs of the same shape.
var azure = mapping{
	name:  "azure",
	title: "Azure activity log and resource logs (diagnostic settings, `az monitor activity-log list`, SDK)",
	detect: anyOf(
		has("operationName", "resourceId"),
		has("operationName", "callerIpAddress"),
		has("operationName", "category"),
		has("operationName", "eventDataId"),
		has("operation_name", "event_data_id"),
	),
	id: []string{"eventDataId", "event_data_id", "correlationId", "operationName", "resultType", "time"},
	fields: rules{
		event.Timestamp: timeAt("time", "eventTimestamp", "event_timestamp", "p_event_time"),
		event.UserID:    first(azureCaller, text("unknown")),
		event.UserType: first(
			values(at("claims.idtyp", "identity.claims.idtyp"), "app", "service", "user", "user"),
			values(at("identity.authorization.evidence.principalType"), "ServicePrincipal", "service", "User", "user"),
			call("user if the caller holds an @, service for another caller, anonymous if there is none", azureUserType)),
		event.UserName:     at("claims.name", "identity.claims.name"),
		event.Action:       first(azureOperation, text("unknown")),
		event.Resource:     first(call("the resource's type in lower case, `/`, and `resourceId` without its first slash", azureResource), text("azure/unknown")),
		event.ResourceName: call("the last part of `resourceId`", azureName),
		event.Outcome: first(
			httpOutcome(at("statusCode", "resultSignature", "properties.statusCode")),
			values(lower(at("resultType", "status.value", "properties.metricResponseType")),
				"success", "success", "succeeded", "success", "accepted", "success",
				"failed", "failure", "failure", "failure", "clienterror", "failure", "servererror", "failure",
				"authorizationerror", "denied", "authorizationfailure", "denied", "authenticationerror", "denied")),
		event.Operation: verb(azureOperation),
		event.Source:    first(at("resourceProviderName.value", "resource_provider_name.value"), call("the provider in `resourceId`", azureProvider), text("azure")),
		event.SourceIP: addressAt("callerIpAddress", "httpRequest.clientIpAddress", "http_request.client_ip_address",
			"claims.ipaddr", "identity.claims.ipaddr"),
		event.UserAgent:     at("properties.userAgentHeader", "properties.userAgent"),
		event.RequestID:     at("httpRequest.clientRequestId", "http_request.client_request_id", "eventDataId", "event_data_id"),
		event.CorrelationID: at("correlationId", "correlation_id"),
		event.ErrorCode:     at("statusText", "properties.statusCode", "subStatus.value", "sub_status.value"),
		event.Reason:        at("resultDescription", "properties.statusMessage", "description"),
	},
	labels: map[string]rule{
		"category":       at("category.value", "category"),
		"level":          at("level"),
		"location":       at("location"),
		"resource_group": first(at("resourceGroupName", "resource_group_name"), azurePart("resourcegroups")),
		"subscription":   first(at("subscriptionId", "subscription_id"), azurePart("subscriptions")),
		"tenant":         at("tenantId", "tenant_id"),
	},
}

var (
	azureOperation  = at("operationName.value", "operation_name.value", "operationName")
	azureResourceID = at("resourceId", "resource_id")
	azureCaller     = at("caller",
		`identity.claims."http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"`,
		`identity.claims."http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"`,
		`identity.claims."http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"`,
		"identity.claims.upn", "identity.claims.appid",
		`identity.claims."http://schemas.microsoft.com/identity/claims/objectidentifier"`,
		"identity.authorization.evidence.principalId", "identity.UserName", "properties.initiatedBy.user.userPrincipalName")
)

func azureUserType(t *tree) string {
	switch caller := azureCaller.get(t); {
	case caller == "":
		return "anonymous"
	case strings.Contains(caller, "@"):
		return "user"
	}
	return "service"
}

// azureResource puts the type of a resource before its id:
// disks/subscriptions/…/providers/Microsoft.Compute/disks/d1.
func azureResource(t *tree) string {
	id := strings.Trim(azureResourceID.get(t), "/")
	if id == "" {
		return ""
	}
	parts := strings.Split(id, "/")
	kind := parts[max(len(parts)-2, 0)]
	if kind == "" {
		kind = "resource"
	}
	return strings.ToLower(kind) + "/" + id
}

func azureName(t *tree) string {
	id := strings.Trim(azureResourceID.get(t), "/")
	return id[strings.LastIndexByte(id, '/')+1:]
}

// azureProvider returns the last provider that a resource's id names.
func azureProvider(t *tree) string {
	parts := strings.Split(azureResourceID.get(t), "/")
	for i := len(parts) - 2; i > 0; i-- {
		if strings.EqualFold(parts[i], "providers") {
			return parts[i+1]
		}
	}
	return ""
}

// azurePart is the part after name (in lower case) of a resource's id.
func azurePart(name string) rule {
	return rule{doc: "the part after " + name + " in `resourceId`", get: func(t *tree) string {
		parts := strings.Split(azureResourceID.get(t), "/")
		for i, p := range parts[:len(parts)-1] {
			if strings.EqualFold(p, name) {
				return parts[i+1]
			}
		}
		return ""
	}}
}
