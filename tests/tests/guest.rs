//! What needs a clock, a disk or a power switch of its own: one virtual machine runs all scripts of this file.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::Guest;

#[test]
fn clocks_and_reboots_of_a_guest() {
    let report = Guest::new()
        .then(
            "kernel",
            "uname -r; systemctl is-system-running; sudo -n id -u",
        )
        .then("clock", "date -s '2031-01-01 00:00:00' && date +%Y")
        .then(
            "before",
            "echo kept >/root/kept; touch /run/reboot-next; exit 3",
        )
        .then("after", "cat /root/kept; ls /run/reboot-next")
        .run(Duration::from_secs(240));
    report
        .of("kernel")
        .ok()
        .says("-cloud-amd64\n")
        .says("\n0\n");
    report.of("clock").ok().says("2031\n");
    report.of("before").exits(3);
    report
        .of("after")
        .exits(2)
        .says("kept\n")
        .says("No such file");
}
