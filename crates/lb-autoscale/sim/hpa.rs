//! The algorithm of Kubernetes' HorizontalPodAutoscaler (v2), with its defaults.
//!
//! Every 15 s: `desired = ceil(ready · ratio)` with `ratio = metric / target`, nothing within a tenth of the target. A pod that is not
//! ready, or was not all the time that the metrics are of, counts as unused when it would go up (resource metrics). Up by the larger of 100 % and 4 pods per 15 s, at once; down to the highest
//! recommendation of the last 300 s. Without metrics nothing changes. The Deployment replaces what died by itself, as the
//! number it was given stands.
//!
//! What it knows of: by [`Source::Cpu`], the mean CPU of the 15 s before the last scrape, scraped every 15 s, so 7–22 s old at its
//! middle (in a cluster kubelet's own sampling adds some 10 s more); by [`Source::Requests`], in-flight and queued requests as an
//! external metric (`desired = ceil(sum / target of a pod)`), just as old; by [`Source::Fresh`] the same of this very moment, which
//! no real one has. Both phases within the 15 s are the seed's.

use super::contender::Contender;
use super::shape::Shape;
use super::world::{INSTANCES, RATE, SERVICE_S, SLOTS, Second, TARGET};
use std::collections::VecDeque;

const SYNC_S: usize = 15;
const SCRAPE_S: usize = 15;
const TOLERANCE: f64 = 0.1;
const STABILIZATION_S: usize = 300;

/// What it looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Cpu,
    Requests,
    Fresh,
}

/// One autoscaler.
pub(crate) struct Hpa {
    source: Source,
    /// When it syncs and scrapes, within the 15 s; chance, in a real one.
    sync_phase: usize,
    scrape_phase: usize,
    replicas: u32,
    /// Seconds since the last scrape, as far as anything is known of them.
    since_scrape: Vec<Second>,
    last_scrape: Option<Vec<Second>>,
    pods: (u32, u32),
    recommended: VecDeque<(usize, u32)>,
    /// Nobody gets metrics now.
    blind: bool,
}

impl Hpa {
    pub(crate) fn new(source: Source, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x4b8);
        Self {
            source,
            sync_phase: rng.usize(0..SYNC_S),
            scrape_phase: rng.usize(0..SCRAPE_S),
            replicas: 0,
            since_scrape: Vec::new(),
            last_scrape: None,
            pods: (0, 0),
            recommended: VecDeque::new(),
            blind: false,
        }
    }

    /// The plain recommendation; `None`: no metrics.
    fn recommend(&self) -> Option<u32> {
        if self.blind {
            return None;
        }
        let seconds = self.last_scrape.as_ref().filter(|seconds| !seconds.is_empty())?;
        let mean = |of: fn(&Second) -> f64| seconds.iter().map(of).sum::<f64>() / seconds.len() as f64;
        if self.source == Source::Cpu {
            let cpu = mean(|s| if s.ready == 0 { 0.0 } else { s.served / (f64::from(s.ready) * RATE) });
            let measured = seconds.iter().map(|s| s.ready).min().unwrap_or(0);
            return Some(self.by_resource(cpu, measured));
        }
        let requests = mean(|s| s.served * SERVICE_S + s.queued);
        let ratio = requests / (SLOTS * TARGET * f64::from(self.replicas));
        if (ratio - 1.0).abs() <= TOLERANCE {
            return Some(self.replicas);
        }
        Some((requests / (SLOTS * TARGET) - 1e-9).ceil() as u32)
    }

    /// `measured`: how many pods were ready all the time that the metrics are of. Others count as not ready yet.
    fn by_resource(&self, cpu: f64, measured: u32) -> u32 {
        let pods = self.pods.0 + self.pods.1;
        let ready = measured.min(self.pods.0);
        let ratio = cpu / TARGET;
        if ready == pods || ratio < 1.0 {
            if (ratio - 1.0).abs() <= TOLERANCE {
                return self.replicas;
            }
            return (ratio * f64::from(ready) - 1e-9).ceil() as u32;
        }
        // Those that are not ready count as unused, so that it does not ask for the same twice.
        let ratio = ratio * f64::from(ready) / f64::from(pods);
        if ratio <= 1.0 + TOLERANCE {
            return self.replicas;
        }
        ((ratio * f64::from(pods) - 1e-9).ceil() as u32).max(self.replicas)
    }
}

impl Contender for Hpa {
    fn first(&mut self, shape: &Shape) -> u32 {
        self.replicas = super::world::needed(shape.rps[0]);
        self.recommended.push_back((0, self.replicas));
        self.replicas
    }

    fn watch(&mut self, now: usize, second: Option<&Second>) {
        self.blind = second.is_none();
        if let Some(second) = second {
            self.pods = (second.ready, second.starting);
        }
        if self.source == Source::Fresh {
            self.last_scrape = second.map(|second| vec![*second]);
            return;
        }
        self.since_scrape.extend(second);
        if now % SCRAPE_S == self.scrape_phase {
            self.last_scrape = Some(std::mem::take(&mut self.since_scrape));
        }
    }

    fn decide(&mut self, now: usize, _exist: u32) -> u32 {
        if now % SYNC_S != self.sync_phase {
            return self.replicas;
        }
        let Some(recommended) = self.recommend() else { return self.replicas };
        self.recommended.push_back((now, recommended));
        while self.recommended.front().is_some_and(|&(at, _)| at + STABILIZATION_S < now) {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|&(_, n)| n).max().unwrap_or(recommended);
        // Up: the window is 0, so the newest counts. Down: the highest of the window, but no more than there are.
        let stabilized = if recommended > self.replicas { recommended } else { highest.min(self.replicas) };
        let most = (self.replicas * 2).max(self.replicas + 4);
        self.replicas = stabilized.min(most).clamp(INSTANCES.0, INSTANCES.1);
        self.replicas
    }
}
