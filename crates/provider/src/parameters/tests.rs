//! Parameters that are read, the URLs that may hold them, and values that must not move a request.

use super::*;

fn parameters(toml: &str) -> Parameters {
    toml::from_str(toml).expect(toml)
}

fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const SHOP: &str = "shop = { pattern = 'label' }";
const REGION: &str = "region = { values = ['com', 'eu', 'com.au'] }";

#[test]
fn a_parameter_stands_where_it_cannot_move_a_request() {
    for (declared, url) in [
        (SHOP, "https://{shop}.example.com/token"),
        (SHOP, "https://{shop}.example.com:8443/token"),
        (SHOP, "https://login.{shop}.example.com"),
        (SHOP, "https://login.example.com/{shop}/token?a=b"),
        (SHOP, "https://login.example.com/a-{shop}"),
        (REGION, "https://accounts.example.{region}/token"),
        (REGION, "https://{region}/token"),
        ("shop = { value = 'acme.my' }", "https://{shop}.example.com/token"),
        ("shop = { value = 'acme', pattern = 'label' }", "https://{shop}.example.com/{shop}"),
    ] {
        parameters(declared).check_templates([("token_endpoint", url)]).expect(url);
    }
    let both = format!("{SHOP}\n{REGION}");
    let urls = [("issuer", "https://{shop}.example.{region}"), ("jwks", "https://a.example/jwks")];
    parameters(&both).check_templates(urls).expect("both");
    Parameters::default().check_templates([("issuer", "https://a.example")]).expect("none");
}

