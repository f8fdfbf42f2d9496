//! Load on a server: wrk, the public load generator, and the code that fills a store before a measurement.
//!
//! Invariant: a failed call is counted, and a get without a record counts as failed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use super::{BASIC, SAVE};

/// The text that `done` of a script prints before the figures.
const MARK: &str = "measured:";
/// The number of connections that fill a store.
const SAVERS: usize = 16;

/// A call of the API.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) authorization: &'a str,
}

/// Calls as a Lua script of wrk, for any server.
pub(super) struct Script {
    file: PathBuf,
    path: String,
}

/// The figures that wrk prints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Calls a second that were answered with 2xx.
    pub(super) rate: f64,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) calls: u64,
    pub(super) failures: u64,
    /// Bytes of an answer, with its head.
    pub(super) answer_bytes: u64,
}

impl Script {
    /// Writes a script that makes the same call each time.
    pub(super) fn same(file: PathBuf, call: Call<'_>, body: &str) -> anyhow::Result<Self> {
        Self::write(file, call, &format!("wrk.body = '{body}'\n"))
    }

    /// Writes a script that gets a random key. The keys are in a file, one a line, as JSON strings.
    pub(super) fn any_of(file: PathBuf, call: Call<'_>, keys: &Path) -> anyhow::Result<Self> {
        let keys = keys.display();
        let lua = format!(
            "local requests = {{}}\n\
             function init()\n\
             \u{20} for key in io.lines('{keys}') do\n\
             \u{20}   requests[#requests + 1] = wrk.format(nil, nil, nil, '{{\"Key\":' .. key .. '}}')\n\
             \u{20} end\n\
             end\n\
             function request() return requests[math.random(#requests)] end\n"
        );
        Self::write(file, call, &lua)
    }

    fn write(file: PathBuf, call: Call<'_>, what: &str) -> anyhow::Result<Self> {
        let login = match call.authorization {
            "" => String::new(),
            value => format!("wrk.headers['Authorization'] = '{value}'\n"),
        };
        let lua = format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n{login}{what}\
             function done(all, latency)\n\
             \u{20} local lost = all.errors.connect + all.errors.read + all.errors.write\n\
             \u{20} print('{MARK}', all.requests, all.duration, latency.mean, latency:percentile(50),\n\
             \u{20}   latency:percentile(99), all.errors.status + all.errors.timeout + lost, all.bytes)\n\
             end\n"
        );
        fs::write(&file, lua)?;
        Ok(Self { file, path: call.path.to_owned() })
    }

    pub(super) fn run(
        &self,
        shell: &Shell,
        address: &str,
        connections: u32,
        seconds: u32,
    ) -> anyhow::Result<Outcome> {
        let (file, url) = (&self.file, format!("http://{address}{}", self.path));
        let (connections, seconds) = (connections.to_string(), seconds.to_string());
        let wrk = cmd!(shell, "wrk -t1 -c{connections} -d{seconds}s --timeout 30s -s {file} {url}");
        let told = wrk.quiet().read()?;
        let figures = told.lines().find_map(|line| line.strip_prefix(MARK));
        Outcome::parse(figures.with_context(|| format!("wrk printed no figures: {told}"))?)
    }
}

impl Outcome {
    /// Parses requests, microseconds, mean and percentiles in microseconds, failures and bytes.
    fn parse(figures: &str) -> anyhow::Result<Self> {
        let figures: Vec<f64> =
            figures.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[calls, duration, mean, p50, p99, failures, bytes] = &figures[..] else {
            bail!("wrk printed {} figures", figures.len());
        };
        ensure!(calls > failures, "no call was answered");
        Ok(Self {
            rate: (calls - failures) / duration * 1e6,
            mean_ms: mean / 1e3,
            p50_ms: p50 / 1e3,
            p99_ms: p99 / 1e3,
            calls: calls as u64,
            failures: failures as u64,
            answer_bytes: (bytes / calls) as u64,
        })
    }
}

/// Saves this number of records, and returns their keys as JSON strings.
pub(super) fn fill(address: &str, body: &str, records: usize) -> anyhow::Result<Vec<String>> {
    thread::scope(|scope| {
        let share = |saver| records / SAVERS + usize::from(saver < records % SAVERS);
        let savers: Vec<_> = (0..SAVERS)
            .map(|saver| scope.spawn(move || save_some(address, body, share(saver))))
            .collect();
        let mut keys = Vec::new();
        for saver in savers {
            keys.extend(saver.join().expect("saving does not panic")?);
        }
        Ok(keys)
    })
}

/// Saves one record after the other on one connection.
fn save_some(address: &str, body: &str, records: usize) -> anyhow::Result<Vec<String>> {
    let request = format!(
        "POST {SAVE} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {BASIC}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    let mut keys = Vec::with_capacity(records);
    for _ in 0..records {
        stream.get_mut().write_all(request.as_bytes())?;
        keys.push(read_answer(&mut stream)?);
    }
    Ok(keys)
}

/// Reads an answer that must be a 200, and returns its body.
pub(super) fn read_answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut status = String::new();
    stream.read_line(&mut status)?;
    ensure!(status.contains(" 200 "), "a save was answered with {status:?}");
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_no_part_of_the_rate() {
        let outcome =
            Outcome::parse("\t1000\t2000000\t2500\t1500\t9000.5\t200\t2000000\n").expect("figures");
        let expected = Outcome {
            rate: 400.0,
            mean_ms: 2.5,
            p50_ms: 1.5,
            p99_ms: 9.0005,
            calls: 1000,
            failures: 200,
            answer_bytes: 2000,
        };
        assert_eq!(outcome, expected);
        assert!(Outcome::parse("5 1000000 1 1 1 5 0").is_err(), "nothing but failures");
    }
}
