//! A request's id: told to the backend, to the client, and to who looks for it in logs.
//!
//! 128 random bits as 32 hexadecimal digits. It names a request and proves nothing: it is no secret. An id that came is kept if its sender is trusted and
//! it is sane: once, 1 to [`ID_BYTES_MAX`] visible characters. Else it is replaced, so that nobody can give two requests one id.

use crate::proxy::Client;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The longest id that is kept.
const ID_BYTES_MAX: usize = 128;

/// Whose ids are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdTrust {
    /// Those of trusted proxies.
    #[default]
    TrustedProxies,
    /// Everybody's.
    Always,
    /// Nobody's.
    Never,
}

/// How requests get ids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestIds {
    /// The header; default `X-Request-Id`.
    pub header: HeaderName,
    /// Whose ids are kept.
    pub trust: IdTrust,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { header: HeaderName::from_static("x-request-id"), trust: IdTrust::default() }
    }
}

impl RequestIds {
    /// The request's id, which stands in its headers from now on.
    pub(crate) fn assign(&self, headers: &mut HeaderMap, client: &Client) -> HeaderValue {
        let trusted = match self.trust {
            IdTrust::TrustedProxies => client.trust.is_some(),
            IdTrust::Always => true,
            IdTrust::Never => false,
        };
        if trusted {
            let mut lines = headers.get_all(&self.header).iter();
            if let Some(id) = lines.next().filter(|id| lines.next().is_none() && is_sane(id)) {
                return id.clone();
            }
        }
        let id = random(fastrand::u128(..));
        headers.insert(&self.header, id.clone());
        id
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn random(bits: u128) -> HeaderValue {
    let mut text = [0; 32];
    for (digit, byte) in text.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        digit[0] = HEX[usize::from(byte >> 4)];
        digit[1] = HEX[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&text).expect("digits and letters are a header's value")
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::ClientLimits;
    use crate::trust::{ForwardingHeader, TrustedPeers};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn only_who_is_trusted_names_a_request() {
        let proxies = lb_geo::TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        let peers = Arc::new(TrustedPeers { proxies, header: ForwardingHeader::default() });
        let kept = |trust, ip: &str, ids: &[&str]| {
            let limits = ClientLimits::timeouts(Duration::ZERO, Duration::ZERO);
            let client = Client::new(ip.parse().ok(), Some(&peers), limits.into());
            let settings = RequestIds { trust, ..RequestIds::default() };
            let mut headers: HeaderMap =
                ids.iter().map(|id| (settings.header.clone(), HeaderValue::from_str(id).unwrap())).collect();
            let id = settings.assign(&mut headers, &client);
            assert_eq!(headers.get_all(&settings.header).iter().collect::<Vec<_>>(), [&id]);
            let is_own = id.len() == 32 && id.as_bytes().iter().all(u8::is_ascii_hexdigit);
            assert!(is_own || id == ids[0], "{id:?}");
            !is_own
        };
        assert!(kept(IdTrust::TrustedProxies, "10.0.0.1", &["abc-7"]));
        assert!(!kept(IdTrust::TrustedProxies, "192.0.2.1", &["abc-7"]));
        assert!(!kept(IdTrust::Never, "10.0.0.1", &["abc-7"]));
        assert!(kept(IdTrust::Always, "none", &["abc-7"]));
        for insane in [&["a b"][..], &[""], &["a", "b"], &[], &["x".repeat(129).as_str()]] {
            assert!(!kept(IdTrust::Always, "10.0.0.1", insane), "{insane:?}");
        }
    }

    #[test]
    fn an_id_is_all_of_its_bits() {
        assert_eq!(random(0x0123_4567_89ab_cdef_u128), "00000000000000000123456789abcdef");
        assert_ne!(random(fastrand::u128(..)), random(fastrand::u128(..)));
    }
}
