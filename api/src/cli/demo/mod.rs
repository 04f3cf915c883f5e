//! `demo`: a tenant, an agent with three tools, and a run to watch. Run again on the same data it goes
//! on with the run that was interrupted, or makes another.

mod scene;
pub mod timeline;

use std::process::ExitCode;

use clap::Args;
use service::tasks::task_runs::{self, RunStatus, TaskRunView};
use tokio_util::sync::CancellationToken;

use super::node::Node;
use super::serve::Front;
use super::{Failure, Settings, shutdown};

#[derive(Args)]
pub struct Arguments {
    /// End after the run, with status 0 only if it is COMPLETED.
    #[arg(long)]
    pub exit: bool,
}

pub async fn run(settings: Settings, arguments: Arguments) -> Result<ExitCode, Failure> {
    if !settings.bind.ip().is_loopback() {
        return Err("The demo's login is public knowledge: set MC_BIND to a loopback address.".into());
    }
    let draining = shutdown::on_signal()?;
    let front = Front::open(&settings)?;
    let url = front.url()?;
    let node = Node::start(settings.config()?).await?;
    let core = node.core.clone();
    let serving = tokio::spawn({
        let (settings, draining) = (settings.clone(), draining.clone());
        async move { front.serve(node, &settings, draining).await }
    });
    let scene = scene::Scene::set(&core).await?;
    scene.greeting();
    let run = tokio::select! {
        run = watch(&scene) => run?,
        () = draining.cancelled() => return end(serving, draining, ExitCode::FAILURE).await,
    };
    let completed = run.status == RunStatus::Completed;
    if arguments.exit {
        let code = if completed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        return end(serving, draining, code).await;
    }
    scene.farewell(&url, run.id);
    serving.await??;
    Ok(ExitCode::SUCCESS)
}

/// Follows the run that was interrupted, or a new one, to its end.
async fn watch(scene: &scene::Scene) -> Result<TaskRunView, Failure> {
    let run = scene.run().await?;
    timeline::print(&scene.ctx, run).await?;
    let run = task_runs::get(&scene.ctx, run).await?;
    timeline::sum_up(&run);
    Ok(run)
}

async fn end(
    serving: tokio::task::JoinHandle<Result<(), Failure>>,
    draining: CancellationToken,
    code: ExitCode,
) -> Result<ExitCode, Failure> {
    draining.cancel();
    serving.await??;
    Ok(code)
}
