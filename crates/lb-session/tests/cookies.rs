//! Cookies that do not count, each for its reason; and none that is not sealed by us counts.

use lb_session::cookie::seal::{BACKEND_BYTES_MAX, POOL_BYTES_MAX, VALUE_BYTES_MAX};
use lb_session::{Ignored, Opened, Sealer, Secret, SessionId, Ticket};
use lb_types::BackendId;
use proptest::prelude::*;

const NOW: u32 = 1_800_000_000;

fn secret(n: u8) -> Secret {
    Secret::new([n; 32]).unwrap()
}

fn sealer(pool: &str, secrets: &[u8]) -> Sealer {
    Sealer::new(pool, &secrets.iter().map(|&n| secret(n)).collect::<Vec<_>>()).unwrap()
}

fn ticket() -> Ticket {
    Ticket {
        session: SessionId::from_random(42),
        backend: "10.0.0.7:8080".into(),
        created: NOW - 100,
        issued: NOW,
        epoch: 3,
    }
}

#[test]
fn what_is_sealed_is_opened_and_shows_nothing() {
    let sealer = sealer("shop", &[1]);
    let value = sealer.seal(&ticket()).unwrap();
    assert_eq!(sealer.open(value.as_bytes()), Ok(Opened { ticket: ticket(), old_secret: false }));
    assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{value}");
    assert_eq!(value.len(), 82);
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&value).unwrap();
    for part in [&b"10.0.0.7"[..], b"shop", &ticket().session.0] {
        assert!(!raw.windows(part.len()).any(|w| w == part), "a part of the ticket stands open");
    }
}

/// Computed apart from this code, by the formula in the documentation: a node of any later version must open it, or say why it does not in its release notes.
#[test]
fn the_format_is_fixed() {
    let value = sealer("shop", &[1]).seal(&ticket()).unwrap();
    assert_eq!(value, "AW60nXZGAx01F1SASb_wFfiiaU3MxEsaqdadbiuwfi_aZs1PXJg-24H8WCPYXIW2tWAo4_qMFJ4kECLOSQ");
}

#[test]
fn what_does_not_count_has_its_reason() {
    let ours = sealer("shop", &[1]);
    let value = ours.seal(&ticket()).unwrap();
    let mut other_version = value.clone();
    other_version.replace_range(0..1, "B"); // version 5
    let cases: Vec<(String, Ignored)> = vec![
        (String::new(), Ignored::Malformed),
        ("abc".into(), Ignored::Malformed),
        (value[..40].into(), Ignored::Malformed),
        (value[..value.len() - 2].into(), Ignored::Forged),
        (format!("{value}A"), Ignored::Forged),
        (format!("{value}AA"), Ignored::Forged),
        (format!("{value}=="), Ignored::Malformed),
        (format!("\"{value}\""), Ignored::Malformed),
        (value.replace(['-', '_'], "+"), Ignored::Malformed),
        (other_version, Ignored::Malformed),
        ("A".repeat(VALUE_BYTES_MAX + 1), Ignored::TooLong),
        ("AQ".repeat(VALUE_BYTES_MAX / 2), Ignored::Forged),
        (sealer("shop", &[2]).seal(&ticket()).unwrap(), Ignored::Forged),
        (sealer("admin", &[1]).seal(&ticket()).unwrap(), Ignored::Foreign),
        (sealer("admin", &[2]).seal(&ticket()).unwrap(), Ignored::Forged),
    ];
    for (value, why) in cases {
        assert_eq!(ours.open(value.as_bytes()), Err(why), "{value}");
    }
    assert_eq!(ours.open(b"\xff\x00\r\n"), Err(Ignored::Malformed));
}

#[test]
fn age_counts() {
    let check = |t: &Ticket, now| t.check_age(now, 3600, Some(86_400));
    let t = ticket();
    assert_eq!(check(&t, NOW), Ok(()));
    assert_eq!(check(&t, NOW + 3600), Ok(()));
    assert_eq!(check(&t, NOW + 3601), Err(Ignored::Expired));
    assert_eq!(check(&t, NOW - 60), Ok(()), "clocks differ");
    assert_eq!(check(&t, NOW - 61), Err(Ignored::NotYet));
    let old = Ticket { created: NOW - 86_401, ..t };
    assert_eq!(check(&old, NOW), Err(Ignored::Expired), "however young the cookie is");
    assert_eq!(old.check_age(NOW, 3600, None), Ok(()));
}

