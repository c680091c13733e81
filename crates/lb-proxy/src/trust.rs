//! Trusted proxies before this one: whose request it is, and what of their word goes on to the backend.
//!
//! Whether the peer is one is found once a connection, so that the requests of others pay a look at a pointer that is not there. The
//! proxies in front are told apart from their clients by [`TrustedProxies::client`]: from the right, up to the first address that is no trusted
//! proxy's. One header is read, the one that those proxies write ([`ForwardingHeader`]); the other one is as the client wrote it.
//!
//! What a backend gets for a request that came through a trusted proxy:
//!
//! | header | they write `X-Forwarded-For` | they write `Forwarded` |
//! |---|---|---|
//! | `X-Forwarded-For` | what came, and the peer | the client if it was found, and the peer |
//! | `X-Real-IP` | the client | the client |
//! | `X-Forwarded-Proto`, `-Host` | what came, if it is one and sane | `proto` and `host` of the element that names the client, if sane |
//! | `Forwarded` | nothing | what came, and `for=` the peer |
//!
//! Where `X-Forwarded-Proto` and `-Host` do not come from there, they are those of this connection and of `Host`. "What came" is one line, of
//! all lines in their order: who reads it must read from the right, as here, for its left end is a client's free text. In the
//! `Forwarded` that goes on, an element that is appended after a quote without its pair would stand within that quote; so if a line has
//! one, the client, if it was found, and the peer take the place of what came. In that header, `by`, `proto` and `host` are not said of this hop.
//!
//! Bounds: what goes on in a header is no longer than the lines that came in it, and one address: the limit of a request's head bounds
//! it. The walk has bounds of its own ([`HOPS_MAX`], and `BYTES_MAX` beside it).

use crate::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::request::is_host;
use bytes::{BufMut as _, BytesMut};
use http::header::{self, GetAll, HeaderMap, HeaderName, HeaderValue};
use lb_geo::client_addr::{ClientAddress, HOPS_MAX, Header, TrustedProxies};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

/// Whose word is taken for whom a request is from.
///
/// A client on a Unix domain socket has no address, and is not trusted.
#[derive(Clone, Debug)]
pub struct TrustedPeers {
    /// The proxies in front of this one.
    pub proxies: TrustedProxies,
    /// The header in which they say it.
    pub header: ForwardingHeader,
}

/// The header that trusted proxies write. The other one they pass on as the client wrote it, so it is not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, and beside it `X-Forwarded-Proto` and `X-Forwarded-Host`: the proxies must set or remove those two as well.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), with its `proto` and `host`.
    Forwarded,
}

/// A trusted peer: made once a connection.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    peers: Arc<TrustedPeers>,
    peer: IpAddr,
    /// The peer as the forwarding headers name it.
    name: HeaderValue,
    /// The peer as an element of `Forwarded`, if that is the header.
    element: Option<HeaderValue>,
}

/// What a backend is told on a trusted proxy's word; where that says nothing, as if nobody were trusted.
pub(crate) struct Told {
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) real_ip: HeaderValue,
    pub(crate) proto: Option<HeaderValue>,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) forwarded: Option<HeaderValue>,
}

impl Trust {
    /// None for a peer that is not trusted. `name` is the peer's in the forwarding headers.
    pub(crate) fn of(
        peers: Option<&Arc<TrustedPeers>>,
        peer: Option<IpAddr>,
        name: &HeaderValue,
    ) -> Option<Box<Self>> {
        let (peers, peer) = (peers?, peer?);
        if !peers.proxies.contains(peer) {
            return None;
        }
        let element = match peers.header {
            ForwardingHeader::XForwardedFor => None,
            ForwardingHeader::Forwarded => Some(written(name, |text| write_element(text, peer))),
        };
        Some(Box::new(Self { peers: peers.clone(), peer, name: name.clone(), element }))
    }

    /// Whose request it is.
    #[inline(never)]
    pub(crate) fn client(&self, headers: &HeaderMap) -> ClientAddress {
        let mut room = NO_LINES;
        let (lines, proxies) = (self.lines(headers, &mut room), &self.peers.proxies);
        match self.peers.header {
            ForwardingHeader::XForwardedFor => proxies.client(self.peer, Header::XForwardedFor(lines)),
            ForwardingHeader::Forwarded => proxies.client(self.peer, Header::Forwarded(lines)),
        }
    }

