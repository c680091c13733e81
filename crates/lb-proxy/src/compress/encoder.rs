//! The encoders behind one face: fed in pieces, flushed where a stream pauses, finished at its end.
//!
//! Levels are those for what is made for each request: a better ratio costs several times the processor. Memory of one encoder, as
//! measured: 0.4 MiB for gzip (a window of 32 KiB), 2.2 MiB for br (of 256 KiB) and 1.8 MiB for zstd (of 512 KiB); for a body that is known to
//! be short, 0.3 MiB with zstd. A piece of [`PIECE`](super::body::PIECE) bytes gives at most what the encoder has held back (128 KiB) and
//! itself.

use super::Coding;
use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use std::io::{self, Write};

const GZIP_LEVEL: u32 = 6;
const BROTLI_QUALITY: i32 = 4;
/// The logarithm of the window: larger ones cost memory and find little more in a response.
const BROTLI_WINDOW_LOG: i32 = 18;
/// What brotli gathers before it hands on.
const BROTLI_BUFFER: usize = 4 * 1024;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_LOG: u32 = 19;

/// One response's encoder; what it gives gathers in a vector.
pub(crate) enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// `size`: how long the body will be, if that is known.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn new(coding: Coding, size: Option<u64>) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(out, Level::new(GZIP_LEVEL)))),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW_LOG,
                    size_hint: size.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                Self::Brotli(Box::new(CompressorWriter::with_params(out, BROTLI_BUFFER, &params)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                // Its tables become as small as the body is. A body of another length breaks off before it is finished here.
                encoder.set_pledged_src_size(size)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(e) => &mut **e,
            Self::Brotli(e) => &mut **e,
            Self::Zstd(e) => &mut **e,
        }
    }

    /// Takes a piece of the body.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        self.writer().write_all(piece)
    }

    /// Gives all that can be made of what was fed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// What has come out and was not taken.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(e) => e.get_mut(),
            Self::Brotli(e) => e.get_mut(),
            Self::Zstd(e) => e.get_mut(),
        }
    }

    /// The end: what is left.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(e) => e.finish(),
            Self::Brotli(e) => Ok(e.into_inner()),
            Self::Zstd(e) => e.finish(),
        }
    }
}
