//! The files of the audit log: tampering, rotation, and disks that fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::{Value, json};

use super::{assert_found, audited, file, verify};
use crate::support::{
    app::{Setup, until},
    client::to_save,
    parts::leave_out,
    scrape::{Scrape, scraped},
};

#[test]
fn every_kind_of_tampering_is_found() {
    let app = audited().start();
    let client = app.client();
    let keys: Vec<String> =
        (0..5).map(|_| client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}))).collect();
    let setup = app.stop();
    let path = file(&setup);
    let text = fs::read_to_string(&path).expect("the audit log");
    let lines: Vec<&str> = text.lines().collect();
    let intact = verify(&setup).expect("intact");
    assert_eq!(intact[0]["lines"], lines.len(), "{intact}");
    let tampered = |change: &dyn Fn(&mut Vec<String>), found: &str| {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        change(&mut lines);
        fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .expect("written");
        assert_found(&setup, found);
    };
    let (first, second) = (&keys[0][3..14], &keys[1][3..14]);
    tampered(
        &|lines| lines[2] = lines[2].replace(first, second),
        "line 3: it, or the line before it, was changed",
    );
    tampered(&|lines| drop(lines.remove(3)), "line 4: lines 4 to 4 are missing before it");
    tampered(
        &|lines| lines.insert(3, lines[2].clone()),
        "line 4: line 3 is in the place of line 4",
    );
    tampered(&|lines| lines.swap(2, 3), "line 3: lines 3 to 3 are missing before it");
    tampered(&|lines| lines.truncate(5), "line 8 was written, and the last line here is 5");
    tampered(&|lines| drop(lines.remove(0)), "not the first line of a file");
    // An incomplete line counts as missing.
    fs::write(&path, &text[..text.len() - 1]).expect("written");
    assert_found(&setup, "the end was cut off");
    // A server that starts on a file that was cut sets it aside, says so, and begins another chain.
    fs::write(&path, lines[..4].iter().map(|line| format!("{line}\n")).collect::<String>())
        .expect("written");
    let app = setup.start();
    app.logged(&["the end of the audit log was cut off"]);
    app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let setup = app.stop();
    assert_found(&setup, "the end was cut off");
    let aside = doubtful(&path);
    assert_eq!(aside.len(), 1, "{aside:?}");
    fs::remove_file(&aside[0]).expect("removed");
    verify(&setup).expect("the new chain is intact");
    // The anchor in the database is signed, too. Without one, nothing is continued.
    setup.database().sql("UPDATE audit_anchors SET sequence = sequence - 1");
    assert_found(&setup, "the anchor of this chain in the database was changed");
    setup.database().sql("DELETE FROM audit_anchors");
    let app = setup.start();
    app.logged(&["the database has no anchor of the audit log"]);
    assert_eq!(doubtful(&path).len(), 1);
}

/// The files that a server set aside.
fn doubtful(path: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(path.parent().expect("folder")).expect("folder");
    let files = folder.map(|entry| entry.expect("entry").path());
    files.filter(|file| file.to_string_lossy().ends_with(".doubtful")).collect()
}

/// Another program that cuts the file in place makes a gap that is found, and stops nothing.
#[test]
fn a_file_that_is_cut_in_place_is_replaced() {
    let app = audited().start();
    let client = app.client();
    let path = file(&app.setup);
    let save_one = || client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    save_one();
    fs::File::options().write(true).open(&path).expect("open").set_len(0).expect("cut");
    until("a file that begins again", || {
        save_one();
        fs::read_to_string(&path).expect("log").starts_with("{\"audit\":1,")
    });
    let setup = app.stop();
    let verified = verify(&setup).expect("the file is intact from its first line on");
    assert!(verified[0]["first"].as_i64() > Some(1), "{verified}");
}

/// A line that was not written to its end, and so was never confirmed, is removed at the next start.
#[test]
fn an_incomplete_line_is_removed() {
    let app = audited().start();
    let setup = app.stop();
    let path = file(&setup);
    let text = fs::read_to_string(&path).expect("log");
    fs::write(&path, format!("{text}{{\"audit\":1,\"ti")).expect("written");
    drop(setup.start().stop());
    assert!(doubtful(&path).is_empty());
    verify(&setup).expect("intact");
    // Zeros, as a power cut may leave them, are no line.
    let text = fs::read_to_string(&path).expect("log");
    fs::write(&path, [text.as_bytes(), &[0; 300_000]].concat()).expect("written");
    drop(setup.start().stop());
    let aside = doubtful(&path);
    assert_eq!(fs::metadata(&aside[0]).expect("kept").len(), text.len() as u64 + 300_000);
}

/// A link at the path would let its maker choose a file that root writes to.
#[test]
fn a_link_is_not_followed() {
    let setup = audited();
    let path = file(&setup);
    fs::create_dir(path.parent().expect("folder")).expect("folder");
    let elsewhere = setup.folder().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("link");
    let refusal = setup.refusal();
    assert!(refusal.contains("cannot use the audit log audit/audit.jsonl"), "{refusal}");
    assert!(!elsewhere.exists());
}

