//! What is planned for times that have come, and that any way of looking gives each time once.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::schedule_fire::{FireKind, FireReason};
use entity::tasks::scheduled_task::{Catchup, Model, Overlap, ScheduleStatus, ScheduleType};
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::{Plan, Verdict, plan};
use super::settings::{ScheduleSettings, jitter};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn schedule(more: Value) -> (Model, ScheduleSettings) {
    let mut body = json!({ "recurrence": { "cron": "* * * * *" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings: ScheduleSettings = serde_json::from_value(body).unwrap();
    let created = at("2026-11-27T10:00:30Z");
    settings.check(created, "").unwrap();
    let mut row = Model {
        tenant_id: Uuid::nil(),
        id: Uuid::from_u128(7),
        workspace_id: None,
        definition_id: Uuid::nil(),
        name: "n".to_owned(),
        is_owned: false,
        schedule_type: ScheduleType::Recurring,
        recurrence: None,
        run_at: None,
        delay_seconds: None,
        input: Value::Null,
        overlap: Overlap::Skip,
        catchup: Catchup::None,
        catchup_window_seconds: 0,
        jitter_seconds: 0,
        starts_at: None,
        ends_at: None,
        status: ScheduleStatus::Active,
        status_reason: None,
        status_note: None,
        retry_count: 0,
        max_retries: None,
        next_due_at: None,
        next_fire_at: None,
        last_due_at: None,
        created_by: "system".to_owned(),
        metadata: json!({}),
        revision: 1,
        created_at: created,
        updated_at: created,
        deleted_at: None,
    };
    settings.store(&mut row).unwrap();
    super::aim(&mut row, created).unwrap();
    assert_eq!(ScheduleSettings::of(&row).unwrap(), settings);
    (row, settings)
}

fn verdicts(plan: &Plan) -> Vec<(FireKind, Verdict)> {
    plan.dues.iter().map(|due| (due.kind, due.verdict)).collect()
}

#[test]
fn what_is_on_time_runs_and_the_next_time_follows_from_the_due_one() {
    let (row, settings) = schedule(json!({ "catchup": "NONE" }));
    let plan = plan(&row, &settings, at("2026-11-27T10:01:00.200Z")).unwrap();
    assert_eq!(verdicts(&plan), [(FireKind::Due, Verdict::Run)]);
    assert_eq!(plan.dues[0].due_at, at("2026-11-27T10:01:00Z"));
    assert_eq!(plan.next, Some(at("2026-11-27T10:02:00Z")));
}

#[test]
fn what_was_missed_follows_catchup() {
    let run = |catchup: &str, window: u32, now: &str| {
        let (row, settings) = schedule(json!({ "catchup": catchup, "catchupWindowSeconds": window }));
        verdicts(&plan(&row, &settings, at(now)).unwrap())
    };
    let skip = |reason| (FireKind::Catchup, Verdict::Skip(reason));
    let (due, again) = ((FireKind::Due, Verdict::Run), (FireKind::Catchup, Verdict::Run));
    let coalesced = (FireKind::Catchup, Verdict::Coalesce);
    // 10:01, 10:02 and 10:03 were missed; 10:04 is on time.
    let now = "2026-11-27T10:04:10Z";
    let missed = skip(FireReason::Missed);
    assert_eq!(run("NONE", 86_400, now), [missed, missed, missed, due]);
    assert_eq!(run("LAST", 86_400, now), [coalesced, coalesced, coalesced, due]);
    assert_eq!(run("ALL", 86_400, now), [again, again, again, due]);
    let outside = skip(FireReason::OutsideWindow);
    assert_eq!(run("ALL", 120, now), [outside, outside, again, due]);
    // Hourly, so that the newest is not on time.
    let (row, settings) = schedule(json!({ "recurrence": { "cron": "0 * * * *" }, "catchup": "LAST" }));
    let plan = plan(&row, &settings, at("2026-11-27T13:30:00Z")).unwrap();
    assert_eq!(verdicts(&plan), [coalesced, coalesced, again]);
}

/// However often and however late somebody looks, each time is in one plan, once.
#[test]
fn looks_add_up() {
    let end = at("2026-11-27T14:00:00Z");
    for (step, catchup, cron) in [
        (1, "ALL", "*/7 * * * * *"),
        (13, "LAST", "*/7 * * * * *"),
        (600, "NONE", "* * * * *"),
        (14_400, "NONE", "* * * * * *"),
        (14_400, "LAST", "* * * * * *"),
    ] {
        let (mut row, settings) =
            schedule(json!({ "recurrence": { "cron": cron }, "catchup": catchup, "jitterSeconds": 5 }));
        let first = row.next_due_at.unwrap();
        let mut now = row.created_at;
        let (mut instants, mut last) = (0, first - TimeDelta::microseconds(1));
        while now < end {
            now = (now + TimeDelta::seconds(step)).min(end);
            loop {
                let plan = plan(&row, &settings, now).unwrap();
                for due in &plan.dues {
                    assert!(due.due_at > last && due.last_due_at >= due.due_at, "{cron} {due:?}");
                    assert!(due.instants == 1 || due.verdict != Verdict::Run);
                    last = due.last_due_at;
                    instants += due.instants;
                }
                row.next_due_at = plan.next;
                if plan.next.unwrap() + jitter(row.id, 5) > now {
                    break;
                }
            }
        }
        let rhythm = settings.rhythm(row.created_at).unwrap().unwrap();
        let until = end - jitter(row.id, 5);
        let all = std::iter::successors(rhythm.next_after(row.created_at), |time| rhythm.next_after(*time));
        let expected = all.take_while(|time| *time <= until).count();
        assert_eq!(usize::try_from(instants).unwrap(), expected, "{cron} {catchup} {step}");
    }
}

#[test]
fn what_does_not_fit_its_type_is_refused() {
    for (body, pointer) in [
        (json!({ "scheduleType": "ONE_TIME" }), "/recurrence"),
        (json!({ "scheduleType": "ONE_TIME", "recurrence": null }), "/runAt"),
        (json!({ "runAt": "2027-01-01T00:00:00Z" }), "/runAt"),
        (json!({ "delaySeconds": 1 }), "/delaySeconds"),
        (json!({ "recurrence": null }), "/recurrence"),
        (json!({ "startsAt": "2027-01-02T00:00:00Z", "endsAt": "2027-01-01T00:00:00Z" }), "/endsAt"),
        (json!({ "startsAt": "2099-01-02T00:00:00Z" }), "/startsAt"),
        (json!({ "input": { "a": "{{ schedule." } }), "/input/a"),
        (json!({ "scheduleType": "TRIGGER_BASED" }), "/recurrence"),
    ] {
        let mut whole = json!({ "recurrence": { "cron": "* * * * *" } });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let settings: ScheduleSettings = serde_json::from_value(whole).unwrap();
        match settings.check(at("2026-11-27T10:00:30Z"), "") {
            Err(crate::error::Error::Invalid { errors }) => assert_eq!(errors[0].pointer, pointer, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}
