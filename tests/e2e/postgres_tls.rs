//! TLS between the server and PostgreSQL.
//!
//! Invariant: PostgreSQL lets nobody in without TLS, so that whoever gets in has spoken it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::json;

use crate::{app::Setup, cluster::Cluster, postgres_database::programs};

/// A PostgreSQL that lets in by TLS only, with a certificate for its address.
fn cluster(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Option<Cluster> {
    let cluster = Cluster::start(&programs("TLS to PostgreSQL")?, &[]);
    let data = cluster.data();
    let write = |name: &str, text: &str| {
        fs::write(data.join(name), text).expect("write");
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).expect("chmod");
        let mut owner = Command::new("chown");
        let owner = owner.arg("--reference").args([data.join("PG_VERSION"), data.join(name)]);
        assert!(owner.status().expect("chown").success());
    };
    write("server.crt", &certificate.cert.pem());
    write("server.key", &certificate.signing_key.serialize_pem());
    write("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.restart();
    Some(cluster)
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate")
}

/// With `sslmode=require` the certificate must be trusted: by this machine, or by `sslrootcert`.
#[test]
fn a_certificate_must_be_trusted() {
    let own = certificate();
    let Some(cluster) = cluster(&own) else { return };
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
    for untrusted in ["sslmode=require".to_owned(), format!("sslmode=verify-full&{wrong}")] {
        let refusal = with(&untrusted).refusal();
        assert!(refusal.contains("invalid peer certificate"), "{refusal}");
    }
    let refusal = with("sslmode=require&sslrootcert=none.pem").refusal();
    assert!(refusal.contains("none.pem"), "{refusal}");

    let app = with(&format!("sslmode=require&{right}")).start();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    let plain = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'latchkey' AND NOT s.ssl";
    assert_eq!(cluster.sql("latchkey", plain).trim(), "0");
}

/// As it stands in a URL.
fn parameter(path: &Path) -> String {
    format!("sslrootcert={}", path.display().to_string().replace(' ', "%20"))
}
