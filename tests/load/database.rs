//! Empty databases to measure on: SQLite files in the run's folder, and databases in a PostgreSQL
//! cluster of the run's own (or in that of `TEST_DATABASE_URL`). None outlives a run that ends well.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub struct Databases {
    pub kind: Kind,
    folder: PathBuf,
    cluster: Option<Cluster>,
    made: Vec<String>,
}

/// A PostgreSQL server and, where it is ours, its folder and first process.
struct Cluster {
    url: String,
    own: Option<(PathBuf, u32)>,
}

impl Databases {
    pub fn open(kind: Kind, folder: &Path) -> Result<Self> {
        let cluster = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Cluster::open(&folder.join("postgres"))?),
        };
        Ok(Self { kind, folder: folder.to_owned(), cluster, made: Vec::new() })
    }

    /// The URL of a new empty database.
    pub async fn fresh(&mut self) -> Result<String> {
        let name = format!("load_{}_{}", std::process::id(), self.made.len());
        self.made.push(name.clone());
        match &self.cluster {
            None => Ok(format!("sqlite://{}", self.folder.join(format!("{name}.db")).display())),
            Some(cluster) => {
                let mut connection = PgConnection::connect(&cluster.url).await?;
                connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
                let mut url = url::Url::parse(&cluster.url)?;
                url.set_path(&name);
                Ok(url.into())
            }
        }
    }

    pub async fn close(self) -> Result<()> {
        let Some(cluster) = self.cluster.filter(|cluster| cluster.own.is_none()) else { return Ok(()) };
        let mut connection = PgConnection::connect(&cluster.url).await?;
        for name in self.made {
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            connection.execute(sqlx::AssertSqlSafe(drop)).await?;
        }
        Ok(())
    }

    /// The first process of the database server, where it is known.
    pub fn process(&self) -> Option<u32> {
        self.cluster.as_ref()?.own.as_ref().map(|own| own.1)
    }
}

impl Cluster {
    fn open(folder: &Path) -> Result<Self> {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return Ok(Self { url, own: None });
        }
        let output = Command::new("tests/postgres").arg("start").arg(folder).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let url = String::from_utf8(output.stdout)?.trim().to_owned();
        let pid_file = std::fs::read_to_string(folder.join("data/postmaster.pid"))?;
        let pid = pid_file.lines().next().unwrap_or_default().parse()?;
        Ok(Self { url, own: Some((folder.to_owned(), pid)) })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.own {
            let stopped = Command::new("tests/postgres").arg("stop").arg(folder).status();
            if let Err(error) = stopped {
                eprintln!("the PostgreSQL in {} still runs: {error}", folder.display());
            }
        }
    }
}
