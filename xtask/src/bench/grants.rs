//! `cargo xtask bench grants`: measures the cost and the speed of refreshes.
//!
//! Invariant: gets of records that need no refresh are measured in turns: of a provider that is configured, of one that
//! is not, and at a server of an earlier version if there is one.

use std::{
    fs,
    io::{BufReader, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use xshell::Shell;

use super::{
    BASIC, CONNECTIONS, GET,
    cluster::Cluster,
    load::{self, Call, Outcome, Script},
    median, need,
    process::{Server, latchkey},
    store,
};

const ROUNDS: usize = 3;
/// The number of callers that read expired records at once.
const READERS: usize = 128;
/// The number of callers that read one expired record at once.
const CROWD: usize = 200;
/// The number of servers that the crowd reads from.
const SERVERS: usize = 3;

/// Measures; `before` is a server of an earlier version.
pub(super) fn run(
    shell: &Shell,
    seconds: u32,
    records: usize,
    before: Option<&Path>,
) -> anyhow::Result<()> {
    need(shell, "wrk", "wrk")?;
    let binaries = store::build(shell)?;
    let scratch = store::scratch(shell)?;
    let mut provider = Command::new(binaries.join("yardstick"));
    provider.arg("provider").current_dir(scratch.path()).env_clear();
    let provider = Server::start(provider)?;
    let binary = binaries.join("latchkey");
    let folder = scratch.path().join("sqlite");
    fs::create_dir(&folder)?;
    let server = Server::start(with_provider(latchkey(&binary, &folder), &provider))?;
    let before = before.map(|binary| earlier(shell, binary)).transpose()?;
    gets(shell, &server, before.as_ref(), &folder, seconds)?;
    before.map_or(Ok(()), Server::stop)?;
    refreshes(&server, &provider, records)?;
    server.stop()?;
    let cluster = Cluster::start(shell, &scratch.path().join("cluster"))?;
    crowd(&binary, scratch.path(), &cluster, &provider)
}

/// Starts a server of an earlier version, in a folder of its own.
fn earlier(shell: &Shell, binary: &Path) -> anyhow::Result<Server> {
    let folder = shell.current_dir().join("target/bench/store/earlier");
    fs::create_dir(&folder)?;
    Server::start(latchkey(&fs::canonicalize(binary)?, &folder))
}

fn with_provider(mut command: Command, provider: &Server) -> Command {
    let providers = json!([{
        "name": "refreshed", "token_endpoint": format!("http://{}/token", provider.address),
        "client_id": "bench", "client_secret": "bench", "allow_private_addresses": true
    }]);
    command
        .env("LATCHKEY__GRANTS__PROVIDERS", providers.to_string())
        .env("LATCHKEY__GRANTS__CONCURRENT", "64")
        .env("LATCHKEY__GRANTS__CONCURRENT_PER_PROVIDER", "64");
    command
}

/// Returns a record of 2 KB whose access token expires in this time. Without it, the provider's assumed hour counts.
fn record(provider: &str, expires_in: Option<u32>) -> String {
    let carrier = json!({
        "Provider": provider, "AccessToken": "a".repeat(1000), "RefreshToken": "r".repeat(1000)
    });
    json!({ "TokenManagementInfo": carrier, "ExpiresIn": expires_in }).to_string()
}

/// Measures gets that need no refresh.
fn gets(
    shell: &Shell,
    server: &Server,
    before: Option<&Server>,
    folder: &Path,
    seconds: u32,
) -> anyhow::Result<()> {
    let mut kinds = vec![("of a configured provider", "refreshed", server)];
    kinds.push(("of another", "other", server));
    kinds.extend(before.map(|before| ("at the earlier version", "earlier", before)));
    let mut scripts = Vec::new();
    for (_kind, name, server) in &kinds {
        let keys = load::fill(&server.address, &record(name, None), 10_000)?;
        let file = folder.join(format!("{name}.keys"));
        fs::write(&file, keys.join("\n"))?;
        let call = Call { path: GET, authorization: BASIC };
        scripts.push(Script::any_of(folder.join(format!("{name}.lua")), call, &file)?);
    }
    let mut outcomes: Vec<Vec<Outcome>> = kinds.iter().map(|_kind| Vec::new()).collect();
    for round in 1..=ROUNDS {
        eprintln!("round {round}: gets that need no refresh");
        // Each kind begins a round in turn, because the first of a round is slower.
        for kind in (0..kinds.len()).map(|turn| (turn + round) % kinds.len()) {
            let address = &kinds[kind].2.address;
            outcomes[kind].push(scripts[kind].run(shell, address, CONNECTIONS, seconds)?);
        }
    }
    println!("| get, {CONNECTIONS} connections, no refresh | calls/s | p99 |");
    println!("|---|--:|--:|");
    for ((kind, _, _), outcomes) in kinds.iter().zip(&outcomes) {
        let failures: u64 = outcomes.iter().map(|outcome| outcome.failures).sum();
        ensure!(failures == 0, "{failures} calls failed");
        let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure).collect());
        let (rate, p99) = (of(|outcome| outcome.rate), of(|outcome| outcome.p99_ms));
        println!("| {kind} | {rate:.0} | {p99:.2} ms |");
    }
    Ok(())
}

