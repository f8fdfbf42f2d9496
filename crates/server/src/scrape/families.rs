//! The list of all metrics: their names, their help, and the source of each.
//!
//! Invariant: every metric is named here, once, and is in every scrape, though it may have no value. `docs/reference`
//! has the same list.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use model::{CredentialKind, GrantState};
use store::{Figures, KeyCounts, Store};

use super::counting::{Counted, Counting};
use crate::{
    audit::Audit,
    certificates::Certificates,
    http::{connections::Acceptor, routes::ROUTES},
    jobs::{Backups, Handle, Status},
    metrics::{
        Metrics,
        exposition::{
            Exposition,
            Kind::{Counter, Gauge, Histogram, Info},
        },
        process::Process,
    },
};

/// Microseconds, in seconds.
const MICROSECOND: f64 = 1e-6;
/// The route of requests that have none.
const NO_ROUTE: &str = "(none)";
/// The provider of grants that no configured client has.
const OTHER_PROVIDER: &str = "(other)";
const STATES: [GrantState; 4] =
    [GrantState::Unknown, GrantState::Live, GrantState::Failing, GrantState::Dead];

/// The parts of the server that a scrape looks at.
pub(crate) struct Watched {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Store,
    pub(crate) counting: Counting,
    pub(crate) acceptor: Acceptor,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) jobs: Vec<Handle>,
    pub(crate) audit: Audit,
    pub(crate) backups: Option<Backups>,
    /// The folder of new tokens that the database could not take.
    pub(crate) unsaved: PathBuf,
}

impl Watched {
    /// Writes every metric.
    pub(super) async fn write(&self, text: &mut Exposition) {
        let counted = self.counting.current().await;
        let figures = self.store.figures();
        self.write_calls(text);
        self.write_connections(text);
        self.write_audit(text);
        self.write_grants(text, counted.as_deref());
        write_webhooks(text, &figures);
        self.write_database(text, &figures);
        write_counts(text, counted.as_deref());
        write_keys(text, counted.as_deref());
        self.write_upkeep(text);
        self.write_backups(text);
        self.write_process(text);
    }

    fn write_calls(&self, text: &mut Exposition) {
        let calls = &self.metrics.calls;
        let path = |route: usize| ROUTES.get(route).map_or(NO_ROUTE, |route| route.path);
        let requests = "Requests that were answered.";
        text.family(Counter, "latchkey_http_requests_total", requests);
        for (route, method, class, count) in calls.all_answered() {
            text.count(&[("route", path(route)), ("method", method), ("status", class)], count);
        }
        let times = "Time from a request's head to the head of its answer.";
        text.family(Histogram, "latchkey_http_request_duration_seconds", times);
        for (route, method, times) in calls.all_times() {
            let labels = [("route", path(route)), ("method", method)];
            text.distribution(&labels, &times, MICROSECOND);
        }
        let under_way = "Requests that are not answered yet.";
        text.family(Gauge, "latchkey_http_requests_under_way", under_way)
            .count(&[], calls.under_way());
        let unavailable = "Answers with status 503, by cause.";
        text.family(Counter, "latchkey_http_unavailable_total", unavailable);
        for (cause, count) in calls.all_unavailable() {
            text.count(&[("cause", cause.name())], count);
        }
        let sign_ins = "Calls whose caller was authenticated or refused.";
        text.family(Counter, "latchkey_sign_ins_total", sign_ins);
        for (scheme, outcome, count) in self.metrics.sign_ins.all() {
            text.count(&[("scheme", scheme), ("outcome", outcome)], count);
        }
    }

    fn write_connections(&self, text: &mut Exposition) {
        let figures = self.acceptor.figures();
        text.family(Gauge, "latchkey_connections", "Open connections of clients.");
        text.count(&[("state", "busy")], figures.open - figures.idle);
        text.count(&[("state", "idle")], figures.idle);
        let evicted = "Idle connections that were closed for new ones.";
        text.family(Counter, "latchkey_connections_evicted_total", evicted)
            .count(&[], figures.evicted);
        let refused = "Connections that were refused, because all others were busy.";
        text.family(Counter, "latchkey_connections_refused_total", refused)
            .count(&[], figures.refused);
    }

