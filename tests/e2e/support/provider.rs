//! `MockProvider`: an OAuth provider that keeps a family tree of its tokens, and fails as a test needs.
//!
//! Invariant: the tree records the actual events, not the answers. It shows which refresh token lives, and how many
//! requests had the same one at once.

pub(crate) mod endpoints;
mod family;
mod gates;
pub(crate) mod http;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::TcpListener,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::ServerConfig;
use serde_json::{Value, json};

use family::Tree;
use gates::{Flight, Held};
pub(crate) use gates::{Gate, Hold};
pub(crate) use http::Reply;
use http::{Connection, Received};

use crate::support::issuer::Issuer;

/// The cases in which a refresh issues a new refresh token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rotation {
    Never,
    Always,
    /// If the token is older than this.
    OlderThan(Duration),
}

/// The time for which a spent refresh token still gets tokens, as long as its successor is not spent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grace {
    None,
    For(Duration),
    UntilSuccessorIsUsed,
}

/// The tokens that a spent refresh token gets within the grace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Replay {
    SamePair,
    NewPair,
}

/// The consequence of a spent refresh token after the grace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reuse {
    IsRefused,
    EndsFamily,
}

/// The client's authentication (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientAuth {
    /// HTTP Basic with the form-encoded id and secret.
    Basic,
    /// HTTP Basic with both unencoded.
    BasicRaw,
    Post,
    None,
    /// An assertion by one of `assertion_keys` (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// The client certificate of the TLS connection (RFC 8705 §2).
    Tls,
}

/// The behaviour of a provider.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) rotation: Rotation,
    pub(crate) grace: Grace,
    pub(crate) replay: Replay,
    pub(crate) reuse: Reuse,
    /// Whether a refresh ends earlier access tokens.
    pub(crate) ends_old_access: bool,
    /// Whether the revocation of a token ends its whole family (RFC 7009 §2.1).
    pub(crate) revocation_ends_family: bool,
    /// The minimum duration of a request to the token endpoint. Half of it comes after the work.
    pub(crate) latency: Duration,
    pub(crate) client_auth: ClientAuth,
    /// The name of the field with the client's id, and its value.
    pub(crate) client_id: (&'static str, String),
    /// Several while the secret is being replaced.
    pub(crate) secrets: Vec<String>,
    /// The keys that verify assertions, each with its algorithm. Several while the key is being replaced.
    pub(crate) assertion_keys: Vec<(Algorithm, DecodingKey)>,
    /// The audience that an assertion must have; empty for the token endpoint.
    pub(crate) audience: String,
    /// Members of a token answer that replace the usual ones. A member that is null is left out.
    pub(crate) answer: Value,
    /// The encoding of a token answer.
    pub(crate) say: fn(Value) -> Reply,
    /// Claims of an id_token that replace the usual ones. A claim that is null is left out.
    pub(crate) id_claims: Value,
    /// Whether a refresh also issues an id_token.
    pub(crate) refresh_brings_id_token: bool,
    /// Members of the discovery document that replace the usual ones.
    pub(crate) metadata: Value,
}

/// The client's secret, with characters that a form encodes.
pub(crate) const SECRET: &str = "CANARY secret: 50% + 1/2 & ä=?";
/// The id of the client.
pub(crate) const CLIENT_ID: &str = "client:1";

impl Default for Rules {
    /// A strict provider: each refresh rotates, there is no grace, and reuse ends the family.
    fn default() -> Self {
        Self {
            rotation: Rotation::Always,
            grace: Grace::None,
            replay: Replay::SamePair,
            reuse: Reuse::EndsFamily,
            ends_old_access: false,
            revocation_ends_family: true,
            latency: Duration::ZERO,
            client_auth: ClientAuth::Basic,
            client_id: ("client_id", CLIENT_ID.to_owned()),
            secrets: vec![SECRET.to_owned()],
            assertion_keys: Vec::new(),
            audience: String::new(),
            answer: json!({}),
            say: |answer| Reply::json(200, &answer),
            id_claims: json!({}),
            refresh_brings_id_token: false,
            metadata: json!({}),
        }
    }
}

