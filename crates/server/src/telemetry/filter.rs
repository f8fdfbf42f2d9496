//! The filter of the log: `log.filter`, and a bound on other people's code.
//!
//! Invariant: below INFO a library logs only if `log.filter` names it, because libraries log their input: the
//! parameters of a query, the bytes of a connection.

use anyhow::Context as _;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::Filter,
};

/// The crates that may log at any level.
const OWN: [&str; 5] = ["auth", "model", "negotiate", "server", "store"];

/// A filter of any kind.
pub(super) type AnyFilter = Box<dyn Filter<Registry> + Send + Sync>;

/// Parses `log.filter`.
///
/// # Errors
/// It is not valid.
pub(super) fn read(directives: &str) -> anyhow::Result<AnyFilter> {
    let asked = EnvFilter::try_new(directives).context("log.filter is not valid")?;
    let named = named(directives);
    let allowed = filter_fn(move |metadata| {
        *metadata.level() <= Level::INFO || is_among(&named, metadata.target())
    });
    Ok(asked.and(allowed.with_max_level_hint(LevelFilter::TRACE)).boxed())
}

/// Returns the crates and modules whose own level counts: ours, and those that are named.
fn named(directives: &str) -> Vec<String> {
    let targets = directives.split(',').filter_map(|directive| {
        let target = directive.split(['[', '=']).next()?.trim();
        let is_level = target.parse::<LevelFilter>().is_ok();
        (!target.is_empty() && !is_level).then(|| target.to_owned())
    });
    OWN.into_iter().map(str::to_owned).chain(targets).collect()
}

/// Returns whether a target is one of these, or within one.
fn is_among(named: &[String], target: &str) -> bool {
    named.iter().any(|name| {
        target
            .strip_prefix(name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_heard() {
        for (directives, target, expected) in [
            ("debug", "server::telemetry", true),
            ("debug", "store", true),
            ("debug", "storehouse", false),
            ("debug", "tokio_postgres::query", false),
            ("TRACE", "rustls", false),
            ("5", "rustls", false),
            ("[request]=trace", "tokio_postgres", false),
            ("debug,tokio_postgres=debug", "tokio_postgres::query", true),
            ("debug,tokio=debug", "tokio_postgres", false),
            ("debug, rustls ", "rustls::conn", true),
            ("debug,rustls::conn=trace", "rustls", false),
            ("ureq[{x=1}]=debug", "ureq", true),
        ] {
            assert_eq!(is_among(&named(directives), target), expected, "{directives}: {target}");
        }
    }
}