    fn write_grants(&self, text: &mut Exposition, counted: Option<&Counted>) {
        let refreshes = &self.metrics.refreshes;
        let attempts = "Refreshes at a provider that ended, by outcome.";
        text.family(Counter, "latchkey_refreshes_total", attempts);
        for (provider, outcome, count) in refreshes.all() {
            text.count(&[("provider", provider), ("outcome", outcome)], count);
        }
        let times = "Time of a refresh at a provider, with repeated requests.";
        text.family(Histogram, "latchkey_refresh_duration_seconds", times);
        for (provider, times) in refreshes.all_times() {
            text.distribution(&[("provider", provider)], &times, MICROSECOND);
        }
        let grants = "Living records with a grant, by its state.";
        text.family(Gauge, "latchkey_grants", grants);
        for ((provider, state), records) in
            counted.map(|counted| self.grants(counted)).iter().flatten()
        {
            text.count(&[("provider", provider), ("state", state)], *records);
        }
        let paused = "Whether no request is sent to a provider, because it refused the client or many users.";
        text.family(Gauge, "latchkey_provider_paused", paused);
        for (provider, is_paused) in counted.iter().flat_map(|counted| &counted.are_paused) {
            text.count(&[("provider", provider)], u64::from(*is_paused));
        }
        let all = "Whether all refreshes are paused until an operator resumes them.";
        text.family(Gauge, "latchkey_grants_paused", all);
        if let Some(counted) = counted {
            text.count(&[], u64::from(counted.are_all_paused));
        }
        let unsaved = "Files of new tokens that wait until the database takes them.";
        text.family(Gauge, "latchkey_unsaved_tokens", unsaved);
        if let Ok(count) = store::count_unsaved(&self.unsaved) {
            text.count(&[], count);
        }
    }

    /// Writes nothing if no audit log is kept.
    fn write_audit(&self, text: &mut Exposition) {
        if self.audit.is_on() {
            let failing = "Whether the audit log cannot be written.";
            text.family(Gauge, "latchkey_audit_failing", failing)
                .count(&[], u64::from(self.audit.is_failing()));
        }
    }

    /// Returns the number of records by provider and state. Each configured provider has every state.
    fn grants(&self, counted: &Counted) -> BTreeMap<(String, &'static str), u64> {
        let mut records = BTreeMap::new();
        for (name, _digest) in self.counting.clients() {
            for state in STATES {
                records.insert((name.to_owned(), state.name()), 0);
            }
        }
        for count in &counted.counts.grants {
            let mut clients = self.counting.clients();
            let known = clients.find(|(_, digest)| digest.as_slice() == count.client_digest);
            let name = known.map_or(OTHER_PROVIDER, |(name, _)| name).to_owned();
            *records.entry((name, count.state.name())).or_default() += count.records;
        }
        records
    }