/// The handling of one request to the token endpoint.
pub(crate) enum Turn {
    /// Sends this reply without doing the work.
    Say(Reply),
    /// Does the work, and sends another reply.
    Reshape(fn(Value) -> Reply),
    /// Ends the connection at a gate.
    Cut(Gate, Cut),
    /// Does the work, and pauses after each byte of the answer.
    Drip(Duration),
}

/// The end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Fin,
    Reset,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Refresh,
    Exchange,
    Revocation,
    Introspection,
    Metadata,
    Keys,
    Other,
}

/// A request that was received.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) received: Instant,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) form: Vec<(String, String)>,
}

impl Request {
    /// A field of the form; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The tokens of a new family, for a client to save.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// A provider on this machine. Its threads end with the process.
pub(crate) struct MockProvider {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    begun: Instant,
    state: Mutex<State>,
    /// Notified when a request comes to a gate, or a gate is opened.
    moved: Condvar,
}

struct State {
    rules: Rules,
    /// The time by which its clock is ahead.
    ahead: Duration,
    tree: Tree,
    codes: HashMap<String, Code>,
    /// The handling of the next requests to the token endpoint.
    turns: VecDeque<Turn>,
    /// The reply to every request to the token endpoint.
    always: Option<Reply>,
    /// Replies of other paths that replace the usual ones.
    pages: HashMap<String, Reply>,
    holds: HashMap<usize, Held>,
    requests: Vec<Request>,
    /// The number of open requests with a refresh token, and the highest number so far.
    flights: HashMap<String, (usize, usize)>,
    wrong_secrets: usize,
    /// The identifiers of assertions. Each may be used only once (RFC 7523 §3).
    assertion_ids: HashSet<String>,
    /// The first one signs; the last `published` ones are in the key set.
    signers: Vec<Issuer>,
    published: usize,
}

/// An authorization code (RFC 6749 §4.1.2).
struct Code {
    redirect_uri: String,
    nonce: Option<String>,
    challenge: Option<String>,
    /// A refresh token of the family for which the code was exchanged.
    spent_for: Option<String>,
}

impl MockProvider {
    /// Starts a provider over HTTP.
    pub(crate) fn start(rules: Rules) -> Self {
        Self::listen(rules, None, "http://127.0.0.1")
    }

    /// Starts a provider over TLS, as `localhost`.
    pub(crate) fn start_with_tls(rules: Rules, tls: Arc<ServerConfig>) -> Self {
        Self::listen(rules, Some(tls), "https://localhost")
    }

    fn listen(rules: Rules, tls: Option<Arc<ServerConfig>>, origin: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let state = State {
            rules,
            ahead: Duration::ZERO,
            tree: Tree::default(),
            codes: HashMap::new(),
            turns: VecDeque::new(),
            always: None,
            pages: HashMap::new(),
            holds: HashMap::new(),
            requests: Vec::new(),
            flights: HashMap::new(),
            wrong_secrets: 0,
            assertion_ids: HashSet::new(),
            signers: vec![Issuer::new("key-1")],
            published: 1,
        };
        let shared = Arc::new(Shared {
            url: format!("{origin}:{port}"),
            begun: Instant::now(),
            state: Mutex::new(state),
            moved: Condvar::new(),
        });
        // `localhost` may resolve to either address. Not every machine has the second one.
        let listeners = [Some(listener), TcpListener::bind(("::1", port)).ok()];
        for listener in listeners.into_iter().flatten() {
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            thread::spawn(move || {
                for socket in listener.incoming() {
                    let connection = Connection::new(socket.expect("connection"), tls.as_ref());
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.serve(connection));
                }
            });
        }
        Self { shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Scheme and authority, which is also the issuer.
    pub(crate) fn url(&self) -> &str {
        &self.shared.url
    }

    /// The URL of one of its paths.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.shared.url)
    }

