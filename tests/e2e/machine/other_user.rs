//! Commands that root runs for a server that is not root, and files that other users own.
//!
//! Invariant: the server can use every file that a command leaves.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    app::{Setup, TestApp},
    master_keys::{assert_opens, keys, readiness, rotate, save, text},
    parts::leave_out,
};

const NOBODY: u32 = 65_534;

/// A setup whose data folder belongs to the user `nobody`; `None`, with a notice, unless root runs the test.
fn of_nobody(test: &str) -> Option<Setup> {
    let setup = Setup::new();
    let data = setup.data();
    fs::create_dir(&data).expect("folder");
    fs::set_permissions(setup.folder(), Permissions::from_mode(0o755)).expect("chmod");
    let version = setup.clone().arguments(&["--version"]);
    let is_root = chown(&data, Some(NOBODY), Some(NOBODY)).is_ok();
    if !is_root || by_nobody(&version).output().is_err() {
        leave_out(test, "root, and a folder that every user may enter");
        return None;
    }
    Some(setup)
}

/// A command that the user `nobody` runs.
fn by_nobody(setup: &Setup) -> Command {
    let mut command = setup.command();
    command.uid(NOBODY).gid(NOBODY);
    command
}

fn start(setup: &Setup) -> TestApp {
    let started = TestApp::start(setup.clone(), by_nobody(setup));
    started.unwrap_or_else(|log| panic!("the server ended: {log}"))
}

/// Every file and folder below a folder.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let below = |path: PathBuf| {
        let mut found = if path.is_dir() { all_below(&path) } else { Vec::new() };
        found.push(path);
        found
    };
    paths.flat_map(below).collect()
}

fn assert_all_nobodys(setup: &Setup, after: &str) {
    for path in all_below(&setup.data()) {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{path:?} after {after}");
        assert_eq!(metadata.mode() & 0o077, 0, "{path:?} after {after}");
    }
}

/// Root runs commands while a server runs, before it starts, or in its place. The server can use every file that they
/// leave.
#[test]
fn a_server_can_use_what_root_made() {
    let Some(setup) = of_nobody("a server beside commands of root") else { return };
    let run = |arguments: &[&str]| {
        setup
            .run(arguments, "CANARY-password\n")
            .unwrap_or_else(|told| panic!("{arguments:?}: {told}"));
        assert_all_nobodys(&setup, arguments[0]);
    };
    run(&["user", "add", "tje0", "--administrator", "--password-stdin"]);
    let app = start(&setup);
    let client = app.client().with_password("tje0", "CANARY-password");
    let (key, old) = (save(&client), text(&keys(&setup, &["status"])[0]["id"]));
    run(&["keys", "new"]);
    rotate(&setup);
    run(&["keys", "retire", &old]);
    run(&["user", "add", "ann", "--password-stdin"]);
    run(&["ticket", "issue", "ann"]);
    run(&["verify"]);
    run(&["backup", "data/backup"]);
    assert_eq!(client.access_token(&key).as_deref(), Some("fugit"));
    assert_eq!(readiness(&app), 200);

    let mut app = app;
    app.kill();
    run(&["user", "list"]);
    run(&["copy", "--to", "sqlite:data/copies/copy.db"]);
    for name in ["latchkey.db", "latchkey.db-wal", "latchkey.db-shm", "latchkey.db.lock"] {
        let _ = fs::remove_file(setup.data().join(name));
    }
    run(&["restore", "data/backup"]);
    let app = start(&setup);
    let client = app.client().with_password("tje0", "CANARY-password");
    assert_eq!(client.access_token(&key).as_deref(), Some("fugit"));
    save(&client);
    drop(app);

    let Some(other) = of_nobody("a migration by root") else { return };
    other.run(&["migrate"], "").expect("migrated");
    assert_all_nobodys(&other, "migrate");
    save(&start(&other).client());
}

