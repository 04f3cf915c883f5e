//! The order of a run on one database: limits and scenarios by turns, then reading at two sizes.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::audit::{self, AuditFigure};
use crate::database::Databases;
use crate::fairness;
use crate::herd;
use crate::limits::{Limit, Limits};
use crate::measure::{Watched, measure};
use crate::process;
use crate::report::{Against, Figure, LimitFigure, Report, Start};
use crate::scenarios::{self, READS, RUNS, Scenario};
use crate::seed;
use crate::server::{Server, Tenant};

/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

const AUDIT: &str = "audit-verify";
const HERD: &str = "herd";
const SCHEDULES: usize = 10_000;
const AUDIT_ROWS: u32 = 200_000;
const FAIRNESS: &str = "fairness";

pub struct Settings {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub warm_up: Duration,
    pub time: Duration,
    pub repeats: usize,
    /// Rows of the tables that are read.
    pub sizes: Vec<u32>,
    /// Queued runs beside which another tenant's start.
    pub backlog: u32,
    /// Only the scenarios with these names, if any.
    pub only: Vec<String>,
}

impl Settings {
    fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario.name())
    }
}

pub struct Stages<'a> {
    pub settings: &'a Settings,
    pub databases: &'a mut Databases,
    pub limits: &'a Limits,
    pub report: &'a mut Report,
}

