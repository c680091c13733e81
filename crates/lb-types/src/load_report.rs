//! What a backend says of its own load (ORCA, the Open Request Cost Aggregation of Envoy, gRPC and xDS).

/// One report of a backend's load. Names are those of ORCA's `OrcaLoadReport`; what was not reported is 0, as there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LoadReport {
    /// What the application calls its utilization; 1.0 = full, more is possible. Where it is above 0 it counts before `cpu_utilization`.
    pub application_utilization: f64,
    /// CPU in use; 1.0 = all of what it may have.
    pub cpu_utilization: f64,
    /// Memory in use, 0–1.
    pub mem_utilization: f64,
    /// Requests per second that it serves.
    pub rps_fractional: f64,
    /// Errors per second among them.
    pub eps: f64,
}