    fn write_database(&self, text: &mut Exposition, figures: &Figures) {
        let up = "Whether calls can use the database, as far as the last ones show.";
        text.family(Gauge, "latchkey_database_up", up).count(&[], u64::from(figures.is_available));
        let queued = "Writes that wait for the writer.";
        text.family(Gauge, "latchkey_writes_queued", queued).count(&[], figures.writes_queued);
        let waits = "Time that writes waited for the writer.";
        text.family(Histogram, "latchkey_write_wait_seconds", waits);
        text.distribution(&[], &figures.write_waits, MICROSECOND);
        let batches = "Writes in a committed transaction.";
        text.family(Histogram, "latchkey_commit_writes", batches);
        text.distribution(&[], &figures.batches, 1.0);
        let commits = "Time of a committed transaction.";
        text.family(Histogram, "latchkey_commit_duration_seconds", commits);
        text.distribution(&[], &figures.commits, MICROSECOND);
        let failed = "Transactions that failed.";
        text.family(Counter, "latchkey_commits_failed_total", failed)
            .count(&[], figures.commits_failed);
        let reads = "Time that callers waited for a read of the database.";
        text.family(Histogram, "latchkey_read_duration_seconds", reads);
        text.distribution(&[], &figures.reads, MICROSECOND);
        let failed = "Reads of the database that failed.";
        text.family(Counter, "latchkey_reads_failed_total", failed)
            .count(&[], figures.reads_failed);
        let log = "Size of SQLite's write-ahead log. Absent on PostgreSQL.";
        text.family(Gauge, "latchkey_write_ahead_log_bytes", log);
        figures.write_ahead_log.into_iter().for_each(|bytes| text.count(&[], bytes));
    }

    fn write_backups(&self, text: &mut Exposition) {
        let last = self.backups.as_ref().and_then(Backups::last);
        let made = "Time of the newest backup that was proved. Absent without one.";
        text.family(Gauge, "latchkey_backup_timestamp_seconds", made);
        last.iter().for_each(|last| text.value(&[], seconds(last.made)));
        let bytes = "Size of the newest backup that was proved. Absent without one.";
        text.family(Gauge, "latchkey_backup_bytes", bytes);
        last.iter().for_each(|last| text.count(&[], last.bytes));
    }

    fn write_upkeep(&self, text: &mut Exposition) {
        // Several jobs may have one name, such as those of receivers.
        let mut jobs: BTreeMap<&str, Status> = BTreeMap::new();
        for handle in &self.jobs {
            let status = handle.status();
            let known = jobs.entry(handle.name).or_insert(status);
            if status.failing_since.is_some() || status.last_success < known.last_success {
                *known = status;
            }
        }
        let failing = "Whether the last run of a background job failed.";
        text.family(Gauge, "latchkey_job_failing", failing);
        for (job, status) in &jobs {
            text.count(&[("task", job)], u64::from(status.failing_since.is_some()));
        }
        let success = "Time at which a background job last did its work.";
        text.family(Gauge, "latchkey_job_last_success_timestamp_seconds", success);
        for (job, status) in &jobs {
            if let Some(time) = status.last_success {
                text.value(&[("task", job)], seconds(time));
            }
        }
        let audit = "Whether the audit log cannot be written. Absent without an audit log.";
        text.family(Gauge, "latchkey_audit_failing", audit);
        if self.audit.is_on() {
            text.count(&[], u64::from(self.audit.is_failing()));
        }
        let lost = "Lines of the log that standard error did not take.";
        text.family(Counter, "latchkey_log_lines_dropped_total", lost)
            .count(&[], self.metrics.lost_lines.read());
        let end = "Time at which the certificate of server.tls ends. Absent without one.";
        text.family(Gauge, "latchkey_certificate_end_timestamp_seconds", end);
        if let Some(end) = self.certificates.as_ref().and_then(|certificates| certificates.end()) {
            text.value(&[], seconds(end));
        }
    }

    fn write_process(&self, text: &mut Exposition) {
        let version = env!("CARGO_PKG_VERSION");
        text.family(Info, "latchkey_build_info", "The version of the server.")
            .count(&[("version", version)], 1);
        let start = "Time at which the process started.";
        text.family(Gauge, "process_start_time_seconds", start)
            .value(&[], seconds(self.metrics.started));
        let process = Process::now();
        let cpu = "Time that the process used processors.";
        text.family(Counter, "process_cpu_seconds_total", cpu);
        process.cpu_seconds.into_iter().for_each(|seconds| text.value(&[], seconds));
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use.", process.resident_bytes),
            ("process_virtual_memory_bytes", "Addresses in use.", process.virtual_bytes),
            ("process_open_fds", "Open files and connections.", process.open_files),
            ("process_max_fds", "Files and connections that may be open.", process.most_files),
        ] {
            text.family(Gauge, name, help);
            value.into_iter().for_each(|value| text.count(&[], value));
        }
    }
}

