//! Compression of a route's responses.

/// Which responses are compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// What may be used, at least one and each once; the order decides between those that a client likes equally. Default zstd, br, gzip.
    pub algorithms: Vec<Coding>,
    /// Bodies that are known to be shorter, in bytes, are not compressed; default 1024.
    pub min_size: u64,
    /// Media types, `TYPE/SUBTYPE` or `TYPE/*`, in lower case. `None`: text and what is like it.
    pub types: Option<Vec<String>>,
}

impl Default for Compression {
    fn default() -> Self {
        Self { algorithms: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip], min_size: 1024, types: None }
    }
}

/// How a response is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}
