//! `cargo xtask bench`: what is measured for BENCHMARKS.md.
//!
//! Invariant: figures that are compared come from one process in one run, in turns; what is reported is
//! a ratio.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::flags::{Bench, BenchCmd, Logins, Schemes};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const WHO: &str = "/api/v1/User/currentPrincipal";
/// Where the code to be measured is checked out and patched.
const CHECKOUT: &str = "target/bench/checkout";
/// Lets whoever sends no `Authorization` in: the yardstick, in the same process.
const NO_LOGIN: &str = "xtask/bench/no-login.patch";
const CONNECTIONS: u32 = 64;
const ROUNDS: usize = 5;

pub(crate) fn run(shell: &Shell, bench: Bench) -> anyhow::Result<()> {
    match bench.subcommand {
        BenchCmd::Schemes(Schemes { seconds }) => schemes(shell, seconds.unwrap_or(5)),
        BenchCmd::Logins(Logins { samples }) => logins(shell, samples.unwrap_or(10_000)),
    }
}

/// Calls a second by each scheme, as a share of the same call with no authentication.
fn schemes(shell: &Shell, seconds: u32) -> anyhow::Result<()> {
    for tool in ["wrk", "openssl"] {
        let found = cmd!(shell, "which {tool}").quiet().ignore_stdout().run();
        ensure!(found.is_ok(), "{tool} is not installed");
    }
    let issuer = Issuer::new(shell)?;
    let server = Server::start(build(shell, true)?, Some(&issuer))?;
    let body = json!({"TokenManagementInfo": {
        "Provider": "et", "AccessToken": "a".repeat(1000), "RefreshToken": "r".repeat(1000)
    }});
    let key: Value = serde_json::from_str(&server.call("POST", SAVE, "", &body.to_string())?.1)?;
    let get = json!({ "Key": key }).to_string();
    let schemes = server.schemes(&issuer)?;
    println!("| call | scheme | calls/s, median of {ROUNDS} | share |");
    println!("|---|---|--:|--:|");
    for (name, path, body) in [("get", GET, &get), ("save", SAVE, &body.to_string())] {
        let mut rates = vec![Vec::new(); schemes.len()];
        for _ in 0..ROUNDS {
            for ((_, authorization), rates) in schemes.iter().zip(&mut rates) {
                rates.push(server.load(shell, path, authorization, body, seconds)?);
            }
        }
        let medians: Vec<f64> = rates.into_iter().map(median).collect();
        for ((scheme, _), rate) in schemes.iter().zip(&medians) {
            let share = rate / medians[0] * 100.0;
            println!("| {name} | {scheme} | {rate:.0} | {share:.0} % |");
        }
    }
    Ok(())
}

/// Whether an unknown user is told by the time that it takes.
fn logins(shell: &Shell, samples: usize) -> anyhow::Result<()> {
    let server = Server::start(build(shell, false)?, None)?;
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..samples {
        // In turns, and each first as often as second, so that a drift meets both alike.
        let order = if number % 4 < 2 { [0, 1] } else { [1, 0] };
        let which = order[number % 2];
        let authorization =
            ["Basic dGplMDp3cm9uZy1wYXNzd29yZA==", "Basic dWplMDp3cm9uZy1wYXNzd29yZA=="][which];
        let began = Instant::now();
        let (status, _) = server.call("GET", WHO, authorization, "")?;
        times[which].push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(status == 401, "the answer was {status}");
    }
    let [known, unknown] = times.map(trimmed);
    let (mean_known, variance_known) = moments(&known);
    let (mean_unknown, variance_unknown) = moments(&unknown);
    let error =
        (variance_known / known.len() as f64 + variance_unknown / unknown.len() as f64).sqrt();
    let difference = mean_unknown - mean_known;
    println!("{} samples, the slowest 5 % of each kind left out", samples);
    println!("wrong password: mean {mean_known:.3} ms, median {:.3} ms", median(known));
    println!("unknown user:   mean {mean_unknown:.3} ms, median {:.3} ms", median(unknown));
    println!("difference {difference:.4} ms, Welch's t = {:.2}", difference / error);
    Ok(())
}

/// A release build of HEAD; patched to have the yardstick.
fn build(shell: &Shell, has_yardstick: bool) -> anyhow::Result<PathBuf> {
    let target = shell.current_dir().join("target");
    if shell.path_exists(CHECKOUT) {
        cmd!(shell, "git worktree remove --force {CHECKOUT}").quiet().run()?;
    }
    cmd!(shell, "git worktree add --quiet --force --detach {CHECKOUT} HEAD").quiet().run()?;
    let patch = shell.current_dir().join(NO_LOGIN);
    let _checkout = shell.push_dir(CHECKOUT);
    if has_yardstick {
        cmd!(shell, "git apply --recount {patch}").quiet().run()?;
    }
    cmd!(shell, "cargo build --quiet --locked --release -p server --target-dir {target}").run()?;
    Ok(target.join("release/latchkey"))
}

/// A server on a free port, in a folder of its own.
struct Server {
    process: Child,
    binary: PathBuf,
    folder: tempfile::TempDir,
    address: String,
    /// Held, for a server that cannot finish its greeting ends.
    _greeting: BufReader<ChildStdout>,
}

