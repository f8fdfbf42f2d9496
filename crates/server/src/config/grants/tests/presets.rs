//! Presets under a configuration: which settings override them, and which are rejected.

use provider::presets;

use super::*;

/// A provider of a preset, with a client and these lines.
fn of_preset(preset: &str, lines: &str) -> anyhow::Result<ProviderSettings> {
    let grants = read_all_of(&format!(
        "{GENERAL}[[providers]]\nname = 'mine'\npreset = '{preset}'\nclient_id = 'c'\n\
         client_secret = 'CANARY'\n{lines}\n"
    ))?;
    Ok(grants.providers.items()[0].clone())
}

/// A value for each parameter of a preset, as lines.
fn values(preset: &presets::Preset) -> String {
    let parameters = preset.settings.get("parameters").and_then(Value::as_object);
    let names = parameters.into_iter().flat_map(|parameters| parameters.iter());
    let lines = names.map(|(name, parameter)| {
        let value = parameter.pointer("/values/0").and_then(Value::as_str).unwrap_or("acme");
        format!("parameters.{name} = '{value}'\n")
    });
    lines.collect()
}

fn shown(settings: &ProviderSettings) -> toml::Table {
    toml::Table::try_from(settings).expect("TOML")
}

#[test]
fn every_preset_is_a_provider_and_so_are_its_lines() {
    for preset in presets::all() {
        let name = preset.name;
        let mut of_name = shown(&of_preset(name, &values(&preset)).expect(name));
        of_name.remove("preset");
        for key in preset.settings.keys() {
            assert!(of_name.contains_key(key), "{name}: {key}");
        }
        let lines = preset.lines().collect::<Vec<_>>().join("\n");
        let mut table: toml::Table = lines.parse().expect(name);
        if let Some(parameters) = table.get_mut("parameters").and_then(toml::Value::as_table_mut) {
            let own: toml::Table = values(&preset).parse().expect(name);
            for (key, value) in own["parameters"].as_table().expect("a table") {
                let parameter = parameters[key].as_table_mut().expect("a table");
                parameter.insert("value".to_owned(), value.clone());
            }
        }
        for (key, value) in [("name", "mine"), ("client_id", "c"), ("client_secret", "CANARY")] {
            table.insert(key.to_owned(), value.into());
        }
        let mut all: toml::Table = GENERAL.parse().expect("TOML");
        all.insert("providers".to_owned(), vec![table].into());
        let pasted = read_all_of(&all.to_string()).expect(name);
        assert_eq!(shown(&pasted.providers.items()[0]), of_name, "{name}");
    }
}

#[test]
fn what_the_configuration_says_goes_before_a_preset() {
    let xero = of_preset("xero", "").expect("a preset alone");
    assert_eq!(xero.issuer.as_deref(), Some("https://identity.xero.com"));
    assert_eq!((xero.replay_within_seconds, xero.idle_days), (1800, Some(60)));
    assert_eq!((xero.client_auth, xero.refresh_before_seconds), (ClientAuth::BasicRaw, 300));
    assert_eq!(xero.preset.as_deref(), Some("xero"));

    let own = of_preset("xero", "idle_days = 30\nscopes = ['a']\nclient_auth = 'post'");
    let own = own.expect("settings of its own");
    assert_eq!((own.idle_days, own.scopes), (Some(30), vec!["a".to_owned()]));
    assert_eq!((own.client_auth, own.replay_within_seconds), (ClientAuth::Post, 1800));

    let google = of_preset(
        "google",
        "request.authorize.prompt = 'select_account'\nrequest.refresh.x = 'y'\nerrors.busy = ['z']",
    );
    let request = google.expect("members of its own").request;
    assert_eq!(request.authorize["prompt"], "select_account");
    assert_eq!(request.authorize["access_type"], "offline");
    assert_eq!(request.refresh["x"], "y");

    let slack = of_preset("slack", "errors.dead = ['x']").expect("a list of its own").errors;
    assert_eq!(slack.dead, ["x"]);
    assert_eq!(slack.ok_field.as_deref(), Some("ok"));
}

