//! Which clients take part in a split of traffic: a fixed point for each.
//!
//! A client's **point** is `⌊h · 10 000 / 2⁶⁴⌋` of the first 64 bits `h` of SHA-256 over salt and client: a number of hundredths of a percent, the
//! same on every node and for ever, uniform, and independent between salts. A cohort of `p` percent is who has a point below `100 · p`:
//! while `p` grows, clients only come in, and nobody moves back.
//!
//! **With affinity.** The split picks the pool by [`client`] and [`point`], and each pool has its own [`SessionManager`](crate::SessionManager),
//! which ignores the other's cookies as [foreign](crate::Ignored::Foreign). So a client that is not taken across keeps its backend, and
//! one that is begins a session in the other pool and keeps that. Its point must not come of a pool's session, which ends when
//! it is taken across: it comes of its address, of a header, or of a cookie of the split's own.

use crate::SessionId;
use crate::key::{AffinityKind, HEADER_VALUE_BYTES_MAX, derive, id_of_header, id_of_ip};
use lb_types::RequestInfo;

/// Points are below this: hundredths of a percent.
pub const POINTS: u32 = 10_000;

/// No pool is called so: ids of clients are no ids of sessions.
const NO_POOL: &str = "";

/// Who the request's client is, by address, by the header or by the cookie of this name; `None` if that is not there. (Then draw an id,
/// and for a cookie set it, as 32 hexadecimal digits, to be recognised from then on.)
///
/// The cookie is not sealed: a client can be new whenever it likes, so a seal would keep it from no cohort.
pub fn client(kind: AffinityKind, name: &str, request: &RequestInfo<'_>) -> Option<SessionId> {
    match kind {
        AffinityKind::IpHash => request.client_ip.map(|ip| id_of_ip(NO_POOL, ip)),
        AffinityKind::Header => {
            let value = request.headers.header(name)?.trim_ascii();
            let fits = (1..=HEADER_VALUE_BYTES_MAX).contains(&value.len());
            fits.then(|| id_of_header(NO_POOL, value))
        }
        AffinityKind::Cookie => std::str::from_utf8(request.cookie(name)?).ok()?.parse().ok(),
    }
}

/// The client's point under this salt, below [`POINTS`]. One salt for each split, such as its name, so that not the same clients go first
/// in all.
pub fn point(client: SessionId, salt: &str) -> u32 {
    let hash = derive(salt, b"cohort", &client.0).as_u64();
    // No remainder, no bias: each point has ⌊2⁶⁴ / 10 000⌋ hashes, or one more.
    ((u128::from(hash) * u128::from(POINTS)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> SessionId {
        SessionId::from_random(n.into())
    }

    /// χ² of how evenly `values` spread over 100 bins.
    fn chi_square(values: impl ExactSizeIterator<Item = u32>) -> f64 {
        let expected = values.len() as f64 / 100.0;
        let mut bins = [0u32; 100];
        values.for_each(|value| bins[value as usize] += 1);
        bins.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum()
    }

    /// With 99 degrees of freedom: who is uniform exceeds it once in 10 000 times, and these inputs are fixed.
    const CHI_SQUARE_MAX: f64 = 161.3;

    #[test]
    fn points_are_uniform_and_fixed() {
        for salt in ["", "checkout", "b"] {
            assert!(chi_square((0..100_000).map(|n| point(id(n), salt) / 100)) < CHI_SQUARE_MAX, "{salt}");
        }
        let of_ips = (0..100_000u32).map(|n| point(id_of_ip(NO_POOL, n.to_be_bytes().into()), "s") / 100);
        assert!(chi_square(of_ips) < CHI_SQUARE_MAX);
        // Computed apart from this code. For ever: whoever is in a cohort stays in it over updates.
        assert_eq!([1, 2, 3].map(|n| point(id(n), "checkout")), [3812, 9248, 9370]);
    }

    #[test]
    fn salts_are_independent() {
        // Deciles under two salts, side by side: each of the 100 pairs as often as the others.
        let pairs = (0..100_000).map(|n| point(id(n), "one") / 1_000 * 10 + point(id(n), "two") / 1_000);
        assert!(chi_square(pairs) < CHI_SQUARE_MAX);
    }

    #[test]
    fn clients_are_found() {
        let headers = [
            ("x-user", " ann "),
            ("cookie", "a=1"),
            ("cookie", "c=000000000000000000000000000000ff; bad=xyz"),
        ];
        let request = RequestInfo { headers: &headers, ..RequestInfo::from_ip([192, 0, 2, 7].into()) };
        let of = |kind, name| client(kind, name, &request);
        assert_eq!(of(AffinityKind::Cookie, "c"), Some(id(255)));
        assert_eq!(of(AffinityKind::Cookie, "bad"), None);
        assert_eq!(of(AffinityKind::Header, "x-user"), Some(id_of_header("", b"ann")));
        assert_eq!(of(AffinityKind::Header, "x-none"), None);
        assert_eq!(of(AffinityKind::IpHash, ""), Some(id_of_ip("", [192, 0, 2, 7].into())));
        assert_eq!(client(AffinityKind::IpHash, "", &RequestInfo::default()), None);
    }
}
