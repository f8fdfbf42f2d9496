//! The commands of the book, run page by page as they are printed.
//!
//! Invariant: every block of a page in `sh` or `js` runs here, except those that the page marks with the reason. Each
//! page has a network and processes of its own, so that it keeps its ports, and nothing outlives it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rstest::rstest;
use tempfile::TempDir;

use super::how_to::repository;
use crate::support::{
    app::BINARY,
    parts::{has, is_root, leave_out},
};

/// Precedes a block that does not run.
const MARK: &str = "<!-- not run: ";

/// The server that a page finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// One that listens on 127.0.0.1:8080.
    Runs,
    /// None; the page starts it.
    Absent,
    /// None, and a PostgreSQL on its usual port, where the user `latchkey` may make databases.
    AbsentBesidePostgres,
}

#[rstest]
#[case("README.md", Server::Runs)]
#[case("docs/first-hour.md", Server::Absent)]
#[case("docs/grants.md", Server::Runs)]
#[case("docs/providers.md", Server::Absent)]
#[case("docs/webhooks.md", Server::Absent)]
#[case("docs/how-to/audit.md", Server::Absent)]
#[case("docs/how-to/backups.md", Server::Runs)]
#[case("docs/how-to/callers.md", Server::Runs)]
#[case("docs/how-to/connect-google.md", Server::Absent)]
#[case("docs/how-to/connect-microsoft.md", Server::Absent)]
#[case("docs/how-to/connect-salesforce.md", Server::Absent)]
#[case("docs/how-to/connect-superoffice.md", Server::Absent)]
#[case("docs/how-to/copies.md", Server::AbsentBesidePostgres)]
#[case("docs/how-to/everyday.md", Server::Runs)]
#[case("docs/how-to/expiry.md", Server::Absent)]
#[case("docs/how-to/formats.md", Server::Runs)]
#[case("docs/how-to/limits.md", Server::Runs)]
#[case("docs/how-to/master-keys.md", Server::Runs)]
#[case("docs/how-to/metrics.md", Server::Absent)]
#[case("docs/how-to/monitor.md", Server::Runs)]
#[case("docs/how-to/postgresql.md", Server::AbsentBesidePostgres)]
#[case("docs/how-to/production.md", Server::Absent)]
#[case("docs/how-to/superoffice-partners.md", Server::Absent)]
#[case("docs/how-to/upgrade.md", Server::Runs)]
fn the_commands_work(#[case] page: &str, #[case] server: Server) {
    let blocks = blocks_to_run(page);
    let needs_node =
        blocks.iter().any(|block| block.language == "js") || page.contains("first-hour");
    let mut programs = vec!["unshare", "ip", "bash", "curl", "jq", "openssl"];
    programs.extend(needs_node.then_some("node"));
    programs.extend((server == Server::AbsentBesidePostgres).then_some("pg_dump"));
    if let Some(missing) = programs.into_iter().find(|program| !has(program)) {
        return leave_out(page, missing);
    }
    if server == Server::AbsentBesidePostgres && !is_root() {
        return leave_out(
            page,
            "root, because PostgreSQL does not run as root of a namespace alone",
        );
    }
    let packages = repository("tests/official-client/node_modules");
    if needs_node && !packages.exists() {
        return leave_out(page, "npm ci --prefix tests/official-client");
    }

    let root = tempfile::tempdir().expect("a folder");
    let folder = folder(&root, &packages);
    let mut script = prelude(server).to_owned();
    for block in &blocks {
        script.push_str(&block.script());
    }
    fs::write(root.path().join("page.sh"), script).expect("the script");
    let output = fs::File::create(root.path().join("output")).expect("a file");
    let mut shell = Command::new("unshare");
    // With the first process in a namespace all others in it end.
    shell.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        shell.arg("--map-root-user");
    }
    shell.args(["bash", "-c", "ip link set lo up && exec timeout 300 bash -eu ../page.sh"]);
    shell.current_dir(folder).env_clear();
    shell.env("PATH", path(&root)).env("HOME", root.path()).env("LANG", "C.UTF-8");
    shell.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
    let status = shell.status().expect("unshare");
    let output = fs::read(root.path().join("output")).expect("the output");
    assert!(status.success(), "{page}: {}", String::from_utf8_lossy(&output));
}

