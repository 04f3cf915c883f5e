//! Of definitions, runs, and what starts and decides them.

use serde_json::{Value, json};

use super::{Case, Takes, case, of};

pub(super) fn definitions() -> Vec<Case> {
    let create = |target: Value| {
        let mut body = json!({ "name": "definition #", "type": "AUTOMATION" });
        body.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        case("create_task_definition", &[]).with(body)
    };
    let update = |id, body| of("update_task_definition", id).with(body);
    vec![
        case("list_task_definitions", &[("cursor", "@cursor")]),
        case("list_task_definitions", &[("workspaceId", "@workspace")]),
        case("list_task_definitions", &[("agentId", "@agent")]),
        case("list_task_definitions", &[("toolId", "@tool")]),
        create(json!({ "agentId": "@agent" })),
        create(json!({ "agentId": "@placed-agent", "workspaceId": "@workspace" })),
        create(json!({ "toolId": "@tool" })),
        create(json!({ "config": { "steps": [{ "id": "a", "agent": "@agent" }] } })),
        create(json!({ "config": { "steps": [{ "id": "a", "tool": "@tool" }] } })),
        create(json!({ "config": { "steps": [{ "id": "a", "definition": "@definition" }] } })),
        of("get_task_definition", "@definition"),
        update("@new:definition", json!({ "agentId": "@agent" })),
        update("@new:tool-definition", json!({ "toolId": "@tool" })),
        of("delete_task_definition", "@new:definition"),
        of("pause_task_definition", "@new:definition").with(json!({ "reason": "reason #" })),
        of("resume_task_definition", "@new:paused-definition"),
    ]
}

pub(super) fn runs() -> Vec<Case> {
    let create = |body| case("create_task_run", &[]).with(body);
    vec![
        case("list_task_runs", &[("cursor", "@cursor")]),
        case("list_task_runs", &[("agentId", "@agent")]),
        case("list_task_runs", &[("definitionId", "@definition")]),
        case("list_task_runs", &[("toolId", "@tool")]),
        case("list_task_runs", &[("workspaceId", "@workspace")]),
        case("list_task_runs", &[("parentRunId", "@run")]),
        case("list_task_runs", &[("rootRunId", "@run")]),
        create(json!({ "definitionId": "@definition", "input": "hello" })),
        create(json!({ "agentId": "@agent", "input": "hello" })),
        of("get_task_run", "@run"),
        of("explain_task_run", "@run"),
        case("get_queue", &[]),
        of("cancel_task_run", "@new:delayed"),
        of("retry_task_run", "@new:cancelled"),
        of("replay_task_run", "@run").with(json!({})),
        case("get_task_run_tree", &[("id", "@run")]),
        case("list_run_events", &[("id", "@run"), ("cursor", "1")]),
        case("list_run_events", &[("id", "@run"), ("children", "true")]),
        case("get_stream", &[("agentId", "@agent")]),
        case("get_stream", &[("definitionId", "@definition")]),
        case("list_run_steps", &[("id", "@run"), ("cursor", "0")]),
        of("answer_task_run", "@new:questioning").with(json!({ "answer": "yes" })),
        of("answer_task_run", "@new:questioning").with(json!({ "answer": "yes", "waitId": "@question" })),
        case("list_run_waits", &[("cursor", "@cursor")]),
        case("list_run_waits", &[("runId", "@questioning")]),
    ]
}

