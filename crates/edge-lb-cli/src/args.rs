//! What can be typed on the command line.

mod geo;
mod splits;

use crate::demo::plan::{BACKENDS_MIN, SECONDS_MAX, SECONDS_MIN};
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use edge_lb::config::{ListenAddress, LogFormat, LogLevel};
use edge_lb::core::Algorithm;
use edge_lb::types::BackendUrl;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;

pub(crate) use geo::{GeoArgs, GeoCommand, GeoDatabases};
pub(crate) use splits::{Difference, RolloutCommand, RolloutStart, SplitCommand, SplitTarget};

/// The version and what was built in.
static LONG_VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}\nfeatures: {}", edge_lb::VERSION, edge_lb::features().join(", ")));

/// Load balancer and reverse proxy for HTTP.
///
/// See it work with `edge-lb demo`; balance your own servers with
/// `edge-lb run --listen 127.0.0.1:8080 --to http://127.0.0.1:9001 --to http://127.0.0.1:9002`.
#[derive(Debug, Parser)]
#[command(name = "edge-lb", version = edge_lb::VERSION, long_version = LONG_VERSION.as_str(), max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Check(CheckArgs),
    Demo(DemoArgs),
    Status(StatusArgs),
    Explain(ExplainArgs),
    Breaker(BreakerArgs),
    /// Check, drain or undrain a backend of an edge-lb that runs
    #[command(subcommand)]
    Backend(BackendCommand),
    /// Show or clear the sessions of an edge-lb that runs
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Show or change which version gets how much of the traffic of an edge-lb that runs
    #[command(subcommand)]
    Split(SplitCommand),
    /// Roll a new version out step by step, with a guard that turns back
    #[command(subcommand)]
    Rollout(RolloutCommand),
    Geo(GeoArgs),
    #[command(hide = true)]
    DemoInstance {
        address: SocketAddr,
    },
    /// Print a completion script for a shell
    ///
    /// For bash: `edge-lb completions bash > ~/.local/share/bash-completion/completions/edge-lb`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Run the proxy, from a file or from `--listen` and `--to`
///
/// Prints a line for each address that it listens on, then `ready`; the log goes to stderr. SIGTERM and SIGINT (Ctrl-C) let open
/// requests finish (30 s, or `shutdown_grace` in the file); a second one stops at once.
///
/// Exit codes: 0 stopped as asked, 1 it could not go on (a port in use, say), 2 wrong arguments or configuration.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The configuration file: .toml, .yaml, .yml or .json
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen: IP:port, [IPv6]:port or unix:/path; may be repeated. Port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", value_parser = listen_address, conflicts_with = "config", requires = "to")]
    pub(crate) listen: Vec<ListenAddress>,

    /// A backend: http://host:port, with a base path if wanted, or unix:/path; may be repeated
    #[arg(short, long, value_name = "URL", conflicts_with = "config", requires = "listen")]
    pub(crate) to: Vec<BackendUrl>,

    /// How a backend is chosen, with --to [default: weighted-round-robin]
    #[arg(short, long, value_name = "NAME", value_parser = algorithm(), conflicts_with = "config", requires = "to")]
    pub(crate) algorithm: Option<Algorithm>,

    /// Where metrics and the admin API listen: a loopback address; overrides the file's
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address)]
    pub(crate) admin: Option<SocketAddr>,

    /// Worker threads; overrides the file's [default: the CPUs the process may use]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// What is logged; overrides the file's [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = log_level())]
    pub(crate) log_level: Option<LogLevel>,

    /// How the log looks; overrides the file's [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    pub(crate) log_format: Option<LogFormat>,
}

/// Check configuration files without running them
///
/// Every error is shown with its place and, where it is known, what to do about it. Exit codes: 0 all files are right, 2 one is not.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The files: .toml, .yaml, .yml or .json
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// Watch it work: four backends under load, of which one dies, one turns slow and one starts to fail
///
/// Needs nothing but this binary and loopback. Starts small HTTP servers of different speeds, the proxy before them and clients that
/// check every answer; then kills one server in the middle of its requests, slows another down and has a third answer 500, and shows
/// how each is taken out and comes back, and why. Ctrl-C ends it early.
///
/// Exit codes: 0 no request was lost, 1 one was, or a backend that recovered got no traffic.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How long the load lasts [default: 20, with `--autoscale` 36]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(SECONDS_MIN..=SECONDS_MAX))]
    pub(crate) seconds: Option<u64>,

    /// Auto-scaling instead: processes come and go with a wave of load, and one is killed on the way
    #[arg(long, conflicts_with_all = ["backends", "concurrency", "algorithm"])]
    pub(crate) autoscale: bool,

    /// How many backends
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(BACKENDS_MIN..=26))]
    pub(crate) backends: u8,

    /// How many clients, each with one request at a time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) concurrency: u16,

    /// The most requests a second over all clients [default: as many as the clients can ask]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,

    /// How a backend is chosen
    #[arg(short, long, value_name = "NAME", default_value = "least-connections", value_parser = algorithm())]
    pub(crate) algorithm: Algorithm,

    /// The port on 127.0.0.1 that the proxy listens on, for a look of your own; 0 takes a free one
    #[arg(short, long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,

    /// A line a second instead of the live table; so it is also where stdout is no terminal
    #[arg(long)]
    pub(crate) plain: bool,
}

