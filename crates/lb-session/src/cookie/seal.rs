//! What a cookie's value is made of, and how it is known to be ours.
//!
//! ```text
//! base64url( version 1 │ sealed payload │ tag 16 )          no padding; 59 to 739 characters
//!
//! payload = session id 16 │ created 4 │ issued 4 │ epoch 2 │ n 1 │ pool n │ backend id, the rest      numbers big-endian, times Unix s
//! tag     = HMAC-SHA256(key_tag,  version ‖ payload), its first 128 bits
//! sealed  = payload ⊕ HMAC-SHA256(key_mask, tag ‖ 0) ‖ HMAC-SHA256(key_mask, tag ‖ 1) ‖ …
//! key_tag, key_mask = HMAC-SHA256(secret, "edge-lb session cookie v1: tag" and "… mask")
//! ```
//!
//! This is the SIV construction (Rogaway and Shrimpton, "Deterministic Authenticated-Encryption", 2006; RFC 5297 is its AES form) with
//! HMAC as the pseudo-random function: the tag protects the payload, and is the nonce that hides it. Hiding matters: backend ids are
//! commonly internal addresses, and cookies that show them are a classic finding of security scans. Equal payloads give equal cookies,
//! which tells nobody anything, as the session id in it is unique.
//!
//! The first secret seals, all open: put a new one in front, and take the old one away after `ttl`. Tags are compared in constant time.
//! A forger has one chance in 2¹²⁸ a try. For each secret that is tried, opening costs 6 runs of SHA-256's compression with short names
//! (pool and backend together 37 bytes at most), and 44 with the longest.

use crate::SessionId;
use crate::ignored::Ignored;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lb_types::BackendId;
use lb_types::SettingsError;
use sha2::Sha256;
use std::fmt;

/// The longest pool name, in bytes.
pub const POOL_BYTES_MAX: usize = 255;
/// The longest backend id that a cookie can carry, in bytes.
pub const BACKEND_BYTES_MAX: usize = 255;
/// The shortest secret, in bytes: 128 bits, if each byte is random.
pub const SECRET_BYTES_MIN: usize = 16;
/// The longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 1024;
/// The most secrets: each costs every forged cookie one more try.
pub const SECRETS_MAX: usize = 8;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const FIXED_BYTES: usize = 16 + 4 + 4 + 2 + 1;
const RAW_BYTES_MIN: usize = 1 + FIXED_BYTES + TAG_BYTES;
const RAW_BYTES_MAX: usize = RAW_BYTES_MIN + POOL_BYTES_MAX + BACKEND_BYTES_MAX;
/// The longest value that is given out, in characters; a longer one is not looked into.
pub const VALUE_BYTES_MAX: usize = (RAW_BYTES_MAX * 4).div_ceil(3);

/// A secret that seals cookies. It is not shown, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret of these bytes.
    ///
    /// # Errors
    /// When it is shorter than 16 or longer than 1024 bytes; the error has its length alone.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, SettingsError> {
        let secret = secret.into();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            return Err(SettingsError {
                field: "secret",
                value: format!("({} bytes)", secret.len()),
                must: format!("must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"),
            });
        }
        Ok(Self(secret.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a cookie says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose it is.
    pub session: SessionId,
    /// The backend it was bound to when the cookie was issued.
    pub backend: BackendId,
    /// When the session began, Unix s.
    pub created: u32,
    /// When the cookie was issued, Unix s.
    pub issued: u32,
    /// How often the session had moved by then.
    pub epoch: u16,
}

/// A cookie that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it says.
    pub ticket: Ticket,
    /// An older secret sealed it: give out a new one.
    pub old_secret: bool,
}

/// A backend id does not fit into a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backend's id has {bytes} bytes: a cookie carries {BACKEND_BYTES_MAX} at most")]
pub struct SealError {
    /// Its length.
    pub bytes: usize,
}

/// Seals and opens the cookies of one pool.
pub struct Sealer {
    pool: Box<str>,
    keys: Box<[Key]>,
}

struct Key {
    tag: Hmac<Sha256>,
    mask: Hmac<Sha256>,
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let keyed = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)")
        };
        let derive = |purpose: &str| {
            let mut mac = keyed(secret);
            mac.update(b"edge-lb session cookie v1: ");
            mac.update(purpose.as_bytes());
            keyed(&mac.finalize().into_bytes())
        };
        Self { tag: derive("tag"), mask: derive("mask") }
    }

    fn tag_of(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.tag.clone();
        mac.update(&[VERSION]);
        mac.update(payload);
        mac
    }

    /// Hides what is open and opens what is hidden.
    fn mask(&self, tag: &[u8], payload: &mut [u8]) {
        // 17 blocks at most: the longest payload has 537 bytes, and longer values are not opened.
        for (block, bytes) in (0u8..).zip(payload.chunks_mut(32)) {
            let mut mac = self.mask.clone();
            mac.update(tag);
            mac.update(&[block]);
            for (byte, mask) in bytes.iter_mut().zip(mac.finalize().into_bytes()) {
                *byte ^= mask;
            }
        }
    }
}