fn write_webhooks(text: &mut Exposition, figures: &Figures) {
    let waiting = "Events that wait for a receiver of webhooks, as far as this server knows.";
    text.family(Gauge, "latchkey_webhook_events_waiting", waiting);
    for receiver in &figures.receivers {
        text.count(&[("receiver", &receiver.name)], receiver.waiting);
    }
    let delivered = "Events that a receiver of webhooks confirmed.";
    text.family(Counter, "latchkey_webhook_events_delivered_total", delivered);
    for receiver in &figures.receivers {
        text.count(&[("receiver", &receiver.name)], receiver.delivered);
    }
    let dropped = "Events that were dropped, because too many others waited.";
    text.family(Counter, "latchkey_webhook_events_dropped_total", dropped);
    for receiver in &figures.receivers {
        text.count(&[("receiver", &receiver.name)], receiver.dropped);
    }
}

fn write_counts(text: &mut Exposition, counted: Option<&Counted>) {
    text.family(Gauge, "latchkey_records", "Records in the database.");
    if let Some(Counted { counts, .. }) = counted {
        text.count(&[("state", "living")], counts.living);
        text.count(&[("state", "ended")], counts.ended);
    }
    let expiring = "Living records that expire within a day.";
    text.family(Gauge, "latchkey_records_expiring", expiring);
    if let Some(Counted { counts, .. }) = counted {
        text.count(&[], counts.expiring);
    }
    let credentials = "Tickets, sessions and access tokens that have not expired.";
    text.family(Gauge, "latchkey_credentials", credentials);
    for kind in counted.iter().flat_map(|_| CredentialKind::ALL) {
        let known = counted.iter().flat_map(|counted| &counted.counts.credentials);
        let count = known.filter(|(known, _)| *known == kind).map(|(_, count)| count).sum();
        text.count(&[("kind", kind.name())], count);
    }
    let at = "Time at which the database was last counted, for the metrics that count its rows.";
    text.family(Gauge, "latchkey_counts_timestamp_seconds", at);
    counted.iter().for_each(|counted| text.value(&[], seconds(counted.at)));
    let took = "Time that the last count of the database took.";
    text.family(Gauge, "latchkey_counts_duration_seconds", took);
    counted.iter().for_each(|counted| text.value(&[], counted.took.as_secs_f64()));
}

fn write_keys(text: &mut Exposition, counted: Option<&Counted>) {
    let key = counted.map(|counted| counted.counts.key);
    let age = |key: KeyCounts| {
        let created = Timestamp::from_microsecond(key.created).ok();
        created.map_or(0.0, |created| (seconds(Timestamp::now()) - seconds(created)).max(0.0))
    };
    let value = |value: fn(KeyCounts) -> f64| key.map(value);
    for (name, help, value) in [
        ("latchkey_master_keys", "Master keys in the database.", value(|key| key.keys as f64)),
        (
            "latchkey_master_keys_missing",
            "Master keys in the database that this server lacks.",
            value(|key| key.missing as f64),
        ),
        (
            "latchkey_master_key_age_seconds",
            "Age of the master key that new records are sealed under.",
            key.map(age),
        ),
        (
            "latchkey_master_key_wraps",
            "Data keys that the active master key wrapped, rounded up.",
            value(|key| key.wraps as f64),
        ),
        (
            "latchkey_master_key_wraps_limit",
            "Data keys that one master key may ever wrap.",
            Some(KeyCounts::MOST_WRAPS as f64),
        ),
    ] {
        text.family(Gauge, name, help);
        value.into_iter().for_each(|value| text.value(&[], value));
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 * MICROSECOND
}