/// Where the admin API is.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct AdminArgs {
    /// The admin address of the edge-lb that is asked
    #[arg(long, value_name = "ADDRESS", env = "EDGE_LB_ADMIN", default_value = "127.0.0.1:9900", value_parser = asked_address)]
    pub(crate) admin: SocketAddr,
}

/// Show the pools and backends of an edge-lb that runs, and why one gets no requests
///
/// Exit codes: 0 each pool that requests come to (or the one that is named) has a usable backend, 1 one has none, or nobody answers.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// This pool only
    pub(crate) pool: Option<String>,

    /// As JSON, as the admin API gives it
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Ask an edge-lb that runs where a request would go, and why not elsewhere
///
/// Nothing is sent to a backend and nothing is counted. For example: `edge-lb explain /users/7 --header 'X-User-ID: 7'`
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The path, with a query if wanted
    pub(crate) path: String,

    /// The pool; may be left out where requests come to one alone
    #[arg(short, long, value_name = "NAME")]
    pub(crate) pool: Option<String>,

    /// The method
    #[arg(short, long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,

    /// The host that is asked for
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,

    /// The client's address
    #[arg(short, long, value_name = "IP")]
    pub(crate) client_ip: Option<IpAddr>,

    /// A header; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,

    /// Not this backend; may be repeated
    #[arg(short, long, value_name = "ID")]
    pub(crate) exclude: Vec<String>,

    /// The key of a hash algorithm, instead of what it would take from the request
    #[arg(short, long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// The client's country, instead of what its address says: DE
    #[arg(long, value_name = "CODE")]
    pub(crate) country: Option<String>,

    /// Its subdivision: US-CA
    #[arg(long, value_name = "CODE")]
    pub(crate) region: Option<String>,

    /// Its city
    #[arg(long, value_name = "NAME")]
    pub(crate) city: Option<String>,

    /// The session's id, instead of what the request is recognised by
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Force a backend's circuit breaker, or let it work by itself again
///
/// For example, before a deployment: `edge-lb breaker web web-1 open`, and afterwards `edge-lb breaker web web-1 auto`
#[derive(Args, Debug)]
pub(crate) struct BreakerArgs {
    /// The pool
    pub(crate) pool: String,

    /// The backend's id
    pub(crate) backend: String,

    /// open: no requests; closed: requests whatever fails; auto: by itself, closed and without memories
    #[arg(value_enum)]
    pub(crate) state: BreakerOrder,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BreakerOrder {
    Open,
    Closed,
    Auto,
}

impl BreakerOrder {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Auto => "auto",
        }
    }
}

/// Which backend.
#[derive(Args, Debug)]
pub(crate) struct BackendTarget {
    /// The pool
    pub(crate) pool: String,

    /// The backend's id
    pub(crate) backend: String,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackendCommand {
    /// Make its health check now; the result counts
    ///
    /// Exit codes: 0 it passed, 1 it failed
    Check(BackendTarget),
    /// Give it no new requests, and wait until those in flight have ended
    ///
    /// It drains on until `undrain`. Exit codes: 0 nothing is in flight, 1 the grace is over and something is
    Drain {
        #[command(flatten)]
        target: BackendTarget,
        /// How long to wait, such as 10s or 500ms, at most 50s [default: 30s]
        #[arg(long, value_name = "TIME")]
        grace: Option<String>,
    },
    /// Give it requests again
    Undrain(BackendTarget),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List a pool's sessions, and what was counted of them
    List(SessionsListArgs),
    /// Forget where a session goes, here and in the store; its cookie does not count any more
    ///
    /// Exit codes: 0 it was known, 1 it was not
    Clear {
        /// The pool
        pool: String,
        /// The session's id: 32 hexadecimal digits, as `list` shows it
        id: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct SessionsListArgs {
    /// The pool
    pub(crate) pool: String,

    /// Those on this backend only
    #[arg(short, long, value_name = "ID")]
    pub(crate) backend: Option<String>,

    /// How many at most
    #[arg(short, long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(..=10_000))]
    pub(crate) limit: u16,

    /// As JSON, as the admin API gives it
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("it must be NAME: VALUE, such as 'X-User-ID: 7'".to_owned()),
    }
}

fn algorithm() -> ValueParser {
    let names = Algorithm::all().map(|a| a.name());
    let parser = PossibleValuesParser::new(names);
    ValueParser::new(parser.try_map(|n| Algorithm::from_name(&n).ok_or("no such algorithm")))
}

fn log_level() -> ValueParser {
    let parser = PossibleValuesParser::new(LogLevel::ALL.map(LogLevel::as_str));
    let level = |name: String| LogLevel::ALL.into_iter().find(|l| l.as_str() == name).ok_or("no such level");
    ValueParser::new(parser.try_map(level))
}

fn log_format() -> ValueParser {
    let parser = PossibleValuesParser::new(["text", "json"]);
    ValueParser::new(parser.map(|name| if name == "json" { LogFormat::Json } else { LogFormat::Text }))
}

fn listen_address(text: &str) -> Result<ListenAddress, String> {
    text.parse().map_err(|e: edge_lb::config::AddressError| match &e.instead {
        Some(instead) => format!("{e}; did you mean {instead}?"),
        None => e.to_string(),
    })
}

/// What answers there can be read by anyone who reaches it, and there is no token yet.
fn admin_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "it must be IP:port, such as 127.0.0.1:9900")?;
    if !address.ip().is_loopback() {
        return Err("it must be a loopback address, such as 127.0.0.1:9900".to_owned());
    }
    Ok(address)
}

