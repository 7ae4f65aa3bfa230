//! What a grant gives, as data: the detail of a role, a request and a grant.
//!
//! Every member is refused unless known, and an absent list gives nothing: no member means "all" by being left
//! out. Limits are from `docs/spec/statements.md`.

use serde::{Deserialize, Serialize};

/// `type` of every detail (shape of RFC 9396 `authorization_details`).
pub const DETAIL_TYPE: &str = "urn:jitctl:linux-elevation:1";

/// A way to root that asks us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    Sudo,
    Su,
    Ssh,
    Polkit,
}

impl Door {
    /// As written in statements and shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Door::Sudo => "sudo",
            Door::Su => "su",
            Door::Ssh => "ssh",
            Door::Polkit => "polkit",
        }
    }
}

/// `"ALL"`, or a list. `All` can only be written as the literal string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AllOr<T> {
    All(All),
    List(Vec<T>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum All {
    #[serde(rename = "ALL")]
    All,
}

/// One allowed command: an absolute path and its exact arguments. `"*"` as the last argument stands for any
/// further arguments, also none; anywhere else it is the character itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub path: String,
    pub args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The grant itself authenticates.
    None,
    /// The rest of the PAM stack asks for the password.
    Password,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    None,
    Output,
    Full,
}

/// What happens at the end to processes that still hold the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnEnd {
    Kill,
    Report,
}

/// When the witness must have seen the journal, beside its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witnessed {
    /// Before the grant takes effect.
    Grant,
    /// Before it takes effect, and before each use.
    Use,
}

/// Detail v1. `login` and `uid` are absent in a role and required in a request and a grant
/// (see [`crate::claims`]), so they stand there beside the detail's other members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    #[serde(rename = "type")]
    pub kind: String,
    /// ≤ 32 bytes.
    pub login: String,
    pub uid: u32,
    /// Required; may be empty (a grant of groups alone).
    pub doors: Vec<Door>,
    /// ≤ 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// ≤ 8; absent = nobody.
    #[serde(default = "nobody", skip_serializing_if = "is_empty_list")]
    pub runas: AllOr<String>,
    /// ≤ 32; absent = none.
    #[serde(default = "no_commands", skip_serializing_if = "is_empty_list")]
    pub commands: AllOr<Command>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub shell: bool,
    /// Absolute paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sudoedit: Vec<String>,
    /// Working directories allowed with `-D`; absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cwd: Vec<String>,
    /// Names of environment variables allowed beyond the safe list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// A terminal is required.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tty: bool,
    /// One use, then the grant ends.
    #[serde(default, skip_serializing_if = "is_false")]
    pub once: bool,
    pub auth: Auth,
    pub record: Record,
    pub on_end: OnEnd,
    /// Protected files unlocked while the grant lives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlock: Vec<String>,
    /// Absent: as the host's ceiling has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
}

fn nobody() -> AllOr<String> {
    AllOr::List(Vec::new())
}

fn no_commands() -> AllOr<Command> {
    AllOr::List(Vec::new())
}

fn is_empty_list<T>(v: &AllOr<T>) -> bool {
    matches!(v, AllOr::List(l) if l.is_empty())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(b: &bool) -> bool {
    !*b
}
