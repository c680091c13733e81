//! Databases in MaxMind's format (`.mmdb`), whoever made them.
//!
//! A binary trie from addresses to records; its specification is at <https://maxmind.github.io/MaxMind-DB/>. A look-up walks at most 128
//! nodes, decodes one record and allocates the answer: 0.15 µs of a country, 1 µs of a city (`examples/geo_bench.rs`).

mod about;
#[cfg(feature = "geo-data")]
mod built_in;
mod load;
#[cfg(feature = "mmap")]
mod map;
mod record;

pub use about::About;
#[cfg(feature = "geo-data")]
pub use built_in::ATTRIBUTION as BUILT_IN_ATTRIBUTION;
pub use load::MmdbOptions;

use crate::{Answer, GeoError};
use arc_swap::ArcSwap;
use load::Loaded;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open database. Clones are handles to the same one: when it is replaced, they all answer from the new one.
///
/// ```no_run
/// use lb_geo::Mmdb;
/// let database = Mmdb::open("GeoLite2-City.mmdb")?;
/// println!("{}", database.about());
/// println!("{:?}", database.lookup("81.2.69.142".parse()?)?);
/// // A new file has been renamed over the old one:
/// database.reload()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mmdb {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Loaded>,
    options: MmdbOptions,
    replaced: AtomicU64,
}

impl Mmdb {
    /// Reads the file into memory, at most 2 GiB. It blocks.
    ///
    /// # Errors
    /// When there is no such file, it is too large, or it is no sound database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        Self::open_with(path, MmdbOptions::default())
    }

    /// Reads the file, or maps it, as `options` say. It blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when a file shall be mapped by a build without the feature `mmap`.
    pub fn open_with(path: impl AsRef<Path>, options: MmdbOptions) -> Result<Self, GeoError> {
        Ok(Self::new(Arc::new(Loaded::from_file(path.as_ref(), options)?), options))
    }

    /// A database that is in memory already; `name` stands for it in errors and in [`about`](Self::about).
    ///
    /// # Errors
    /// When the bytes are no sound database.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, GeoError> {
        let loaded = Loaded::from_bytes(name.into(), bytes, None)?;
        Ok(Self::new(Arc::new(loaded), MmdbOptions::default()))
    }

    /// The country database that is compiled in. The first call of the process unpacks it (8 MB, about a tenth of a second); all
    /// others share that.
    ///
    /// # Errors
    /// Never, as a test says; unless the program's own bytes are damaged.
    #[cfg(feature = "geo-data")]
    pub fn built_in() -> Result<Self, GeoError> {
        Ok(Self::new(built_in::loaded()?, MmdbOptions::default()))
    }

    fn new(loaded: Arc<Loaded>, options: MmdbOptions) -> Self {
        let current = ArcSwap::new(loaded);
        Self { shared: Arc::new(Shared { current, options, replaced: AtomicU64::new(0) }) }
    }

    /// What the database says of `ip`. It takes microseconds and no lock.
    ///
    /// # Errors
    /// [`GeoError::Damaged`], when the record cannot be read.
    pub fn lookup(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        self.shared.current.load().lookup(ip)
    }

    /// What it is.
    pub fn about(&self) -> About {
        self.shared.current.load().about.clone()
    }

    /// Reads its file again and answers from it from then on; look-ups meanwhile are answered from the old one. It blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for a database that was not read from a file. The old one stays.
    pub fn reload(&self) -> Result<About, GeoError> {
        let current = self.shared.current.load_full();
        match &current.path {
            Some(path) => self.replace(path),
            None => Err(GeoError::NoFile { source_name: current.about.source.clone() }),
        }
    }

    /// Reads another file and answers from it from then on. It blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open). The old one stays.
    pub fn replace(&self, path: impl AsRef<Path>) -> Result<About, GeoError> {
        let loaded = Loaded::from_file(path.as_ref(), self.shared.options)?;
        let about = loaded.about.clone();
        self.shared.current.store(Arc::new(loaded));
        self.shared.replaced.fetch_add(1, Ordering::Release);
        Ok(about)
    }

    /// The same for the same database in any process, and another for any other: by its type, date of build and size.
    pub fn fingerprint(&self) -> u64 {
        self.shared.current.load().fingerprint()
    }

    /// How often it was replaced: what was remembered of its answers is stale when this has changed.
    pub fn generation(&self) -> u64 {
        self.shared.replaced.load(Ordering::Acquire)
    }
}
