//! Link flags of the module.
#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for flag in [
        // Stays mapped after dlclose: std keeps per-thread state and a panic hook that must not point into a hole.
        "-Wl,-z,nodelete",
        "-Wl,-z,relro",
        "-Wl,-z,now",
        // A missing symbol is found here, not inside sudo.
        "-Wl,-z,defs",
    ] {
        println!("cargo:rustc-cdylib-link-arg={flag}");
    }
}
