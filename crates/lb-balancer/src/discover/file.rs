//! Discovery from a watched file.
//!
//! The folder is watched, not the file: editors and configuration managers replace a file by renaming another over it, or turn a
//! symbolic link, and a watch on the file would stay with the old one. A burst of events counts as one change (it is over after
//! 50 ms of quiet, at the latest after 1 s). What the text means is the caller's: a parser is given the text and the path. A file that
//! cannot be read or parsed, or is empty, changes nothing; the error is reported.
//!
//! Events may be lost (network file systems send none): the file is read again every 60 s in any case. A symbolic link
//! that leads to another folder is followed within that time, not at once.

use super::{Discover, DiscoverError, DiscoverFuture};
use lb_types::Backend;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// A burst of events is over after this much quiet …
const QUIET: Duration = Duration::from_millis(50);
/// … or, if there is none, after this time.
const BURST_MAX: Duration = Duration::from_secs(1);
/// The file is read at least this often.
const POLL: Duration = Duration::from_secs(60);

type Parse = dyn Fn(&str, &Path) -> Result<Vec<Backend>, String> + Send + Sync;

/// See the module's documentation.
pub struct FileDiscovery {
    path: PathBuf,
    parse: Arc<Parse>,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The text that was parsed last, well or not.
    seen: Option<String>,
    /// Look at the file at once; otherwise when something happens.
    look: bool,
}

impl FileDiscovery {
    /// The backends in the file at `path`, as `parse` reads them. Nothing is read yet.
    pub fn new(
        path: impl Into<PathBuf>,
        parse: impl Fn(&str, &Path) -> Result<Vec<Backend>, String> + Send + Sync + 'static,
    ) -> Self {
        let (path, parse) = (path.into(), Arc::new(parse));
        Self { path, parse, changed: Arc::default(), watcher: None, seen: None, look: true }
    }

    fn error(&self, error: &str) -> DiscoverError {
        DiscoverError::File { path: self.path.display().to_string(), error: error.to_string() }
    }

    /// Watches the folder, unless it is watched already.
    fn watch(&mut self) -> Result<(), DiscoverError> {
        if self.watcher.is_some() {
            return Ok(());
        }
        let folder = match self.path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let changed = self.changed.clone();
        // Whatever happened in the folder, errors included: look at the file. Reading it is no event, but opening it may be.
        let on_event = move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|e| e.kind.is_access()) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut w| {
            w.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(w)
        });
        let watcher = watcher.map_err(|e| DiscoverError::Watch {
            folder: folder.display().to_string(),
            error: e.to_string(),
        })?;
        self.watcher = Some(watcher);
        Ok(())
    }

    /// Waits for a change to be over.
    async fn settle(&mut self) {
        // Told, or time to look in any case.
        let _ = timeout(POLL, self.changed.notified()).await;
        // What was told is not forgotten if the future is dropped from here on.
        self.look = true;
        let latest = Instant::now() + BURST_MAX;
        while timeout_at(latest.min(Instant::now() + QUIET), self.changed.notified()).await.is_ok() {
            if Instant::now() >= latest {
                return;
            }
        }
    }

    /// The list, if the text is another than before.
    async fn read(&mut self) -> Result<Option<Vec<Backend>>, DiscoverError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let text = read.unwrap_or_else(|e| Err(e.to_string())).map_err(|e| {
            self.seen = None;
            self.error(&e)
        })?;
        if self.seen.as_ref() == Some(&text) {
            return Ok(None);
        }
        let list = if text.trim().is_empty() {
            // Somebody is just writing it, most likely. An empty list has to be said.
            Err("the file is empty".to_owned())
        } else {
            (self.parse)(&text, &self.path)
        };
        self.seen = Some(text);
        list.map(Some).map_err(|e| self.error(&e))
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    // One byte more than is allowed tells a file that is too large.
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

impl Discover for FileDiscovery {
    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            // Watch before the first look, or a change between them would be missed.
            self.watch()?;
            loop {
                if !self.look {
                    self.settle().await;
                }
                let read = self.read().await;
                self.look = false;
                if let Some(list) = read? {
                    return Ok(list);
                }
            }
        })
    }
}
