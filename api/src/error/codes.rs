//! The one table of stable problem codes. A code that is in an answer and not here is a defect:
//! a test compares this table with the source of the workspace.

use actix_web::http::StatusCode;

/// A row of the table: the code, the status it comes with and what it means.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    pub code: &'static str,
    pub status: u16,
    pub meaning: &'static str,
}

impl CodeRow {
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

const fn row(code: &'static str, status: u16, meaning: &'static str) -> CodeRow {
    CodeRow { code, status, meaning }
}

/// Sorted by status, the framework's code of a status first.
pub const CODES: &[CodeRow] = &[
    row("bad_request", 400, "The request cannot be read."),
    row("json_malformed", 400, "The body is not JSON."),
    row("json_too_deep", 400, "The body is nested deeper than 64 levels."),
    row("unauthenticated", 401, "The operation needs a credential and none was sent."),
    row("credential_invalid", 401, "The credential is not one of ours, has expired or was revoked."),
    row("invalid_token", 401, "The access token is not valid."),
    row("token_expired", 401, "The access token has expired: refresh it."),
    row("invalid_api_key", 401, "The API key is not valid, has expired or was revoked."),
    row("invalid_refresh_token", 401, "The refresh token is not valid, has expired or was used before."),
    row(
        "invalid_verification_token",
        401,
        "The token of the mail is not valid, has expired or was used before.",
    ),
    row("invalid_invite", 401, "The invitation is not valid, has ended or was answered before."),
    row("invalid_challenge", 401, "The challenge is not valid, has expired or was used before."),
    row("wrong_code", 401, "The code of the second factor is wrong, or was used before."),
    row(
        "invalid_oidc_state",
        401,
        "The request to the provider is not valid, has expired or was answered before.",
    ),
    row("oidc_refused", 401, "What the provider answered is not acceptable; the detail says why."),
    row("session_ended", 401, "The session has ended: sign in again."),
    row("invalid_signature", 401, "The signature of the delivery is missing, wrong or too old."),
    row("wrong_credentials", 401, "The e-mail or the password is wrong."),
    row("no_session", 401, "There is no session to end: send one of its tokens."),
    row("payment_required", 402, "A budget or the credit of the tenant is used up."),
    row("forbidden", 403, "The caller may not do this."),
    row("permission_missing", 403, "The caller's role or key lacks the named permission."),
    row("tenant_suspended", 403, "The tenant is suspended: it can be read, and nothing starts."),
    row("tenant_closing", 403, "The tenant is closed: it can be read until it is erased."),
    row("closed_by_platform", 403, "The platform closed the tenant, and reopens it."),
    row("quota_exceeded", 403, "The tenant's plan allows no more; see `GET /v1/tenant/limits`."),
    row("no_membership", 403, "The person has no active membership in the tenant."),
    row("second_factor_required", 403, "The tenant requires a second factor, and the member has none."),
    row("email_unverified", 403, "The person's e-mail is not verified: they act in their first tenant only."),
    row(
        "fresh_sign_in_required",
        403,
        "The account has no password: sign in again, then repeat it within ten minutes.",
    ),
    row("oidc_email_unverified", 403, "The provider does not vouch for the e-mail of an unknown account."),
    row("oidc_other_account", 403, "The person with that e-mail has another account at the provider."),
    row("oidc_unknown_person", 403, "Nobody has invited the person who signs in with an account elsewhere."),
    row("address_not_allowed", 403, "The API key may not be used from this address."),
    row("client_token_limited", 403, "A client token may not do this: use the credential that made it."),
    row("role_above_own", 403, "The role may do more than the caller may."),
    row("person_only", 403, "An API key may not do this: sign in."),
    row("not_found", 404, "There is no such thing, or none that this caller can see."),
    row("route_not_found", 404, "No operation has this path."),
    row("method_not_allowed", 405, "The path exists and does not know this method; see `Allow`."),
    row("not_acceptable", 406, "No form of the answer fits the request's Accept headers."),
    row("request_timeout", 408, "The request's body came too slowly."),
    row("conflict", 409, "The state of the resource forbids it."),
    row("idempotency_in_flight", 409, "The first request with this Idempotency-Key has not ended yet."),
    row("already_decided", 409, "The approval was decided before, or is no longer asked for."),
    row("definition_inactive", 409, "The task definition is not active."),
    row("invalid_transition", 409, "The resource's status does not allow it."),
    row("lease_lost", 409, "The lease on the attempt is over: nothing was written."),
    row("too_many_workers", 409, "The tenant has as many workers as it may have."),
    row("already_exists", 409, "Another resource with these values exists."),
    row("in_use", 409, "Others refer to the resource, or what it refers to is gone."),
    row("too_many_matches", 409, "The event matches more task definitions than one event may start."),
    row("too_many_hooks", 409, "A task definition has no more inbound hooks."),
    row("hook_inactive", 409, "The inbound hook is not active."),
    row("not_replayable", 409, "Only a delivery that was proved and read is sent again."),
    row("filtered", 409, "The trigger's filter does not take the delivery."),
    row("not_waiting", 409, "The run does not wait for an answer."),
    row("already_answered", 409, "The question is answered, expired or cancelled."),
    row("agent_cycle", 409, "The agent would call itself, by way of the agents that it calls."),
    row("too_deep", 409, "Runs, or agents that call each other, would be nested deeper than they may."),
    row("too_many_children", 409, "A run has as many children as it may have."),
    row("tree_too_large", 409, "A tree of runs is as large as it may be."),
    row("child_run", 409, "The run was started by another one: retry that one, or replay it."),
    row("children_live", 409, "Children of the run are still ending: try again in a moment."),
    row("not_retryable", 409, "The run's finished steps decide its failure: replay it instead."),
    row("still_member", 409, "The person belongs to the tenant: their data cannot be erased yet."),
    row("owned_by_definition", 409, "The schedule is the trigger of a definition: change it there."),
    row("not_recurring", 409, "Only a RECURRING schedule has times that are known."),
    row("batch_empty", 409, "The batch has no targets."),
    row("nothing_failed", 409, "No target of the batch has failed."),
    row("too_many_targets", 409, "The batch has as many targets as it may."),
    row("too_many_waiting", 409, "As many fires of the schedule wait as may."),
    row("not_exportable", 409, "The privacy request asks to erase."),
    row("target_gone", 409, "What the run was for was deleted: it cannot be replayed."),
    row("name_taken", 409, "Another resource of the tenant has this name."),
    row("slug_taken", 409, "Another resource has this slug."),
    row("too_many_tools", 409, "The agent has as many tools as it may have."),
    row("version_not_usable", 409, "The version of the agent cannot be used as it is."),
    row("domain_taken", 409, "Another tenant has this domain, or this tenant claims it already."),
    row("platform_home", 409, "An administrator of the platform has no other open tenant."),
    row("emergency_stopped", 409, "An emergency stop holds: release it."),
    row("rotation_in_progress", 409, "Keys are being rotated already, or too many are still published."),
    row("own_account", 409, "Somebody else has to do this to one's own account."),
    row("exists", 409, "The file exists."),
    row("not_sealed_off", 409, "The database is not in quarantine."),
    row("values_left", 409, "Sealed values remain that no known master key opens."),
    row("last_platform_admin", 409, "The platform keeps an administrator."),
    row("too_many_invites", 409, "The tenant has as many pending invitations as it may."),
    row("email_taken", 409, "Another account has this e-mail address."),
    row("already_member", 409, "The person already belongs to the tenant."),
    row("owner_unverified", 409, "The owner named was made by another tenant and is not verified."),
    row("not_accepted", 409, "The invitation is not accepted yet."),
    row("second_factor_enabled", 409, "The account has a second factor already."),
    row("account_taken", 409, "The account is linked to another person."),
    row("too_many_accounts", 409, "The person has as many linked accounts as they may."),
    row("last_way_in", 409, "A person keeps a way to sign in."),
    row("domain_unproved", 409, "Neither the TXT record nor the file that proves the domain is there."),
    row("too_many_domains", 409, "The tenant claims as many domains as it may."),
    row("last_owner", 409, "A tenant keeps an active owner."),
    row("membership_suspended", 409, "The tenant has suspended the membership."),
    row(
        "dedupe_key_taken",
        409,
        "A run that does not answer for this one, or that the caller cannot see, has the dedupe key.",
    ),
    row("too_many_bulk_actions", 409, "As many bulk actions of the tenant run as may."),
    row("concurrency_limit", 409, "As many runs with the same concurrency key are live as may be."),
    row("key_not_live", 409, "The API key was revoked or has expired."),
    row("not_testable", 409, "This kind of integration cannot be tried."),
    row("price_exists", 409, "The model has a price from this very moment on already."),
    row(
        "workspace_archived",
        409,
        "The workspace is archived or gone: nothing is made in it or run from it.",
    ),
    row("other_workspace", 409, "What belongs to a workspace uses what belongs to it or to the tenant."),
    row("not_in_team", 409, "The caller is not of the team that alone sees what belongs to the workspace."),
    row("already_in_team", 409, "The person belongs to the team of the workspace already."),
    row("too_many_workspaces", 409, "The tenant has as many workspaces as it may."),
    row("too_many_team_members", 409, "The team has as many people as it may."),
    row("sight_changed", 409, "The workspaces that the caller sees have changed: open the stream again."),
    row("concurrent_update", 409, "Others change the resource at this moment: try again."),
    row("gone", 410, "It was here and is no more."),
    row("length_required", 411, "The request needs a Content-Length."),
    row("revision_changed", 412, "`If-Match` names a revision that is not the current one."),
    row("payload_too_large", 413, "The body is larger than the limit."),
    row("uri_too_long", 414, "The path and query are too long."),
    row("unsupported_media_type", 415, "The body must be `application/json` without content encoding."),
    row("expectation_failed", 417, "The `Expect` header cannot be met."),
    row("invalid", 422, "A field, parameter or header breaks a rule; `errors` names each."),
    row("rate_limit", 429, "Too many requests; `Retry-After` says when to come back."),
    row("tenant_rate_limit", 429, "Too many requests of all callers of the tenant, by its plan."),
    row("hook_rate_limit", 429, "Too many deliveries of one inbound hook."),
    row("queue_full", 429, "As many runs of the tenant wait as its plan allows."),
    row("auth_rate_limit", 429, "Too many attempts to sign in from this address."),
    row("refused_credentials", 429, "Too many credentials from this address were refused."),
    row("sign_in_attempts", 429, "Too many wrong passwords or codes for this account or from this address."),
    row("too_many_streams", 429, "The caller or the tenant has too many open event streams."),
    row("too_many_waits", 429, "The caller or the tenant has too many requests that wait."),
    row("headers_too_large", 431, "The request's headers are too large."),
    row("internal", 500, "The server failed; the request id finds the cause in its log."),
    row("not_implemented", 501, "The server does not know this."),
    row("upstream_failed", 502, "Another system that the request needs did not do its part."),
    row("unavailable", 503, "Not available now; trying again later may work."),
    row("database_busy", 503, "The database has no connection free: try again."),
    row("engine_busy", 503, "The engine has too much to do: try again."),
    row("sign_in_busy", 503, "Too many passwords are being checked: try again."),
    row("overloaded", 503, "The server has too much to do and sheds load."),
    row("deadline_exceeded", 503, "The request took too long; whether it had an effect is unknown."),
    row("shutting_down", 503, "This server is shutting down."),
];

pub fn find(code: &str) -> Option<&'static CodeRow> {
    CODES.iter().find(|row| row.code == code)
}

