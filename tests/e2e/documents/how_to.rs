//! The how-tos of `docs/how-to`: their configurations are valid, and the calls of a user's life work in their order.
//!
//! Invariant: of a page only addresses, files and what a user does in a browser are replaced.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use super::book::blocks_to_run;
use crate::{
    providers::interoperation::GrantProvider,
    support::{
        app::Setup,
        parts::{has, leave_out},
        tls::Authority,
    },
};

/// The file in the configurations of the how-tos.
const CONFIGURATION: &str = "latchkey.toml";
/// The made-up content of files of secrets: 32 bytes in Base64, because a master key may be among them.
const SECRET: &str = "Q0FOQVJZLW1hZGUtdXAtc2VjcmV0LW9mLTMyLWJ5dGU=";
/// Where a page waits for what the browser came back with.
const BROWSER: &str = "read -r CODE && export CODE";

/// A place in the repository.
pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a how-to.
pub(super) fn page(name: &str) -> String {
    let path = repository("docs/how-to").join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The blocks of a page in a language.
pub(super) fn blocks<'page>(page: &'page str, language: &str) -> Vec<&'page str> {
    let opening = format!("```{language}\n");
    let rest = page.split(opening.as_str()).skip(1);
    rest.map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

/// Of each provider it says what it changes for clients.
#[test]
fn the_configurations_are_valid() {
    let pages = fs::read_dir(repository("docs/how-to")).expect("the pages");
    let names = pages.map(|entry| entry.expect("a page").file_name().into_string().expect("text"));
    let names =
        names.chain(["grants.md", "providers.md", "webhooks.md"].map(|name| format!("../{name}")));
    let mut providers = 0;
    for name in names {
        for toml in blocks(&page(&name), "toml") {
            let said = check(&name, toml).unwrap_or_else(|said| panic!("{name}: {said}\n{toml}"));
            let found = said.matches("a get refreshes its records").count();
            assert_eq!(found, toml.matches("[[grants.providers]]").count(), "{name}: {said}");
            providers += found;
        }
    }
    assert!(providers >= 12, "{providers}");
}

/// Returns the output of `config check` for a configuration, with made-up secrets.
fn check(page: &str, toml: &str) -> Result<String, String> {
    let setup = Setup::new().with("PROFILE", "production").arguments(&["--config", CONFIGURATION]);
    let folder = setup.folder().join("secrets");
    fs::create_dir(&folder).expect("a folder");
    for rest in toml.split("\"/run/secrets/").skip(1) {
        let name = rest.split('"').next().expect("the name ends");
        fs::write(folder.join(name), SECRET).expect("a file");
    }
    fs::write(folder.join("internal-ca.pem"), Authority::new().pem()).expect("a file");
    // The page says how to make the keys that its configurations name.
    let blocks = blocks_to_run(&format!("docs/how-to/{page}"));
    let blocks: Vec<_> = blocks.iter().filter(|block| block.makes_keys()).collect();
    if blocks.iter().any(|block| block.made_files().any(|file| toml.contains(file))) {
        for block in blocks {
            block.run_in(setup.folder());
        }
    }
    let folder = folder.to_str().expect("text");
    let toml = toml.replace("/run/secrets", folder).replace("/etc/ssl", folder);
    fs::write(setup.folder().join(CONFIGURATION), toml).expect("the configuration");
    setup.run(&["config", "check"], "")
}

/// CONTRACT O2, O4, O10, O12, O13, O14, O15, O17, 47, 55, 56, 57, 58, 60: from the consent to the revocation, at a
/// certified provider that is configured as its page says.
#[test]
fn the_calls_of_a_users_life_work_in_order() {
    for part in ["curl", "jq", "openssl"] {
        if !has(part) {
            return leave_out("the calls of the how-tos", part);
        }
    }
    let Some(provider) = GrantProvider::start(&[]) else { return };
    let issuer = provider.told["issuer"].as_str().expect("a URL");
    let own = page("connect-own-provider.md");
    let toml = blocks(&own, "toml")[0].replace("https://id.example.com", issuer);
    // It is on this machine.
    let toml = toml.replace("/run/secrets/own", "secret") + "allow_private_addresses = true\n";
    let setup = Setup::new();
    fs::write(setup.folder().join(CONFIGURATION), toml).expect("the configuration");
    let secret = provider.told["client_secret"].as_str().expect("a secret");
    fs::write(setup.folder().join("secret"), secret).expect("a file");
    let command: Vec<&str> = blocks(&own, "sh")[0].split_whitespace().collect();
    let said = setup.run(&command[1..], "").expect("the configuration is right");
    assert!(said.contains(&format!("the token endpoint {issuer}/token")), "{said}");

    let app = setup.arguments(&["--config", CONFIGURATION]).start();
    let calls = page("connect-a-user.md");
    let agrees = format!(
        "URL=$(echo \"$ASKED\" | jq -r .Url)
        CODE=$(curl -s -X POST \"{issuer}/control/code?${{URL#*\\?}}\" | jq -r .code) && export CODE"
    );
    let script = blocks(&calls, "sh").concat();
    assert_eq!(script.matches(BROWSER).count(), 2);
    let script = script.replace("http://127.0.0.1:8080", &app.url).replace(BROWSER, &agrees);
    let script = format!("{script}\nprintf '%s\\n' \"$KEY\"");
    let mut shell = Command::new("sh");
    shell.args(["-euc", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.stderr(Stdio::piped()).spawn().expect("sh");
    // The tokens that the application got by itself, which the provider does not know.
    let tokens = b"CANARY-access\nCANARY-refresh\n";
    shell.stdin.take().expect("piped").write_all(tokens).expect("it reads them");
    let output = shell.wait_with_output().expect("sh");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warned.is_empty(), "{said}{warned}");
    for expected in blocks(&calls, "json") {
        assert!(said.contains(expected), "{said} has no {expected}");
    }
    assert!(
        said.contains("\"Active\": true") && said.contains("\"GrantState\": \"Live\""),
        "{said}"
    );
    let key = said.lines().last().expect("the key");
    assert!(key.starts_with("lk_"), "{said}");
    // The exchange that connects again answers it, too.
    assert_eq!(said.matches(key).count(), 2, "{said}");
    assert!(app.client().get(key).is_null());
    // Two consents; a refresh that was asked for, and one of tokens that the provider does not know.
    let requests = provider.control("requests");
    assert_eq!(requests, json!({"authorization_code": 2, "refresh_token": 2}));
}
