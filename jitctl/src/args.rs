//! The command line. Only commands that exist are listed.

// Also where the generator of the man pages includes this file.
#[path = "args/people.rs"]
mod people;
#[path = "args/setup.rs"]
mod setup;

use crate::{at, exit};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
pub use people::{Approve, Deny, Issuer, Login, Logout, Remote, Requests, RequestsCommand};
pub use setup::{Setup, Wiring};
use std::ffi::OsString;
use std::path::PathBuf;

/// Bytes of a reason (`docs/spec/statements.md`).
const REASON_MAX: usize = 512;
/// Bytes of a revocation's reason.
const REVOKE_REASON_MAX: usize = 256;
/// Bytes of a ticket.
const TICKET_MAX: usize = 64;

#[derive(Debug, Parser)]
#[command(
    name = "jitctl",
    version,
    about = "Root for a reason and for a while",
    after_help = exit::HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Print JSON instead of text, with every exit code
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for a right and wait for it
    #[command(after_help = "\
Examples:
  jitctl elevate --for 15m --reason 'restart nginx' --ticket OPS-12
  jitctl elevate --role logs --reason 'read the mail log'
  jitctl elevate --reason 'restart nginx' -- systemctl restart nginx
        asks for this one command only
  jitctl elevate --at 22:00 --for 30m --reason 'nightly change'
  jitctl elevate --host web1 --reason 'deploy 4.2'    from elsewhere, signed with a key of your ssh-agent

Durations: 90s, 15m, 1h. Without --for the role's own default counts.")]
    Elevate(Elevate),
    /// Ask for the right to run one command, then run it with sudo
    #[command(after_help = "\
Example:
  jitctl run --reason 'restart nginx' -- systemctl restart nginx

Returns the command's own status (128+n when signal n ended it). If the command was never
started, the exit code is one of jitctl's own.")]
    Run(Run),
    /// Ask for a later end of a live grant; what runs with it goes on
    #[command(after_help = "\
Examples:
  jitctl extend --for 30m --reason 'the dump takes longer'
  jitctl extend 01JD3ZK5T2M8Q4W7X9Y0B1C2D3 --reason 'not done yet'

--for counts from now. The grant keeps its id and its scope.")]
    Extend(Extend),
    /// Use a code that was made in advance, when nobody can be asked; everyone is told
    #[command(after_help = "\
Examples:
  jitctl breakglass --reason 'issuer is down, disk full'
  jitctl breakglass --reason 'issuer is down, disk full' < code

The code is read from the terminal, unseen, or from the standard input; never from the command
line. Each code is for one host and one use. It needs neither the issuer nor the link.")]
    Breakglass(Breakglass),
    /// Give a right back before its end
    #[command(after_help = "\
Examples:
  jitctl drop                     the only grant, or all of yours
  jitctl drop 01JD3ZK5T2M8Q4W7X9Y0B1C2D3
  jitctl drop --remote 01JD3ZK5T2M8Q4W7X9Y0B1C2D3    what `elevate --host` got")]
    Drop(Drop),
    /// Show who I am, my grants, what is pending, and how jit is
    #[command(after_help = "\
Examples:
  jitctl status
  jitctl status --json | jq '.grants[0].seconds_left'
  jitctl status --watch --json    one JSON document a line, each second

Exit code 6 when no grant is active.")]
    Status(Status),
    /// End rights from the issuer's side: a grant, a user's, a host's, a key's or all until a time (root)
    #[command(after_help = "\
Examples:
  jitctl revoke 01JD3ZK5T2M8Q4W7X9Y0B1C2D3 --reason 'wrong host'
  jitctl revoke --user alice --reason 'laptop stolen'
  jitctl revoke --before 1s --reason 'grant key seen elsewhere'    all that was given until now

A revocation cannot be taken back.")]
    Revoke(Revoke),
    /// Show what waits for your approval, from any machine
    #[command(after_help = "\
Examples:
  jitctl requests
  jitctl requests show 01JD3ZK5T2M8Q4W7X9Y0B1C2D3
  jitctl requests --issuer https://issuer.example.org:8443 --ca /etc/jit/issuer-ca.pem

The call is signed with a key of your ssh-agent; root on the issuer's box needs none. The issuer is
named by --issuer, ~/.config/jit/jitctl.toml or /etc/jit/jitctl.toml.")]
    Requests(Requests),
    /// Approve a request: shows all that is signed, asks, and signs its bytes with your ssh-agent's key
    #[command(after_help = "\
Example:
  jitctl approve 01JD3ZK5T2M8Q4W7X9Y0B1C2D3

