//! Whose request is it, when proxies stand between?
//!
//! Each proxy appends the address that it saw to `X-Forwarded-For` or `Forwarded` (RFC 7239), so the right end is what our own
//! neighbour says, and the left end is whatever a client liked to write. So the walk goes from the right: the peer is who it is; if it is
//! a trusted proxy, who it says it saw is; and so on, until one is not trusted. That one is the client: it is the last that somebody
//! trusted has seen. What stands left of it is hearsay and not read.
//!
//! An untrusted peer's headers are never looked at. An element that is no address (malformed, `unknown`, an obfuscated `_id`)
//! ends the walk, and the address before it counts. A chain of trusted hops alone gives the leftmost of them.
//!
//! ```
//! use lb_geo::client_addr::{ClientAddress, Header, TrustedProxies};
//! let trusted = TrustedProxies::new(["10.0.0.0/8"])?;
//! let header = Header::XForwardedFor(&[b"6.6.6.6, 81.2.69.142, 10.0.0.7"]);
//! let client = trusted.client("10.0.0.1".parse()?, header);
//! assert_eq!(client, ClientAddress { ip: "81.2.69.142".parse()?, hops: 2 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod element;

use crate::GeoError;
use crate::overrides::network_of;
use crate::prefix::PrefixTable;
use crate::special::canonical;
use std::fmt;
use std::net::IpAddr;

/// The most elements that are read, from the right: a request comes through two or three proxies.
pub const HOPS_MAX: usize = 32;
/// The most bytes that are read, from the right, over all lines.
pub const BYTES_MAX: usize = 4_096;
/// The most networks of trusted proxies: the largest content network publishes some hundred.
pub const NETWORKS_MAX: usize = 10_000;

/// Proxies whose word is taken for the address that they saw.
#[derive(Clone)]
pub struct TrustedProxies {
    table: PrefixTable<()>,
}

/// Reads the address of one element.
type AddressOf = fn(&[u8]) -> Option<IpAddr>;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client, in [`canonical`] form.
    pub ip: IpAddr,
    /// How many elements of the header were believed to find it; 0: it is the peer.
    pub hops: usize,
}

/// The lines of a header, in the order in which they came: a slice of slices, or whatever else goes from the last to the first, such as
/// `headers.get_all("x-forwarded-for")` of the crate http. Those of the other header are not to be mixed in: a proxy that writes one passes
/// the other on as the client wrote it.
#[derive(Clone, Copy, Debug)]
pub enum Header<L> {
    /// `X-Forwarded-For`: addresses.
    XForwardedFor(L),
    /// `Forwarded` (RFC 7239): `for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"`.
    Forwarded(L),
}

impl TrustedProxies {
    /// Networks (`10.0.0.0/8`) and addresses of trusted proxies. None: nobody is believed.
    ///
    /// # Errors
    /// When one is no network or has bits set behind its prefix, or there are more than [`NETWORKS_MAX`].
    pub fn new<S: AsRef<str>>(networks: impl IntoIterator<Item = S>) -> Result<Self, GeoError> {
        let mut table = PrefixTable::new();
        for text in networks {
            let text = text.as_ref();
            let bad = |reason| GeoError::bad("trusted_proxies", format!("{text:?}"), reason);
            table.insert(network_of(text).map_err(bad)?, ());
            if table.len() > NETWORKS_MAX {
                return Err(bad("it is one too many: 10000 are allowed"));
            }
        }
        Ok(Self { table })
    }

    /// Is `ip` one of them?
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.table.get(ip).is_some()
    }

    /// Whose request it is that came from `peer` with this header. It allocates nothing, reads at most [`HOPS_MAX`] elements and
    /// [`BYTES_MAX`] bytes, and where a bound ends the walk the last address counts, as with a malformed element.
    pub fn client<L>(&self, peer: IpAddr, header: Header<L>) -> ClientAddress
    where
        L: IntoIterator<Item: AsRef<[u8]>, IntoIter: DoubleEndedIterator>,
    {
        let mut client = ClientAddress { ip: canonical(peer), hops: 0 };
        let (lines, quoted, address): (_, _, AddressOf) = match header {
            Header::XForwardedFor(lines) => (lines, false, element::of_x_forwarded_for),
            Header::Forwarded(lines) => (lines, true, element::of_forwarded),
        };
        let mut bytes_left = BYTES_MAX;
        for line in lines.into_iter().rev() {
            let elements = element::from_the_right(line.as_ref(), quoted, &mut bytes_left);
            let Some(mut elements) = elements else {
                return client;
            };
            while client.hops < HOPS_MAX && self.contains(client.ip) {
                let Some(element) = elements.next() else { break };
                match element.and_then(address) {
                    Some(ip) => client = ClientAddress { ip: canonical(ip), hops: client.hops + 1 },
                    None => return client,
                }
            }
            if client.hops >= HOPS_MAX || !self.contains(client.ip) {
                return client;
            }
        }
        client
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies").field("networks", &self.table.len()).finish()
    }
}

#[cfg(test)]
mod tests;