#[test]
fn two_servers_cannot_write_to_one_file() {
    let app = audited().start();
    let path = file(&app.setup).display().to_string();
    let refusal = Setup::new().with("AUDIT__FILE", &path).refusal();
    assert!(refusal.contains("each server needs a file of its own"), "{refusal}");
    let garbage = app.setup.folder().join("no.jsonl");
    fs::write(&garbage, "something else\n").expect("written");
    let refusal = Setup::new().with("AUDIT__FILE", &garbage.display().to_string()).refusal();
    assert!(refusal.contains("is not an audit log; take another path"), "{refusal}");
    assert_eq!(fs::read_to_string(&garbage).expect("unchanged"), "something else\n");
    let refusal = Setup::new().with("AUDIT__FILE", "/proc/x/audit.jsonl").refusal();
    assert!(refusal.contains("cannot use the audit log /proc/x/audit.jsonl"), "{refusal}");
}

/// The chain goes on over files: rotated by size, renamed by another program, or removed.
#[test]
fn files_are_rotated() {
    let setup = audited().with("AUDIT__ROTATE_BYTES", "65536").with("AUDIT__KEEP_FILES", "3");
    let app = setup.start();
    let client = app.client();
    let path = file(&app.setup);
    let save_one = || client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    save_one();
    let renamed = path.with_file_name("audit.jsonl.1");
    fs::rename(&path, &renamed).expect("renamed");
    app.signal("HUP");
    until("a new file", || path.exists());
    save_one();
    let moved = path.with_file_name("moved");
    fs::rename(&path, &moved).expect("renamed");
    until("a new file, without a signal", || {
        save_one();
        path.exists()
    });
    let setup = app.stop();
    let files = [&renamed, &moved, &path].map(|path| path.display().to_string());
    let arguments = ["audit", "verify", &files[2], &files[0], &files[1], "--output", "json"];
    let told = setup.run(&arguments, "").expect("intact");
    let verified: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((verified.as_array().map(Vec::len), &verified[0]["first"]), (Some(1), &json!(1)));
    let refusal = setup.run(&["audit", "verify", &files[0], &files[2]], "").expect_err("found");
    assert!(refusal.contains("are missing before it"), "{refusal}");
    let app = setup.start();
    let client = app.client();
    for _ in 0..1200 {
        client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    }
    let setup = app.stop();
    let names = fs::read_dir(path.parent().expect("folder")).expect("folder");
    let names: Vec<String> = names
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    let rotated = names.iter().filter(|name| name.starts_with("audit.jsonl.2")).count();
    assert_eq!(rotated, 3, "{names:?}");
    let verified = verify(&setup).expect("intact");
    assert!(verified[0]["first"].as_i64() > Some(1), "the oldest files are gone: {verified}");
}

/// A disk that is full is an outage of everything that must be recorded, or a gap.
#[rstest]
fn a_full_disk_refuses_calls_or_leaves_a_gap(#[values("refuse", "go_on")] on_failure: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk);
    if !mount.status().is_ok_and(|status| status.success()) {
        return leave_out("a_full_disk_refuses_calls_or_leaves_a_gap", "the right to mount tmpfs");
    }
    let path = disk.join("audit.jsonl");
    let setup = Setup::new()
        .with("AUDIT__FILE", &path.display().to_string())
        .with("AUDIT__ON_FAILURE", on_failure);
    let app = scraped(setup).start();
    let is_failing = || Scrape::of(&app).value("latchkey_audit_failing", &[]) == 1.0;
    assert!(!is_failing());
    let client = app.client();
    let key = client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 40_000]).expect("written");
    let get = || client.post("GetExternalTokens", &json!({"Key": key})).status;
    if on_failure == "refuse" {
        until("a full disk", || get() == 503);
        let told = client.post("SaveExternalTokens", &to_save("CANARY"));
        told.expect_error(503, "SoUnavailableException", "cannot write its audit log");
        client.request("GET", "/healthz", &[], b"").expect(200);
        let refused = [("cause", "audit")];
        assert!(Scrape::of(&app).value("latchkey_http_unavailable_total", &refused) >= 2.0);
        assert!(is_failing());
        fs::remove_file(&filler).expect("removed");
        until("room", || get() == 200);
    } else {
        for _ in 0..200 {
            assert_eq!(get(), 200);
        }
        assert!(is_failing());
        fs::remove_file(&filler).expect("removed");
        until("room", || fs::read_to_string(&path).expect("log").contains("audit.gap"));
    }
    app.logged(&["the audit log cannot be written"]);
    app.logged(&["the audit log is written again"]);
    assert!(!is_failing());
    let setup = app.stop();
    let text = fs::read_to_string(&path).expect("the audit log");
    assert!(text.contains("\"action\":\"audit.gap\""), "{text}");
    let verified = setup.run(&["audit", "verify", &path.display().to_string()], "");
    verified.expect("the chain has no gap");
    let mut umount = Command::new("umount");
    assert!(umount.arg("-l").arg(&disk).status().expect("umount").success());
}