The host itself checks the signature. Nobody approves a request of his own, and one person with
two keys counts once.")]
    Approve(Approve),
    /// Deny a request, for good
    #[command(after_help = "\
Example:
  jitctl deny 01JD3ZK5T2M8Q4W7X9Y0B1C2D3 --reason 'not during the freeze'")]
    Deny(Deny),
    /// Say who you are to the issuer, at your organisation's own login, with a browser
    #[command(after_help = "\
Examples:
  jitctl login
  jitctl login --no-browser --within 15m    prints the address only

The browser must run on this machine: it comes back to a port of 127.0.0.1. A login shows, denies
and gives back; approving and asking want your key as well. It ends by itself, with the session at
the latest.")]
    Login(Login),
    /// Forget the login
    Logout(Logout),
    /// Show the hosts of this box's issuer and how far each is (root)
    Hosts,
    /// Find faults of the wiring that can hurt
    #[command(after_help = "\
Each finding has a stable id, says what is wrong and how to mend it. Exit code 7 when there is
a fault; warnings and notes do not count. As root it sees more.")]
    Doctor,
    /// Check or read the journal (root)
    #[command(subcommand)]
    Log(Log),
    /// Look at a policy before it counts
    #[command(subcommand)]
    Policy(Policy),
    /// Find faults in what is set, and show what is set and where
    #[command(subcommand)]
    Config(Config),
    /// Wire this host (root)
    #[command(subcommand)]
    Setup(Setup),
    /// Join the issuer that a token names (root)
    #[command(after_help = "\
Examples:
  jitctl enrol --token-file token
  ssh issuer jit-issuer enrol-token --host web1 | jitctl enrol --token-file -

Without a token it is looked for in the systemd credential jit.enrol-token and in
/etc/jit/enrol-token, which is removed when it was used.")]
    Enrol(Enrol),
    /// Take the issuer's statements from a file, on a host without a link (root)
    #[command(after_help = "\
The file is the issuer's stream for this host, saved:
  curl -sN --max-time 2 --unix-socket /run/jit-issuer/api.sock \\
       'http://x/v1/stream?host=HOST&after=0' > FILE

Each statement is checked as if the link had brought it. Exit code 3 when one was refused.")]
    Import(Import),
    /// Why a use was allowed or refused, rule by rule; what became of a grant or a request
    #[command(after_help = "\
Examples:
  jitctl explain 42                            the record with this index in the journal
  jitctl explain 01JD3ZK5T2M8Q4W7X9Y0B1C2D3    a grant or a request")]
    Explain(Explain),
    /// Send harmless records and see how long each takes to its receiver (root)
    #[command(after_help = "\
Examples:
  jitctl simulate --siem                     until each receiver's cursor has passed them
  jitctl simulate --siem --from /var/log/jit.json --within 30s
        and until a receiver that writes files has them in this one

The records have the type probe and say that nothing happened. A receiver over tcp or tls answers
nothing: its cursor follows settle_s (60 seconds) later. Exit code 7 when one has not come in time.")]
    Simulate(Simulate),
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// Through the journal to all receivers
    #[arg(long, required = true)]
    pub siem: bool,
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub count: u8,
    /// How long to wait for the last one
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "90s")]
    pub within: u64,
    /// A file in which a receiver writes what it gets; may be repeated
    #[arg(long = "from", value_name = "FILE")]
    pub from: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// Index of a record, or id of a grant or of a request
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The saved stream; `-` for the standard input
    #[arg(value_name = "FILE")]
    pub file: std::path::PathBuf,
}

/// Options of `elevate` and `run`.
#[derive(Debug, Args)]
pub struct Ask {
    /// Role to ask for [default: the policy's]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// How long, as 90s, 15m or 1h [default: the role's]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub seconds: Option<u64>,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Ticket this belongs to
    #[arg(long, value_name = "TICKET", value_parser = ticket)]
    pub ticket: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

/// How long `elevate`, `extend` and `run` wait.
#[derive(Debug, Args)]
pub struct Wait {
    /// Wait for the answer, at most this long [default: until there is one]
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "no_wait",
        value_parser = duration
    )]
    pub wait: Option<Option<u64>>,
    /// Do not wait for approval
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, Args)]
pub struct Elevate {
    #[command(flatten)]
    pub ask: Ask,
    /// Start later, at most 7 days: 2026-11-20T22:00:00Z, 22:00 (today or tomorrow, local time) or +30m
    #[arg(long, value_name = "TIME", value_parser = at::parse_now)]
    pub at: Option<u64>,
    #[command(flatten)]
    pub remote: Remote,
    /// Ask for exactly this command instead of all that the role allows
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Extend {
    /// Grant to extend [default: the only one]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// How long from now, as 90s, 15m or 1h [default: the role's]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub seconds: Option<u64>,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Ticket this belongs to
    #[arg(long, value_name = "TICKET", value_parser = ticket)]
    pub ticket: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Debug, Args)]
