//! `top`: the tenant's work in the terminal, again and again. Plain ANSI; where the output is no terminal, one frame
//! after the other.

mod frame;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use service::tasks::batch_tasks::{BatchTaskPage, BatchTaskView};
use service::tasks::queue::QueueView;
use service::tasks::task_runs::TaskRunPage;
use service::tasks::workers::WorkerPage;

use super::Failure;
use super::remote::{Connection, Remote, Trouble};

/// Clears the screen and everything above it; hides and shows the cursor.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";
const HIDE: &str = "\x1b[?25l";
const SHOW: &str = "\x1b[?25h";

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    remote: Remote,
    /// Seconds from one look to the next.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Look so often, then end.
    #[arg(long)]
    frames: Option<u64>,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { remote, interval, frames } = arguments;
    let connection = remote.connect()?;
    let is_terminal = std::io::stdout().is_terminal();
    if is_terminal {
        print!("{HIDE}");
    }
    let ended = tokio::select! {
        ended = look(&connection, Duration::from_secs(interval), frames, is_terminal) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if is_terminal {
        println!("{SHOW}");
    }
    ended?;
    Ok(ExitCode::SUCCESS)
}

async fn look(
    connection: &Connection,
    interval: Duration,
    frames: Option<u64>,
    is_terminal: bool,
) -> Result<(), Failure> {
    let mut shown = 0;
    while frames.is_none_or(|frames| shown < frames) {
        if shown > 0 {
            tokio::time::sleep(interval).await;
        }
        shown += 1;
        let text = match snapshot(connection).await {
            Ok(snapshot) => frame::draw(&snapshot, is_terminal),
            Err(Trouble::Passing(why)) => format!("{why}; trying again.\n"),
            Err(Trouble::Final(why) | Trouble::Denied(why)) => return Err(why.into()),
        };
        let mut out = std::io::stdout().lock();
        if is_terminal {
            write!(out, "{CLEAR}")?;
        }
        write!(out, "{text}")?;
        out.flush()?;
    }
    Ok(())
}

/// What one picture shows. A key that may not read workers or batches gets the others.
pub struct Snapshot {
    pub queue: QueueView,
    pub live: TaskRunPage,
    pub workers: Option<WorkerPage>,
    pub batches: Vec<BatchTaskView>,
}

async fn snapshot(connection: &Connection) -> Result<Snapshot, Trouble> {
    let running = "/v1/batch-tasks?status=RUNNING&limit=5";
    let listed: Option<BatchTaskPage> = connection.permitted(running).await?;
    let mut batches = Vec::new();
    for batch in listed.into_iter().flat_map(|page| page.data) {
        batches.extend(connection.permitted(&format!("/v1/batch-tasks/{}", batch.id)).await?);
    }
    Ok(Snapshot {
        queue: connection.get("/v1/queue").await?,
        live: connection.get("/v1/task-runs?status=RUNNING&limit=15").await?,
        workers: connection.permitted("/v1/workers?limit=100").await?,
        batches,
    })
}
