//! Which instances there are, written down: so that the next start finds what outlived us.
//!
//! One JSON file, replaced as a whole by a rename; `FILE.lock` is locked while a driver has it, so that two never take each other's
//! instances for left over. An instance is written down *before* it is started, by its mark, and again with its process: there is no moment
//! at which one could be lost. The file is not flushed to disk: it matters only when we end and the machine does not.

use crate::driver::DriverError;
use crate::driver::child::mark::boot;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What this code writes, and all it reads.
const VERSION: u32 = 1;
/// A file with the most instances has a tenth of it.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    version: u32,
    boot: String,
    command: u64,
    next: u64,
    instances: Vec<Record>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) mark: String,
    pub(super) port: u16,
    pub(super) process: Option<Birth>,
}

/// Which process, for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Birth {
    pub(super) pid: i32,
    pub(super) started: u64,
}

/// What another left in the file.
#[derive(Debug)]
pub(super) struct LeftOver {
    pub(super) records: Vec<Record>,
    /// Whether it was of the same command.
    pub(super) same_command: bool,
}

/// The file, or nothing.
#[derive(Debug)]
pub(super) struct Ledger {
    path: Option<PathBuf>,
    lock: Option<File>,
    book: Book,
}

impl Ledger {
    /// Reads what is there. `command` is a fingerprint.
    pub(super) fn open(path: Option<&Path>, command: u64) -> Result<(Self, LeftOver), DriverError> {
        let mut book = Book { version: VERSION, boot: boot(), command, ..Book::default() };
        let mut left = LeftOver { records: Vec::new(), same_command: false };
        let Some(path) = path else { return Ok((Self { path: None, lock: None, book }, left)) };
        let wrong = |reason: String| DriverError::State { path: path.to_owned(), reason };
        let lock = lock(path).map_err(|e| wrong(format!("cannot be locked: {e}")))?;
        let old = read(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if let Some(old) = old {
            if old.version != VERSION {
                return Err(wrong(format!("is of version {}, and {VERSION} is understood", old.version)));
            }
            book.next = old.next;
            // Of another run of the machine nothing is left.
            if old.boot == book.boot {
                left = LeftOver { records: old.instances.clone(), same_command: old.command == command };
                book.instances = old.instances;
            }
        }
        let ledger = Self { path: Some(path.to_owned()), lock: Some(lock), book };
        ledger.write().map_err(|e| wrong(format!("cannot be written: {e}")))?;
        Ok((ledger, left))
    }

    /// A number that no instance had. It is written with the instance.
    pub(super) fn number(&mut self) -> u64 {
        self.book.next = self.book.next.saturating_add(1);
        self.book.next
    }

    /// Writes an instance down, or what changed of it.
    pub(super) fn put(&mut self, record: Record) -> io::Result<()> {
        match self.book.instances.iter_mut().find(|known| known.id == record.id) {
            Some(known) => *known = record,
            None => self.book.instances.push(record),
        }
        self.write()
    }

    /// It is gone.
    pub(super) fn remove(&mut self, id: &str) -> io::Result<()> {
        self.book.instances.retain(|record| record.id != id);
        self.write()
    }

    /// Lets another driver have the file.
    pub(super) fn release(&mut self) {
        self.lock = None;
    }

    fn write(&self) -> io::Result<()> {
        let (Some(path), true) = (&self.path, self.lock.is_some()) else { return Ok(()) };
        let new = beside(path, ".new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&self.book)?)?;
        std::fs::rename(new, path)
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(beside(path, ".lock"))?;
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => io::Error::other("another driver has it"),
        std::fs::TryLockError::Error(e) => e,
    })?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<Option<Book>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it is too large"));
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        let process = Some(Birth { pid: 7, started: 42 });
        Record { id: id.to_owned(), mark: "m".to_owned(), port: 80, process }
    }

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("state.json")
    }

    #[test]
    fn what_was_written_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, left) = Ledger::open(Some(&path(&folder)), 1).unwrap();
        assert!(left.records.is_empty());
        assert_eq!(ledger.number(), 1);
        ledger.put(Record { process: None, ..record("a") }).unwrap();
        ledger.put(record("a")).unwrap();
        ledger.put(record("b")).unwrap();
        ledger.remove("b").unwrap();
        drop(ledger);
        let (mut ledger, left) = Ledger::open(Some(&path(&folder)), 1).unwrap();
        assert_eq!((left.records, left.same_command), (vec![record("a")], true));
        assert_eq!(ledger.number(), 2);
        drop(ledger);
        let (_, left) = Ledger::open(Some(&path(&folder)), 2).unwrap();
        assert_eq!((left.records, left.same_command), (vec![record("a")], false));
    }

    #[test]
    fn two_never_have_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::open(Some(&path(&folder)), 1).unwrap();
        let error = Ledger::open(Some(&path(&folder)), 1).unwrap_err().to_string();
        assert!(error.ends_with("state.json: cannot be locked: another driver has it"), "{error}");
        ledger.release();
        assert!(Ledger::open(Some(&path(&folder)), 1).is_ok());
    }

    #[test]
    fn of_another_boot_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book { version: 1, boot: "x".into(), command: 1, next: 5, instances: vec![record("a")] };
        std::fs::write(path(&folder), serde_json::to_vec(&book).unwrap()).unwrap();
        let (mut ledger, left) = Ledger::open(Some(&path(&folder)), 1).unwrap();
        assert!(left.records.is_empty());
        assert_eq!(ledger.number(), 6);
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{}", r#"{"version":2,"boot":"","command":1,"next":0,"instances":[]}"#] {
            std::fs::write(path(&folder), text).unwrap();
            assert!(
                matches!(Ledger::open(Some(&path(&folder)), 1), Err(DriverError::State { .. })),
                "{text}"
            );
            assert_eq!(std::fs::read_to_string(path(&folder)).unwrap(), text);
        }
    }
}