pub struct Breakglass {
    /// Why; stands in the journal and on everyone's terminal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// Ticket this belongs to
    #[arg(long, value_name = "TICKET", value_parser = ticket)]
    pub ticket: Option<String>,
    /// How long, as 90s, 15m or 1h [default: all that the code gives]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub seconds: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub ask: Ask,
    /// Command to run as root
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Drop {
    /// Grant to give back, or request to withdraw [default: all of yours]
    #[arg(value_name = "ID", conflicts_with = "all")]
    pub id: Option<String>,
    /// All of yours
    #[arg(long)]
    pub all: bool,
    /// It was asked for with `elevate --host`: told to the issuer, signed with your own key
    #[arg(long, requires = "id")]
    pub remote: bool,
    #[command(flatten)]
    pub issuer: Issuer,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Show it again each second
    #[arg(long)]
    pub watch: bool,
    /// Everyone's grants (root)
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["id", "user", "host", "key", "before"])))]
pub struct Revoke {
    /// Grant to end
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// End all grants of this user of this host: a login or a uid
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// End all grants of this host: its name, `localhost` or its id
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// End all that this key bears, now and later: one that signs grants, or a host's own
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub key: Option<String>,
    /// End all grants of all hosts given before: 2026-11-20T13:56:03Z, or 15m for that long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub before: Option<jiff::Timestamp>,
    /// Why; stands in the revocation
    #[arg(long, value_name = "TEXT", value_parser = revoke_reason)]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct Enrol {
    /// The token; others may see it in the list of processes while this runs
    #[arg(value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File that holds the token; - for standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Leave the issuer this host is enrolled with
    #[arg(long)]
    pub replace: bool,
}

/// What a record must be like; what is not given matches all.
#[derive(Debug, Default, Args)]
pub struct LogFilter {
    /// Of this user: a login or a uid
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Of this grant
    #[arg(long, value_name = "ID")]
    pub grant: Option<String>,
    /// Of this ticket
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Whose command, its words joined by spaces, holds this text
    #[arg(long, value_name = "TEXT")]
    pub command: Option<String>,
    /// Of this type: use, refused, grant, end …
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// From this time on: 2026-11-20T13:56:03Z, or 15m for that long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<jiff::Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<jiff::Timestamp>,
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(seconds) = policy::duration::parse(text) {
        let seconds = i64::try_from(seconds).map_err(|e| e.to_string())?;
        let ago = jiff::SignedDuration::from_secs(seconds);
        return jiff::Timestamp::now()
            .checked_sub(ago)
            .map_err(|e| e.to_string());
    }
    text.parse()
        .map_err(|_| "neither a time such as 2026-11-20T13:56:03Z nor a duration".to_owned())
}

