//! A password's hash as `htpasswd` and crypt(3) write it: bcrypt (`$2y$`, `$2b$`, `$2a$`), SHA-256-crypt (`$5$`), SHA-512-crypt (`$6$`).
//!
//! The work of one verification is bounded by the bounds of its cost. Plain text, MD5 (`$apr1$`, `$1$`) and unsalted SHA-1 are refused. bcrypt looks
//! at the first 72 bytes of a password, wherever it is used.

use lb_types::SettingsError;
use sha_crypt::{PasswordHashRef, PasswordVerifier as _, ShaCrypt};
use std::fmt;

/// Some 5 s on a slow core: more is a mistake, or an attack on oneself.
const BCRYPT_COST_MAX: u32 = 16;
const ROUNDS_MAX: u32 = 1_000_000;
/// What crypt(3) does without `rounds=`.
const ROUNDS_USUAL: u32 = 5_000;

/// A hash that passwords can be verified with. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Box<str>,
    is_bcrypt: bool,
}

impl PasswordHash {
    /// Reads one.
    ///
    /// # Errors
    /// It is none of the known, or costs more than one verification may. The error does not show it.
    pub fn new(text: &str) -> Result<Self, SettingsError> {
        let wrong = |must: &str| SettingsError::new("hash", "hidden", must);
        let is_bcrypt = ["$2y$", "$2b$", "$2a$"].iter().any(|kind| text.starts_with(kind));
        if is_bcrypt {
            let parts: bcrypt::HashParts =
                text.parse().map_err(|_| wrong("must be a whole bcrypt hash of 60 characters"))?;
            if parts.get_cost() > BCRYPT_COST_MAX {
                return Err(wrong(&format!("must have a bcrypt cost of {BCRYPT_COST_MAX} at most")));
            }
            return Ok(Self { text: text.into(), is_bcrypt });
        }
        let rest = text.strip_prefix("$5$").or_else(|| text.strip_prefix("$6$"));
        let Some(rest) = rest else {
            return Err(wrong(
                "must begin with $2y$, $2b$ (bcrypt), $5$ or $6$ (SHA-crypt): make it with `htpasswd -nB NAME` or `openssl passwd -6`",
            ));
        };
        let malformed = || wrong("must be a whole SHA-crypt hash: `$6$SALT$HASH` or `$6$rounds=N$SALT$HASH`");
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            None => (ROUNDS_USUAL, rest),
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$').ok_or_else(malformed)?;
                (rounds.parse().map_err(|_| malformed())?, rest)
            }
        };
        if !(1_000..=ROUNDS_MAX).contains(&rounds) {
            return Err(wrong(&format!("must have 1000 to {ROUNDS_MAX} rounds")));
        }
        let (salt, hash) = rest.split_once('$').ok_or_else(malformed)?;
        let length = if text.starts_with("$5$") { 43 } else { 86 };
        let of_hash = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        let is_whole =
            !salt.is_empty() && salt.len() <= 16 && hash.len() == length && hash.bytes().all(of_hash);
        // A salt that the library does not take would never let anybody in.
        if !is_whole || !salt.bytes().all(of_hash) || PasswordHashRef::new(text).is_err() {
            return Err(malformed());
        }
        Ok(Self { text: text.into(), is_bcrypt })
    }

    /// Is this the password? Takes milliseconds, up to seconds with the greatest costs; its time says nothing of how much fits.
    pub fn verify(&self, password: &[u8]) -> bool {
        if self.is_bcrypt {
            bcrypt::verify(password, &self.text).unwrap_or(false)
        } else {
            ShaCrypt::default().verify_password(password, &*self.text).is_ok()
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by openssl and libxcrypt: the password is `secret`.
    const HASHES: [&str; 3] = [
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    ];

    #[test]
    fn what_other_programs_hash_is_verified() {
        for text in HASHES {
            let hash = PasswordHash::new(text).unwrap();
            assert!(hash.verify(b"secret"), "{text}");
            assert!(!hash.verify(b"Secret") && !hash.verify(b"") && !hash.verify(b"secret\0"), "{text}");
            assert!(!format!("{hash:?}").contains('$'));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_is_a_hash_or_an_error(
            start in "\\$(2y|2b|5|6)\\$(04\\$|rounds=1000\\$)?",
            rest in "[./A-Za-z0-9]{53}|[a-z0-9]{1,16}\\$([./A-Za-z0-9]{43}|[./A-Za-z0-9]{86})|[./A-Za-z0-9$=:_é]{0,90}",
        ) {
            let text = format!("{start}{rest}");
            if let Ok(hash) = PasswordHash::new(&text) {
                // It takes part in verifications, and nobody knows a password for it.
                proptest::prop_assert!(!hash.verify(b"secret"));
            }
        }
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_refused_unseen() {
        for text in [
            "secret",
            "",
            "$apr1$abc$def",
            "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "$2y$31$abcdefghijklmnopqrstuuFdT0rpTXQYnnWPcWr5iPJFUdpD2qZiW",
            "$2y$04$short",
            "$6$nohash",
            "$6$rounds=5$saltsalt$x",
            "$6$rounds=999999999$saltsalt$x",
            "$5$saltsalt$tooshort",
            "$5$salt_salt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
            "$5$$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        ] {
            let error = PasswordHash::new(text).unwrap_err();
            assert!(error.field == "hash" && error.value == "\"hidden\"", "{text}: {error}");
        }
    }
}
