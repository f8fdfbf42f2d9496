//! Parameters: the parts of a provider's URLs that differ from user to user, such as the shop in `{shop}.example.com`.
//!
//! Invariant: no value is free text. A value is one of a list, or one DNS label (RFC 1123 §2.1), so that it cannot
//! redirect a request to another host, port or query.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Endpoints;

const MOST_PARAMETERS: usize = 16;
const MOST_VALUES: usize = 100;
const MOST_BYTES_OF_NAME: usize = 32;
/// The maximum length of a label and of a host name (RFC 1035 §2.3.4).
const MOST_BYTES_OF_LABEL: usize = 63;
const MOST_BYTES_OF_HOST: usize = 253;

/// The allowed values of a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameter {
    /// A list of values. Each is a label, or labels with dots between them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// A pattern, if there is no list.
    pub pattern: Option<Pattern>,
    /// A fixed value for every user. Callers must not send one then.
    pub value: Option<String>,
}

/// The pattern of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One DNS label in lower case: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
    Label,
}

/// The parameters of a provider, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Parameters(BTreeMap<String, Parameter>);

/// The parameters, or the URLs with parameters, are invalid. The message is for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

/// A value from a caller is invalid or missing. No message repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidParameter {
    /// The parameter is required.
    #[error("{name} is missing; it may be {allowed}")]
    Missing {
        /// The parameter.
        name: String,
        /// Its allowed values: a list, or a pattern.
        allowed: String,
    },
    /// The value is not allowed.
    #[error("{name} has a value that is not allowed; it may be {allowed}")]
    NotAllowed {
        /// The parameter.
        name: String,
        /// Its allowed values: a list, or a pattern.
        allowed: String,
    },
    /// The provider lacks this parameter, or the configuration fixes its value.
    #[error("only these are taken: {known}")]
    Unknown {
        /// The parameters that a caller may send, or "none".
        known: String,
    },
}

impl Parameters {
    /// Checks the parameters and the URLs that contain them as `{name}`. Messages call each URL by its name.
    ///
    /// A parameter is in a path, or is a whole label of a host. With a pattern, at least two labels must follow it,
    /// because otherwise a caller could choose the domain. With a list it may be anywhere in a host, because the author
    /// of the list chose the hosts.
    ///
    /// # Errors
    /// The error names the parameter or the URL.
    pub fn check_templates<'a>(
        &self,
        urls: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), InvalidTemplate> {
        if self.0.len() > MOST_PARAMETERS {
            return Err(InvalidTemplate(format!("parameters has more than {MOST_PARAMETERS}")));
        }
        for (name, parameter) in &self.0 {
            if let Err(why) = parameter.check(name) {
                return Err(InvalidTemplate(format!("parameters.{} {why}", name.escape_debug())));
            }
        }
        let mut used = BTreeSet::new();
        for (what, url) in urls {
            let names = self.check_template(url);
            used.extend(names.map_err(|why| InvalidTemplate(format!("{what} {why}")))?);
        }
        match self.0.keys().find(|name| !used.contains(name.as_str())) {
            Some(name) => Err(InvalidTemplate(format!(
                "parameters.{name} is in no URL of the provider: write {{{name}}} where it belongs"
            ))),
            None => Ok(()),
        }
    }

    /// The parameters of a URL. The error completes the sentence "the URL …".
    fn check_template<'a>(&self, url: &'a str) -> Result<Vec<&'a str>, String> {
        let names = names(url).ok_or("has braces that are not those of a {parameter}")?;
        if let Some(name) = names.iter().find(|name| !self.0.contains_key(**name)) {
            return Err(format!("has {{{name}}}, which parameters does not have"));
        }
        if names.is_empty() {
            return Ok(names);
        }
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (_path, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        if [scheme, port, tail].iter().any(|part| part.contains('{')) || authority.contains('@') {
            return Err("may have a parameter only in its host and in its path".to_owned());
        }
        let labels: Vec<_> = host.split('.').collect();
        for (index, label) in labels.iter().enumerate().filter(|(_, label)| label.contains('{')) {
            let name = label.strip_prefix('{').and_then(|label| label.strip_suffix('}'));
            let parameter = name.and_then(|name| self.0.get(name));
            let parameter =
                parameter.ok_or("must have a parameter of the host alone between two dots")?;
            if parameter.pattern.is_some() && (index + 2 >= labels.len() || labels.contains(&"")) {
                return Err(format!(
                    "must have two labels at least right of {label}, as in {label}.example.com, because \
                     otherwise a value would choose whose host it is"
                ));
            }
        }
        Ok(names)
    }

    /// The values for the URLs: those of the caller and those of the configuration.
    ///
    /// # Errors
    /// The error names the parameter and its allowed values.
    pub fn check(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, InvalidParameter> {
        let open: Vec<_> = self.open().collect();
        if given.keys().any(|name| !open.contains(&name.as_str())) {
            let known = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            return Err(InvalidParameter::Unknown { known });
        }
        let mut values = self.fixed();
        for (name, parameter) in self.0.iter().filter(|(_, parameter)| parameter.value.is_none()) {
            let (name, allowed) = (name.clone(), parameter.form());
            match given.get(&name) {
                None => return Err(InvalidParameter::Missing { name, allowed }),
                Some(value) if !parameter.allows(value) => {
                    return Err(InvalidParameter::NotAllowed { name, allowed });
                }
                Some(value) => values.insert(name, value.clone()),
            };
        }
        Ok(values)
    }

    /// The names of the parameters that callers send.
    pub fn open(&self) -> impl Iterator<Item = &str> {
        let open = self.0.iter().filter(|(_, parameter)| parameter.value.is_none());
        open.map(|(name, _)| name.as_str())
    }

    /// The fixed values.
    pub fn fixed(&self) -> BTreeMap<String, String> {
        let fixed = self.0.iter().filter_map(|(name, parameter)| {
            parameter.value.as_ref().map(|value| (name.clone(), value.clone()))
        });
        fixed.collect()
    }

    /// A sample value for each parameter, so that a URL can be checked as a whole.
    pub fn samples(&self) -> BTreeMap<String, String> {
        let samples = self.0.iter().map(|(name, parameter)| {
            let value = parameter.value.as_ref().or(parameter.values.first());
            (name.clone(), value.map_or("a", String::as_str).to_owned())
        });
        samples.collect()
    }
}

