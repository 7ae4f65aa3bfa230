//! The one table of exit codes and error codes. Scripts depend on both, so the test below freezes them.

use wire::cli;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Error = 1,
    Usage = 2,
    Denied = 3,
    Pending = 4,
    Unreachable = 5,
    NoGrant = 6,
    Problems = 7,
    Interrupted = 130,
}

impl Exit {
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// For `--help`.
pub const HELP: &str = "\
Examples:
  jitctl elevate --for 15m --reason 'cron is stuck'    then sudo, in any shell of yours
  jitctl status
  jitctl drop                                          or wait for the end

Exit codes:
  0    done
  1    error
  2    wrong usage: unknown option, bad duration, bad reason
  3    denied: not eligible, unknown role, over the maximum, not root
  4    waiting for approval
  5    the agent or the issuer cannot be reached
  6    no active grant
  7    the check found problems
  130  interrupted";

/// Stable `error.code` of `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Usage,
    NotEligible,
    UnknownRole,
    TooLong,
    NotYours,
    NotRoot,
    Denied,
    Nested,
    Pending,
    /// The agent answers but the issuer or the link does not, or this host is not enrolled.
    Unreachable,
    /// The agent itself does not answer.
    AgentUnreachable,
    NoGrant,
    Busy,
    Internal,
    /// The journal tells nothing of it.
    NotFound,
    /// A step of `setup` failed.
    SetupFailed,
    /// The journal has a fault, so nothing is made of it.
    LogUnsound,
    Interrupted,
}

impl Code {
    /// Name in JSON and exit code.
    const fn row(self) -> (&'static str, Exit) {
        match self {
            Code::Usage => ("usage", Exit::Usage),
            Code::NotEligible => ("not-eligible", Exit::Denied),
            Code::UnknownRole => ("unknown-role", Exit::Denied),
            Code::TooLong => ("too-long", Exit::Denied),
            Code::NotYours => ("not-yours", Exit::Denied),
            Code::NotRoot => ("not-root", Exit::Denied),
            Code::Denied => ("denied", Exit::Denied),
            Code::Nested => ("nested", Exit::Denied),
            Code::Pending => ("pending", Exit::Pending),
            Code::Unreachable => ("unreachable", Exit::Unreachable),
            Code::AgentUnreachable => ("agent-unreachable", Exit::Unreachable),
            Code::NoGrant => ("no-grant", Exit::NoGrant),
            Code::Busy => ("busy", Exit::Error),
            Code::Internal => ("internal", Exit::Error),
            Code::NotFound => ("not-found", Exit::Error),
            Code::SetupFailed => ("setup-failed", Exit::Error),
            Code::LogUnsound => ("log-unsound", Exit::Problems),
            Code::Interrupted => ("interrupted", Exit::Interrupted),
        }
    }

    pub const fn name(self) -> &'static str {
        self.row().0
    }

    pub const fn exit(self) -> Exit {
        self.row().1
    }
}

impl From<cli::Code> for Code {
    fn from(code: cli::Code) -> Code {
        match code {
            cli::Code::Usage => Code::Usage,
            cli::Code::NotEligible => Code::NotEligible,
            cli::Code::UnknownRole => Code::UnknownRole,
            cli::Code::TooLong => Code::TooLong,
            cli::Code::NotYours => Code::NotYours,
            cli::Code::NotRoot => Code::NotRoot,
            cli::Code::Denied => Code::Denied,
            cli::Code::Nested => Code::Nested,
            cli::Code::Pending => Code::Pending,
            cli::Code::Unreachable => Code::Unreachable,
            cli::Code::NoGrant => Code::NoGrant,
            cli::Code::Busy => Code::Busy,
            cli::Code::Internal => Code::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_frozen() {
        let frozen = [
            (Code::Usage, "usage", 2),
            (Code::NotEligible, "not-eligible", 3),
            (Code::UnknownRole, "unknown-role", 3),
            (Code::TooLong, "too-long", 3),
            (Code::NotYours, "not-yours", 3),
            (Code::NotRoot, "not-root", 3),
            (Code::Denied, "denied", 3),
            (Code::Nested, "nested", 3),
            (Code::Pending, "pending", 4),
            (Code::Unreachable, "unreachable", 5),
            (Code::AgentUnreachable, "agent-unreachable", 5),
            (Code::NoGrant, "no-grant", 6),
            (Code::Busy, "busy", 1),
            (Code::Internal, "internal", 1),
            (Code::NotFound, "not-found", 1),
            (Code::SetupFailed, "setup-failed", 1),
            (Code::LogUnsound, "log-unsound", 7),
            (Code::Interrupted, "interrupted", 130),
        ];
        for (code, name, exit) in frozen {
            assert_eq!((code.name(), code.exit().code()), (name, exit));
        }
        assert_eq!(Exit::Ok.code(), 0);
        assert_eq!(Exit::Problems.code(), 7);
    }

    /// The agent's own names of its codes are the names in JSON.
    #[test]
    fn names_are_the_agents() {
        use cli::Code as C;
        for code in [
            C::Usage,
            C::NotEligible,
            C::UnknownRole,
            C::TooLong,
            C::NotYours,
            C::NotRoot,
            C::Denied,
            C::Nested,
            C::Pending,
            C::Unreachable,
            C::NoGrant,
            C::Busy,
            C::Internal,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), Code::from(code).name());
        }
    }

    #[test]
    fn help_names_every_exit_code() {
        for exit in [
            Exit::Ok,
            Exit::Error,
            Exit::Usage,
            Exit::Denied,
            Exit::Pending,
            Exit::Unreachable,
            Exit::NoGrant,
            Exit::Problems,
            Exit::Interrupted,
        ] {
            let start = format!("  {:<5}", exit.code());
            assert!(HELP.lines().any(|l| l.starts_with(&start)), "{exit:?}");
        }
    }
}
