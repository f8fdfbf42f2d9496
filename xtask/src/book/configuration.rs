//! The page of settings, made from `config/default.toml`.
//!
//! Invariant: every setting of that file has an entry with its comment, its default and its variable.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, bail};

const SETTINGS: &str = "config/default.toml";
const PAGE: &str = "docs/reference/configuration.md";
const HEAD: &str = "\
# Configuration

<!-- `cargo xtask book` makes this page. -->

This page has the settings and comments of [config/default.toml](../../config/default.toml).

";

/// Writes the page.
pub(crate) fn write() -> anyhow::Result<()> {
    fs::write(PAGE, page(&fs::read_to_string(SETTINGS).context(SETTINGS)?)?).context(PAGE)
}

/// Checks that the page is that of the settings.
pub(crate) fn check() -> anyhow::Result<Option<String>> {
    let expected = page(&fs::read_to_string(SETTINGS).context(SETTINGS)?)?;
    let is_current = fs::read_to_string(PAGE).is_ok_and(|page| page == expected);
    Ok((!is_current)
        .then(|| format!("book: {PAGE} is not that of {SETTINGS}; run `cargo xtask book`")))
}

/// A table of the file.
#[derive(Default)]
struct Section {
    /// As in `[server]`; empty at the top of the file.
    name: String,
    /// A table that there may be several of, or none; it is a comment of the file, up to an empty line.
    is_example: bool,
}

/// Makes the page. Returns an error for a line that is neither a comment, a table nor a setting.
fn page(settings: &str) -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    let mut section = Section::default();
    let mut comment: Vec<&str> = Vec::new();
    // The settings after a comment share it.
    let mut keys: Vec<&str> = Vec::new();
    for (index, line) in settings.lines().enumerate() {
        let of_example = line.strip_prefix("# ").filter(|_| section.is_example);
        let line = of_example.unwrap_or(line);
        let table = [line, line.strip_prefix("# ").unwrap_or_default()]
            .into_iter()
            .find(|line| is_table(line));
        if table.is_some()
            || line.is_empty()
            || (line.starts_with('#') && !is_key(line) && !keys.is_empty())
        {
            put_entry(&mut page, &section, &mut comment, &mut keys);
        }
        if let Some(table) = table.filter(|_| of_example.is_none()) {
            section = Section { name: name_of(table), is_example: line.starts_with('#') };
            let shown = if table.starts_with("[[") {
                format!("`[[{}]]`", section.name)
            } else {
                format!("`[{}]`", section.name)
            };
            write!(page, "## {shown}\n\n{}", prose(&comment))?;
            comment.clear();
        } else if is_key(line) || table.is_some() {
            keys.push(line);
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if line.is_empty() && !comment.is_empty() {
            // The comment at the top of the file, or that of a table that follows.
            page.push_str(&prose(&comment));
            comment.clear();
        } else if line.is_empty() {
            section.is_example = false;
        } else {
            bail!("{SETTINGS}:{}: neither a comment, a table nor a setting", index + 1);
        }
    }
    put_entry(&mut page, &section, &mut comment, &mut keys);
    Ok(page.trim_end().to_owned() + "\n")
}

/// Says whether a line opens a table, with nothing but a comment after it.
fn is_table(line: &str) -> bool {
    let table = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    table.is_some_and(|(_name, rest)| {
        let rest = rest.trim_start_matches(']').trim_start();
        rest.is_empty() || rest.starts_with('#')
    })
}

fn name_of(table: &str) -> String {
    table.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned()
}

/// Says whether a line is a setting; one that has no default is a comment.
fn is_key(line: &str) -> bool {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let name = line.split(" = ").next().filter(|name| *name != line);
    name.is_some_and(|name| {
        name.chars().all(|letter| letter.is_ascii_lowercase() || "_.".contains(letter))
    })
}

