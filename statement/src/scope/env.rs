//! Environment variables. The lists follow sudo's `plugins/sudoers/env.c` (what `env_reset` keeps, checks and
//! sets; what `env_delete` removes) and the variables glibc itself drops in setuid programs.

use super::Gap;
use super::gap::shown;
use crate::detail::Detail;

/// Names that make a program load code, run commands at its start, or look up names elsewhere. A trailing `*`
/// stands for any ending. Refused for every grant: whoever controls the user's shell must not ride on a grant.
const LOADER: &[&str] = &[
    // Dynamic loader and libc (glibc: unsecure_envvars).
    "LD_*",
    "_RLD*",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "NLSPATH",
    "PATH_LOCALE",
    "MALLOC_*",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "NIS_PATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    // Shells.
    "BASH_ENV",
    "BASH_FUNC_*",
    "BASHOPTS",
    "ENV",
    "FPATH",
    "IFS",
    "PS4",
    "SHELLOPTS",
    "ZDOTDIR",
    "NULLCMD",
    "READNULLCMD",
    // Interpreters.
    "PERLIO_DEBUG",
    "PERLLIB",
    "PERL5*",
    "PYTHON*",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "NODE_PATH",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    // Libraries that load modules by name.
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "KRB5_CONFIG*",
    "KRB5_KTNAME",
    "GIO_MODULE_DIR",
    "GTK_MODULES",
    "GTK_PATH",
    "QT_PLUGIN_PATH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG*",
    "GIT_EXEC_PATH",
];

/// What sudo keeps or sets by default; a scoped grant covers no other without naming it.
const SAFE: &[&str] = &[
    // Set by sudo for the target user.
    "HOME",
    "LOGNAME",
    "MAIL",
    "SHELL",
    "USER",
    "SUDO_COMMAND",
    "SUDO_GID",
    "SUDO_HOME",
    "SUDO_TTY",
    "SUDO_UID",
    "SUDO_USER",
    // Kept from the caller.
    "COLORS",
    "DISPLAY",
    "HOSTNAME",
    "KRB5CCNAME",
    "LS_COLORS",
    "PS1",
    "PS2",
    "XAUTHORITY",
    "XAUTHORIZATION",
    "XDG_CURRENT_DESKTOP",
];

/// Kept from the caller by sudo where the value holds no `/` and no `%`.
const SAFE_PLAIN: &[&str] = &["COLORTERM", "LANG", "LANGUAGE", "LC_*", "LINGUAS", "TERM"];

/// What `secure_path` is made of on the systems sudo comes with. A scoped grant takes a `PATH` of these alone: without
/// `secure_path` sudo hands on the caller's, which would choose what a listed script runs.
const SYSTEM_PATH: &[&[u8]] = &[
    b"/usr/local/sbin",
    b"/usr/local/bin",
    b"/usr/sbin",
    b"/usr/bin",
    b"/sbin",
    b"/bin",
    b"/snap/bin",
];

/// Refuses unless every entry may be handed to a command of this grant.
pub(super) fn check(detail: &Detail, env: &[&[u8]], unlimited: bool) -> Result<(), Gap> {
    for entry in env {
        let split = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0);
        let Some(at) = split else {
            return Err(Gap::MalformedVariable);
        };
        let (name, value) = (&entry[..at], &entry[at + 1..]);
        // A value that starts like this is a function to an old bash (CVE-2014-6271).
        if is_loader(name) || value.starts_with(b"()") {
            return Err(Gap::LoaderVariable(shown(name)));
        }
        if unlimited || super::is_listed(&detail.env, name) || is_on(SAFE, name) {
            continue;
        }
        let sane = match name {
            b"PATH" => value
                .split(|b| *b == b':')
                .all(|part| SYSTEM_PATH.contains(&part)),
            b"TZ" => is_safe_tz(value),
            _ if is_on(SAFE_PLAIN, name) => !value.iter().any(|b| matches!(b, b'/' | b'%')),
            _ => return Err(Gap::Variable(shown(name))),
        };
        if !sane {
            return Err(Gap::VariableValue(shown(name)));
        }
    }
    Ok(())
}

/// True for names that no grant may allow.
pub fn is_loader_variable(name: &str) -> bool {
    is_loader(name.as_bytes())
}

fn is_loader(name: &[u8]) -> bool {
    is_on(LOADER, name)
}

fn is_on(list: &[&str], name: &[u8]) -> bool {
    list.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    })
}

/// Stricter than sudo's: a zone's name, never a path from the root.
fn is_safe_tz(value: &[u8]) -> bool {
    let name = value.strip_prefix(b":").unwrap_or(value);
    name.len() < 256
        && name.first() != Some(&b'/')
        && name.iter().all(u8::is_ascii_graphic)
        && !name.split(|b| *b == b'/').any(|part| part == b"..")
}
