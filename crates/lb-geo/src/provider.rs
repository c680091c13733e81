//! Who knows where an address is, and how several are asked.

use crate::{Answer, GeoError, Location, Why};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future, as [`Provider`] gives it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The most providers of a [`Chain`].
pub const PROVIDERS_MAX: usize = 16;

/// Something that knows where addresses are.
///
/// The detector never asks about private and reserved addresses, and gives IPv4 addresses as IPv4
/// ([`canonical`](crate::special::canonical)).
pub trait Provider: Send + Sync + fmt::Debug + 'static {
    /// Its name, for errors and statuses.
    fn name(&self) -> &'static str;

    /// What it can say at once: without waiting for a disk, a network or a lock that is held for long. None if it cannot.
    fn locate_now(&self, ip: IpAddr) -> Option<Answer>;

    /// What it can say when it may take its time; within a limit of its own.
    fn locate(&self, ip: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>>;

    /// It never has to be waited for: [`locate_now`](Self::locate_now) says all that it knows. Default: it may have to be.
    fn is_local(&self) -> bool {
        false
    }

    /// A number that grows when its answers change: what was remembered of them is forgotten then.
    fn generation(&self) -> u64 {
        0
    }

    /// Tells what its answers come from, for a cache that several processes share: the same in each that has the same source, another
    /// where it is another. Default: of its name alone.
    fn fingerprint(&self) -> u64 {
        fnv1a(self.name().as_bytes())
    }
}

/// FNV-1a of 64 bits: the same in every process and every version of this crate. (Fowler, Noll, Vo; draft-eastlake-fnv)
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(feature = "mmdb")]
impl Provider for crate::Mmdb {
    fn name(&self) -> &'static str {
        "mmdb"
    }

    /// None from a damaged record: [`locate`](Provider::locate) says what is wrong.
    fn locate_now(&self, ip: IpAddr) -> Option<Answer> {
        self.lookup(ip).ok()
    }

    fn locate(&self, ip: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>> {
        Box::pin(std::future::ready(self.lookup(ip)))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn fingerprint(&self) -> u64 {
        Self::fingerprint(self)
    }
}

/// Providers that are asked in order until one places the address.
///
/// An answer that says something, but no place (a database of autonomous systems says nothing else), does not end it: what it says fills
/// what the next one leaves open. So the database of autonomous systems stands before that of cities, and both are heard.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
}

/// What a chain can say at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Now {
    /// The best answer so far.
    pub(crate) answer: Answer,
    /// Nobody was skipped before it: asking again with time would say the same.
    pub(crate) settled: bool,
}

impl Chain {
    /// Of these providers, the first asked first.
    ///
    /// # Errors
    /// When there are more than [`PROVIDERS_MAX`].
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Result<Self, GeoError> {
        if providers.len() > PROVIDERS_MAX {
            return Err(GeoError::bad("database", providers.len(), "at most 16 can be asked"));
        }
        Ok(Self { providers })
    }

    /// What the providers that need no time say together, and whether none was skipped.
    pub(crate) fn now(&self, ip: IpAddr) -> Now {
        let (mut heard, mut settled) = (Heard::default(), true);
        for provider in &self.providers {
            match provider.locate_now(ip) {
                None => settled = false,
                Some(answer) => {
                    if heard.take(answer) {
                        break;
                    }
                }
            }
        }
        Now { answer: heard.answer(), settled }
    }

    /// Somebody would have to be waited for before the address is placed, or before it is known that nobody places it.
    pub(crate) fn has_to_wait(&self, ip: IpAddr) -> bool {
        for provider in &self.providers {
            match provider.locate_now(ip) {
                None => return true,
                Some(answer) if answer.location().is_some_and(Location::has_place) => return false,
                Some(_) => {}
            }
        }
        false
    }

    /// What the providers say together, and how many failed on the way to it.
    pub(crate) async fn ask(&self, ip: IpAddr) -> (Result<Answer, GeoError>, u64) {
        let (mut heard, mut first_error, mut errors) = (Heard::default(), None, 0);
        for provider in &self.providers {
            match provider.locate(ip).await {
                Ok(answer) => {
                    if heard.take(answer) {
                        return (Ok(heard.answer()), errors);
                    }
                }
                Err(e) => {
                    errors += 1;
                    first_error = first_error.or(Some(e));
                }
            }
        }
        // Who failed might have known: that is no "nobody knows".
        (first_error.map_or_else(|| Ok(heard.answer()), Err), errors)
    }
}

impl Provider for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    /// None if somebody would have to be waited for and nobody else places the address.
    fn locate_now(&self, ip: IpAddr) -> Option<Answer> {
        let now = self.now(ip);
        (now.settled || now.answer.location().is_some_and(Location::has_place)).then_some(now.answer)
    }

    fn locate(&self, ip: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>> {
        Box::pin(async move { self.ask(ip).await.0 })
    }

    fn is_local(&self) -> bool {
        self.providers.iter().all(|provider| provider.is_local())
    }

    fn fingerprint(&self) -> u64 {
        let all: Vec<u8> = self.providers.iter().flat_map(|p| p.fingerprint().to_le_bytes()).collect();
        fnv1a(&all)
    }

    fn generation(&self) -> u64 {
        self.providers.iter().fold(0, |sum, provider| sum.wrapping_add(provider.generation()))
    }
}

/// What was heard so far.
#[derive(Default)]
struct Heard {
    found: Option<Arc<Location>>,
    why: Option<Why>,
}

impl Heard {
    /// Takes one more answer; true if that is enough.
    fn take(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::Unknown(why) => {
                self.why = self.why.or(Some(why));
                false
            }
            Answer::Found(location) => {
                let enough = location.has_place();
                self.found = Some(match self.found.take() {
                    None => location,
                    Some(before) => Arc::new(filled(&before, &location)),
                });
                enough
            }
        }
    }

    fn answer(self) -> Answer {
        let why = self.why.unwrap_or(Why::NotInDatabase);
        self.found.map_or(Answer::Unknown(why), Answer::Found)
    }
}

/// `first`, and what it leaves open from `second`.
fn filled(first: &Location, second: &Location) -> Location {
    Location {
        country: first.country.or(second.country),
        continent: first.continent.or(second.continent),
        region: first.region.or(second.region),
        region_name: first.region_name.clone().or_else(|| second.region_name.clone()),
        city: first.city.clone().or_else(|| second.city.clone()),
        coordinates: first.coordinates.or(second.coordinates),
        asn: first.asn.or(second.asn),
        as_organization: first.as_organization.clone().or_else(|| second.as_organization.clone()),
    }
}
