//! ORCA load reports: what backends say of their load in `endpoint-load-metrics`, a response header or trailer.
//!
//! | form | example |
//! |---|---|
//! | text | `TEXT cpu_utilization=0.3, rps_fractional=120, eps=0.5, named_metrics.queue=3` (the prefix may be left out) |
//! | JSON | `JSON {"cpu_utilization": 0.3, "rpsFractional": 120}` (protobuf's JSON mapping of `OrcaLoadReport`) |
//! | binary | `BIN …`, or a header `endpoint-load-metrics-bin` (gRPC): [`parse_binary`] |
//!
//! Source: xDS's `xds/data/orca/v3/orca_load_report.proto`, Envoy's `orca_parser.cc`, gRPC's A51. Prefixes may be in any case. Metrics
//! that [`LoadReport`] does not have (named metrics, costs, whatever comes later) are ignored; a wrong value, or one metric twice, makes
//! the whole report worthless: it would be a guess which half is right. A report is at most [`REPORT_BYTES_MAX`] long, so that a
//! parse is bounded by it.

mod binary;
mod json;

pub use binary::parse_binary;

use lb_types::LoadReport;

/// The most bytes of a report. Generous: what counts takes less than 200.
pub const REPORT_BYTES_MAX: usize = 4 * 1024;

/// Why a value of `endpoint-load-metrics` is no load report. Texts of the backend's are cut to 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrcaError {
    /// Longer than [`REPORT_BYTES_MAX`].
    #[error("a load report of {0} bytes; at most {REPORT_BYTES_MAX} are read")]
    TooLong(usize),
    /// The text form is not UTF-8.
    #[error("the load report is not UTF-8")]
    NotText,
    /// A part of the text form is not `metric=value`.
    #[error("\"{0}\" is not metric=value")]
    NotAPair(String),
    /// A metric's value is no number, or negative, NaN or infinite.
    #[error("{metric} is \"{value}\"; it must be a number of 0 or more")]
    Value {
        /// Which metric.
        metric: &'static str,
        /// What it is said to be.
        value: String,
    },
    /// A metric stands there twice.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// The JSON form is not a JSON object.
    #[error("bad JSON: {0}")]
    Json(String),
    /// The binary form is not base64 of a protobuf message.
    #[error("bad binary load report: {0}")]
    Binary(&'static str),
}

/// The metrics that count, by their names in text and JSON; then protobuf's JSON name and field number.
const METRICS: [(&str, &str, u32); 5] = [
    ("cpu_utilization", "cpuUtilization", 1),
    ("mem_utilization", "memUtilization", 2),
    ("rps_fractional", "rpsFractional", 6),
    ("eps", "eps", 7),
    ("application_utilization", "applicationUtilization", 9),
];

/// A report while it is read: each metric at most once.
#[derive(Default)]
struct Draft {
    report: LoadReport,
    seen: u8,
}

impl Draft {
    /// Sets a metric; `said` is the value as the backend wrote it.
    fn set(
        &mut self,
        metric: usize,
        value: Option<f64>,
        said: impl FnOnce() -> String,
    ) -> Result<(), OrcaError> {
        let name = METRICS[metric].0;
        if self.seen & (1 << metric) != 0 {
            return Err(OrcaError::Twice(name));
        }
        self.seen |= 1 << metric;
        let Some(value) = value.filter(|v| v.is_finite() && *v >= 0.0) else {
            return Err(OrcaError::Value { metric: name, value: short(&said()) });
        };
        *match metric {
            0 => &mut self.report.cpu_utilization,
            1 => &mut self.report.mem_utilization,
            2 => &mut self.report.rps_fractional,
            3 => &mut self.report.eps,
            _ => &mut self.report.application_utilization,
        } = value;
        Ok(())
    }
}

/// Reads a value of `endpoint-load-metrics`, in whichever form.
///
/// # Errors
/// It is none; see [`OrcaError`].
pub fn parse(value: &[u8]) -> Result<LoadReport, OrcaError> {
    bounded(value)?;
    let value = value.trim_ascii();
    if let Some(json) = after(value, b"JSON ") {
        json::parse(json)
    } else if let Some(base64) = after(value, b"BIN ") {
        parse_binary(base64)
    } else {
        text(after(value, b"TEXT ").unwrap_or(value))
    }
}

fn text(value: &[u8]) -> Result<LoadReport, OrcaError> {
    let text = std::str::from_utf8(value).map_err(|_| OrcaError::NotText)?;
    let mut draft = Draft::default();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| OrcaError::NotAPair(short(pair)))?;
        let (name, value) = (name.trim_end(), value.trim_start());
        if let Some(metric) = METRICS.iter().position(|m| m.0 == name) {
            draft.set(metric, value.parse().ok(), || value.to_owned())?;
        }
    }
    Ok(draft.report)
}

fn bounded(value: &[u8]) -> Result<(), OrcaError> {
    if value.len() > REPORT_BYTES_MAX { Err(OrcaError::TooLong(value.len())) } else { Ok(()) }
}