/// Writes the entry of the settings that share a comment.
fn put_entry(page: &mut String, section: &Section, comment: &mut Vec<&str>, keys: &mut Vec<&str>) {
    if keys.is_empty() {
        return;
    }
    let full = |key: &str| match key.split(" = ").next() {
        Some(name) if section.name.is_empty() || key.starts_with('[') => name.to_owned(),
        Some(name) => format!("{}.{name}", section.name),
        None => String::new(),
    };
    let bare: Vec<&str> = keys.iter().map(|key| key.strip_prefix("# ").unwrap_or(key)).collect();
    let is_table = bare[0].starts_with('[');
    let names: Vec<String> = if is_table {
        vec![format!("`{}`", name_of(bare[0]))]
    } else {
        bare.iter().map(|key| format!("`{}`", full(key))).collect()
    };
    let _ = write!(page, "### {}\n\n{}", names.join(", "), prose(comment));
    let _ = write!(page, "```toml\n{}\n```\n\n", keys.join("\n"));
    if !section.is_example {
        let variables: Vec<String> = bare
            .iter()
            .map(|key| format!("`LATCHKEY__{}`", full(key).to_uppercase().replace('.', "__")))
            .collect();
        let _ = write!(page, "Variable: {}\n\n", variables.join(", "));
    }
    comment.clear();
    keys.clear();
}

/// A comment as Markdown: an indented line of it is code.
fn prose(comment: &[&str]) -> String {
    let mut text = String::new();
    let mut in_code = false;
    for line in comment {
        let is_code = line.starts_with("  ");
        if is_code != in_code {
            text.push_str(if is_code { "\n```text\n" } else { "```\n\n" });
            in_code = is_code;
        }
        if is_code {
            text.push_str(line.trim_start());
        } else {
            // Every second part is in backticks.
            for (index, part) in line.split('`').enumerate() {
                let quote = if index == 0 { "" } else { "`" };
                text.push_str(quote);
                text.push_str(&if index % 2 == 0 {
                    part.replace('*', "\\*").replace('<', "\\<")
                } else {
                    part.to_owned()
                });
            }
        }
        text.push('\n');
    }
    if in_code {
        text.push_str("```\n");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_an_entry() {
        let settings = "# All settings.\n\n# The name of \"*\".\nprofile = \"x\"\n\n# The server.\n[server]\n\n# Address.\n\
                        # A list:\n#   a\nlisten = \"b\"\n# Neither `*`.\n# tls = { a = 1 }\n\n# Providers.\n\
                        # [[grants.providers]]\n# # Its name.\n# name = \"xero\"\n# # No default.\n# # preset = \"y\"\n\
                        # # Requests.\n# # [grants.providers.request]   # a = 1\n";
        let expected = "All settings.\n\n### `profile`\n\nThe name of \"\\*\".\n\n```toml\nprofile = \"x\"\n```\n\n\
                        Variable: `LATCHKEY__PROFILE`\n\n## `[server]`\n\nThe server.\n\n### `server.listen`\n\nAddress.\n\
                        A list:\n\n```text\na\n```\n\n```toml\nlisten = \"b\"\n```\n\nVariable: `LATCHKEY__SERVER__LISTEN`\n\n\
                        ### `server.tls`\n\nNeither `*`.\n\n```toml\n# tls = { a = 1 }\n```\n\nVariable: `LATCHKEY__SERVER__TLS`\n\n\
                        ## `[[grants.providers]]`\n\nProviders.\n\n### `grants.providers.name`\n\nIts name.\n\n\
                        ```toml\nname = \"xero\"\n```\n\n### `grants.providers.preset`\n\nNo default.\n\n\
                        ```toml\n# preset = \"y\"\n```\n\n### `grants.providers.request`\n\nRequests.\n\n\
                        ```toml\n# [grants.providers.request]   # a = 1\n```\n";
        assert_eq!(page(settings).expect("settings"), HEAD.to_owned() + expected);
        assert!(page("server\n").is_err());
    }
}