#[test]
fn addresses_are_all_of_the_preset_or_none() {
    let own = of_preset("quickbooks", "token_endpoint = 'https://a.example/token'");
    let own = own.expect("another provider");
    assert_eq!(own.token_endpoint.as_deref(), Some("https://a.example/token"));
    for address in [&own.authorization_endpoint, &own.revocation_endpoint, &own.jwks] {
        assert!(address.is_none(), "{address:?}");
    }
    assert_eq!(own.answer.refresh_expires_in, "x_refresh_token_expires_in");

    let own = of_preset("figma", "issuer = 'https://id.example.com'").expect("an issuer");
    assert_eq!(own.issuer.as_deref(), Some("https://id.example.com"));
    for address in [&own.authorization_endpoint, &own.token_endpoint, &own.refresh_endpoint] {
        assert!(address.is_none(), "{address:?}");
    }
    let own = of_preset("okta", "issuer = 'https://id.example.com'").expect("no parameters");
    assert_eq!(own.parameters.open().count(), 0);

    // An address beside the preset's issuer is that of the same provider.
    let figma = of_preset("figma", "revocation_endpoint = 'https://api.figma.com/revoke'");
    let figma = figma.expect("one more address");
    assert_eq!(figma.token_endpoint.as_deref(), Some("https://api.figma.com/v1/oauth/token"));
    assert!(figma.refresh_endpoint.is_some() && figma.revocation_endpoint.is_some());
}

#[test]
fn parameters_of_a_preset_have_values() {
    let zoho = of_preset("zoho", "parameters.region = 'com.au'").expect("a region");
    let endpoint = zoho.token_endpoint.as_deref().expect("an endpoint");
    assert_eq!(endpoint, "https://accounts.zoho.{region}/oauth/v2/token");
    assert_eq!(zoho.filled(endpoint), "https://accounts.zoho.com.au/oauth/v2/token");
    for (preset, lines, told) in [
        ("okta", "", "issuer (of the preset okta) has {organization}, which needs a value here"),
        (
            "superoffice",
            "",
            "jwks (of the preset superoffice) has {environment}, which needs a value",
        ),
        (
            "zoho",
            "parameters.region = 'evil.example'",
            "parameters.region has a value that is not allowed: it must be one of com, eu, in",
        ),
        ("shopify", "parameters.shop = 'a.b'", "parameters.shop has a value that is not allowed"),
        ("shopify", "parameters.shop = 'a@b'", "parameters.shop has a value that is not allowed"),
        (
            "shopify",
            "parameters.shop = 'a'\nparameters.store = 'a'",
            "parameters.store is in no URL of the provider",
        ),
    ] {
        let error = format!("{:#}", of_preset(preset, lines).expect_err(lines));
        assert!(error.starts_with("grants.providers[1] (mine): "), "{error}");
        assert!(error.contains(told), "{lines}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_preset_is_named() {
    for (preset, lines, told) in [
        ("gogle", "", "preset: there is no gogle; the nearest are google, "),
        ("Xero", "", "preset: there is no Xero; the nearest are xero, "),
        ("", "", "preset: there is no ; the nearest are "),
        (
            "xero",
            "revocation_endpoint = 'https://a.example/'",
            "set issuer (of the preset xero) or revocation_endpoint, not both",
        ),
        (
            "quickbooks",
            "issuer = 'https://id.example.com'\njwks = 'https://a.example/'",
            "set issuer or jwks, not both",
        ),
        ("xero", "color = 'red'", "unknown field `color`"),
        ("xero", "title = 'mine'", "unknown field `title`"),
        (
            "xero",
            "minimum_seconds = 400",
            "refresh_before_seconds must be at least minimum_seconds",
        ),
    ] {
        let error = format!("{:#}", of_preset(preset, lines).expect_err(told));
        assert!(error.contains(&format!("grants.providers[1] (mine): {told}")), "{error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
    let toml = "[[providers]]\nname = 'mine'\npreset = 'google'\nclient_id = 'c'";
    let error = format!("{:#}", read_all_of(&format!("{GENERAL}{toml}")).expect_err("no secret"));
    let told = "client_auth (of the preset google) = \"post\" needs client_secret";
    assert!(error.contains(told), "{error}");
    let error = read_all_of(&format!("{GENERAL}[[providers]]\nname = 'mine'\npreset = 7"));
    let error = format!("{:#}", error.expect_err("a number"));
    assert!(error.contains("wrong value for preset, expected a string"), "{error}");
}
