//! Cookies as they stand in a request's `Cookie` header: found by name, and taken out byte by byte.
//!
//! The `cookie` crate parses such headers into strings and renders them anew; here the other cookies must reach the backend as the
//! client wrote them, whatever bytes they are of, so the header is only cut at its semicolons (RFC 6265 §5.4).

/// How many cookies of our name are looked at: a client may hold several, from other paths or domains.
pub const SAME_NAME_MAX: usize = 4;

/// The values of the cookies called `name` in one `Cookie` header, the first [`SAME_NAME_MAX`] of them. Names are case-sensitive.
pub fn values<'h, 'n>(header: &'h [u8], name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
    header.split(|&b| b == b';').filter_map(move |pair| value_of(pair, name)).take(SAME_NAME_MAX)
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = pair.iter().position(|&b| b == b'=')?;
    (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
}

/// What is left of a `Cookie` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stripped {
    /// The cookie was not there: send the header as it is.
    Unchanged,
    /// Send this instead; the other cookies are as they were.
    Rest(Vec<u8>),
    /// There was nothing else: send no such header.
    Nothing,
}

/// Takes every cookie called `name` out of one `Cookie` header, and nothing else.
pub fn strip(header: &[u8], name: &str) -> Stripped {
    let ours = |pair: &&[u8]| value_of(pair, name).is_some();
    if !header.split(|&b| b == b';').any(|pair| ours(&pair)) {
        return Stripped::Unchanged;
    }
    let mut rest = Vec::with_capacity(header.len());
    for pair in header.split(|&b| b == b';').filter(|pair| !ours(pair)) {
        if !rest.is_empty() {
            rest.push(b';');
        }
        // The first that stays may have stood behind ours: without the blank before it.
        rest.extend_from_slice(if rest.is_empty() { pair.trim_ascii_start() } else { pair });
    }
    if rest.trim_ascii().is_empty() { Stripped::Nothing } else { Stripped::Rest(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_ours_is_taken_out() {
        let rest = |text: &str| Stripped::Rest(text.as_bytes().to_vec());
        let cases = [
            ("a=1; LB=x; b=2", rest("a=1; b=2")),
            ("LB=x; a=1", rest("a=1")),
            ("a=1; LB=x", rest("a=1")),
            ("a=1;LB=x;b = \"q\" ; c", rest("a=1;b = \"q\" ; c")),
            ("LB=x; LB=y; a=LB=z", rest("a=LB=z")),
            ("LB=x", Stripped::Nothing),
            (" LB = x ; LB=", Stripped::Nothing),
            ("LB", Stripped::Unchanged),
            ("LBX=1; lb=2; XLB=3", Stripped::Unchanged),
            ("", Stripped::Unchanged),
        ];
        for (header, expected) in cases {
            assert_eq!(strip(header.as_bytes(), "LB"), expected, "{header}");
        }
        let bytes = b"a=\xff\x80; LB=x";
        assert_eq!(strip(bytes, "LB"), Stripped::Rest(b"a=\xff\x80".to_vec()));
    }

    #[test]
    fn values_of_one_name_are_bounded() {
        let found: Vec<_> = values(b"LB=1; x=2; LB = 3 ; lb=4; LB=a=b; LB=5; LB=6", "LB").collect();
        assert_eq!(found, [&b"1"[..], b"3", b"a=b", b"5"]);
    }

    proptest! {
        #[test]
        fn after_stripping_none_is_left_and_the_others_are(
            header in "([ab]{1,2}=[a-c=\" ]{0,3}[; ]{0,2}){0,6}",
        ) {
            let others = |header: &[u8]| -> Vec<Vec<u8>> {
                header.split(|&b| b == b';').filter(|p| value_of(p, "a").is_none())
                    .map(|p| p.trim_ascii().to_vec()).filter(|p| !p.is_empty()).collect()
            };
            let before = header.as_bytes();
            match strip(before, "a") {
                Stripped::Unchanged => prop_assert_eq!(values(before, "a").count(), 0),
                Stripped::Nothing => prop_assert!(others(before).is_empty()),
                Stripped::Rest(after) => {
                    prop_assert_eq!(values(&after, "a").count(), 0);
                    prop_assert_eq!(others(&after), others(before));
                }
            }
        }
    }
}
