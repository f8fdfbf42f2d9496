//! Lists of providers that are read, and those that stop the start.

use super::{
    list::{EXPECTED, read_one},
    *,
};
use secrecy::ExposeSecret as _;
use serde_json::Value;

mod presets;

const GENERAL: &str = "enabled = true\ntoken_endpoint = false\ndeadline_seconds = 15\nwait_seconds = 20\nconcurrent = 64\n\
                       concurrent_per_provider = 16\nrefreshes_per_owner = 60\non_failure = \"error\"\n";

fn read_all_of(toml: &str) -> anyhow::Result<Grants> {
    let mut grants: Grants = toml::from_str(toml)?;
    grants.read_secret_files()?;
    grants.check(false)?;
    Ok(grants)
}

/// A provider that is right but for these lines.
fn with(lines: &str) -> anyhow::Result<Grants> {
    let keys = [
        ("name", "\"xero\""),
        ("client_id", "\"c\""),
        ("client_secret", "\"CANARY\""),
        ("issuer", "\"https://id.example.com\""),
    ];
    let is_given = |key: &str| {
        let mut lines = lines.lines();
        lines.any(|line| line.trim_start_matches('-').split(' ').next() == Some(key))
    };
    let mut toml = format!("{GENERAL}[[providers]]\n");
    for (key, value) in keys.into_iter().filter(|(key, _)| !is_given(key)) {
        toml += &format!("{key} = {value}\n");
    }
    for line in lines.lines().filter(|line| !line.starts_with('-')) {
        toml += &format!("{line}\n");
    }
    read_all_of(&toml)
}

#[test]
fn tables_and_json_are_the_same() {
    let tables = with("scopes = ['a', 'b']\n[providers.request]\nnames.client_id = 'client_Key'")
        .expect("tables");
    let json = r#"[{"name": "xero", "client_id": "c", "client_secret": "CANARY",
        "issuer": "https://id.example.com", "scopes": ["a", "b"],
        "request": {"names": {"client_id": "client_Key"}}}]"#;
    let json = read_all_of(&format!("{GENERAL}providers = '''{json}'''")).expect("JSON");
    let shown = |grants: &Grants| toml::to_string(grants).expect("TOML");
    assert_eq!(shown(&tables), shown(&json));
    assert!(!shown(&tables).contains("CANARY"), "{}", shown(&tables));
    assert!(shown(&tables).contains("client_secret = \"(set)\""), "{}", shown(&tables));
    let provider = &tables.providers.items()[0];
    assert_eq!(provider.client_secret.as_ref().map(|s| s.expose_secret()), Some("CANARY"));
    assert_eq!(provider.request.names["client_id"], "client_Key");
}

/// The sample of the documentation is right, and the values that it has are the defaults.
#[test]
fn the_sample_in_the_default_file_has_the_defaults() {
    let sample = super::super::DEFAULTS.split_once("# [[grants.providers]]\n").expect("a sample").1;
    let lines = sample.lines().map_while(|line| line.strip_prefix("# "));
    let set: Vec<_> = lines.clone().filter(|line| !line.starts_with('#')).collect();
    let table: toml::Table = set.join("\n").parse().expect("TOML");
    let item: Value = serde_json::to_value(&table).expect("JSON");
    let shown = read_one(0, item).expect("a provider");
    let shown = toml::Table::try_from(&shown).expect("TOML");
    let defaults = toml::Table::try_from(ProviderSettings::default()).expect("TOML");
    for (key, value) in &shown {
        if !["name", "issuer", "client_id", "client_secret"].contains(&key.as_str()) {
            assert_eq!(defaults.get(key), Some(value), "{key}");
        }
    }
    for key in ["parameters", "request", "answer", "errors"].iter().copied().chain([
        "name",
        "preset",
        "tenants",
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "refresh_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks",
        "client_id",
        "client_secret",
        "client_secret_file",
        "next_client_secret_file",
        "client_auth",
        "private_key_file",
        "key_id",
        "certificate_file",
        "next_private_key_file",
        "next_key_id",
        "next_certificate_file",
        "assertion_algorithm",
        "assertion_audience",
        "tls",
        "scopes",
        "redirect_uris",
        "refresh_before_seconds",
        "minimum_seconds",
        "replay_within_seconds",
        "idle_days",
        "absolute_days",
        "assume_expires_in_seconds",
        "earliest_seconds",
        "rotates",
        "ends_access_token",
        "give_refresh_token",
        "revoke_upstream",
        "revocation_ends",
        "ca",
        "allow_private_addresses",
    ]) {
        let is_key = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{key} = "))
                || line.starts_with(&format!("[grants.providers.{key}]"))
        };
        assert!(lines.clone().any(is_key), "{key} is not in the sample");
    }
}

