//! `latchkey grants list`, `show` and `retry`: the grants of records.
//!
//! Invariant: a state is the one that `Describe` answers, because both use the same function. No seal is opened.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use model::{CauseKind, TenantId};
use serde::Serialize;
use store::{Listing, RecordInfo, Store};
use tracing::info;

use super::super::{
    arguments::{TenantArgument, record_id},
    open,
    output::{Output, Progress, counted, moment},
    records::{no_record, position},
};
use crate::{
    config::Config,
    grants::{GrantDescription, describe_all, providers::Providers},
};

/// How many records are read together.
const PAGE: usize = 500;

#[derive(Args)]
pub(crate) struct ListArguments {
    /// List only grants in this state. Without it, all but `none`
    #[arg(long, value_enum)]
    state: Option<State>,
    /// List only records of this provider, by the exact name with which they were saved
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// List at most this many grants
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Continue after this record, the last one of the previous list
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    tenant: TenantArgument,
}

#[derive(Args)]
pub(crate) struct OneRecord {
    /// The record's id, as `grants list` and `Describe` show it
    pub(crate) id: String,
    #[command(flatten)]
    tenant: TenantArgument,
}

/// As `GrantState` of `Describe`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    None,
    Live,
    Refreshing,
    Failing,
    Blocked,
    Dead,
    Paused,
}

impl State {
    fn is_of(self, grant: &GrantDescription) -> bool {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        name.is_some_and(|name| name.eq_ignore_ascii_case(grant.state))
    }
}

/// A grant in a list.
#[derive(Serialize)]
struct Row {
    id: String,
    provider: String,
    owner: String,
    state: String,
    cause: Option<String>,
    since: Option<String>,
    retry_at: Option<String>,
}

impl Row {
    fn of(record: &RecordInfo, grant: &GrantDescription) -> Self {
        Self {
            id: record.id.text(),
            provider: record.provider.clone(),
            owner: record.owner.to_string(),
            state: grant.state.to_ascii_lowercase(),
            cause: grant.cause.map(|cause| cause.to_string()),
            since: grant.since.map(moment),
            retry_at: grant.retry_at.map(moment),
        }
    }

    fn cells(&self) -> Vec<String> {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let optional = [&self.cause, &self.since, &self.retry_at].map(known);
        let texts = [&self.id, &self.provider, &self.owner, &self.state].map(String::clone);
        texts.into_iter().chain(optional).collect()
    }
}

/// All facts of a record and its grant.
#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    row: Row,
    tenant: String,
    /// Whether the provider is configured for the tenant.
    configured: bool,
    created: String,
    updated: String,
    last_used: Option<String>,
    expires: Option<String>,
    ended: Option<String>,
    generation: i32,
    access_token_expires: Option<String>,
    refreshed: Option<String>,
    refresh_by: Option<String>,
    /// How many refreshes were begun.
    attempts: u64,
    /// How many failed since the last one that succeeded.
    failures: u32,
    last_attempt: Option<String>,
    /// Since when the outcome of an attempt is unknown.
    unfinished_since: Option<String>,
    /// Until when the server that refreshes it has the right to.
    leased_until: Option<String>,
}

impl Details {
    fn of(found: &Found) -> Self {
        let Found { tenant, record, description, is_configured, .. } = found;
        let grant = &record.grant;
        Self {
            row: Row::of(record, description),
            tenant: tenant.to_string(),
            configured: *is_configured,
            created: moment(record.created),
            updated: moment(record.updated),
            last_used: record.last_used.map(moment),
            expires: record.expires.map(moment),
            ended: record.ended.map(moment),
            generation: record.generation,
            access_token_expires: record.access_expires.map(moment),
            refreshed: grant.refreshed.map(moment),
            refresh_by: grant.refresh_by.map(moment),
            attempts: grant.attempts,
            failures: grant.failures,
            last_attempt: grant.claimed.map(moment),
            unfinished_since: grant.first_sent.map(moment),
            leased_until: grant.leased_until.map(moment),
        }
    }

