//! Plan and transaction over a tree of files, without root and without sudo.

use super::plan::{Plan, Stop, Wanted, plan as plan_of};
use super::transaction;
use crate::facts::{PAM_SERVICE, SUDO_CONF};
use crate::files::{self, Place};
use crate::sudo_rs::{PAM_FILES, SUDOERS_RS};
use crate::sudoconf::{self, SUDOERS};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use wire::cli::Role;
use wire::wiring::{self, Manifest};

const BLOCK: &str = "\
Plugin jit_approval /usr/libexec/jit/sudo_jit.so
Plugin jit_audit /usr/libexec/jit/sudo_jit.so
Plugin sudoers_audit sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_policy sudoers.so sudoers_file=/etc/jit/sudoers
Plugin sudoers_io sudoers.so
Set group_source dynamic
";
const STOCK: &str = "# stock\n#Plugin sudoers_policy sudoers.so\nSet disable_coredump true\n";

/// With classic sudo alone.
fn plan(place: &Place) -> Result<Plan, Stop> {
    let wanted = Wanted {
        classic: true,
        rs: false,
        su: false,
        roles: &[],
    };
    plan_of(place, wanted)
}

fn both(roles: &[Role]) -> Wanted<'_> {
    Wanted {
        classic: true,
        rs: true,
        su: false,
        roles,
    }
}

struct Tree {
    _dir: tempfile::TempDir,
    place: Place,
}

impl Tree {
    fn new() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::below(dir.path());
        for sub in ["/etc/pam.d", "/usr/lib/jit/wiring", "/var/lib"] {
            fs::create_dir_all(place.at(sub)).unwrap();
        }
        let tree = Tree { _dir: dir, place };
        tree.put("/usr/lib/jit/wiring/sudo.conf", BLOCK, 0o644);
        tree.put(
            "/usr/lib/jit/wiring/sudoers",
            "@include /etc/sudoers\n",
            0o644,
        );
        tree.put(
            "/usr/lib/jit/wiring/pam-sudo-jit",
            "auth required pam_jit.so\n",
            0o644,
        );
        tree.put(SUDO_CONF, STOCK, 0o644);
        tree
    }

    fn put(&self, path: &str, text: &str, mode: u32) {
        fs::write(self.place.at(path), text).unwrap();
        fs::set_permissions(self.place.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        files::read(&self.place.at(path)).unwrap().map(|c| c.text())
    }

    fn plan(&self) -> Plan {
        plan(&self.place).unwrap()
    }

    fn wire_both(&self, roles: &[Role]) {
        let plan = plan_of(&self.place, both(roles)).unwrap();
        transaction::write(&self.place, &plan, |_, _| Ok(()))
            .unwrap()
            .keep()
            .unwrap();
    }

    fn wire(&self) {
        let plan = self.plan();
        transaction::write(&self.place, &plan, |_, _| Ok(()))
            .unwrap()
            .keep()
            .unwrap();
    }

    /// What `jit-end --unwire` gives back, by the record.
    fn originals(&self) -> Vec<(String, Option<String>)> {
        let bytes = files::read(&self.place.at(wiring::DIR).join(wiring::MANIFEST))
            .unwrap()
            .unwrap()
            .bytes;
        let manifest = Manifest::parse(&bytes).unwrap();
        let dir = self.place.at(wiring::DIR);
        manifest
            .files
            .iter()
            .map(|f| {
                let original = files::read(&dir.join(f.original())).unwrap();
                assert_eq!(original.is_some(), f.existed_before, "{}", f.path);
                let ours = files::read(&dir.join(f.ours())).unwrap().unwrap();
                assert_eq!(ours.owner.mode, 0o600);
                assert_eq!(Some(ours.text()), self.text(&f.path.to_string()));
                (f.path.to_string(), original.map(|o| o.text()))
            })
            .collect()
    }

    fn nothing_of_ours(&self) {
        assert_eq!(self.text(PAM_SERVICE), None);
        assert_eq!(self.text(SUDOERS), None);
        assert_eq!(self.text(SUDO_CONF).as_deref(), Some(STOCK));
        assert!(files::names(&self.place.at(wiring::DIR)).is_empty());
    }
}

#[test]
fn wiring_writes_three_files_and_a_record_of_them() {
    let tree = Tree::new();
    tree.wire();
    assert_eq!(sudoconf::gaps(&tree.text(SUDO_CONF).unwrap()), []);
    assert!(tree.text(SUDO_CONF).unwrap().starts_with(STOCK));
    let mode = |path| {
        files::read(&tree.place.at(path))
            .unwrap()
            .unwrap()
            .owner
            .mode
    };
    assert_eq!(
        (mode(PAM_SERVICE), mode(SUDOERS), mode(SUDO_CONF)),
        (0o644, 0o440, 0o644)
    );
    assert_eq!(
        tree.originals(),
        [
            (PAM_SERVICE.to_owned(), None),
            (SUDOERS.to_owned(), None),
            (SUDO_CONF.to_owned(), Some(STOCK.to_owned())),
        ]
    );
    assert!(tree.plan().nothing_to_do(), "a second run changes nothing");
}

