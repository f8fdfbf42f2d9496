//! The words that CONTRIBUTING.md bans, and sentences that open with a clause where a noun belongs.
//!
//! Invariant: only prose is checked: Markdown outside code, comments, error texts and the English texts of the server. A
//! phrase is found across a line break.

use std::{fs, path::Path};

use anyhow::Context as _;

/// Each phrase, and what to write instead.
const BANNED: [(&str, &str); 19] = [
    ("anew", "again"),
    ("anybody", "a user, a caller, a client"),
    ("as good as", "almost, or equal to"),
    ("for ever", "without end, permanently"),
    ("gather", "collect, queue"),
    ("gathered", "collected, queued"),
    ("gathers", "collects, queues"),
    ("have it in", "add it to"),
    ("lets in", "accepts"),
    ("nobody", "no user, no caller"),
    ("refused is", "the actor: the server rejects"),
    ("rested", "was idle"),
    ("so many", "the count, that number of"),
    ("so much", "the amount"),
    ("somebody", "a user, a caller"),
    ("the way to", "a hop to, how to"),
    ("told", "was sent, was given, configured"),
    ("whatever", "any, every"),
    ("whoever", "a caller who"),
];

/// The first words that a sentence must not have, unless it is a question. A link or bold text may have them, as a
/// heading may.
const CLAUSES: [&str; 2] = ["what", "who"];

/// A word of prose, in lower case and without punctuation.
struct Word {
    text: String,
    line: usize,
    begins_sentence: bool,
    /// The sentence that begins here is a question, or a heading.
    is_exempt: bool,
}

/// Checks the prose of these files; others than those with prose are passed over.
pub(crate) fn check(files: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in files {
        let Some(prose) = prose_of(file) else { continue };
        let text = fs::read_to_string(file).with_context(|| (*file).to_owned())?;
        broken.extend(check_prose(file, &prose(&text)));
    }
    Ok(broken)
}

/// Reads the prose of a kind of file: its lines, each with its number; an empty one ends a sentence.
type Reader = fn(&str) -> Vec<(usize, String)>;

fn prose_of(file: &str) -> Option<Reader> {
    let path = Path::new(file);
    let is_script = path.file_name().is_some_and(|name| name == "run") && file.contains(".ci");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("md") => Some(markdown),
        Some("rs" | "mjs" | "ts" | "js" | "go" | "php" | "cs") => Some(slash_comments),
        Some("sql") => Some(dash_comments),
        Some("toml" | "sh" | "py" | "yml" | "yaml") => Some(hash_comments),
        Some("ftl") if path.ends_with("en.ftl") => Some(fluent),
        _ if is_script => Some(hash_comments),
        _ => None,
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Paragraphs, lists and tables; headings, code and links' targets are left out.
fn markdown(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in numbered(text) {
        let line = line.trim();
        if line.starts_with("```") {
            in_code = !in_code;
        }
        let is_prose = !in_code && !line.starts_with(['#', '`', '<']);
        let begins = line.starts_with(['-', '*', '|']) || line.starts_with("1. ");
        if !is_prose || begins {
            lines.push((number, String::new()));
        }
        if is_prose {
            // The cells of a table are headings as often as sentences.
            lines.push((number, without_targets(line).replace('|', " cell ")));
        }
    }
    lines
}

/// A link as its text alone.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once(')').map_or("", |(_target, rest)| rest));
    }
    kept
}

/// Comments, and the texts of `#[error("…")]`.
fn slash_comments(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in numbered(text) {
        let line = line.trim();
        let comment =
            line.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim());
        let error = line.strip_prefix("#[error(\"");
        if comment.is_some_and(|comment| comment.starts_with("```")) {
            in_code = !in_code;
        }
        in_code &= comment.is_some();
        match comment.filter(|comment| !in_code && !comment.starts_with(['#', '`'])).or(error) {
            Some(prose) => lines.push((number, prose.to_owned())),
            None => lines.push((number, String::new())),
        }
    }
    lines
}

