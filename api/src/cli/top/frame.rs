//! One picture of the tenant's work as text.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use service::tasks::batch_tasks::{BatchCounters, BatchTaskView};
use service::tasks::queue::{CountView, LastMinuteView};
use service::tasks::task_runs::TaskRunView;
use service::tasks::workers::WorkerPage;
use service::tasks::workers::WorkerStatus::{Draining, Offline, Online, Paused};

use super::Snapshot;

const BAR: usize = 30;
const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const BOLD: &str = "1";

struct Pen {
    is_terminal: bool,
}

impl Pen {
    fn paint(&self, colour: &str, text: &str) -> String {
        if self.is_terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

pub fn draw(snapshot: &Snapshot, is_terminal: bool) -> String {
    let Snapshot { queue, live, workers, batches } = snapshot;
    let pen = Pen { is_terminal };
    let mut text = String::new();
    let at = queue.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let _ = writeln!(text, "{}  {at}\n", pen.paint(BOLD, "mission-control"));
    let longest = [queue.pending, queue.running, queue.waiting].iter().map(|count| count.count).max();
    for (name, count, colour) in [
        ("queued", queue.pending, YELLOW),
        ("running", queue.running, GREEN),
        ("waiting", queue.waiting, BOLD),
    ] {
        let bar = pen.paint(colour, &bar(count.count, longest.unwrap_or_default()));
        let _ = writeln!(text, "  {name:<8} {:>8}  {bar}", shown(count));
    }
    let _ = writeln!(text, "\n  {}", lately(&pen, &queue.last_minute));
    if let Some(workers) = workers {
        let _ = writeln!(text, "  {}", offered(&pen, workers));
    }
    if !batches.is_empty() {
        let _ = writeln!(text, "\n  {}", pen.paint(BOLD, "batches"));
        for batch in batches {
            let _ = writeln!(text, "    {}", progress(&pen, batch));
        }
    }
    if !live.data.is_empty() {
        let _ = writeln!(text, "\n  {}", pen.paint(BOLD, "running"));
        for run in &live.data {
            let _ = writeln!(text, "    {}", running(run, queue.at));
        }
    }
    if !queue.failures.is_empty() {
        let _ = writeln!(text, "\n  {}", pen.paint(BOLD, "failed last"));
        for failure in &queue.failures {
            let at = failure.completed_at.map(|at| at.format("%H:%M:%S").to_string()).unwrap_or_default();
            let code = failure.code.as_deref().unwrap_or("-");
            let _ = writeln!(text, "    {}  {at}  {}", failure.run_id, pen.paint(RED, &plain(code)));
        }
    }
    text
}

fn lately(pen: &Pen, last: &LastMinuteView) -> String {
    let LastMinuteView { created, completed, failed, cancelled, seconds } = *last;
    let failed = pen.paint(if failed > 0 { RED } else { GREEN }, &format!("{failed} failed"));
    let span = if seconds < 60.0 { format!("last {seconds:.1} s") } else { "last minute".to_owned() };
    let rate = u32::try_from(completed).map_or(f64::MAX, f64::from) / seconds.max(0.001);
    format!("{span}: {created} created, {completed} completed ({rate:.1}/s), {failed}, {cancelled} cancelled")
}

fn offered(pen: &Pen, workers: &WorkerPage) -> String {
    let of = |status| workers.data.iter().filter(|worker| worker.status == status).count();
    let slots: i32 =
        workers.data.iter().filter(|worker| worker.status == Online).map(|worker| worker.slots).sum();
    let more = if workers.next_cursor.is_some() { "+" } else { "" };
    let offline = pen.paint(if of(Offline) > 0 { RED } else { GREEN }, &format!("{} offline", of(Offline)));
    format!(
        "workers: {}{more} online with {slots} slots, {} draining, {} paused, {offline}",
        of(Online),
        of(Draining),
        of(Paused),
    )
}

fn progress(pen: &Pen, batch: &BatchTaskView) -> String {
    let counters = batch.counters.unwrap_or_default();
    let BatchCounters { total, completed, failed, cancelled, .. } = counters;
    let ended = u64::try_from(completed + failed + cancelled).unwrap_or(0);
    let all = u64::try_from(total).unwrap_or(0);
    let filled = bar(ended, all);
    let rest = "·".repeat(BAR.saturating_sub(filled.chars().count()));
    let failed = pen.paint(if failed > 0 { RED } else { GREEN }, &format!("{failed} failed"));
    format!("{}{rest} {ended} of {all}, {failed}  {}", pen.paint(GREEN, &filled), plain(&batch.name))
}

fn running(run: &TaskRunView, now: DateTime<Utc>) -> String {
    let seconds = run.started_at.map_or(0, |at| (now - at).num_seconds().max(0));
    let of = run.agent_id.map(|id| format!("agent {id}")).or(run.tool_id.map(|id| format!("tool {id}")));
    format!("{}  {seconds:>6} s  attempt {}  {}", run.id, run.attempt, of.unwrap_or_default())
}

fn shown(count: CountView) -> String {
    format!("{}{}", count.count, if count.is_capped { "+" } else { "" })
}

fn bar(count: u64, longest: u64) -> String {
    let most = longest.max(1);
    let filled = usize::try_from(count.saturating_mul(BAR as u64).div_ceil(most)).unwrap_or(BAR).min(BAR);
    "█".repeat(filled)
}

/// What a server says is text, and moves no cursor.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion_and_something_is_not_nothing() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(10, 10).chars().count(), BAR);
        assert_eq!(bar(5, 10).chars().count(), BAR / 2);
        assert_eq!(bar(1, 1_000_000).chars().count(), 1);
        assert_eq!(bar(0, 0), "");
    }

    #[test]
    fn what_others_named_moves_no_cursor() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a[2Jb");
    }
}