#[test]
fn secrets_rotate() {
    let before = sealer("shop", &[1]).seal(&ticket()).unwrap();
    let during = sealer("shop", &[2, 1]);
    assert_eq!(during.open(before.as_bytes()), Ok(Opened { ticket: ticket(), old_secret: true }));
    let renewed = during.seal(&ticket()).unwrap();
    assert_eq!(during.open(renewed.as_bytes()).map(|o| o.old_secret), Ok(false));
    let after = sealer("shop", &[2]);
    assert_eq!(after.open(before.as_bytes()), Err(Ignored::Forged));
    assert_eq!(after.open(renewed.as_bytes()).map(|o| o.ticket), Ok(ticket()));
    assert_ne!(before, renewed);
}

#[test]
fn bounds_are_named() {
    let error = |r: Result<Sealer, lb_session::SettingsError>| r.unwrap_err().to_string();
    assert_eq!(
        Secret::new("short").unwrap_err().to_string(),
        "secret = (5 bytes): must have 16 to 1024 bytes"
    );
    assert!(Secret::new(vec![0; 1025]).is_err());
    assert_eq!(error(Sealer::new("p", &[])), "secret = (0 secrets): must be 1 to 8");
    assert_eq!(error(Sealer::new("p", &vec![secret(1); 9])), "secret = (9 secrets): must be 1 to 8");
    assert_eq!(error(Sealer::new("", &[secret(1)])), "pool = \"\": must have 1 to 255 bytes");
    let long = Ticket { backend: "b".repeat(BACKEND_BYTES_MAX + 1).into(), ..ticket() };
    assert_eq!(sealer("p", &[1]).seal(&long).unwrap_err().bytes, 256);
    let longest = Ticket { backend: "b".repeat(BACKEND_BYTES_MAX).into(), ..ticket() };
    let longest_value = sealer(&"p".repeat(POOL_BYTES_MAX), &[1]).seal(&longest).unwrap();
    assert_eq!(longest_value.len(), VALUE_BYTES_MAX);
    assert_eq!(format!("{:?}", secret(1)), "Secret(…)");
}

fn tickets() -> impl Strategy<Value = Ticket> {
    (any::<u128>(), ".{0,60}", any::<u32>(), any::<u32>(), any::<u16>()).prop_map(
        |(session, backend, created, issued, epoch)| Ticket {
            session: SessionId::from_random(session),
            backend: BackendId::from(backend),
            created,
            issued,
            epoch,
        },
    )
}

proptest! {
    #[test]
    fn open_undoes_seal(ticket in tickets(), pool in ".{1,40}") {
        let sealer = sealer(&pool, &[1]);
        let value = sealer.seal(&ticket).unwrap();
        prop_assert_eq!(sealer.open(value.as_bytes()), Ok(Opened { ticket, old_secret: false }));
    }

    /// Also the bits that decode to nothing: each ticket has one spelling.
    #[test]
    fn any_flipped_bit_is_ignored(ticket in tickets(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let sealer = sealer("shop", &[1, 2]);
        let mut value = sealer.seal(&ticket).unwrap().into_bytes();
        let at = at.index(value.len());
        value[at] ^= 1 << bit;
        prop_assert!(matches!(sealer.open(&value), Err(Ignored::Forged | Ignored::Malformed)));
    }

    #[test]
    fn noise_is_ignored(value in any::<Vec<u8>>(), text in "[A-Za-z0-9_-]{0,200}") {
        let sealer = sealer("shop", &[1]);
        prop_assert!(sealer.open(&value).is_err());
        prop_assert!(sealer.open(text.as_bytes()).is_err());
    }

    #[test]
    fn any_cut_is_ignored(ticket in tickets(), at in any::<prop::sample::Index>()) {
        let sealer = sealer("shop", &[1]);
        let value = sealer.seal(&ticket).unwrap();
        prop_assert!(sealer.open(&value.as_bytes()[..at.index(value.len())]).is_err());
        prop_assert!(sealer.open(&value.as_bytes()[at.index(value.len()) + 1..]).is_err());
    }
}