impl Server {
    fn start(binary: PathBuf, issuer: Option<&Issuer>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = command(&binary, folder.path());
        if let Some(issuer) = issuer {
            let keys = [issuer.jwk(Algorithm::RS256)?, issuer.jwk(Algorithm::ES256)?];
            fs::write(folder.path().join("jwks.json"), json!({ "keys": keys }).to_string())?;
            command
                .env("LATCHKEY__AUTH__SCHEMES__BEARER", "true")
                .env("LATCHKEY__AUTH__BEARER__JWKS", "jwks.json")
                .env("LATCHKEY__AUTH__BEARER__ISSUER", "https://issuer.example")
                .env("LATCHKEY__AUTH__BEARER__AUDIENCE", "latchkey");
        }
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut greeting = BufReader::new(process.stdout.take().context("its output")?);
        let mut line = String::new();
        greeting.read_line(&mut line)?;
        let address = line.trim().rsplit("//").next().context("its address")?.to_owned();
        Ok(Self { process, binary, folder, address, _greeting: greeting })
    }

    /// A name and the value of `Authorization` for each scheme; first that of the yardstick.
    fn schemes(&self, issuer: &Issuer) -> anyhow::Result<Vec<(&'static str, String)>> {
        let issued =
            command(&self.binary, self.folder.path()).args(["ticket", "issue", "tje0"]).output()?;
        let ticket = String::from_utf8(issued.stdout)?;
        let basic = "Basic dGplMDpUamUw".to_owned();
        let (_, token) = self.call("GET", "/api/v1/User/currentToken", &basic, "")?;
        let token: String = serde_json::from_str(&token)?;
        Ok(vec![
            ("none", String::new()),
            ("Basic, remembered", basic),
            ("SoTicket", format!("SoTicket {}", ticket.trim())),
            ("Bearer, access token", format!("Bearer {token}")),
            ("Bearer, JWT RS256", format!("Bearer {}", issuer.jwt(Algorithm::RS256)?)),
            ("Bearer, JWT ES256", format!("Bearer {}", issuer.jwt(Algorithm::ES256)?)),
        ])
    }

    /// Status and body of one call, on a connection of its own.
    fn call(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let login = match authorization {
            "" => String::new(),
            value => format!("Authorization: {value}\r\n"),
        };
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{login}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).context("a status")?.parse()?;
        let (_, body) = answer.split_once("\r\n\r\n").context("a body")?;
        Ok((status, body.to_owned()))
    }

    /// Calls a second.
    fn load(
        &self,
        shell: &Shell,
        path: &str,
        authorization: &str,
        body: &str,
        seconds: u32,
    ) -> anyhow::Result<f64> {
        let script = self.folder.path().join("load.lua");
        let login = match authorization {
            "" => String::new(),
            value => format!("wrk.headers['Authorization'] = '{value}'\n"),
        };
        let lua = format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n{login}\
             wrk.body = '{body}'\n"
        );
        fs::write(&script, lua)?;
        let url = format!("http://{}{path}", self.address);
        let (connections, seconds) = (CONNECTIONS.to_string(), seconds.to_string());
        let told =
            cmd!(shell, "wrk -t1 -c{connections} -d{seconds}s -s {script} {url}").quiet().read()?;
        if told.contains("Non-2xx") || told.contains("Socket errors") {
            bail!("calls failed: {told}");
        }
        let rate = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        Ok(rate.context("a rate")?.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .current_dir(folder)
        .env_clear()
        .env("LATCHKEY__SERVER__LISTEN", "127.0.0.1:0")
        .env("LATCHKEY__AUTH__THROTTLE__PER_USER", "1000000")
        .env("LATCHKEY__AUTH__THROTTLE__PER_ADDRESS", "1000000")
        .env("LATCHKEY__LOG__FILTER", "warn");
    command
}

/// An issuer of JWTs, with a key for each algorithm.
struct Issuer {
    rsa: EncodingKey,
    ec: EncodingKey,
}

impl Issuer {
    fn new(shell: &Shell) -> anyhow::Result<Self> {
        let rsa = cmd!(shell, "openssl genrsa -traditional 2048").ignore_stderr().quiet().read()?;
        let ec = cmd!(shell, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
        let ec = ec.ignore_stderr().quiet().read()?;
        Ok(Self {
            rsa: EncodingKey::from_rsa_pem(rsa.as_bytes())?,
            ec: EncodingKey::from_ec_pem(ec.as_bytes())?,
        })
    }

    fn key(&self, algorithm: Algorithm) -> &EncodingKey {
        if algorithm == Algorithm::RS256 { &self.rsa } else { &self.ec }
    }

    fn jwk(&self, algorithm: Algorithm) -> anyhow::Result<Jwk> {
        Ok(Jwk::from_encoding_key(self.key(algorithm), algorithm)?)
    }

    fn jwt(&self, algorithm: Algorithm) -> anyhow::Result<String> {
        let claims = json!({
            "iss": "https://issuer.example", "aud": "latchkey", "sub": "tje0",
            "exp": 4_102_444_800_u64,
            "http://schemes.superoffice.net/identity/is_administrator": true
        });
        Ok(encode(&Header::new(algorithm), &claims, self.key(algorithm))?)
    }
}

/// Without the slowest 5 %, which the machine, and not the server, decides.
fn trimmed(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 95 / 100);
    times
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, squares / (count - 1.0))
}
