//! The command `jit-issuer`; see the library.

use clap::{Parser, Subcommand};
use jit_issuer::config::{self, Config};
use jit_issuer::http::table::Uids;
use jit_issuer::init::{self, Done, Layout};
use jit_issuer::serve::{Hooks, Order, Tuning, serve};
use jit_issuer::{Error, ask, backup, breakglass, out, trust};
use listenfd::ListenFd;
use nix::unistd::{User, geteuid};
use sd_notify::NotifyState;
use settings::Places;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Decides requests for root and signs grants
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file, with FILE.d/*.toml over it [default: /etc/jit/issuer.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the keys, the trust statement and the store; run as the user jit-issuer
    Init {
        /// Succeed without a change when they are there
        #[arg(long)]
        if_missing: bool,
        /// Trust domain of all names; default: local.<machine id>
        #[arg(long, value_name = "NAME")]
        trust_domain: Option<String>,
    },
    /// The trust statement and the root keys that sign it, which need not be on this machine
    #[command(subcommand)]
    Trust(trust::Command),
    /// Serve until SIGTERM; SIGHUP reads the policy and the certificate again
    Serve,
    /// Copy the store of the running issuer, and say where the copy is (root)
    Backup,
    /// Put a copy in the place of the store; the issuer must not run; run as the user jit-issuer
    Restore { file: PathBuf },
    /// Codes for an emergency: sealed rights of one host, signed by the root keys
    #[command(subcommand)]
    Breakglass(breakglass::Command),
    /// Make the text that lets one host enrol, for `jitctl enrol` (root)
    EnrolToken(ask::EnrolToken),
    /// Hosts of this issuer (root)
    #[command(subcommand)]
    Host(ask::HostCommand),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            out::fail(format_args!("{e}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Error> {
    let places = args.config.clone().map_or_else(Places::host, Places::File);
    let config = config::read(&places)?;
    match &args.command {
        Command::Init {
            if_missing,
            trust_domain,
        } => {
            let domain = match trust_domain {
                Some(name) => name.clone(),
                None => init::local_trust_domain(Path::new("/etc/machine-id"))?,
            };
            match init::init(&config.state_dir, &domain, *if_missing)? {
                Done::Made => out::say(format_args!(
                    "Made keys and trust statement of {domain} in {}.",
                    config.state_dir.display()
                )),
                Done::WasThere => {}
            }
            Ok(())
        }
        Command::Trust(command) => trust::command(&config.state_dir, command),
        Command::Serve => runtime()?.block_on(run_service(&config)),
        Command::Backup => runtime()?.block_on(ask::backup(&config)),
        Command::Restore { file } => {
            backup::restore(&Layout::new(&config.state_dir), file)?;
            out::say(format_args!(
                "Restored. Hosts that applied revocations which this copy does not know refuse it until the trust statement has a new epoch."
            ));
            Ok(())
        }
        Command::Breakglass(breakglass::Command::Add { file }) => {
            runtime()?.block_on(ask::add_breakglass(&config, file))
        }
        Command::Breakglass(command) => breakglass::command(&config, command),
        Command::EnrolToken(args) => runtime()?.block_on(ask::enrol_token(&config, args)),
        Command::Host(command) => runtime()?.block_on(ask::host(&config, command)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::System)
}

async fn run_service(config: &Config) -> Result<(), Error> {
    let link = User::from_name(&config.link_user).map_err(|e| Error::System(e.into()))?;
    if link.is_none() {
        out::warn(format_args!(
            "there is no user {:?}: only root can hand in requests",
            config.link_user
        ));
    }
    let uids = Uids {
        root: 0,
        link: link.map(|u| u.uid.as_raw()),
        issuer: geteuid().as_raw(),
    };
    let (tell, orders) = mpsc::channel(1);
    let mut hup = signal(SignalKind::hangup()).map_err(Error::System)?;
    let mut term = signal(SignalKind::terminate()).map_err(Error::System)?;
    let mut int = signal(SignalKind::interrupt()).map_err(Error::System)?;
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                _ = hup.recv() => Order::Reload,
                _ = term.recv() => Order::Stop,
                _ = int.recv() => Order::Stop,
            };
            if tell.send(order).await.is_err() {
                return;
            }
        }
    });
    let hooks = Hooks {
        socket: ListenFd::from_env()
            .take_tcp_listener(0)
            .map_err(Error::System)?,
        ready: Box::new(|| notify(NotifyState::Ready)),
        // Beats come more than twice within the unit's WatchdogSec.
        alive: Box::new(|| notify(NotifyState::Watchdog)),
    };
    let result = serve(config, &Tuning::default(), uids, orders, hooks).await;
    notify(NotifyState::Stopping);
    result
}

/// Without a service manager this does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        out::warn(format_args!("cannot tell the service manager: {e}"));
    }
}
