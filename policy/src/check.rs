//! The limits of a policy, each with a sentence and its place in the text.

use crate::TEXT_MAX;
use crate::duration;
use crate::error::{Error, Source};
use crate::file::{self, File, Wide, plain};
use crate::outcome::{Effect, Terms};
use crate::table::{Rule, Table};
use statement::detail::{All, AllOr, Auth, Command, OnEnd, Record};
use statement::limits::{self, Limits, MAX_LIFE, MAX_STALE};
use statement::role::Role;
use statement::{Refused, scope};
use std::collections::BTreeMap;
use toml::Spanned;

/// Seconds.
const STALE_DEFAULT: u64 = 300;
const DEFAULT_LIFE: u64 = 900;
const ROLES: usize = 64;
const RULES: usize = 256;

/// What `roles.toml` says.
pub(crate) struct Parts {
    pub roles: BTreeMap<String, Role>,
    pub default_role: String,
    pub table: Table,
    /// Line of the first rule.
    pub first_rule: Option<usize>,
}

pub(crate) fn roles(text: &str) -> Result<Parts, Error> {
    let src = Source(text);
    if text.len() > TEXT_MAX {
        return Err(Error {
            line: 0,
            what: "the policy is too long".to_owned(),
            hint: format!("at most {TEXT_MAX} bytes"),
        });
    }
    let f: File = toml::from_str(text).map_err(|e| src.toml(&e))?;
    if f.roles.is_empty() {
        return Err(src.fault(0, "no role", "add a table [roles.NAME]"));
    }
    if f.roles.len() > ROLES {
        return Err(src.fault(0, "too many roles", format!("at most {ROLES}")));
    }
    if f.approve.len() > RULES {
        return Err(src.fault(0, "too many rules", format!("at most {RULES}")));
    }
    let mut roles = BTreeMap::new();
    for (name, raw) in f.roles {
        role_name(src, &name)?;
        roles.insert(name.into_inner(), role(src, raw)?);
    }
    known(src, &f.default, &roles)?;
    let mut rules = Vec::with_capacity(f.approve.len());
    for (i, raw) in f.approve.into_iter().enumerate() {
        rules.push(rule(src, i + 1, raw, &roles)?);
    }
    Ok(Parts {
        roles,
        default_role: f.default.into_inner(),
        first_rule: rules.first().map(|r: &Rule| r.line),
        table: Table(rules),
    })
}

fn role_name(src: Source<'_>, name: &Spanned<String>) -> Result<(), Error> {
    let (at, n) = (name.span().start, name.get_ref());
    limits::role_name(n).map_err(|e| src.fault(at, format!("bad role name {n:?}"), rule_of(&e)))
}

/// The limits of a right have one home, `statement`; here they only get a line.
fn rule_of(e: &Refused) -> String {
    match e {
        Refused::Limit { rule, .. } => (*rule).to_owned(),
        other => other.to_string(),
    }
}

fn known(
    src: Source<'_>,
    name: &Spanned<String>,
    roles: &BTreeMap<String, Role>,
) -> Result<(), Error> {
    if roles.contains_key(name.get_ref()) {
        return Ok(());
    }
    let all: Vec<&str> = roles.keys().map(String::as_str).collect();
    Err(src.fault(
        name.span().start,
        format!("there is no role {:?}", name.get_ref()),
        format!("roles here: {}", all.join(", ")),
    ))
}

fn role(src: Source<'_>, raw: Spanned<file::Role>) -> Result<Role, Error> {
    let whole = raw.span().start;
    let r = raw.into_inner();
    let (default_s, max_s, max_stale_s) = times(src, &r)?;
    let doors_at = r.doors.span().start;
    let commands_at = r.commands.as_ref().map_or(whole, |s| s.span().start);
    let role = Role {
        doors: r.doors.into_inner(),
        groups: entries(src, "groups", r.groups, |x, s| x.groups.push(s))?,
        runas: wide(
            src,
            "runas",
            r.runas.map(Spanned::into_inner),
            |x, s: String| x.runas = one(s),
        )?,
        commands: wide(
            src,
            "commands",
            r.commands.map(Spanned::into_inner),
            |x, c: Command| {
                x.commands = one(c);
            },
        )?,
        shell: r.shell,
        sudoedit: entries(src, "sudoedit", r.sudoedit, |x, s| x.sudoedit.push(s))?,
        cwd: entries(src, "cwd", r.cwd, |x, s| x.cwd.push(s))?,
        env: entries(src, "env", r.env, |x, s| x.env.push(s))?,
        tty: r.tty,
        once: r.once,
        auth: r.auth.unwrap_or(Auth::Password),
        record: r.record.map_or(Ok(Record::None), |s| {
            let at = s.span().start;
            let record = s.into_inner();
            alone(src, at, "record", "beyond \"none\"", |x| x.record = record)?;
            Ok(record)
        })?,
        on_end: r.on_end.unwrap_or(OnEnd::Kill),
        unlock: entries(src, "unlock", r.unlock, |x, s| x.unlock.push(s))?,
        witnessed: r.witnessed,
        default_s,
        max_s,
        max_stale_s,
    };
    sense(src, &role, whole, doors_at, commands_at)?;
    // What is left are counts and combinations.
    role.check().map_err(|e| {
        let member = match &e {
            Refused::Limit { member, .. } => member,
            _ => "role",
        };
        src.fault(
            whole,
            format!("`{member}` is outside its limits"),
            rule_of(&e),
        )
    })?;
    Ok(role)
}