#[test]
fn a_stock_file_put_back_is_wired_again_with_the_same_original() {
    let tree = Tree::new();
    tree.wire();
    tree.put(SUDO_CONF, STOCK, 0o644);
    assert!(!tree.plan().nothing_to_do());
    tree.wire();
    assert!(tree.plan().nothing_to_do());
    assert_eq!(tree.originals()[2].1.as_deref(), Some(STOCK));
    assert_eq!(
        files::names(&tree.place.at(wiring::DIR)).len(),
        5,
        "old copies are gone"
    );
}

#[test]
fn the_admins_later_lines_become_part_of_the_original() {
    let tree = Tree::new();
    tree.wire();
    let edited = format!("Path askpass /x\n{}", tree.text(SUDO_CONF).unwrap());
    tree.put(SUDO_CONF, &edited, 0o644);
    tree.wire();
    assert_eq!(tree.text(SUDO_CONF).unwrap(), edited);
    assert_eq!(
        tree.originals()[2].1,
        Some(format!("Path askpass /x\n{STOCK}"))
    );
    assert!(tree.plan().nothing_to_do());
}

#[test]
fn a_group_writable_wired_file_is_repaired_and_an_unwired_one_refused() {
    let tree = Tree::new();
    tree.put(SUDO_CONF, STOCK, 0o664);
    assert!(plan(&tree.place).unwrap_err().message.contains("0664"));
    tree.put(SUDO_CONF, STOCK, 0o644);
    tree.wire();
    let wired = tree.text(SUDO_CONF).unwrap();
    tree.put(SUDO_CONF, &wired, 0o664);
    tree.wire();
    let mode = files::read(&tree.place.at(SUDO_CONF))
        .unwrap()
        .unwrap()
        .owner
        .mode;
    assert_eq!(mode, 0o644);
}

#[test]
fn an_edited_file_of_ours_is_kept_aside() {
    let tree = Tree::new();
    tree.wire();
    fs::remove_file(tree.place.at(SUDOERS)).unwrap();
    tree.put(SUDOERS, "@include /etc/sudoers\n# mine\n", 0o440);
    tree.wire();
    assert_eq!(tree.text(SUDOERS).unwrap(), "@include /etc/sudoers\n");
    let kept = files::names(&tree.place.at(wiring::DIR))
        .into_iter()
        .find(|n| n.ends_with(".edited"))
        .unwrap();
    let kept = files::read(&tree.place.at(wiring::DIR).join(kept))
        .unwrap()
        .unwrap();
    assert!(kept.text().contains("# mine"));
    assert_eq!(tree.originals()[1], (SUDOERS.to_owned(), None));
}

#[test]
fn a_lost_record_does_not_make_our_lines_the_original() {
    let tree = Tree::new();
    tree.wire();
    fs::remove_dir_all(tree.place.at(wiring::DIR)).unwrap();
    tree.wire();
    assert_eq!(
        tree.originals()
            .into_iter()
            .map(|(_, o)| o)
            .collect::<Vec<_>>(),
        [None, None, Some(STOCK.to_owned())]
    );
}

#[test]
fn without_a_sudo_conf_undo_removes_ours() {
    let tree = Tree::new();
    fs::remove_file(tree.place.at(SUDO_CONF)).unwrap();
    tree.wire();
    assert_eq!(tree.originals()[2].1, None);
    fs::remove_dir_all(tree.place.at(wiring::DIR)).unwrap();
    tree.wire();
    assert_eq!(tree.originals()[2].1, None);
}

#[test]
fn a_refused_sudoers_file_changes_nothing() {
    let tree = Tree::new();
    let plan = tree.plan();
    let seen = std::cell::Cell::new(false);
    let error = transaction::write(&tree.place, &plan, |_, path| {
        seen.set(fs::read_to_string(path).is_ok());
        Err("syntax error".to_owned())
    })
    .unwrap_err();
    assert_eq!(error, "syntax error");
    assert!(seen.get());
    tree.nothing_of_ours();
    assert_eq!(
        files::names(&tree.place.at("/etc/jit")),
        Vec::<String>::new()
    );
}

#[test]
fn what_was_written_is_taken_back_to_the_byte() {
    let tree = Tree::new();
    let plan = tree.plan();
    let written = transaction::write(&tree.place, &plan, |_, _| Ok(())).unwrap();
    assert_ne!(tree.text(SUDO_CONF).as_deref(), Some(STOCK));
    written.take_back().unwrap();
    tree.nothing_of_ours();
}

