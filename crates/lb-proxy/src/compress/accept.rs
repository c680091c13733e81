//! `Accept-Encoding` (RFC 9110 §12.5.3): which coding a client gets.
//!
//! Weights are whole thousandths. Items that are not well-formed are passed over, of two for one coding the first counts, and `*` stands for
//! what is not named. Without the header, or where it is empty, nothing is encoded: clients that say nothing often understand nothing. A
//! client that takes none of what there is and forbids `identity` as well gets it unencoded all the same (the RFC leaves that open): a
//! response that it may not like beats a 406.

use super::Coding;

/// What is offered (the best first), by the weight that the client gives it; `None`: it prefers the body as it is, or takes nothing else.
pub(crate) fn choose<'v>(values: impl Iterator<Item = &'v [u8]>, offered: &[Coding]) -> Option<Coding> {
    let mut named: [Option<u16>; 3] = [None; 3];
    let (mut any, mut identity) = (None, None);
    for item in values.flat_map(|value| value.split(|&b| b == b',')) {
        let Some((name, weight)) = item_of(item) else { continue };
        let slot = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            &mut named[Coding::Gzip.index()]
        } else if name.eq_ignore_ascii_case(b"br") {
            &mut named[Coding::Brotli.index()]
        } else if name.eq_ignore_ascii_case(b"zstd") {
            &mut named[Coding::Zstd.index()]
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut identity
        } else if name == b"*" {
            &mut any
        } else {
            continue;
        };
        slot.get_or_insert(weight);
    }
    let mut best: Option<(u16, Coding)> = None;
    for &coding in offered {
        let weight = named[coding.index()].or(any).unwrap_or(0);
        if weight > best.map_or(0, |(w, _)| w) {
            best = Some((weight, coding));
        }
    }
    best.filter(|(weight, _)| identity.is_none_or(|as_it_is| as_it_is <= *weight)).map(|(_, coding)| coding)
}

/// `NAME [;q=WEIGHT]`, the weight in thousandths; `None`: it is nothing of the kind.
fn item_of(item: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = item.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_at_checked(2)?;
        if !key.eq_ignore_ascii_case(b"q=") {
            return None;
        }
        weight = weight_of(value)?;
    }
    Some((name, weight))
}

/// `0`, `0.5`, `1.000`: at most three digits behind the point, and none above one.
fn weight_of(text: &[u8]) -> Option<u16> {
    let (&whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths =
        digits.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    const ALL: [Coding; 3] = [Zstd, Brotli, Gzip];

    fn of(text: &str) -> Option<Coding> {
        choose([text.as_bytes()].into_iter(), &ALL)
    }

    #[test]
    fn the_table() {
        for (text, coding) in [
            ("", None),
            ("gzip", Some(Gzip)),
            ("GZip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("br;q=0.5, gzip;q=0.501", Some(Gzip)),
            ("br ; q=0.5 , gzip;Q=0.5", Some(Brotli)),
            ("deflate", None),
            ("*", Some(Zstd)),
            ("*;q=0.5, gzip", Some(Gzip)),
            ("*, zstd;q=0", Some(Brotli)),
            ("*;q=0, gzip;q=0.1", Some(Gzip)),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=1.000", Some(Gzip)),
            ("identity", None),
            ("identity, gzip", Some(Gzip)),
            ("identity;q=1, gzip;q=0.9", None),
            ("identity;q=0, deflate", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            // Garbage is passed over.
            ("gzip;q=2, br;q=0.1", Some(Brotli)),
            ("gzip;q=0.1234", None),
            ("gzip;q=, ;;, ,=, br;q=-1", None),
            ("gzip;level=9", None),
            ("gzip;q", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0, gzip", None),
            ("gzipp, gz", None),
            ("\u{e4}, gzip", Some(Gzip)),
        ] {
            assert_eq!(of(text), coding, "{text:?}");
        }
        let lines = [&b"br;q=0.2"[..], b"gzip;q=0.4"];
        assert_eq!(choose(lines.into_iter(), &ALL), Some(Gzip), "several lines are one");
        assert_eq!(choose([&b"br, gzip"[..]].into_iter(), &[Zstd]), None);
        assert_eq!(choose([&b"zstd, br, gzip"[..]].into_iter(), &[Gzip, Zstd]), Some(Gzip), "our order");
    }

    proptest! {
        #[test]
        fn garbage_is_survived_and_gives_nothing_that_is_not_named(
            text in proptest::collection::vec(any::<u8>(), 0..80)
        ) {
            let chosen = choose([&text[..]].into_iter(), &ALL);
            if let Some(coding) = chosen {
                let lower = text.to_ascii_lowercase();
                let has = |word: &[u8]| lower.windows(word.len()).any(|w| w == word);
                prop_assert!(has(coding.as_str().as_bytes()) || has(b"*"));
            }
        }

        #[test]
        fn of_what_is_named_the_heaviest_wins(
            weights in [0u16..=1000, 0u16..=1000, 0u16..=1000], identity in proptest::option::of(0u16..=1000),
            junk in "[ a-z;=.0-9]{0,12}",
        ) {
            let show = |w: u16| if w == 1000 { "1".to_owned() } else { format!("0.{w:03}") };
            let mut items: Vec<_> =
                ALL.iter().zip(weights).map(|(c, w)| format!("{};q={}", c.as_str(), show(w))).collect();
            items.extend(identity.map(|w| format!("identity;q={}", show(w))));
            items.push(format!("x{junk}"));
            let best = *weights.iter().max().unwrap();
            let expected = ALL[weights.iter().position(|&w| w == best).unwrap()];
            let wanted = best > 0 && identity.is_none_or(|w| w <= best);
            prop_assert_eq!(of(&items.join(", ")), wanted.then_some(expected));
        }
    }
}