/// A command of a user that is neither root nor the server's is rejected. The message names the right user, and nothing
/// is left.
#[test]
fn another_user_learns_which_user_to_be() {
    let Some(setup) = of_nobody("a command of another user") else { return };
    let app = start(&setup);
    for path in all_below(&setup.data()).into_iter().chain([setup.data()]) {
        let mode = if path.is_dir() { 0o770 } else { 0o660 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
    }
    let refused = |arguments: &[&str], user: u32| {
        let before = all_below(&setup.data());
        let mut command = setup.clone().arguments(arguments).command();
        let output = command.uid(user).gid(NOBODY).output().expect("it runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(
            told.contains("run this command as that user: `sudo -u 'nobody' latchkey"),
            "{told}"
        );
        assert_eq!(all_below(&setup.data()).len(), before.len());
    };
    refused(&["keys", "new"], 1234);
    fs::set_permissions(setup.data(), Permissions::from_mode(0o700)).expect("chmod");
    refused(&["keys", "status"], 1234);
    refused(&["backup", "data/backup"], 1234);
    assert_eq!(readiness(&app), 200);
}

/// Commands of root do not follow links in a folder that another user can write.
#[test]
fn no_link_leads_out_of_the_folder() {
    let Some(setup) = of_nobody("links to files of root") else { return };
    start(&setup).stop();
    let (victim, missing) = (setup.folder().join("victim"), setup.folder().join("missing"));
    fs::write(&victim, "root's").expect("written");
    fs::set_permissions(&victim, Permissions::from_mode(0o644)).expect("chmod");
    for (name, target) in
        [("latchkey.db-wal", &victim), ("latchkey.db-shm", &victim), ("latchkey.db.lock", &missing)]
    {
        let link = setup.data().join(name);
        let _ = fs::remove_file(&link);
        symlink(target, &link).expect("a link");
        let _ = setup.run(&["user", "list"], "");
        fs::remove_file(&link).expect("removed");
    }
    let metadata = fs::metadata(&victim).expect("it is there");
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o644, 0));
    assert_eq!(fs::read(&victim).expect("read"), b"root's");
    assert!(!missing.exists());
}

/// The first start and later starts apply the same rules: an owner's own group causes a warning, and access by others
/// is rejected.
#[test]
fn a_group_is_warned_of_and_others_are_refused() {
    let Some(setup) = of_nobody("key files of several owners") else { return };
    let app = start(&setup);
    let key = save(&app.client());
    let mut setup = app.stop();
    let file = setup.key_file();
    let set = |mode: u32, owner: u32| {
        chown(&file, Some(owner), Some(NOBODY)).expect("chown");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("chmod");
    };
    let chmod = format!("chmod -R g+rwX {}", setup.data().display());
    assert!(Command::new("sh").args(["-c", &chmod]).status().expect("sh").success());
    for (mode, owner) in [(0o660, NOBODY), (0o640, 0), (0o440, 0)] {
        set(mode, owner);
        let app = start(&setup);
        assert_opens(&app, &key);
        assert!(app.log().contains("the group of this master key's file may use it"), "{mode:o}");
        setup = app.stop();
        fs::remove_file(setup.folder().join("log")).expect("removed");
    }
    // A key file that root makes next to it has the same owner and group.
    let made = text(&keys(&setup, &["new"])["place"]);
    let made = setup.folder().join(made);
    let metadata = fs::metadata(&made).expect("it is there");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (0, NOBODY, 0o640));
    for (mode, owner, told) in [
        (0o604, NOBODY, "every user of this machine can read data/keys/"),
        (0o640, 1234, "every user of this machine can read data/keys/"),
        (0o600, 1234, "run this command as that user: `sudo -u '#1234' latchkey"),
    ] {
        set(mode, owner);
        let output = by_nobody(&setup).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(said.contains(told), "{mode:o}: {said}");
    }
}

/// With every umask the files that the server makes are for their owner alone, and the owner can use them.
#[test]
fn the_umask_does_not_matter() {
    for umask in ["000", "077", "777"] {
        let setup = Setup::new();
        let mut shell = Command::new("sh");
        let command = setup.command();
        shell.args(["-c", &format!("umask {umask}; exec \"$0\"")]).arg(command.get_program());
        shell.current_dir(setup.folder()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let app = TestApp::start(setup.clone(), shell).expect("it starts");
        assert_opens(&app, &save(&app.client()));
        for path in all_below(&setup.data()) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            let mode = fs::metadata(&path).expect("it is there").mode();
            assert_eq!(mode & 0o777, expected, "{path:?} with {umask}");
        }
    }
}

