//! The program's own log, on stderr.

use crate::style::Style;
use edge_lb::config::{LogFormat, LogLevel};
use std::io;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

/// Logs from now on. Once; a second call changes nothing.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let builder = fmt().with_max_level(filter(level)).with_writer(io::stderr).with_target(false);
    // An error says that somebody logs already.
    let _ = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        _ => {
            let ansi = Style::for_stream(&io::stderr()).color;
            tracing::subscriber::set_global_default(builder.with_ansi(ansi).finish())
        }
    };
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_its_own_filter() {
        for level in LogLevel::ALL {
            assert_eq!(filter(level).to_string(), level.as_str());
        }
    }
}