#[test]
fn a_failed_rewiring_gives_the_former_wiring_and_record_back() {
    let tree = Tree::new();
    tree.wire();
    let before = tree.originals();
    tree.put(
        "/usr/lib/jit/wiring/sudoers",
        "@include /etc/sudoers\n# new\n",
        0o644,
    );
    let plan = tree.plan();
    transaction::write(&tree.place, &plan, |_, _| Ok(()))
        .unwrap()
        .take_back()
        .unwrap();
    assert_eq!(tree.originals(), before);
    assert_eq!(tree.text(SUDOERS).unwrap(), "@include /etc/sudoers\n");
}

#[test]
fn a_link_a_damaged_record_or_a_missing_template_stops_it() {
    let tree = Tree::new();
    fs::remove_file(tree.place.at(SUDO_CONF)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.place.at(SUDO_CONF)).unwrap();
    assert!(
        plan(&tree.place)
            .unwrap_err()
            .message
            .contains("symbolic link")
    );

    let tree = Tree::new();
    tree.wire();
    let manifest = tree.place.at(wiring::DIR).join(wiring::MANIFEST);
    fs::write(manifest, "{").unwrap();
    assert!(plan(&tree.place).unwrap_err().message.contains("damaged"));

    let tree = Tree::new();
    fs::remove_file(tree.place.at("/usr/lib/jit/wiring/sudoers")).unwrap();
    assert!(plan(&tree.place).unwrap_err().message.contains("template"));
}

const PAM: &str = "#%PAM-1.0\n@include common-auth\n@include common-account\n";

/// A tree with what a host with both sudos has.
fn with_sudo_rs() -> Tree {
    let tree = Tree::new();
    for path in PAM_FILES {
        tree.put(path, PAM, 0o644);
    }
    for (name, text) in [
        (
            "pam-sudo",
            include_str!("../../../packaging/wiring/pam-sudo"),
        ),
        (
            "sudoers-rs",
            include_str!("../../../packaging/wiring/sudoers-rs"),
        ),
    ] {
        tree.put(&format!("/usr/lib/jit/wiring/{name}"), text, 0o644);
    }
    tree
}

fn role(name: &str) -> Role {
    Role {
        name: name.to_owned(),
        sudo: true,
        commands: None,
    }
}

#[test]
fn sudo_rs_is_wired_between_the_files_of_classic_sudo() {
    let tree = with_sudo_rs();
    tree.wire_both(&[role("admin")]);
    let order: Vec<String> = tree.originals().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        order,
        [
            PAM_SERVICE,
            SUDOERS,
            PAM_FILES[0],
            PAM_FILES[1],
            SUDOERS_RS,
            SUDO_CONF
        ]
    );
    let originals: Vec<_> = tree.originals().into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        originals[2..5],
        [Some(PAM.to_owned()), Some(PAM.to_owned()), None]
    );
    assert!(tree.text(SUDOERS_RS).unwrap().contains("%jit-admin ALL="));

    // A new role changes that file alone, and what undo gives back stays.
    let plan = plan_of(&tree.place, both(&[role("admin"), role("ops")])).unwrap();
    let changed: Vec<_> = plan
        .steps
        .iter()
        .filter(|s| s.changes())
        .map(|s| s.path)
        .collect();
    assert_eq!(changed, [SUDOERS_RS]);
    tree.wire_both(&[role("admin"), role("ops")]);
    let again: Vec<_> = tree.originals().into_iter().map(|(_, text)| text).collect();
    assert_eq!(again, originals);

    // sudo-rs was removed: its files stay ours until they are given back.
    let left = tree.plan();
    assert_eq!(left.steps.len(), 6);
}

#[test]
fn sudo_rs_alone_is_wired_without_sudo_conf() {
    let tree = with_sudo_rs();
    let wanted = Wanted {
        classic: false,
        ..both(&[])
    };
    let plan = plan_of(&tree.place, wanted).unwrap();
    let paths: Vec<_> = plan.steps.iter().map(|s| s.path).collect();
    assert_eq!(paths, [PAM_FILES[0], PAM_FILES[1], SUDOERS_RS]);
    fs::remove_file(tree.place.at(PAM_FILES[1])).unwrap();
    assert!(
        plan_of(&tree.place, wanted)
            .unwrap_err()
            .message
            .contains("`other`")
    );
}

#[test]
fn an_admins_line_in_the_pam_file_survives_a_second_setup() {
    let tree = with_sudo_rs();
    tree.wire_both(&[]);
    let edited = format!(
        "{}session optional pam_env.so\n",
        tree.text(PAM_FILES[0]).unwrap()
    );
    tree.put(PAM_FILES[0], &edited, 0o644);
    tree.wire_both(&[]);
    assert_eq!(tree.text(PAM_FILES[0]).unwrap(), edited);
    let kept = tree.originals()[2].1.clone();
    assert_eq!(kept, Some(format!("{PAM}session optional pam_env.so\n")));
}
