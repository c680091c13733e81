//! `edge-lb split` and `edge-lb rollout`.

use super::AdminArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SplitCommand {
    /// List the splits, and what each target gets
    List {
        /// As JSON, as the admin API gives it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show one: targets, what came of their requests, the shift under way, the last changes
    Show {
        /// The split
        name: String,
        /// As JSON, as the admin API gives it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Set the percentages, at once or gradually; a target that is left out gets nothing
    ///
    /// For example: `edge-lb split set checkout blue=50 green=50 --over 10m`
    Set {
        /// The split
        name: String,
        /// What each target gets
        #[arg(required = true, value_name = "POOL=PERCENT", value_parser = share)]
        shares: Vec<(String, f64)>,
        /// Gradually, within this time: 1s to 30d
        #[arg(long, value_name = "TIME")]
        over: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Give everything to one target, at once
    Switch {
        /// The split
        name: String,
        /// The target
        target: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Give the last target this much, at once; the first has the rest
    Canary {
        /// The split
        name: String,
        /// How much
        percent: f64,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Let a shift stand still
    Pause(SplitTarget),
    /// Let a paused shift go on
    Resume(SplitTarget),
    /// Give a shift up: back at once to where it began
    Abort(SplitTarget),
}

/// Which split.
#[derive(Args, Debug)]
pub(crate) struct SplitTarget {
    /// The split
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Begin a guarded rollout of the split's last target; what is not said here is as configured
    ///
    /// For example: `edge-lb rollout start checkout --step 5=10m --step 50=10m --error-difference-max 0.01`
    Start(Box<RolloutStart>),
    /// Show how it stands
    ///
    /// Exit codes: 0 none, under way or promoted; 1 rolled back, inconclusive or overtaken
    Status {
        /// The split
        name: String,
        /// As JSON, as the admin API gives it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Give it as long as its patience again
    Extend(SplitTarget),
    /// End it: the first target has all again
    Abort(SplitTarget),
}

#[derive(Args, Debug)]
pub(crate) struct RolloutStart {
    /// The split
    pub(crate) name: String,

    /// A step: what the last target gets, and for how long at least; may be repeated
    #[arg(long, value_name = "PERCENT=TIME", value_parser = step)]
    pub(crate) step: Vec<(f64, String)>,

    /// How much above the old side's error rate the new side's may be, 0 to 0.5; `none`: errors are not judged
    #[arg(long, value_name = "SHARE", value_parser = difference)]
    pub(crate) error_difference_max: Option<Difference>,

    /// How many times the old side's latency the new side's may be, at the quantile
    #[arg(long, value_name = "N")]
    pub(crate) latency_ratio_max: Option<f64>,

    /// Which quantile of latency [default: 0.95]
    #[arg(long, value_name = "Q", requires = "latency_ratio_max")]
    pub(crate) latency_quantile: Option<f64>,

    /// So many requests of each side before a step ends
    #[arg(long, value_name = "N")]
    pub(crate) requests_min: Option<u64>,

    /// How much longer than its duration a step may wait
    #[arg(long, value_name = "TIME")]
    pub(crate) patience: Option<String>,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// A bound, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference(pub(crate) Option<f64>);

fn difference(text: &str) -> Result<Difference, String> {
    if text == "none" {
        return Ok(Difference(None));
    }
    let number = text.parse().map_err(|_| "it must be a number such as 0.005, or none")?;
    Ok(Difference(Some(number)))
}

fn share(text: &str) -> Result<(String, f64), String> {
    let wrong = || "it must be POOL=PERCENT, such as green=10".to_owned();
    let (pool, percent) = text.rsplit_once('=').filter(|(pool, _)| !pool.is_empty()).ok_or_else(wrong)?;
    Ok((pool.to_owned(), percent.parse().map_err(|_| wrong())?))
}

fn step(text: &str) -> Result<(f64, String), String> {
    let wrong = || "it must be PERCENT=TIME, such as 5=10m".to_owned();
    let (percent, time) = text.split_once('=').filter(|(_, time)| !time.is_empty()).ok_or_else(wrong)?;
    Ok((percent.parse().map_err(|_| wrong())?, time.to_owned()))
}
