//! `metrics`: the listener that Prometheus scrapes.
//!
//! Invariant: it is off by default.

use std::ops::RangeInclusive;

use anyhow::bail;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::listen::Listen;

const COUNT_SECONDS: RangeInclusive<u32> = 1..=3600;

/// Metrics.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    /// The address; `None` for no listener.
    #[serde(deserialize_with = "read_listen", serialize_with = "show_listen")]
    pub(crate) listen: Option<Listen>,
    pub(crate) count_seconds: u32,
}

impl Metrics {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !COUNT_SECONDS.contains(&self.count_seconds) {
            bail!("metrics.count_seconds must be from 1 to 3600");
        }
        Ok(())
    }
}

fn read_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Listen>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { Listen::read(&text).map(Some).map_err(D::Error::custom) }
}

fn show_listen<S: Serializer>(listen: &Option<Listen>, serializer: S) -> Result<S::Ok, S::Error> {
    match listen {
        Some(listen) => serializer.collect_str(listen),
        None => serializer.serialize_str(""),
    }
}
