//! `run follow ID`: a run's timeline in the terminal, until it ends. The exit status says how: 0 COMPLETED, 1 FAILED, 3
//! CANCELLED; 2 is a wrong call.

mod events;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use service::tasks::task_runs::{RunEventView, RunStatus, TaskRunView};
use uuid::Uuid;

use self::events::Lines;
use super::Failure;
use super::demo::timeline;
use super::remote::{Connection, Remote, Trouble};

/// Between attempts at a server that does not answer, doubling up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const CANCELLED: u8 = 3;

#[derive(Subcommand)]
pub enum Command {
    /// Print a run's timeline as it happens; the exit status is the run's outcome.
    Follow(Follow),
}

#[derive(Args)]
pub struct Follow {
    /// The run.
    id: Uuid,
    #[command(flatten)]
    remote: Remote,
}

pub async fn run(command: Command) -> Result<ExitCode, Failure> {
    let Command::Follow(Follow { id, remote }) = command;
    let connection = remote.connect()?;
    let mut after = 0;
    let mut pause = PAUSE;
    loop {
        let seen = after;
        match follow(&connection, id, &mut after).await {
            Ok(Some(run)) => {
                timeline::sum_up(&run);
                return Ok(outcome(run.status));
            }
            Ok(None) => {}
            Err(Trouble::Passing(why)) => eprintln!("{why}; trying again."),
            Err(Trouble::Final(why) | Trouble::Denied(why)) => return Err(why.into()),
        }
        // A connection that brought something was a good one.
        pause = if after > seen { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

/// Prints what is behind `after` until the stream ends; the run, if it has ended too.
async fn follow(connection: &Connection, id: Uuid, after: &mut i64) -> Result<Option<TaskRunView>, Trouble> {
    let answer = connection.stream(&format!("/v1/task-runs/{id}/events"), *after).await?;
    let (mut chunks, mut lines) = (answer.bytes_stream(), Lines::default());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|cause| Trouble::Passing(format!("The stream broke off: {cause}")))?;
        for event in lines.take(&chunk) {
            if event.kind == "error" {
                return Err(Trouble::Passing(event.data));
            }
            let Ok(entry) = serde_json::from_str::<RunEventView>(&event.data) else { continue };
            if entry.seq > *after {
                *after = entry.seq;
                println!("{}", timeline::line(&entry));
            }
        }
    }
    let run: TaskRunView = connection.get(&format!("/v1/task-runs/{id}")).await?;
    Ok(Some(run).filter(|run| run.status.is_terminal()))
}

fn outcome(status: RunStatus) -> ExitCode {
    match status {
        RunStatus::Completed => ExitCode::SUCCESS,
        RunStatus::Cancelled => ExitCode::from(CANCELLED),
        _ => ExitCode::FAILURE,
    }
}
