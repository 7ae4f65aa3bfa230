//! Who called sudo and how: `user_info`, `settings` and the command line, as sudo hands them to `open`.

use wire::Text;
use wire::gate::Subject;

/// Longest login name taken; Linux allows 32, directories more.
const MAX_LOGIN: usize = 256;

/// Value of the first `key=value` entry with this key.
pub fn value<'a>(entries: &[&'a [u8]], key: &str) -> Option<&'a [u8]> {
    entries
        .iter()
        .find_map(|e| e.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
}

/// A `u32` in plain decimal; signs, blanks and overflow are `None`.
pub fn number(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_true(settings: &[&[u8]], key: &str) -> bool {
    value(settings, key) == Some(b"true")
}

/// The invoking user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub login: Text,
    pub uid: u32,
    pub cwd: Option<Text>,
    pub tty: Option<Text>,
}

impl Caller {
    /// From sudo's `user_info`; `None` when the login or uid is missing or makes no sense.
    pub fn from_user_info(user_info: &[&[u8]]) -> Option<Self> {
        let text = |key| value(user_info, key).map(|v| Text(v.to_vec()));
        let login = text("user").filter(|t| !t.0.is_empty() && t.0.len() <= MAX_LOGIN)?;
        // The last uid is (uid_t)-1, "no user" of the system calls.
        let uid = value(user_info, "uid")
            .and_then(number)
            .filter(|uid| *uid != u32::MAX)?;
        Some(Self {
            login,
            uid,
            cwd: text("cwd"),
            tty: text("tty"),
        })
    }

    /// As the agent knows him.
    pub fn subject(&self) -> Subject {
        Subject {
            login: self.login.clone(),
            uid: self.uid,
        }
    }
}

/// Settings of the front end that no grant covers: each changes how or where the command runs in a way that
/// `command_info` does not show, or shows too late. They are present only when the caller gave the option.
const UNUSUAL: &[&str] = &[
    "apparmor_profile",
    "bsdauth_type",
    "closefrom",
    "cmnd_chroot",
    "login_class",
    "preserve_groups",
    "remote_host",
    "selinux_role",
    "selinux_type",
];

/// What the options of this call say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `-i`, `-s`, or no command at all.
    pub shell: bool,
    /// `-g`.
    pub runas_group: Option<Text>,
    /// `-D`.
    pub cwd: Option<Text>,
    /// Each of [`UNUSUAL`] that was given, as `name=value`.
    pub unusual: Vec<Text>,
}

impl Settings {
    pub fn parse(settings: &[&[u8]]) -> Self {
        let text = |key| value(settings, key).map(|v| Text(v.to_vec()));
        let given = |key: &&str| {
            let mut entry = key.as_bytes().to_vec();
            entry.push(b'=');
            entry.extend_from_slice(value(settings, key)?);
            Some(Text(entry))
        };
        Self {
            shell: ["login_shell", "run_shell", "implied_shell"]
                .iter()
                .any(|k| is_true(settings, k)),
            runas_group: text("runas_group"),
            cwd: text("cmnd_cwd"),
            unusual: UNUSUAL.iter().filter_map(given).collect(),
        }
    }
}

/// What this call of sudo is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A command, a shell or sudoedit.
    Run,
    /// `-l`.
    List,
    /// `-v`.
    Validate,
    /// `-k` or `-K` alone, `-V`: nothing runs.
    Other,
}

/// sudo's short options that take an argument.
const WITH_ARGUMENT: &[u8] = b"aCcDgpRrTtUu";
/// sudo's long options that matter here or take an argument, with their short form.
const LONG: &[(&str, u8)] = &[
    ("auth-type", b'a'),
    ("chdir", b'D'),
    ("chroot", b'R'),
    ("close-from", b'C'),
    ("command-timeout", b'T'),
    ("edit", b'e'),
    ("group", b'g'),
    // --host, unlike -h, always takes an argument; as does -C, whose value does not matter here.
    ("host", b'C'),
    ("list", b'l'),
    ("login", b'i'),
    ("login-class", b'c'),
    ("other-user", b'U'),
    ("prompt", b'p'),
    ("remove-timestamp", b'K'),
    ("reset-timestamp", b'k'),
    ("role", b'r'),
    ("shell", b's'),
    ("type", b't'),
    ("user", b'u'),
    ("validate", b'v'),
    ("version", b'V'),
];