fn after<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let (head, rest) = value.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| rest.trim_ascii_start())
}

fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<LoadReport, OrcaError> {
        parse(text.as_bytes())
    }

    #[test]
    fn text_in_envoys_forms() {
        let wanted = LoadReport {
            application_utilization: 0.5,
            cpu_utilization: 0.3,
            mem_utilization: 0.8,
            rps_fractional: 10.0,
            eps: 1.0,
        };
        let pairs = "cpu_utilization=0.3, mem_utilization=0.8,rps_fractional=10.0 ,eps=1, application_utilization=5e-1,\
                     named_metrics.custom=0.4, named_metrics.custom=-1, utilization.disk=x";
        for text in [pairs.to_owned(), format!("TEXT {pairs}"), format!(" text   {pairs},")] {
            assert_eq!(of(&text), Ok(wanted), "{text}");
        }
        assert_eq!(of(""), Ok(LoadReport::default()));
        assert_eq!(of("TEXT foo=1").unwrap(), LoadReport::default(), "unknown metrics are ignored");
    }

    #[test]
    fn json_in_both_spellings() {
        let json = r#"JSON {"cpu_utilization": 0.3, "memUtilization": "0.5", "rpsFractional": 12, "eps": null,
            "named_metrics": {"a": [1, {"b": 2}]}, "requestCost": {"x": -1}}"#;
        let report = of(json).unwrap();
        assert_eq!(
            report,
            LoadReport {
                cpu_utilization: 0.3,
                mem_utilization: 0.5,
                rps_fractional: 12.0,
                ..LoadReport::default()
            }
        );
        assert_eq!(of("json {}"), Ok(LoadReport::default()));
    }

    #[test]
    fn wrong_values_name_metric_and_value() {
        let wrong = |metric, value: &str| Err(OrcaError::Value { metric, value: value.to_owned() });
        assert_eq!(of("cpu_utilization=-0.1"), wrong("cpu_utilization", "-0.1"));
        assert_eq!(of("eps=NaN"), wrong("eps", "NaN"));
        assert_eq!(of("TEXT rps_fractional=inf"), wrong("rps_fractional", "inf"));
        assert_eq!(of("mem_utilization=lots"), wrong("mem_utilization", "lots"));
        assert_eq!(of(r#"JSON {"eps": -2.5}"#), wrong("eps", "-2.5"));
        assert_eq!(of(r#"JSON {"cpuUtilization": "Infinity"}"#), wrong("cpu_utilization", "Infinity"));
        assert_eq!(of(r#"JSON {"eps": true}"#), wrong("eps", "true"));
        assert_eq!(of(&format!("eps={}", "9".repeat(400))), wrong("eps", &"9".repeat(32)));
    }

    #[test]
    fn one_metric_twice_is_no_report() {
        assert_eq!(of("eps=1,eps=1"), Err(OrcaError::Twice("eps")));
        assert_eq!(
            of(r#"JSON {"cpu_utilization": 1, "cpuUtilization": 1}"#),
            Err(OrcaError::Twice("cpu_utilization"))
        );
        assert_eq!(of(r#"JSON {"eps": 1, "eps": 2}"#), Err(OrcaError::Twice("eps")));
    }

    #[test]
    fn what_is_no_report_is_an_error_and_never_a_panic() {
        assert_eq!(of("hello"), Err(OrcaError::NotAPair("hello".into())));
        assert_eq!(parse(b"eps=\xff"), Err(OrcaError::NotText));
        assert_eq!(of(&"x".repeat(5_000)), Err(OrcaError::TooLong(5_000)));
        for bad in ["JSON", "JSON [1]", "JSON {\"eps\": 1", "JSON {\"eps\": 1} x", "JSON \u{7f}"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let deep = format!("JSON {{\"a\": {}", "[".repeat(4_000));
        assert!(matches!(of(&deep), Err(OrcaError::Json(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, form in 0usize..4) {
            let mut value = [&b""[..], b"TEXT ", b"JSON ", b"BIN "][form].to_vec();
            value.extend(&bytes);
            let _ = parse(&value);
            let _ = parse_binary(&bytes);
        }

        #[test]
        fn what_is_written_is_read(thousandths in [0u32..1_000_000, 0u32..1_000_000, 0u32..1_000_000]) {
            let [a, b, c] = thousandths.map(|n| f64::from(n) / 1e3);
            let wanted = LoadReport { application_utilization: a, rps_fractional: b, eps: c, ..LoadReport::default() };
            let text = format!("application_utilization={a},rps_fractional={b},eps={c}");
            proptest::prop_assert_eq!(of(&text), Ok(wanted));
            let json = format!("JSON {{\"application_utilization\":{a},\"rps_fractional\":{b},\"eps\":{c}}}");
            proptest::prop_assert_eq!(of(&json), Ok(wanted));
        }
    }
}