#[test]
fn no_page_is_left_out() {
    let cases = include_str!("book.rs");
    let mut pages = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/how-to", "docs/reference"] {
        for entry in fs::read_dir(repository(folder)).expect("pages") {
            let name = entry.expect("a page").file_name().into_string().expect("text");
            pages.extend(name.ends_with(".md").then(|| format!("{folder}/{name}")));
        }
    }
    // A test of its own runs the commands of this page, on both databases.
    pages.retain(|page| page != "docs/import.md");
    for page in pages {
        let is_case = cases.contains(&format!("#[case(\"{page}\""));
        assert_eq!(is_case, !blocks_to_run(&page).is_empty(), "{page}");
    }
}

/// A block of a page.
pub(super) struct Block {
    language: String,
    text: String,
}

impl Block {
    /// Whether the block makes keys or certificates, and nothing else.
    pub(super) fn makes_keys(&self) -> bool {
        self.text.contains("openssl") && !self.text.lines().any(|line| line.starts_with("latchkey"))
    }

    /// The files of keys, certificates and secrets that the block makes.
    pub(super) fn made_files(&self) -> impl Iterator<Item = &str> {
        let words = self.text.split(|letter: char| letter.is_whitespace() || letter == ')');
        let is_file = |word: &&str| {
            word.ends_with(".pem") || word.ends_with(".crt") || word.starts_with("secrets/")
        };
        words.filter(is_file)
    }

    /// Runs a block of `sh` in this folder.
    pub(super) fn run_in(&self, folder: &Path) {
        let output = Command::new("bash").args(["-euc", &self.text]).current_dir(folder).output();
        let output = output.expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs the block in the page's shell.
    fn script(&self) -> String {
        match self.language.as_str() {
            "js" => format!("cat > page.mjs <<'PAGE'\n{}PAGE\nnode page.mjs\n", self.text),
            _ => self.text.clone(),
        }
    }
}

/// Reads the blocks of a page that are not marked.
pub(super) fn blocks_to_run(page: &str) -> Vec<Block> {
    let text =
        fs::read_to_string(repository(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut blocks = Vec::new();
    let mut is_marked = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(reason) = line.strip_prefix(MARK) {
            assert!(reason.len() > " -->".len(), "{page}: a mark without a reason");
            is_marked = true;
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let text: String = block
                .map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n")
                .collect();
            let runs = ["sh", "js"].contains(&language) && !is_marked;
            blocks.extend(runs.then(|| Block { language: language.to_owned(), text }));
            is_marked = false;
        } else if !line.is_empty() {
            is_marked = false;
        }
    }
    blocks
}

/// Makes the empty folder of a page, the programs in its `PATH`, and the clone beside it.
fn folder(root: &TempDir, packages: &Path) -> PathBuf {
    let programs = root.path().join("bin");
    let folder = root.path().join("page");
    for made in [&programs, &folder] {
        fs::create_dir(made).expect("a folder");
    }
    symlink(BINARY, programs.join("latchkey")).expect("a link");
    symlink(repository(".").canonicalize().expect("the clone"), root.path().join("latchkey"))
        .expect("a link");
    symlink(packages, root.path().join("node_modules")).expect("a link");
    // Otherwise an answer of an error would pass.
    let curl = "#!/bin/sh\ncase \" $* \" in *' -f'*) ;; *) set -- --fail-with-body \"$@\" ;; esac\n\
                PATH=${PATH#*:} exec curl \"$@\"\n";
    let file = programs.join("curl");
    fs::write(&file, curl).expect("a program");
    let made = Command::new("chmod").args(["755"]).arg(&file).status();
    assert!(made.expect("chmod").success());
    folder
}

/// The programs of the page before those of the machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the machine's programs, not a setting of the server"
)]
fn path(root: &TempDir) -> String {
    let of_machine = std::env::var("PATH").expect("a path");
    format!("{}:{of_machine}", root.path().join("bin").display())
}

fn prelude(server: Server) -> &'static str {
    match server {
        Server::Runs => {
            "latchkey > ../server.txt 2> ../server.log &\n\
             curl -fsS -o ../ready --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/readyz\n"
        }
        Server::Absent => "",
        Server::AbsentBesidePostgres => {
            "cluster=$(mktemp -d); chown postgres \"$cluster\"; programs=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)\n\
             run() { (cd / && runuser -u postgres -- \"$programs/$@\") > /dev/null; }\n\
             run initdb -D \"$cluster\" -A trust --no-sync --encoding=UTF8 --no-locale\n\
             run pg_ctl -D \"$cluster\" -o \"-k $cluster\" -l \"$cluster/log\" -w start\n\
             run createuser -h 127.0.0.1 --createdb latchkey\n\
             export PGHOST=localhost PGUSER=latchkey\n"
        }
    }
}
