package importer

import "github.com/daybook-log/daybook/event"

// cloudtrail maps AWS CloudTrail events: from its log files, from LookupEvents,
// which wraps them, and as Athena and Logstash hand them on.
var cloudtrail = mapping{
	name:  "cloudtrail",
	title: "AWS CloudTrail, log files and `lookup-events`",
	detect: anyOf(
		has("eventName", "eventSource"),
		has("eventName", "userIdentity"),
		has("eventName", "awsRegion"),
	),
	fold:      true,
	id:        []string{"eventID"},
	envelopes: []string{"CloudTrailEvent", "message"},
	fields: rules{
		event.Timestamp: timeAt("eventTime", "p_event_time", "@timestamp"),
		event.UserID: first(
			at("userIdentity.arn", "userIdentity.userName", "userIdentity.principalId", "userIdentity.invokedBy",
				"userIdentity.onBehalfOf.userId", "userIdentity.accountId"),
			when(is("eventType", "AwsServiceEvent"), at("eventSource")),
			text("unknown")),
		event.UserType: first(
			when(starts("userIdentity.sessionContext.sessionIssuer.userName", "AWSReservedSSO_"), text("user")),
			values(at("userIdentity.type"),
				"IAMUser", "user", "Root", "user", "FederatedUser", "user", "SAMLUser", "user", "WebIdentityUser", "user",
				"IdentityCenterUser", "user", "Directory", "user", "AssumedRole", "service", "Role", "service",
				"AWSAccount", "service", "AWSService", "service", "Unknown", "anonymous"),
			when(anyOf(has("userIdentity.invokedBy"), is("eventType", "AwsServiceEvent")), text("service")),
			when(anyOf(has("userIdentity.arn"), has("userIdentity.userName")), text("user")),
			text("anonymous")),
		event.UserName:     at("userIdentity.userName", "userIdentity.sessionContext.sessionIssuer.userName"),
		event.OnBehalfOf:   at("userIdentity.onBehalfOf.userId"),
		event.Action:       optional(".", awsService, first(at("eventName"), text("unknown"))),
		event.Resource:     awsResource,
		event.ResourceName: at("resources.0.ARN", "resources.0.resourceName"),
		event.Outcome: first(
			denial(at("errorCode", "errorMessage")),
			values(at("responseElements.ConsoleLogin", "responseElements.SwitchRole", "serviceEventDetails.UserAuthentication"), "Success", "success", "Failure", "failure"),
			text("success")),
		event.Operation: first(
			values(at("eventName"), "ConsoleLogin", "login", "AssumeRole", "login", "AssumeRoleWithSAML", "login",
				"AssumeRoleWithWebIdentity", "login", "SwitchRole", "login", "UserAuthentication", "login"),
			values(at("readOnly"), "true", "read"),
			verb(at("eventName"))),
		event.Source:        at("eventSource"),
		event.SourceIP:      addressAt("sourceIPAddress"),
		event.UserAgent:     at("userAgent"),
		event.SessionID:     at("userIdentity.accessKeyId"),
		event.RequestID:     at("requestID"),
		event.CorrelationID: at("sharedEventID"),
		event.ErrorCode:     at("errorCode"),
		event.Reason:        at("errorMessage"),
	},
	labels: map[string]rule{
		"account":    at("recipientAccountId", "userIdentity.accountId"),
		"event_type": at("eventType"),
		"mfa":        at("userIdentity.sessionContext.attributes.mfaAuthenticated"),
		"region":     at("awsRegion"),
	},
}

var awsService = trim(at("eventSource"), "", ".amazonaws.com")

// awsResource is what the request was about. CloudTrail has no one field for
// it: services name it in resources, or in a request parameter of their own.
var awsResource = first(
	join("/", text("bucket"), optional("/", at("requestParameters.bucketName"), at("requestParameters.key"))),
	typed("secret", "requestParameters.secretId"),
	typed("instance", "requestParameters.instanceId", "requestParameters.instancesSet.items.0.instanceId"),
	typed("function", "requestParameters.functionName"),
	typed("policy", "requestParameters.policyArn"),
	typed("user", "requestParameters.userName"),
	typed("role", "requestParameters.roleArn", "requestParameters.roleName"),
	typed("group", "requestParameters.groupName", "requestParameters.groupId"),
	typed("table", "requestParameters.tableName"),
	typed("key", "requestParameters.keyId"),
	typed("db_instance", "requestParameters.dBInstanceIdentifier"),
	typed("db_snapshot", "requestParameters.dBSnapshotIdentifier"),
	typed("snapshot", "requestParameters.snapshotId"),
	typed("image", "requestParameters.imageId"),
	typed("volume", "requestParameters.volumeId"),
	typed("vpc", "requestParameters.vpcId"),
	typed("repository", "requestParameters.repositoryName"),
	typed("cluster", "requestParameters.clusterName"),
	typed("topic", "requestParameters.topicArn"),
	typed("queue", "requestParameters.queueUrl"),
	typed("log_group", "requestParameters.logGroupName"),
	typed("model", "requestParameters.modelId"),
	typed("arn", "resources.0.ARN", "requestParameters.resourceArn", "requestParameters.arn"),
	join("/", awsService, at("requestParameters.name", "requestParameters.id")),
	join("/", text("service"), awsService),
	text("service/unknown"),
)
