//! `jit-issuer breakglass`: codes for an emergency, made in advance where the root keys are. The running issuer has no part
//! in it but to carry the signed statements to their hosts.
//!
//! Codes go to standard output and nowhere else; statements to a file that may be shown to anybody.

use crate::authority::random;
use crate::clock;
use crate::config::Config;
use crate::error::Error;
use crate::files;
use crate::init::Layout;
use crate::keys::{self, ROOT};
use crate::out;
use crate::rules;
use api::sse::{self, Reader};
use api::{Event, Kind};
use clap::{Args, Subcommand};
use statement::HostIdentity;
use statement::breakglass::{self, verify_breakglass};
use statement::claims::Sealed;
use statement::digest::sha256_b64;
use statement::id;
use statement::limits::MAX_BREAKGLASS_LIFE;
use statement::sign::{self, NewBreakglass, Signer};
use statement::trust::{self, MAX_TRUST, VerifiedTrust};
use std::fs;
use std::path::{Path, PathBuf};

/// Codes made at once: a sheet of paper.
const SHEET: u32 = 20;
/// Bytes of a file of statements.
const FILE_MAX: usize = 1 << 20;
const DAY_S: u64 = 86_400;

#[derive(Subcommand)]
pub enum Command {
    /// Make codes for one host: prints them once, writes the signed statements to a file
    Make(Make),
    /// Add a signature of another root key to each statement of a file
    Sign {
        /// What `make` wrote; it is replaced
        file: PathBuf,
        /// Private root key (PKCS#8)
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Hand the statements to the running issuer, which brings them to their hosts (root)
    Add {
        /// What `make` wrote
        file: PathBuf,
    },
}

#[derive(Args)]
pub struct Make {
    /// Id of the host, as `jit-issuer host ls` shows it
    #[arg(long, value_name = "ID")]
    host: String,
    /// File for the statements; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How many; each is for one use
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(SHEET)))]
    count: u32,
    /// Role whose right it is [default: the policy's]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// File of the policy that says what the role is [default: the configured one]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How long the right lasts from its use on, as 90s, 15m or 1h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    dur_s: u64,
    /// Days within which it may be used [default: as long as the trust statement lasts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=400))]
    days: Option<u64>,
    /// Private root key (PKCS#8); may be repeated [default: the one in the state directory]
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// The trust statement in force [default: the one in the state directory]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

fn duration(text: &str) -> Result<u64, String> {
    policy::duration::parse(text).map_err(|e| e.to_string())
}

/// # Errors
/// What the command says on its way out.
pub fn command(config: &Config, command: &Command) -> Result<(), Error> {
    match command {
        Command::Make(args) => make(config, args),
        Command::Sign { file, key } => add_signature(file, key),
        // It needs the running issuer: `ask` does it.
        Command::Add { .. } => Ok(()),
    }
}

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::Keys(why.to_string())
}

fn key(path: &Path) -> Result<Signer, Error> {
    Signer::from_pkcs8(&files::read_secret(path, 4096)?)
        .map_err(|e| wrong(format_args!("{}: {e}", path.display())))
}

fn make(config: &Config, args: &Make) -> Result<(), Error> {
    let at = Layout::new(&config.state_dir);
    let trust = read_trust(args.trust.as_deref().unwrap_or(&at.trust()))?;
    let signers = if args.keys.is_empty() {
        vec![keys::load(&at.keys(), ROOT)?]
    } else {
        let all = args.keys.iter().map(|path| key(path));
        all.collect::<Result<Vec<_>, _>>()?
    };
    let (needed, have) = known(&trust, &signers)?;
    let policy = rules::roles(args.policy.as_deref().unwrap_or(&config.roles))?;
    let name = args.role.as_deref().unwrap_or(policy.default_role());
    let role = policy
        .roles()
        .get(name)
        .ok_or_else(|| wrong(format_args!("the policy has no role {name:?}")))?;
    let right = Sealed {
        dur: args.dur_s,
        role: name.to_owned(),
        right: role.clone(),
    };
    let now = clock::unix();
    let last = trust.claims().exp.min(now + MAX_BREAKGLASS_LIFE);
    let exp = args.days.map_or(last, |days| last.min(now + days * DAY_S));
    let mut text = String::new();
    let mut codes = Vec::new();
    for n in 0..args.count {
        let id = id::ulid(now * 1000, random()?);
        let new = NewBreakglass {
            iss: &trust.claims().iss,
            iat: now,
            epoch: trust.claims().epoch,
            id: &id,
            host: &args.host,
            exp,
            right: &right,
        };
        let by: Vec<&Signer> = signers.iter().collect();
        let (code, doc) = sign::breakglass(&new, &by)?;
        check(&doc, &code, &trust, &args.host, have >= needed)?;
        text.push_str(&event(u64::from(n), doc)?);
        codes.push((id, code));
    }
    files::create_secret(&args.out, text.as_bytes())?;
    // Only what is safely on the disk is worth writing down.
    for (id, code) in codes {
        out::say(format_args!("{id}\t{}", code.written()));
    }
    if have < needed {
        out::note(format_args!(
            "{} more root keys must sign: jit-issuer breakglass sign {} --key KEY",
            needed - have,
            args.out.display()
        ));
    }
    Ok(())
}

