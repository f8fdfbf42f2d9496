//! `latchkey records`: the records of a tenant, and their end.
//!
//! Invariant: a command needs the same memory for any number of records. It changes them in small batches, and a command
//! that is stopped half-way can be run again for the rest.

mod person;

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::{Login, RecordId, TenantId};
use serde::Serialize;
use store::{Listing, Position, RecordInfo, Store};
use tracing::info;

use self::person::{EraseArguments, Owner};
use super::{
    arguments::{self, record_id},
    confirm::Consent,
    open,
    output::{Output, Progress, counted, moment},
};
use crate::config::Config;

/// The records that are read and changed together.
const BATCH: usize = 256;
const DAY_US: i64 = 24 * 3_600_000_000;

const LIST_EXAMPLES: &str = "\
Examples:
  latchkey records list --owner ann
  latchkey records list --provider et --unused 180 --output json";

const REVOKE_EXAMPLES: &str = "\
Examples:
  latchkey records revoke --id 01vYvSdgm8u
  latchkey records revoke --owner ann
  latchkey records revoke --provider et --unused 365 --yes";

#[derive(Subcommand)]
pub(crate) enum RecordsCommand {
    /// List the living records of a tenant, without tokens, by owner and id
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArguments),
    /// Revoke records: end them, and erase their tokens at once
    ///
    /// The command does in the database what the call `Revoke` does by an id. It does not revoke grants at providers,
    /// because that needs each record's key: use the call `RevokeGrant` for that. It works in small batches, also while
    /// servers run. If it was stopped, run it again for the rest.
    #[command(
        after_help = REVOKE_EXAMPLES,
        group = clap::ArgGroup::new("which")
            .args(["id", "tenant", "owner", "provider", "unused"])
            .required(true)
            .multiple(true)
    )]
    Revoke(RevokeArguments),
    /// Print all that the database keeps about a user, as JSON Lines
    ///
    /// One line each for the user, its tickets, sessions and access tokens, its records with the states of their grants,
    /// and events that wait for receivers of webhooks. Passwords, tokens and claims are left out: passwords are hashed,
    /// and only the key of a record opens its tokens and claims.
    #[command(after_help = "Example:\n  latchkey records export --owner ann > ann.jsonl")]
    Export(Owner),
    /// Erase the records of a user, and all that is kept about them
    ///
    /// The command removes living and ended records, their grants, and events about them that wait for receivers of
    /// webhooks. Idempotency keys and authorization codes are kept as hashes without a name; they go within 25 hours.
    /// Backups keep what they had. Disable the user first, because otherwise the user can save meanwhile. If the command
    /// was stopped, run it again for the rest.
    #[command(after_help = "Example:\n  latchkey records erase --owner ann --yes")]
    Erase(EraseArguments),
}

/// The records that are meant.
#[derive(Args)]
pub(crate) struct Filter {
    /// Only records of this tenant, with `tenants = "path"`. The default is the tenant `default`
    #[arg(long)]
    tenant: Option<String>,
    /// Only records that this user saved
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// Only records of this provider, by the exact name with which they were saved
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only records whose tokens no caller got for this many days. A record that was never used counts from its save
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    unused: Option<u32>,
}

#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filter: Filter,
    /// List at most this many records
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Continue after this record, the last one of the previous list
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

#[derive(Args)]
pub(crate) struct RevokeArguments {
    /// Only this record, by the id that `records list` shows
    #[arg(long, conflicts_with_all = ["owner", "provider", "unused"])]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    consent: Consent,
}

impl RevokeArguments {
    /// Names the records for the audit log.
    pub(super) fn subject(&self) -> String {
        let Filter { owner, provider, unused, .. } = &self.filter;
        let unused = unused.map(|days| days.to_string());
        // A key that was given instead of an id is a secret.
        let id = self.id.as_deref().and_then(RecordId::parse).map(|id| id.text());
        let parts = [("id", &id), ("owner", owner), ("provider", provider), ("unused", &unused)];
        let given = parts.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    /// Returns the tenant as it was given.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.filter.tenant.as_deref()
    }
}

