//! Presets: what is known of a provider beforehand, as settings that an operator would otherwise have to find out.
//!
//! Invariant: a preset is data. No code looks at its name, and each of its values has its source beside it, or is listed
//! as unverified.

use serde::Deserialize;
use serde_json::{Map, Value};

/// How many names are suggested for one that is none.
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

/// What is known of a provider.
#[derive(Clone, Debug)]
pub struct Preset {
    /// The name that configurations write.
    pub name: &'static str,
    /// What people call the provider.
    pub title: String,
    /// The settings, as dotted keys, whose values no documentation that was read has.
    pub unverified: Vec<String>,
    /// The settings, by the names of a configuration.
    pub settings: Map<String, Value>,
    text: &'static str,
}

/// A file of a preset.
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

/// The preset of that name.
pub fn find(name: &str) -> Option<Preset> {
    all().find(|preset| preset.name == name)
}

/// The names that are nearest to one that is none.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let mut names = PRESETS.map(|(known, _text)| (distance(&name, known), known));
    names.sort_unstable();
    names.into_iter().take(NEAREST).map(|(_distance, known)| known).collect()
}

impl Preset {
    /// The settings as lines of TOML, with their sources. A line whose value is unverified says so at its end.
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

/// Whether the line gives a key its value.
fn sets(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
}

/// How many letters have to be added, removed or changed to make one text of the other (Levenshtein).
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
