//! The binary form: base64 of an `OrcaLoadReport` in protobuf's wire format, as gRPC sends it in trailers.
//!
//! Only its doubles are looked at; maps and unknown fields are skipped by their lengths. As protobuf wants it, the last of two values of
//! one field counts. Source: <https://protobuf.dev/programming-guides/encoding/>.

use super::{Draft, METRICS, OrcaError, bounded};
use lb_types::LoadReport;

const CUT_OFF: OrcaError = OrcaError::Binary("it is cut off");

/// Reads a value of `endpoint-load-metrics-bin`.
///
/// # Errors
/// It is none; see [`OrcaError`].
pub fn parse_binary(base64: &[u8]) -> Result<LoadReport, OrcaError> {
    bounded(base64)?;
    let message = decode(base64.trim_ascii()).ok_or(OrcaError::Binary("it is not base64"))?;
    let mut left = &message[..];
    let mut draft = Draft::default();
    while !left.is_empty() {
        let tag = varint(&mut left)?;
        match tag & 7 {
            0 => _ = varint(&mut left)?,
            1 => {
                let bytes = take(&mut left, 8)?;
                let value = f64::from_le_bytes(bytes.try_into().map_err(|_| CUT_OFF)?);
                if let Some(metric) = METRICS.iter().position(|m| u64::from(m.2) == tag >> 3) {
                    draft.seen &= !(1 << metric);
                    draft.set(metric, Some(value), || value.to_string())?;
                }
            }
            2 => {
                let length = varint(&mut left)?;
                take(&mut left, usize::try_from(length).map_err(|_| CUT_OFF)?)?;
            }
            5 => _ = take(&mut left, 4)?,
            _ => return Err(OrcaError::Binary("it has a field of an unknown type")),
        }
    }
    Ok(draft.report)
}

fn take<'m>(left: &mut &'m [u8], n: usize) -> Result<&'m [u8], OrcaError> {
    let (taken, rest) = left.split_at_checked(n).ok_or(CUT_OFF)?;
    *left = rest;
    Ok(taken)
}

/// Seven bits a byte, the lowest first; ten bytes at most.
fn varint(left: &mut &[u8]) -> Result<u64, OrcaError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(left, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(OrcaError::Binary("it has a number that is too long"))
}

/// Base64 of the standard alphabet, with padding or without it (gRPC's rule for `-bin`); `None`: it is none.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        let mut word = 0_u32;
        for &c in four {
            let six = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(six);
        }
        let n = match four.len() {
            1 => return None,
            n => n - 1,
        };
        let left_aligned = word << (32 - 6 * four.len());
        bytes.extend_from_slice(&left_aligned.to_be_bytes()[..n]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_with_and_without_padding() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("Zm9vYg==", b"foob")]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes));
        }
        assert_eq!((decode(b"Z"), decode(b"Zm9v!"), decode(b"Z=g=")), (None, None, None));
    }

    /// Packed by Python: cpu_utilization 0.3, rps_fractional 10, eps 1, application_utilization 0.5,
    /// named_metrics {"a": 1}.
    #[test]
    fn a_message_of_protobufs_own() {
        let report =
            parse_binary(b"CTMzMzMzM9M/MQAAAAAAACRAOQAAAAAAAPA/QgwKAWERAAAAAAAA8D9JAAAAAAAA4D8=").unwrap();
        let wanted = LoadReport {
            application_utilization: 0.5,
            cpu_utilization: 0.3,
            rps_fractional: 10.0,
            eps: 1.0,
            ..LoadReport::default()
        };
        assert_eq!(report, wanted);
        assert_eq!(super::super::parse(b"bin CTMzMzMzM9M/").unwrap().cpu_utilization, 0.3);
    }

    #[test]
    fn what_is_cut_off_or_strange_is_an_error() {
        assert_eq!(parse_binary(b"CTMzMw"), Err(CUT_OFF));
        assert_eq!(parse_binary(b"Qg0"), Err(CUT_OFF), "a map that is longer than the message");
        assert_eq!(parse_binary(b"Cw"), Err(OrcaError::Binary("it has a field of an unknown type")));
        assert_eq!(
            parse_binary(b"////////////////"),
            Err(OrcaError::Binary("it has a number that is too long"))
        );
        assert_eq!(
            parse_binary(b"CQAAAAAAAPC/"),
            Err(OrcaError::Value { metric: "cpu_utilization", value: "-1".into() })
        );
    }
}