#[derive(Serialize)]
struct Row {
    id: String,
    provider: String,
    owner: String,
    created: String,
    last_used: Option<String>,
    expires: Option<String>,
}

impl Row {
    fn of(record: &RecordInfo) -> Self {
        Self {
            id: record.id.text(),
            provider: record.provider.clone(),
            owner: record.owner.to_string(),
            created: moment(record.created),
            last_used: record.last_used.map(moment),
            expires: record.expires.map(moment),
        }
    }

    fn cells(&self) -> Vec<String> {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let texts = [&self.id, &self.provider, &self.owner, &self.created].map(String::clone);
        texts.into_iter().chain([known(&self.last_used), known(&self.expires)]).collect()
    }
}

/// The outcome of `revoke`.
#[derive(Serialize)]
struct Revoked {
    tenant: String,
    revoked: u64,
}

impl Filter {
    fn tenant(&self, config: &Config) -> anyhow::Result<TenantId> {
        arguments::tenant(self.tenant.as_deref().unwrap_or("default"), config)
    }

    /// The query for the living records that are meant.
    fn listing(&self, config: &Config) -> anyhow::Result<Listing> {
        let now = Timestamp::now().as_microsecond();
        Ok(Listing {
            tenant: self.tenant(config)?,
            owner: self.owner.as_deref().map(arguments::login).transpose()?,
            provider: self.provider.clone(),
            unused_since: self.unused.map(|days| now - i64::from(days) * DAY_US),
            include_ended: false,
            after: None,
            limit: BATCH,
        })
    }
}

pub(crate) fn run(config: &Config, output: Output, command: &RecordsCommand) -> anyhow::Result<()> {
    match command {
        RecordsCommand::List(arguments) => list(config, output, arguments),
        RecordsCommand::Revoke(arguments) => match &arguments.id {
            Some(id) => revoke_one(config, output, arguments, id),
            None => revoke(config, output, arguments),
        },
        RecordsCommand::Export(owner) => person::export(config, owner),
        RecordsCommand::Erase(arguments) => person::erase(config, output, arguments),
    }
}

fn list(config: &Config, output: Output, wanted: &ListArguments) -> anyhow::Result<()> {
    let mut listing = wanted.filter.listing(config)?;
    let limit = wanted.limit as usize;
    let rows = open::with_store(config, async |store| {
        listing.after = position(store, &listing.tenant, wanted.after.as_deref()).await?;
        let (mut rows, mut progress) = (Vec::new(), Progress::begin());
        loop {
            let page = store.records(listing.clone()).await?;
            rows.extend(page.records.iter().map(Row::of));
            if rows.len() > limit || page.next.is_none() {
                return Ok(rows);
            }
            listing.after = page.next;
            progress.tell(|| format!("found {}", counted(rows.len() as u64, "record")));
        }
    })?;
    let shown = &rows[..rows.len().min(limit)];
    let head = ["ID", "PROVIDER", "OWNER", "CREATED", "LAST USED", "EXPIRES"];
    output.rows(&head, shown, Row::cells)?;
    if let Some(last) = shown.last().filter(|_last| rows.len() > limit) {
        // The terminal may be gone, which stops nothing.
        let _ = writeln!(io::stderr(), "there are more: continue with --after {}", last.id);
    }
    Ok(())
}

/// Returns the position in a list after a record.
///
/// # Errors
/// The tenant has no such record.
pub(super) async fn position(
    store: &Store,
    tenant: &TenantId,
    after: Option<&str>,
) -> anyhow::Result<Option<Position>> {
    let Some(after) = after else { return Ok(None) };
    let record = store.record(tenant.clone(), record_id(after)?).await?;
    let record = record.with_context(|| no_record(after, tenant))?;
    Ok(Some(Position { owner: record.owner.to_string(), record: record.id.as_i64() }))
}

