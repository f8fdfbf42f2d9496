//! Webhooks: what receivers are sent, and what becomes of it when they fail.

mod crashes;
mod events;
mod receivers;
pub(crate) mod scene;
