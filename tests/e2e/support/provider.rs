//! `MockProvider`: an OAuth provider that keeps a family tree of its tokens, and misbehaves as a test wants.
//!
//! Invariant: the tree is what happened, whatever the answers said. A test asks it which refresh token lives, and
//! how many requests had the same one at once.

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

/// When a refresh gives another refresh token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rotation {
    Never,
    Always,
    /// When it is this old.
    OlderThan(Duration),
}

/// How long a spent refresh token gets tokens, as long as its successor is not spent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grace {
    None,
    For(Duration),
    UntilSuccessorIsUsed,
}

/// What a refresh token gets within the grace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Replay {
    SamePair,
    NewPair,
}

/// What comes of a spent refresh token beyond the grace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reuse {
    IsRefused,
    EndsFamily,
}

/// How a client proves who it is (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientAuth {
    /// HTTP Basic with the form-encoded id and secret.
    Basic,
    /// HTTP Basic with both as they are.
    BasicRaw,
    Post,
    None,
    /// An assertion by one of `assertion_keys` (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// The certificate that the TLS connection was made with (RFC 8705 §2).
    Tls,
}

/// How a provider behaves.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) rotation: Rotation,
    pub(crate) grace: Grace,
    pub(crate) replay: Replay,
    pub(crate) reuse: Reuse,
    /// Whether a refresh ends the access tokens of before.
    pub(crate) ends_old_access: bool,
    /// Whether a token that is revoked takes its whole family along (RFC 7009 §2.1).
    pub(crate) revocation_ends_family: bool,
    /// How long a request to the token endpoint takes at least; half of it after the work is done.
    pub(crate) latency: Duration,
    pub(crate) client_auth: ClientAuth,
    /// The name of the field with the client's id, and its value.
    pub(crate) client_id: (&'static str, String),
    /// Several while the secret is replaced.
    pub(crate) secrets: Vec<String>,
    /// What verifies assertions, several while the key is replaced; each with its algorithm.
    pub(crate) assertion_keys: Vec<(Algorithm, DecodingKey)>,
    /// The audience that an assertion must have; empty for the token endpoint.
    pub(crate) audience: String,
    /// The members of an answer with tokens, over the usual; those that are null are left out.
    pub(crate) answer: Value,
    /// How the answer with tokens is said.
    pub(crate) say: fn(Value) -> Reply,
    /// The claims of an id_token, over the usual; those that are null are left out.
    pub(crate) id_claims: Value,
    /// Whether a refresh brings an id_token too.
    pub(crate) refresh_brings_id_token: bool,
    /// The members of the discovery document, over the usual.
    pub(crate) metadata: Value,
}

/// The secret of the client, with characters that are written otherwise in a form.
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

/// What happens to one request to the token endpoint.
pub(crate) enum Turn {
    /// This is said, and nothing done.
    Say(Reply),
    /// It is done, and something else said.
    Reshape(fn(Value) -> Reply),
    /// The connection ends at a gate.
    Cut(Gate, Cut),
    /// It is done, and said with a pause after each byte.
    Drip(Duration),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Fin,
    Reset,
}

/// What a request is about.
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
    /// A request came to a gate, or a gate was opened.
    moved: Condvar,
}

struct State {
    rules: Rules,
    /// How far its clock is ahead.
    ahead: Duration,
    tree: Tree,
    codes: HashMap<String, Code>,
    /// What happens to the next requests to the token endpoint.
    turns: VecDeque<Turn>,
    /// What every request to the token endpoint gets.
    always: Option<Reply>,
    /// What other paths say, in place of what they would.
    pages: HashMap<String, Reply>,
    holds: HashMap<usize, Held>,
    requests: Vec<Request>,
    /// How many requests with a refresh token are open, and how many ever were at once.
    flights: HashMap<String, (usize, usize)>,
    wrong_secrets: usize,
    /// The identifiers of assertions, of which none comes twice (RFC 7523 §3).
    assertion_ids: HashSet<String>,
    /// The first one signs; the rest of the published keys.
    signers: Vec<Issuer>,
    published: usize,
}

/// An authorization code (RFC 6749 §4.1.2).
struct Code {
    redirect_uri: String,
    nonce: Option<String>,
    challenge: Option<String>,
    /// A refresh token of the family that it was exchanged for.
    spent_for: Option<String>,
}