/// Measures expired records, each read once.
fn refreshes(server: &Server, provider: &Server, records: usize) -> anyhow::Result<()> {
    let keys = load::fill(&server.address, &record("refreshed", Some(0)), records)?;
    let before = count(provider)?;
    let began = Instant::now();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let keys = keys.iter().skip(reader).step_by(READERS);
                scope.spawn(move || read(&server.address, keys))
            })
            .collect();
        for reader in readers {
            reader.join().expect("reading does not panic")?;
        }
        anyhow::Ok(())
    })?;
    let time = began.elapsed();
    let refreshes = count(provider)? - before;
    ensure!(refreshes == records as u64, "{refreshes} refreshes of {records} records");
    println!(
        "\n{records} expired records, a provider that takes 50 ms, concurrent_per_provider = 64: {:.0} refreshes a \
         second from one server on SQLite.",
        records as f64 / time.as_secs_f64()
    );
    Ok(())
}

/// Reads records one after the other on one connection, and returns the time of the slowest.
fn read<'a>(address: &str, keys: impl Iterator<Item = &'a String>) -> anyhow::Result<Duration> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    let mut slowest = Duration::ZERO;
    for key in keys {
        let body = format!("{{\"Key\":{key}}}");
        let began = Instant::now();
        write!(
            stream.get_mut(),
            "POST {GET} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {BASIC}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let answer = load::read_answer(&mut stream)?;
        ensure!(answer.contains("aaaa"), "a get did not answer the tokens");
        slowest = slowest.max(began.elapsed());
    }
    Ok(slowest)
}

/// Measures many readers of one expired record, over several servers of one database.
fn crowd(binary: &Path, folder: &Path, cluster: &Cluster, provider: &Server) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        let folder = folder.join(format!("server-{number}"));
        fs::create_dir(&folder)?;
        let mut command = with_provider(latchkey(binary, &folder), provider);
        command
            .env("LATCHKEY__DATABASE__URL", cluster.url())
            .env("LATCHKEY__KEYS__DIRECTORY", folder.with_file_name("keys"));
        servers.push(Server::start(command)?);
    }
    let mut slowest = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("round {round}: {CROWD} readers of one expired record");
        let key = load::fill(&servers[0].address, &record("refreshed", Some(0)), 1)?;
        let key = key.first().context("a key")?;
        let (before, barrier) = (count(provider)?, Barrier::new(CROWD));
        let times = thread::scope(|scope| {
            let barrier = &barrier;
            let readers: Vec<_> = (0..CROWD)
                .map(|reader| {
                    let address = &servers[reader % SERVERS].address;
                    scope.spawn(move || {
                        barrier.wait();
                        read(address, [key].into_iter())
                    })
                })
                .collect();
            let join = |reader: thread::ScopedJoinHandle<'_, _>| reader.join().expect("no panic");
            readers.into_iter().map(join).collect::<anyhow::Result<Vec<Duration>>>()
        })?;
        let refreshes = count(provider)? - before;
        ensure!(refreshes == 1, "{refreshes} requests to the provider");
        slowest.push(times.into_iter().max().unwrap_or_default().as_secs_f64() * 1e3);
    }
    println!(
        "\n{CROWD} readers of one expired record over {SERVERS} servers on PostgreSQL: 1 request to the provider, which \
         takes 50 ms; the slowest reader waited {:.0} ms.",
        median(slowest)
    );
    servers.into_iter().try_for_each(Server::stop)
}

/// Returns the number of refreshes that the provider was asked for.
fn count(provider: &Server) -> anyhow::Result<u64> {
    let (_status, body) = provider.call("GET", "/count", "", "")?;
    Ok(body.trim().parse()?)
}
