package importer

import "github.com/daybook-log/daybook/event"

// snowflake maps rows of the ACCOUNT_USAGE views: LOGIN_HISTORY, QUERY_HISTORY,
// GRANTS_TO_USERS, GRANTS_TO_ROLES and DATA_TRANSFER_HISTORY.
var snowflake = mapping{
	name:  "snowflake",
	title: "Snowflake ACCOUNT_USAGE (login, query, grant and transfer history)",
	detect: anyOf(
		has("QUERY_TYPE", "USER_NAME"),
		has("EVENT_TYPE", "IS_SUCCESS"),
		has("GRANTED_TO", "GRANTEE_NAME"),
		has("ROLE", "GRANTEE_NAME"),
		has("TRANSFER_TYPE", "TARGET_CLOUD"),
	),
	id: []string{"EVENT_ID", "QUERY_ID"},
	fields: rules{
		event.Timestamp: timeAt("EVENT_TIMESTAMP", "START_TIME", "DELETED_ON", "CREATED_ON", "p_event_time"),
		event.UserID:    first(at("USER_NAME", "GRANTED_BY"), text("unknown")),
		event.UserType:  first(values(at("GRANTED_BY"), "SNOWFLAKE", "system"), when(anyOf(has("USER_NAME"), has("GRANTED_BY")), text("user")), text("anonymous")),
		event.Action: first(
			join(".", text("query"), lower(at("QUERY_TYPE"))),
			lower(at("EVENT_TYPE")),
			when(has("GRANTEE_NAME"), first(values(at("DELETED_ON"), "*", "revoke"), text("grant"))),
			join(".", text("data_transfer"), lower(at("TRANSFER_TYPE"))),
			text("unknown")),
		event.Resource: first(
			when(has("EVENT_TYPE"), typed("user", "USER_NAME")),
			join("/", lower(at("GRANTED_TO")), at("GRANTEE_NAME")),
			typed("warehouse", "WAREHOUSE_NAME"),
			typed("database", "DATABASE_NAME"),
			typed("cloud", "TARGET_CLOUD"),
			text("snowflake/account")),
		event.ResourceName: optional(".", at("TABLE_CATALOG"), at("TABLE_SCHEMA"), at("NAME")),
		event.Outcome:      values(at("IS_SUCCESS", "EXECUTION_STATUS"), "YES", "success", "NO", "failure", "SUCCESS", "success", "FAIL", "failure", "INCIDENT", "failure"),
		event.Operation: first(
			values(at("EVENT_TYPE"), "LOGIN", "login"),
			when(has("GRANTEE_NAME"), text("update")),
			when(has("TRANSFER_TYPE"), text("create")),
			verb(at("QUERY_TYPE"))),
		event.Source:    text("snowflake"),
		event.SourceIP:  addressAt("CLIENT_IP"),
		event.UserAgent: optional(" ", at("REPORTED_CLIENT_TYPE"), at("REPORTED_CLIENT_VERSION")),
		event.SessionID: at("SESSION_ID"),
		event.RequestID: at("EVENT_ID", "QUERY_ID"),
		event.ErrorCode: at("ERROR_CODE"),
		event.Reason:    at("ERROR_MESSAGE"),
	},
	labels: map[string]rule{
		"region":    at("REGION"),
		"role":      at("ROLE_NAME"),
		"warehouse": at("WAREHOUSE_NAME"),
	},
}
