//! The figures: JSON under `results/`, and a Markdown table to read.

use std::path::PathBuf;

use serde::Serialize;

use crate::Result;
use crate::audit::AuditFigure;
use crate::database::Kind;
use crate::fairness::FairnessFigure;
use crate::herd::HerdFigure;
use crate::limits::Limit;
use crate::measure::Measured;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The machine's load average before the first measurement, and after the last.
    pub load_average: [Option<f64>; 2],
    pub cores: usize,
    pub seconds: u64,
    pub repeats: usize,
    pub binary_mib: f64,
    pub starts: Vec<Start>,
    pub limits: Vec<LimitFigure>,
    pub figures: Vec<Figure>,
    pub audit: Vec<AuditFigure>,
    pub fairness: Vec<FairnessFigure>,
    pub herd: Vec<HerdFigure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub database: Kind,
    pub idle_mib: f64,
    /// Resident memory after the scenarios.
    pub used_mib: f64,
    /// To the first readiness, on a database that has rows.
    pub cold_start_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitFigure {
    pub database: Kind,
    pub limit: Limit,
    pub per_second: Vec<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    pub database: Kind,
    pub scenario: &'static str,
    /// Of the table, where the scenario reads a table of that size.
    pub rows: Option<u32>,
    pub measured: Vec<Measured>,
    pub against: Option<Against>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Against {
    pub limit: Limit,
    /// Of each repetition, both measured one after the other.
    pub ratios: Vec<f64>,
    pub goal: f64,
}

impl Report {
    /// Writes the JSON and says where.
    pub fn save(&self) -> Result<PathBuf> {
        std::fs::create_dir_all("results")?;
        let now = service::clock::Clock::system().now().format("%Y%m%d-%H%M%S");
        let path = PathBuf::from(format!("results/load-{now}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    pub fn print(&self) {
        println!(
            "\n| scenario | database | rows | per second | p50 ms | p99 ms | limit | ratio | goal | of the goal |"
        );
        println!("|---|---|--:|--:|--:|--:|---|--:|--:|--:|");
        for figure in &self.figures {
            figure.print();
        }
        println!(
            "\n| scenario | database | rows | server µs | database µs | generator µs | commands a commit |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|");
        for figure in &self.figures {
            figure.print_costs();
        }
        println!("\n| limit | database | per second |\n|---|---|--:|");
        for limit in &self.limits {
            let name = limit.limit.describe(limit.database);
            println!("| {name} | {:?} | {:.0} |", limit.database, median(limit.per_second.iter().copied()));
        }
        println!("\n| database | idle MiB | MiB after the scenarios | cold start ms |\n|---|--:|--:|--:|");
        for start in &self.starts {
            let Start { database, idle_mib, used_mib, cold_start_ms } = start;
            println!("| {database:?} | {idle_mib:.0} | {used_mib:.0} | {cold_start_ms:.0} |");
        }
        for AuditFigure { database, rows, rows_per_second } in &self.audit {
            let middle = median(rows_per_second.iter().copied());
            println!("\naudit-verify, {database:?}: {rows} rows, {middle:.0} rows/s");
        }
        self.fairness.iter().for_each(FairnessFigure::print);
        for HerdFigure { database, schedules, recorded_ms, idle_p99_ms, herd_p99_ms } in &self.herd {
            println!(
                "\nherd, {database:?}: {schedules} schedules due at once, all recorded after {recorded_ms:.0} ms; \
                 p99 of other requests {idle_p99_ms:.1} ms before, {herd_p99_ms:.1} ms meanwhile"
            );
        }
        println!("\nrelease binary: {:.1} MiB; load average: {:?}", self.binary_mib, self.load_average);
    }
}

impl Figure {
    fn middle(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.measured.iter().map(of))
    }

    fn title(&self) -> String {
        let rows = self.rows.map_or(String::new(), |rows| rows.to_string());
        format!("| {} | {:?} | {rows} |", self.scenario, self.database)
    }

    fn print(&self) {
        let rate = self.middle(|measured| measured.sample.per_second);
        let (p50, p99) = (self.middle(|of| of.sample.p50_ms), self.middle(|of| of.sample.p99_ms));
        let against = self.against.as_ref().map_or("| | | |".to_owned(), |against| {
            let ratio = median(against.ratios.iter().copied());
            let name = against.limit.describe(self.database);
            format!("{name} | {ratio:.2} | {} | {:.0} % |", against.goal, 100.0 * ratio / against.goal)
        });
        println!("{} {rate:.0} | {p50:.2} | {p99:.2} | {against}", self.title());
    }

    fn print_costs(&self) {
        println!(
            "{} {:.0} | {:.0} | {:.0} | {:.1} |",
            self.title(),
            self.middle(|of| of.server_us),
            self.middle(|of| of.database_us),
            self.middle(|of| of.generator_us),
            self.middle(|of| of.rows_per_commit),
        );
    }
}

/// The upper one of two middles; 0 of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
