//! `cargo xtask bench schemes`: measures the cost of each scheme of authentication.
//!
//! Invariant: the yardstick is the same call in the same process, accepted without any check of the caller.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::{
    BASIC, CONNECTIONS, GET, SAVE,
    load::{Call, Script},
    median, need,
    process::{Server, latchkey},
    record,
};

/// The folder where the measured code is checked out and patched.
const CHECKOUT: &str = "target/bench/checkout";
/// The folder of its build. It is separate, because otherwise cargo would take the patched server for that of the
/// working tree, and a developer might run it.
const BUILT: &str = "target/bench/built";
/// The patch for the yardstick: it accepts calls without `Authorization`.
const NO_LOGIN: &str = "xtask/bench/no-login.patch";
const ROUNDS: usize = 5;

/// Measures the calls a second of each scheme, as a share of the same call without authentication.
pub(super) fn run(shell: &Shell, seconds: u32) -> anyhow::Result<()> {
    need(shell, "wrk", "wrk")?;
    need(shell, "openssl", "openssl")?;
    let issuer = Issuer::new(shell)?;
    let binary = build(shell, true)?;
    let folder = tempfile::tempdir()?;
    let server = start(&binary, folder.path(), &issuer)?;
    let record = record();
    let key: Value = serde_json::from_str(&server.call("POST", SAVE, "", &record)?.1)?;
    let get = json!({ "Key": key }).to_string();
    let schemes = schemes(&binary, folder.path(), &server, &issuer)?;
    println!("| call | scheme | calls/s, median of {ROUNDS} | share |");
    println!("|---|---|--:|--:|");
    for (name, path, body) in [("get", GET, &get), ("save", SAVE, &record)] {
        let mut rates = vec![Vec::new(); schemes.len()];
        for _ in 0..ROUNDS {
            for ((_, authorization), rates) in schemes.iter().zip(&mut rates) {
                let script = folder.path().join("load.lua");
                let script = Script::same(script, Call { path, authorization }, body)?;
                let outcome = script.run(shell, &server.address, CONNECTIONS, seconds)?;
                ensure!(outcome.failures == 0, "calls failed: {outcome:?}");
                rates.push(outcome.rate);
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

/// Starts a server that accepts all schemes.
fn start(binary: &Path, folder: &Path, issuer: &Issuer) -> anyhow::Result<Server> {
    let keys = [issuer.jwk(Algorithm::RS256)?, issuer.jwk(Algorithm::ES256)?];
    fs::write(folder.join("jwks.json"), json!({ "keys": keys }).to_string())?;
    let mut command = latchkey(binary, folder);
    command
        .env("LATCHKEY__AUTH__SCHEMES__BEARER", "true")
        .env("LATCHKEY__AUTH__BEARER__JWKS", "jwks.json")
        .env("LATCHKEY__AUTH__BEARER__ISSUER", "https://issuer.example")
        .env("LATCHKEY__AUTH__BEARER__AUDIENCE", "latchkey");
    Server::start(command)
}

/// Returns a name and a value of `Authorization` for each scheme; the yardstick is the first.
fn schemes(
    binary: &Path,
    folder: &Path,
    server: &Server,
    issuer: &Issuer,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let issued = latchkey(binary, folder).args(["ticket", "issue", "tje0"]).output()?;
    let ticket = String::from_utf8(issued.stdout)?;
    let (_, token) = server.call("GET", "/api/v1/User/currentToken", BASIC, "")?;
    let token: String = serde_json::from_str(&token)?;
    Ok(vec![
        ("none", String::new()),
        ("Basic, remembered", BASIC.to_owned()),
        ("SoTicket", format!("SoTicket {}", ticket.trim())),
        ("Bearer, access token", format!("Bearer {token}")),
        ("Bearer, JWT RS256", format!("Bearer {}", issuer.jwt(Algorithm::RS256)?)),
        ("Bearer, JWT ES256", format!("Bearer {}", issuer.jwt(Algorithm::ES256)?)),
    ])
}

/// Builds HEAD for release; with the patch if it needs the yardstick.
pub(super) fn build(shell: &Shell, has_yardstick: bool) -> anyhow::Result<PathBuf> {
    let target = shell.current_dir().join(BUILT);
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