/// getopt takes any prefix of a long option that is not ambiguous.
fn long_flag(name: &[u8]) -> Option<u8> {
    let exact = LONG.iter().find(|(full, _)| full.as_bytes() == name);
    let found = exact.or_else(|| {
        LONG.iter()
            .find(|(full, _)| full.as_bytes().starts_with(name))
    });
    found.map(|(_, flag)| *flag)
}

/// sudo's options as (short form, argument). Only what lies before `optind` (sudo's own count) is read, so a
/// command's options never count as sudo's.
fn options<'a>(argv: &[&'a [u8]], optind: usize) -> Vec<(u8, Option<&'a [u8]>)> {
    let mut found = Vec::new();
    let mut words = argv
        .get(1..optind.min(argv.len()))
        .unwrap_or_default()
        .iter();
    while let Some(word) = words.next() {
        if *word == b"--" {
            break;
        } else if let Some(long) = word.strip_prefix(b"--") {
            let mut parts = long.splitn(2, |b| *b == b'=');
            let name = parts.next().unwrap_or_default();
            let Some(flag) = long_flag(name) else {
                continue;
            };
            let argument = match parts.next() {
                None if WITH_ARGUMENT.contains(&flag) => words.next().copied(),
                attached => attached,
            };
            found.push((flag, argument));
        } else if let Some(short) = word.strip_prefix(b"-") {
            for (i, flag) in short.iter().enumerate() {
                let attached = short.get(i + 1..).filter(|a| !a.is_empty());
                if WITH_ARGUMENT.contains(flag) {
                    found.push((*flag, attached.or_else(|| words.next().copied())));
                    break;
                }
                found.push((*flag, None));
                // The argument of -h is optional and, when attached, ends the word.
                if *flag == b'h' {
                    break;
                }
            }
        }
        // Else NAME=value, or the host after a lone -h.
    }
    found
}

