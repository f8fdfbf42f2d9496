//! `WebhookReceiver`: a receiver of events, which fails as a test needs.
//!
//! Invariant: an event is confirmed if the receiver answered 2xx. Confirmed events are in the order of the answers.

use std::{
    net::TcpListener,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::provider::{
    Reply,
    endpoints::overlay,
    http::{Connection, Received},
};

/// `whsec_` and the base64 of `CANARY-webhook-secret-24`.
pub(crate) const SECRET: &str = "whsec_Q0FOQVJZLXdlYmhvb2stc2VjcmV0LTI0";
/// The next secret, of `CANARY-webhook-secret-of-tomorrow`.
pub(crate) const NEXT_SECRET: &str = "whsec_Q0FOQVJZLXdlYmhvb2stc2VjcmV0LW9mLXRvbW9ycm93";

/// A receiver on this machine. Its threads end with the process.
pub(crate) struct WebhookReceiver {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether it drops connections, like a server that is down.
    is_down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The reply that replaces 204.
    reply: Option<Reply>,
    /// The time that it takes to answer.
    latency: Duration,
    requests: Vec<Sent>,
}

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The event; it must be JSON.
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The input for a library that verifies it.
    pub(crate) fn as_json(&self) -> Value {
        let headers: serde_json::Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into()))
            .collect();
        json!({ "headers": headers, "body": String::from_utf8_lossy(&self.body) })
    }
}

impl WebhookReceiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("connection");
                if serving.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(Connection::new(socket, None)));
            }
        });
        Self { url, shared }
    }

    /// Its settings, with these members over them.
    pub(crate) fn settings(&self, over: &Value) -> Value {
        let mut settings = json!({
            "name": "crm",
            "url": format!("{}/hook", self.url),
            "secret": SECRET,
            "allow_private_addresses": true,
        });
        overlay(&mut settings, over);
        settings
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sets the reply from now on; `None` is 204.
    pub(crate) fn answer(&self, reply: Option<Reply>) {
        self.state().reply = reply;
    }

    /// Sets the time to answer from now on.
    pub(crate) fn take(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Takes the receiver down, or brings it back.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
    }

    /// All requests, in the order of their answers.
    pub(crate) fn requests(&self) -> Vec<Sent> {
        self.state().requests.clone()
    }

    /// The events that it confirmed, in order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let state = self.state();
        let confirmed = state.requests.iter().filter(|sent| (200..300).contains(&sent.status));
        confirmed.map(Sent::event).collect()
    }

    /// The kinds of the events that it confirmed, in order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kind = |event: &Value| event["type"].as_str().expect("a type").to_owned();
        self.events().iter().map(kind).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn serve(&self, mut connection: Connection) {
        let Some(Received { path, headers, body, .. }) = connection.read() else { return };
        let latency = self.state().latency;
        thread::sleep(latency);
        let reply = {
            let mut state = self.state();
            let reply = state.reply.clone();
            let reply = reply.unwrap_or_else(|| Reply::new(204, "text/plain", ""));
            state.requests.push(Sent { path, headers, body, status: reply.status });
            reply
        };
        connection.send(&reply.bytes());
    }
}
