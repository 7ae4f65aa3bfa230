//! Many grants that start in the same second: systemd starts one unit after the other, and none may be given up because
//! others are before it.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use jit_tests::{Host, grants};

const PEOPLE: usize = 7;
/// Fewer than one person may have.
const OF_ONE: usize = 28;

#[test]
fn two_hundred_grants_that_start_in_the_same_second_are_all_in_force() {
    let host = Host::ready();
    grants::allow_many_requests(&host);
    grants::wait_for_issuer(&host);
    let all = PEOPLE * OF_ONE;
    let ask = format!(
        "at=$(date -u -d '+60 seconds' +%FT%TZ)
         for n in $(seq {PEOPLE}); do useradd -G jit-eligible together$n; done
         for n in $(seq {PEOPLE}); do
             runuser -u together$n -- sh -c \"
                 for i in \\$(seq {OF_ONE}); do
                     jitctl elevate --at $at --for 20m --reason together >/dev/null || exit
                 done\" &
             asking=\"$asking $!\"
         done
         for one in $asking; do wait $one || exit; done"
    );
    host.run_for(&["sh", "-c", &ask], Duration::from_secs(120))
        .ok();
    let in_force = format!(
        "count=$(grep -l '\"phase\":\"active\"' /var/lib/jit/grants/*.json | wc -l); \
         echo $count; jitctl log search --type refused | tail -n 5; test $count = {all}"
    );
    host.wait_for("all are in force", Duration::from_secs(90), &in_force);
    // What is in force is held by systemd, with and without an agent.
    let held = "systemctl list-units --no-legend 'jit-*.service' --state=running | grep -c 'Grant '; \
                systemctl list-units --no-legend 'jit-*.timer' | grep -c 'Deadline of'";
    let held = host.sh(held).ok();
    assert_eq!(held.text(), format!("{all}\n{all}"), "{held}");
    let user = "together7";
    host.run_as(user, "sudo -n id -u").ok().says("0");
}
