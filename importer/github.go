package importer

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// github maps the audit log of organisations and enterprises, and webhook
// payloads, which have no name of their own for what happened.
var github = mapping{
	name:  "github",
	title: "GitHub audit log, also webhook payloads",
	detect: anyOf(
		has("action", "actor"),
		has("action", "_document_id"),
		has("action", "org"),
		has("action", "repo"),
		has("action", "business"),
		has("action", "created_at"),
		has("repository.full_name"),
		has("action", "sender.login"),
		has("sender.login", "installation"),
		has("repository", "ref"),
		has("p_log_type", "ruleset_id"),
		has("action", "user"),
	),
	id: []string{"_document_id"},
	fields: rules{
		event.Timestamp: timeAt("@timestamp", "created_at", "at_sign_timestamp", "p_event_time",
			"head_commit.timestamp", "comment.updated_at", "review.submitted_at", "workflow_job.completed_at",
			"workflow_run.updated_at", "pull_request.updated_at", "issue.updated_at", "repository.updated_at"),
		event.UserID:     first(githubActor, text("unknown")),
		event.UserType:   call("service for bots and apps, anonymous without an actor, else user", githubUserType),
		event.OnBehalfOf: when(has("on_behalf_of"), at("on_behalf_of")),
		event.Action: first(
			call("`<object>.<action>` of a webhook payload", githubWebhook),
			at("action"), text("unknown")),
		event.Resource: first(
			typed("repo", "repo", "repository.full_name", "repository"),
			typed("team", "data.team", "team"),
			typed("user", "user", "user.login"),
			typed("org", "org", "organization.login"),
			typed("business", "business", "enterprise.slug"),
			typed("repo", "repository.name"),
			text("github/unknown")),
		event.ResourceName: at("name", "ruleset_name", "pull_request.title", "issue.title", "workflow_run.name", "workflow_job.name"),
		event.Outcome: first(
			values(at("conclusion", "workflow_job.conclusion", "workflow_run.conclusion"), "success", "success", "failure", "failure", "timed_out", "failure"),
			text("success")),
		event.Operation: first(
			values(at("operation_type"), "create", "create", "access", "read", "modify", "update", "remove", "delete", "authentication", "login", "restore", "update", "transfer", "update"),
			verb(at("action")),
			when(has("commits"), text("update"))),
		event.Source:    text("github"),
		event.SourceIP:  addressAt("actor_ip"),
		event.UserAgent: at("user_agent"),
		event.SessionID: at("actor_session"),
		event.RequestID: at("request_id", "_document_id"),
		event.Reason:    at("explanation", "message"),
	},
	labels: map[string]rule{
		"business":   at("business"),
		"country":    at("actor_location.country_code"),
		"org":        at("org", "organization.login"),
		"repo":       at("repo", "repository.full_name"),
		"token_type": at("programmatic_access_type"),
	},
}

var (
	githubActor = at("actor", "actor.login", "sender.login", "pusher.name", "review.user.login", "comment.user.login",
		"workflow_run.actor.login", "issue.user.login", "pull_request.user.login", "head_commit.author.name", "commits.0.author.name")
	githubAction = at("action")
)

func githubUserType(t *tree) string {
	switch actor := githubActor.get(t); {
	case actor == "":
		return "anonymous"
	case strings.HasSuffix(actor, "[bot]"), t.text(t.find(0, []string{"actor_is_bot"})) == "true":
		return "service"
	}
	return "user"
}

// webhookObjects are the objects that webhook payloads are about, those that
// carry another of them along first.
var webhookObjects = []string{
	"workflow_job", "workflow_run", "review", "comment", "pull_request", "issue", "check_run", "check_suite",
	"deployment_status", "deployment", "release", "ruleset", "alert", "hook", "discussion", "package", "milestone", "label",
	"project_card", "project_column", "project", "team", "membership", "member", "rule", "installation",
}

// githubWebhook names what a webhook payload tells. The audit log's own actions
// have a dot (repo.create), so an action without one is a payload's.
func githubWebhook(t *tree) string {
	action := githubAction.get(t)
	if strings.Contains(action, ".") {
		return ""
	}
	if action == "" {
		for _, o := range [][2]string{{"commits", "push"}, {"pages", "gollum"}, {"pull_request", "pull_request"}, {"repository", "repository"}} {
			if t.find(0, []string{o[0]}) != none {
				return o[1]
			}
		}
		return ""
	}
	for _, o := range webhookObjects {
		if n := t.find(0, []string{o}); n != none && t.kind(n) == '{' {
			return o + "." + action
		}
	}
	if n := t.find(0, []string{"repository"}); n != none && t.kind(n) == '{' {
		return "repository." + action
	}
	return ""
}
