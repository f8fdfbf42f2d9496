//! A disk that is full or read-only: clear refusals, nothing lost, and recovery without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{
    app::{Setup, TestApp},
    parts::leave_out,
};

/// A small file system of its own, unmounted when it goes.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    fn mount(test: &str, path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("mount point");
        let disk = Self { path: path.to_owned() };
        if disk.run("mount", &["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]) {
            Some(disk)
        } else {
            leave_out(test, "the right to mount a tmpfs");
            None
        }
    }

    fn remount(&self, option: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{option}")]), "{option}");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.path).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

fn save(app: &TestApp, token: &str) -> crate::client::Answer {
    let carrier = json!({"Provider": "et", "AccessToken": token});
    app.client().post("SaveExternalTokens", &json!({ "TokenManagementInfo": carrier }))
}

#[test]
fn a_full_disk_refuses_saves_and_loses_nothing() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a full disk", &setup.data()) else { return };
    let app = setup.start();
    let ballast = setup.data().join("ballast");
    fs::write(&ballast, vec![0; 300_000]).expect("ballast");

    let token = format!("CANARY{}", "x".repeat(20_000));
    let mut kept = Vec::new();
    let refused = loop {
        let answer = save(&app, &token);
        if answer.status != 200 {
            break answer;
        }
        kept.push(answer.json().as_str().expect("key").to_owned());
        assert!(kept.len() < 1000, "the disk never fills");
    };
    let refused = refused.expect_error(503, "SoUnavailableException", "nothing was saved");
    assert_eq!(refused.header("Retry-After"), "1");
    for key in &kept {
        assert_eq!(app.client().access_token(key).as_ref(), Some(&token), "while full");
    }

    fs::remove_file(&ballast).expect("make room");
    kept.push(save(&app, &token).expect(200).json().as_str().expect("key").to_owned());
    let app = app.stop().start();
    let lost = kept.iter().filter(|key| app.client().access_token(key).as_ref() != Some(&token));
    assert_eq!(lost.count(), 0);
}

#[test]
fn a_read_only_disk_refuses_the_start_and_nothing_is_lost() {
    let setup = Setup::new();
    let Some(disk) = SmallDisk::mount("a read-only disk", &setup.data()) else { return };
    let app = setup.start();
    let key = save(&app, "CANARY-before").expect(200).json();
    let key = key.as_str().expect("key");

    let setup = app.stop();
    disk.remount("ro");
    let refusal = setup.refusal();
    assert!(refusal.contains("latchkey.db.lock"), "{refusal}");
    assert!(refusal.contains("check the path, and what this user may do there"), "{refusal}");

    disk.remount("rw");
    let app = setup.start();
    assert_eq!(app.client().access_token(key).as_deref(), Some("CANARY-before"));
    save(&app, "CANARY-after").expect(200);
}

#[test]
fn a_disk_that_is_full_from_the_first_is_told_and_can_be_tried_again() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a full disk at the first start", &setup.data()) else {
        return;
    };
    let ballast = setup.data().join("ballast");
    fs::write(&ballast, vec![0; 2_000_000]).expect_err("the disk is full");
    let refusal = setup.refusal();
    assert!(refusal.contains("make room on its disk"), "{refusal}");
    fs::remove_file(&ballast).expect("make room");
    save(&setup.start(), "CANARY").expect(200);
}
