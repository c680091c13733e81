//! The JSON form: protobuf's mapping, in which a number may stand in quotes and `null` means the default.

use super::{Draft, METRICS, OrcaError, short};
use lb_types::LoadReport;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

pub(super) fn parse(json: &[u8]) -> Result<LoadReport, OrcaError> {
    let bad = |e: serde_json::Error| OrcaError::Json(short(&e.to_string()));
    let mut reader = serde_json::Deserializer::from_slice(json);
    let report = reader.deserialize_map(Metrics).map_err(bad)?;
    reader.end().map_err(bad)?;
    report
}

/// Takes the metrics that count out of an object. A map would keep the last of two values of one name; this sees both.
struct Metrics;

impl<'de> Visitor<'de> for Metrics {
    type Value = Result<LoadReport, OrcaError>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of metrics")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut draft = Draft::default();
        let mut error = None;
        while let Some(name) = map.next_key::<String>()? {
            match METRICS.iter().position(|m| m.0 == name || m.1 == name) {
                Some(metric) => {
                    let value: Value = map.next_value()?;
                    error = error.or(set(&mut draft, metric, &value).err());
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(error.map_or(Ok(draft.report), Err))
    }
}

fn set(draft: &mut Draft, metric: usize, value: &Value) -> Result<(), OrcaError> {
    let number = match value {
        Value::Null => Some(0.0),
        Value::String(s) => s.parse().ok(),
        other => other.as_f64(),
    };
    let said = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    draft.set(metric, number, said)
}