/// The mode and the login asked about with `-U`, from the command line: sudo does not tell plugins. A wrong
/// guess costs time or a word in a record, never a right.
pub fn mode(argv: &[&[u8]], optind: usize) -> (Mode, Option<Text>) {
    let options = options(argv, optind);
    let given = |flags: &[u8]| options.iter().any(|(flag, _)| flags.contains(flag));
    let about = options
        .iter()
        .find(|(flag, _)| *flag == b'U')
        .and_then(|(_, argument)| *argument);
    let nothing_to_run = optind >= argv.len() && !given(b"is");
    let mode = if given(b"l") {
        Mode::List
    } else if given(b"v") {
        Mode::Validate
    } else if given(b"KV") || (given(b"k") && nothing_to_run) {
        Mode::Other
    } else {
        Mode::Run
    };
    (mode, about.map(|login| Text(login.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `words` after "sudo", with `|` where sudo's own options end.
    fn parsed(line: &str) -> (Mode, Option<Text>) {
        let mut argv: Vec<&[u8]> = vec![b"sudo"];
        let mut optind = None;
        for word in line.split_whitespace() {
            if word == "|" {
                optind = Some(argv.len());
            } else {
                argv.push(word.as_bytes());
            }
        }
        mode(&argv, optind.unwrap_or(argv.len()))
    }

    #[test]
    fn modes_are_read_from_sudos_own_options_only() {
        use Mode::*;
        for (line, expected) in [
            ("| id", Run),
            ("", Run),
            ("-n | id", Run),
            ("-u root | ls -l", Run),
            ("-ul | id", Run),
            ("-u l | id", Run),
            ("-s", Run),
            ("-ki", Run),
            ("-k | id", Run),
            ("-k", Other),
            ("-nk", Other),
            ("-K", Other),
            ("--remove", Other),
            ("--reset-timestamp", Other),
            ("-V", Other),
            ("-l", List),
            ("-nl", List),
            ("-ll", List),
            ("-kl", List),
            ("--list", List),
            ("--li | id", List),
            ("--login", Run),
            ("--login -v", Validate),
            ("-kv", Validate),
            ("--validate", Validate),
            ("--user -l | id", Run),
            ("--user=-l | id", Run),
            ("--host -l | id", Run),
            ("-h -l | id", List),
            ("-hl | id", Run),
            ("-h host | id -l", Run),
            ("A=-l | id", Run),
            ("-p -l | id", Run),
            ("-- | -l", Run),
        ] {
            assert_eq!(parsed(line).0, expected, "sudo {line}");
        }
    }

    #[test]
    fn the_login_asked_about_is_found() {
        let about = |line| parsed(line).1.map(|t| String::from_utf8(t.0).unwrap());
        assert_eq!(about("-l -U alice").as_deref(), Some("alice"));
        assert_eq!(about("-lUalice").as_deref(), Some("alice"));
        assert_eq!(about("-l --other-user=alice").as_deref(), Some("alice"));
        assert_eq!(about("-l --other alice").as_deref(), Some("alice"));
        assert_eq!(about("-l -U"), None);
        assert_eq!(about("-l | -U alice"), None);
    }

    #[test]
    fn odd_counts_do_not_panic() {
        assert_eq!(mode(&[], 0), (Mode::Run, None));
        assert_eq!(mode(&[], 7), (Mode::Run, None));
        assert_eq!(mode(&[b"sudo", b"-l"], 99), (Mode::List, None));
        assert_eq!(mode(&[b"sudo", b"-l"], 0), (Mode::Run, None));
    }

    #[test]
    fn the_caller_needs_a_login_and_a_uid() {
        let info: [&[u8]; 5] = [
            b"user=alice",
            b"pid=7",
            b"uid=1000",
            b"cwd=/home/alice",
            b"tty=/dev/pts/1",
        ];
        let caller = Caller::from_user_info(&info).unwrap();
        assert_eq!(caller.login.0, b"alice");
        assert_eq!(caller.uid, 1000);
        assert_eq!(caller.cwd.unwrap().0, b"/home/alice");
        assert_eq!(caller.tty.unwrap().0, b"/dev/pts/1");
        for bad in [
            &b"uid="[..],
            b"uid=-1",
            b"uid=+0",
            b"uid=4294967295",
            b"uid=4294967296",
            b"uid=0x0",
            b"uid",
            b"euid=0",
        ] {
            assert_eq!(
                Caller::from_user_info(&[b"user=alice", bad]),
                None,
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(Caller::from_user_info(&[b"uid=1000"]), None);
        assert_eq!(Caller::from_user_info(&[b"user=", b"uid=1000"]), None);
        let long = [&b"user="[..], &[b'a'; MAX_LOGIN + 1]].concat();
        assert_eq!(Caller::from_user_info(&[&long, b"uid=1000"]), None);
    }

    #[test]
    fn settings_tell_shell_group_directory_and_the_unusual() {
        assert_eq!(
            Settings::parse(&[
                b"progname=sudo",
                b"network_addrs=::1",
                b"noninteractive=true"
            ]),
            Settings::default()
        );
        for shell in [
            &b"login_shell=true"[..],
            b"run_shell=true",
            b"implied_shell=true",
        ] {
            assert!(Settings::parse(&[shell]).shell);
        }
        assert!(!Settings::parse(&[b"run_shell=false"]).shell);
        let all = Settings::parse(&[
            b"runas_group=adm",
            b"cmnd_cwd=/etc",
            b"remote_host=h\n",
            b"closefrom=4",
        ]);
        assert_eq!(all.runas_group.unwrap().0, b"adm");
        assert_eq!(all.cwd.unwrap().0, b"/etc");
        let unusual: Vec<_> = all.unusual.iter().map(|t| t.0.as_slice()).collect();
        assert_eq!(unusual, [&b"closefrom=4"[..], b"remote_host=h\n"]);
        for name in UNUSUAL {
            assert_eq!(
                Settings::parse(&[format!("{name}=x").as_bytes()])
                    .unusual
                    .len(),
                1,
                "{name}"
            );
        }
    }
}
