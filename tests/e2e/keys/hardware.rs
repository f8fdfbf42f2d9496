//! Master keys that a hardware module seals, with SoftHSM2 as the module; and master keys from a secret.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    app::Setup,
    master_keys::{assert_opens, save},
    parts::leave_out,
};

const PIN: &str = "CANARY-4711";

/// A token of SoftHSM2, in the folder of a server.
struct Token {
    library: PathBuf,
    folder: PathBuf,
    configuration: PathBuf,
}

impl Token {
    /// A new token; `None`, with a notice, if SoftHSM2 is not installed.
    fn new(test: &str, place: &Path) -> Option<Self> {
        let Some(library) = library() else {
            leave_out(test, "SoftHSM2 (Debian's package `softhsm2`)");
            return None;
        };
        let (folder, configuration) = (place.join("tokens"), place.join("softhsm2.conf"));
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.display());
        fs::write(&configuration, text).expect("configuration");
        let token = Self { library, folder, configuration };
        token.initialize();
        Some(token)
    }

    /// Makes a token without keys, and replaces an existing one.
    fn initialize(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(&self.folder).expect("folder");
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                "vault",
                "--so-pin",
                "987654",
                "--pin",
                PIN,
            ])
            .env("SOFTHSM2_CONF", &self.configuration)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("softhsm2-util").success());
    }

    /// The setup of a server whose next master key the token seals.
    fn seals(&self, setup: Setup) -> Setup {
        setup
            .variable("SOFTHSM2_CONF", self.configuration.to_str().expect("UTF-8"))
            .with("KEYS__SOURCE", "pkcs11")
            .with("KEYS__PKCS11__MODULE", self.library.to_str().expect("UTF-8"))
            .with("KEYS__PKCS11__TOKEN", "vault")
            .with("KEYS__PKCS11__KEY", "latchkey")
            .with("KEYS__PKCS11__PIN", PIN)
    }
}

fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/softhsm", "/usr/lib/x86_64-linux-gnu/softhsm", "/usr/lib64"];
    let libraries = folders.map(|folder| Path::new(folder).join("libsofthsm2.so"));
    libraries.into_iter().find(|library| library.exists())
}

/// The module opens the master key at the start. Nothing else can open it, and no file contains it.
#[test]
fn a_module_opens_the_master_key_at_the_start() {
    let setup = Setup::new();
    let test = "a_module_opens_the_master_key_at_the_start";
    let Some(token) = Token::new(test, setup.folder()) else { return };
    let setup = token.seals(setup);
    let app = setup.start();
    let key = save(&app.client());
    assert!(!setup.data().join("keys").exists(), "no key file");
    assert_eq!(app.number("SELECT count(*) FROM keks WHERE sealed IS NOT NULL"), 1);
    assert_eq!(app.files_with(PIN), Vec::<PathBuf>::new());
    let app = app.stop().start();
    assert_opens(&app, &key);

    let away = token.folder.with_extension("away");
    fs::rename(&token.folder, &away).expect("away");
    assert_opens(&app, &key);
    assert_opens(&app, &save(&app.client()));
    let setup = app.stop();
    let before = setup.database().content();
    let refusal = setup.refusal();
    assert!(refusal.contains("cannot use the database "), "gone: {refusal}");
    fs::create_dir(&token.folder).expect("an empty one");
    let refusal = setup.refusal();
    assert!(refusal.contains("no token of the PKCS#11 module is called `vault`"), "{refusal}");
    token.initialize();
    let refusal = setup.refusal();
    assert!(refusal.contains("the token `vault` has no AES key called `latchkey`"), "{refusal}");
    // The module already has a key of that name, made for another database.
    let other = Setup::new();
    token.seals(other).start().stop();
    let refusal = setup.refusal();
    assert!(
        refusal.contains("is not the master key that the database is sealed under"),
        "{refusal}"
    );

    fs::remove_dir_all(&token.folder).expect("the other token");
    fs::rename(away, &token.folder).expect("back");
    assert!(setup.database().content() == before, "it was changed");
    assert_opens(&setup.start(), &key);
}

