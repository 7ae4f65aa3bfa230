//! Makes the trees of all hosts before any test runs.

fn main() {
    jit_tests::tree::make_all();
}
