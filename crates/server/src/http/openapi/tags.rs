//! The tags of operations, and the properties that follow from them.
//!
//! Invariant: every tag is one of the document's list.

use serde_json::Value;

/// The tags of the agents' operations, which have bodies of every type.
const AGENTS: [&str; 2] = [AGENT, "External tokens"];
/// The tag of the operations that may have a carrier.
const AGENT: &str = "User agent";
/// The tag of the calls about the caller.
const USER: &str = "User";
/// The tag of the token endpoint.
pub(super) const OAUTH: &str = "OAuth";
/// The tag of the pages for people.
pub(super) const PAGES: &str = "Pages";
/// The tag of the probes.
pub(super) const PROBES: &str = "Operation";
/// Returns whether this is an operation of an agent.
pub(super) fn is_of_agent(operation: &Value) -> bool {
    AGENTS.iter().any(|tag| operation["tags"][0] == **tag)
}

/// Returns whether the operation needs an authenticated caller, who chooses the form of the answer.
pub(super) fn is_call(operation: &Value) -> bool {
    (is_of_agent(operation) || operation["tags"][0] == USER) && operation["security"].is_null()
}
