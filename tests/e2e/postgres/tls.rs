//! TLS between the server and PostgreSQL, compared with psql on the same URL.
//!
//! Invariant: PostgreSQL rejects connections without TLS, so each connection that works uses it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::json;

use crate::{
    postgres::{cluster::Cluster, database::programs},
    support::{
        app::Setup,
        parts::{has, leave_out},
    },
};

/// A PostgreSQL that accepts TLS only, with a certificate.
fn cluster(certificate: &str, key: &str, method: &str) -> Option<Cluster> {
    let cluster = Cluster::start(&programs("TLS to PostgreSQL")?, &["fsync = off"]);
    let write = |name: &str, text: &str| {
        let path = cluster.data().join(name);
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        let mut owner = Command::new("chown");
        let owner = owner.arg("--reference").args([&cluster.data().join("PG_VERSION"), &path]);
        assert!(owner.status().expect("chown").success());
    };
    write("server.crt", certificate);
    write("server.key", key);
    write("ca.crt", certificate);
    let lines = format!("local all all trust\nhostssl all all 127.0.0.1/32 {method}\n");
    write("pg_hba.conf", &lines);
    cluster.sql("postgres", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'");
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.restart();
    Some(cluster)
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate")
}

/// A certificate and its key by `openssl`, as users make them; `None` if openssl is not installed.
fn by_openssl(folder: &Path, subject: &str, more: &[&str]) -> Option<(PathBuf, PathBuf)> {
    if !has("openssl") {
        leave_out("certificates by openssl", "openssl");
        return None;
    }
    let (certificate, key) = (folder.join("own.crt"), folder.join("own.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-new", "-nodes", "-newkey", "rsa:2048", "-subj", subject, "-keyout"])
        .arg(&key);
    let made = openssl.args(more).arg("-out").arg(&certificate).output().expect("openssl");
    assert!(made.status.success(), "{made:?}");
    Some((certificate, key))
}

/// Gives the same URL to psql and to a command of the server, and returns whether each connects. Neither has other
/// files.
fn both(setup: &Setup, url: &str) -> (bool, Result<String, String>) {
    let programs = programs("TLS to PostgreSQL").expect("they were there");
    let mut psql = programs.client("psql");
    psql.env_clear().env("HOME", setup.folder()).current_dir(setup.folder());
    let psql = psql.args([url, "-X", "-w", "-c", "SELECT 1"]).output().expect("psql");
    let home = setup.folder().display().to_string();
    let setup = setup.clone().with("DATABASE__URL", url).variable("HOME", &home);
    (psql.status.success(), setup.run(&["migrate"], ""))
}

/// A self-signed certificate, made as PostgreSQL's documentation says, is trusted if it is pinned. Each mode checks as
/// much as psql does.
#[rstest]
#[case::of_the_documentation("/CN=127.0.0.1", &["-x509"])]
#[case::with_another_name("/CN=db.example.com", &["-x509"])]
#[case::with_alternative_names("/CN=a", &["-x509", "-addext", "subjectAltName=IP:127.0.0.1"])]
#[case::with_other_names("/CN=127.0.0.1", &["-x509", "-addext", "subjectAltName=DNS:db.example.com"])]
fn each_mode_is_that_of_psql(#[case] subject: &str, #[case] more: &[&str]) {
    let setup = Setup::new();
    let Some((certificate, key)) = by_openssl(setup.folder(), subject, more) else { return };
    let text = |path: &Path| fs::read_to_string(path).expect("PEM");
    let Some(cluster) = cluster(&text(&certificate), &text(&key), "scram-sha-256") else { return };
    let url = cluster.create_database("latchkey");
    let other = setup.folder().join("other one.pem");
    fs::write(&other, self::certificate().cert.pem()).expect("write");
    let (own, other) = (parameter(&certificate), parameter(&other));
    for mode in ["disable", "require", "verify-ca", "verify-full"] {
        for root in [None, Some(&own), Some(&other)] {
            let root = root.map_or(String::new(), |root| format!("&{root}"));
            let url = format!("{url}?sslmode={mode}{root}&sslcert=&sslkey=");
            let (psql, own) = both(&setup, &url);
            assert_eq!(own.is_ok(), psql, "{mode}{root}: {own:?}");
        }
    }
}

/// A certificate that rustls cannot read is rejected, with the command that makes a valid one.
#[test]
fn a_certificate_of_version_1_is_refused_with_what_helps() {
    let setup = Setup::new();
    let folder = setup.folder();
    let Some((request, key)) = by_openssl(folder, "/CN=127.0.0.1", &[]) else { return };
    let certificate = folder.join("v1.crt");
    let made = Command::new("openssl")
        .args(["x509", "-req", "-in"])
        .arg(&request)
        .arg("-signkey")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.expect("openssl").status.success());
    let text = |path: &Path| fs::read_to_string(path).expect("PEM");
    let Some(cluster) = cluster(&text(&certificate), &text(&key), "scram-sha-256") else { return };
    let url = cluster.create_database("latchkey");
    let url = format!("{url}?sslmode=verify-full&{}", parameter(&certificate));
    let (_psql, own) = both(&setup, &url);
    let refusal = own.expect_err("it is refused");
    assert!(refusal.contains("`openssl req -new -x509"), "{refusal}");
    assert!(
        both(&setup, &format!("{}?sslmode=require", url.split('?').next().expect("a URL")))
            .1
            .is_ok()
    );
}