impl Sealer {
    /// For the cookies of `pool`.
    ///
    /// # Errors
    /// A pool name that is empty or too long; no secret, or too many.
    pub fn new(pool: &str, secrets: &[Secret]) -> Result<Self, SettingsError> {
        if !(1..=POOL_BYTES_MAX).contains(&pool.len()) {
            return Err(SettingsError::new("pool", pool, format!("must have 1 to {POOL_BYTES_MAX} bytes")));
        }
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            return Err(SettingsError {
                field: "secret",
                value: format!("({} secrets)", secrets.len()),
                must: format!("must be 1 to {SECRETS_MAX}"),
            });
        }
        Ok(Self { pool: pool.into(), keys: secrets.iter().map(|secret| Key::new(&secret.0)).collect() })
    }

    /// The cookie's value: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// When the backend's id is too long.
    pub fn seal(&self, ticket: &Ticket) -> Result<String, SealError> {
        let backend = ticket.backend.as_str().as_bytes();
        if backend.len() > BACKEND_BYTES_MAX {
            return Err(SealError { bytes: backend.len() });
        }
        let mut raw = Vec::with_capacity(RAW_BYTES_MIN + self.pool.len() + backend.len());
        raw.push(VERSION);
        raw.extend(ticket.session.0);
        raw.extend(ticket.created.to_be_bytes());
        raw.extend(ticket.issued.to_be_bytes());
        raw.extend(ticket.epoch.to_be_bytes());
        raw.push(self.pool.len() as u8); // 255 at most, looked at in `new`
        raw.extend(self.pool.as_bytes());
        raw.extend(backend);
        let key = &self.keys[0]; // there is one at least
        let tag = key.tag_of(&raw[1..]).finalize().into_bytes();
        let tag = &tag[..TAG_BYTES];
        key.mask(tag, &mut raw[1..]);
        raw.extend_from_slice(tag);
        Ok(URL_SAFE_NO_PAD.encode(raw))
    }

    /// What a value says, if it is ours. Its age is not looked at: see [`Ticket::check_age`].
    ///
    /// # Errors
    /// Why it does not count.
    pub fn open(&self, value: &[u8]) -> Result<Opened, Ignored> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Ignored::TooLong);
        }
        // Strict: bits that nothing decodes to must be 0, so each ticket has one spelling.
        let raw = URL_SAFE_NO_PAD.decode(value).map_err(|_| Ignored::Malformed)?;
        if raw.len() < RAW_BYTES_MIN || raw[0] != VERSION {
            return Err(Ignored::Malformed);
        }
        let (sealed, tag) = raw[1..].split_at(raw.len() - 1 - TAG_BYTES);
        for (at, key) in self.keys.iter().enumerate() {
            let mut payload = sealed.to_vec();
            key.mask(tag, &mut payload);
            if key.tag_of(&payload).verify_truncated_left(tag).is_ok() {
                let ticket = self.read(&payload)?;
                return Ok(Opened { ticket, old_secret: at > 0 });
            }
        }
        Err(Ignored::Forged)
    }

    /// `payload` is authentic here: what does not fit was sealed by another version of us.
    fn read(&self, payload: &[u8]) -> Result<Ticket, Ignored> {
        let mut rest = payload;
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at_checked(n)?;
            rest = tail;
            Some(head)
        };
        let mut fields = || {
            let session = SessionId(take(16)?.try_into().ok()?);
            let created = u32::from_be_bytes(take(4)?.try_into().ok()?);
            let issued = u32::from_be_bytes(take(4)?.try_into().ok()?);
            let epoch = u16::from_be_bytes(take(2)?.try_into().ok()?);
            let pool_bytes = usize::from(*take(1)?.first()?);
            let pool = take(pool_bytes)?;
            Some((session, created, issued, epoch, pool))
        };
        let (session, created, issued, epoch, pool) = fields().ok_or(Ignored::Malformed)?;
        if pool != self.pool.as_bytes() {
            return Err(Ignored::Foreign);
        }
        let backend = std::str::from_utf8(rest).map_err(|_| Ignored::Malformed)?;
        Ok(Ticket { session, backend: backend.into(), created, issued, epoch })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("pool", &self.pool).field("secrets", &self.keys.len()).finish()
    }
}

/// By how much the clocks of nodes may differ, in seconds.
pub const CLOCK_SKEW_S: u32 = 60;

impl Ticket {
    /// Whether it counts at `unix_s`: issued no longer ago than `ttl_s`, of a session no older than `lifetime_s`.
    ///
    /// # Errors
    /// [`Ignored::Expired`], or [`Ignored::NotYet`].
    pub fn check_age(&self, unix_s: u32, ttl_s: u32, lifetime_s: Option<u32>) -> Result<(), Ignored> {
        if self.issued > unix_s.saturating_add(CLOCK_SKEW_S) {
            return Err(Ignored::NotYet);
        }
        let old = unix_s.saturating_sub(self.issued) > ttl_s
            || lifetime_s.is_some_and(|most| unix_s.saturating_sub(self.created) > most);
        if old { Err(Ignored::Expired) } else { Ok(()) }
    }
}
