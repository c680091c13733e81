//! The life of one instance, one task each: started, waited for, watched, started again, stopped.

use super::ledger::{Birth, Record};
use super::restart::{Crashes, Verdict};
use super::shared::Shared;
use crate::driver::child::group::{Group, sweep};
use crate::driver::child::mark::{self, Mark};
use crate::driver::child::output::Output;
use crate::driver::child::spawn::{Spec, spawn};
use crate::driver::event::Happening;
use crate::driver::{Stage, template};
use lb_types::BackendId;
use rustix::process::{Pid, getpgid};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// One instance.
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) id: BackendId,
    pub(super) number: u64,
    pub(super) mark: Mark,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) output: Output,
}

/// One that outlived who made it.
pub(super) struct Found {
    pub(super) record: Record,
    /// Why it does not go on; `None`: it does, if it is ready.
    pub(super) unwanted: Option<String>,
}

/// How one process of it ended.
enum End {
    /// As it should; nobody has to know if there was nothing.
    Stopped(Option<String>),
    Crashed {
        reason: String,
        was_ready: bool,
    },
}

impl Life {
    pub(super) async fn run(mut self, mut found: Option<Found>) {
        let mut crashes = Crashes::default();
        let last = loop {
            let end = match found.take() {
                Some(found) => self.take_over(found).await,
                None => self.start().await,
            };
            let (reason, was_ready) = match end {
                End::Stopped(how) => break how.map(|reason| Happening::Gone { reason }),
                End::Crashed { reason, was_ready } => (reason, was_ready),
            };
            let (now, settings) = (self.shared.now(), &self.shared.settings);
            let (retry, window) = (&settings.restart, settings.crash_window);
            match crashes.crashed(now, was_ready, retry, window, fastrand::f64()) {
                Verdict::GiveUp(tries) => {
                    self.shared.given_up(now, &reason);
                    break Some(Happening::Failed { reason, tries });
                }
                Verdict::RestartIn(restart_in) => {
                    self.shared.change(self.number, |driven| {
                        driven.stage = Stage::Waiting;
                        driven.pid = None;
                        driven.restarts = driven.restarts.saturating_add(1);
                    });
                    self.tell(Happening::Crashed { reason: reason.clone(), restart_in });
                    if timeout(restart_in, ordered(&mut self.stop)).await.is_ok() {
                        break Some(Happening::Gone { reason });
                    }
                }
            }
        };
        self.shared.forget(self.number, &self.id);
        if let Some(last) = last {
            self.tell(last);
        }
        self.shared.count();
    }

    /// A new process, until its end.
    async fn start(&mut self) -> End {
        let failed = |reason| End::Crashed { reason, was_ready: false };
        let address = match self.shared.reserve(self.number) {
            Ok(address) => address,
            Err(reason) => return failed(reason),
        };
        if let Err(reason) = self.note(address, None)
            && self.shared.stay()
        {
            return failed(format!("it could not be written down: {reason}")); // it would be lost
        }
        let mut group = match spawn(self.spec(address), self.output.clone()).await {
            Ok(group) => group,
            Err(reason) => return failed(reason),
        };
        let pid = group.pid();
        let _told = self.note(address, Some(pid));
        self.shared.change(self.number, |driven| driven.pid = Some(number(pid)));
        self.tell(Happening::Starting { address, pid: number(pid) });
        self.watch(&mut group, address, false).await
    }

    /// A process from before, until its end.
    async fn take_over(&mut self, found: Found) -> End {
        let Found { record, unwanted } = found;
        let Some(mut group) = self.leader(&record).await else {
            let swept = sweep(&self.mark, Instant::now()).await;
            let reason = "it had ended, and what it had started was still there: killed";
            return End::Stopped(swept.then(|| reason.to_owned()));
        };
        let pid = number(group.pid());
        self.shared.change(self.number, |driven| driven.pid = Some(pid));
        if let Some(reason) = unwanted {
            self.tell(Happening::Leftover { pid, reason });
            return self.stop(&mut group).await;
        }
        let address = SocketAddr::new(self.shared.settings.host, record.port);
        self.watch(&mut group, address, true).await
    }