/// The server authenticates with a client certificate, whose key only its owner can read.
#[test]
fn a_client_has_a_certificate_of_its_own() {
    let setup = Setup::new();
    let names = ["-x509", "-addext", "subjectAltName=IP:127.0.0.1"];
    let Some((certificate, key)) = by_openssl(setup.folder(), "/CN=latchkey", &names) else {
        return;
    };
    let text = |path: &Path| fs::read_to_string(path).expect("PEM");
    let Some(cluster) = cluster(&text(&certificate), &text(&key), "cert") else { return };
    let url = cluster.create_database("latchkey");
    let url = format!("{url}?sslmode=verify-full&{}", parameter(&certificate));
    let (psql, own) = both(&setup, &url);
    assert!(!psql && own.is_err(), "{own:?}");
    let with = format!("{url}&sslcert={}&sslkey={}", certificate.display(), key.display());
    for (mode, works) in [(0o600, true), (0o640, false), (0o644, false)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("chmod");
        let (psql, own) = both(&setup, &with);
        // libpq accepts keys of root that root's group can read.
        let works = works || psql;
        assert_eq!(own.is_ok(), works, "{mode:o}: {own:?}");
        if let Err(refusal) = own {
            assert!(refusal.contains("chmod 600"), "{refusal}");
        }
    }
    let (_psql, own) = both(&setup, &format!("{url}&sslcert={}", certificate.display()));
    assert!(own.expect_err("it is refused").contains("sslcert and sslkey"));
}

/// A password may be in a file that only its owner can read.
#[test]
fn a_password_may_stand_in_a_file() {
    let setup = Setup::new();
    let url = setup.database().url().expect("its URL");
    let url = url.replace(":CANARY-database@", "@");
    let (psql, own) = both(&setup, &url);
    assert!(!psql && own.is_err(), "{own:?}");
    let write = |name: &str, mode: u32| {
        let path = setup.folder().join(name);
        fs::write(&path, "# ours\nother:*:*:*:wrong\n127.0.0.1:*:*:latchkey:CANARY-database\n")
            .expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        path.display().to_string()
    };
    let path = write("pass file", 0o600);
    let with = format!("{url}?passfile={}", path.replace(' ', "%20"));
    let (psql, own) = both(&setup, &with);
    assert!(psql && own.is_ok(), "{own:?}");
    write("pass file", 0o640);
    let (psql, own) = both(&setup, &with);
    assert!(!psql);
    assert!(own.expect_err("it is refused").contains("chmod 600"));
    write(".pgpass", 0o600);
    let (psql, own) = both(&setup, &url);
    assert!(psql && own.is_ok(), "{own:?}");
}

