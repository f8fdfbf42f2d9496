//! The log: its output, its filter and its format.
//!
//! Invariant: no line waits for standard error, and no line has the text of a panic.

mod filter;
mod json;
mod lines;

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use anyhow::Context as _;
use store::Counter;
use tracing::{Span, error, info_span, level_filters::LevelFilter};
use tracing_log::AsLog as _;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use self::{
    filter::AnyFilter,
    json::{JsonLines, Members},
    lines::Lines,
};

use crate::config::{Config, LogFormat};

/// The log of the process, until it is dropped.
pub(crate) struct Log {
    lines: Lines,
    filter: LogFilter,
}

/// The filter of the log, which may change.
#[derive(Clone)]
pub(crate) struct LogFilter(reload::Handle<AnyFilter, Registry>);

impl Log {
    /// Starts logging to standard error, in the configured format.
    ///
    /// # Errors
    /// `log.filter` is not valid, or the system refuses.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(filter::read(&config.log.filter)?);
        let lines =
            Lines::start(config.log.buffer_bytes).context("cannot log to standard error")?;
        // Lines that cannot be written are counted; there is no other place to report them.
        let layer = fmt::layer().with_writer(lines.clone()).log_internal_errors(false);
        let layer = match config.log_format() {
            LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => {
                layer.with_ansi(false).fmt_fields(Members).event_format(JsonLines).boxed()
            }
        };
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
        Ok(Self { lines, filter: LogFilter(handle) })
    }

    /// Returns the counter of the lines that standard error did not take.
    pub(crate) fn lost_lines(&self) -> Arc<Counter> {
        self.lines.lost()
    }

    /// Returns a handle to the filter.
    pub(crate) fn filter(&self) -> LogFilter {
        self.filter.clone()
    }
}

impl LogFilter {
    /// Applies another `log.filter`.
    ///
    /// # Errors
    /// It is not valid; the old one stays in force.
    pub(crate) fn set(&self, config: &Config) -> anyhow::Result<()> {
        self.0.reload(filter::read(&config.log.filter)?)?;
        // The crate `log` has a bound of its own.
        tracing_log::log::set_max_level(LevelFilter::current().as_log());
        Ok(())
    }
}

/// Waits until the last lines are written, for at most `LAST_LINES`.
impl Drop for Log {
    fn drop(&mut self) {
        self.lines.finish();
    }
}

/// Checks `log.filter`.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    filter::read(&config.log.filter).map(drop)
}

/// Logs the location of a panic, and not its text, which may quote a client's data.
pub(crate) fn hide_what_panics_say() {
    std::panic::set_hook(Box::new(|panic| {
        error!(location = panic.location().map(ToString::to_string), "panicked");
    }));
}

/// Returns the span of a command: its user, by the number of the system's user.
pub(crate) fn command() -> Span {
    info_span!("command", os.uid = user_number())
}

#[cfg(target_os = "linux")]
fn user_number() -> Option<u32> {
    Some(rustix::process::getuid().as_raw())
}

#[cfg(not(target_os = "linux"))]
fn user_number() -> Option<u32> {
    None
}
