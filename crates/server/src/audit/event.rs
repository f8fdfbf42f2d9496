//! Events of the audit log.
//!
//! Invariant: an event names people, applications, records and addresses, and holds no secret.

use std::net::IpAddr;

use model::RecordId;
use serde::{Serialize, Serializer};

/// Something that is audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The name in the log, such as `tokens.get`.
    pub(crate) name: &'static str,
    /// Whether it may change something here or at a provider. Then its event is on the disk before the answer.
    pub(crate) is_change: bool,
}

impl Action {
    /// An action that only reads.
    pub(crate) const fn read(name: &'static str) -> Self {
        Self { name, is_change: false }
    }

    /// An action that may change something.
    pub(crate) const fn change(name: &'static str) -> Self {
        Self { name, is_change: true }
    }
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It was done.
    Success,
    /// The caller was not allowed to do it, or not recognised.
    Denied,
    /// The request was not valid, or the state of the record or its grant does not allow it.
    Refused,
    /// The server or a provider failed.
    Failed,
    /// It was begun. The event of its end follows, unless the process was killed.
    Begun,
    /// The caller left before the answer. Whether it was done is unknown.
    Unanswered,
}

/// The facts of an event, as far as they are known.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The login of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<String>,
    /// The scheme by which the caller authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<&'static str>,
    /// The partner application of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application: Option<String>,
    /// The number of the system's user who ran a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) os_user: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "id")]
    pub(crate) record: Option<RecordId>,
    /// The number of records that the answer lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<usize>,
    /// Whether the record exists for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<bool>,
    /// Whether the answer lacks the tokens, because the caller may not see them.
    #[serde(skip)]
    pub(crate) is_withheld: bool,
    /// Whether the action ended the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// The subject of a command, such as a login or the id of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The name of the message that says why it was refused or failed, or the cause at a provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The id of the request, as in the log and in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// The trace id that a trusted proxy gave (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
}

/// An event. Its time is that at which its line is written.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    pub(crate) details: Details,
}

impl Event {
    /// A change that the server made.
    pub(crate) fn done(action: &'static str, details: Details) -> Self {
        Self { action: Action::change(action), outcome: Outcome::Success, details }
    }

    /// Returns whether the event must be on the disk before the answer: something may have changed.
    pub(super) fn needs_disk(&self) -> bool {
        let may_have_changed = !matches!(self.outcome, Outcome::Denied | Outcome::Refused);
        self.action.is_change && may_have_changed
    }
}

fn id<S: Serializer>(record: &Option<RecordId>, serializer: S) -> Result<S::Ok, S::Error> {
    record.map(|record| record.text()).serialize(serializer)
}