    /// The facts, a line each; those that are not known are left out.
    fn lines(&self) -> anyhow::Result<String> {
        let serde_json::Value::Object(facts) = serde_json::to_value(self)? else {
            bail!("a record has facts");
        };
        let line = |(name, fact): (&String, &serde_json::Value)| {
            let fact = match fact {
                serde_json::Value::Null => return None,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(format!("{:<22}{fact}", name.replace('_', " ")))
        };
        Ok(facts.iter().filter_map(line).collect::<Vec<_>>().join("\n"))
    }
}

/// A record with its grant.
struct Found {
    tenant: TenantId,
    record: RecordInfo,
    description: GrantDescription,
    is_configured: bool,
}

impl Found {
    async fn read(
        store: &Store,
        config: &Config,
        providers: &Providers,
        wanted: &OneRecord,
    ) -> anyhow::Result<Self> {
        let (tenant, id) = (wanted.tenant.read(config)?, record_id(&wanted.id)?);
        let record = store.record(tenant.clone(), id).await?;
        let record = record.with_context(|| no_record(&wanted.id, &tenant))?;
        let records = std::slice::from_ref(&record);
        let is_enabled = config.grants.enabled;
        let mut grants = describe_all(store, providers, is_enabled, &tenant, records).await?;
        let description = grants.pop().context("a record has one grant")?;
        let is_configured = providers.find(&tenant, &record.provider).is_some();
        Ok(Self { tenant, description, record, is_configured })
    }
}

/// Lists grants of a tenant. Says on standard error which are left out, and how to list them.
pub(super) fn list(config: &Config, output: Output, wanted: &ListArguments) -> anyhow::Result<()> {
    let (tenant, providers) = (wanted.tenant.read(config)?, Providers::new(config)?);
    let is_wanted = |grant: &GrantDescription| match wanted.state {
        Some(state) => state.is_of(grant),
        None => !State::None.is_of(grant),
    };
    let limit = wanted.limit as usize;
    let (rows, are_all, unknown) = open::with_store(config, async |store| {
        let mut listing = Listing {
            tenant: tenant.clone(),
            owner: None,
            provider: wanted.provider.clone(),
            unused_since: None,
            include_ended: false,
            after: position(store, &tenant, wanted.after.as_deref()).await?,
            limit: PAGE,
        };
        let (mut rows, mut unknown, mut progress) = (Vec::new(), 0, Progress::begin());
        loop {
            let page = store.records(listing.clone()).await?;
            let is_enabled = config.grants.enabled;
            let grants =
                describe_all(store, &providers, is_enabled, &tenant, &page.records).await?;
            let has_provider =
                |record: &&RecordInfo| providers.find(&tenant, &record.provider).is_some();
            unknown += page.records.iter().filter(|record| !has_provider(record)).count() as u64;
            let found = page.records.iter().zip(&grants);
            let found = found.filter(|(_record, grant)| is_wanted(grant));
            rows.extend(found.map(|(record, grant)| Row::of(record, grant)));
            if rows.len() > limit {
                rows.truncate(limit);
                return Ok((rows, false, unknown));
            }
            let Some(next) = page.next else { return Ok((rows, true, unknown)) };
            listing.after = Some(next);
            progress.tell(|| format!("found {}", counted(rows.len() as u64, "grant")));
        }
    })?;
    let head = ["ID", "PROVIDER", "OWNER", "STATE", "CAUSE", "SINCE", "RETRY AT"];
    output.rows(&head, &rows, Row::cells)?;
    if wanted.state.is_none() && unknown > 0 {
        let unknown = counted(unknown, "record");
        let _ = writeln!(
            io::stderr(),
            "left out: {unknown} of providers that this configuration lacks; give the command the server's settings \
             (--config), or list them with --state none"
        );
    }
    if let Some(last) = rows.last().filter(|_| !are_all) {
        // The terminal may be gone, which stops nothing.
        let _ = writeln!(io::stderr(), "there are more: continue with --after {}", last.id);
    }
    Ok(())
}

pub(super) fn show(config: &Config, output: Output, wanted: &OneRecord) -> anyhow::Result<()> {
    let providers = Providers::new(config)?;
    let found = open::with_store(config, async |store| {
        Found::read(store, config, &providers, wanted).await
    })?;
    let details = Details::of(&found);
    output.made(&details.lines()?, &details)
}

/// The outcome of `retry`.
#[derive(Serialize)]
struct Retried {
    #[serde(flatten)]
    row: Row,
    tenant: String,
    /// Whether something made the grant wait.
    waited: bool,
    /// The obstacles that are left.
    obstacles: Vec<String>,
}

pub(super) fn retry(config: &Config, output: Output, wanted: &OneRecord) -> anyhow::Result<()> {
    let providers = Providers::new(config)?;
    let (waited, found) = open::with_store(config, async |store| {
        let found = Found::read(store, config, &providers, wanted).await?;
        refuse_hopeless(config, &found)?;
        let waited = store.end_grant_pause(found.record.id).await?;
        Ok((waited, Found::read(store, config, &providers, wanted).await?))
    })?;
    info!(record.id = found.record.id.text(), waited, "a grant may be tried at once");
    let (id, provider) = (found.record.id.text(), &found.record.provider);
    let obstacles = obstacles(&found);
    let did = if waited { "no longer waits" } else { "did not wait" };
    let first = match &obstacles[..] {
        [] => format!(
            "{id} {did}: the next call that has its key and needs fresh tokens asks {provider} at once"
        ),
        _ => format!("{id} {did}, but it cannot be tried now:"),
    };
    let lines = [vec![first], obstacles.clone()].concat();
    let row = Row::of(&found.record, &found.description);
    let tenant = found.tenant.to_string();
    output.made(&lines.join("\n"), &Retried { row, tenant, waited, obstacles })
}

/// Fails if no request can be sent, however long the grant waits.
fn refuse_hopeless(config: &Config, found: &Found) -> anyhow::Result<()> {
    let Found { tenant, record, description, is_configured } = found;
    let (id, provider) = (record.id.text(), &record.provider);
    if record.ended.is_some() {
        bail!("record {id} has ended, and has no refresh token");
    }
    if !config.grants.enabled {
        bail!("grants.enabled is false: servers refresh nothing");
    }
    if !is_configured {
        bail!(
            "grants.providers has no provider {provider} for tenant {tenant}: {id} is not refreshed"
        );
    }
    if description.cause.is_some_and(|cause| cause.kind == CauseKind::OtherClient) {
        bail!(
            "the grant of {id} was given to another client of {provider} than the one that is configured; \
             configure that one again, or let the user connect again"
        );
    }
    Ok(())
}

/// The obstacles that keep servers from sending a request for the grant now.
fn obstacles(found: &Found) -> Vec<String> {
    let Found { record, description, .. } = found;
    let name = &record.provider;
    let until = description.retry_at.map_or_else(|| "later".to_owned(), moment);
    let cause = description.cause.map(|cause| cause.to_string()).unwrap_or_default();
    let obstacle = if State::Paused.is_of(description) {
        "grants are paused: `latchkey grants resume` ends that".to_owned()
    } else if State::Blocked.is_of(description) {
        format!(
            "no request is sent to {name} before {until} ({cause}): `latchkey providers retry` lets one through"
        )
    } else if State::Refreshing.is_of(description) {
        "a refresh is under way: wait for its outcome".to_owned()
    } else {
        return Vec::new();
    };
    vec![obstacle]
}