#[derive(Debug, Subcommand)]
pub enum Log {
    /// Check that no record was changed, removed or reordered
    #[command(after_help = "Exit code 7 when there is a fault.")]
    Verify {
        /// Compare with what a receiver got, records and checkpoints: one JSON object a line, as `log show --json` prints it or as OCSF events
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Print the records that match
    #[command(after_help = "\
Examples:
  jitctl log search --user alice --since 1h
  jitctl log search --type refused --json")]
    Search {
        #[command(flatten)]
        filter: LogFilter,
    },
    /// Print the last records
    Tail {
        /// Only the last N
        #[arg(short = 'n', value_name = "N", default_value_t = 10)]
        last: usize,
        /// Go on with each new record
        #[arg(short, long)]
        follow: bool,
    },
    /// Print the records
    #[command(after_help = "\
Examples:
  jitctl log show -n 20
  jitctl log show --json | jq 'select(.type == \"use\")'")]
    Show {
        /// Only the last N
        #[arg(short = 'n', value_name = "N")]
        last: Option<usize>,
    },
    /// Write the whole log as a tree that foreign programs can check (C2SP tlog-tiles)
    #[command(after_help = "\
Example:
  jitctl log export /root/log-2026-11

Prints the key that a checker needs: hand it over by another way than the folder.")]
    Export {
        /// New or empty folder
        #[arg(value_name = "DIR")]
        to: PathBuf,
        /// Only as far as the witness cosigned it: the checkpoint then carries its line
        #[arg(long)]
        witnessed: bool,
    },
    /// What guards the journal: flags, file system, head, and what its witness last cosigned
    #[command(after_help = "Exit code 7 when something is wrong.")]
    Attest,
    /// Print a proof that one record is in the log (C2SP tlog-proof)
    #[command(after_help = "\
Example:
  jitctl log prove 1042 > 1042.tlog-proof")]
    Prove {
        /// Number of the record
        index: u64,
        /// With the head that the witness cosigned last, which must be over that record
        #[arg(long)]
        witnessed: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Find faults: each with its file, line and a hint
    #[command(after_help = "Exit code 7 when there is a fault. Every rule is run once.")]
    Check {
        /// Folder, roles.toml or archive
        #[arg(value_name = "PATH", default_value = "/etc/jit/policy")]
        at: PathBuf,
    },
    /// Run the policy's own tests, the rules test_… of its *_test.rego
    #[command(after_help = "Exit code 7 when one fails. Says which lines of rules no test runs.")]
    Test {
        /// Folder or archive
        #[arg(value_name = "PATH", default_value = "/etc/jit/policy")]
        at: PathBuf,
    },
    /// Show what the policy would decide
    #[command(after_help = "\
Example:
  jitctl policy eval --login alice --role admin --host web1 --label env=prod --ticket OPS-1 --explain

Exit code 0 whatever the decision is.")]
    Eval(Eval),
    /// Compare two policies, and what they decide about recorded requests
    #[command(after_help = "\
Example:
  jitctl log search --type request --json > requests
  jitctl policy diff /etc/jit/policy ./policy --replay requests

Exit code 7 when a request that was denied would not be denied any more, or would ask fewer people.")]
    Diff {
        /// Folder, roles.toml or archive
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// Folder, roles.toml or archive
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// Requests, one JSON object a line
        #[arg(long, value_name = "FILE")]
        replay: Option<PathBuf>,
    },
    /// Show which roles this host's journal shows in use, which never, which wider than used (root)
    Usage {
        /// Folder, roles.toml or archive
        #[arg(value_name = "PATH", default_value = "/etc/jit/policy")]
        at: PathBuf,
    },
    /// Print the policy as the one text that is signed
    #[command(after_help = "\
Example:
  jitctl policy bundle > policy.json
  ssh-keygen -Y sign -n jit-policy-v1@jitctl -f ~/.ssh/id_ed25519 policy.json")]
    Bundle {
        /// Folder, roles.toml or archive
        #[arg(value_name = "PATH", default_value = "/etc/jit/policy")]
        at: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Find faults: each with its file, line and a hint
    #[command(after_help = "\
Examples:
  jitctl config check                              all that is set on this host, and its policy
  jitctl config check --file new --as ceiling      one file, before it is put in place

The name of a file says what it is, else say it with --as. Exit code 7 when there is a fault.")]
    Check {
        /// Only this file, by itself
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// What the file is, whatever its name
        #[arg(long = "as", value_name = "KIND", requires = "file")]
        kind: Option<ConfigKind>,
    },
    /// Show every key as the files of this host say it, defaults included
    #[command(after_help = "\
A running program goes by what it read last: see `jitctl log search --type config`.")]
    Show {
        /// Only this kind of file
        #[arg(value_name = "KIND")]
        kind: Option<ConfigKind>,
        /// Say where each stands
        #[arg(long)]
        origin: bool,
    },
}

/// Files that an administrator writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigKind {
    Agent,
    Ceiling,
    Link,
    Issuer,
    Jitctl,
    Roles,
}

impl ConfigKind {
    pub const ALL: [ConfigKind; 6] = [
        ConfigKind::Agent,
        ConfigKind::Ceiling,
        ConfigKind::Link,
        ConfigKind::Issuer,
        ConfigKind::Jitctl,
        ConfigKind::Roles,
    ];

    /// Of its file, without `.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigKind::Agent => "agent",
            ConfigKind::Ceiling => "ceiling",
            ConfigKind::Link => "link",
            ConfigKind::Issuer => "issuer",
            ConfigKind::Jitctl => "jitctl",
            ConfigKind::Roles => "roles",
        }
    }
}

