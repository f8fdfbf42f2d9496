//! Rules about secrets that the compiler does not check: which algorithms are in use, and how secrets are compared.
//!
//! Invariant: `ALGORITHMS` is the whole inventory (OWASP ASVS 11.1.2). An algorithm that is missing from it is an
//! error, and so is a listed one that no code uses. The list of bans in `deny.toml` covers the algorithms of other
//! crates.

use std::{collections::BTreeSet, fs};

/// The algorithms that each crate uses from the cryptographic library, and those that sign JWTs.
const ALGORITHMS: [(&str, &[&str]); 3] = [
    (
        "auth",
        &[
            // Digests of credentials, and the MAC that recognises a password which was verified recently.
            "HMAC_SHA256",
            "SHA256",
            // Signatures of JWTs, without any algorithm that has a shared secret.
            "ECDSA_P256_SHA256_FIXED",
            "ECDSA_P384_SHA384_FIXED",
            "ES256",
            "ES384",
            "EdDSA",
            "PS256",
            "RS256",
            "RS384",
            "RS512",
        ],
    ),
    (
        "provider",
        &[
            // The challenge of PKCE, and the digests that name a client and a certificate.
            "SHA256",
            // Assertions of a client.
            "ECDSA_P256_SHA256_FIXED_SIGNING",
            "ES256",
            "PS256",
            "RS256",
            "RSA_PKCS1_SHA256",
            "RSA_PSS_SHA256",
        ],
    ),
    ("store", &["AES_256_GCM", "HKDF_SHA256", "HMAC_SHA256", "SHA256"]),
];

/// The prefixes of algorithms' names.
const FAMILIES: [&str; 23] = [
    "AES_", "CHACHA", "XCHACHA", "SHA1", "SHA2", "SHA3", "SHA5", "HMAC_", "HKDF_", "PBKDF2",
    "RSA_", "ECDSA_", "ECDH_", "ED25519", "X25519", "MD5", "DES_", "RC4", "RS", "ES", "PS", "HS",
    "EdDSA",
];
/// Traits that compare a secret in a time that depends on it. The compiler ensures that no secret is printed or
/// serialised.
const FORBIDDEN: [&str; 5] = ["PartialEq", "Eq", "PartialOrd", "Ord", "Hash"];
/// Types that hold secrets.
const HOLDERS: [&str; 5] =
    ["SecretText", "SecretString", "Zeroizing", "LessSafeKey", "PasswordHash"];

/// Checks the sources of the crates, without their tests.
pub(crate) fn check(sources: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    let mut used = BTreeSet::new();
    for file in sources.iter().filter(|file| is_product(file)) {
        let source = fs::read_to_string(file)?;
        let source = code(&source);
        let name = file.split('/').nth(1).unwrap_or_default();
        used.extend(algorithms(&source).map(|algorithm| (name.to_owned(), algorithm.to_owned())));
        broken.extend(
            comparisons(&source).map(|line| {
                format!("secrets: {file} compares by `==`, not in constant time: {line}")
            }),
        );
        broken.extend(
            derives(&source)
                .map(|item| format!("secrets: {file} derives what a secret may not have: {item}")),
        );
    }
    let known = ALGORITHMS.iter().flat_map(|(name, algorithms)| {
        algorithms.iter().map(|algorithm| (name.to_string(), algorithm.to_string()))
    });
    let known: BTreeSet<_> = known.collect();
    for (name, algorithm) in used.symmetric_difference(&known) {
        let what = if known.contains(&(name.clone(), algorithm.clone())) {
            "does not use"
        } else {
            "uses"
        };
        broken.push(format!("secrets: {name} {what} {algorithm}; see ALGORITHMS in secrets.rs"));
    }
    Ok(broken)
}

fn is_product(file: &str) -> bool {
    file.starts_with("crates/") && file.contains("/src/") && !file.contains("/tests")
}

/// Returns a source without comments and without the tests at its end.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the algorithms that are named by a path, or imported from the library.
fn algorithms(code: &str) -> impl Iterator<Item = &str> {
    let imports = code.split("use aws_lc_rs::").skip(1);
    let imported = imports.filter_map(|rest| rest.split(';').next()).flat_map(words);
    let by_path = code.split("::").skip(1).filter_map(|rest| words(rest).next());
    imported.chain(by_path).filter(|word| {
        let is_name = word.ends_with(|last: char| last.is_ascii_digit() || last.is_uppercase());
        let has_digit = word.chars().any(|letter| letter.is_ascii_digit()) || *word == "EdDSA";
        let is_length = word.ends_with("_LEN");
        is_name && has_digit && !is_length && FAMILIES.iter().any(|family| word.starts_with(family))
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

/// Returns the lines that compare the result of `expose`.
fn comparisons(code: &str) -> impl Iterator<Item = &str> {
    let compares = |line: &&str| line.contains("==") || line.contains("!=");
    code.lines().map(str::trim).filter(|line| line.contains("expose()")).filter(compares)
}

/// Returns the types that hold a secret and derive a forbidden trait.
fn derives(code: &str) -> impl Iterator<Item = &str> {
    code.split("#[derive(").skip(1).filter_map(|rest| {
        let (traits, item) = rest.split_once(")]")?;
        let end = item.find("\n}").or_else(|| item.find(';')).unwrap_or(item.len());
        let end = item.find(';').map_or(end, |semicolon| end.min(semicolon));
        let is_secret = words(&item[..end]).any(|word| HOLDERS.contains(&word));
        let is_forbidden = words(traits).any(|word| FORBIDDEN.contains(&word));
        (is_secret && is_forbidden).then(|| item.trim_start().lines().next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_found_wherever_it_is_named() {
        let source = "// SHA1 in a comment\nuse aws_lc_rs::{\n    aead::{AES_128_GCM, NONCE_LEN},\n    digest,\n};\n\
             const A: X = &digest::SHA512;\nfn f() { Algorithm::HS256; SHA256_LEN; Self::RsaBits; }\n\
             #[cfg(test)]\nmod tests { use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY; }";
        let found: Vec<String> = algorithms(&code(source)).map(str::to_owned).collect();
        assert_eq!(found, ["AES_128_GCM", "SHA512", "HS256"].map(str::to_owned));
    }

    #[test]
    fn a_comparison_of_secrets_is_found() {
        let source = "let a = one.expose() == two.expose();\nlet b = one.expose().len();";
        assert_eq!(
            comparisons(source).collect::<Vec<_>>(),
            [source.lines().next().expect("a line")]
        );
    }

    #[test]
    fn a_secret_that_can_be_compared_is_found() {
        let source = "#[derive(Clone, PartialEq)]\nstruct A(Zeroizing<[u8; 32]>);\n\
             #[derive(Clone, Debug)]\nstruct B { text: SecretText }\n\
             #[derive(PartialEq)]\nstruct C {\n    text: String,\n}\n\
             #[derive(Hash)]\nstruct D {\n    key: LessSafeKey,\n}\n";
        let found: Vec<&str> = derives(source).collect();
        assert_eq!(found, ["struct A(Zeroizing<[u8; 32]>);", "struct D {"]);
    }
}