    /// The process that was written down, if it still is that one.
    async fn leader(&self, record: &Record) -> Option<Group> {
        let mark = self.mark.clone();
        if let Some(Birth { pid, started }) = record.process {
            let pid = Pid::from_raw(pid)?;
            return Group::adopt(pid, mark, || mark::started(pid) == Some(started));
        }
        // We ended between starting it and writing down its process.
        let searched = mark.clone();
        let search = move || searched.carriers().into_iter().find(|pid| getpgid(Some(*pid)) == Ok(*pid));
        let pid = tokio::task::spawn_blocking(search).await.ok()??;
        let again = mark.clone();
        Group::adopt(pid, mark, || again.is_on(pid))
    }

    /// Until it is ready, then until it ends or shall end.
    async fn watch(&mut self, group: &mut Group, address: SocketAddr, adopted: bool) -> End {
        let begun = Instant::now();
        let shared = self.shared.clone();
        let ready = tokio::select! {
            biased;
            () = ordered(&mut self.stop) => return self.stop(group).await,
            how = group.ended() => return self.crashed(how, false).await,
            ready = until_ready(&shared, address) => ready,
        };
        if let Err(reason) = ready {
            let limit = shared.settings.start_timeout;
            group.stop(shared.settings.stop_grace).await;
            let reason = self.with_last_words(format!("not ready within {limit:?}: {reason}"));
            return End::Crashed { reason, was_ready: false };
        }
        shared.ready(self.number);
        self.tell(match adopted {
            true => Happening::Adopted { address, pid: number(group.pid()) },
            false => Happening::Ready { address, took: begun.elapsed() },
        });
        tokio::select! {
            biased;
            () = ordered(&mut self.stop) => self.stop(group).await,
            how = group.ended() => self.crashed(how, true).await,
        }
    }

    async fn stop(&mut self, group: &mut Group) -> End {
        self.shared.change(self.number, |driven| driven.stage = Stage::Stopping);
        self.tell(Happening::Stopping);
        let grace = self.shared.settings.stop_grace;
        let stopped = group.stop(grace).await;
        if stopped.killed {
            self.tell(Happening::Killed { grace });
        }
        End::Stopped(Some(stopped.how))
    }

    /// It ended by itself: what it had started goes, too, before another one takes its place.
    async fn crashed(&self, how: String, was_ready: bool) -> End {
        sweep(&self.mark, Instant::now()).await;
        End::Crashed { reason: self.with_last_words(how), was_ready }
    }

    fn with_last_words(&self, how: String) -> String {
        match self.output.last() {
            Some(line) => format!("{how}; it said {line:?}"),
            None => how,
        }
    }

    fn spec(&self, address: SocketAddr) -> Spec {
        let settings = &self.shared.settings;
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let values = [("id", self.id.as_str()), ("host", &host), ("port", &port)];
        let fill = |text: &String| template::fill(text, &values);
        Spec {
            argv: settings.command.iter().map(fill).collect(),
            environment: settings.environment.iter().map(|(k, v)| (k.clone(), fill(v))).collect(),
            inherit_environment: settings.inherit_environment,
            directory: settings.directory.clone(),
            mark: self.mark.clone(),
            stay: self.shared.stay(),
        }
    }

    fn note(&self, address: SocketAddr, pid: Option<Pid>) -> Result<(), String> {
        let birth = |pid: Pid| Some(Birth { pid: pid.as_raw_nonzero().get(), started: mark::started(pid)? });
        self.shared.note(Record {
            id: self.id.to_string(),
            mark: self.mark.as_str().to_owned(),
            port: address.port(),
            process: pid.and_then(birth),
        })
    }

    fn tell(&self, what: Happening) {
        self.shared.tell(Some(&self.id), what);
    }
}

/// Asks until it is; the error is the last answer.
async fn until_ready(shared: &Shared, address: SocketAddr) -> Result<(), String> {
    let settings = &shared.settings;
    let deadline = Instant::now() + settings.start_timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = settings.probe_timeout.min(left);
        let reason = match timeout(limit, shared.readiness.probe(address)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {limit:.1?}"),
        };
        if Instant::now() + settings.probe_interval >= deadline {
            return Err(reason);
        }
        sleep(settings.probe_interval).await;
    }
}

/// Until it is ordered to stop.
async fn ordered(stop: &mut watch::Receiver<bool>) {
    // It cannot close: the entry that holds the other end is removed by this task.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