/// The address of an edge-lb to ask, also as `run` prints it: as a URL.
fn asked_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    address.parse().map_err(|_| "it must be IP:port, such as 127.0.0.1:9900".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_is_asked_may_be_named_as_run_prints_it() {
        for text in ["[::1]:9901", "http://[::1]:9901", "http://[::1]:9901/"] {
            assert_eq!(asked_address(text).unwrap().port(), 9901, "{text}");
        }
        assert!(asked_address("http://localhost").is_err());
    }

    #[test]
    fn run_takes_flags_or_a_file() {
        let Command::Run(run) =
            parse("edge-lb run --listen 127.0.0.1:0 --listen [::1]:0 --to http://a --to unix:/b -a p2c")
                .unwrap()
        else {
            panic!("not run")
        };
        assert_eq!((run.listen.len(), run.to.len(), run.algorithm), (2, 2, Some(Algorithm::P2c)));
        let Command::Run(run) = parse(
            "edge-lb run --config a.toml --workers 4 --admin [::1]:1 --log-format json --log-level off",
        )
        .unwrap() else {
            panic!("not run")
        };
        assert_eq!((run.config, run.workers), (Some("a.toml".into()), Some(4)));
        assert_eq!((run.log_format, run.log_level), (Some(LogFormat::Json), Some(LogLevel::Off)));
    }

    #[test]
    fn what_clashes_or_is_wrong_is_refused() {
        for (line, kind, says) in [
            ("run --config a --listen [::1]:1", ErrorKind::ArgumentConflict, "--config"),
            ("run --config a --to http://a", ErrorKind::ArgumentConflict, "--config"),
            ("run --config a --algorithm p2c", ErrorKind::ArgumentConflict, "--config"),
            ("run --listen [::1]:1", ErrorKind::MissingRequiredArgument, "--to"),
            ("run --to http://a", ErrorKind::MissingRequiredArgument, "--listen"),
            ("run --listen 8080 --to http://a", ErrorKind::ValueValidation, "did you mean 0.0.0.0:8080?"),
            ("run --listen [::1]:1 --to a:80", ErrorKind::ValueValidation, "http://"),
            ("run --config a --admin 0.0.0.0:9900", ErrorKind::ValueValidation, "loopback"),
            ("run --config a --workers 0", ErrorKind::ValueValidation, "1..=1024"),
            ("run --listen [::1]:1 --to http://a -a p2", ErrorKind::InvalidValue, "'p2c'"),
            ("demo --seconds 7", ErrorKind::ValueValidation, "8..="),
            ("demo --backends 3", ErrorKind::ValueValidation, "4..=26"),
            ("check", ErrorKind::MissingRequiredArgument, "FILE"),
            ("breaker web a ajar", ErrorKind::InvalidValue, "open, closed, auto"),
            ("backend drain web", ErrorKind::MissingRequiredArgument, "BACKEND"),
            ("explain", ErrorKind::MissingRequiredArgument, "PATH"),
            ("explain / -H x", ErrorKind::ValueValidation, "NAME: VALUE"),
            ("split set checkout green", ErrorKind::ValueValidation, "green=10"),
            ("split set checkout", ErrorKind::MissingRequiredArgument, "POOL=PERCENT"),
            ("rollout start checkout --step 5", ErrorKind::ValueValidation, "5=10m"),
            (
                "rollout start a --latency-quantile 0.9",
                ErrorKind::MissingRequiredArgument,
                "--latency-ratio-max",
            ),
            ("status --admin here", ErrorKind::ValueValidation, "IP:port"),
            ("geo lookup", ErrorKind::MissingRequiredArgument, "IP"),
            ("geo --about lookup ::1", ErrorKind::ArgumentConflict, "--about"),
            ("geo look", ErrorKind::InvalidSubcommand, "'lookup'"),
            ("rum", ErrorKind::InvalidSubcommand, "'run'"),
        ] {
            let e = parse(&format!("edge-lb {line}")).unwrap_err();
            assert_eq!(e.kind(), kind, "{line}: {e}");
            assert!(e.to_string().contains(says), "{line}: {e}");
            assert_eq!(e.exit_code(), 2);
        }
    }

    #[test]
    fn the_version_tells_the_features() {
        let e = parse("edge-lb --version").unwrap_err();
        assert_eq!((e.kind(), e.exit_code()), (ErrorKind::DisplayVersion, 0));
        assert!(e.to_string().contains("\nfeatures: admin, "), "{e}");
    }
}
