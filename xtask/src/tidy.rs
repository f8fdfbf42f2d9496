//! `cargo xtask tidy`: the rules of this workspace that a program can check.
//!
//! Invariant: one run names every broken rule with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use xshell::{Shell, cmd};

use crate::{
    book::{configuration, troubleshooting},
    contract, links,
    migrate::BACKENDS,
    rooms, secrets, words,
};

/// The crates that a crate may depend on within the workspace, and those from outside that it must never use.
struct Layer {
    name: &'static str,
    may_use: &'static [&'static str],
    never_sees: &'static [&'static str],
}

const LAYERS: [Layer; 9] = [
    Layer {
        name: "latchkey-model",
        may_use: &[],
        never_sees: &["actix-web", "diesel", "serde", "serde_json", "tokio"],
    },
    Layer {
        name: "latchkey-negotiate",
        may_use: &[],
        never_sees: &["actix-web", "diesel", "tokio"],
    },
    Layer {
        name: "latchkey-auth",
        may_use: &["latchkey-model"],
        never_sees: &["actix-web", "diesel", "tokio"],
    },
    Layer {
        name: "latchkey-provider",
        may_use: &["latchkey-model"],
        never_sees: &["actix-web", "diesel", "tokio"],
    },
    Layer {
        name: "store",
        may_use: &["latchkey-model"],
        never_sees: &["actix-web", "serde", "serde_json"],
    },
    Layer {
        name: "server",
        may_use: &[
            "latchkey-auth",
            "latchkey-model",
            "latchkey-negotiate",
            "latchkey-provider",
            "store",
        ],
        never_sees: &["argon2", "aws-lc-rs", "diesel"],
    },
    Layer { name: "tests", may_use: &["latchkey-model", "server"], never_sees: &[] },
    Layer { name: "xtask", may_use: &["store"], never_sees: &[] },
    // The yardstick of the server must not change with the server.
    Layer { name: "yardstick", may_use: &[], never_sees: &["aws-lc-rs"] },
];

/// Prints the tests that cite a line of CONTRACT.md.
pub(crate) fn print_tests(shell: &Shell, line: &str) -> anyhow::Result<()> {
    let sources = sources(shell)?;
    contract::print_tests(line, &sources.lines().collect::<Vec<_>>())
}