impl MockProvider {
    /// Over HTTP.
    pub(crate) fn start(rules: Rules) -> Self {
        Self::listen(rules, None, "http://127.0.0.1")
    }

    /// Over TLS, as `localhost`.
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
        // `localhost` may be either address; not every machine has the second one.
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

    /// Scheme and authority, which is its issuer.
    pub(crate) fn url(&self) -> &str {
        &self.shared.url
    }

    /// A place of its own.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.shared.url)
    }

    /// A new family, as another server got it.
    pub(crate) fn grant(&self) -> Grant {
        let now = self.shared.now(&self.state());
        let pair = self.state().tree.plant("subject", None, now);
        Grant { access: pair.access, refresh: pair.refresh }
    }

    /// A code, as a user who agrees gets it.
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

    /// Changes how it behaves from now on.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    /// What happens to the next requests to the token endpoint.
    pub(crate) fn next(&self, turns: impl IntoIterator<Item = Turn>) {
        self.state().turns.extend(turns);
    }

    /// What every request to the token endpoint gets, or `None` for what the rules say.
    pub(crate) fn always(&self, reply: Option<Reply>) {
        self.state().always = reply;
    }

    /// What a path says from now on.
    pub(crate) fn page(&self, path: &str, reply: Reply) {
        self.state().pages.insert(path.to_owned(), reply);
    }

    /// Lets a path say again what it would.
    pub(crate) fn mend(&self, path: &str) {
        self.state().pages.remove(path);
    }

    /// The tokens that it was to revoke, the first one first, each with what it is said to be.
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

    /// Signs with a new key, which is published beside the others, or not at all.
    pub(crate) fn rotate_key(&self, is_published: bool) {
        let mut state = self.state();
        let kid = format!("key-{}", state.signers.len() + 1);
        state.signers.insert(0, Issuer::new(&kid));
        if is_published {
            state.published = state.signers.len();
        }
    }

    /// Holds what comes to a gate from now on, at most this number of requests.
    pub(crate) fn hold(&self, gate: Gate, at_most: usize) -> Hold {
        Hold::new(Arc::clone(&self.shared), gate, at_most)
    }

    /// Ends the family of a token, as its user may.
    pub(crate) fn revoke(&self, token: &str) {
        assert!(self.state().tree.revoke(token), "it is known");
    }

    /// Whether it is the refresh token that gets the next tokens of its family.
    pub(crate) fn is_living_leaf(&self, refresh_token: &str) -> bool {
        self.state().tree.is_living_leaf(refresh_token)
    }

    /// Whether it is the access token that came with a refresh token that lives.
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

    /// How many requests there were of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.state().requests.iter().filter(|request| request.kind == kind).count()
    }

    /// How often a refresh token was sent.
    pub(crate) fn presentations(&self, refresh_token: &str) -> usize {
        let is_of_it = |request: &&Request| {
            request.kind == Kind::Refresh && request.field("refresh_token") == refresh_token
        };
        self.state().requests.iter().filter(is_of_it).count()
    }

    /// How many requests with a refresh token were open at once, at most. One whose client is gone is not open.
    pub(crate) fn max_in_flight(&self, refresh_token: &str) -> usize {
        self.state().flights.get(refresh_token).map_or(0, |(_, most)| *most)
    }

    /// How many refresh tokens were ever sent by two requests at once.
    pub(crate) fn sent_twice_at_once(&self) -> usize {
        self.state().flights.values().filter(|(_, most)| *most > 1).count()
    }

    /// How many requests came with a secret that is not the client's.
    pub(crate) fn wrong_secrets(&self) -> usize {
        self.state().wrong_secrets
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the provider panicked")
    }

    /// The time by its own clock.
    fn now(&self, state: &State) -> Duration {
        self.begun.elapsed() + state.ahead
    }

    /// Answers a request, and ends the connection. The request is no longer open when its client learns the end.
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

    /// Writes a request down; what shall happen to it.
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
    /// How it ends the connection at a gate, if it does.
    fn cut_at(&self, gate: Gate) -> Option<Cut> {
        match self {
            Self::Cut(at, how) if *at == gate => Some(*how),
            _ => None,
        }
    }
}
