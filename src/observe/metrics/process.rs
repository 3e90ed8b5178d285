//! The process, as every Prometheus client tells of it, and what was built. Where the system has no `/proc`, this is left out.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::series::Labels;

/// The commit that this was built from, if the build was told.
pub fn commit() -> Option<&'static str> {
    option_env!("SCHEDULE_SERVICE_COMMIT").filter(|commit| !commit.is_empty())
}

/// What the system tells of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    cpu_s: f64,
    threads: u64,
    started_s: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Process {
    /// From `/proc/self/stat` and the moment when the machine was started; `None`: one of them is not as it should be.
    fn read(stat: &str, booted_s: u64, ticks_per_s: u64, page_bytes: u64) -> Option<Self> {
        // The name of the program stands in brackets, and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // By their numbers in proc(5), of which the third comes first here.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / ticks_per_s.max(1) as f64;
        Some(Self {
            cpu_s: seconds(field(14)? + field(15)?),
            threads: field(20)?,
            started_s: booted_s as f64 + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)?.saturating_mul(page_bytes),
        })
    }

    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted_s = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
        Self::read(&stat, booted_s, rustix::param::clock_ticks_per_second(), page_bytes)
    }
}

/// How many files are open.
fn open_files() -> Option<u64> {
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// How many files may be open.
fn files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

pub(super) fn register(all: &mut Registry) {
    let labels: Labels<2> =
        [("version", env!("CARGO_PKG_VERSION").into()), ("commit", commit().unwrap_or("unknown").into())];
    all.sub_registry_with_prefix("schedule").register("build", "What was built", Info::new(labels));
    let registry = all.sub_registry_with_prefix("process");
    let gauge = |number: u64| ConstGauge::new(number);
    if let Some(process) = Process::now() {
        let cpu = ConstCounter::new(process.cpu_s);
        registry.register_with_unit("cpu", "Processor time that was used", Unit::Seconds, cpu);
        registry.register("threads", "Threads", gauge(process.threads));
        let started = ConstGauge::new(process.started_s);
        registry.register_with_unit("start_time", "When the process was started, since 1970", Unit::Seconds, started);
        let (resident, all) = (gauge(process.resident_bytes), gauge(process.virtual_bytes));
        registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, resident);
        registry.register_with_unit("virtual_memory", "Memory that is addressed", Unit::Bytes, all);
    }
    if let Some(open) = open_files() {
        registry.register("open_fds", "Open files and connections", gauge(open));
    }
    if let Some(max) = files_max() {
        registry.register("max_fds", "Files and connections that may be open", gauge(max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat =
            "42 (a) b (c) R 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 12345 1000000 300 18446744073709551615";

        let process = Process::read(stat, 1_000_000, 100, 4_096).unwrap();

        let expected = Process {
            cpu_s: 3.0,
            threads: 7,
            started_s: 1_000_123.45,
            virtual_bytes: 1_000_000,
            resident_bytes: 1_228_800,
        };
        assert_eq!(process, expected);
        for broken in ["", "42 (a) R 1", "42 a R", "42 (a) R x x x x x x x x x x x x x x x x x x x x x x"] {
            assert_eq!(Process::read(broken, 0, 100, 4_096), None, "{broken}");
        }
    }
}
