//! `gate.sock`: what sudo's plugin and the PAM module ask, and the answers.
//!
//! The peer is a root process acting for a user. It never sends its own pid: the agent takes that, the real
//! uid and the start time from the socket's peer credentials and `/proc`, and refuses a peer whose real uid is
//! neither the asserted one nor 0.

use crate::Text;
use serde::{Deserialize, Serialize};

/// A way to root that asks us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    Sudo,
    Su,
    Ssh,
    Polkit,
}

/// For whom the door asks. Identity is the pair: a name that now has another uid is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub login: Text,
    pub uid: u32,
}

/// End of a grant on both clocks; the earlier of the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Whole seconds of `CLOCK_REALTIME`.
    pub wall_s: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// G1, from sudo's audit `open`: does a grant for this door live? Records nothing.
    Open {
        subject: Subject,
        door: Door,
        /// A command will be run (not `-l`, `-v`, `-k`): the agent may start moving the peer's pid already.
        intent: bool,
    },
    /// G2, from PAM.
    Pam {
        subject: Subject,
        door: Door,
        phase: PamPhase,
        /// PAM service name, for the record.
        service: Text,
        tty: Option<Text>,
        /// The program asks nobody after PAM (sudo-rs, su): account is the use itself, so it is journaled, and the pid
        /// is in the grant's cgroup before the answer is yes.
        #[serde(default)]
        last_gate: bool,
        /// Whom the user would become, where PAM is told (su).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Subject>,
    },
    /// G3, from sudo's approval `check`: may this very command run? Journaled, and the pid is moved into the
    /// grant's cgroup before the answer is `Allow`.
    Use(Box<Use>),
    /// From audit `accept` of `sudo -l` and `sudo -v`: one record, no move.
    List {
        subject: Subject,
        door: Door,
        kind: ListKind,
        /// Login asked about with `-U`.
        about: Option<Text>,
    },
    /// From audit `error`, `reject`: sudo or one of our gates refused.
    Refused {
        subject: Subject,
        door: Door,
        /// What refused: the plugin's name as sudo gives it, or a gate (`G1`…`G4`).
        by: Text,
        message: Text,
        argv: Vec<Text>,
        cwd: Option<Text>,
        tty: Option<Text>,
    },
    /// From audit `close` after an allowed use. `status` is the raw wait status.
    Closed {
        subject: Subject,
        grant: String,
        status: i32,
    },
}

/// Which of PAM's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PamPhase {
    Auth,
    Account,
}

/// `sudo -l` or `sudo -v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    List,
    Validate,
}

/// One command about to run, as sudo resolved it. Bytes are carried without loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    pub subject: Subject,
    pub door: Door,
    /// `command=` of sudo's `command_info`: what will be executed. With sudoedit: the user's editor.
    pub command: Text,
    /// `run_argv`, argv[0] included.
    pub argv: Vec<Text>,
    /// `run_envp`, each `NAME=value`.
    pub env: Vec<Text>,
    pub runas_user: Option<Text>,
    pub runas_uid: u32,
    pub runas_gid: u32,
    /// Set when the caller named a group (`-g`).
    pub runas_group: Option<Text>,
    /// Set when the caller chose the directory (`-D`).
    pub cwd: Option<Text>,
    pub chroot: Option<Text>,
    pub tty: Option<Text>,
    /// `-i` or `-s`, or sudo without a command.
    pub shell: bool,
    pub sudoedit: bool,
    /// Targets of sudoedit (last N of `run_argv`), else empty.
    pub files: Vec<Text>,
    /// `-C`, `-h`, `-r`, `-t` and other settings that no grant covers, as `name=value`.
    pub unusual: Vec<Text>,
    /// `file:line:col` of the sudoers rule that matched; sudo ≥ 1.9.15.
    pub source: Option<Text>,
}

/// The answer: that of its request, or a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "re", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// To `Open`.
    State {
        /// A grant that opens this door lives now.
        active: bool,
        until: Option<Deadline>,
        /// With `active == false`: the sentence for the user, with the command to run.
        text: Option<String>,
        /// The ceiling lets a managed user's own sudoers rules count.
        standing_rules: bool,
    },
    /// To `Pam`.
    Pam {
        verdict: PamVerdict,
        text: Option<String>,
    },
    /// To `Use`.
    Allow {
        grant: String,
        until: Deadline,
        /// Line for the user before the command runs, when there is something to say.
        text: Option<String>,
    },
    /// To `Use`, and to any other request that is refused. The text is for the user.
    Deny { text: String },
    /// To `List`: lines of the grant, shown after sudo's own.
    Lines { lines: Vec<String> },
    /// To `Refused`, `Closed`: recorded.
    #[serde(deserialize_with = "crate::no_members")]
    Done,
}

/// What the module answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PamVerdict {
    /// The grant stands for authentication, or the account may go on.
    Success,
    /// Not by a grant, or one that lives and asks for a password: the rest of the stack decides.
    Ignore,
    /// A grant lives and asks for the user's own password, where the stack would ask for the target's (su).
    OwnPassword,
    /// No: show the text, do not ask for a password.
    Refuse,
}