#[test]
fn what_is_wrong_with_a_provider_is_named() {
    for (lines, told) in [
        ("color = 'red'", "unknown field `color`"),
        ("name = ''", "name must be that of a record's provider"),
        ("client_id = ''", "client_id must not be empty"),
        (
            "client_id = ' c'",
            "client_id must not be empty, and must not have white space around it",
        ),
        ("scopes = ['a', '']", "scopes must not be empty"),
        ("scopes = 'a'", "wrong value for scopes, expected a sequence"),
        ("rotates = 'CANARY'", "wrong value for rotates, expected a boolean"),
        ("client_secret = 7", "wrong value for client_secret, expected"),
        ("minimum_seconds = -1", "wrong value for minimum_seconds, expected u32"),
        ("minimum_seconds = 86401", "minimum_seconds must be from 0 to 86400"),
        ("minimum_seconds = 301", "refresh_before_seconds must be at least minimum_seconds"),
        ("refresh_before_seconds = 2592001", "refresh_before_seconds must be from 0 to 2592000"),
        ("replay_within_seconds = 7776001", "replay_within_seconds must be from 0"),
        ("assume_expires_in_seconds = 315360001", "assume_expires_in_seconds must be from 0"),
        ("earliest_seconds = 86401", "earliest_seconds must be from 0"),
        ("idle_days = 0", "idle_days must be from 1 to 36500"),
        ("absolute_days = 36501", "absolute_days must be from 1 to 36500"),
        ("tenants = []", "tenants must name a tenant"),
        ("tenants = ['a b']", "tenants must have names like"),
        ("tenants = ['api']", "tenants must have names like"),
        ("-issuer", "set issuer, where discovery finds the endpoints, or token_endpoint"),
        ("token_endpoint = 'https://a.example/'", "set issuer or token_endpoint, not both"),
        ("jwks = 'https://a.example/'", "set issuer or jwks, not both"),
        (
            "introspection_endpoint = 'https://a.example/'",
            "set issuer or introspection_endpoint, not both",
        ),
        ("revocation_ends = 'CANARY'", "expected `grant` or `token`"),
        ("revoke_upstream = 1", "wrong value for revoke_upstream, expected a boolean"),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/'\nrevoke_upstream = true",
            "revoke_upstream needs revocation_endpoint, or the issuer, which may name it",
        ),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/'\nintrospection_endpoint = 'http://a.example/'",
            "introspection_endpoint must be an https URL",
        ),
        ("issuer = 'http://id.example.com'", "issuer must be an https URL"),
        ("issuer = 'http://localhost:1'", "issuer must be an https URL; http is for this machine"),
        ("issuer = 'https://id.example.com/?a'", "issuer must not have a query"),
        ("issuer = '/id'", "issuer must be absolute"),
        ("issuer = 'id.example.com'", "issuer must be an https URL"),
        (
            "-issuer\ntoken_endpoint = 'https://u:CANARY@a.example/'",
            "token_endpoint must not hold a user",
        ),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/#x'",
            "token_endpoint must not hold a fragment",
        ),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/'\nrevocation_endpoint = 'http://a.example/'",
            "revocation_endpoint must be an https URL",
        ),
        ("redirect_uris = ['/back']", "redirect_uris: /back must be absolute"),
        ("redirect_uris = ['http://app.example.com/']", "must be an https URL"),
        ("redirect_uris = ['https://app.example.com/#x']", "must not hold a fragment"),
        ("client_auth = 'digest'", "wrong value for client_auth, expected `basic`, `basic_raw`"),
        ("client_auth = 'none'", "client_auth = \"none\" takes no secret"),
        ("-client_secret", "client_auth = \"basic\" needs client_secret or client_secret_file"),
        ("client_secret = ''", "client_secret must be a secret of one line"),
        ("client_secret_file = '/nowhere'", "set client_secret or client_secret_file, not both"),
        ("-client_secret\nclient_secret_file = '/nowhere'", "cannot read client_secret_file"),
        ("next_client_secret_file = '/nowhere'", "cannot read next_client_secret_file"),
        (
            "client_auth = 'private_key_jwt'",
            "client_auth = \"private_key_jwt\" needs private_key_file",
        ),
        ("client_auth = 'tls'", "client_auth = \"tls\" needs tls = { certificate = "),
        ("private_key_file = '/nowhere'", "cannot read private_key_file"),
        ("next_private_key_file = '/nowhere'", "cannot read next_private_key_file"),
        ("key_id = 'k'", "key_id and certificate_file are for private_key_file, which is not set"),
        (
            "next_certificate_file = '/nowhere'",
            "next_key_id and next_certificate_file are for next_private_key_file",
        ),
        (
            "assertion_algorithm = 'HS256'",
            "wrong value for assertion_algorithm, expected one of `ES256`, `RS256`, `PS256`",
        ),
        ("assertion_audience = ' '", "assertion_audience must not be empty"),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/'\nassertion_audience = 'issuer'",
            "assertion_audience = \"issuer\" needs issuer",
        ),
        ("tls = '/nowhere'", "wrong value for tls, expected struct ClientTls"),
        ("tls.certificate = '/nowhere'", "tls: missing field `key`"),
        ("tls = { certificate = '/nowhere', key = '/nowhere' }", "cannot read tls.certificate"),
        ("ca = ''", "ca must not be empty"),
        ("[providers.request]\nauthorise.x = 'y'", "request: unknown field `authorise`"),
        ("[providers.request]\nbody = 'xml'", "wrong value for request, expected `form` or `json`"),
        (
            "[providers.answer]\nexpires_in_unit = 'h'",
            "wrong value for answer, expected `s` or `ms`",
        ),
        (
            "[providers.answer]\nstatus = []",
            "answer.status must have only numbers from 200 to 299, at least one",
        ),
        (
            "-issuer\ntoken_endpoint = 'https://a.example/'\nrefresh_endpoint = '/refresh'",
            "refresh_endpoint must be absolute",
        ),
        ("refresh_endpoint = 'https://a.example/'", "set issuer or refresh_endpoint, not both"),
        ("parameters = 'eu'", "wrong value for parameters, expected a map"),
        ("parameters.a = 7", "wrong value for parameters, expected struct Parameter"),
        ("parameters.a = { value = 'b', default = 'c' }", "parameters: unknown field `default`"),
        ("parameters.a = { pattern = 'any' }", "wrong value for parameters, expected `label`"),
        ("parameters.a = 'b'", "parameters.a is in no URL of the provider"),
        ("parameters.a = 'b/c'", "parameters.a has a value that is not allowed"),
        ("issuer = 'https://{a}.example.com'", "issuer has {a}, which parameters does not have"),
        (
            "issuer = 'https://example.{a}'\nparameters.a = { pattern = 'label', value = 'com' }",
            "issuer must have two labels at least right of {a}",
        ),
        (
            "issuer = 'https://{a}.example.com'\nparameters.a = { values = ['x', 'y'] }",
            "issuer has {a}, which needs a value here, as in parameters.a = \"…\", because its document",
        ),
        ("issuer = 'http://{a}.example.com'\nparameters.a = 'x'", "issuer must be an https URL"),
        (
            "[providers.answer]\nstatus = [302]",
            "answer.status must have only numbers from 200 to 299",
        ),
        ("[providers.errors]\nfatal = ['x']", "errors: unknown field `fatal`"),
    ] {
        let error = format!("{:#}", with(lines).expect_err(lines));
        let name = if lines.starts_with("name") {
            "grants.providers[1]"
        } else {
            "grants.providers[1] (xero)"
        };
        assert!(error.contains(&format!("{name}: ")), "{lines}: {error}");
        assert!(error.contains(told), "{lines}: {error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
    for lines in [
        "client_auth = 'none'\n-client_secret",
        "redirect_uris = ['https://app.example.com/back?x=y', 'http://127.0.0.1:7/', 'http://localhost/']",
        "-issuer\ntoken_endpoint = 'https://a.example/token?x=y'\njwks = 'https://a.example/jwks'",
        "issuer = 'https://{a}.example.com/{a}'\nparameters.a = 'x.y'",
        "issuer = 'https://id.example.{a}'\nparameters.a = { values = ['com', 'eu'], value = 'eu' }",
        "tenants = ['Cust1', '*']\nassume_expires_in_seconds = 0\nidle_days = 60",
    ] {
        with(lines).expect(lines);
    }
}

#[test]
fn what_is_wrong_with_the_list_is_named() {
    for (toml, told) in [
        ("providers = 'xero'", "it is not JSON: expected value at line 1 column 1"),
        ("providers = '{}'", EXPECTED),
        ("providers = ['xero']", "grants.providers[1]: expected an array of tables"),
        ("providers = 7", "array of tables [[grants.providers]]"),
    ] {
        let error = format!("{:#}", read_all_of(&format!("{GENERAL}{toml}")).expect_err(toml));
        assert!(error.contains(told), "{toml}: {error}");
    }
    for (setting, told) in [
        ("deadline_seconds = 0", "grants: deadline_seconds must be from 1 to 60"),
        ("wait_seconds = 301", "grants: wait_seconds must be from 1 to 300"),
        ("concurrent = 0", "grants: concurrent must be from 1 to 400"),
        ("concurrent_per_provider = 401", "concurrent_per_provider must be from 1 to 400"),
        ("refreshes_per_owner = 0", "refreshes_per_owner must be from 1 to 1000000"),
        ("on_failure = \"panic\"", "expected `error` or `stale`"),
        ("egress_proxy = \"https://p:1\"", "grants.egress_proxy must be like"),
        ("egress_proxy = \"http://u:CANARY@p:1\"", "grants.egress_proxy must be like"),
        ("egress_proxy = \"http://p\"", "grants.egress_proxy must be like"),
        ("egress_proxy = \"http://p:1/x\"", "grants.egress_proxy must be like"),
        ("unsaved_directory = \"\"", "grants.unsaved_directory must not be empty"),
        ("retries = 3", "unknown field `retries`"),
    ] {
        let key = setting.split(' ').next().expect("a key");
        let rest = GENERAL.lines().filter(|line| line.split(' ').next() != Some(key));
        let toml = format!("{}\n{setting}\nproviders = []", rest.collect::<Vec<_>>().join("\n"));
        let error = format!("{:#}", read_all_of(&toml).expect_err(setting));
        assert!(error.contains(told), "{setting}: {error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
}

fn two(first: [&str; 2], second: [&str; 2]) -> anyhow::Result<Grants> {
    let mut toml = GENERAL.to_owned();
    for [name, tenants] in [first, second] {
        toml += &format!(
            "[[providers]]\nname = '{name}'\ntenants = {tenants}\nclient_id = 'c'\n\
             client_secret = 's'\nissuer = 'https://a.example'\n"
        );
    }
    read_all_of(&toml)
}

#[test]
fn a_tenant_has_one_provider_of_a_name() {
    let all = "['*']";
    for (first, second, told) in [
        (["xero", all], ["xero", all], "name is that of grants.providers[1] (xero)"),
        (["xero", "['a', 'B']"], ["xero", "['b']"], "name is that of"),
        (["xero", "['a']"], ["xero", all], "name is that of"),
        (["xero", all], ["Xero", "['a']"], "differs only in case"),
        (["xero", "['a']"], ["XERO", "['A']"], "likely a mistake"),
        (["Ærø", all], ["ærø", all], "differs only in case"),
    ] {
        let error = format!("{:#}", two(first, second).expect_err(told));
        assert!(error.starts_with("grants.providers[2] ("), "{error}");
        assert!(error.contains(told), "{error}");
    }
    for (first, second) in [
        (["xero", all], ["google", all]),
        (["xero", "['a']"], ["xero", "['b']"]),
        (["xero", "['a']"], ["Xero", "['b']"]),
    ] {
        two(first, second).expect("they are apart");
    }
}