pub(super) fn no_record(id: &str, tenant: &TenantId) -> String {
    format!("there is no record {} of tenant {tenant}", id.escape_debug())
}

fn revoke_one(
    config: &Config,
    output: Output,
    arguments: &RevokeArguments,
    id: &str,
) -> anyhow::Result<()> {
    let (tenant, record) = (arguments.filter.tenant(config)?, record_id(id)?);
    let was_living = open::with_store(config, async |store| {
        let found = store.record(tenant.clone(), record).await?;
        let found = found.with_context(|| no_record(id, &tenant))?;
        let (owner, provider) = (&found.owner, &found.provider);
        arguments.consent.ask(&format!(
            "This revokes record {record} of {provider}, which {owner} saved. It cannot be restored."
        ))?;
        store.count_deliveries().await?;
        Ok(store.revoke_record(tenant.clone(), record, None, None).await?)
    })?;
    if was_living {
        info!(record.id = record.text(), tenant.id = tenant.as_str(), "revoked a record");
    }
    answer(output, &tenant, u64::from(was_living))
}

fn answer(output: Output, tenant: &TenantId, revoked: u64) -> anyhow::Result<()> {
    let plain = format!("revoked {} of tenant {tenant}", counted(revoked, "record"));
    output.made(&plain, &Revoked { tenant: tenant.to_string(), revoked })
}

fn revoke(config: &Config, output: Output, arguments: &RevokeArguments) -> anyhow::Result<()> {
    let listing = arguments.filter.listing(config)?;
    let tenant = listing.tenant.clone();
    let revoked = open::with_store(config, async |store| {
        if !arguments.consent.is_given() {
            let count = counted(count(store, listing.clone()).await?, "record");
            arguments.consent.ask(&format!(
                "This revokes {count} of tenant {tenant}. They cannot be restored."
            ))?;
        }
        revoke_all(store, listing).await
    })?;
    answer(output, &tenant, revoked)
}

/// Counts the records of a query.
async fn count(store: &Store, mut listing: Listing) -> anyhow::Result<u64> {
    let (mut count, mut progress) = (0, Progress::begin());
    loop {
        let page = store.records(listing.clone()).await?;
        count += page.records.len() as u64;
        let Some(next) = page.next else { return Ok(count) };
        listing.after = Some(next);
        progress.tell(|| format!("found {}", counted(count, "record")));
    }
}

/// Revokes the records of a query, batch by batch. Returns how many lived.
pub(super) async fn revoke_all(store: &Store, mut listing: Listing) -> anyhow::Result<u64> {
    // Bounds the events that wait for receivers of webhooks.
    store.count_deliveries().await?;
    let (mut count, mut progress) = (0, Progress::begin());
    loop {
        let page = store.records(listing.clone()).await?;
        let found: Vec<RecordId> = page.records.iter().map(|record| record.id).collect();
        if !found.is_empty() {
            let tenant = listing.tenant.clone();
            let revoked = store.revoke_records(tenant, &found, listing.unused_since).await;
            let revoked = revoked.with_context(|| {
                format!(
                    "{} were revoked before this; run the command again for the rest",
                    counted(count, "record")
                )
            })?;
            let revoked = revoked.len() as u64;
            info!(tenant.id = listing.tenant.as_str(), records = revoked, "revoked records");
            count += revoked;
            progress.tell(|| format!("revoked {}", counted(count, "record")));
        }
        let Some(next) = page.next else { return Ok(count) };
        listing.after = Some(next);
    }
}

/// The query for all living records of an owner.
pub(super) fn owned_by(tenant: &TenantId, owner: &Login) -> Listing {
    Listing {
        tenant: tenant.clone(),
        owner: Some(owner.clone()),
        provider: None,
        unused_since: None,
        include_ended: false,
        after: None,
        limit: BATCH,
    }
}