impl Stages<'_> {
    /// Creating and executing runs.
    pub async fn runs(&mut self) -> Result<()> {
        let url = self.databases.fresh().await?;
        let server = self.start(&url).await?;
        tokio::time::sleep(IDLE).await;
        let idle_mib = process::memory(server.pid()).unwrap_or_default();
        let tenant = Tenant::create(server.address).await?;
        // The runs of the last scenario stay, so it comes after every repetition of the others.
        let (later, now): (Vec<_>, Vec<_>) =
            RUNS.iter().partition(|scenario| **scenario == Scenario::CreateLater);
        self.scenarios(&now, None, &server, &tenant).await?;
        self.scenarios(&later, None, &server, &tenant).await?;
        let used_mib = process::memory(server.pid()).unwrap_or_default();
        server.stop()?;
        let again = self.start(&url).await?;
        let cold_start_ms = again.cold_start.as_secs_f64() * 1000.0;
        self.report.starts.push(Start { database: self.databases.kind, idle_mib, used_mib, cold_start_ms });
        again.stop()
    }

    /// Reading tables of each size.
    pub async fn reads(&mut self) -> Result<()> {
        if !READS.iter().any(|scenario| self.settings.wants(*scenario)) {
            return Ok(());
        }
        let url = self.databases.fresh().await?;
        let server = self.start(&url).await?;
        let tenant = Tenant::create(server.address).await?;
        let run = scenarios::finished_run(&server, &tenant).await?;
        server.stop()?;
        for rows in self.settings.sizes.clone() {
            eprintln!("{:?}: {rows} rows", self.databases.kind);
            seed::copy(self.databases.kind, &url, &run, rows).await?;
            let server = self.start(&url).await?;
            self.scenarios(&READS.each_ref(), Some(rows), &server, &tenant).await?;
            server.stop()?;
        }
        Ok(())
    }

    /// Verifying a long audit chain.
    pub async fn audit(&mut self) -> Result<()> {
        if !self.settings.only.is_empty() && !self.settings.only.iter().any(|name| name == AUDIT) {
            return Ok(());
        }
        let url = self.databases.fresh().await?;
        let server = self.start(&url).await?;
        let tenant = Tenant::create(server.address).await?;
        let last = audit::last(&server, &tenant).await?;
        server.stop()?;
        audit::seed(&url, &last, AUDIT_ROWS).await?;
        let server = self.start(&url).await?;
        let (rows, rows_per_second) = audit::verify(&server, &tenant, self.settings.repeats).await?;
        self.report.audit.push(AuditFigure { database: self.databases.kind, rows, rows_per_second });
        server.stop()
    }

    /// Another tenant's runs beside a backlog.
    pub async fn fairness(&mut self) -> Result<()> {
        if !self.settings.only.is_empty() && !self.settings.only.iter().any(|name| name == FAIRNESS) {
            return Ok(());
        }
        let url = self.databases.fresh().await?;
        let server = self.start(&url).await?;
        let figure = fairness::measure(self.databases.kind, &server, self.settings.backlog).await?;
        self.report.fairness.push(figure);
        server.stop()
    }

    /// Schedules that are due at one instant.
    pub async fn herd(&mut self) -> Result<()> {
        if !self.settings.only.is_empty() && !self.settings.only.iter().any(|name| name == HERD) {
            return Ok(());
        }
        let url = self.databases.fresh().await?;
        let server = self.start(&url).await?;
        let tenant = Tenant::create(server.address).await?;
        let figure = herd::measure(&server, &tenant, SCHEDULES, self.databases.kind).await?;
        self.report.herd.push(figure);
        server.stop()
    }

    /// What no scenario is compared with.
    pub async fn other_limits(&mut self) -> Result<()> {
        for limit in [Limit::BareHandler, Limit::Claim] {
            if self.settings.only.is_empty() {
                self.limit(limit).await?;
            }
        }
        Ok(())
    }

    async fn start(&self, url: &str) -> Result<Server> {
        Server::start(&self.settings.binary, url, &self.settings.folder).await
    }

    /// Each repetition measures the limits first, then every scenario.
    async fn scenarios(
        &mut self,
        wanted: &[&Scenario],
        rows: Option<u32>,
        server: &Server,
        tenant: &Tenant,
    ) -> Result<()> {
        let kind = self.databases.kind;
        let watched = Watched { server: server.pid(), database: self.databases.process() };
        let wanted: Vec<Scenario> =
            wanted.iter().map(|of| **of).filter(|of| self.settings.wants(*of)).collect();
        let mut figures: Vec<Figure> = wanted.iter().map(|scenario| figure(*scenario, rows, kind)).collect();
        for _ in 0..self.settings.repeats {
            let mut limits = Vec::new();
            for (scenario, figure) in wanted.iter().zip(&mut figures) {
                let plan = scenario.plan(server, tenant, self.settings.warm_up, self.settings.time).await?;
                if let Some(against) = &mut figure.against
                    && !limits.iter().any(|(limit, _)| *limit == against.limit)
                {
                    limits.push((against.limit, self.limit(against.limit).await?));
                }
                let measured = measure(&plan, watched).await?;
                eprintln!("{kind:?} {}: {:.0}/s", scenario.name(), measured.sample.per_second);
                figure.measured.push(measured);
                if let Some(against) = &mut figure.against
                    && let Some((_, limit)) = limits.iter().find(|(limit, _)| *limit == against.limit)
                {
                    against.ratios.push(measured.sample.per_second / limit);
                }
                if rows.is_none() {
                    scenarios::drained(server, tenant).await?;
                }
            }
        }
        self.report.figures.extend(figures);
        Ok(())
    }

    async fn limit(&mut self, limit: Limit) -> Result<f64> {
        let measured = self.limits.measure(limit, self.settings.warm_up, self.settings.time).await?;
        let Some(per_second) = measured else { return Ok(f64::NAN) };
        let database = self.databases.kind;
        eprintln!("{database:?} limit {}: {per_second:.0}/s", limit.describe(database));
        let limits = &mut self.report.limits;
        match limits.iter_mut().find(|figure| figure.limit == limit && figure.database == database) {
            Some(figure) => figure.per_second.push(per_second),
            None => limits.push(LimitFigure { database, limit, per_second: vec![per_second] }),
        }
        Ok(per_second)
    }
}

fn figure(scenario: Scenario, rows: Option<u32>, kind: crate::database::Kind) -> Figure {
    let against = scenario.goal(kind).map(|(limit, goal)| Against { limit, ratios: Vec::new(), goal });
    Figure { database: kind, scenario: scenario.name(), rows, measured: Vec::new(), against }
}