fn dash_comments(text: &str) -> Vec<(usize, String)> {
    let prose = |line: &str| line.trim().strip_prefix("--").unwrap_or_default().trim().to_owned();
    numbered(text).map(|(number, line)| (number, prose(line))).collect()
}

fn hash_comments(text: &str) -> Vec<(usize, String)> {
    let prose = |line: &str| {
        line.trim().strip_prefix('#').map(|rest| rest.trim_matches(['#', ' ']).to_owned())
    };
    numbered(text).map(|(number, line)| (number, prose(line).unwrap_or_default())).collect()
}

fn fluent(text: &str) -> Vec<(usize, String)> {
    let prose =
        |line: &str| line.split_once(" = ").map_or(line, |(_name, value)| value).trim().to_owned();
    numbered(text).map(|(number, line)| (number, prose(line))).collect()
}

fn words(lines: &[(usize, String)]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut begins_sentence = true;
    let mut beginning = 0;
    for (number, line) in lines {
        begins_sentence |= line.is_empty();
        // Every second part is in backticks: code, which stands for one word.
        for (index, part) in line.split('`').enumerate() {
            let is_code = index % 2 == 1;
            for word in part.split_whitespace().filter(|_| !is_code).chain(is_code.then_some("`")) {
                let text =
                    word.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '`');
                if !text.is_empty() {
                    if begins_sentence {
                        beginning = words.len();
                    }
                    let is_exempt = word.starts_with(['[', '*']);
                    words.push(Word {
                        text: text.to_lowercase(),
                        line: *number,
                        begins_sentence,
                        is_exempt,
                    });
                    begins_sentence = false;
                }
                let end = word.trim_end_matches(['"', ')', '*', '_']);
                begins_sentence |= end.ends_with(['.', '!', '?', ':']);
                if end.ends_with('?')
                    && let Some(first) = words.get_mut(beginning)
                {
                    first.is_exempt = true;
                }
            }
        }
    }
    words
}

fn check_prose(file: &str, lines: &[(usize, String)]) -> Vec<String> {
    let words = words(lines);
    let mut broken = Vec::new();
    for (index, word) in words.iter().enumerate() {
        for (phrase, better) in BANNED {
            let mut parts = phrase.split(' ').enumerate();
            let is_here = parts.all(|(offset, part)| {
                words.get(index + offset).is_some_and(|word| word.text == part)
            });
            if is_here {
                let line = word.line;
                broken.push(format!("words: {file}:{line} has \"{phrase}\"; write {better}"));
            }
        }
        if word.begins_sentence && !word.is_exempt && CLAUSES.contains(&word.text.as_str()) {
            let Word { text, line, .. } = word;
            broken.push(format!(
                "words: {file}:{line} begins a sentence with \"{text}\"; name the thing"
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_phrase_is_found_in_prose_alone() {
        let page =
            "# What is told\nIt is as\ngood as new, `told`. [told](told.md)\n```sh\ntold\n```\n";
        let broken = check_prose("p.md", &markdown(page));
        assert_eq!(
            broken,
            [
                "words: p.md:2 has \"as good as\"; write almost, or equal to",
                "words: p.md:3 has \"told\"; write was sent, was given, configured",
            ]
        );
    }

    #[test]
    fn comments_and_error_texts_are_prose() {
        let code = "/// Reads `x`. What is read\n/// is kept. What is it?\nlet told = 1;\n#[error(\"told\")]\n";
        let broken = check_prose("a.rs", &slash_comments(code));
        assert_eq!(
            broken,
            [
                "words: a.rs:1 begins a sentence with \"what\"; name the thing",
                "words: a.rs:4 has \"told\"; write was sent, was given, configured",
            ]
        );
    }

    #[test]
    fn settings_and_texts_are_read() {
        assert_eq!(check_prose("a.toml", &hash_comments("told = 1 # x\n# # Told.\n")).len(), 1);
        assert_eq!(check_prose("en.ftl", &fluent("told = Told\nwhat = What { $x }?\n")).len(), 1);
    }
}
