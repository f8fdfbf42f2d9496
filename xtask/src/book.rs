//! `cargo xtask book`: makes the book from `docs` and the pages at the top of the repository.
//!
//! Invariant: the book's sources are a copy in `target/book`, so that the pages in the repository read well on a forge.
//! Every link of the built book leads to a page, a file or a heading of it, because otherwise the build fails.

pub(crate) mod configuration;
pub(crate) mod troubleshooting;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use crate::links;

const DOCS: &str = "docs";
const SOURCE: &str = "target/book/src";
const HTML: &str = "target/book/html";

/// The pages at the top of the repository, and where each is in the book.
const TOP: [(&str, &str); 5] = [
    ("CONTRACT.md", "reference/contract.md"),
    ("ARCHITECTURE.md", "reference/architecture.md"),
    ("CHANGELOG.md", "reference/changelog.md"),
    ("BENCHMARKS.md", "reference/benchmarks.md"),
    ("CONTRIBUTING.md", "reference/contributing.md"),
];
/// Files that a page links to and that are no pages are copied here.
const FILES: &str = "files";

/// Writes the generated pages, builds the book, and checks its links.
pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    configuration::write()?;
    if cmd!(shell, "mdbook --version").quiet().ignore_stderr().read().is_err() {
        bail!("the book needs mdBook: cargo install mdbook --version 0.5.4 --locked");
    }
    let source = Path::new(SOURCE);
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    for page in cmd!(shell, "git ls-files --cached --others --exclude-standard docs")
        .quiet()
        .read()?
        .lines()
    {
        let to = source.join(Path::new(page).strip_prefix(DOCS)?);
        copy(Path::new(page), &to)?;
    }
    for (page, to) in TOP {
        copy(Path::new(page), &source.join(to))?;
    }
    fs::copy("docs/book.toml", "target/book/book.toml")?;
    cmd!(shell, "mdbook build target/book").quiet().run()?;
    let broken = broken_links(Path::new(HTML))?;
    ensure!(broken.is_empty(), "the book has broken links:\n{}", broken.join("\n"));
    println!("{HTML}/index.html");
    Ok(())
}

/// Copies a file into the book's source; of a page, with its links as they are in the book.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    let is_page = from.extension().is_some_and(|extension| extension == "md");
    // The table of contents names the pages as they are in the book.
    if !is_page || from.ends_with("SUMMARY.md") {
        fs::copy(from, to)?;
        return Ok(());
    }
    let text = fs::read_to_string(from).with_context(|| from.display().to_string())?;
    let (text, files) = in_book(from, to.strip_prefix(SOURCE)?, &text)?;
    fs::write(to, text)?;
    for file in files {
        let to = Path::new(SOURCE).join(FILES).join(&file);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(&file, to)
            .with_context(|| format!("{} links to {}", from.display(), file.display()))?;
    }
    Ok(())
}

/// Returns a page with the links that it has in the book, and the files that have to be copied for them.
///
/// A link to a folder becomes its text alone, because a book has no folders.
fn in_book(page: &Path, to: &Path, text: &str) -> anyhow::Result<(String, Vec<PathBuf>)> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut text = text.to_owned();
    let mut files = Vec::new();
    // From the end, so that the ranges of the others stay right.
    for link in links::links(&text).into_iter().rev() {
        let Some((path, anchor)) = link.within() else { continue };
        if path.is_empty() {
            continue;
        }
        let file = normal(&folder.join(path));
        let whole = &text[link.range.clone()];
        if file.is_dir() {
            let shown =
                whole.trim_start_matches('[').split("](").next().unwrap_or_default().to_owned();
            text.replace_range(link.range, &shown);
            continue;
        }
        let there = if let Some((_, there)) = TOP.iter().find(|(top, _)| Path::new(top) == file) {
            PathBuf::from(there)
        } else if let Ok(of_book) = file.strip_prefix(DOCS) {
            // mdBook makes index.html of README.md, but leaves links to it as they are.
            let is_index = of_book.ends_with("README.md");
            if is_index { of_book.with_file_name("index.md") } else { of_book.to_owned() }
        } else {
            files.push(file.clone());
            Path::new(FILES).join(file)
        };
        let up = to.components().count() - 1;
        let mut target = "../".repeat(up) + there.to_str().context("a path is not text")?;
        if !anchor.is_empty() {
            target = format!("{target}#{anchor}");
        }
        let start = whole
            .rfind(&format!("({}", link.target))
            .context("a link in another style than [text](target)")?;
        let replaced =
            format!("{}({target}{}", &whole[..start], &whole[start + 1 + link.target.len()..]);
        text.replace_range(link.range, &replaced);
    }
    Ok((text, files))
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The links of the built pages that lead nowhere.
fn broken_links(html: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for page in pages(html)? {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().context("no folder")?;
        for target in text.split("href=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0))
        {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { folder.join(path) };
            let has = |file: &Path| {
                let ids = [format!("id=\"{anchor}\""), format!("name=\"{anchor}\"")];
                fs::read_to_string(file).is_ok_and(|text| ids.iter().any(|id| text.contains(id)))
            };
            if !file.is_file() || (!anchor.is_empty() && !has(&file)) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    Ok(broken)
}

fn pages(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "html")
            // The page for a missing page has links from the root of the site; print.html has all pages in one.
            && !path.ends_with("404.html")
            && !path.ends_with("print.html")
        {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_same_page_in_the_book() {
        // Paths are those of the repository.
        std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .expect("the root");
        let page = "[a](../CONTRACT.md#x) [b](../../docs/grants.md) [c](../../Cargo.toml), [d](../../crates/model) [e](#f)";
        let page = page.replace("(../CONTRACT", "(../../CONTRACT");
        let (text, files) = in_book(Path::new("docs/how-to/x.md"), Path::new("how-to/x.md"), &page)
            .expect("a page");
        let expected =
            "[a](../reference/contract.md#x) [b](../grants.md) [c](../files/Cargo.toml), d [e](#f)";
        assert_eq!(text, expected);
        assert_eq!(files, [PathBuf::from("Cargo.toml")]);
        let (text, _) = in_book(
            Path::new("CONTRACT.md"),
            Path::new("reference/contract.md"),
            "[a](docs/grants.md)",
        )
        .expect("a page");
        assert_eq!(text, "[a](../grants.md)");
    }
}
