//! The page of errors by their text.
//!
//! Invariant: each heading in backticks is a part of a text in the sources, so that a reader who searches for a printed
//! text finds it.

use std::fs;

use anyhow::Context as _;

const PAGE: &str = "docs/how-to/troubleshooting.md";

/// Checks that the sources contain the headings of the page.
pub(crate) fn check(files: &[&str]) -> anyhow::Result<Vec<String>> {
    let is_source = |file: &&str| {
        file.starts_with("crates/") && (file.ends_with(".rs") || file.ends_with("/en.ftl"))
    };
    let mut sources = String::new();
    for file in files.iter().copied().filter(is_source) {
        sources.push_str(&fs::read_to_string(file).context(file.to_owned())?);
    }
    Ok(missing(&fs::read_to_string(PAGE).context(PAGE)?, &sources))
}

fn missing(page: &str, sources: &str) -> Vec<String> {
    let quoted = page.lines().filter_map(|line| {
        line.trim_start_matches('#').trim().strip_prefix('`')?.strip_suffix('`')
    });
    // A quotation mark of a text has a backslash in Rust.
    let is_there =
        |text: &&str| sources.contains(*text) || sources.contains(&text.replace('"', "\\\""));
    let missing = quoted.filter(|text| !is_there(text));
    missing.map(|text| format!("book: {PAGE} quotes `{text}`, which no source has")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_that_no_source_has_is_found() {
        let page = "# Errors\n## `the \"disk\" is full`\n`not a heading\n## `it rains`\n";
        let broken = missing(page, "bail!(\"{x}: the \\\"disk\\\" is full, and\")");
        assert_eq!(broken, [format!("book: {PAGE} quotes `it rains`, which no source has")]);
    }
}
