//! The real binary as a process of its own, which a test may kill and pause.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use secrecy::ExposeSecret as _;
use service::db::DatabaseConfig;

use super::PASSWORD;

/// Where a process lives: its folder, database and settings outlast it.
pub struct Home {
    pub folder: PathBuf,
    pub database: DatabaseConfig,
    pub private_hosts: String,
    pub lease_seconds: u32,
    /// How many runs `serve` executes at once.
    pub concurrency: u32,
}

pub struct Process {
    child: Child,
    pub url: String,
}

impl Home {
    /// Starts `mission-control serve` at this port, or at any if it is 0, and waits until it serves.
    pub async fn start(&self, port: u16) -> Process {
        self.start_with(port, &[]).await
    }

    /// The same with more in its environment.
    pub async fn start_with(&self, port: u16, environment: &[(&str, &str)]) -> Process {
        let started = self.try_start(port, environment).await;
        started.unwrap_or_else(|| panic!("the server did not start; its log is in {}", self.folder.display()))
    }

    /// The same, where its start may fail.
    pub async fn try_start(&self, port: u16, environment: &[(&str, &str)]) -> Option<Process> {
        let mut command = self.command("serve");
        command
            .envs(environment.iter().copied())
            .env("MC_BIND", format!("127.0.0.1:{port}"))
            .env("MC_ENGINE_CONCURRENCY", self.concurrency.to_string())
            .stdout(Stdio::piped())
            .stderr(log(&self.folder, port));
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut process = Process { child, url: String::new() };
        let serves = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.find_map(|line| Some(line.split_once(" serves ")?.1.split_once(';')?.0.to_owned()))
        });
        process.url = serves.await.unwrap()?;
        Some(process)
    }

    /// Starts `mission-control worker`, whose metrics are at this port.
    pub fn worker(&self, port: u16) -> Process {
        let mut command = self.command("worker");
        command.env("MC_METRICS_BIND", format!("127.0.0.1:{port}")).stderr(log(&self.folder, port));
        Process { child: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") }
    }

    /// Any other command, on the same database.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(binary());
        command
            .arg(subcommand)
            .env("DATABASE_URL", self.database.url.expose_secret())
            .env("MC_DATA_DIR", &self.folder)
            .env("MC_ADMIN_EMAIL", "admin@example.com")
            .env("MC_ADMIN_PASSWORD", PASSWORD)
            .env("MC_RATE_LIMIT", "off")
            .env("MC_SIGN_IN_LIMIT", "off")
            .env("MC_DATABASE_CONNECTIONS", "8")
            .env("MC_LEASE_SECONDS", self.lease_seconds.to_string())
            .env("MC_HEARTBEAT_SECONDS", "1")
            .env("MC_SWEEP_SECONDS", "1")
            .stdin(Stdio::null());
        if !self.private_hosts.is_empty() {
            command.env("MC_ALLOW_PRIVATE_HOSTS", &self.private_hosts);
        }
        command
    }
}

impl Process {
    /// `kill -9`, and its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit, and whether it was a success.
    pub fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// SIGSTOP or SIGCONT, by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Beside the folder of the test's own executable, or the one that `MISSION_CONTROL` names.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("MISSION_CONTROL") {
        return named.into();
    }
    let own = std::env::current_exe().unwrap();
    let binary = own.parent().and_then(Path::parent).unwrap().join("mission-control");
    assert!(binary.exists(), "{} is built by `cargo build -p api`", binary.display());
    binary
}

fn log(folder: &Path, port: u16) -> Stdio {
    std::fs::File::options().create(true).append(true).open(log_file(folder, port)).unwrap().into()
}

/// Where the process with this port logs.
pub fn log_file(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!("{port}.log"))
}
