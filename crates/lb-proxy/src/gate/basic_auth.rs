//! Basic authentication (RFC 7617): who a request is from, by a name and a password whose hash is known.
//!
//! Verifying a hash costs a core milliseconds to seconds, on purpose. So it is done beside the workers, by half of the cores at most, and a user's right
//! password is known again by a keyed hash of it afterwards: one SHA-256 a request, compared in constant time. What is kept is one such word for each
//! user, in memory alone. An unknown user costs what the first user costs, so that time does not tell who there is.
//!
//! Bounds: [`WAITING_MAX`] requests wait for a verification, further ones are answered 503; [`PASSWORD_BYTES_MAX`]. It lacks groups, a lock-out after
//! failures (a route's `rate_limit` bounds the requests that have passed, not the attempts), and reading users again without a restart.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use lb_admission::password::PasswordHash;
use lb_types::SettingsError;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// How many requests wait for a verification at once.
const WAITING_MAX: usize = 256;
/// The longest password. Hashing one takes as long as it is.
const PASSWORD_BYTES_MAX: usize = 256;

const DECODER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who may come in, and what the backend is told of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BasicAuthSettings {
    /// The users and their passwords' hashes. A name is there once.
    pub users: Vec<(String, PasswordHash)>,
    /// What the browser shows; default `edge-lb`.
    pub realm: String,
    /// The header in which the backend gets the user's name; default none. The client's own is removed.
    pub forward_user: Option<HeaderName>,
    /// Whether the backend gets the `Authorization` header; default not.
    pub forward_credentials: bool,
}

impl BasicAuthSettings {
    /// These users.
    pub fn new(users: Vec<(String, PasswordHash)>) -> Self {
        Self { users, realm: "edge-lb".to_owned(), forward_user: None, forward_credentials: false }
    }
}

/// The users of a route, for all workers.
pub struct BasicAuth {
    users: HashMap<Box<str>, User>,
    /// What a user that there is not is verified with.
    stand_in: PasswordHash,
    /// Nobody's but this process's.
    key: [u8; 32],
    challenge: HeaderValue,
    pub(crate) forward_user: Option<HeaderName>,
    pub(crate) forward_credentials: bool,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

struct User {
    hash: PasswordHash,
    name: HeaderValue,
    /// The keyed hash of the right password, once it was seen.
    known: OnceLock<[u8; 32]>,
}

/// Why a request did not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No credentials, or wrong ones.
    Unauthorized,
    /// Too many are being verified.
    Busy,
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl BasicAuth {
    /// Prepares the settings.
    ///
    /// # Errors
    /// No users, a name that is there twice or that no client could send, a realm that no header can hold; no randomness to be had.
    pub fn new(s: BasicAuthSettings) -> Result<Self, SettingsError> {
        let Some((_, stand_in)) = s.users.first().cloned() else {
            return Err(SettingsError::new("users", 0, "must have one at least"));
        };
        let mut users = HashMap::with_capacity(s.users.len());
        for (name, hash) in s.users {
            let wrong = |must: &str| SettingsError::new("users", &name, must);
            if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
                return Err(wrong("must have a name without colon and controls"));
            }
            let value = HeaderValue::from_bytes(name.as_bytes())
                .map_err(|_| wrong("must have a name that a header can hold"))?;
            let user = User { hash, name: value, known: OnceLock::new() };
            if users.insert(name.clone().into(), user).is_some() {
                return Err(wrong("is there twice"));
            }
        }
        let bad_realm =
            || SettingsError::new("realm", &s.realm, "must be printable ASCII without quote and backslash");
        if s.realm.bytes().any(|b| !(b' '..=b'~').contains(&b) || b == b'"' || b == b'\\') {
            return Err(bad_realm());
        }
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{}\", charset=\"UTF-8\"", s.realm))
            .map_err(|_| bad_realm())?;
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|e| SettingsError::new("users", e.to_string(), "the system must have randomness"))?;
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Ok(Self {
            users,
            stand_in,
            key,
            challenge,
            forward_user: s.forward_user,
            forward_credentials: s.forward_credentials,
            running: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
        })
    }

    /// What a client is told that did not get in.
    pub(crate) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    /// Who it is.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Result<HeaderValue, Denied> {
        let credentials = credentials(headers).ok_or(Denied::Unauthorized)?;
        let (name, password) = credentials;
        let user = self.users.get(&*name);
        if let Some(user) = user.filter(|user| self.is_known(user, &password)) {
            return Ok(user.name.clone());
        }
        let _waiting = Waiting::among(&self.waiting).ok_or(Denied::Busy)?;
        // The semaphore is never closed.
        let place = self.running.clone().acquire_owned().await.map_err(|_| Denied::Busy)?;
        if let Some(user) = user.filter(|user| self.is_known(user, &password)) {
            // Another request of theirs has shown it meanwhile.
            return Ok(user.name.clone());
        }
        let hash = user.map_or(&self.stand_in, |user| &user.hash).clone();
        let word = self.word(&password).finalize().into_bytes().into();
        // If the client leaves, this goes on to its end, and so does its place.
        let verifying = tokio::task::spawn_blocking(move || {
            let is_right = hash.verify(&password);
            drop(place);
            is_right
        });
        match (user, verifying.await) {
            (Some(user), Ok(true)) => {
                user.known.get_or_init(|| word);
                Ok(user.name.clone())
            }
            _ => Err(Denied::Unauthorized),
        }
    }

    fn word(&self, password: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(password);
        mac
    }

    fn is_known(&self, user: &User, password: &[u8]) -> bool {
        user.known.get().is_some_and(|known| self.word(password).verify_slice(known).is_ok())
    }
}

