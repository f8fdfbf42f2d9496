//! Webhooks: the events that receivers are sent, and the handling of failed deliveries.

mod crashes;
mod events;
mod receivers;
pub(crate) mod scene;