/// Parameters that the server does not support are named, and no part of a password is shown.
#[rstest]
#[case("postgres://u@h/d?sslmode=prefer", "sslmode=prefer is rejected")]
#[case("postgres://u@h/d?sslmode=allow&sslcert=", "use verify-full, verify-ca, require or disable")]
#[case("postgres://u@h/d?sslmode=verify", "sslmode must be")]
#[case("postgres://u@h/d?sslmode=verify-ca", "needs sslrootcert")]
#[case("postgres://u@h/d?sslmode=require&sslrootcert=system", "needs sslmode=verify-full")]
#[case("postgres://u@h/d?sslcrl=a.pem", "sslcrl is not read here")]
#[case("postgres://u@h/d?passfile=/none", "cannot read /none")]
#[case("postgres://u@h/d?service=x", "service is not read here")]
#[case("postgres://u:fugit/odit@h/d", "written %2F and %3F")]
#[case("postgres://u:fugit?odit=1@h/d", "written %2F and %3F")]
#[case("postgres://u:fug@it@h/d", "written %40")]
#[case("postgres://u@h/d?connect_timeout=soon", "connect_timeout")]
fn what_a_url_cannot_have_is_named(#[case] url: &str, #[case] expected: &str) {
    let refusal = Setup::new().with("DATABASE__URL", url).refusal();
    assert!(refusal.contains(expected), "{refusal}");
}

/// The server reads escapes, empty parameters, and parameters of psql that it does not need.
#[test]
fn a_url_is_read_as_psql_reads_it() {
    let setup = Setup::new();
    let url = setup.database().url().expect("its URL");
    let (user, rest) = url.split_once(":CANARY-database@").expect("a password");
    let (host, database) = rest.split_once('/').expect("a path");
    let (name, port) = host.split_once(':').expect("a port");
    for url in [
        format!("{user}:CANARY%2Ddatabase@{host}/{database}"),
        format!(
            "{user}@{host}/{database}?password=CANARY-database&sslcert=&application_name=a%20b"
        ),
        format!("{user}:CANARY-database@/{database}?host={name}&port={port}&gssencmode=disable"),
        format!(
            "{user}:CANARY-database@127.0.0.1:1,{host}/{database}?target_session_attrs=primary"
        ),
        format!(
            "{user}:CANARY-database@127.0.0.1:1,{host}/{database}?keepalives_count=3&connect_timeout=0"
        ),
    ] {
        let (psql, own) = both(&setup, &url);
        assert!(psql && own.is_ok(), "{url}: {own:?}");
    }
}

/// With `verify-full` the certificate must be trusted, by this machine or by `sslrootcert`.
#[test]
fn a_certificate_must_be_trusted() {
    let own = certificate();
    let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let Some(cluster) = cluster(&pem, &key, "scram-sha-256") else { return };
    let url = cluster.create_database("latchkey");
    let setup = Setup::new();
    let trust = |name: &str, pem: &str| {
        let path = setup.folder().join(name);
        fs::write(&path, pem).expect("write");
        parameter(&path)
    };
    let (right, wrong) =
        (trust("right one.pem", &own.cert.pem()), trust("w.pem", &certificate().cert.pem()));
    let with =
        |parameters: &str| setup.clone().with("DATABASE__URL", &format!("{url}?{parameters}"));

    let refusal = with("sslmode=disable").refusal();
    assert!(refusal.contains("the database server cannot be used"), "{refusal}");
    for untrusted in ["sslmode=verify-full".to_owned(), format!("sslmode=require&{wrong}")] {
        let refusal = with(&untrusted).refusal();
        assert!(refusal.contains("invalid peer certificate"), "{refusal}");
    }
    let refusal = with("sslmode=require&sslrootcert=none.pem").refusal();
    assert!(refusal.contains("none.pem"), "{refusal}");

    let blind = with("sslmode=require").start();
    assert!(blind.log().contains("does not verify the server"), "{}", blind.log());
    drop(blind);
    let app = with(&format!("sslmode=require&{right}")).start();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    let plain = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'latchkey' AND NOT s.ssl";
    assert_eq!(cluster.sql("latchkey", plain).trim(), "0");
}

/// The parameter for a URL.
fn parameter(path: &Path) -> String {
    format!("sslrootcert={}", path.display().to_string().replace(' ', "%20"))
}
