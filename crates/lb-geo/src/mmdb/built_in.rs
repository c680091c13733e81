//! The country database that is compiled in: works at once, with no sign-up, and promises little.
//!
//! It is `geo-whois-asn-country` of ip-location-db (2026-06-17), packed by zstd: 3.1 MB in the program, 7.8 MB when it is unpacked, which
//! happens once, when somebody asks for it. Unpacking is done by ruzstd, which is Rust alone. See `data/LICENCE.md`.

use super::load::Loaded;
use crate::GeoError;
use std::sync::{Arc, OnceLock};

/// What has to be said beside the built-in database, and what to know of it.
pub const ATTRIBUTION: &str = "Country data: ip-location-db (CC0), with statistics of the NRO (CC BY 4.0): attribution to nro.net.\n\
    Built from registries' records in June 2026: its publisher warns of errors in it and no longer updates this edition. \
    Good enough to choose a near region, not to prove where somebody is. For more, load a GeoLite2, GeoIP2 or ipinfo file.";

const NAME: &str = "built-in";
static PACKED: &[u8] = include_bytes!("../../data/geo-whois-asn-country.mmdb.zst");
/// What it has when unpacked, in bytes: saves growing, and is the limit.
const UNPACKED_BYTES: usize = 7_841_291;

pub(super) fn loaded() -> Result<Arc<Loaded>, GeoError> {
    static LOADED: OnceLock<Result<Arc<Loaded>, GeoError>> = OnceLock::new();
    LOADED.get_or_init(load).clone()
}

fn load() -> Result<Arc<Loaded>, GeoError> {
    let mut bytes = Vec::with_capacity(UNPACKED_BYTES);
    // It writes into the room that there is, and no further.
    ruzstd::decoding::FrameDecoder::new()
        .decode_all_to_vec(PACKED, &mut bytes)
        .map_err(|e| GeoError::Damaged { source_name: NAME.to_owned(), reason: e.to_string() })?;
    let mut loaded = Loaded::from_bytes(NAME.to_owned(), bytes, None)?;
    loaded.about.licence = Some("CC0-1.0; statistics of the NRO: CC BY 4.0");
    loaded.about.attribution = Some(ATTRIBUTION);
    Ok(Arc::new(loaded))
}