pub(super) fn workers() -> Vec<Case> {
    let lease = json!({ "runId": "@leased", "attempt": 1, "leaseToken": "@lease-token" });
    let attempt = |operation, more: Value| {
        let mut body = json!({ "leaseToken": "@lease-token" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        case(operation, &[("id", "@new:leased"), ("attempt", "1")]).with(body)
    };
    let event = json!({ "clientSeq": 1, "type": "LOG", "data": {} });
    let error = json!({ "type": "e", "message": "m" });
    let wait = json!({ "kind": "TIMER", "seconds": 86_400 });
    let worker = json!({ "name": "worker #", "labels": {}, "capabilities": ["function:none"], "slots": 1 });
    let mut pushed = worker.clone();
    pushed["delivery"] = json!({ "url": "https://worker.example.com/runs" });
    vec![
        case("register_worker", &[]).with(worker),
        case("register_worker", &[]).with(pushed),
        case("list_workers", &[("cursor", "@cursor")]),
        of("get_worker", "@worker"),
        of("delete_worker", "@new:worker"),
        of("claim_task_runs", "@worker").with(json!({ "max": 1, "waitMs": 0 })),
        of("beat_worker", "@worker").with(json!({ "leases": [lease] })),
        of("pause_worker", "@new:worker").with(json!({})),
        of("resume_worker", "@new:worker"),
        of("drain_worker", "@new:worker"),
        of("undrain_worker", "@new:worker"),
        attempt("add_attempt_events", json!({ "events": [event] })),
        attempt("complete_attempt", json!({ "output": 1 })),
        attempt("fail_attempt", json!({ "error": error })),
        attempt("release_attempt", json!({})),
        attempt("suspend_attempt", json!({ "wait": wait })),
    ]
}

pub(super) fn bulk_actions() -> Vec<Case> {
    let count = |filter: Value| {
        case("create_bulk_action", &[]).with(json!({ "kind": "CANCEL", "filter": filter, "dryRun": true }))
    };
    vec![
        case("list_bulk_actions", &[("cursor", "@cursor")]),
        count(json!({ "agentId": "@agent" })),
        count(json!({ "definitionId": "@definition" })),
        count(json!({ "toolId": "@tool" })),
        count(json!({ "workspaceId": "@workspace" })),
        count(json!({ "parentRunId": "@run" })),
        of("get_bulk_action", "@bulk"),
        of("start_bulk_action", "@new:bulk"),
        of("abort_bulk_action", "@new:bulk"),
        case("list_bulk_action_items", &[("id", "@worked-bulk"), ("cursor", "@cursor")]),
    ]
}

pub(super) fn schedules() -> Vec<Case> {
    let create =
        json!({ "name": "schedule #", "definitionId": "@definition", "recurrence": { "cron": "0 0 1 1 *" } });
    let span = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z" });
    vec![
        case("list_scheduled_tasks", &[("cursor", "@cursor")]),
        case("list_scheduled_tasks", &[("definitionId", "@definition")]),
        case("list_scheduled_tasks", &[("workspaceId", "@workspace")]),
        case("create_scheduled_task", &[]).with(create),
        of("get_scheduled_task", "@schedule"),
        of("update_scheduled_task", "@new:schedule")
            .with(json!({ "name": "other #", "definitionId": "@definition" })),
        of("delete_scheduled_task", "@new:schedule"),
        of("preview_scheduled_task", "@schedule"),
        of("pause_scheduled_task", "@new:schedule").with(json!({ "reason": "reason #" })),
        of("resume_scheduled_task", "@new:paused-schedule"),
        of("trigger_scheduled_task", "@new:schedule").with(json!({})),
        of("backfill_scheduled_task", "@new:schedule").with(span),
        case("list_schedule_fires", &[("cursor", "@cursor")]),
        case("list_schedule_fires", &[("scheduledTaskId", "@schedule")]),
        case("list_schedule_fires", &[("runId", "@scheduled-run")]),
        of("get_schedule_fire", "@fire"),
        case("preview_recurrence", &[("intervalSeconds", "60")]),
    ]
}

pub(super) fn batches() -> Vec<Case> {
    let create = json!({ "name": "batch #", "definitionId": "@definition" });
    let targets = json!({ "targets": [{ "targetKey": "key #", "input": { "a": 1 } }] });
    vec![
        case("list_batch_tasks", &[("cursor", "@cursor")]),
        case("list_batch_tasks", &[("definitionId", "@definition")]),
        case("list_batch_tasks", &[("workspaceId", "@workspace")]),
        case("create_batch_task", &[]).with(create),
        of("get_batch_task", "@batch"),
        of("update_batch_task", "@new:batch").with(json!({ "name": "other #" })),
        of("delete_batch_task", "@new:batch"),
        of("estimate_batch_task", "@batch"),
        of("dry_run_batch_task", "@batch"),
        of("start_batch_task", "@new:ready-batch"),
        of("pause_batch_task", "@new:started-batch").with(json!({ "reason": "reason #" })),
        of("resume_batch_task", "@new:paused-batch"),
        of("cancel_batch_task", "@new:batch"),
        of("retry_batch_task", "@new:failed-batch"),
        of("export_batch_results", "@batch"),
        case("list_task_targets", &[("id", "@batch"), ("cursor", "@cursor")]),
        of("add_task_targets", "@new:batch").with(targets),
    ]
}

pub(super) fn triggers() -> Vec<Case> {
    let hook = json!({ "name": "hook #", "definitionId": "@new:webhook", "scheme": "NONE" });
    vec![
        case("list_events", &[("cursor", "@cursor")]),
        case("list_events", &[("workspaceId", "@workspace")]),
        case("create_event", &[]).with(json!({ "type": "matrix.event", "data": { "a": 1 } })),
        case("create_event", &[]).with(json!({ "type": "matrix.event", "workspaceId": "@workspace" })),
        of("get_event", "@event"),
        case("list_inbound_hooks", &[("cursor", "@cursor")]),
        case("list_inbound_hooks", &[("definitionId", "@hooked")]),
        case("list_inbound_hooks", &[("workspaceId", "@workspace")]),
        case("create_inbound_hook", &[]).with(hook),
        of("get_inbound_hook", "@hook"),
        of("update_inbound_hook", "@new:hook").with(json!({ "name": "other #" })),
        of("delete_inbound_hook", "@new:hook"),
        of("rotate_inbound_hook", "@new:hook").with(json!({})),
        case("receive_hook", &[("token", "@new:hook-token")]).with(json!({ "a": 1 })),
        case("list_hook_deliveries", &[("cursor", "@cursor")]),
        case("list_hook_deliveries", &[("hookId", "@used-hook")]),
        case("list_hook_deliveries", &[("runId", "@hook-run")]),
        of("get_hook_delivery", "@delivery"),
        of("replay_hook_delivery", "@delivery"),
    ]
}

pub(super) fn approvals() -> Vec<Case> {
    vec![
        case("list_approvals", &[("cursor", "@cursor")]),
        case("list_approvals", &[("runId", "@waiting")]),
        of("get_approval", "@approval"),
        of("decide_approval", "@new:approval").with(json!({ "decision": "APPROVE" })),
        of("create_approval_link", "@new:approval").takes(Takes::Person),
        case("get_approval_link", &[("token", "@new:link-token")]),
        case("decide_by_link", &[("token", "@new:link-token")]).with(json!({ "decision": "APPROVE" })),
    ]
}