fn one<T>(item: T) -> AllOr<T> {
    AllOr::List(vec![item])
}

/// Tries one value in a role that has nothing else, so that the fault is this value's.
fn alone(
    src: Source<'_>,
    at: usize,
    key: &str,
    shown: &str,
    put: impl FnOnce(&mut Role),
) -> Result<(), Error> {
    let mut probe = Role {
        doors: Vec::new(),
        groups: Vec::new(),
        runas: AllOr::List(Vec::new()),
        commands: AllOr::List(Vec::new()),
        shell: false,
        sudoedit: Vec::new(),
        cwd: Vec::new(),
        env: Vec::new(),
        tty: false,
        once: false,
        auth: Auth::Password,
        record: Record::None,
        on_end: OnEnd::Kill,
        unlock: Vec::new(),
        witnessed: None,
        default_s: 1,
        max_s: 1,
        max_stale_s: 0,
    };
    put(&mut probe);
    probe
        .check()
        .map_err(|e| src.fault(at, format!("bad value {shown} in `{key}`"), rule_of(&e)))
}

/// A value as the text has it, or nearly.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for String {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for Command {
    fn shown(&self) -> String {
        format!("{{ path = {:?}, args = {:?} }}", self.path, self.args)
    }
}

fn entries<T: Clone + Shown>(
    src: Source<'_>,
    key: &str,
    list: Vec<Spanned<T>>,
    put: fn(&mut Role, T),
) -> Result<Vec<T>, Error> {
    list.into_iter()
        .map(|s| {
            let at = s.span().start;
            let item = s.into_inner();
            alone(src, at, key, &item.shown(), |probe| {
                put(probe, item.clone())
            })?;
            Ok(item)
        })
        .collect()
}

fn wide<T: Clone + Shown>(
    src: Source<'_>,
    key: &str,
    value: Option<Wide<Spanned<T>>>,
    put: fn(&mut Role, T),
) -> Result<AllOr<T>, Error> {
    match value {
        None => Ok(AllOr::List(Vec::new())),
        Some(Wide::All) => Ok(AllOr::All(All::All)),
        Some(Wide::List(list)) => entries(src, key, list, put).map(AllOr::List),
    }
}

fn times(src: Source<'_>, r: &file::Role) -> Result<(u64, u64, u32), Error> {
    let max = r.max.get_ref().0;
    if max > MAX_LIFE {
        return Err(src.fault(
            r.max.span().start,
            "`max` is too long",
            format!("a grant lives at most {}", duration::show(MAX_LIFE)),
        ));
    }
    let default = r
        .default
        .as_ref()
        .map_or(DEFAULT_LIFE.min(max), |d| d.get_ref().0);
    if let (true, Some(d)) = (default > max, &r.default) {
        return Err(src.fault(
            d.span().start,
            "`default` is longer than `max`",
            format!("at most {}", duration::show(max)),
        ));
    }
    let stale = r
        .max_stale
        .as_ref()
        .map_or(STALE_DEFAULT, |s| s.get_ref().0);
    let at = r.max_stale.as_ref().map_or(0, |s| s.span().start);
    let stale = u32::try_from(stale)
        .ok()
        .filter(|s| *s <= MAX_STALE)
        .ok_or_else(|| {
            src.fault(
                at,
                "`max_stale` is too long",
                format!(
                    "at most {}; 0s means online only",
                    duration::show(u64::from(MAX_STALE))
                ),
            )
        })?;
    Ok((default, max, stale))
}