/// The code of a refusal that has only a status.
pub fn for_status(status: StatusCode) -> &'static str {
    if status == StatusCode::NOT_FOUND {
        return "route_not_found";
    }
    let fallback = if status.is_client_error() { "bad_request" } else { "internal" };
    CODES.iter().find(|row| row.status == status.as_u16()).map_or(fallback, |row| row.code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_explained() {
        let unique: BTreeSet<_> = CODES.iter().map(|row| row.code).collect();
        assert_eq!(unique.len(), CODES.len());
        assert!(CODES.is_sorted_by_key(|row| row.status));
        assert!(CODES.iter().all(|row| row.meaning.ends_with('.')));
    }

    #[test]
    fn every_status_has_a_code() {
        assert_eq!(for_status(StatusCode::METHOD_NOT_ALLOWED), "method_not_allowed");
        assert_eq!(for_status(StatusCode::IM_A_TEAPOT), "bad_request");
        assert_eq!(for_status(StatusCode::BAD_GATEWAY), "upstream_failed");
    }

    /// Codes of whole problems that the services make; codes of fields are theirs alone.
    #[test]
    fn every_code_in_the_source_is_in_the_table() {
        let makers = [
            "Error::unauthenticated(\"",
            "Error::denied(\"",
            "Error::conflict(\"",
            "Self::conflict(\"",
            "HttpError::new(\"",
            "PaymentRequired { code: \"",
            "RateLimited { code: \"",
            "Upstream { code: \"",
            "Unavailable { code: \"",
        ];
        let mut missing = BTreeSet::new();
        for (_, source) in ["src", "../service/src"].into_iter().flat_map(crate::openapi::lint::sources) {
            let source = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( \"", "(\"");
            for call in makers.iter().flat_map(|maker| source.split(maker).skip(1)) {
                missing.extend(call.split('"').next().filter(|code| find(code).is_none()).map(str::to_owned));
            }
        }
        assert!(missing.is_empty(), "add to CODES: {missing:#?}");
    }
}
