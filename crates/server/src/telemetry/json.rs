//! Lines of the log as JSON, each an object of its own.
//!
//! Invariant: a line has each field once: the fields of the event at its top, those of the request in `span`. No value
//! can end the line or its JSON string.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::unprintable::is_unprintable;

/// Writes fields as members of an object, each followed by a comma, so that others can follow.
pub(super) struct Members;

/// Writes events.
pub(super) struct JsonLines;

impl<'writer> FormatFields<'writer> for Members {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut members = Visitor { writer, outcome: Ok(()) };
        fields.record(&mut members);
        members.outcome
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

impl<S> FormatEvent<S, Members> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Members>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Events from the crate `log` have their own metadata among the fields.
        use tracing_log::NormalizeEvent as _;
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        write!(writer, "{{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\",", metadata.level())?;
        Members.format_fields(writer.by_ref(), event)?;
        write!(writer, "\"target\":\"{}\"", metadata.target())?;
        if let Some(scope) = context.event_scope() {
            write!(writer, ",\"span\":{{")?;
            let mut name = "";
            for span in scope.from_root() {
                if let Some(fields) = span.extensions().get::<FormattedFields<Members>>() {
                    writer.write_str(fields)?;
                }
                name = span.name();
            }
            write!(writer, "\"name\":\"{name}\"}}")?;
        }
        writeln!(writer, "}}")
    }
}

/// Writes each field that it visits.
struct Visitor<'a> {
    writer: Writer<'a>,
    outcome: fmt::Result,
}

impl Visitor<'_> {
    fn member(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = write!(self.writer, "\"{}\":{value},", field.name());
        }
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = write!(self.writer, "\"{}\":\"", field.name())
                .and_then(|()| Escaped(&mut self.writer).write_fmt(value))
                .and_then(|()| self.writer.write_str("\","));
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.member(field, format_args!("{value}"));
        } else {
            self.text(field, format_args!("{value}"));
        }
    }
}

/// The inside of a JSON string.
struct Escaped<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| is_unprintable(c) || c == '"' || c == '\\') {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = special.chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some(character @ ('"' | '\\')) => write!(self.0, "\\{character}")?,
                // All of them have one UTF-16 unit.
                Some(character) => write!(self.0, "\\u{:04x}", u32::from(character))?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_within_its_quotes() {
        let text = "a\"b\\c\nd\u{1b}e\u{85}\u{7f}\u{0}ø😀";
        let mut line = String::new();
        let mut writer = Writer::new(&mut line);
        Escaped(&mut writer).write_str(text).expect("written");
        let read: String = serde_json::from_str(&format!("\"{line}\"")).expect("JSON");
        assert_eq!(read, text);
        assert!(!line.chars().any(char::is_control), "{line}");
    }
}