/// Combinations that could never be used.
fn sense(
    src: Source<'_>,
    r: &Role,
    whole: usize,
    doors_at: usize,
    commands_at: usize,
) -> Result<(), Error> {
    let nothing_to_run = matches!(&r.commands, AllOr::List(l) if l.is_empty());
    let nobody = matches!(&r.runas, AllOr::List(l) if l.is_empty());
    if r.doors.is_empty() {
        if !nothing_to_run || !nobody || r.shell || !r.sudoedit.is_empty() {
            return Err(src.fault(
                doors_at,
                "commands without a door",
                "add a door, as doors = [\"sudo\"], or drop runas, commands, shell and sudoedit",
            ));
        }
        return Ok(());
    }
    if nothing_to_run && r.sudoedit.is_empty() {
        return Err(src.fault(
            whole,
            "a door, but nothing to run",
            "add commands = \"ALL\" or a list, or set doors = []",
        ));
    }
    if nobody {
        return Err(src.fault(
            whole,
            "a door, but nobody to run as",
            "add runas = [\"root\"] or \"ALL\", or set doors = []",
        ));
    }
    if r.shell && !matches!(r.commands, AllOr::All(_)) {
        return Err(src.fault(
            commands_at,
            "a shell runs any command",
            "set commands = \"ALL\" or shell = false",
        ));
    }
    let probe = r.expand("x", "x", 1);
    match r.doors.iter().find_map(|d| scope::opens(&probe, *d).err()) {
        None => Ok(()),
        Some(gap) => Err(src.fault(
            doors_at,
            gap.to_string(),
            "the doors su and ssh need commands = \"ALL\" and shell = true, polkit needs commands = \"ALL\"",
        )),
    }
}

fn rule(
    src: Source<'_>,
    number: usize,
    raw: Spanned<file::Rule>,
    roles: &BTreeMap<String, Role>,
) -> Result<Rule, Error> {
    let at = raw.span().start;
    let raw = raw.into_inner();
    if raw.roles.is_empty() {
        return Err(src.fault(at, "a rule for no role", "name at least one in `roles`"));
    }
    for r in &raw.roles {
        known(src, r, roles)?;
    }
    if let Some(bad) = raw
        .logins
        .iter()
        .flatten()
        .find(|l| !plain(l.get_ref(), 32))
    {
        return Err(src.fault(
            bad.span().start,
            format!("bad login {:?}", bad.get_ref()),
            "at most 32 bytes",
        ));
    }
    if let Some(n) = raw.name.as_ref().filter(|n| !plain(n.get_ref(), 64)) {
        return Err(src.fault(
            n.span().start,
            "bad name of a rule",
            "1 to 64 bytes, no control characters",
        ));
    }
    let (effect, terms) = effect(src, &raw)?;
    Ok(Rule {
        name: raw
            .name
            .map_or_else(|| format!("approve {number}"), Spanned::into_inner),
        line: src.line(at),
        roles: raw.roles.into_iter().map(Spanned::into_inner).collect(),
        logins: raw
            .logins
            .map(|l| l.into_iter().map(Spanned::into_inner).collect()),
        effect,
        terms,
    })
}

fn effect(src: Source<'_>, raw: &file::Rule) -> Result<(Effect, Terms), Error> {
    let terms = Terms {
        max_s: raw.max.as_ref().map(|s| s.get_ref().0),
        witness: raw.witness.as_ref().map(|s| s.get_ref().clone()),
        record: raw.record.as_ref().map(|s| *s.get_ref()),
    };
    let levels = raw.levels.as_ref().map(|l| l.get_ref().clone());
    let start = |key: &str| match key {
        "levels" => raw.levels.as_ref().map(|s| s.span().start),
        "max" => [
            raw.max.as_ref().map(|s| s.span().start),
            raw.witness.as_ref().map(|s| s.span().start),
            raw.record.as_ref().map(|s| s.span().start),
        ]
        .into_iter()
        .flatten()
        .next(),
        _ => None,
    };
    let at = |key| start(key).unwrap_or(raw.effect.span().start);
    let effect = Effect::new(*raw.effect.get_ref(), levels, &terms)
        .map_err(|flaw| src.fault(at(flaw.key), flaw.what, flaw.hint))?;
    if let Some(why) = terms.unheld() {
        let place = raw.witness.as_ref().map(Spanned::span);
        let place = place.or(raw.record.as_ref().map(Spanned::span));
        let at = place.map_or(0, |s| s.start);
        return Err(src.fault(at, why.trim_end_matches('.'), "drop this line"));
    }
    Ok((effect, terms))
}