    /// A new family, as if another server had got its tokens.
    pub(crate) fn grant(&self) -> Grant {
        let now = self.shared.now(&self.state());
        let pair = self.state().tree.plant("subject", None, now);
        Grant { access: pair.access, refresh: pair.refresh }
    }

    /// A code, as for a user who agrees.
    pub(crate) fn code(
        &self,
        redirect_uri: &str,
        nonce: Option<&str>,
        challenge: Option<&str>,
    ) -> String {
        let code = family::random("code");
        let [nonce, challenge] = [nonce, challenge].map(|text| text.map(str::to_owned));
        let redirect_uri = redirect_uri.to_owned();
        let entry = Code { redirect_uri, nonce, challenge, spent_for: None };
        self.state().codes.insert(code.clone(), entry);
        code
    }

    /// Changes its behaviour from now on.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    /// Sets the handling of the next requests to the token endpoint.
    pub(crate) fn next(&self, turns: impl IntoIterator<Item = Turn>) {
        self.state().turns.extend(turns);
    }

    /// Sets the reply to every request to the token endpoint; `None` restores the rules.
    pub(crate) fn always(&self, reply: Option<Reply>) {
        self.state().always = reply;
    }

    /// Sets the reply of a path from now on.
    pub(crate) fn page(&self, path: &str, reply: Reply) {
        self.state().pages.insert(path.to_owned(), reply);
    }

    /// Restores the usual reply of a path.
    pub(crate) fn mend(&self, path: &str) {
        self.state().pages.remove(path);
    }

    /// The tokens that it was asked to revoke, the first one first, each with its token type hint.
    pub(crate) fn revocations(&self) -> Vec<[String; 2]> {
        let of = |request: &Request| {
            ["token", "token_type_hint"].map(|name| request.field(name).to_owned())
        };
        let state = self.state();
        let revocations = state.requests.iter().filter(|request| request.kind == Kind::Revocation);
        revocations.map(of).collect()
    }

    /// Moves its clock forward.
    pub(crate) fn pass(&self, time: Duration) {
        self.state().ahead += time;
    }

    /// Signs with a new key, which is published together with the others, or not published.
    pub(crate) fn rotate_key(&self, is_published: bool) {
        let mut state = self.state();
        let kid = format!("key-{}", state.signers.len() + 1);
        state.signers.insert(0, Issuer::new(&kid));
        if is_published {
            state.published = state.signers.len();
        }
    }

    /// Holds the next requests at a gate, at most this number of them.
    pub(crate) fn hold(&self, gate: Gate, at_most: usize) -> Hold {
        Hold::new(Arc::clone(&self.shared), gate, at_most)
    }

    /// Ends the family of a token, as its user can.
    pub(crate) fn revoke(&self, token: &str) {
        assert!(self.state().tree.revoke(token), "it is known");
    }

    /// Whether this refresh token gets the next tokens of its family.
    pub(crate) fn is_living_leaf(&self, refresh_token: &str) -> bool {
        self.state().tree.is_living_leaf(refresh_token)
    }

    /// Whether this access token was issued together with a living refresh token.
    pub(crate) fn is_newest(&self, access_token: &str) -> bool {
        self.state().tree.is_newest(access_token)
    }

    /// Whether an access token works.
    pub(crate) fn is_active(&self, access_token: &str) -> bool {
        self.state().tree.is_active(access_token)
    }

    /// All requests, the first one first.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The number of requests of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.state().requests.iter().filter(|request| request.kind == kind).count()
    }

    /// The number of times that a refresh token was sent.
    pub(crate) fn presentations(&self, refresh_token: &str) -> usize {
        let is_of_it = |request: &&Request| {
            request.kind == Kind::Refresh && request.field("refresh_token") == refresh_token
        };
        self.state().requests.iter().filter(is_of_it).count()
    }