/// Checks all rules; with `prints_graph`, prints the rooms and their imports instead.
pub(crate) fn run(shell: &Shell, prints_graph: bool) -> anyhow::Result<()> {
    let sources = sources(shell)?;
    let sources: Vec<&str> = sources.lines().filter(|file| Path::new(file).is_file()).collect();
    if prints_graph {
        return rooms::print_graph(&sources);
    }
    let mut broken = Vec::new();
    let json = cmd!(shell, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    broken.extend(layers(&serde_json::from_str(&json)?));
    broken.extend(migrations(Path::new("migrations"))?);
    broken.extend(module_docs(&sources)?);
    broken.extend(contract::check(Path::new("CONTRACT.md"), &sources)?);
    broken.extend(secrets::check(&sources)?);
    broken.extend(rooms::check(&sources)?);
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let files: Vec<&str> = files.lines().filter(|file| Path::new(file).is_file()).collect();
    broken.extend(words::check(&files)?);
    // The table of contents names pages as they are in the book, whose build checks them.
    let is_page = |file: &&str| file.ends_with(".md") && !file.ends_with("SUMMARY.md");
    broken.extend(links::check(&files.iter().copied().filter(is_page).collect::<Vec<_>>())?);
    broken.extend(configuration::check()?);
    broken.extend(troubleshooting::check(&files)?);
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/seal.md", "docs/threat-model.md"] {
        let text = fs::read_to_string(page).context(page)?;
        broken.extend(missing_files(page, &text, |file| Path::new(file).is_file()));
    }
    for (rule, command) in [
        ("format", cmd!(shell, "cargo fmt --check")),
        ("format", cmd!(shell, "cargo fmt --check --manifest-path fuzz/Cargo.toml")),
        (
            "benchmark's patch",
            cmd!(shell, "git apply --recount --check xtask/bench/no-login.patch"),
        ),
        ("lints", cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings")),
    ] {
        if command.run().is_err() {
            broken.push(format!("{rule}: see above"));
        }
    }
    let docs =
        cmd!(shell, "cargo doc --quiet --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings");
    if docs.run().is_err() {
        broken.push("doc comments: see above".to_owned());
    }
    broken.extend(TOOLS.iter().filter_map(|tool| run_tool(shell, tool)));
    if broken.is_empty() {
        println!("tidy");
        return Ok(());
    }
    for rule in &broken {
        eprintln!("{rule}");
    }
    bail!("{} rules are broken", broken.len())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` for normal dependencies, `dev` or `build`.
    kind: Option<String>,
}

/// Returns the dependencies that ARCHITECTURE.md does not draw.
fn layers(metadata: &Metadata) -> Vec<String> {
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let layers: BTreeMap<&str, &Layer> = LAYERS.iter().map(|layer| (layer.name, layer)).collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let Some(layer) = layers.get(package.name.as_str()) else {
            broken.push(format!("layers: {} is in no layer; name it in tidy.rs", package.name));
            continue;
        };
        for Dependency { name, kind } in &package.dependencies {
            let is_test_only = kind.as_deref() == Some("dev");
            let is_forbidden = if members.contains(name.as_str()) {
                !layer.may_use.contains(&name.as_str())
            } else {
                !is_test_only && layer.never_sees.contains(&name.as_str())
            };
            if is_forbidden {
                broken.push(format!("layers: {} must not depend on {name}", package.name));
            }
        }
    }
    broken
}

/// Checks that every backend has the same migrations, each with `up.sql` and `down.sql`.
fn migrations(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    let mut names = BTreeMap::new();
    for backend in BACKENDS {
        let folder = root.join(backend);
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            for file in ["up.sql", "down.sql"] {
                if !path.join(file).is_file() {
                    broken.push(format!("migrations: {} has no {file}", path.display()));
                }
            }
            found.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        names.insert(backend, found);
    }
    let all: BTreeSet<&String> = names.values().flatten().collect();
    for (backend, found) in &names {
        for missing in all.iter().filter(|name| !found.contains(**name)) {
            broken.push(format!("migrations: {backend} lacks {missing}"));
        }
    }
    Ok(broken)
}

/// Returns the Rust files that are, or will be, under version control.
fn sources(shell: &Shell) -> anyhow::Result<String> {
    Ok(cmd!(shell, "git ls-files --cached --others --exclude-standard *.rs").quiet().read()?)
}

/// Checks that every source file begins with `//!`.
fn module_docs(sources: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in sources {
        if !fs::read_to_string(file)?.starts_with("//! ") {
            broken.push(format!("module docs: {file} does not open with `//!`"));
        }
    }
    Ok(broken)
}

/// Returns the missing files that a page for developers names in backticks. Those of a crate are named without `crates`
/// and `src`, as in `store/keys/live.rs`.
fn missing_files(page: &str, text: &str, is_file: impl Fn(&str) -> bool) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter(|named| {
        named.ends_with(".rs") && named.contains('/') && !named.contains([' ', '{', '<', '*', '…'])
    });
    let of_crate = |named: &str| {
        let (name, rest) = named.split_once('/')?;
        Some(format!("crates/{name}/src/{rest}"))
    };
    let is_there =
        |named: &&str| is_file(named) || of_crate(named).is_some_and(|file| is_file(&file));
    let missing = named.filter(|named| !is_there(named));
    missing.map(|named| format!("docs: {page} names {named}, which is not there")).collect()
}

/// A rule that is checked by a program which not every machine has.
struct Tool {
    rule: &'static str,
    /// Succeeds if the program is there.
    probe: &'static str,
    install: &'static str,
    check: &'static str,
}

const TOOLS: [Tool; 3] = [
    // The advisories need a database from the network, so they are left out.
    Tool {
        rule: "licences and bans",
        probe: "cargo deny --version",
        install: "cargo install cargo-deny",
        check: "cargo deny --log-level error check bans licenses sources",
    },
    Tool {
        rule: "unused dependencies",
        probe: "cargo machete --version",
        install: "cargo install cargo-machete",
        check: "cargo machete --with-metadata --skip-target-dir",
    },
    Tool {
        rule: "spelling",
        probe: "typos --version",
        install: "pip install typos",
        check: "typos --format brief",
    },
];

/// Runs a tool. Without it the rule is left out, or broken with `LATCHKEY_TEST_REQUIRE=all`.
fn run_tool(shell: &Shell, tool: &Tool) -> Option<String> {
    let Tool { rule, probe, install, check } = tool;
    let command = |line: &str| {
        let (program, arguments) = line.split_once(' ').unwrap_or((line, ""));
        shell.cmd(program).args(arguments.split(' '))
    };
    if command(probe).quiet().ignore_stdout().ignore_stderr().run().is_err() {
        let required = shell.var("LATCHKEY_TEST_REQUIRE").is_ok_and(|parts| parts == "all");
        println!("left out: {rule} (`{install}`)");
        return required.then(|| format!("{rule}: the program is not installed"));
    }
    command(check).run().is_err().then(|| format!("{rule}: see above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metadata: &str, expected: &[&str]) {
        let metadata = serde_json::from_str(metadata).expect("metadata");
        assert_eq!(layers(&metadata), expected);
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found() {
        check(
            r#"{"packages": [
                {"name": "latchkey-model", "dependencies": [{"name": "thiserror", "kind": null}]},
                {"name": "store", "dependencies": [
                    {"name": "latchkey-model", "kind": null}, {"name": "serde_json", "kind": "dev"}
                ]}
            ]}"#,
            &[],
        );
        check(
            r#"{"packages": [
                {"name": "latchkey-model", "dependencies": [{"name": "diesel", "kind": null}]},
                {"name": "store", "dependencies": [{"name": "serde_json", "kind": null}]},
                {"name": "latchkey-auth", "dependencies": [{"name": "store", "kind": "dev"}]},
                {"name": "utils", "dependencies": []}
            ]}"#,
            &[
                "layers: latchkey-model must not depend on diesel",
                "layers: store must not depend on serde_json",
                "layers: latchkey-auth must not depend on store",
                "layers: utils is in no layer; name it in tidy.rs",
            ],
        );
    }

    #[test]
    fn a_page_that_names_a_file_which_is_not_there_is_found() {
        let is_file =
            |file: &str| ["crates/store/src/keys/live.rs", "xtask/src/main.rs"].contains(&file);
        let text = "See `store/keys/live.rs`, `xtask/src/main.rs`, `tests/<folder>/x.rs` and `store/ring.rs`.";
        let expected = ["docs: PAGE.md names store/ring.rs, which is not there"];
        assert_eq!(missing_files("PAGE.md", text, is_file), expected);
    }

    #[test]
    fn a_migration_without_its_pair_or_its_way_back_is_found() {
        let root = tempfile::tempdir().expect("folder");
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("folder")).expect("folder");
            fs::write(path, "").expect("file");
        };
        for file in ["sqlite/1_a/up.sql", "sqlite/1_a/down.sql", "postgres/1_a/up.sql"] {
            make(file);
        }
        make("sqlite/2_b/up.sql");
        make("sqlite/2_b/down.sql");
        let missing = root.path().join("postgres/1_a");
        assert_eq!(
            migrations(root.path()).expect("folders"),
            [
                format!("migrations: {} has no down.sql", missing.display()),
                "migrations: postgres lacks 2_b".to_owned()
            ]
        );
    }
}
