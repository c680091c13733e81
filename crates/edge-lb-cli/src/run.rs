//! `edge-lb run`: the proxy.

use crate::args::{Cli, RunArgs};
use crate::failure::{Failure, stdout_gone};
use crate::signals::Signals;
use crate::style::Style;
use crate::{limits, logging};
use clap::CommandFactory;
use clap::error::ErrorKind;
use edge_lb::Assembled;
use edge_lb::config::{self, Admin, Config};
use edge_lb::proxy::ListenAddress;
use std::io::{self, Write};

/// Runs until a signal ends it.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let config = config(args)?;
    logging::start(config.log.level, config.log.format);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    limits::raise_and_log();
    // The control plane (health checks, discovery, admin) is little work; requests have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Runtime(format!("the runtime cannot be started: {e}")))?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|e| Failure::Runtime(format!("signals cannot be handled: {e}")))?;
    let assembled = edge_lb::assemble(config)?;
    announce(&assembled).map_err(stdout_gone)?;
    let stop = async move {
        let name = signals.stop().await;
        tracing::info!("{name}: no new requests; open ones may finish (again to stop at once)");
        tokio::spawn(async move {
            let name = signals.stop().await;
            tracing::warn!("{name} again: stopping at once");
            std::process::exit(1);
        });
    };
    let report = assembled.run(stop).await?;
    if report.aborted_connections > 0 {
        tracing::warn!(
            connections = report.aborted_connections,
            "cut: their requests had not finished in time"
        );
    }
    tracing::info!("stopped");
    Ok(())
}

/// Says where it listens, in lines that scripts can read.
fn announce(assembled: &Assembled) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for address in assembled.addresses() {
        match address {
            ListenAddress::Tcp(address) => writeln!(out, "listening on http://{address}")?,
            other => writeln!(out, "listening on {other}")?,
        }
    }
    if let Some(address) = assembled.admin_address() {
        writeln!(out, "admin on http://{address}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

/// The configuration of a file or of flags, with the flags that go with either.
fn config(args: RunArgs) -> Result<Config, Failure> {
    let RunArgs { config: file, listen, to, algorithm, admin, workers, log_level, log_format } = args;
    let mut config = match file {
        Some(file) => config::load(&file).map_err(|e| {
            eprintln!("{}", e.render(Style::for_stream(&io::stderr()).color));
            Failure::Said(2)
        })?,
        None if listen.is_empty() && to.is_empty() => {
            let message = "nothing to run: give --config FILE, or --listen ADDRESS and --to URL";
            let mut command = Cli::command();
            let run = command.find_subcommand_mut("run").map_or_else(Cli::command, |c| c.clone());
            run.bin_name("edge-lb run").error(ErrorKind::MissingRequiredArgument, message).exit()
        }
        None => Config::from_flags(&listen, &to).map_err(|e| Failure::Usage(e.to_string()))?,
    };
    if let Some(algorithm) = algorithm {
        for pool in config.pools.values_mut() {
            pool.settings.algorithm = algorithm.clone();
        }
    }
    if let Some(address) = admin {
        config.admin = Some(Admin::new(address));
    }
    if let Some(workers) = workers {
        config.workers = Some(workers.into());
    }
    config.log.level = log_level.unwrap_or(config.log.level);
    config.log.format = log_format.unwrap_or(config.log.format);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command;
    use clap::Parser;
    use edge_lb::config::LogLevel;
    use edge_lb::core::Algorithm;

    fn config_of(line: &str) -> Result<Config, Failure> {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Run(args) => config(args),
            other => panic!("not run: {other:?}"),
        }
    }

    #[test]
    fn flags_make_a_configuration() {
        let line = "edge-lb run --listen 127.0.0.1:0 --to http://127.0.0.1:1 --algorithm random --admin 127.0.0.1:0 --workers 3";
        let config = config_of(line).unwrap();
        let pool = &config.pools["default"];
        assert_eq!((pool.settings.algorithm.clone(), pool.backends.len()), (Algorithm::Random, 1));
        assert_eq!(
            (config.workers, config.admin.is_some(), config.log.level),
            (Some(3), true, LogLevel::Info)
        );
    }

    #[test]
    fn a_backend_given_twice_is_a_usage_error() {
        let line = "edge-lb run --listen 127.0.0.1:0 --to http://127.0.0.1:1 --to http://127.0.0.1:1";
        assert!(
            matches!(config_of(line), Err(Failure::Usage(m)) if m.contains("http://127.0.0.1:1 is given twice"))
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_a_usage_error() {
        assert!(matches!(config_of("edge-lb run --config no/such.toml"), Err(Failure::Said(2))));
    }
}
