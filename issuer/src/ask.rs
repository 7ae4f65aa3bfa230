//! Commands that ask the running issuer through its own socket.

use crate::authority::random;
use crate::breakglass;
use crate::clock;
use crate::config::Config;
use crate::error::Error;
use crate::out;
use api::{AcceptLog, AddBreakglass, Client, Decommission, HostInfo, NewToken, Rename};
use clap::{Args, Subcommand};
use statement::digest::encode;
use std::collections::BTreeMap;
use std::path::Path;

/// Options of `enrol-token`.
#[derive(Args)]
pub struct EnrolToken {
    /// Name of the host; the token is for this one only
    #[arg(long)]
    host: String,
    /// Label of the host, as KEY=VALUE; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long it can be used, at most 15m
    #[arg(long = "for", value_name = "DURATION", default_value = "15m", value_parser = duration)]
    life_s: u64,
    /// A host of this name may be enrolled already: its key is replaced
    #[arg(long)]
    replace: bool,
}

#[derive(Subcommand)]
pub enum HostCommand {
    /// List the hosts
    Ls,
    /// Give a host another name; its id stays
    Rename { host: String, name: String },
    /// Revoke all grants of a host and give it nothing new
    Decommission {
        host: String,
        /// Why; stands in the revocation
        #[arg(long)]
        reason: String,
    },
    /// Accept that the journal of a host is another one from now on: it was put back, written anew or begun anew
    AcceptLog {
        host: String,
        /// Why; stands in the issuer's log
        #[arg(long)]
        reason: String,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn duration(text: &str) -> Result<u64, String> {
    policy::duration::parse(text).map_err(|e| e.to_string())
}

/// The token alone goes to standard output.
///
/// # Errors
/// [`Error::Asked`].
pub async fn enrol_token(config: &Config, ask: &EnrolToken) -> Result<(), Error> {
    let wanted = NewToken {
        host: ask.host.clone(),
        labels: ask.labels.iter().cloned().collect(),
        life_s: ask.life_s,
        replace: ask.replace,
    };
    let key = encode(&random::<16>()?);
    let made = Client::unix(&config.socket)
        .new_token_once(&wanted, &key)
        .await
        .map_err(Error::Asked)?;
    out::say(format_args!("{}", made.token));
    Ok(())
}

/// Each statement of a file goes to the log of its host.
///
/// # Errors
/// [`Error::Asked`], [`Error::File`], [`Error::Keys`].
pub async fn add_breakglass(config: &Config, file: &Path) -> Result<(), Error> {
    let client = Client::unix(&config.socket);
    for statement in breakglass::read(file)? {
        let added = client
            .add_breakglass(&AddBreakglass { statement })
            .await
            .map_err(Error::Asked)?;
        let what = if added.new { "added" } else { "was there" };
        out::say(format_args!("{}\t{}\t{what}", added.id, added.host));
    }
    Ok(())
}

/// # Errors
/// [`Error::Asked`].
pub async fn backup(config: &Config) -> Result<(), Error> {
    let done = Client::unix(&config.socket)
        .backup()
        .await
        .map_err(Error::Asked)?;
    out::say(format_args!("{}", done.path));
    Ok(())
}

/// # Errors
/// [`Error::Asked`].
pub async fn host(config: &Config, command: &HostCommand) -> Result<(), Error> {
    let client = Client::unix(&config.socket);
    match command {
        HostCommand::Ls => {
            let known = client.hosts().await.map_err(Error::Asked)?;
            for host in &known.hosts {
                out::say(format_args!("{}", line(host)));
            }
        }
        HostCommand::Rename { host, name } => {
            let rename = Rename {
                host: host.clone(),
                name: name.clone(),
            };
            let done = client.rename(&rename).await.map_err(Error::Asked)?;
            out::say(format_args!("{}", line(&done)));
        }
        HostCommand::Decommission { host, reason } => {
            let which = Decommission {
                host: host.clone(),
                reason: reason.clone(),
            };
            let done = client.decommission(&which).await.map_err(Error::Asked)?;
            out::say(format_args!("{}", line(&done)));
        }
        HostCommand::AcceptLog { host, reason } => {
            let which = AcceptLog {
                host: host.clone(),
                reason: reason.clone(),
            };
            let done = client.accept_log(&which).await.map_err(Error::Asked)?;
            out::say(format_args!("{}", line(&done)));
        }
    }
    Ok(())
}

/// Name, state, id and labels, each without a blank.
fn line(host: &HostInfo) -> String {
    let state = if host.decommissioned_at.is_some() {
        "decommissioned"
    } else {
        "enrolled"
    };
    let labels: BTreeMap<_, _> = host.labels.iter().collect();
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(k, v)| format!("{k}={v}").escape_debug().to_string())
        .collect();
    let days = clock::unix().saturating_sub(host.enrolled_at) / 86_400;
    format!(
        "{}\t{state}\t{days}d\t{}\t{}",
        host.name.escape_debug(),
        host.id,
        labels.join(",")
    )
}