impl Parameter {
    /// Checks a parameter. The error completes the sentence "the parameter …".
    fn check(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "must have a name of 1 to {MOST_BYTES_OF_NAME} lower-case letters, digits and `_`, with a \
                 letter first"
            ));
        }
        if self.pattern.is_some() && !self.values.is_empty() {
            return Err("must have values or a pattern, not both".to_owned());
        }
        if self.pattern.is_none() && self.values.is_empty() && self.value.is_none() {
            return Err(
                "must have values, such as [\"com\", \"eu\"], or pattern = \"label\", or a value"
                    .to_owned(),
            );
        }
        if self.values.len() > MOST_VALUES {
            return Err(format!("must have at most {MOST_VALUES} values"));
        }
        if !self.values.iter().all(|value| is_labels(value)) {
            return Err(
                "must have values that are DNS labels in lower case, or several with dots between"
                    .to_owned(),
            );
        }
        match &self.value {
            Some(value) if !self.allows(value) => {
                Err(format!("has a value that is not allowed: {}", self.allowed()))
            }
            _ => Ok(()),
        }
    }

    fn allows(&self, value: &str) -> bool {
        match self.pattern {
            Some(Pattern::Label) => is_label(value),
            None if self.values.is_empty() => is_labels(value),
            None => self.values.iter().any(|allowed| allowed == value),
        }
    }

    /// The allowed values, in a notation without words.
    fn form(&self) -> String {
        match self.pattern {
            None if !self.values.is_empty() => self.values.join(", "),
            Some(Pattern::Label) | None => {
                format!("[a-z0-9]([a-z0-9-]{{0,{}}}[a-z0-9])?", MOST_BYTES_OF_LABEL - 2)
            }
        }
    }

    fn allowed(&self) -> String {
        match self.pattern {
            None if !self.values.is_empty() => {
                format!("it must be one of {}", self.values.join(", "))
            }
            Some(Pattern::Label) | None => format!(
                "it must be a DNS label: 1 to {MOST_BYTES_OF_LABEL} lower-case letters, digits and \
                 hyphens, without a hyphen at either end"
            ),
        }
    }
}

impl Endpoints {
    /// Replaces the parameters by their values ([`Parameters::check`]).
    #[must_use]
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Self {
        let fill_one = |url: &Option<String>| url.as_deref().map(|url| fill(url, values));
        Self {
            authorization: fill_one(&self.authorization),
            token: fill(&self.token, values),
            refresh: fill_one(&self.refresh),
            revocation: fill_one(&self.revocation),
            introspection: fill_one(&self.introspection),
        }
    }
}

/// Replaces the parameters in a URL by their values. A parameter without a value is kept.
pub fn fill(url: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = url.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

/// The names of the parameters in a URL; `None` if a brace does not belong to a parameter.
fn names(url: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = url;
    while let Some(at) = rest.find(['{', '}']) {
        let (name, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
        names.push(Some(name).filter(|name| is_name(name))?);
        rest = after;
    }
    Some(names)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.len() <= MOST_BYTES_OF_NAME
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn is_label(text: &str) -> bool {
    (1..=MOST_BYTES_OF_LABEL).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_labels(text: &str) -> bool {
    text.len() <= MOST_BYTES_OF_HOST && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