/// From a file into the module, and back. Each move is a rotation, while the server runs on.
#[test]
fn a_rotation_moves_keys_into_a_module_and_back() {
    let files = Setup::new();
    let test = "a_rotation_moves_keys_into_a_module_and_back";
    let Some(token) = Token::new(test, files.folder()) else { return };
    let app = files.start();
    let old = save(&app.client());
    let sealed = token.seals(files.clone());
    let setup = app.stop();
    let file = setup.key_file();
    let app = sealed.start();
    assert_opens(&app, &old);
    app.admin(&["keys", "rotate"]);
    let new = save(&app.client());
    let id = file.file_stem().and_then(|name| name.to_str()?.strip_prefix("kek-")).expect("an id");
    app.admin(&["keys", "retire", id]);
    fs::remove_file(&file).expect("the key that was retired");
    let app = app.stop().start();
    assert_opens(&app, &old);
    assert_opens(&app, &new);

    let before = app.number("SELECT count(*) FROM keks WHERE sealed IS NOT NULL");
    assert_eq!(before, 1);
    app.stop();
    let app = token.seals(files).with("KEYS__SOURCE", "directory").start();
    app.admin(&["keys", "rotate"]);
    let id = app.setup.database().text("SELECT id FROM keks WHERE sealed IS NOT NULL");
    app.admin(&["keys", "retire", &id]);
    fs::remove_dir_all(&token.folder).expect("nobody needs it");
    let app = app.stop().start();
    assert_opens(&app, &old);
    assert_opens(&app, &new);
}

/// With a wrong or missing PIN or library the server does not start, says how to fix it, and makes nothing.
#[test]
fn what_is_wrong_with_a_module_is_reported() {
    let setup = Setup::new();
    let Some(token) = Token::new("what_is_wrong_with_a_module_is_reported", setup.folder()) else {
        return;
    };
    let setup = token.seals(setup);
    for (key, value, said) in [
        ("KEYS__PKCS11__PIN", "0000", "keys.pkcs11.pin is not the PIN"),
        (
            "KEYS__PKCS11__MODULE",
            "/nowhere.so",
            "/nowhere.so cannot be used; check keys.pkcs11.module",
        ),
        ("KEYS__PKCS11__TOKEN", "safe", "no token of the PKCS#11 module is called `safe`"),
        ("KEYS__SOURCE", "hsm", "expected `directory` or `secret` or `pkcs11`"),
    ] {
        let refusal = setup.clone().with(key, value).refusal();
        assert!(refusal.contains(said), "{key}: {refusal}");
        assert!(!refusal.contains("0000"), "{refusal}");
    }
    let bare = Setup::new().with("KEYS__SOURCE", "pkcs11").refusal();
    assert!(bare.contains("set keys.pkcs11 to its library"), "{bare}");
    let key = save(&setup.start().client());
    assert_opens(&setup.start(), &key);
}

/// A secret contains the key, in a variable or a mounted file, and the server makes no key file.
#[test]
fn a_secret_holds_the_master_key() {
    let secret = "Q0FOQVJZLW1hc3Rlci1rZXktb2YtMzItYnl0ZXMhISE=";
    let setup = Setup::new().with("KEYS__SOURCE", "secret");
    let refusal = setup.refusal();
    assert!(refusal.contains("keys.secret has no key; set it to what"), "{refusal}");
    for wrong in ["CANARY", "Q0FOQVJZ"] {
        let refusal = setup.clone().with("KEYS__SECRET", wrong).refusal();
        assert!(refusal.contains("32 random bytes in Base64"), "{refusal}");
    }
    assert!(setup.clone().arguments(&["config", "check"]).refusal().contains("has no key"));
    assert!(!setup.data().exists(), "nothing was made");
    let app = setup.clone().with("KEYS__SECRET", secret).start();
    let key = save(&app.client());
    assert!(!setup.data().join("keys").exists(), "no key file");
    assert_eq!(app.files_with("CANARY"), Vec::<PathBuf>::new());
    app.stop();

    let other = "TkVXLWN1cnJlbnQtbWFzdGVyLWtleS0zMi1ieXRlcyE=";
    let refusal = setup.clone().with("KEYS__SECRET", other).refusal();
    assert!(refusal.contains("which is not in keys.secret; add it after the others"), "{refusal}");
    let file = setup.folder().join("mounted");
    fs::write(&file, format!("{other}\n{secret}\n")).expect("write");
    let mounted = setup.with("KEYS__SECRET_FILE", file.to_str().expect("UTF-8"));
    assert_opens(&mounted.start(), &key);
    let both = mounted.clone().with("KEYS__SECRET", secret).refusal();
    assert!(both.contains("set keys.secret or keys.secret_file, not both"), "{both}");
    fs::remove_file(file).expect("unmount");
    assert!(mounted.refusal().contains("cannot read keys.secret_file"));
}