/// A place in the line.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(line: &'a AtomicUsize) -> Option<Self> {
        let place = Self(line);
        (line.fetch_add(1, Relaxed) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Name and password, if they came once and well-formed.
fn credentials(headers: &HeaderMap) -> Option<(Box<str>, Box<[u8]>)> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    let (scheme, rest) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = DECODER.decode(rest.trim()).ok()?;
    let colon = pair.iter().position(|&b| b == b':')?;
    let (name, password) = (std::str::from_utf8(&pair[..colon]).ok()?, &pair[colon + 1..]);
    (password.len() <= PASSWORD_BYTES_MAX).then(|| (name.into(), password.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret`, as cheap as it can be.
    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    fn auth() -> BasicAuth {
        let hash = PasswordHash::new(HASH).unwrap();
        BasicAuth::new(BasicAuthSettings::new(vec![("ann".to_owned(), hash)])).unwrap()
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (AUTHORIZATION, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", DECODER.encode(pair))
    }

    #[tokio::test]
    async fn the_right_password_gets_in_and_is_known_from_then_on() {
        let auth = auth();
        let right = headers(&[&basic("ann:secret")]);
        assert_eq!(auth.check(&right).await.unwrap(), "ann");
        assert!(auth.users["ann"].known.get().is_some());
        // Nothing is verified any more: there is no place for it.
        let _all = auth
            .running
            .acquire_many(u32::try_from(auth.running.available_permits()).unwrap())
            .await
            .unwrap();
        assert_eq!(auth.check(&right).await.unwrap(), "ann");
        assert_eq!(auth.waiting.load(Relaxed), 0);
        let hash = PasswordHash::new(HASH).unwrap();
        let auth = BasicAuth::new(BasicAuthSettings::new(vec![("zoë".to_owned(), hash)])).unwrap();
        let name = auth.check(&headers(&[&basic("zoë:secret")])).await.unwrap();
        assert_eq!(name.as_bytes(), "zoë".as_bytes(), "names are UTF-8, as the challenge says");
    }

    #[tokio::test]
    async fn nothing_else_gets_in() {
        let auth = auth();
        let (wrong, none, other) = (basic("ann:Secret"), basic("ann:"), basic("bob:secret"));
        let good = basic("ann:secret");
        for lines in [
            &[][..],
            &[wrong.as_str()],
            &[&none],
            &[&other],
            &["Basic"],
            &["Basic !!"],
            &["Bearer YW5uOnNlY3JldA=="],
            &[&basic("ann")],
            &[&basic(&format!("ann:{}", "x".repeat(PASSWORD_BYTES_MAX + 1)))],
            &[&good, &good],
        ] {
            assert_eq!(auth.check(&headers(lines)).await, Err(Denied::Unauthorized), "{lines:?}");
        }
        assert!(auth.users["ann"].known.get().is_none());
        assert!(
            auth.check(&headers(&["bAsIc  YW5uOnNlY3JldA"])).await.is_ok(),
            "without its padding, in any case"
        );
        assert_eq!(auth.check(&headers(&[&wrong])).await, Err(Denied::Unauthorized), "also once it is known");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_client_writes_is_credentials_or_not(name in "[^:]{0,20}", password in ".{0,80}", junk in "[ -~]{0,60}") {
            let found = credentials(&headers(&[&basic(&format!("{name}:{password}"))]));
            let found = found.map(|(n, p)| (n.to_string(), p.to_vec()));
            let fits = password.len() <= PASSWORD_BYTES_MAX;
            proptest::prop_assert_eq!(found, fits.then(|| (name, password.into_bytes())));
            credentials(&headers(&[&junk]));
            credentials(&headers(&[&format!("Basic {junk}")]));
        }
    }

    #[tokio::test]
    async fn the_line_is_bounded() {
        let auth = auth();
        auth.waiting.store(WAITING_MAX, Relaxed);
        assert_eq!(auth.check(&headers(&[&basic("ann:secret")])).await, Err(Denied::Busy));
        assert_eq!(auth.waiting.load(Relaxed), WAITING_MAX);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let hash = || PasswordHash::new(HASH).unwrap();
        let field = |s| BasicAuth::new(s).unwrap_err().field;
        assert_eq!(field(BasicAuthSettings::new(vec![])), "users");
        for name in ["", "a:b", "a\nb"] {
            assert_eq!(field(BasicAuthSettings::new(vec![(name.to_owned(), hash())])), "users", "{name:?}");
        }
        assert_eq!(
            field(BasicAuthSettings::new(vec![("a".to_owned(), hash()), ("a".to_owned(), hash())])),
            "users"
        );
        let realm = BasicAuthSettings {
            realm: "a\"b".to_owned(),
            ..BasicAuthSettings::new(vec![("a".to_owned(), hash())])
        };
        assert_eq!(field(realm), "realm");
    }
}
