//! Those who approve: which requests, which issuer, which key.

use super::{duration, revoke_reason};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Where the issuer is, and which key signs.
#[derive(Debug, Default, Args)]
pub struct Issuer {
    /// The issuer's address: https://HOST[:PORT] or unix:PATH
    #[arg(long, value_name = "URL", global = true)]
    pub issuer: Option<String>,
    /// PEM of the authority that must have certified it [default: the system's]
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
    /// Key to sign with: the public one of a key in the ssh-agent, or a private one without a passphrase, for machines
    /// [default: the first of the ssh-agent that the issuer knows]
    #[arg(long, value_name = "FILE", global = true)]
    pub key: Option<PathBuf>,
}

impl Issuer {
    /// Whether anything of it was said on the command line.
    pub fn is_said(&self) -> bool {
        self.issuer.is_some() || self.ca.is_some() || self.key.is_some()
    }
}

/// Asking for a right on another host than this one.
#[derive(Debug, Default, Args)]
pub struct Remote {
    /// Ask for a right on this host, by its name or id, from here: signed with your own key, no agent needed here
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Your account there [default: the only one you have]
    #[arg(long, value_name = "LOGIN", requires = "host")]
    pub login: Option<String>,
    /// File with an ID token of the CI that this job runs in, where the issuer wants one beside the key
    #[arg(long, value_name = "FILE", requires = "host")]
    pub id_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub issuer: Issuer,
}

#[derive(Debug, Args)]
pub struct Login {
    /// Only print the address, for a browser on this machine
    #[arg(long)]
    pub no_browser: bool,
    /// How long to wait for the browser
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub within: u64,
    #[command(flatten)]
    pub issuer: Issuer,
}

#[derive(Debug, Args)]
pub struct Logout {
    #[command(flatten)]
    pub issuer: Issuer,
}

#[derive(Debug, Args)]
pub struct Requests {
    #[command(flatten)]
    pub issuer: Issuer,
    #[command(subcommand)]
    pub command: Option<RequestsCommand>,
}

#[derive(Debug, Subcommand)]
pub enum RequestsCommand {
    /// List what waits for you; what `requests` alone does
    Ls,
    /// Show one in full, also one that is decided
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Approve {
    #[arg(value_name = "ID")]
    pub id: String,
    /// Do not ask: for scripts
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub issuer: Issuer,
}

#[derive(Debug, Args)]
pub struct Deny {
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why; whoever asked is told
    #[arg(long, value_name = "TEXT", value_parser = revoke_reason)]
    pub reason: String,
    #[command(flatten)]
    pub issuer: Issuer,
}
