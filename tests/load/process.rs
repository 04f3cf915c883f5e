//! What Linux says about a process: processor time and memory.

use std::fs;
use std::time::Duration;

/// Of one tick of `/proc/PID/stat` (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Resident memory in MiB.
pub fn memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Processor time of one process, user and system.
pub fn time(pid: u32) -> Duration {
    stat(pid).map_or(Duration::ZERO, |stat| stat.time)
}

/// The same of a process and its children.
pub fn time_of_family(parent: u32) -> Duration {
    let Ok(entries) = fs::read_dir("/proc") else { return Duration::ZERO };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).filter(|stat| pid == parent || stat.parent == parent))
        .map(|stat| stat.time)
        .sum()
}

pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

struct Stat {
    parent: u32,
    time: Duration,
}

/// See proc_pid_stat(5): the fields after the command's closing parenthesis begin with the third.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    Some(Stat { parent: ticks(4)?, time: TICK * (ticks(14)? + ticks(15)?) })
}
