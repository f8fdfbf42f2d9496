//! A disk that becomes read-only while the server has its files open.
//!
//! Invariant: saves are rejected as a whole, gets work, and no acknowledged save is lost.
//!
//! Linux does not remount a file system read-only while a file is open for writing, so this cannot be done to a running
//! server. A file system remounts itself when it finds an error. Then it must be unmounted and repaired.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use crate::support::{
    app::{Setup, TestApp, until},
    load::{Random, Record},
    parts::leave_out,
};

const MEGABYTE: u64 = 1024 * 1024;

/// An ext4 file system in a file, mounted as the server's data folder; unmounted when this is dropped.
struct Disk {
    image: PathBuf,
    path: PathBuf,
}

impl Disk {
    /// `None`, with a notice, if this user may not mount.
    fn new(test: &str, setup: &Setup) -> Option<Self> {
        let disk = Self { image: setup.folder().join("image"), path: setup.data() };
        File::create(&disk.image).and_then(|file| file.set_len(32 * MEGABYTE)).expect("image");
        fs::create_dir(&disk.path).expect("mount point");
        let is_made = run(Command::new("mkfs.ext4").arg("-q").arg(&disk.image));
        if is_made && disk.mount() {
            Some(disk)
        } else {
            leave_out(test, "the right to mount an ext4 file system");
            None
        }
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop,errors=remount-ro"]).args([&self.image, &self.path]))
    }

    /// Triggers an error of the file system, which makes it read-only.
    fn fail(&self) {
        let mut findmnt = Command::new("findmnt");
        let device = findmnt.args(["-n", "-o", "SOURCE"]).arg(&self.path).output();
        let device = String::from_utf8(device.expect("findmnt").stdout).expect("UTF-8");
        let name = device.trim().strip_prefix("/dev/").expect("a device");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").expect("an error");
        fs::write(self.path.join("probe"), "").expect_err("it is read-only");
        // Data in memory can no longer be written to the disk, and is dropped.
        run(Command::new("sync").arg("-f").arg(&self.path));
    }

    /// Repairs the file system, which must not be in use, and mounts it again.
    fn repair(&self) {
        assert!(run(Command::new("umount").arg(&self.path)), "it is in use");
        // The exit code 1 means that errors were repaired.
        let status = Command::new("e2fsck").arg("-p").arg(&self.image).output().expect("e2fsck");
        assert!(matches!(status.status.code(), Some(0 | 1)), "{status:?}");
        assert!(self.mount());
    }

    /// Prevents every write to the database and its log, by open files too, or allows writes again (`+i`, `-i`). The
    /// index of the log is not changed, because it is mapped: a write to an unwritable mapping ends the process with a
    /// signal.
    fn change_files(&self, attribute: &str) {
        for file in ["latchkey.db", "latchkey.db-wal"] {
            let file = self.path.join(file);
            assert!(run(Command::new("chattr").arg(attribute).arg(&file)), "{}", file.display());
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.path));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Waits until a number of saves were rejected and gets still work.
fn wait_for_refusals(app: &TestApp, record: &Record) {
    let (refused, got) = (record.refused(), record.got());
    until("saves are refused", || record.refused() >= refused + 100);
    until("gets go on", || record.got() >= got + 100);
    let acknowledged = record.acknowledged();
    app.client().request("GET", "/readyz", &[], b"").expect(503);
    assert_eq!(record.acknowledged(), acknowledged);
}

/// The server then shuts down in good order, and all acknowledged saves are on the repaired disk.
#[test]
fn a_disk_that_turns_read_only_refuses_saves_and_loses_nothing() {
    let setup = Setup::new();
    let Some(disk) = Disk::new("a disk that turns read-only", &setup) else { return };
    let (app, record) = (setup.start(), Record::default());
    let client = app.client();
    (0..100).for_each(|_| assert!(record.save(&client)));
    // At a moment without saves, because Linux may report a save under way as written when it is not.
    disk.fail();
    record.load(&app.url, 8, &mut Random::new(), || wait_for_refusals(&app, &record));
    assert_eq!(record.acknowledged(), 100);
    println!("{} saves were refused, {} gets answered", record.refused(), record.got());
    assert_eq!(record.cut_off(), 0);
    let setup = app.stop();
    disk.repair();
    let app = setup.start();
    record.assert_kept(&app);
    assert!(record.save(&app.client()));
}

/// Files cannot be written for a while. As soon as they can, saves work without a restart.
#[test]
fn files_that_cannot_be_written_for_a_time_refuse_saves_and_lose_nothing() {
    let setup = Setup::new();
    let Some(disk) = Disk::new("files that cannot be written", &setup) else { return };
    let (mut app, record) = (setup.start(), Record::default());
    record.load(&app.url, 8, &mut Random::new(), || {
        until("saves", || record.acknowledged() >= 100);
        for _ in 0..3 {
            disk.change_files("+i");
            wait_for_refusals(&app, &record);
            let acknowledged = record.acknowledged();
            disk.change_files("-i");
            until("saves go on", || record.acknowledged() >= acknowledged + 50);
        }
    });
    println!("{} saves were refused, {} gets answered", record.refused(), record.got());
    assert_eq!(record.cut_off(), 0);
    app.kill();
    record.assert_kept(&app.setup.start());
}
