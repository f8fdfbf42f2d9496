//! `latchkey providers status` and `retry`: the pauses of providers, and the states of their grants.
//!
//! Invariant: nothing is sent. Only the provider's answer ends a pause; `retry` allows the next request to be sent
//! early.

use std::collections::BTreeMap;

use anyhow::bail;
use model::GrantState;
use serde::Serialize;
use serde_json::json;
use store::{GrantCount, ProviderPause};
use tracing::info;

use super::super::{
    open,
    output::{Output, moment},
};
use crate::{config::Config, grants::providers::digest_of};

/// A provider that is configured.
#[derive(Serialize)]
struct Row {
    name: String,
    tenants: Vec<String>,
    /// `open`; `blocked`, until `retry_at`; `probing`, once the next request shows whether it works again; `paused`, if no
    /// request is sent to any provider; `off`, without `grants.enabled`.
    state: &'static str,
    cause: Option<String>,
    since: Option<String>,
    retry_at: Option<String>,
    /// How many living records have a grant in each state. One that was never refreshed is not among them.
    records: BTreeMap<&'static str, u64>,
}

/// The facts in the database.
struct Known {
    pauses: Vec<Option<ProviderPause>>,
    /// Why no request is sent to any provider.
    reasons: Vec<String>,
    counts: Vec<GrantCount>,
    now: i64,
}

pub(super) fn run(config: &Config, output: Output) -> anyhow::Result<()> {
    let settings = config.grants.providers.items();
    let digests: Vec<[u8; 32]> = settings.iter().map(digest_of).collect();
    let known = open::with_store(config, async |store| {
        Ok(Known {
            pauses: store.provider_pauses(digests.clone()).await?.0,
            reasons: store.pause_reasons().await?,
            counts: store.count_grants().await?,
            now: store.database_time(),
        })
    })?;
    let rows: Vec<Row> = settings
        .iter()
        .zip(digests)
        .zip(&known.pauses)
        .map(|((settings, digest), pause)| {
            let row = Row {
                name: settings.name.clone(),
                tenants: settings.tenants.clone(),
                state: "open",
                cause: None,
                since: None,
                retry_at: None,
                records: counts(&known.counts, &digest),
            };
            row.with_state(config, &known, *pause)
        })
        .collect();
    let head =
        ["NAME", "TENANTS", "STATE", "CAUSE", "SINCE", "RETRY AT", "LIVE", "FAILING", "DEAD"];
    output.rows(&head, &rows, Row::cells)
}

impl Row {
    fn with_state(self, config: &Config, known: &Known, pause: Option<ProviderPause>) -> Self {
        if !config.grants.enabled {
            return Self { state: "off", ..self };
        }
        if !known.reasons.is_empty() {
            return Self { state: "paused", cause: Some(known.reasons.join(", ")), ..self };
        }
        let Some(ProviderPause { cause, since, retry_at }) = pause else { return self };
        Self {
            state: if retry_at > known.now { "blocked" } else { "probing" },
            cause: Some(cause.to_string()),
            since: Some(moment(since)),
            retry_at: Some(moment(retry_at)),
            ..self
        }
    }

    fn cells(&self) -> Vec<String> {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let count = |state: GrantState| self.records[state.name()].to_string();
        let counts = [GrantState::Live, GrantState::Failing, GrantState::Dead].map(count);
        let texts = [self.name.clone(), self.tenants.join(", "), self.state.to_owned()];
        let pause = [&self.cause, &self.since, &self.retry_at].map(known);
        texts.into_iter().chain(pause).chain(counts).collect()
    }
}

/// How many grants of a client are in each state.
fn counts(all: &[GrantCount], client_digest: &[u8]) -> BTreeMap<&'static str, u64> {
    let states = [GrantState::Unknown, GrantState::Live, GrantState::Failing, GrantState::Dead];
    let of = |state| {
        let of_state =
            |count: &&GrantCount| count.client_digest == client_digest && count.state == state;
        all.iter().filter(of_state).map(|count| count.records).sum()
    };
    states.into_iter().map(|state| (state.name(), of(state))).collect()
}

pub(super) fn retry(config: &Config, output: Output, name: &str) -> anyhow::Result<()> {
    let of_name = config.grants.providers.items().iter().filter(|settings| settings.name == name);
    let digests: Vec<[u8; 32]> = of_name.map(digest_of).collect();
    if digests.is_empty() {
        bail!("no provider of grants.providers has the name {}", name.escape_debug());
    }
    if !config.grants.enabled {
        bail!("grants.enabled is false: servers refresh nothing");
    }
    let (waited, are_all_paused) = open::with_store(config, async |store| {
        let mut waited = false;
        for digest in digests {
            waited |= store.probe_provider(digest).await?;
        }
        Ok((waited, !store.pause_reasons().await?.is_empty()))
    })?;
    info!(provider = name, waited, "servers may ask a provider at once");
    let mut plain = match waited {
        true => format!(
            "the next request to {name} is sent, and its answer shows whether the provider works again"
        ),
        false => format!("requests to {name} were not paused"),
    };
    if are_all_paused {
        plain += "; but grants are paused: `latchkey grants resume` ends that";
    }
    output.made(&plain, &json!({ "name": name, "waited": waited }))
}
