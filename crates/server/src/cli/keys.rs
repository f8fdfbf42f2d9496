//! `latchkey keys`: the master keys.
//!
//! Invariant: the file of a key that was ever used to seal is neither removed nor changed, and no key is shown.

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
/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the master keys of the database
    ///
    /// The command warns if the active key has been in use for more than two years.
    Status,
    /// Create the file of a new key, and print its id
    ///
    /// Servers with key folders of their own need it: copy the file to every server, and run `keys rotate --key ID`.
    New,
    /// Rotate the master key, and re-wrap all records under the new one
    ///
    /// If a rotation was interrupted, the command resumes it.
    #[command(after_help = "Examples:\n  latchkey keys rotate\n  latchkey keys rotate --key ID")]
    Rotate {
        /// Rotate to this key, whose file every server has; `keys new` prints the id
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// Do not wait until every running server has the key. A server without it cannot read re-wrapped records
        #[arg(long)]
        force: bool,
    },
    /// Remove from the database a key that no record needs
    ///
    /// The key's file stays, because backups may need it.
    Retire {
        /// The id, as `keys status` shows it
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
    /// Whether it has been in use for too long.
    overdue: bool,
    /// Whether this machine lacks it.
    missing: bool,
}

#[derive(Serialize)]
struct Rotated {
    id: String,
    resumed: bool,
    records: usize,
    /// The ids of records that were left unchanged, because their data keys do not open.
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
                    "warning: the master key {} has been in use since {}, longer than the two years that NIST \
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
                    "keys.source is \"secret\": add the output of `openssl rand -base64 32` before \
                     the other keys of the secret, on every server, and run `latchkey keys rotate`"
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
                    "; it may be removed from the secret once no backup needs it".to_owned()
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
    let print_remaining = async {
        let mut printed = None;
        loop {
            let asked = Instant::now();
            // A server that is running moves records too.
            if let Ok(records) = store.records_to_move().await
                && printed.replace(records) != Some(records)
            {
                tell(&format!("{} left", counted(records.unsigned_abs(), "record")));
            }
            // Counting many records takes long.
            time::sleep(PROGRESS.max(asked.elapsed() * 10)).await;
        }
    };
    let Rewrapped { records, unopenable } = tokio::select! {
        biased;
        never = print_remaining => never,
        moved = move_all => moved?,
    };
    let which = if unopenable.is_empty() { "every record" } else { "every record that opens" };
    tell(&format!("{which} is under the master key {id}; this command moved {records}"));
    for record in &unopenable {
        tell(&format!("record {record} does not open, and was left unchanged"));
    }
    Ok(Rotated { id, resumed: is_resumed, records, unopenable })
}

/// Prints a line on standard error. A closed terminal does not stop the command.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", terminal::lines(line));
}
