//! Presets: known settings of providers, so that an operator does not have to look them up.
//!
//! Invariant: a preset is data. No code depends on its name. Each value has its source in the file, or is listed as
//! unverified.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The number of suggestions for an unknown name.
const NEAREST: usize = 3;

/// The presets by name, in alphabetical order.
const PRESETS: [(&str, &str); 27] = [
    ("atlassian", include_str!("../presets/atlassian.toml")),
    ("auth0", include_str!("../presets/auth0.toml")),
    ("box", include_str!("../presets/box.toml")),
    ("dropbox", include_str!("../presets/dropbox.toml")),
    ("exact-online", include_str!("../presets/exact-online.toml")),
    ("figma", include_str!("../presets/figma.toml")),
    ("github", include_str!("../presets/github.toml")),
    ("github-app", include_str!("../presets/github-app.toml")),
    ("gitlab", include_str!("../presets/gitlab.toml")),
    ("google", include_str!("../presets/google.toml")),
    ("hubspot", include_str!("../presets/hubspot.toml")),
    ("linkedin", include_str!("../presets/linkedin.toml")),
    ("microsoft-entra", include_str!("../presets/microsoft-entra.toml")),
    ("notion", include_str!("../presets/notion.toml")),
    ("okta", include_str!("../presets/okta.toml")),
    ("paypal", include_str!("../presets/paypal.toml")),
    ("quickbooks", include_str!("../presets/quickbooks.toml")),
    ("salesforce", include_str!("../presets/salesforce.toml")),
    ("shopify", include_str!("../presets/shopify.toml")),
    ("slack", include_str!("../presets/slack.toml")),
    ("stripe-app", include_str!("../presets/stripe-app.toml")),
    ("superoffice", include_str!("../presets/superoffice.toml")),
    ("tiktok", include_str!("../presets/tiktok.toml")),
    ("x", include_str!("../presets/x.toml")),
    ("xero", include_str!("../presets/xero.toml")),
    ("zendesk", include_str!("../presets/zendesk.toml")),
    ("zoho", include_str!("../presets/zoho.toml")),
];

/// The known settings of a provider.
#[derive(Clone, Debug)]
pub struct Preset {
    /// The name in configurations.
    pub name: &'static str,
    /// The display name of the provider.
    pub title: String,
    /// The settings that no documentation confirms, as dotted keys.
    pub unverified: Vec<String>,
    /// The settings, by their names in a configuration.
    pub settings: Map<String, Value>,
    text: &'static str,
}

/// The file of a preset.
#[derive(Deserialize)]
struct Written {
    title: String,
    unverified: Vec<String>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// All presets, by name.
pub fn all() -> impl Iterator<Item = Preset> {
    PRESETS.into_iter().filter_map(|(name, text)| {
        let written: Written = toml::from_str(text).ok()?;
        let Written { title, unverified, settings } = written;
        Some(Preset { name, title, unverified, settings, text })
    })
}

/// Finds a preset by its name.
pub fn find(name: &str) -> Option<Preset> {
    all().find(|preset| preset.name == name)
}

/// The known names that are closest to an unknown one.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let mut names = PRESETS.map(|(known, _text)| (distance(&name, known), known));
    names.sort_unstable();
    names.into_iter().take(NEAREST).map(|(_distance, known)| known).collect()
}

impl Preset {
    /// The settings as TOML, with their sources. A line with an unverified value says so at its end.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let is_of_a_provider =
            |line: &&str| !["title", "unverified"].iter().any(|key| sets(line, key));
        self.text.trim().lines().filter(is_of_a_provider).skip_while(|line| line.is_empty()).map(
            |line| match self.unverified.iter().any(|key| sets(line, key)) {
                true => format!("{line}  # unverified"),
                false => line.to_owned(),
            },
        )
    }
}

/// Whether the line sets a key.
fn sets(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
}

/// The number of letters to add, remove or change to turn one text into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let letters: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=letters.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (column, known) in letters.iter().enumerate() {
            let change = corner + usize::from(*known != letter);
            corner = row[column + 1];
            row[column + 1] = change.min(corner + 1).min(row[column] + 1);
        }
    }
    row[letters.len()]
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_is_a_preset() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let files = fs::read_dir(folder).expect("the folder");
        let files = files.map(|file| file.expect("a file").path());
        let files: BTreeSet<_> =
            files.map(|file| file.file_stem().expect("a name").to_owned()).collect();
        let names = PRESETS.map(|(name, _text)| name.into());
        assert_eq!(files, BTreeSet::from(names));
        for (name, text) in PRESETS {
            if let Err(error) = toml::from_str::<Written>(text) {
                panic!("{name}: {error}");
            }
            assert_eq!(find(name).expect(name).name, name);
        }
    }

    #[test]
    fn every_value_has_its_source() {
        for preset in all() {
            let name = preset.name;
            let mut has_source = false;
            for line in preset.lines() {
                if line.is_empty() {
                    has_source = false;
                } else if let Some(comment) = line.strip_prefix("# ") {
                    has_source |= comment.starts_with("https://");
                } else {
                    assert!(has_source || line.ends_with("  # unverified"), "{name}: {line}");
                }
            }
            for key in &preset.unverified {
                assert!(preset.text.lines().any(|line| sets(line, key)), "{name}: {key}");
            }
        }
    }

    #[test]
    fn the_lines_are_the_settings() {
        for preset in all() {
            let lines = preset.lines().collect::<Vec<_>>().join("\n");
            let read: Map<String, Value> = toml::from_str(&lines).expect(preset.name);
            assert_eq!(read, preset.settings, "{}", preset.name);
        }
    }

    #[test]
    fn a_name_that_is_none_has_near_ones() {
        assert!(find("Google").is_none());
        assert_eq!(nearest("gogle")[0], "google");
        assert_eq!(nearest("GITHUB-APPS")[0], "github-app");
        assert_eq!(nearest("microsoft")[0], "microsoft-entra");
        assert_eq!(nearest(&"a".repeat(300)).len(), 3);
        assert_eq!((distance("", "xero"), distance("xero", "xero")), (4, 0));
    }
}
