//! The links of the Markdown pages.
//!
//! Invariant: a link within the repository leads to a file or folder of it, and to a heading that is there.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use anyhow::Context as _;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A link or picture of a page.
pub(crate) struct Link {
    /// The part of the page that holds it, from the text to the closing bracket.
    pub(crate) range: Range<usize>,
    pub(crate) target: String,
}

impl Link {
    /// Splits the target into a path, empty for the page itself, and an anchor. Returns `None` for a link to another site.
    pub(crate) fn within(&self) -> Option<(&str, &str)> {
        let is_elsewhere = self.target.contains("://") || self.target.starts_with("mailto:");
        (!is_elsewhere).then(|| self.target.split_once('#').unwrap_or((&self.target, "")))
    }
}

/// Reads the links of a page, in their order.
pub(crate) fn links(page: &str) -> Vec<Link> {
    let events = Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter();
    let found = events.filter_map(|(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(Link { range, target: dest_url.into_string() })
        }
        _ => None,
    });
    found.collect()
}

/// Reads the anchors of a page's headings, as forges and mdBook make them.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut count = BTreeMap::<String, usize>::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(page, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let seen = count.entry(anchor.clone()).or_default();
                anchors.push(if *seen == 0 { anchor } else { format!("{anchor}-{seen}") });
                *seen += 1;
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}

/// Checks the links of these pages.
pub(crate) fn check(pages: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(page).with_context(|| (*page).to_owned())?;
        let folder = Path::new(page).parent().unwrap_or(Path::new(""));
        for link in links(&text) {
            let Some((path, anchor)) = link.within() else { continue };
            let linked =
                if path.is_empty() { Path::new(page).to_owned() } else { folder.join(path) };
            let is_there = linked.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&linked)?).iter().any(|known| known == anchor));
            if !is_there {
                broken.push(format!("links: {page} links to {}, which is not there", link.target));
            }
        }
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a page");
            path.to_str().expect("text").to_owned()
        };
        write("b.md", "# `latchkey keys`: rotate\n## Again\n## Again\n");
        let page = write(
            "a.md",
            "# Here\n[1](b.md#latchkey-keys-rotate) [2](b.md#again-1) [3](#here) [4](https://example.com/x)\n\
             `[5](none.md)` [6](none.md) [7](b.md#none) ![8](none.svg)\n",
        );
        let broken = check(&[&page]).expect("pages");
        let expected = ["none.md", "b.md#none", "none.svg"]
            .map(|target| format!("links: {page} links to {target}, which is not there"));
        assert_eq!(broken, expected);
    }
}
