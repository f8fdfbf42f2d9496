//! Events as they are sent: CloudEvents 1.0 in the JSON format, structured mode.
//!
//! Invariant: an event has no token, no claim and no text of a provider. Its id is the same at each attempt, and so is
//! its body unless the configuration changed.

use jiff::Timestamp;
use serde::Serialize;
use store::Delivery;

/// The attributes of CloudEvents 1.0 §3.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

/// The data of an event, with the names that `ExternalTokenInfo` has.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_by: Option<String>,
}

/// Returns the body of a delivery. `only_tenant` is the name of the only tenant, if there is only one.
pub(super) fn cloud_event(delivery: &Delivery, source: &str, only_tenant: Option<&str>) -> Vec<u8> {
    let record = delivery.record();
    let event = CloudEvent {
        specversion: "1.0",
        id: delivery.event(),
        source,
        kind: delivery.kind(),
        subject: record.unwrap_or_else(|| delivery.provider()),
        time: text(delivery.occurred()),
        datacontenttype: "application/json",
        data: Data {
            id: record,
            tenant: delivery.tenant().map(|stored| only_tenant.unwrap_or(stored)),
            owner: delivery.owner(),
            provider: delivery.provider(),
            cause: delivery.cause(),
            refresh_by: delivery.refresh_by().map(text),
        },
    };
    serde_json::to_vec(&event).expect("texts are JSON")
}

/// Formats a time by RFC 3339, in UTC.
fn text(us: i64) -> String {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX).to_string()
}