#[test]
fn a_parameter_that_could_move_a_request_is_refused() {
    const ELSEWHERE: &str = "may have a parameter only in its host and in its path";
    const SUFFIX: &str = "must have two labels at least right of {shop}";
    const WHOLE: &str = "must have a parameter of the host alone between two dots";
    const BRACES: &str = "has braces that are not those of a {parameter}";
    for (url, told) in [
        ("{shop}://a.example", ELSEWHERE),
        ("https://a.example:{shop}/", ELSEWHERE),
        ("https://{shop}@a.example.com/", ELSEWHERE),
        ("https://u:{shop}@a.example.com/", ELSEWHERE),
        ("https://a@{shop}.example.com/", ELSEWHERE),
        ("https://a.example/?a={shop}", ELSEWHERE),
        ("https://a.example?{shop}", ELSEWHERE),
        ("https://a.example/#{shop}", ELSEWHERE),
        ("{shop}", ELSEWHERE),
        ("https://{shop}", SUFFIX),
        ("https://{shop}.com/token", SUFFIX),
        ("https://a.example.{shop}/token", SUFFIX),
        ("https://a.{shop}.com", SUFFIX),
        ("https://{shop}.com./token", SUFFIX),
        ("https://{shop}.com../token", SUFFIX),
        ("https://a-{shop}.example.com", WHOLE),
        ("https://{shop}b.example.com", WHOLE),
        ("https://{shop}{shop}.example.com", WHOLE),
        ("https://{shop.example.com", BRACES),
        ("https://shop}.example.com", BRACES),
        ("https://{}.example.com", BRACES),
        ("https://{Shop}.example.com", BRACES),
        ("https://{{shop}}.example.com", BRACES),
        ("https://{other}.example.com", "has {other}, which parameters does not have"),
    ] {
        let error = parameters(SHOP).check_templates([("issuer", url)]).expect_err(url);
        assert!(error.to_string().starts_with(&format!("issuer {told}")), "{url}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_parameter_is_named() {
    let long = format!("a = {{ values = ['{}'] }}", "a".repeat(64));
    let many = format!("a = {{ values = [{}] }}", "'a',".repeat(101));
    for (declared, told) in [
        ("a = {}", "must have values, such as"),
        ("a = { values = [] }", "must have values, such as"),
        ("a = { values = ['b'], pattern = 'label' }", "must have values or a pattern, not both"),
        ("a = { values = ['b', ''] }", "must have values that are DNS labels"),
        ("a = { values = ['b/c'] }", "must have values that are DNS labels"),
        ("a = { values = ['b@c'] }", "must have values that are DNS labels"),
        ("a = { values = ['.b'] }", "must have values that are DNS labels"),
        ("a = { values = ['b..c'] }", "must have values that are DNS labels"),
        ("a = { values = ['B'] }", "must have values that are DNS labels"),
        (&long, "must have values that are DNS labels"),
        (&many, "must have at most 100 values"),
        ("a = { value = 'x', values = ['b', 'c'] }", "not allowed: it must be one of b, c"),
        ("a = { value = 'b.c', pattern = 'label' }", "not allowed: it must be a DNS label"),
        ("a = { value = 'b/c' }", "not allowed: it must be a DNS label"),
    ] {
        let error = parameters(declared).check_templates([("issuer", "https://x.example/{a}")]);
        let error = error.expect_err(declared).to_string();
        assert!(error.starts_with("parameters.a "), "{declared}: {error}");
        assert!(error.contains(told), "{declared}: {error}");
    }
    let unused = parameters(SHOP).check_templates([("issuer", "https://a.example")]);
    let unused = unused.expect_err("unused").to_string();
    assert!(unused.starts_with("parameters.shop is in no URL of the provider"), "{unused}");
    let name = parameters("Shop = { pattern = 'label' }").check_templates([]).expect_err("a name");
    assert!(name.to_string().starts_with("parameters.Shop must have a name of 1 to 32"), "{name}");
    let many: String = (0..17).map(|index| format!("p{index} = {{ value = 'a' }}\n")).collect();
    let many = parameters(&many).check_templates([]).expect_err("17");
    assert_eq!(many.to_string(), "parameters has more than 16");
}

#[test]
fn values_that_callers_give_are_taken_as_they_are_allowed() {
    let known = parameters(&format!("{SHOP}\n{REGION}\nfixed = {{ value = 'acme.my' }}"));
    assert_eq!(known.open().collect::<Vec<_>>(), ["region", "shop"]);
    let values = known.check(&given(&[("shop", "acme-1"), ("region", "com.au")])).expect("values");
    assert_eq!(values, given(&[("fixed", "acme.my"), ("region", "com.au"), ("shop", "acme-1")]));
    let endpoints = Endpoints {
        authorization: Some("https://{shop}.example.{region}/authorize".to_owned()),
        refresh: Some("https://{shop}.example.com/{shop}".to_owned()),
        revocation: None,
        introspection: Some("https://{shop}.example.com/introspect".to_owned()),
        token: "https://{fixed}.example.com/token".to_owned(),
    };
    assert_eq!(
        endpoints.fill(&values),
        Endpoints {
            authorization: Some("https://acme-1.example.com.au/authorize".to_owned()),
            refresh: Some("https://acme-1.example.com/acme-1".to_owned()),
            revocation: None,
            introspection: Some("https://acme-1.example.com/introspect".to_owned()),
            token: "https://acme.my.example.com/token".to_owned(),
        }
    );
    assert_eq!(fill("https://{fixed}/{shop}", &known.fixed()), "https://acme.my/{shop}");
    assert_eq!(known.samples(), given(&[("fixed", "acme.my"), ("region", "com"), ("shop", "a")]));
}

#[test]
fn values_that_could_move_a_request_are_refused() {
    let shop = parameters(SHOP);
    for value in [
        "",
        ".",
        "..",
        "a.b",
        "a/b",
        "/",
        "a@b",
        "a:1",
        "a?b",
        "a#b",
        "a%2eb",
        "-a",
        "a-",
        "A",
        "ä",
        "{shop}",
        "a b",
        "a\nb",
        "a\\b",
        "127.0.0.1",
        &"a".repeat(64),
        &"a".repeat(300),
    ] {
        let error = shop.check(&given(&[("shop", value)])).expect_err(value);
        let told =
            "shop has a value that is not allowed; it may be [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
        assert_eq!(error.to_string(), told, "{value}");
    }
    for value in ["a", "0", "a--b", "xn--9ca", &"a".repeat(63)] {
        shop.check(&given(&[("shop", value)])).expect(value);
    }
    let region = parameters(REGION);
    for value in ["", "COM", "com ", "com.evil", "uk"] {
        let error = region.check(&given(&[("region", value)])).expect_err(value).to_string();
        assert_eq!(
            error, "region has a value that is not allowed; it may be com, eu, com.au",
            "{value}"
        );
    }
    let missing = region.check(&given(&[])).expect_err("missing").to_string();
    assert_eq!(missing, "region is missing; it may be com, eu, com.au");
    let unknown = region.check(&given(&[("region", "com"), ("a", "b")])).expect_err("unknown");
    assert_eq!(unknown.to_string(), "only these are taken: region");
    let fixed = parameters("shop = { value = 'acme' }");
    let fixed = fixed.check(&given(&[("shop", "acme")])).expect_err("fixed").to_string();
    assert_eq!(fixed, "only these are taken: none");
}
