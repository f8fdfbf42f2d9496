//! Scrapes of the metrics, and what is in them.
//!
//! Invariant: a line that the Prometheus text format does not allow fails the test.

use std::collections::BTreeMap;

use crate::support::{
    app::{Setup, TestApp},
    client::Client,
};

/// The text of a scrape.
pub(crate) struct Scrape(pub(crate) String);

/// A line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Switches the metrics on, on a free port, with counts that are at most a second old.
pub(crate) fn scraped(setup: Setup) -> Setup {
    setup.with("METRICS__LISTEN", "127.0.0.1:0").with("METRICS__COUNT_SECONDS", "1")
}

/// The address and port of a server's metrics.
pub(crate) fn metrics_authority(app: &TestApp) -> String {
    let line = app.logged(&["serving metrics"]);
    let from = line.find("127.0.0.1:").expect("an address");
    let is_of_it = |character: char| character.is_ascii_digit() || ".:".contains(character);
    line[from..].chars().take_while(|character| is_of_it(*character)).collect()
}

/// A client of a server's metrics, without a credential.
pub(crate) fn scraper(app: &TestApp) -> Client {
    Client::new(&format!("http://{}", metrics_authority(app))).with_authorization(None)
}

impl Scrape {
    /// Scrapes a server.
    pub(crate) fn of(app: &TestApp) -> Self {
        Self::by(&scraper(app))
    }

    /// Scrapes with a client.
    pub(crate) fn by(client: &Client) -> Self {
        Self(client.request("GET", "/metrics", &[], b"").expect(200).body)
    }

    /// Every line with a value.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.lines().filter(|line| !line.starts_with('#')).map(Sample::parse).collect()
    }

    /// The value of the line with this name and these labels, and no other label.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels = labels.collect::<BTreeMap<_, _>>();
        let mut samples = self.samples().into_iter();
        Some(samples.find(|sample| sample.name == name && sample.labels == labels)?.value)
    }

    /// Like `find`, of a line that must be there.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        found.unwrap_or_else(|| panic!("no {name} with {labels:?} in: {}", self.0))
    }

    /// Each metric with its type and its help, in order.
    pub(crate) fn families(&self) -> Vec<[String; 3]> {
        let mut families = Vec::new();
        let mut lines = self.0.lines();
        while let Some(line) = lines.next() {
            let Some(help) = line.strip_prefix("# HELP ") else { continue };
            let (name, help) = help.split_once(' ').expect("a name and a help");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let kind = kind.and_then(|line| line.strip_prefix(name)).expect("the type follows");
            families.push([name.to_owned(), kind.trim().to_owned(), help.to_owned()]);
        }
        families
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (before, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let (name, labels) = before.split_once('{').unwrap_or((before, "}"));
        let mut rest = labels.strip_suffix('}').expect("the labels end");
        let mut labels = BTreeMap::new();
        while !rest.is_empty() {
            let (label, text) = rest.split_once("=\"").expect("a label");
            let mut value = String::new();
            let mut characters = text.char_indices();
            let end = loop {
                match characters.next().expect("a label ends") {
                    (index, '"') => break index,
                    (_, '\\') => value.push(match characters.next().expect("a character").1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice: {line}");
            rest = text[end + 1..].trim_start_matches(',');
        }
        Self { name: name.to_owned(), labels, value }
    }
}
