//! `edge-lb geo`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Look up where addresses are, and what is known of the databases
///
/// Without `--database` the built-in one is asked. For example: `edge-lb geo lookup 193.0.6.139 --database GeoLite2-City.mmdb`
#[derive(Args, Debug)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(crate) struct GeoArgs {
    /// What the databases are, with licence and attribution; the same as `geo about`
    #[arg(long)]
    pub(crate) about: bool,

    #[command(flatten)]
    pub(crate) databases: GeoDatabases,

    #[command(subcommand)]
    pub(crate) command: Option<GeoCommand>,
}

/// Which databases are asked.
#[derive(Args, Debug)]
pub(crate) struct GeoDatabases {
    /// A database: built-in, or a file in MaxMind's format; may be repeated: they are asked in order until one places the address
    #[arg(long, value_name = "built-in|PATH.mmdb", value_hint = ValueHint::FilePath)]
    pub(crate) database: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GeoCommand {
    /// Where are these addresses, and which database says so?
    ///
    /// Exit codes: 0 each was looked up, be it unknown; 1 one is no address, or its record is damaged; 2 a database cannot be used
    Lookup {
        /// IPv4 or IPv6 addresses
        #[arg(required = true, value_name = "IP")]
        ip: Vec<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        databases: GeoDatabases,
    },
    /// What are the databases: type, date, licence, attribution
    About(GeoDatabases),
}
