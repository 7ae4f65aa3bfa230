//! Our structs against the real `sudo_plugin.h` of this machine (package `sudo`), through a C probe.

use super::*;
use core::mem::{offset_of, size_of};
use std::collections::BTreeMap;
use std::process::Command;

macro_rules! layout {
    ($($c:literal = $rust:ty { $($c_field:literal = $field:ident),* $(,)? })*) => {
        fn ours() -> BTreeMap<String, usize> {
            let mut all = BTreeMap::new();
            $(
                all.insert($c.to_owned(), size_of::<$rust>());
                $( all.insert(concat!($c, ".", $c_field).to_owned(), offset_of!($rust, $field)); )*
            )*
            all
        }
        fn probe() -> String {
            let mut c = String::from("#include <stddef.h>\n#include <stdio.h>\n#include <sudo_plugin.h>\nint main(void) {\n");
            $(
                c += concat!("printf(\"", $c, " %zu\\n\", sizeof(struct ", $c, "));\n");
                $( c += concat!("printf(\"", $c, ".", $c_field, " %zu\\n\", offsetof(struct ", $c, ", ", $c_field, "));\n"); )*
            )*
            for (name, _) in CONSTANTS {
                c += &format!("printf(\"{name} %u\\n\", (unsigned) {name});\n");
            }
            c + "return 0; }\n"
        }
    };
}

layout! {
    "audit_plugin" = AuditPlugin {
        "type" = kind, "version" = version, "open" = open, "close" = close, "accept" = accept,
        "reject" = reject, "error" = error, "show_version" = show_version,
        "register_hooks" = register_hooks, "deregister_hooks" = deregister_hooks,
        "event_alloc" = event_alloc,
    }
    "approval_plugin" = ApprovalPlugin {
        "type" = kind, "version" = version, "open" = open, "close" = close, "check" = check,
        "show_version" = show_version,
    }
    "sudoers_group_plugin" = GroupPlugin {
        "version" = version, "init" = init, "cleanup" = cleanup, "query" = query,
    }
    "sudo_conv_message" = ConvMessage { "msg_type" = msg_type, "timeout" = timeout, "msg" = msg }
    "sudo_conv_reply" = ConvReply { "reply" = reply }
}

const CONSTANTS: &[(&str, u32)] = &[
    ("SUDO_FRONT_END", FRONT_END),
    ("SUDO_POLICY_PLUGIN", POLICY_PLUGIN),
    ("SUDO_AUDIT_PLUGIN", AUDIT_PLUGIN),
    ("SUDO_APPROVAL_PLUGIN", APPROVAL_PLUGIN),
    ("SUDO_CONV_ERROR_MSG", CONV_ERROR_MSG as u32),
    ("SUDO_CONV_INFO_MSG", CONV_INFO_MSG as u32),
    ("SUDO_PLUGIN_WAIT_STATUS", crate::gates::WAIT_STATUS as u32),
    ("SUDO_PLUGIN_EXEC_ERROR", crate::gates::EXEC_ERROR as u32),
    ("GROUP_API_VERSION", GROUP_VERSION),
];

#[test]
fn structs_and_constants_are_those_of_the_c_header() {
    let dir = std::env::temp_dir().join(format!("jit-sudo-layout-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (source, program) = (dir.join("probe.c"), dir.join("probe"));
    std::fs::write(&source, probe()).unwrap();
    let cc = Command::new("cc")
        .args(["-Wall", "-Werror", "-o"])
        .args([&program, &source])
        .output()
        .expect("a C compiler (cc) is needed for this test");
    assert!(
        cc.status.success(),
        "the probe needs sudo_plugin.h (package sudo): {}",
        String::from_utf8_lossy(&cc.stderr)
    );
    let run = Command::new(&program).output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();

    let mut theirs = BTreeMap::new();
    for line in String::from_utf8(run.stdout).unwrap().lines() {
        let (name, value) = line.split_once(' ').unwrap();
        theirs.insert(name.to_owned(), value.parse::<usize>().unwrap());
    }
    let mut ours = ours();
    ours.extend(
        CONSTANTS
            .iter()
            .map(|(n, v)| ((*n).to_owned(), *v as usize)),
    );
    assert_eq!(ours, theirs);
}
