//! `latchkey keys`: the master keys.
//!
//! Invariant: no file of a key that anything was sealed under is removed or changed, and no key is shown.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use store::{KekStatus, KeySource, Rewrapped, Rotation, Store, StoreError};
use tokio::time;
use tracing::info;

use super::{
    open,
    output::{Output, counted, moment},
    proof::refuse_damaged,
    terminal,
};
use crate::config::Config;

/// How long records are sealed under one key: the longest originator-usage period of a key that wraps others
/// (NIST SP 800-57 Part 1 rev. 5, §5.3.6).
const LONGEST_USE: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
/// By then every server has the new key, and seals nothing under the old one.
const KNOWN_EVERYWHERE: Duration = Duration::from_secs(3);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the master keys of the database
    Status,
    /// Make the file of a key, for `rotate --key`, and print its id
    New,
    /// Put a new key in place of the active one, and move all records to it
    Rotate {
        /// A key whose file every server has, as `keys new` prints it
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// Do not wait until every running server has the key; one that lacks it cannot read what is moved
        #[arg(long)]
        force: bool,
    },
    /// Let the database forget a key that no record needs
    Retire {
        /// As `keys status` shows it
        id: String,
    },
}

#[derive(Serialize)]
struct Row {
    id: String,
    source: String,
    place: String,
    /// `None` as long as it is only announced.
    created: Option<String>,
    active: bool,
    announced: bool,
    wraps: i64,
    records: i64,
    /// Whether it is in use for too long.
    overdue: bool,
    /// Whether this machine lacks it.
    missing: bool,
}

#[derive(Serialize)]
struct Rotated {
    id: String,
    resumed: bool,
    records: usize,
    /// The ids of records that are as they were, for their data keys do not open.
    unopenable: Vec<String>,
}

impl Row {
    fn of(key: KekStatus) -> Self {
        let created = Timestamp::from_microsecond(key.created).unwrap_or_default();
        let overdue = key.is_active && Timestamp::now().duration_since(created) > LONGEST_USE;
        Self {
            created: (!key.is_announced).then(|| moment(key.created)),
            id: key.id,
            source: key.source,
            place: key.place,
            active: key.is_active,
            announced: key.is_announced,
            wraps: key.wraps,
            records: key.records,
            overdue,
            missing: key.is_missing,
        }
    }

    fn cells(&self) -> Vec<String> {
        let state = match (self.active, self.records) {
            (true, _) => "active",
            (false, _) if self.announced => "announced",
            (false, 0) => "not needed",
            (false, _) => "needed",
        };
        let state = if self.missing { format!("{state}, missing") } else { state.to_owned() };
        let (wraps, records) = (self.wraps.to_string(), self.records.to_string());
        let created = self.created.as_deref().unwrap_or("-").to_owned();
        let texts = [&self.id, &state, &created, &wraps, &records, &self.source, &self.place];
        texts.map(Clone::clone).to_vec()
    }
}

pub(crate) fn run(config: &Config, output: Output, command: &KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Status => {
            let keys =
                open::with_store_for_keys(config, async |store| Ok(store.master_keys().await?))?;
            let rows: Vec<Row> = keys.into_iter().map(Row::of).collect();
            for row in rows.iter().filter(|row| row.overdue) {
                tell(&format!(
                    "warning: the master key {} is in use since {}, longer than the two years that NIST \
                     SP 800-57 allows; run `latchkey keys rotate`",
                    row.id,
                    row.created.as_deref().unwrap_or_default()
                ));
            }
            let head = ["ID", "STATE", "CREATED", "WRAPS", "RECORDS", "SOURCE", "PLACE"];
            output.rows(&head, &rows, Row::cells)
        }
        KeysCommand::New => {
            let keys = config.keys()?;
            match keys.source {
                KeySource::Directory => {}
                KeySource::Secret => bail!(
                    "keys.source is \"secret\": put what `openssl rand -base64 32` prints in front of \
                     the keys of the secret, on every server, and run `latchkey keys rotate`"
                ),
                KeySource::Pkcs11 => bail!(
                    "keys.source is \"pkcs11\": the database has the key for every server, sealed; run \
                     `latchkey keys rotate`"
                ),
            }
            let id = keys.make()?;
            let place = keys.file_of(&id).display().to_string();
            info!(kek.id = id, "made the file of a master key");
            output.made(&format!("{id} {place}"), &json!({ "id": id, "place": place }))
        }
        KeysCommand::Rotate { key, force } => {
            let rotate = async |store: &Store| rotate(store, key.as_deref(), *force).await;
            let rotated = open::with_store(config, rotate)?;
            info!(
                kek.id = rotated.id,
                records = rotated.records,
                unopenable = rotated.unopenable.len(),
                "rotated to this master key"
            );
            output.made(&rotated.id, &rotated)?;
            refuse_damaged(rotated.unopenable.len())
        }
        KeysCommand::Retire { id } => {
            let retire = async |store: &Store| Ok(store.retire_key(id).await?);
            let key = open::with_store_for_keys(config, retire)?;
            let then = match KeySource::of_name(&key.source) {
                Some(KeySource::Directory) => {
                    format!("; {} may be deleted once no backup needs it", key.place)
                }
                Some(KeySource::Secret) => {
                    "; it may be taken out of the secret once no backup needs it".to_owned()
                }
                Some(KeySource::Pkcs11) | None => String::new(),
            };
            info!(kek.id = id, "retired the master key");
            let text = format!("retired {id}{then}");
            output.made(&text, &json!({ "id": id, "source": key.source, "place": key.place }))
        }
    }
}

async fn rotate(store: &Store, key: Option<&str>, is_forced: bool) -> anyhow::Result<Rotated> {
    let Rotation { id, is_resumed } = store.announce_key(key).await?;
    if is_resumed {
        tell(&format!("resuming the rotation to the master key {id}"));
    }
    store.confirm_rotation(&id, is_forced).await?;
    let begun = Instant::now();
    let move_all = async {
        let first = store.rewrap().await?;
        time::sleep(KNOWN_EVERYWHERE.saturating_sub(begun.elapsed())).await;
        let Rewrapped { records, unopenable } = store.rewrap().await?;
        Ok::<_, StoreError>(Rewrapped { records: first.records + records, unopenable })
    };
    let tell_what_is_left = async {
        let mut told = None;
        loop {
            let asked = Instant::now();
            // A server that is running moves records too.
            if let Ok(records) = store.records_to_move().await
                && told.replace(records) != Some(records)
            {
                tell(&format!("{} left", counted(records.unsigned_abs(), "record")));
            }
            // To count many takes long.
            time::sleep(PROGRESS.max(asked.elapsed() * 10)).await;
        }
    };
    let Rewrapped { records, unopenable } = tokio::select! {
        biased;
        never = tell_what_is_left => never,
        moved = move_all => moved?,
    };
    let which = if unopenable.is_empty() { "every record" } else { "every record that opens" };
    tell(&format!("{which} is under the master key {id}; this command moved {records}"));
    for record in &unopenable {
        tell(&format!("record {record} does not open, and is left as it is"));
    }
    Ok(Rotated { id, resumed: is_resumed, records, unopenable })
}

/// Says what is going on. A terminal that went away stops nothing.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", terminal::lines(line));
}
