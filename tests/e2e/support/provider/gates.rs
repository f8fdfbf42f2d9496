//! Gates, where requests are held, and the count of open requests with a refresh token.
//!
//! Invariant: a request whose client has left is no longer open, even while it is held.

use std::{sync::Arc, time::Duration};

use crate::support::{
    app::until,
    provider::{Cut, Shared, http::Connection},
};

/// A moment in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    BeforeReading,
    AfterReading,
    AfterProcessing,
    WithinBody,
}

/// Requests that are held at a gate. They continue when this is opened or dropped.
pub(crate) struct Hold {
    shared: Arc<Shared>,
    number: usize,
}

/// The provider's state of a hold.
pub(super) struct Held {
    gate: Gate,
    /// The number of further requests that it holds.
    left: usize,
    /// The number of requests that came.
    came: usize,
    /// The end of the held requests, once it is open.
    end: Option<Option<Cut>>,
}

impl Hold {
    pub(super) fn new(shared: Arc<Shared>, gate: Gate, at_most: usize) -> Self {
        let mut state = shared.state();
        let number = state.holds.len();
        state.holds.insert(number, Held { gate, left: at_most, came: 0, end: None });
        drop(state);
        Self { shared, number }
    }

    /// The number of requests that it held.
    pub(crate) fn came(&self) -> usize {
        self.shared.state().holds[&self.number].came
    }

    /// Waits until it has held this number of requests.
    pub(crate) fn wait_for(&self, requests: usize) {
        until("requests come to the gate", || self.came() >= requests);
    }

    /// Lets the requests continue, and holds no more.
    pub(crate) fn open(self) {
        drop(self);
    }

    /// Ends the connections of the requests, and holds no more.
    pub(crate) fn cut(self, how: Cut) {
        self.end(Some(how));
    }

    fn end(&self, how: Option<Cut>) {
        let mut state = self.shared.state();
        if let Some(held) = state.holds.get_mut(&self.number) {
            held.end.get_or_insert(how);
        }
        drop(state);
        self.shared.moved.notify_all();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl Shared {
    /// Waits at a gate while it is held; returns the end of the connection, if there is one.
    pub(super) fn pass_gate(
        &self,
        gate: Gate,
        connection: &Connection,
        flight: &mut Option<Flight<'_>>,
    ) -> Option<Cut> {
        const LOOK: Duration = Duration::from_millis(10);
        let mut state = self.state();
        let mut holds = state.holds.iter_mut();
        let (number, held) =
            holds.find(|(_, held)| held.gate == gate && held.left > 0 && held.end.is_none())?;
        let number = *number;
        held.left -= 1;
        held.came += 1;
        self.moved.notify_all();
        loop {
            if let Some(end) = state.holds[&number].end {
                return end;
            }
            state = self.moved.wait_timeout(state, LOOK).expect("no panic").0;
            if flight.is_some() && !connection.is_open() {
                drop(state);
                *flight = None;
                state = self.state();
            }
        }
    }
}

/// A request with a refresh token, while it is open.
pub(super) struct Flight<'a> {
    shared: &'a Shared,
    refresh_token: String,
}

impl<'a> Flight<'a> {
    pub(super) fn begin(shared: &'a Shared, refresh_token: &str) -> Self {
        let mut state = shared.state();
        let (open, most) = state.flights.entry(refresh_token.to_owned()).or_default();
        *open += 1;
        *most = (*most).max(*open);
        drop(state);
        Self { shared, refresh_token: refresh_token.to_owned() }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some((open, _)) = state.flights.get_mut(&self.refresh_token) {
            *open -= 1;
        }
    }
}
