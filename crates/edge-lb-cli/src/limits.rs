//! The limit on open files: a proxy needs two for each request under way, and shells hand out as few as 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Gives the limit before and after; `None` is unlimited.
///
/// # Errors
/// When the kernel refuses; the limit is as it was.
pub(crate) fn raise_open_files() -> Result<(Option<u64>, Option<u64>), rustix::io::Errno> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok((current, maximum))
}

/// Raises the limit, and logs what became of it.
pub(crate) fn raise_and_log() {
    let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    match raise_open_files() {
        Ok((before, after)) if before == after => tracing::info!(limit = %show(after), "limit on open files"),
        Ok((before, after)) => {
            tracing::info!(before = %show(before), after = %show(after), "raised the limit on open files");
        }
        Err(e) => tracing::warn!(error = %e, "the limit on open files stays as it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (_, after) = raise_open_files().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (after, after));
    }
}
