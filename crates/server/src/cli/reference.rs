//! The page of commands, made from the definition of the command line.
//!
//! Invariant: `docs/reference/commands.md` has every command with its help. With `INSTA_UPDATE=always` the test writes
//! the page instead of comparing it.

use std::{fs, path::Path};

use clap::CommandFactory as _;

use super::Arguments;

const HEAD: &str = "\
# Commands

<!-- `INSTA_UPDATE=always cargo test -p server reference` makes this page from the help texts. -->

This is the help of each command, as `latchkey help COMMAND` prints it.

## Exit codes and errors

| code | meaning |
|--:|---|
| 0 | The command did its work. |
| 1 | It failed, or found damage (`verify`, `backup`), or the server is not healthy (`healthcheck`). Standard error has the reason and the remedy. |
| 2 | The arguments are wrong. Nothing was done. |

A command that is ended by a signal has the exit code that the shell gives it, such as 137 after SIGKILL.
With `--output json` the reason is an object on a line of standard error: `{\"error\":\"…\"}`.
Lines of the log precede it.
";

/// Adds a command and its subcommands.
fn add(page: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or("latchkey").to_owned();
    let help = command.render_long_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    *page += &format!("\n## `{name}`\n\n```text\n{}\n```\n", help.trim());
    for subcommand in command.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        add(page, subcommand);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of the test")]
fn the_page_of_commands_is_that_of_the_command_line() {
    let mut page = HEAD.to_owned();
    let mut command = Arguments::command();
    // Gives every command the options that are global.
    command.build();
    add(&mut page, &mut command);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/commands.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        fs::write(&file, &page).expect("the page");
    }
    let found = fs::read_to_string(file).expect("the page");
    assert!(found == page, "run this test with INSTA_UPDATE=always");
}
