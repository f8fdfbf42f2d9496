//! The lines of CONTRACT.md that tests cite.
//!
//! Invariant: CONTRACT.md is the one list of lines. A line without a test is an error, and so is a test that cites a
//! line which does not exist.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context as _;

const CITATION: &str = "CONTRACT ";

/// Compares the lines of the contract with the citations of the tests in `files`.
pub(crate) fn check(contract: &Path, files: &[&str]) -> anyhow::Result<Vec<String>> {
    let contract = fs::read_to_string(contract).context("CONTRACT.md")?;
    let lines = lines(&contract);
    let mut cited = BTreeSet::new();
    let mut broken = Vec::new();
    for file in files {
        for (citation, _test) in citations(&fs::read_to_string(file)?) {
            if !lines.contains(&citation) {
                broken.push(format!("contract: {file} cites line {citation}, which is not there"));
            }
            cited.insert(citation);
        }
    }
    let uncited = lines.difference(&cited);
    broken.extend(uncited.map(|line| format!("contract: no test cites line {line}")));
    Ok(broken)
}

/// Prints the tests that cite a line, each with its file and its line there.
pub(crate) fn print_tests(line: &str, files: &[&str]) -> anyhow::Result<()> {
    let mut count = 0;
    for file in files {
        let cited = citations(&fs::read_to_string(file)?);
        for (_, test) in cited.iter().filter(|(cited, _)| cited == line) {
            println!("{file}:{test}");
            count += 1;
        }
    }
    anyhow::ensure!(
        count > 0,
        "no test cites line {line}; lines are called as in CONTRACT.md: 42, O1"
    );
    Ok(())
}

/// Returns the names of the lines: `**7.**` at a line's start, `| O1 |` in the table.
fn lines(contract: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let numbered = line.strip_prefix("**").and_then(|rest| rest.split_once(".**"));
        let operation = line.strip_prefix("| O").and_then(|rest| rest.split_once(" |"));
        let number = numbered.or(operation)?.0;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = if operation.is_some() { "O" } else { "" };
        is_number.then(|| format!("{prefix}{number}"))
    };
    contract.lines().filter_map(name).collect()
}

/// Returns the citations in the documentation of tests: `CONTRACT 3, O1: …` above `#[test]` or `#[rstest]`. Each has
/// the name of the line, and the line on which the test begins.
fn citations(source: &str) -> BTreeSet<(String, usize)> {
    let mut cited = BTreeSet::new();
    let mut pending = String::new();
    for (number, line) in (1..).zip(source.lines().map(str::trim)) {
        if let Some(doc) = line.strip_prefix("///") {
            pending.push_str(doc);
        } else if line == "#[test]" || line == "#[rstest]" {
            for citation in pending.split(CITATION).skip(1) {
                cited.extend(names(citation).into_iter().map(|name| (name, number)));
            }
        } else if !line.starts_with("#[") {
            pending.clear();
        }
    }
    cited
}

/// Expands `3, O1–O3: …` to 3, O1, O2, O3.
fn names(citation: &str) -> Vec<String> {
    let end = citation.find(|c: char| !c.is_ascii_digit() && !"O, –".contains(c));
    let list = &citation[..end.unwrap_or(citation.len())];
    let mut names = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('–').unwrap_or((part, part));
        let prefix = if first.starts_with('O') { "O" } else { "" };
        let number = |name: &str| name.trim_start_matches('O').parse::<u32>();
        if let (Ok(first), Ok(last)) = (number(first), number(last)) {
            names.extend((first..=last).map(|number| format!("{prefix}{number}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_contract_are_found() {
        let contract = "| O1 | `POST` |\n| | x |\n**7.** Seven\nsee **8.** here\n**Note.** no";
        assert_eq!(lines(contract), BTreeSet::from(["7".to_owned(), "O1".to_owned()]));
    }

    #[test]
    fn only_the_documentation_of_tests_cites() {
        let source = "//! CONTRACT 1\n/// CONTRACT 2: not a test\nfn f() {}\n\
                      /// CONTRACT 3, 5–7, O1: so;\n/// and CONTRACT 9.\n#[rstest]\n\
                      #[case(\"CONTRACT 8\")]\nfn g() {}";
        let expected = ["3", "5", "6", "7", "9", "O1"].map(|line| (line.to_owned(), 6));
        assert_eq!(citations(source), BTreeSet::from(expected));
    }

    #[test]
    fn both_sides_are_compared() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("CONTRACT.md"), "**1.** a\n**2.** b\n").expect("write");
        fs::write(path("t.rs"), "/// CONTRACT 1, 3\n#[test]\nfn t() {}\n").expect("write");
        let file = path("t.rs").display().to_string();
        let broken = check(&path("CONTRACT.md"), &[&file]).expect("files");
        let expected = [
            format!("contract: {file} cites line 3, which is not there"),
            "contract: no test cites line 2".to_owned(),
        ];
        assert_eq!(broken, expected);
    }
}
