//! The resources that the process uses, as the system counts them.
//!
//! Invariant: a number that the system does not give is absent, and never 0.

/// The resources of this process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    pub(crate) most_files: Option<u64>,
}

impl Process {
    /// Asks the system.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Self {
        use std::fs;

        use rustix::{
            process::{Resource, getrlimit},
            time::{ClockId, clock_gettime},
        };

        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let number = line.trim_start_matches(':').trim().strip_suffix(" kB")?;
            Some(number.parse::<u64>().ok()? * 1024)
        };
        let files = fs::read_dir("/proc/self/fd").ok();
        Self {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            resident_bytes: kilobytes("VmRSS"),
            virtual_bytes: kilobytes("VmSize"),
            // The folder itself is open meanwhile.
            open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
            most_files: getrlimit(Resource::Nofile).current,
        }
    }

    /// Other systems are not asked.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Self {
        Self::default()
    }
}
