//! Clears away the processes, mounts and folders of test runs that died. Test runs do this at their start as well;
//! the CI entry calls it at the end, so that even a killed run leaves nothing.

fn main() {
    jit_tests::reap();
}