    /// The highest number of requests with a refresh token that were open at once. A request whose client has left is
    /// not open.
    pub(crate) fn max_in_flight(&self, refresh_token: &str) -> usize {
        self.state().flights.get(refresh_token).map_or(0, |(_, most)| *most)
    }

    /// The number of refresh tokens that two requests ever sent at once.
    pub(crate) fn sent_twice_at_once(&self) -> usize {
        self.state().flights.values().filter(|(_, most)| *most > 1).count()
    }

    /// The number of requests with a wrong client secret.
    pub(crate) fn wrong_secrets(&self) -> usize {
        self.state().wrong_secrets
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the provider panicked")
    }

    /// The time of its own clock.
    fn now(&self, state: &State) -> Duration {
        self.begun.elapsed() + state.ahead
    }

    /// Answers a request, and ends the connection. The request is no longer open when its client sees the end.
    fn serve(&self, mut connection: Connection) {
        let first = self.state().turns.front().and_then(|turn| turn.cut_at(Gate::BeforeReading));
        if let Some(how) = first {
            self.state().turns.pop_front();
            return connection.cut(how);
        }
        let mut flight = None;
        if let Some(how) = self.pass_gate(Gate::BeforeReading, &connection, &mut flight) {
            return connection.cut(how);
        }
        let Some(received) = connection.read() else { return connection.cut(Cut::Fin) };
        let (request, turn) = self.note(&received);
        if request.kind == Kind::Refresh {
            flight = Some(Flight::begin(self, request.field("refresh_token")));
        }
        let pass = |gate: Gate, connection: &Connection, flight: &mut Option<Flight<'_>>| {
            let cut = turn.as_ref().and_then(|turn| turn.cut_at(gate));
            cut.or_else(|| self.pass_gate(gate, connection, flight)).inspect(|_| *flight = None)
        };
        if let Some(how) = pass(Gate::AfterReading, &connection, &mut flight) {
            return connection.cut(how);
        }
        let latency = self.state().rules.latency / 2;
        thread::sleep(latency);
        let reply = match &turn {
            Some(Turn::Say(reply)) => reply.clone(),
            Some(Turn::Reshape(say)) => self.answer(&received, &request, Some(*say)),
            _ => self.answer(&received, &request, None),
        };
        thread::sleep(latency);
        if let Some(how) = pass(Gate::AfterProcessing, &connection, &mut flight) {
            return connection.cut(how);
        }
        let bytes = reply.bytes();
        let (body, last) = (bytes.len() - reply.body.len() / 2, bytes.len() - 1);
        if let Some(Turn::Drip(pause)) = turn {
            if !connection.drip(&bytes[..last], pause) {
                return;
            }
        } else {
            connection.send(&bytes[..body.min(last)]);
            if let Some(how) = pass(Gate::WithinBody, &connection, &mut flight) {
                return connection.cut(how);
            }
            connection.send(&bytes[body.min(last)..last]);
        }
        drop(flight);
        connection.send(&bytes[last..]);
        connection.cut(Cut::Fin);
    }

    /// Records a request; returns its handling.
    fn note(&self, received: &Received) -> (Request, Option<Turn>) {
        let request = endpoints::read(received);
        let mut state = self.state();
        state.requests.push(request.clone());
        let is_for_tokens = matches!(request.kind, Kind::Refresh | Kind::Exchange);
        let turn = if is_for_tokens { state.turns.pop_front() } else { None };
        let always = state.always.clone().filter(|_| is_for_tokens);
        drop(state);
        self.moved.notify_all();
        (request, turn.or_else(|| always.map(Turn::Say)))
    }
}

impl Turn {
    /// The end of the connection at a gate, if there is one.
    fn cut_at(&self, gate: Gate) -> Option<Cut> {
        match self {
            Self::Cut(at, how) if *at == gate => Some(*how),
            _ => None,
        }
    }
}