/// How many root keys must sign, and how many of these are among them.
fn known(trust: &VerifiedTrust, signers: &[Signer]) -> Result<(usize, usize), Error> {
    let root = &trust.claims().root;
    let listed = |signer: &Signer| {
        let jwk = signer.public().to_jwk();
        root.keys.contains(&jwk)
    };
    if let Some(stranger) = signers.iter().find(|s| !listed(s)) {
        return Err(wrong(format_args!(
            "{} is no root key of the trust statement",
            stranger.kid()
        )));
    }
    let mut kids: Vec<&str> = signers.iter().map(Signer::kid).collect();
    kids.sort_unstable();
    kids.dedup();
    Ok((root.threshold as usize, kids.len()))
}

/// As its host would: what hosts refuse is a fault here. The identity's key is of no account for it.
fn check(
    doc: &str,
    code: &breakglass::Code,
    trust: &VerifiedTrust,
    host: &str,
    whole: bool,
) -> Result<(), Error> {
    let typed = breakglass::Code::parse(&code.written()).map_err(Error::OwnStatement)?;
    if !whole {
        breakglass::unverified(doc).map_err(Error::OwnStatement)?;
        return Ok(());
    }
    let me = HostIdentity {
        host: host.to_owned(),
        groups: Vec::new(),
        key: Signer::generate()?.0.public(),
    };
    let verified = verify_breakglass(doc, trust, &me).map_err(Error::OwnStatement)?;
    match verified.open(&typed).map_err(Error::OwnStatement)? {
        Some(_) => Ok(()),
        None => Err(wrong("the code does not open its statement")),
    }
}

fn read_trust(path: &Path) -> Result<VerifiedTrust, Error> {
    let doc = files::read_text(path, MAX_TRUST)?;
    trust::verify_first(&doc, &sha256_b64(doc.as_bytes()))
        .map_err(|e| wrong(format_args!("{}: {e}", path.display())))
}

/// As `jitctl import` takes it, too.
fn event(n: u64, data: String) -> Result<String, Error> {
    let (id, kind) = (Some(n), Kind::Breakglass);
    sse::encode(&Event { id, kind, data }).map_err(wrong)
}

/// The statements of a file.
///
/// # Errors
/// [`Error::File`], [`Error::Keys`].
pub fn read(file: &Path) -> Result<Vec<String>, Error> {
    let bad = |why: String| wrong(format_args!("{}: {why}", file.display()));
    let text = files::read_text(file, FILE_MAX)?;
    let mut reader = Reader::default();
    reader
        .push(text.as_bytes())
        .map_err(|e| bad(e.to_string()))?;
    let events: Vec<Event> = std::iter::from_fn(|| reader.pop()).collect();
    if events.is_empty() || events.iter().any(|e| e.kind != Kind::Breakglass) {
        return Err(bad("it holds no break-glass statements alone".to_owned()));
    }
    Ok(events.into_iter().map(|e| e.data).collect())
}

fn add_signature(file: &Path, path: &Path) -> Result<(), Error> {
    let signer = key(path)?;
    let mut text = String::new();
    for (n, doc) in (0..).zip(read(file)?) {
        let claims = breakglass::unverified(&doc)
            .map_err(|e| wrong(format_args!("{}: {e}", file.display())))?;
        out::say(format_args!(
            "{}\tfor {}, made {}, until {}",
            claims.id, claims.host, claims.iat, claims.exp
        ));
        text.push_str(&event(n, sign::cosign_breakglass(&doc, &signer)?)?);
    }
    let unfinished = file.with_extension("new");
    fs::write(&unfinished, &text).map_err(Error::file(&unfinished))?;
    fs::rename(&unfinished, file).map_err(Error::file(file))?;
    out::say(format_args!("Signed by root key {}.", signer.kid()));
    Ok(())
}
