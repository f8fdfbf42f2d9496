//! `latchkey records export` and `erase`: all that is kept about one user.
//!
//! Invariant: neither needs a master key of a record, and neither prints a secret or a digest of one. An export has the
//! same memory for any number of records.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use clap::Args;
use model::{IssuedCredential, Login, TenantId};
use serde::Serialize;
use serde_json::json;
use store::{Delivery, RecordInfo, Store};
use tracing::info;

use super::{
    super::{
        arguments::{self, TenantArgument},
        confirm::Consent,
        open,
        output::{Output, Progress, counted, moment},
        terminal,
    },
    owned_by,
};
use crate::config::Config;

/// The user who is meant.
#[derive(Args)]
pub(crate) struct Owner {
    /// The user name
    #[arg(long, value_name = "LOGIN")]
    pub(in crate::cli) owner: String,
    #[command(flatten)]
    pub(in crate::cli) tenant: TenantArgument,
}

#[derive(Args)]
pub(crate) struct EraseArguments {
    #[command(flatten)]
    pub(in crate::cli) owner: Owner,
    #[command(flatten)]
    consent: Consent,
}

impl Owner {
    fn read(&self, config: &Config) -> anyhow::Result<(TenantId, Login)> {
        Ok((self.tenant.read(config)?, arguments::login(&self.owner)?))
    }
}

/// The outcome of `erase`.
#[derive(Serialize)]
struct Erased {
    tenant: String,
    owner: String,
    records: u64,
    events: u64,
}

pub(crate) fn erase(
    config: &Config,
    output: Output,
    arguments: &EraseArguments,
) -> anyhow::Result<()> {
    let (tenant, owner) = arguments.owner.read(config)?;
    arguments.consent.ask(&format!(
        "This erases every record of {owner} of tenant {tenant}. They cannot be restored."
    ))?;
    let (records, events) = open::with_store(config, async |store| {
        let (mut records, mut events, mut progress) = (0, 0, Progress::begin());
        let stopped = |records| {
            let records = counted(records, "record");
            format!("{records} were erased before this; run the command again for the rest")
        };
        loop {
            let erased = store.erase_some_records(&tenant, &owner).await;
            let erased = erased.with_context(|| stopped(records))?;
            if erased == 0 {
                break;
            }
            info!(
                tenant.id = tenant.as_str(),
                user.login = owner.as_str(),
                erased,
                "erased records"
            );
            records += erased as u64;
            progress.tell(|| format!("erased {}", counted(records, "record")));
        }
        // No event is added about a record that is gone.
        loop {
            let erased = store.erase_some_events(&tenant, &owner).await;
            let erased = erased.with_context(|| stopped(records))?;
            if erased == 0 {
                return Ok((records, events));
            }
            events += erased as u64;
        }
    })?;
    let plain = format!(
        "erased {} of {owner} of tenant {tenant}, and {}",
        counted(records, "record"),
        counted(events, "waiting event")
    );
    let (tenant, owner) = (tenant.to_string(), owner.to_string());
    output.made(&plain, &Erased { tenant, owner, records, events })
}

pub(crate) fn export(config: &Config, owner: &Owner) -> anyhow::Result<()> {
    let (tenant, login) = owner.read(config)?;
    let mut lines = Lines { out: BufWriter::new(io::stdout().lock()), count: 0 };
    open::with_store(config, async |store| {
        lines.user(store, &tenant, &login).await?;
        lines.credentials(store, &tenant, &login).await?;
        lines.records(store, &tenant, &login).await?;
        lines.events(store, &tenant, &login).await
    })?;
    lines.out.flush().context("cannot write the export")?;
    info!(tenant.id = tenant.as_str(), user.login = login.as_str(), "exported a user's data");
    if lines.count == 0 {
        // The terminal may be gone, which stops nothing.
        let _ = writeln!(io::stderr(), "nothing is kept about {login} of tenant {tenant}");
    }
    Ok(())
}

/// JSON Lines on standard output.
struct Lines<W> {
    out: W,
    count: u64,
}

impl<W: Write> Lines<W> {
    fn add(&mut self, line: &serde_json::Value) -> anyhow::Result<()> {
        self.count += 1;
        writeln!(self.out, "{}", terminal::json(&line.to_string()))
            .context("cannot write the export")
    }

    async fn user(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        login: &Login,
    ) -> anyhow::Result<()> {
        let times = store.user_times(tenant.clone(), login.clone()).await?;
        let Some((user, (created, updated))) = store.user(tenant, login).await?.zip(times) else {
            return Ok(());
        };
        self.add(&json!({
            "kind": "user",
            "tenant": user.tenant.to_string(),
            "login": user.login.to_string(),
            "administrator": user.is_administrator,
            "disabled": user.is_disabled,
            "created": moment(created),
            "updated": moment(updated),
        }))
    }

    async fn credentials(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        login: &Login,
    ) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = store.credentials_of_user(tenant.clone(), login.clone(), after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for credential in &page {
                self.add(&of_credential(credential))?;
            }
        }
    }

    async fn records(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        login: &Login,
    ) -> anyhow::Result<()> {
        let mut listing = owned_by(tenant, login);
        listing.include_ended = true;
        loop {
            let page = store.records(listing.clone()).await?;
            for record in &page.records {
                self.add(&of_record(record))?;
            }
            if page.next.is_none() {
                return Ok(());
            }
            listing.after = page.next;
        }
    }

    async fn events(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        login: &Login,
    ) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = store.events_of_owner(tenant.clone(), login.clone(), after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for event in &page {
                self.add(&of_event(event))?;
            }
        }
    }
}

fn of_credential(credential: &IssuedCredential) -> serde_json::Value {
    json!({
        "kind": credential.kind.name(),
        "id": credential.id.as_str(),
        "created": moment(credential.created),
        "expires": moment(credential.expires),
        "made_from": credential.parent.as_ref().map(ToString::to_string),
        "application": credential.application.as_ref().map(ToString::to_string),
    })
}

fn of_record(record: &RecordInfo) -> serde_json::Value {
    let grant = &record.grant;
    json!({
        "kind": "record",
        "id": record.id.text(),
        "provider": record.provider,
        "generation": record.generation,
        "created": moment(record.created),
        "updated": moment(record.updated),
        "last_used": record.last_used.map(moment),
        "expires": record.expires.map(moment),
        "ended": record.ended.map(moment),
        "access_token_expires": record.access_expires.map(moment),
        "grant": {
            "state": grant.state.name(),
            "since": grant.since.map(moment),
            "cause": grant.cause.map(|cause| cause.to_string()),
            "refreshed": grant.refreshed.map(moment),
            "refresh_by": grant.refresh_by.map(moment),
            "retry_at": grant.retry_at.map(moment),
            "attempts": grant.attempts,
            "failures": grant.failures,
            "last_attempt": grant.claimed.map(moment),
        },
    })
}

fn of_event(event: &Delivery) -> serde_json::Value {
    json!({
        "kind": "event",
        "id": event.event(),
        "event": event.kind(),
        "receiver": event.receiver(),
        "record": event.record(),
        "provider": event.provider(),
        "cause": event.cause(),
        "refresh_by": event.refresh_by().map(moment),
        "occurred": moment(event.occurred()),
    })
}
