//! From bytes or a file to a database that can be asked.

use super::about::About;
use super::record::Record;
use crate::provider::fnv1a;
use crate::special::{canonical, special};
use crate::{Answer, GeoError, Why};
use maxminddb::{MaxMindDbError, Metadata, Reader};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MmdbOptions {
    /// The largest file that is accepted, in bytes, default 2 GiB: the largest databases that are sold have about 1.5.
    pub size_max: u64,
    /// Map the file into memory instead of reading it, default off. Feature `mmap`. Pages are loaded as they are asked for and shared by
    /// processes. **Replace a mapped file by renaming another over it, never by writing into it**: that ends the process.
    pub mapped: bool,
}

impl Default for MmdbOptions {
    fn default() -> Self {
        Self { size_max: 2 << 30, mapped: false }
    }
}

/// A database in memory. Immutable: a new file is a new one.
#[derive(Debug)]
pub(super) struct Loaded {
    bytes: Bytes,
    pub(super) about: About,
    /// Where it can be loaded from again.
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug)]
enum Bytes {
    Read(Reader<Vec<u8>>),
    #[cfg(feature = "mmap")]
    Mapped(Reader<maxminddb::Mmap>),
}

impl Loaded {
    pub(super) fn from_file(path: &Path, options: MmdbOptions) -> Result<Self, GeoError> {
        let failed = |e: std::io::Error| GeoError::Open { path: path.to_owned(), error: e.to_string() };
        let metadata = std::fs::metadata(path).map_err(failed)?; // before it is opened: to open a pipe waits for its writer
        if !metadata.is_file() {
            return Err(GeoError::Open { path: path.to_owned(), error: "it is no file".to_owned() });
        }
        let size = metadata.len();
        let too_large = |bytes| GeoError::TooLarge { path: path.to_owned(), bytes, max: options.size_max };
        if size > options.size_max {
            return Err(too_large(size));
        }
        let name = path.display().to_string();
        let bytes = if options.mapped {
            mapped(path, &name, size)?
        } else {
            let file = File::open(path).map_err(failed)?;
            // The file may grow while it is read.
            let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| too_large(size))?);
            file.take(options.size_max + 1).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 > options.size_max {
                return Err(too_large(bytes.len() as u64));
            }
            return Self::from_bytes(name, bytes, Some(path.to_owned()));
        };
        Self::new(name, bytes, size, true, Some(path.to_owned()))
    }

    pub(super) fn from_bytes(name: String, bytes: Vec<u8>, path: Option<PathBuf>) -> Result<Self, GeoError> {
        let size = bytes.len() as u64;
        let reader = Reader::from_source(bytes).map_err(|e| unusable(&name, size, e))?;
        Self::new(name, Bytes::Read(reader), size, false, path)
    }

    fn new(
        name: String,
        bytes: Bytes,
        size: u64,
        mapped: bool,
        path: Option<PathBuf>,
    ) -> Result<Self, GeoError> {
        let metadata = bytes.metadata();
        let about = About {
            source: name,
            database_type: metadata.database_type.clone(),
            description: metadata.description.get("en").cloned().unwrap_or_default(),
            build_epoch: metadata.build_epoch,
            languages: metadata.languages.clone(),
            ip_version: metadata.ip_version,
            bytes: size,
            mapped,
            licence: None,
            attribution: None,
        };
        let loaded = Self { bytes, about, path };
        loaded.sample()?;
        Ok(loaded)
    }

    /// What tells this database from others, in any process: that of another file, or of a newer one, is another.
    pub(super) fn fingerprint(&self) -> u64 {
        let About { database_type, build_epoch, ip_version, bytes, .. } = &self.about;
        fnv1a(format!("{database_type} {build_epoch} {ip_version} {bytes}").as_bytes())
    }

    /// Asks for addresses all over the IPv4 space, so that a file with a hole is refused when it is loaded and not by clients. A
    /// whole verification would take seconds.
    fn sample(&self) -> Result<(), GeoError> {
        const SAMPLES: u32 = 512;
        // Steps of the golden ratio fill a range evenly.
        (0..SAMPLES)
            .try_for_each(|at| self.ask(Ipv4Addr::from(at.wrapping_mul(0x9E37_79B9)).into()).map(|_| ()))
    }

    pub(super) fn lookup(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        let ip = canonical(ip);
        special(ip).map_or_else(|| self.ask(ip), |why| Ok(Answer::Unknown(why)))
    }

    fn ask(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        if ip.is_ipv6() && self.about.ip_version == 4 {
            return Ok(Answer::Unknown(Why::NotInDatabase));
        }
        let record = match &self.bytes {
            Bytes::Read(reader) => reader.lookup(ip).and_then(|found| found.decode::<Record<'_>>()),
            #[cfg(feature = "mmap")]
            Bytes::Mapped(reader) => reader.lookup(ip).and_then(|found| found.decode::<Record<'_>>()),
        };
        match record {
            Ok(Some(record)) => Ok(Answer::of(record.into_location())),
            Ok(None) => Ok(Answer::Unknown(Why::NotInDatabase)),
            Err(e) => Err(GeoError::Damaged {
                source_name: self.about.source.clone(),
                reason: format!("at {ip}: {e}"),
            }),
        }
    }
}

impl Bytes {
    fn metadata(&self) -> &Metadata {
        match self {
            Self::Read(reader) => reader.metadata(),
            #[cfg(feature = "mmap")]
            Self::Mapped(reader) => reader.metadata(),
        }
    }
}

#[cfg(feature = "mmap")]
fn mapped(path: &Path, name: &str, size: u64) -> Result<Bytes, GeoError> {
    if size == 0 {
        return Err(GeoError::NotADatabase { source_name: name.to_owned(), bytes: 0 }); // nothing cannot be mapped
    }
    super::map::map(path).map(Bytes::Mapped).map_err(|e| match e {
        MaxMindDbError::Io(e) | MaxMindDbError::Mmap(e) => {
            GeoError::Open { path: path.to_owned(), error: e.to_string() }
        }
        e => unusable(name, size, e),
    })
}

#[cfg(not(feature = "mmap"))]
fn mapped(_: &Path, _: &str, _: u64) -> Result<Bytes, GeoError> {
    Err(GeoError::FeatureOff { what: "a memory-mapped geo database", feature: "mmap" })
}

/// What the reader says, in our words. It has no kind of its own for a missing mark of the metadata; a test would notice other words.
fn unusable(name: &str, bytes: u64, error: MaxMindDbError) -> GeoError {
    let source_name = name.to_owned();
    match error {
        MaxMindDbError::InvalidDatabase { message, .. } if message.contains("could not find") => {
            GeoError::NotADatabase { source_name, bytes }
        }
        e => GeoError::Damaged { source_name, reason: e.to_string() },
    }
}