/// A request that nobody makes.
#[derive(Debug, Args)]
pub struct Eval {
    /// Folder, roles.toml or archive
    #[arg(long, value_name = "PATH", default_value = "/etc/jit/policy")]
    pub policy: PathBuf,
    /// Who asks
    #[arg(long, value_name = "LOGIN")]
    pub login: String,
    /// Number of who asks
    #[arg(long, value_name = "UID", default_value_t = 1000)]
    pub uid: u32,
    /// Role [default: the policy's]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// How long, as 90s, 15m or 1h [default: the role's]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub seconds: Option<u64>,
    /// Name of the host
    #[arg(long, value_name = "NAME", default_value = "")]
    pub host: String,
    /// Label of the host, as KEY=VALUE; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    #[arg(long, value_name = "TEXT", default_value = "eval")]
    pub reason: String,
    #[arg(long, value_name = "TICKET", value_parser = ticket)]
    pub ticket: Option<String>,
    /// Time of the request: 2026-11-20T13:56:03Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<jiff::Timestamp>,
    /// Show every rule and what it said
    #[arg(long)]
    pub explain: bool,
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

fn reason(text: &str) -> Result<String, String> {
    plain_text(text, "a reason", REASON_MAX)
}

fn revoke_reason(text: &str) -> Result<String, String> {
    plain_text(text, "the reason of a revocation", REVOKE_REASON_MAX)
}

fn ticket(text: &str) -> Result<String, String> {
    plain_text(text, "a ticket", TICKET_MAX)
}

/// The agent checks the same again; this only answers sooner.
fn plain_text(text: &str, what: &str, max: usize) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("{what} must not be empty"));
    }
    if text.len() > max {
        return Err(format!(
            "{what} has at most {max} bytes, this has {}",
            text.len()
        ));
    }
    // What is left of the rule that a request's reason must keep.
    if statement::limits::reason(text).is_err() {
        return Err(format!(
            "{what} must not hold control characters, nor any that break or turn lines"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["jitctl"], args].concat())
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bad_reasons_durations_and_tickets_are_usage_errors() {
        let long = "x".repeat(513);
        for args in [
            &["elevate", "--reason", ""][..],
            &["elevate", "--reason", "  "],
            &["elevate", "--reason", "a\nb"],
            &["elevate", "--reason", "\u{85}"],
            &["elevate", "--reason", "a\u{202e}b"],
            &["elevate", "--reason", "x", "--ticket", "a\u{2066}b"],
            &["elevate", "--reason", &long],
            &["elevate", "--reason", "x", "--for", "0s"],
            &["elevate", "--reason", "x", "--for", "15"],
            &["elevate", "--reason", "x", "--for", "1.5h"],
            &["elevate", "--reason", "x", "--wait=soon"],
            &["elevate", "--reason", "x", "--ticket", ""],
            &["elevate", "--reason", "x", "--ticket", &long[..65]],
            &["run", "--reason", "\u{1b}[2J", "--", "id"],
        ] {
            assert_eq!(
                parse(args).unwrap_err().kind(),
                ErrorKind::ValueValidation,
                "{args:?}"
            );
        }
        assert!(parse(&["elevate", "--reason", &long[..512], "--for", "1s"]).is_ok());
    }

    #[test]
    fn wrong_combinations_are_usage_errors() {
        for args in [
            &[][..],
            &["elevate"],
            &["extend"],
            &["breakglass"],
            &["breakglass", "--reason", "x", "CODE"],
            &["run", "--reason", "x"],
            &["elevate", "--reason", "x", "id"],
            &["elevate", "--reason", "x", "--wait", "--no-wait"],
            &["drop", "ID", "--all"],
            &["revoke", "--reason", "x"],
            &["revoke", "ID", "--user", "alice", "--reason", "x"],
            &["revoke", "ID"],
            &["setup", "sudo", "--undo", "--dry-run"],
            &["log"],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn wait_has_three_forms() {
        let wait = |args: &[&str]| {
            let Command::Elevate(e) = parse(args).unwrap().command else {
                unreachable!()
            };
            (e.ask.wait.wait, e.ask.wait.no_wait)
        };
        let base = ["elevate", "--reason", "x"];
        assert_eq!(wait(&base), (None, false));
        assert_eq!(
            wait(&[&base[..], &["--wait"]].concat()),
            (Some(None), false)
        );
        assert_eq!(
            wait(&[&base[..], &["--wait=90s"]].concat()),
            (Some(Some(90)), false)
        );
        assert_eq!(wait(&[&base[..], &["--no-wait"]].concat()), (None, true));
    }

    #[test]
    fn json_is_understood_anywhere_before_the_command() {
        assert!(parse(&["--json", "status"]).unwrap().json);
        assert!(parse(&["log", "show", "--json"]).unwrap().json);
        let run = parse(&["run", "--reason", "x", "--", "ip", "--json"]).unwrap();
        assert!(!run.json);
    }

    #[test]
    fn a_time_is_a_moment_or_how_long_ago() {
        assert!(moment("15m").unwrap() < jiff::Timestamp::now());
        assert!(moment("2026-11-20T13:56:03Z").is_ok());
        assert!(moment("yesterday").is_err());
    }
}
