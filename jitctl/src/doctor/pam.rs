//! A linter for our PAM service file: a line before ours, or ours with a control that forgives, means that
//! nobody is asked (pam.conf(5)).

const MODULE: &str = "pam_jit.so";

/// What is wrong, as sentences without the full stop.
pub fn faults(text: &str) -> Vec<String> {
    let lines = lines(text);
    let mut faults = Vec::new();
    match first(&lines, "auth") {
        Some(line) if line.module == MODULE => {
            let control = line.control.as_str();
            if control != "requisite" && !control.contains("cred_expired=die") {
                faults.push(format!(
                    "its auth line has the control {control}, which does not stop when no grant is active"
                ));
            }
        }
        Some(line) => faults.push(format!("{} comes before {MODULE} in auth", line.module)),
        None => faults.push(format!("it has no auth line for {MODULE}")),
    }
    match first(&lines, "account") {
        Some(line) if line.module == MODULE => {
            if !matches!(line.control.as_str(), "required" | "requisite") {
                faults.push(format!(
                    "its account line has the control {}, so a refusal may be ignored",
                    line.control
                ));
            }
        }
        Some(line) => faults.push(format!("{} comes before {MODULE} in account", line.module)),
        None => faults.push(format!("it has no account line for {MODULE}")),
    }
    faults
}

/// Does this service take its auth and account lines from another one before all others, and its session lines before any that
/// opens a session of logind?
pub fn leads_to(text: &str, service: &str) -> bool {
    let lines = lines(text);
    let leads = |line: &PamLine| {
        line.module == service && matches!(line.control.as_str(), "include" | "substack" | "")
    };
    let opens = |line: &PamLine| {
        line.module == "pam_systemd.so" || line.module.starts_with("common-session")
    };
    let mut sessions = lines
        .iter()
        .filter(|line| matches!(line.kind.as_str(), "session" | "@include"));
    let session = sessions.find(|line| leads(line) || opens(line));
    ["auth", "account"]
        .iter()
        .all(|kind| first(&lines, kind).is_some_and(leads))
        && session.is_some_and(leads)
}

/// The first session line must be ours, and end the session of a grant before pam_systemd.
pub fn session_faults(text: &str) -> Vec<String> {
    let lines = lines(text);
    let sessions: Vec<&PamLine> = lines.iter().filter(|l| l.kind == "session").collect();
    let are = |wanted: [(&str, &str); 4]| {
        sessions.len() >= wanted.len()
            && wanted
                .iter()
                .zip(&sessions)
                .all(|((control, module), line)| line.control == *control && line.module == *module)
    };
    if are([
        ("success=ignore default=3", MODULE),
        ("required", "pam_limits.so"),
        ("optional", "pam_unix.so"),
        ("default=done", "pam_permit.so"),
    ]) {
        Vec::new()
    } else {
        vec!["its session lines do not begin with ours, so a session of a grant may leave the grant's unit".to_owned()]
    }
}

struct PamLine {
    kind: String,
    control: String,
    module: String,
}

/// The first line of this kind; an `@include` of an unknown file counts as every kind.
fn first<'a>(lines: &'a [PamLine], kind: &str) -> Option<&'a PamLine> {
    lines
        .iter()
        .find(|l| l.kind == kind || l.kind == "@include")
}

fn lines(text: &str) -> Vec<PamLine> {
    let joined = text.replace("\\\n", " ");
    joined
        .lines()
        .map(|l| l.split('#').next().unwrap_or("").trim())
        .filter(|l| !l.is_empty())
        .filter_map(parse)
        .collect()
}

fn parse(line: &str) -> Option<PamLine> {
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    if kind == "@include" {
        // Debian's files of this name hold lines of one kind.
        let of = match rest.trim() {
            "common-auth" => "auth",
            "common-account" => "account",
            "common-session" | "common-session-noninteractive" => "session",
            "common-password" => "password",
            _ => kind,
        };
        return Some(PamLine {
            kind: of.to_owned(),
            control: String::new(),
            module: rest.trim().to_owned(),
        });
    }
    let (control, module) = if let Some(list) = rest.strip_prefix('[') {
        let (list, module) = list.split_once(']')?;
        (list, module)
    } else {
        rest.split_once(char::is_whitespace)?
    };
    let module = module.split_whitespace().next()?;
    Some(PamLine {
        // A leading `-` only silences a missing module.
        kind: kind.trim_start_matches('-').to_ascii_lowercase(),
        control: control.split_whitespace().collect::<Vec<_>>().join(" "),
        module: module.rsplit('/').next().unwrap_or(module).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
#%PAM-1.0
auth     [success=done cred_expired=die default=ignore] pam_jit.so
@include common-auth
account  required  pam_jit.so
@include common-account
session  required  pam_limits.so
";

    #[test]
    fn the_wanted_file_is_fine() {
        assert_eq!(faults(GOOD), Vec::<String>::new());
        let explicit = GOOD.replace("@include common-auth", "auth include common-auth");
        assert_eq!(faults(&explicit), Vec::<String>::new());
        let unknown = GOOD.replace("@include common-auth", "@include local");
        assert!(faults(&unknown)[0].contains("local comes before"));
    }

    #[test]
    fn a_login_shell_leads_to_su_in_all_that_counts() {
        let debian = "auth include su\naccount include su\npassword include su\nsession optional pam_keyinit.so force revoke\nsession include su\n";
        assert!(leads_to(debian, "su"));
        assert!(leads_to("@include su\n", "su"));
        let own = debian.replace("session include su", "session include common-session");
        assert!(!leads_to(&own, "su"));
        let before = debian.replace("pam_keyinit.so force revoke", "pam_systemd.so");
        assert!(!leads_to(&before, "su"));
        assert!(!leads_to(
            &debian.replace("account include su", "account required pam_unix.so"),
            "su"
        ));
    }

    #[test]
    fn each_way_to_be_passed_over_is_a_fault() {
        for (from, to, word) in [
            (
                "account  required  pam_jit.so",
                "account [success=ok default=ignore] pam_jit.so",
                "ignored",
            ),
            (
                "account  required  pam_jit.so",
                "account sufficient pam_jit.so",
                "ignored",
            ),
            (
                "account  required  pam_jit.so",
                "account sufficient pam_permit.so\naccount required pam_jit.so",
                "pam_permit.so comes before",
            ),
            ("account  required  pam_jit.so\n", "", "before"),
            ("cred_expired=die ", "", "does not stop"),
            (
                "auth     [",
                "auth sufficient pam_rootok.so\nauth [",
                "pam_rootok.so comes before",
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            assert!(
                faults(&text).iter().any(|f| f.contains(word)),
                "{to}: {:?}",
                faults(&text)
            );
        }
        assert_eq!(faults("").len(), 2);
    }
}