    /// What goes on to the backend of a request that is `client`'s.
    #[inline(never)]
    pub(crate) fn tell(&self, headers: &HeaderMap, client: ClientAddress) -> Told {
        let name = &self.name;
        // It is the peer's own, or somebody has seen it.
        let seen = (client.hops > 0).then_some(client.ip);
        let real_ip = seen.map_or_else(|| name.clone(), |ip| written(name, |text| write!(text, "{ip}")));
        let Some(element) = &self.element else {
            return Told {
                forwarded_for: joined(&headers.get_all(X_FORWARDED_FOR), name),
                real_ip,
                proto: only(headers, &X_FORWARDED_PROTO).and_then(|v| scheme(v.as_bytes())),
                host: only(headers, &X_FORWARDED_HOST).filter(|v| v.to_str().is_ok_and(is_named)).cloned(),
                forwarded: None,
            };
        };
        let came = headers.get_all(header::FORWARDED);
        let forwarded = if came.iter().all(|line| quotes_match(line.as_bytes())) {
            joined(&came, element)
        } else {
            seen.map_or_else(|| element.clone(), |ip| after(element, |text| write_element(text, ip)))
        };
        let mut room = NO_LINES;
        let said = seen.and_then(|_| nth_from_the_right(self.lines(headers, &mut room), client.hops));
        let said = said.and_then(|element| std::str::from_utf8(element).ok()).unwrap_or_default();
        Told {
            forwarded_for: seen.map_or_else(|| name.clone(), |ip| after(name, |text| write!(text, "{ip}"))),
            real_ip,
            proto: parameter(said, "proto").and_then(|proto| scheme(proto.as_bytes())),
            host: parameter(said, "host")
                .filter(|host| is_named(host))
                .and_then(|host| HeaderValue::from_str(host).ok()),
            forwarded: Some(forwarded),
        }
    }

    /// The last lines of the header, as many as may be read: each holds an element, or says nothing.
    fn lines<'r, 'h>(&self, headers: &'h HeaderMap, room: &'r mut [&'h [u8]; HOPS_MAX]) -> &'r [&'h [u8]] {
        let name = match self.peers.header {
            ForwardingHeader::XForwardedFor => &X_FORWARDED_FOR,
            ForwardingHeader::Forwarded => &header::FORWARDED,
        };
        let mut free = HOPS_MAX;
        for (place, line) in room.iter_mut().rev().zip(headers.get_all(name).iter().rev()) {
            *place = line.as_bytes();
            free -= 1;
        }
        &room[free..]
    }
}

const NO_LINES: [&[u8]; HOPS_MAX] = [&[]; HOPS_MAX];

/// The lines that came as one, and `own` after them.
fn joined(came: &GetAll<'_, HeaderValue>, own: &HeaderValue) -> HeaderValue {
    let length: usize = came.iter().map(|line| line.len() + ", ".len()).sum();
    if length == 0 {
        return own.clone();
    }
    let mut all = BytesMut::with_capacity(length + own.len());
    for line in came.iter().map(|line| line.as_bytes().trim_ascii()).filter(|line| !line.is_empty()) {
        all.put_slice(line);
        all.put_slice(b", ");
    }
    all.put_slice(own.as_bytes());
    value(all, own)
}

/// What `write` writes, and `own` after it.
fn after(own: &HeaderValue, write: impl FnOnce(&mut BytesMut) -> std::fmt::Result) -> HeaderValue {
    written(own, |text| {
        write(text)?;
        text.put_slice(b", ");
        text.put_slice(own.as_bytes());
        Ok(())
    })
}

/// What `write` writes.
fn written(or: &HeaderValue, write: impl FnOnce(&mut BytesMut) -> std::fmt::Result) -> HeaderValue {
    let mut text = BytesMut::new();
    match write(&mut text) {
        Ok(()) => value(text, or),
        Err(_) => or.clone(),
    }
}

/// Pieces of header values and addresses are a header value; `or` stands here so that nothing need be believed to be.
fn value(text: BytesMut, or: &HeaderValue) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.freeze()).unwrap_or_else(|_| or.clone())
}

/// RFC 7239 §6: an IPv6 address stands in brackets, and so in quotes.
fn write_element(text: &mut BytesMut, ip: IpAddr) -> std::fmt::Result {
    match ip.to_canonical() {
        IpAddr::V4(ip) => write!(text, "for={ip}"),
        IpAddr::V6(ip) => write!(text, "for=\"[{ip}]\""),
    }
}

/// Do a line's quotes match (RFC 9110 §5.6.4)?
fn quotes_match(line: &[u8]) -> bool {
    let (mut within, mut escaped) = (false, false);
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => within = !within,
            _ => {}
        }
    }
    !within
}

/// The element of a `Forwarded` that [`TrustedProxies::client`] has come to last. All from it to the right end were well-formed: their
/// quotes match, and no backslash stands in them.
fn nth_from_the_right<'a>(lines: &[&'a [u8]], nth: usize) -> Option<&'a [u8]> {
    let elements = lines.iter().rev().flat_map(|line| {
        let mut within = false;
        line.rsplit(move |&byte| {
            within ^= byte == b'"';
            byte == b',' && !within
        })
    });
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).nth(nth.checked_sub(1)?)
}

/// The one parameter of that name, unquoted; of an element whose quotes hold no semicolon, as in all that name an address.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='));
    let mut values = pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
}

/// The header, if it came once: of several, one may be the client's.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn scheme(text: &[u8]) -> Option<HeaderValue> {
    ["http", "https"]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme.as_bytes()))
        .map(HeaderValue::from_static)
}

/// Sane as a `Host`, and not without a name.
fn is_named(host: &str) -> bool {
    !host.is_empty() && !host.starts_with(':') && is_host(host)
}

#[cfg(test)]
mod tests;