/// The data folder may be a link to a folder.
#[test]
fn a_data_folder_may_be_a_link() {
    let setup = Setup::new();
    let real = setup.folder().join("real");
    fs::create_dir(&real).expect("folder");
    symlink(&real, setup.data()).expect("a link");
    let app = setup.start();
    let key = save(&app.client());
    rotate(&setup);
    setup.run(&["backup", "data/backup"], "").expect("a backup");
    assert!(real.join("backup").exists());
    assert_opens(&app.stop().start(), &key);
}

/// The server can use keys on a read-only mount. A rotation gives the reason why it cannot run, and changes nothing.
#[test]
fn keys_may_be_on_a_read_only_mount() {
    let app = TestApp::new();
    let (key, folder) = (save(&app.client()), app.setup.data().join("keys"));
    let setup = app.stop();
    let mount = |options: &[&str]| {
        let mut command = Command::new("mount");
        let output = command.args(options).args([&folder, &folder]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !mount(&["--bind"]) {
        return leave_out("keys on a read-only mount", "the right to mount");
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        }
    }
    let _unmount = Unmount(folder.clone());
    assert!(mount(&["-o", "remount,bind,ro"]));
    let app = setup.start();
    let before = keys(&setup, &["status"]);
    let refusal = setup.run(&["keys", "rotate"], "").expect_err("it is refused");
    assert!(refusal.contains("cannot create data/keys/kek-"), "{refusal}");
    assert!(refusal.contains("Read-only file system"), "{refusal}");
    assert_eq!(keys(&setup, &["status"]), before);
    assert_opens(&app, &key);
}

/// A pipe or a folder in place of a key file is rejected at once.
#[test]
fn a_pipe_is_no_key() {
    let setup = TestApp::new().stop();
    let file = setup.key_file();
    fs::remove_file(&file).expect("removed");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    let refusal = setup.refusal();
    assert!(refusal.contains("it is no regular file"), "{refusal}");
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("folder");
    let refusal = setup.refusal();
    assert!(refusal.contains("it is no regular file"), "{refusal}");
}

/// Text from the database cannot control a terminal, and no id of a key leads out of the folder of the keys.
#[test]
fn what_is_printed_of_a_database_is_escaped() {
    let app = TestApp::new();
    app.add_user("ann");
    app.sql("UPDATE users SET login = 'ann' || char(27) || '[2J' WHERE login = 'ann'");
    for output in ["text", "json"] {
        let told = app.setup.run(&["user", "list", "--output", output], "");
        let told = told.unwrap_or_else(|refusal| refusal);
        assert!(!told.contains('\u{1b}'), "{told}");
    }
    let setup = app.stop();
    let refused = |sql: &str, told: &str| {
        assert_eq!(setup.database().sql(sql), 1);
        let refusal = setup.refusal();
        assert!(refusal.contains(told) && !refusal.contains('\u{1b}'), "{refusal}");
    };
    refused("UPDATE keks SET source = char(27) || '[2J'", "which is kept in \"\\u{1b}[2J\"");
    let outside = "UPDATE keks SET source = 'directory', id = '../../x' || char(27)";
    refused(outside, "the id of a master key has 1 to 32 digits and lower-case letters");
}

/// `-` is not used as the name of a file.
#[test]
fn a_backup_is_no_stream() {
    let app = TestApp::new();
    for command in ["backup", "restore"] {
        let refusal = app.setup.run(&[command, "-"], "").expect_err("it is refused");
        assert!(refusal.contains("it cannot be a stream; name a file"), "{refusal}");
        assert!(!app.setup.folder().join("-").exists());
    }
    let made = app.setup.run(&["backup", "./-"], "").expect("a file of that name");
    assert!(made.contains("wrote ./-"), "{made}");
}
