//! The text of a scrape: the Prometheus text format 0.0.4, or OpenMetrics 1.0.
//!
//! Invariant: a family's lines follow one another, after its help and its type. No label can end its quotes.

use std::fmt::Write as _;

use store::Distributed;

/// The format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its name ends in `_total`.
    Counter,
    Gauge,
    Histogram,
    /// A constant 1 with labels. Its name ends in `_info`.
    Info,
}

/// The labels of a line: names and values.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Format {
    /// Returns the format that an `Accept` header prefers.
    pub(crate) fn accepted(accept: &str) -> Self {
        let mut best = [0.0_f64; 2];
        for item in accept.split(',') {
            let mut parts = item.split(';').map(|part| part.trim().to_ascii_lowercase());
            let media_type = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0_f64, None);
            for (name, value) in parts.filter_map(|part| {
                let (name, value) = part.split_once('=')?;
                Some((name.to_owned(), value.trim_matches('"').to_owned()))
            }) {
                match name.as_str() {
                    "q" => quality = value.parse().unwrap_or(0.0),
                    "version" => version = Some(value),
                    _ => {}
                }
            }
            match media_type.as_str() {
                "application/openmetrics-text"
                    if version.as_deref().is_none_or(|version| version == "1.0.0") =>
                {
                    best[1] = quality.max(best[1]);
                }
                "text/plain" | "text/*" | "*/*" => best[0] = quality.max(best[0]),
                _ => {}
            }
        }
        if best[1] > 0.0 && best[1] >= best[0] { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the type of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Kind {
    fn name(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) => "counter",
            (Self::Histogram, _) => "histogram",
            (Self::Info, Format::OpenMetrics) => "info",
            (Self::Gauge | Self::Info, _) => "gauge",
        }
    }

    /// Returns the end of a metric's name that OpenMetrics leaves out of the family's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

/// A scrape that is being written.
pub(crate) struct Exposition {
    format: Format,
    text: String,
    name: &'static str,
}

impl Exposition {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(32 * 1024), name: "" }
    }

    /// Begins a family. Its lines follow.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> &mut Self {
        let family = match self.format {
            Format::Prometheus => name,
            Format::OpenMetrics => name.strip_suffix(kind.suffix()).unwrap_or(name),
        };
        let kind = kind.name(self.format);
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        self.name = name;
        self
    }

    /// Writes a line of the family.
    pub(crate) fn value(&mut self, labels: Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    /// Writes a line of the family with a count.
    pub(crate) fn count(&mut self, labels: Labels<'_>, count: u64) {
        self.value(labels, count as f64);
    }

    /// Writes the lines of a distribution. `unit` is the size of its values' unit.
    pub(crate) fn distribution(&mut self, labels: Labels<'_>, read: &Distributed, unit: f64) {
        let mut total = 0;
        for (index, count) in read.counts.iter().enumerate() {
            total += count;
            let bound = read.bounds.get(index);
            let bound = bound.map_or("+Inf".to_owned(), |bound| number(*bound as f64 * unit));
            self.line("_bucket", labels, Some(&bound), total as f64);
        }
        self.line("_sum", labels, None, read.sum as f64 * unit);
        self.line("_count", labels, None, total as f64);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{separator}{name}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", number(value));
    }

    /// Returns the whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// Writes a number: an integer without a point, any other as short as it can be read back.
fn number(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded == value.trunc() && value.abs() < 1e15 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_written() {
        let write = |format| {
            let mut text = Exposition::new(format);
            text.family(Kind::Counter, "a_total", "Counts.")
                .count(&[("x", "q\"uo\\te\nd"), ("y", "")], 3);
            text.family(Kind::Info, "b_info", "Is.").count(&[], 1);
            let read = Distributed { bounds: &[500, 2_000_000], counts: vec![1, 0, 2], sum: 7 };
            text.family(Kind::Histogram, "c_seconds", "Takes.").distribution(&[], &read, 1e-6);
            text.family(Kind::Gauge, "d", "Has.").value(&[], 0.25);
            text.finish()
        };
        let lines = "c_seconds_bucket{le=\"0.0005\"} 1\nc_seconds_bucket{le=\"2\"} 1\n\
                     c_seconds_bucket{le=\"+Inf\"} 3\nc_seconds_sum 0.000007\nc_seconds_count 3\n\
                     # HELP d Has.\n# TYPE d gauge\nd 0.25\n";
        let expected = format!(
            "# HELP a_total Counts.\n# TYPE a_total counter\na_total{{x=\"q\\\"uo\\\\te\\nd\",y=\"\"}} 3\n\
             # HELP b_info Is.\n# TYPE b_info gauge\nb_info 1\n# HELP c_seconds Takes.\n\
             # TYPE c_seconds histogram\n{lines}"
        );
        assert_eq!(write(Format::Prometheus), expected);
        let expected = expected
            .replace("HELP a_total", "HELP a")
            .replace("TYPE a_total", "TYPE a")
            .replace("HELP b_info", "HELP b")
            .replace("TYPE b_info gauge", "TYPE b info");
        assert_eq!(write(Format::OpenMetrics), expected + "# EOF\n");
    }

    #[test]
    fn accept_chooses_the_format() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/plain", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
            ("application/openmetrics-text;q=0.1,text/plain;q=0.2", Prometheus),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
                 version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=nonsense", Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }
}
