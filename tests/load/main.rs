//! The load driver: measures the release binary over HTTP beside the limits of the machine, in one run.
//! Its figures are ratios; no test depends on them. Run it from the repository's root, where it finds the
//! binary, `tests/postgres` and its scripts. See `docs/performance.md`.

mod audit;
mod closed_loop;
mod database;
mod fairness;
mod herd;
mod http;
mod limits;
mod measure;
mod process;
mod report;
mod scenarios;
mod seed;
mod server;
mod stages;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use database::{Databases, Kind};
use limits::Limits;
use report::Report;
use stages::{Settings, Stages};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Failure> = std::result::Result<T, E>;

/// Measures Mission Control beside the limits of the machine.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "both")]
    database: Which,
    /// Measured seconds of each repetition.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    repeat: u8,
    /// A scenario's name; may be given again.
    #[arg(long)]
    only: Vec<String>,
    /// A short look: one repetition of two seconds, and small tables.
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value = "target/release/mission-control")]
    binary: PathBuf,
    /// Where the databases are made; on a disk, or there is no durability to pay for.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Sqlite,
    Postgres,
    Both,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let folder = tempfile::Builder::new().prefix("mission-control-load-").tempdir_in(&options.folder)?;
    // PostgreSQL's server has a user of its own, who has to get through.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let settings = Settings {
        binary: options.binary.canonicalize()?,
        folder: folder.path().to_owned(),
        warm_up: Duration::from_secs(if options.quick { 1 } else { 2 }),
        time: Duration::from_secs(if options.quick { 2 } else { options.seconds }),
        repeats: if options.quick { 1 } else { options.repeat.into() },
        backlog: if options.quick { 10_000 } else { 100_000 },
        sizes: if options.quick { vec![1_000, 10_000] } else { vec![10_000, 1_000_000] },
        only: options.only,
    };
    let mut report = Report {
        load_average: [process::load_average(), None],
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        seconds: settings.time.as_secs(),
        repeats: settings.repeats,
        binary_mib: std::fs::metadata(&settings.binary)?.len() as f64 / f64::from(1 << 20),
        ..Report::default()
    };
    for (kind, which) in [(Kind::Sqlite, Which::Sqlite), (Kind::Postgres, Which::Postgres)] {
        if options.database != Which::Both && options.database != which {
            continue;
        }
        let mut databases = Databases::open(kind, &settings.folder)?;
        let limits = Limits::prepare(&mut databases).await?;
        let mut stages =
            Stages { settings: &settings, databases: &mut databases, limits: &limits, report: &mut report };
        stages.other_limits().await?;
        stages.runs().await?;
        stages.reads().await?;
        stages.audit().await?;
        stages.fairness().await?;
        stages.herd().await?;
        databases.close().await?;
    }
    report.load_average[1] = process::load_average();
    report.print();
    println!("all figures: {}", report.save()?.display());
    Ok(())
}
