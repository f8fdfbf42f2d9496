//! The file of keys that an import writes: CSV with `line, id, record, key, check`.
//!
//! Invariant: only its owner may use it, one import at a time, and no line that it had is overwritten. A row is on disk
//! when `append` returns.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use model::RetrievalKey;
use zeroize::Zeroizing;

use super::{BATCH, OTHERS};

const HEAD: &str = "line,id,record,key,check\n";
const PRIVATE: u32 = 0o600;
/// How many digits a check has, so that a row that was cut is known.
const CHECK_DIGITS: usize = 8;
/// The most bytes of a row: an id of 255, each of which may be doubled, and the rest.
const MOST_BYTES_OF_ROW: usize = 1024;

/// The key of a line.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) id: Option<String>,
    pub(super) key: RetrievalKey,
    /// Recognises the line (`Entry::digest`).
    pub(super) check: u32,
}

/// The file, open for more rows.
pub(super) struct KeyFile {
    path: PathBuf,
    file: File,
}

impl KeyFile {
    /// Creates the file.
    ///
    /// # Errors
    /// It already exists, or cannot be created.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let made = options.read(true).append(true).create_new(true).mode(PRIVATE).open(path);
        let mut file = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "{} already exists, and is not overwritten; add --resume to resume the import that wrote it. Name \
                 another file only for other tokens, because otherwise every line is saved a second time",
                path.display()
            ),
            made => made.with_context(|| format!("cannot create {}", path.display()))?,
        };
        lock(&file, path)?;
        write_head(&mut file, path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens the file of an interrupted import, and drops a row that was not written to its end.
    ///
    /// # Errors
    /// It is not such a file, another import has it open, or others can use it.
    pub(super) fn resume(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().read(true).append(true).open(path);
        let mut file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            bail!("{} is not a file of keys", path.display());
        }
        if metadata.permissions().mode() & OTHERS != 0 {
            bail!(
                "other users can use {}, which has keys; run `chmod 600` on it first",
                path.display()
            );
        }
        lock(&file, path)?;
        if metadata.len() < HEAD.len() as u64 && HEAD.as_bytes().starts_with(&fs::read(path)?) {
            // The import ended before its head was written.
            file.set_len(0)?;
            write_head(&mut file, path)?;
            return Ok(Self { path: path.to_owned(), file });
        }
        let mut rows = Rows::open(path)?;
        while rows.next()?.is_some() {}
        let (end, count, is_open) = (rows.end, rows.count, rows.is_open);
        let rest = metadata.len().saturating_sub(end);
        // The power can cut off at most the batch that was being written, and no row of it has an end. No key that opens a
        // record is dropped.
        if rest > (BATCH * MOST_BYTES_OF_ROW) as u64 || rows.has_more()? {
            bail!(
                "{} is damaged in line {}; repair that line. If the power failed while an import wrote it, no record \
                 has the keys from there on: truncate the file before that line",
                path.display(),
                count + 2
            );
        }
        file.set_len(end)?;
        if is_open {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The rows that it has.
    pub(super) fn rows(&self) -> anyhow::Result<Rows> {
        Rows::open(&self.path)
    }

    /// Adds rows; they are on disk when this returns.
    pub(super) fn append(&mut self, rows: impl Iterator<Item = Row>) -> anyhow::Result<()> {
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        for row in rows {
            let (line, check) = (row.line.to_string(), format!("{:08x}", row.check));
            let (id, record) = (row.id.as_deref().unwrap_or_default(), row.key.record().text());
            writer.write_record([&line, id, &record, row.key.expose(), &check])?;
        }
        let text = writer.into_inner().map_err(|error| error.into_error())?;
        if text.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.with_context(|| {
            format!("cannot write {}; no record of these keys was saved", self.path.display())
        })
    }
}

/// The rows of a file, up to the first that is not whole.
pub(super) struct Rows {
    reader: BufReader<File>,
    count: u64,
    /// Where the last row ends.
    end: u64,
    /// Whether that lacks the end of its line.
    is_open: bool,
    /// Whether a whole line follows the last row.
    is_line: bool,
}

impl Rows {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut head = Vec::new();
        io::Read::take(&mut reader, HEAD.len() as u64).read_until(b'\n', &mut head)?;
        if head != HEAD.as_bytes() {
            bail!("{} is not a file of keys from an import", path.display());
        }
        let end = HEAD.len() as u64;
        Ok(Self { reader, count: 0, end, is_open: false, is_line: false })
    }

    /// Whether a line follows the last row, which may have a key that opens a record.
    fn has_more(mut self) -> anyhow::Result<bool> {
        if self.is_line {
            return Ok(true);
        }
        loop {
            let mut text = Zeroizing::new(Vec::new());
            self.reader.read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(false);
            }
            if text.ends_with(b"\n") || parse(&text).is_some() {
                return Ok(true);
            }
        }
    }

    /// The next row.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        let mut text = Zeroizing::new(Vec::new());
        let mut bounded = io::Read::take(&mut self.reader, MOST_BYTES_OF_ROW as u64);
        bounded.read_until(b'\n', &mut text)?;
        let Some(row) = parse(&text) else {
            self.is_line = text.ends_with(b"\n");
            return Ok(None);
        };
        self.is_open = !text.ends_with(b"\n");
        self.count += 1;
        self.end += text.len() as u64;
        Ok(Some(row))
    }
}

/// A row that is whole: its key has a checksum of its own.
fn parse(text: &[u8]) -> Option<Row> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text);
    let mut cells = StringRecord::new();
    reader.read_record(&mut cells).ok().filter(|is_there| *is_there)?;
    let [line, id, record, key, check] = cells.iter().collect::<Vec<_>>()[..] else { return None };
    let key = RetrievalKey::parse(key).ok().filter(|key| key.record().text() == record)?;
    Some(Row {
        line: line.parse().ok()?,
        id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        key,
        check: u32::from_str_radix(check, 16).ok().filter(|_| check.len() == CHECK_DIGITS)?,
    })
}

fn write_head(file: &mut File, path: &Path) -> anyhow::Result<()> {
    let written = file
        .write_all(HEAD.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder_of(path))?.sync_all());
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            anyhow::anyhow!("another import is writing {}; wait until it ends", path.display())
        }
        TryLockError::Error(error) => {
            anyhow::anyhow!(
                "cannot lock {}: {error}; put it on another file system",
                path.display()
            )
        }
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
