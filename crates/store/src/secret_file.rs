//! Secrets in files that operators name: key material, passwords, PINs.
//!
//! Invariant: each file is opened once and read once, so that a pipe (`<(…)`, a FIFO) works. Every read is bounded in
//! bytes and in time. The bytes are wiped on drop.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::OpenError;

/// The maximum size of a secret, in bytes.
const MOST: usize = 1 << 20;
/// The maximum time to read a file. The program that writes a pipe may have to ask a server first.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a secret. `setting` is the name of the setting, such as `keys.secret_file`.
///
/// # Errors
/// `SecretFile`, which names the setting: the file cannot be read, is too long, or is not read in time.
pub fn read(path: &Path, setting: &'static str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    read_within(path, READ_TIMEOUT).map_err(|source| failed(path, setting, source))
}

/// Reads a secret that is text, without surrounding white space and without a byte order mark.
///
/// # Errors
/// As `read`, also if the file is not UTF-8.
pub fn read_text(path: &Path, setting: &'static str) -> Result<Zeroizing<String>, OpenError> {
    let bytes = read(path, setting)?;
    let text = str::from_utf8(&bytes).map_err(|_not_text| {
        failed(path, setting, io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
    })?;
    Ok(Zeroizing::new(text.trim_start_matches('\u{feff}').trim().to_owned()))
}

fn failed(path: &Path, setting: &'static str, source: io::Error) -> OpenError {
    OpenError::SecretFile { setting, path: path.to_owned(), source }
}

fn read_within(path: &Path, timeout: Duration) -> io::Result<Zeroizing<Vec<u8>>> {
    let (done, outcome) = mpsc::sync_channel(1);
    let path = path.to_owned();
    // Opening or reading a FIFO may block without end. After the timeout, the thread is abandoned.
    thread::Builder::new().name("latchkey-secret".to_owned()).spawn(move || {
        let _ = done.send(read_whole(&path));
    })?;
    outcome.recv_timeout(timeout).unwrap_or_else(|_none| {
        let seconds = timeout.as_secs();
        let why = format!(
            "it did not end within {seconds} seconds; if it is a pipe, its writer must close it"
        );
        Err(io::Error::new(ErrorKind::TimedOut, why))
    })
}

fn read_whole(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(MOST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("it is larger than {MOST} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write as _, process::Command};

    #[test]
    fn a_pipe_is_read_once_and_must_end() {
        let folder = tempfile::tempdir().expect("folder");
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        let moment = Duration::from_millis(100);
        let unopened = read_within(&fifo, moment).expect_err("nobody writes");
        assert_eq!(unopened.kind(), ErrorKind::TimedOut);
        // The abandoned thread above reads the first bytes that are written.
        let mut writer = File::options().read(true).write(true).open(&fifo).expect("it opens");
        writer.write_all(b"secret").expect("written");
        let unended = read_within(&fifo, moment).expect_err("it is still open");
        assert!(unended.to_string().contains("did not end within"), "{unended}");
        drop(writer);

        let other = folder.path().join("other");
        assert!(Command::new("mkfifo").arg(&other).status().expect("mkfifo").success());
        let to = other.clone();
        let writer = thread::spawn(move || fs::write(to, "\u{feff} secret \r\n"));
        assert_eq!(*read_text(&other, "x.secret_file").expect("read"), "secret");
        writer.join().expect("no panic").expect("written");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_setting() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("latin"), b"\xe5").expect("written");
        for (file, error_chain) in [
            (path("missing"), "No such file"),
            (folder.path().to_owned(), "Is a directory"),
            ("/dev/zero".into(), "larger than 1048576 bytes"),
            (path("latin"), "not UTF-8"),
        ] {
            let error = crate::error::error_chain(
                &read_text(&file, "x.secret_file").expect_err(error_chain),
            );
            assert!(error.starts_with("cannot read x.secret_file = \""), "{error}");
            assert!(error.contains(error_chain), "{error}");
        }
    }
}
