//! Why did (or would) a request go there? The pick's own function with a recorder attached.

use lb_types::{BackendId, Exclusion};

/// What a pick writes down when it is asked to: by member index of the snapshot.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Turns taken from the pool's cursor: read ahead instead of advanced.
    pub(crate) turns: usize,
    /// The levels that were asked, in order.
    pub(crate) levels: Vec<usize>,
    /// What was found out about members during the pick, in order.
    pub(crate) refused: Vec<(u32, Exclusion)>,
}

/// One backend's part in a decision.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Candidate {
    /// Which backend.
    pub id: BackendId,
    /// Its weight, as it stood in this decision: slow start included, where one backend ramps all are scaled by 100.
    pub weight: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Why it could not take the request; `None`: it could.
    pub excluded: Option<Exclusion>,
    /// What the algorithm compares, lower is better; `None` where it compares nothing (rotation, look-up).
    pub score: Option<f64>,
}

/// Something that was decided before a backend was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Step {
    /// What about: `location`, `region`, `pool`, `session`, `cache`.
    pub about: &'static str,
    /// What, and why.
    pub what: String,
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The algorithm's name.
    pub algorithm: &'static str,
    /// The snapshot's generation.
    pub generation: u64,
    /// `true`: active health is ignored, for too few backends are healthy.
    pub panic: bool,
    /// `true`: ejections are ignored, for they have taken the last that was usable.
    pub ignores_ejections: bool,
    /// The hash of the request's key, where the algorithm uses one.
    pub key: Option<u64>,
    /// What was decided before, in order: whose request it is, and which region's, say.
    pub steps: Vec<Step>,
    /// The region whose backends serve the request, where the pool has regions.
    pub region: Option<String>,
    /// Every backend of the pool, in the pool's order.
    pub candidates: Vec<Candidate>,
    /// Who was picked.
    pub picked: Option<BackendId>,
    /// Why nobody was.
    pub error: Option<String>,
}

impl std::fmt::Display for Explanation {
    /// A line a candidate, the picked one marked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (generation {}", self.algorithm, self.generation)?;
        if self.panic {
            f.write_str(", panic: active health is ignored")?;
        }
        if self.ignores_ejections {
            f.write_str(", ejections are ignored: nobody else is left")?;
        }
        f.write_str(")")?;
        for step in &self.steps {
            write!(f, "\n  {}: {}", step.about, step.what)?;
        }
        for c in &self.candidates {
            let mark = if self.picked.as_ref() == Some(&c.id) { "→" } else { " " };
            write!(f, "\n{mark} {}  weight {}  in flight {}", c.id, c.weight, c.in_flight)?;
            if let Some(score) = c.score {
                write!(f, "  score {score:.4}")?;
            }
            if let Some(why) = c.excluded {
                write!(f, "  excluded: {why}")?;
            }
        }
        match &self.error {
            Some(e) => write!(f, "\n{e}"),
            None => Ok(()),
        }
    }
}
